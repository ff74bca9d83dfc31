use super::*;
use proptest::prelude::*;

/// Returns what the kernel does with a port filter (`inet_diag_bc_run` in `net/ipv4/inet_diag.c`).
fn accepts(program: &[u8], local: u16, peer: u16) -> bool {
    let mut at = 0;
    while at < program.len() {
        let word = |at: usize| u16::from_ne_bytes([program[at + 2], program[at + 3]]);
        let holds = match program[at] {
            JUMP => false,
            LOCAL_PORT_IS => local == word(at + 4),
            PEER_PORT_IS => peer == word(at + 4),
            other => panic!("the filter has no use for instruction {other}"),
        };
        at += usize::from(if holds { program[at + 1].into() } else { word(at) });
    }
    at == program.len()
}

/// Returns what the kernel demands of a filter (`inet_diag_bc_audit`): every way through it, by
/// `yes` alone, ends exactly at its end, and every `no` leads to an instruction on that way, to the
/// end, or 4 bytes past it.
fn is_well_formed(program: &[u8]) -> bool {
    let mut starts = Vec::new();
    let mut targets = Vec::new();
    let mut at = 0;
    while at < program.len() {
        starts.push(at);
        let no = u16::from_ne_bytes([program[at + 2], program[at + 3]]);
        targets.push(at + usize::from(no));
        at += usize::from(program[at + 1]);
    }
    at == program.len()
        && targets.iter().all(|target| {
            starts.contains(target) || *target == program.len() || *target == program.len() + 4
        })
}

/// A synthetic `struct inet_diag_msg` in a netlink message of its own.
fn encoded(row: &TableRow, sequence: u32, flags: u16) -> Vec<u8> {
    let socket = &row.socket;
    let state = (1..=12).find(|&n| state_of(n) == Ok(Some(socket.state))).unwrap();
    let (kind, left) = match socket.timer {
        Observed::Known(None) => (0, Duration::ZERO),
        Observed::Known(Some(timer)) => (
            match timer.kind {
                TimerKind::Retransmit => 1,
                TimerKind::KeepAlive => 2,
                TimerKind::TimeWait => 3,
                TimerKind::ZeroWindowProbe => 4,
            },
            timer.left,
        ),
        Observed::NotObservable => (99, Duration::ZERO),
    };
    let family = if socket.local.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 };
    let mut body = vec![family.number(), state, kind, 0];
    for address in [socket.local, socket.peer] {
        body.extend(address.port().to_be_bytes());
    }
    for address in [socket.local, socket.peer] {
        match address.ip() {
            IpAddr::V4(ip) => {
                body.extend(ip.octets());
                body.extend([0; 12]);
            }
            IpAddr::V6(ip) => body.extend(ip.octets()),
        }
    }
    let scope = match socket.local {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    body.extend(scope.to_ne_bytes());
    body.extend(row.cookie().to_ne_bytes());
    for number in [
        u32::try_from(left.as_millis()).unwrap(),
        socket.recv_queue.known().unwrap(),
        socket.send_queue.known().unwrap(),
        1000, // the user
        row.inode,
    ] {
        body.extend(number.to_ne_bytes());
    }
    attributes::tests::append(&mut body, row.info.as_deref(), row.cgroup);
    wrapped(BY_FAMILY, flags, sequence, &body)
}

fn wrapped(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(HEADER_LEN + body.len()).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(4711_u32.to_ne_bytes());
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// The message that tells of a socket with this cookie.
pub(crate) fn a_socket(cookie: u64, sequence: u32) -> Vec<u8> {
    encoded(&some_row(cookie), sequence, 0)
}

/// The same from a kernel that noticed a change of its table.
pub(crate) fn an_overtaken_socket(cookie: u64, sequence: u32) -> Vec<u8> {
    encoded(&some_row(cookie), sequence, DUMP_INTERRUPTED)
}

/// The end of a list; with an error number, which is negative, as far as it got.
pub(crate) fn the_end(errno: i32, sequence: u32) -> Vec<u8> {
    wrapped(DONE, 0, sequence, &errno.to_ne_bytes())
}

/// The end of a list whose kernel noticed a change of its table at the very end.
pub(crate) fn an_overtaken_end(sequence: u32) -> Vec<u8> {
    wrapped(DONE, DUMP_INTERRUPTED, sequence, &0_i32.to_ne_bytes())
}

/// An error message.
pub(crate) fn a_refusal(errno: i32, sequence: u32) -> Vec<u8> {
    wrapped(ERROR, 0, sequence, &errno.to_ne_bytes())
}

/// The message by which messages are said to be lost.
pub(crate) fn an_overrun(sequence: u32) -> Vec<u8> {
    wrapped(OVERRUN, 0, sequence, &[])
}

fn contents(datagram: &[u8]) -> Vec<Result<MessageContent<'_>, MalformedAnswer>> {
    messages(datagram).map(|message| message.map(|message| message.content)).collect()
}

