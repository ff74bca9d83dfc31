//! Every packet once, in order, and nothing of what was under way is missing.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netlab::PrivateNetwork;
use nix::sched::{CloneFlags, unshare};
use packets::{Capture, CaptureError, CaptureSetup};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::runner::Test;
use crate::scenes::{body, connection, count, exchange, hear, payload, program, segments};
use crate::tests;

pub(crate) const ALL: &[Test] = tests![
    every_packet_on_loopback_is_heard_once_and_in_order,
    every_packet_of_ipv6_is_heard_as_well,
    what_was_sent_when_the_capture_ends_is_heard_every_time,
    a_body_is_heard_in_the_pieces_of_a_wire_where_that_is_asked_for,
    times_lie_on_the_clock_of_the_run_and_between_the_moments_of_the_program,
    only_the_ports_that_are_asked_for_are_heard,
    of_a_packet_no_more_is_kept_than_is_asked_for,
    what_is_no_tcp_is_heard_and_counted,
    what_the_kernel_drops_is_counted,
    on_a_cable_between_two_networks_both_directions_are_heard_once,
    an_interface_that_there_is_not_is_named,
    whoever_lacks_the_capability_is_told_who_refuses_and_what_helps,
    many_packets_on_many_connections_are_all_heard,
    sockets_that_share_the_connections_hear_every_packet_once,
    each_of_several_sockets_is_told_the_ports,
    connections_that_are_all_busy_at_once_are_heard_to_the_last_packet,
];

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";

fn whole_exchange(address: &str) {
    let capture = hear();
    exchange(address);
    let recording = capture.stop().unwrap();
    let heard = segments(&recording);
    let flags: Vec<String> = heard.iter().map(|segment| segment.flags.to_string()).collect();
    assert_eq!(flags[..3], ["S", "S.", "."], "{flags:?}");
    assert_eq!((count(&heard, "S"), count(&heard, "S.")), (1, 1), "{flags:?}");
    assert_eq!(count(&heard, "F.") + count(&heard, "FP."), 2, "{flags:?}");
    assert_eq!(payload(&heard), 9);
    // No two are the same to the last bit, as the two copies of each on `lo` are.
    let distinct: HashSet<_> = recording.packets.iter().map(|packet| &packet.bytes).collect();
    assert_eq!(distinct.len(), heard.len(), "{heard:?}");
    assert!(recording.packets.iter().all(|packet| packet.outgoing));
    assert!(recording.drops.exact, "the kernel was asked");
}

fn every_packet_on_loopback_is_heard_once_and_in_order(_: &PrivateNetwork) -> Result<(), String> {
    whole_exchange(V4);
    Ok(())
}

fn every_packet_of_ipv6_is_heard_as_well(_: &PrivateNetwork) -> Result<(), String> {
    if TcpListener::bind(V6).is_err() {
        return Err("there is no IPv6 here".to_owned());
    }
    whole_exchange(V6);
    Ok(())
}

/// The capture is stopped as soon as the last call that sends has returned, many times.
fn what_was_sent_when_the_capture_ends_is_heard_every_time(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let server = TcpListener::bind(V4).unwrap();
    let address = server.local_addr().unwrap();
    let datagrams = UdpSocket::bind(V4).unwrap();
    for round in 0..211 {
        let capture = hear();
        let client = TcpStream::connect(address).unwrap();
        datagrams.send_to(b"x", datagrams.local_addr().unwrap()).unwrap();
        let (heard, counts) = capture.stop().unwrap().segments();
        let flags: Vec<String> = heard.iter().map(|segment| segment.flags.to_string()).collect();
        assert_eq!(flags, ["S", "S.", "."], "in round {round}");
        assert_eq!(counts.not_tcp, 1, "in round {round}");
        drop((client, server.accept().unwrap()));
    }
    Ok(())
}

