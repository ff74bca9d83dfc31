//! What a kernel really said, and what becomes of it when it is damaged.
//!
//! `recorded.bin` holds the answers of a Linux 6.18, one after the other: IPv4 and IPv6 in depth,
//! IPv4 without depth, and the refusal of a question for a socket that is not there. It is read as
//! one datagram. [`record_anew`] made it, in a network with no other sockets:
//!
//! ```text
//! unshare --map-root-user --net sh -c 'ip link set lo up && \
//!     cargo test -p socket-inspector --lib record_anew -- --ignored'
//! ```
//!
//! By default it is damaged in a few hundred ways; `PROPTEST_CASES=1000000` makes them a million.
#![cfg(target_endian = "little")] // as the machine was that it was recorded on

use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const RECORDED: &[u8] = include_bytes!("recorded.bin");

/// Where each recorded message begins and ends.
fn recorded_messages() -> Vec<Range<usize>> {
    let mut rest = RECORDED;
    let mut ranges = Vec::new();
    while !rest.is_empty() {
        let start = RECORDED.len() - rest.len();
        message(&mut rest).unwrap();
        ranges.push(start..RECORDED.len() - rest.len());
    }
    ranges
}

/// The part of a message that is read, to the last field of a row.
#[derive(Debug, PartialEq)]
enum DamagedReading {
    Row(Result<Option<TableRow>, MalformedAnswer>),
    Other(String),
}

/// Everything that is read of a datagram.
fn read(datagram: &[u8]) -> Vec<DamagedReading> {
    let reading = |message: Result<NetlinkMessage<'_>, MalformedAnswer>| match message {
        Ok(NetlinkMessage { content: MessageContent::Socket(words), .. }) => {
            DamagedReading::Row(row(words))
        }
        other => DamagedReading::Other(format!("{other:?}")),
    };
    messages(datagram).map(reading).collect()
}

/// One thing that goes wrong. A place is a share of the bytes that there are.
#[derive(Clone, Debug)]
enum AnswerDamage {
    FlipBit(Index, u8),
    SetByte(Index, u8),
    /// Another length in the header of a message.
    SetLength(Index, u32),
    /// Another two bytes at an even place, where lengths and kinds of attributes are.
    SetHalfWord(Index, u16),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index),
    /// Bytes of one place at another, over what was there.
    Splice(Index, Index, Index),
    /// Another answer behind this one.
    Append(Index, Index),
}