/// Returns what is read of each message that tells of a socket, as far as the datagram can be read.
fn rows(datagram: &[u8]) -> Vec<Result<Option<TableRow>, MalformedAnswer>> {
    let told = contents(datagram).into_iter().filter_map(|content| match content {
        Ok(MessageContent::Socket(words)) => Some(row(words)),
        _ => None,
    });
    told.collect()
}

fn some_row(cookie: u64) -> TableRow {
    let timer = Timer { kind: TimerKind::TimeWait, left: Duration::from_millis(57_300) };
    TableRow {
        socket: Socket {
            local: "127.0.0.1:40210".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state: TcpState::TimeWait,
            side: None,
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::Known(Some(timer)),
            cookie: Observed::Known(cookie),
            owners: Observed::NotObservable,
        },
        inode: 0,
        info: None,
        cgroup: None,
    }
}

fn any_row() -> impl Strategy<Value = TableRow> {
    let link_local = (any::<u64>(), any::<u16>(), any::<u16>(), any::<u32>()).prop_map(
        |(low, local, peer, scope)| {
            let ip = Ipv6Addr::from(u128::from(low) | 0xfe80 << 112);
            let address = |port| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
            (address(local), address(peer))
        },
    );
    let v4 = (any::<Ipv4Addr>(), any::<u16>(), any::<Ipv4Addr>(), any::<u16>())
        .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))));
    let v6 = (any::<Ipv6Addr>(), any::<u16>(), any::<Ipv6Addr>(), any::<u16>())
        .prop_filter("has no scope", |(a, _, c, _)| {
            !a.is_unicast_link_local() && !c.is_unicast_link_local()
        })
        .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))));
    let timer = prop_oneof![
        Just(Observed::Known(None)),
        Just(Observed::NotObservable),
        (
            prop::sample::select(vec![
                TimerKind::Retransmit,
                TimerKind::KeepAlive,
                TimerKind::TimeWait,
                TimerKind::ZeroWindowProbe,
            ]),
            any::<u32>(),
        )
            .prop_map(|(kind, ms)| Observed::Known(Some(Timer {
                kind,
                left: Duration::from_millis(ms.into()),
            }))),
    ];
    (
        prop_oneof![v4, v6, link_local],
        prop::sample::select(TcpState::ALL.to_vec()),
        timer,
        any::<(u32, u32, u32)>(),
        (prop::option::of(attributes::tests::any_info()), any::<Option<u64>>(), any::<u64>()),
    )
        .prop_map(|((local, peer), state, timer, queues_and_inode, (info, cgroup, cookie))| {
            TableRow {
                socket: Socket {
                    local,
                    peer,
                    state,
                    side: None,
                    recv_queue: Observed::Known(queues_and_inode.0),
                    send_queue: Observed::Known(queues_and_inode.1),
                    timer,
                    cookie: Observed::Known(cookie),
                    owners: Observed::NotObservable,
                },
                inode: queues_and_inode.2,
                info: info.filter(|_| state != TcpState::Listen).map(Box::new),
                cgroup,
            }
        })
}

proptest! {
    #[test]
    fn a_port_filter_accepts_its_ports_at_either_end_and_no_other(
        ports in prop::collection::vec(1_u16..30, 1..40),
        local in 1_u16..60,
        peer in 0_u16..60,
    ) {
        let wanted = ports.contains(&local) || ports.contains(&peer);
        prop_assert_eq!(accepts(&port_filter(&ports), local, peer), wanted);
    }

    #[test]
    fn every_port_filter_has_the_form_the_kernel_demands(
        ports in prop::collection::vec(any::<u16>(), 1..=MOST_PORTS)
    ) {
        let program = port_filter(&ports);
        prop_assert!(is_well_formed(&program));
        // Nothing was cut to fit a length field of 16 bits.
        prop_assert_eq!(program.len(), ports.len() * 24 - 4);
        prop_assert!(program.len() + 4 < usize::from(u16::MAX));
    }

    #[test]
    fn a_row_is_read_back_as_it_was_written(
        written in prop::collection::vec(any_row(), 1..5),
        sequence in any::<u32>(),
    ) {
        let datagram: Vec<u8> =
            written.iter().flat_map(|row| encoded(row, sequence, 0)).collect();
        let steady = |message: NetlinkMessage<'_>| message.sequence == sequence && !message.interrupted;
        prop_assert!(messages(&datagram).all(|message| message.is_ok_and(steady)));
        let expected: Vec<_> = written.into_iter().map(|row| Ok(Some(row))).collect();
        prop_assert_eq!(rows(&datagram), expected);
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic_and_to_an_end(
        bytes in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER_LEN + 1);
        rows(&bytes);
    }

    #[test]
    fn damaged_answers_are_read_without_a_panic(
        row in any_row(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&row, 1, 0);
        bytes.extend(encoded(&row, 1, 0));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER_LEN + 1);
        rows(&bytes);
    }
}

