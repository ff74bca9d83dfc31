//! The machine's own network, of which only the ports of a run are heard; this takes `CAP_NET_RAW`.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use packets::{Capture, CaptureError, CaptureSetup};

#[test]
fn of_the_machine_s_own_network_only_the_run_s_ports_are_heard() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = CaptureSetup::on("lo").ports([address.port()]);
    let capture = match Capture::start(&setup, Instant::now()) {
        Err(CaptureError::Refused(refused)) => {
            assert!(refused.to_string().starts_with("no packets: "), "{refused}");
            eprintln!("SKIPPED: packets of the machine's own network: {refused}");
            return;
        }
        started => started.unwrap(),
    };
    let _elsewhere = TcpStream::connect(other.local_addr().unwrap()).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let (segments, counts) = capture.stop().unwrap().segments();
    assert_eq!(segments.len(), 3, "a handshake: {segments:?}");
    assert_eq!(counts.total(), 3);
    assert!(segments.iter().all(|one| one.source == address || one.destination == address));
}