impl AnswerDamage {
    fn any() -> impl Strategy<Value = Self> {
        let place = any::<Index>;
        // Lengths that are near to true ones, and any others.
        let length = prop_oneof![0_u32..700, any::<u32>(), Just(u32::MAX), Just(u32::MAX - 3)];
        let half = prop_oneof![0_u16..40, 240_u16..300, any::<u16>()];
        prop_oneof![
            4 => (place(), 0_u8..8).prop_map(|(at, bit)| Self::FlipBit(at, bit)),
            2 => (place(), any::<u8>()).prop_map(|(at, value)| Self::SetByte(at, value)),
            3 => (place(), length).prop_map(|(which, value)| Self::SetLength(which, value)),
            3 => (place(), half).prop_map(|(at, value)| Self::SetHalfWord(at, value)),
            1 => place().prop_map(Self::Cut),
            1 => (place(), place()).prop_map(|(a, b)| Self::Remove(a, b)),
            1 => (place(), place()).prop_map(|(a, b)| Self::Repeat(a, b)),
            2 => (place(), place(), place()).prop_map(|(a, b, to)| Self::Splice(a, b, to)),
            1 => (place(), place()).prop_map(|(a, b)| Self::Append(a, b)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let range = |a: &Index, b: &Index| {
            let (a, b) = (a.index(len), b.index(len));
            a.min(b)..a.max(b)
        };
        match self {
            Self::FlipBit(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::SetByte(at, value) => bytes[at.index(len)] = *value,
            Self::SetLength(which, value) => {
                let starts = recorded_messages();
                let at = starts[which.index(starts.len())].start;
                if let Some(field) = bytes.get_mut(at..at + 4) {
                    field.copy_from_slice(&value.to_ne_bytes());
                }
            }
            Self::SetHalfWord(at, value) => {
                let at = at.index(len) & !1;
                if let Some(field) = bytes.get_mut(at..at + 2) {
                    field.copy_from_slice(&value.to_ne_bytes());
                }
            }
            Self::Cut(at) => bytes.truncate(at.index(len)),
            Self::Remove(a, b) => drop(bytes.drain(range(a, b))),
            Self::Repeat(a, b) => {
                let range = range(a, b);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Self::Splice(a, b, to) => {
                let some = bytes[range(a, b)].to_vec();
                let to = to.index(len);
                let end = len.min(to + some.len());
                bytes.splice(to..end, some);
            }
            Self::Append(a, b) => bytes.extend_from_within(range(a, b)),
        }
    }
}

/// Asserts what holds of every datagram, however damaged.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut read_so_far = bytes.as_ptr_range().start;
    let mut count = 0;
    for message in messages(bytes) {
        count += 1;
        if let Ok(NetlinkMessage { content: MessageContent::Socket(words), .. }) = message {
            // A message lies within its datagram, and behind the one before it.
            let place = words.as_ptr_range();
            prop_assert!(place.start >= read_so_far && place.end <= bytes.as_ptr_range().end);
            read_so_far = place.end;
            let _ = row(words);
        }
    }
    prop_assert!(count <= bytes.len() / HEADER_LEN + 1);

    // What stands before the first damage is read as if there were none.
    let same = RECORDED.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    let whole = recorded_messages().iter().take_while(|range| range.end <= same).count();
    let undamaged = RECORDED_READINGS.with(|readings| read(bytes)[..whole] == readings[..whole]);
    prop_assert!(undamaged);
    Ok(())
}

thread_local! {
    static RECORDED_READINGS: Vec<DamagedReading> = read(RECORDED);
}

proptest! {
    #[test]
    fn a_damaged_answer_is_read_to_its_end_and_as_before_up_to_the_damage(
        damages in prop::collection::vec(AnswerDamage::any(), 1..8)
    ) {
        let mut bytes = RECORDED.to_vec();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        check(&bytes)?;
    }

    #[test]
    fn an_answer_that_begins_or_ends_anywhere_is_read_to_its_end(
        (from, to) in any::<(Index, Index)>()
    ) {
        let range = from.index(RECORDED.len())..RECORDED.len();
        let bytes = &RECORDED[range];
        let bytes = &bytes[..to.index(bytes.len())];
        prop_assert!(read(bytes).len() <= bytes.len() / HEADER_LEN + 1);
    }
}

#[test]
fn a_bit_that_is_flipped_anywhere_does_no_harm() {
    for range in recorded_messages() {
        let mut bytes = RECORDED[range].to_vec();
        for bit in 0..8 * bytes.len() {
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            bytes[at] ^= mask;
            assert!(read(&bytes).len() <= bytes.len() / HEADER_LEN + 1);
            bytes[at] ^= mask;
        }
    }
}

#[test]
fn what_the_kernel_said_is_understood() {
    let mut lines = String::new();
    for reading in read(RECORDED) {
        lines += &match reading {
            DamagedReading::Row(row) => line(&row.unwrap().unwrap()),
            DamagedReading::Other(other) => other,
        };
        lines.push('\n');
    }
    insta::assert_snapshot!(lines, @r"
    127.0.0.1:8083 0.0.0.0:0 Listen (1, 0) cgroup
    127.0.0.1:8080 0.0.0.0:0 Listen (0, 128) cgroup
    127.0.0.1:60902 127.0.0.1:8082 TimeWait (0, 0)
    127.0.0.1:60908 127.0.0.1:8082 Established (0, 0) depth (23, 0) cgroup
    127.0.0.1:60914 127.0.0.1:8082 FinWait1 (0, 1) depth (0, 0) cgroup
    127.0.0.1:42902 127.0.0.1:8083 Established (0, 0) depth (0, 0) cgroup
    127.0.0.1:42918 127.0.0.1:8083 SynSent (0, 1) depth (0, 0) cgroup
    127.0.0.1:8080 127.0.0.1:52212 CloseWait (1, 0) depth (0, 1) cgroup
    127.0.0.1:8083 127.0.0.1:42902 Established (0, 0) depth (0, 0) cgroup
    127.0.0.1:8080 127.0.0.1:52210 Established (23, 0) depth (0, 23) cgroup
    127.0.0.1:52208 127.0.0.1:8080 TimeWait (0, 0)
    127.0.0.1:52210 127.0.0.1:8080 Established (0, 0) depth (23, 0) cgroup
    127.0.0.1:52212 127.0.0.1:8080 FinWait1 (0, 1) depth (0, 0) cgroup
    Ok(NetlinkMessage { sequence: 7, interrupted: false, content: Done(0) })
    [::1]:8081 [::]:0 Listen (0, 128) cgroup
    [::]:8082 [::]:0 Listen (0, 128) cgroup
    [::ffff:127.0.0.1]:8082 [::ffff:127.0.0.1]:60908 Established (23, 0) depth (0, 23) cgroup
    [::1]:8081 [::1]:38302 Established (23, 0) depth (0, 23) cgroup
    [::ffff:127.0.0.1]:8082 [::ffff:127.0.0.1]:60914 CloseWait (1, 0) depth (0, 1) cgroup
    [::1]:8081 [::1]:38304 CloseWait (1, 0) depth (0, 1) cgroup
    [::1]:38288 [::1]:8081 TimeWait (0, 0)
    [::1]:38302 [::1]:8081 Established (0, 0) depth (23, 0) cgroup
    [::1]:38304 [::1]:8081 FinWait1 (0, 1) depth (0, 0) cgroup
    Ok(NetlinkMessage { sequence: 7, interrupted: false, content: Done(0) })
    127.0.0.1:8083 0.0.0.0:0 Listen (1, 0) cgroup
    127.0.0.1:8080 0.0.0.0:0 Listen (0, 128) cgroup
    127.0.0.1:60902 127.0.0.1:8082 TimeWait (0, 0)
    127.0.0.1:60908 127.0.0.1:8082 Established (0, 0) cgroup
    127.0.0.1:60914 127.0.0.1:8082 FinWait1 (0, 1) cgroup
    127.0.0.1:42902 127.0.0.1:8083 Established (0, 0) cgroup
    127.0.0.1:42918 127.0.0.1:8083 SynSent (0, 1) cgroup
    127.0.0.1:8080 127.0.0.1:52212 CloseWait (1, 0) cgroup
    127.0.0.1:8083 127.0.0.1:42902 Established (0, 0) cgroup
    127.0.0.1:8080 127.0.0.1:52210 Established (23, 0) cgroup
    127.0.0.1:52208 127.0.0.1:8080 TimeWait (0, 0)
    127.0.0.1:52210 127.0.0.1:8080 Established (0, 0) cgroup
    127.0.0.1:52212 127.0.0.1:8080 FinWait1 (0, 1) cgroup
    Ok(NetlinkMessage { sequence: 7, interrupted: false, content: Done(0) })
    Ok(NetlinkMessage { sequence: 7, interrupted: false, content: Refused(-2) })
    ");
}

/// The addresses, the state, the two queues; bytes sent and received, if it was read in depth.
fn line(row: &TableRow) -> String {
    let TableRow { socket, info, cgroup, .. } = row;
    let (local, peer, state) = (socket.local, socket.peer, socket.state);
    let queues = (socket.recv_queue.known().unwrap(), socket.send_queue.known().unwrap());
    let depth = info.as_ref().map_or(String::new(), |info| {
        let bytes = (info.bytes_sent.known().unwrap(), info.bytes_received.known().unwrap());
        format!(" depth {bytes:?}")
    });
    let cgroup = cgroup.map_or("", |_| " cgroup");
    format!("{local} {peer} {state:?} {queues:?}{depth}{cgroup}")
}

/// A listener and connections in several states, all of which last.
struct Scene {
    _listener: TcpListener,
    _ends: Vec<TcpStream>,
}

impl Scene {
    fn at(address: &str, dial: &str) -> Self {
        use std::io::Write;

        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = || {
            let client = TcpStream::connect((dial, port)).unwrap();
            (client, listener.accept().unwrap().0)
        };
        drop(connect()); // TIME_WAIT
        let (mut talking, listening) = connect();
        talking.write_all(&[b'x'; 23]).unwrap();
        let half_closed = connect();
        half_closed.0.shutdown(Shutdown::Write).unwrap();
        let ends = vec![talking, listening, half_closed.0, half_closed.1];
        Self { _listener: listener, _ends: ends }
    }
}

/// The answer to a question, as it comes.
fn asked(question: &[u8], is_list: bool) -> Vec<u8> {
    let socket = crate::linux::sent(question).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut datagram = Vec::with_capacity(64 * 1024);
        let buffer = rustix::buffer::spare_capacity(&mut datagram);
        rustix::net::recv(&socket, buffer, rustix::net::RecvFlags::empty()).unwrap();
        answer.extend_from_slice(&datagram);
        answer.resize(answer.len().next_multiple_of(4), 0);
        if !is_list || datagram[4..6] == DONE.to_ne_bytes() {
            return answer;
        }
    }
}

#[test]
#[ignore = "writes recorded.bin, in a network that has no other sockets"]
fn record_anew() {
    let _v4 = Scene::at("127.0.0.1:8080", "127.0.0.1");
    let _v6 = Scene::at("[::1]:8081", "::1");
    let _mapped = Scene::at("[::]:8082", "127.0.0.1");
    // One who waits to be accepted, and behind it one who is not answered.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 8083));
    full.bind(&address.into()).unwrap();
    full.listen(0).unwrap();
    let _waiting = TcpStream::connect(address).unwrap();
    let unanswered =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    unanswered.set_nonblocking(true).unwrap();
    let _ = unanswered.connect(&address.into());

    let nobody = request_one("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), 7);
    let answers = [
        asked(&request(IpFamily::V4, &[], &[], true, 7), true),
        asked(&request(IpFamily::V6, &[], &[], true, 7), true),
        asked(&request(IpFamily::V4, &[], &[], false, 7), true),
        asked(&nobody, false),
    ];
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sock_diag/recorded.bin");
    std::fs::write(place, answers.concat()).unwrap();
}