#[test]
fn a_request_says_how_long_it_is_and_what_it_asks_for() {
    let asked =
        request(IpFamily::V6, &[TcpState::Established, TcpState::TimeWait], &[8080], true, 7);
    assert_eq!(asked[..4], u32::try_from(asked.len()).unwrap().to_ne_bytes());
    assert_eq!(asked[4..6], BY_FAMILY.to_ne_bytes());
    assert_eq!(asked[8..12], 7_u32.to_ne_bytes());
    assert_eq!(asked[16..18], [10, IPPROTO_TCP]);
    assert_eq!(asked[18], TELL_TCP_INFO);
    assert_eq!(asked[20..24], (1_u32 << 1 | 1 << 6).to_ne_bytes());
    assert_eq!(asked[72..74], 24_u16.to_ne_bytes()); // the attribute: 4 + 20 bytes
    assert_eq!(asked[76..], port_filter(&[8080]));
}

#[test]
fn without_ports_a_request_carries_no_filter() {
    assert_eq!(request(IpFamily::V4, &[], &[], false, 1).len(), 72);
    assert_eq!(request(IpFamily::V4, &[], &[9; MOST_PORTS + 1], false, 1).len(), 72);
}

#[test]
fn asking_for_no_state_asks_for_all_of_them_but_bound_sockets() {
    assert_eq!(state_mask(&[]), 0b1_1111_1111_1110);
}

#[test]
fn a_socket_that_is_merely_bound_is_left_out() {
    let mut bytes = encoded(&some_row(4711), 1, 0);
    bytes[HEADER_LEN + 1] = 13;
    assert_eq!(rows(&bytes), [Ok(None)]);
}

#[test]
fn a_state_without_a_name_is_an_error_and_not_a_missing_row() {
    let mut bytes = encoded(&some_row(4711), 1, 0);
    bytes[HEADER_LEN + 1] = 77;
    assert_eq!(rows(&bytes), [Err(MalformedAnswer("a socket is in an unknown state"))]);
}

#[test]
fn a_list_that_changed_while_it_was_written_says_so() {
    let bytes = encoded(&some_row(4711), 1, DUMP_INTERRUPTED);
    assert!(messages(&bytes).next().unwrap().unwrap().interrupted);
}

#[test]
fn the_end_of_a_list_tells_whether_it_is_complete() {
    let complete = wrapped(DONE, 0, 1, &0_i32.to_ne_bytes());
    let broken_off = wrapped(DONE, 0, 1, &(-105_i32).to_ne_bytes());
    let bare = wrapped(DONE, 0, 1, &[]);
    assert_eq!(contents(&complete), [Ok(MessageContent::Done(0))]);
    assert_eq!(contents(&broken_off), [Ok(MessageContent::Done(-105))]);
    assert_eq!(contents(&bare), [Ok(MessageContent::Done(0))]);
}

#[test]
fn a_refusal_is_told_from_an_acknowledgement() {
    let refused = wrapped(ERROR, 0, 1, &(-2_i32).to_ne_bytes());
    let acknowledged = wrapped(ERROR, 0, 1, &0_i32.to_ne_bytes());
    assert_eq!(contents(&refused), [Ok(MessageContent::Refused(-2))]);
    assert_eq!(contents(&acknowledged), [Ok(MessageContent::Nothing)]);
    assert_eq!(contents(&wrapped(OVERRUN, 0, 1, &[])), [Ok(MessageContent::Lost)]);
    assert_eq!(contents(&wrapped(NOOP, 0, 1, &[])), [Ok(MessageContent::Nothing)]);
}

#[test]
fn a_message_that_is_longer_than_its_datagram_ends_the_reading() {
    let mut bytes = encoded(&some_row(4711), 1, 0);
    bytes.truncate(bytes.len() - 4);
    assert_eq!(contents(&bytes), [Err(MalformedAnswer("a message is longer than its datagram"))]);
}