fn a_body_is_heard_in_the_pieces_of_a_wire_where_that_is_asked_for(
    network: &PrivateNetwork,
) -> Result<(), String> {
    const LEN: usize = 100_000;
    let longest = |address| {
        let capture = hear();
        body(address, LEN);
        let heard = segments(&capture.stop().unwrap());
        assert_eq!(payload(&heard), LEN);
        heard.iter().map(|segment| segment.payload_bytes).max().unwrap()
    };
    assert!(longest(V4) > 10_000, "a fresh lo cuts nothing");
    network.as_on_a_wire().unwrap();
    assert_eq!(longest(V4), 1448, "1500 less 20, 20 and 12 of time stamps");
    if TcpListener::bind(V6).is_ok() {
        assert_eq!(longest(V6), 1428, "the header of IPv6 is longer by 20");
    }
    Ok(())
}

fn times_lie_on_the_clock_of_the_run_and_between_the_moments_of_the_program(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let start = Instant::now();
    let capture = Capture::start(&CaptureSetup::on("lo"), start).unwrap();
    // The kernel begins to stamp a moment after it was asked to.
    thread::sleep(Duration::from_millis(50));
    let before = start.elapsed();
    let _ends = connection(V4);
    let after = start.elapsed();
    let recording = capture.stop().unwrap();
    let clock = recording.clock;
    // The machine's clock may be put on or back while the test runs: by so much they may differ.
    let slack = clock.shift + clock.uncertainty + Duration::from_micros(50);
    let heard = segments(&recording);
    assert_eq!(heard.len(), 3);
    for segment in heard {
        let at = segment.at;
        assert!(at + slack >= before && at <= after + slack, "{before:?} {at:?} {after:?}");
    }
    Ok(())
}

fn only_the_ports_that_are_asked_for_are_heard(_: &PrivateNetwork) -> Result<(), String> {
    for address in [V4, V6] {
        let Ok(server) = TcpListener::bind(address) else { continue };
        let asked = server.local_addr().unwrap();
        let setup = CaptureSetup::on("lo").ports([1, asked.port(), 2]);
        let capture = Capture::start(&setup, Instant::now()).unwrap();
        exchange(address);
        let client = TcpStream::connect(asked).unwrap();
        exchange(address);
        let udp = UdpSocket::bind(address).unwrap();
        udp.send_to(b"x", asked).unwrap();
        let recording = capture.stop().unwrap();
        let heard = segments(&recording);
        assert_eq!(heard.len(), recording.packets.len(), "no UDP, no ICMP");
        assert_eq!((count(&heard, "S"), count(&heard, "S.")), (1, 1), "{address}: {heard:?}");
        assert_eq!(heard[0].source, client.local_addr().unwrap());
        assert_eq!(heard[0].destination, asked);
    }
    let many = CaptureSetup::on("lo").ports(1..=600);
    let refused = Capture::start(&many, Instant::now()).unwrap_err();
    assert!(matches!(refused, CaptureError::ManyPorts { ports: 600, .. }), "{refused}");
    let most = CaptureSetup::on("lo").ports(1..=500);
    Capture::start(&most, Instant::now()).unwrap().stop().unwrap();
    Ok(())
}

fn of_a_packet_no_more_is_kept_than_is_asked_for(_: &PrivateNetwork) -> Result<(), String> {
    let setup = CaptureSetup::on("lo").keep(120);
    let capture = Capture::start(&setup, Instant::now()).unwrap();
    body(V4, 10_007);
    let recording = capture.stop().unwrap();
    assert!(recording.packets.iter().all(|packet| packet.bytes.len() <= 120));
    assert_eq!(
        payload(&segments(&recording)),
        10_007,
        "the lengths are those of the whole packets"
    );
    Ok(())
}

fn what_is_no_tcp_is_heard_and_counted(_: &PrivateNetwork) -> Result<(), String> {
    let socket = UdpSocket::bind(V4).unwrap();
    let capture = hear();
    socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
    let (segments, counts) = capture.stop().unwrap().segments();
    assert_eq!((segments.len(), counts.not_tcp, counts.total()), (0, 1, 1));
    Ok(())
}

/// Sends more at once than the kernel keeps for a reader that is not quick enough; what is heard and
/// what is dropped are together what was sent.
fn what_the_kernel_drops_is_counted(_: &PrivateNetwork) -> Result<(), String> {
    for setup in [CaptureSetup::on("lo"), CaptureSetup::on("lo").each(4096)] {
        dropped_are_counted(&setup);
    }
    Ok(())
}

fn dropped_are_counted(setup: &CaptureSetup) {
    const EACH: usize = 20_011;
    let capture = Capture::start(setup, Instant::now()).unwrap();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                let socket = UdpSocket::bind(V4).unwrap();
                let to = socket.local_addr().unwrap();
                for _ in 0..EACH {
                    socket.send_to(&[0; 1000], to).unwrap();
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let recording = capture.stop().unwrap();
    let heard = recording.packets.len() as u64;
    assert!(recording.drops.exact);
    assert_eq!(heard + recording.drops.packets, 4 * EACH as u64, "{}", recording.drops);
    let has_room = setup.each > EACH;
    assert!(has_room || recording.drops.packets > 0, "so little room, and nothing dropped");
}

/// A second network, joined to this one by a pair of devices; the thread that lives in it listens there
/// until it is told to end.
fn on_a_cable_between_two_networks_both_directions_are_heard_once(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let server_host = Ipv4Addr::new(10, 9, 0, 2);
    program("ip", &["link", "add", "here", "type", "veth", "peer", "name", "there"])?;
    let (tell, told) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let host = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        is_ready.recv().unwrap();
        program("ip", &["addr", "add", "10.9.0.2/24", "dev", "there"]).unwrap();
        program("ip", &["link", "set", "there", "up"]).unwrap();
        let capture = Capture::start(&CaptureSetup::on("there"), Instant::now()).unwrap();
        (capture, TcpListener::bind((server_host, 8080)).unwrap())
    });
    let thread = told.recv().unwrap().to_string();
    program("ip", &["link", "set", "there", "netns", &thread])?;
    program("ip", &["addr", "add", "10.9.0.1/24", "dev", "here"])?;
    program("ip", &["link", "set", "here", "up"])?;
    ready.send(()).unwrap();
    let (there, server) = host.join().unwrap();
    let here = Capture::start(&CaptureSetup::on("here"), Instant::now()).unwrap();

    let mut client = TcpStream::connect((server_host, 8080)).unwrap();
    let (accepted, _) = server.accept().unwrap();
    client.write_all(b"ask").unwrap();
    drop((accepted, client));

    let mut seen = Vec::new();
    for (capture, leaves_first) in [(here, true), (there, false)] {
        let recording = capture.stop().unwrap();
        let tcp =
            recording.packets.iter().filter_map(|packet| Some((packet, packet.segment().ok()?)));
        let tcp: Vec<_> = tcp.collect();
        let syns = tcp.iter().filter(|(_, segment)| segment.flags.to_string() == "S");
        assert_eq!(syns.count(), 1);
        for (packet, segment) in &tcp {
            let from_here = segment.source.ip() != server_host;
            assert_eq!(packet.outgoing, from_here == leaves_first, "{segment:?}");
        }
        let mut numbers: Vec<_> = tcp
            .iter()
            .map(|(_, segment)| (segment.source, segment.seq, segment.ack, segment.flags.bits()))
            .collect();
        numbers.sort_unstable();
        seen.push(numbers);
    }
    assert_eq!(seen[0], seen[1], "both hosts have heard the same");
    Ok(())
}

fn an_interface_that_there_is_not_is_named(_: &PrivateNetwork) -> Result<(), String> {
    let refused = Capture::start(&CaptureSetup::on("nowhere"), Instant::now()).unwrap_err();
    let expected = "cannot hear packets on nowhere: this network has no such interface";
    assert_eq!(refused.to_string(), expected);
    Ok(())
}

fn whoever_lacks_the_capability_is_told_who_refuses_and_what_helps(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).unwrap();
    let error = Capture::start(&CaptureSetup::on("lo"), Instant::now()).unwrap_err();
    let CaptureError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!(refused.what(), "opening a packet socket refused (EPERM)");
    assert_eq!(refused.by(), "the kernel, as this process lacks CAP_NET_RAW");
    assert!(refused.fix().contains("setcap cap_net_raw+ep /"), "{refused}");
    Ok(())
}

fn many_packets_on_many_connections_are_all_heard(_: &PrivateNetwork) -> Result<(), String> {
    const EACH: usize = 101;
    let capture = hear();
    let workers: Vec<_> =
        (0..7).map(|_| thread::spawn(|| (0..EACH).for_each(|_| exchange(V4)))).collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let recording = capture.stop().unwrap();
    let heard = segments(&recording);
    assert_eq!((count(&heard, "S"), count(&heard, "S.")), (7 * EACH, 7 * EACH));
    assert_eq!(payload(&heard), 7 * EACH * 9);
    Ok(())
}

/// So little room that it takes several sockets, whatever this system grants.
fn shared() -> CaptureSetup {
    CaptureSetup::on("lo").each(256 * 1024)
}

fn sockets_that_share_the_connections_hear_every_packet_once(
    _: &PrivateNetwork,
) -> Result<(), String> {
    const EACH: usize = 41;
    for address in [V4, V6] {
        if TcpListener::bind(address).is_err() {
            eprintln!("SKIPPED: {address}: there is no such address here");
            continue;
        }
        let datagrams = UdpSocket::bind(address).unwrap();
        let capture = Capture::start(&shared(), Instant::now()).unwrap();
        (0..EACH).for_each(|_| exchange(address));
        datagrams.send_to(b"x", datagrams.local_addr().unwrap()).unwrap();
        let recording = capture.stop().unwrap();
        let (heard, counts) = recording.segments();
        assert_eq!((counts.not_tcp, recording.drops.packets), (1, 0), "{counts:?}");
        assert!(recording.drops.exact, "the kernel was asked about each socket");
        assert_eq!((count(&heard, "S"), count(&heard, "S.")), (EACH, EACH), "{address}");
        assert_eq!(count(&heard, "F.") + count(&heard, "FP."), 2 * EACH);
        assert_eq!(payload(&heard), EACH * 9);
        assert!(heard.is_sorted_by_key(|segment| segment.at), "one after the other");
        let distinct: HashSet<_> = recording.packets.iter().map(|packet| &packet.bytes).collect();
        assert_eq!(distinct.len(), recording.packets.len(), "each once");
    }
    Ok(())
}

fn each_of_several_sockets_is_told_the_ports(_: &PrivateNetwork) -> Result<(), String> {
    for address in [V4, V6] {
        let Ok(server) = TcpListener::bind(address) else { continue };
        let asked = server.local_addr().unwrap();
        let setup = shared().ports([1, asked.port()]);
        let capture = Capture::start(&setup, Instant::now()).unwrap();
        let clients: Vec<_> = (0..41).map(|_| TcpStream::connect(asked).unwrap()).collect();
        (0..7).for_each(|_| exchange(address));
        let heard = segments(&capture.stop().unwrap());
        assert_eq!((count(&heard, "S"), heard.len()), (41, 3 * 41), "{address}");
        drop(clients);
    }
    Ok(())
}

/// As many packets as the kernel can hold, should nobody read one before the end.
fn connections_that_are_all_busy_at_once_are_heard_to_the_last_packet(
    _: &PrivateNetwork,
) -> Result<(), String> {
    const CONNECTIONS: usize = 64;
    const ROUNDS: usize = 17;
    let server = TcpListener::bind(V4).unwrap();
    let capture = hear();
    let mut ends: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            (client, server.accept().unwrap().0)
        })
        .collect();
    for _ in 0..ROUNDS {
        ends.iter_mut().for_each(|(client, _)| client.write_all(b"ask").unwrap());
        for (_, accepted) in &mut ends {
            accepted.read_exact(&mut [0; 3]).unwrap();
            accepted.write_all(b"answer").unwrap();
        }
        ends.iter_mut().for_each(|(client, _)| client.read_exact(&mut [0; 6]).unwrap());
    }
    let heard = segments(&capture.stop().unwrap());
    assert_eq!(count(&heard, "S"), CONNECTIONS);
    assert_eq!(payload(&heard), CONNECTIONS * ROUNDS * 9);
    Ok(())
}
