//! What happens while somebody listens.
#![allow(dead_code, reason = "two tests use this, neither of them all of it")]

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Instant;

use evidence::Segment;
use packets::{Capture, CaptureSetup, Recording};

/// Begins to hear `lo`.
pub(crate) fn hear() -> Capture {
    Capture::start(&CaptureSetup::on("lo"), Instant::now()).unwrap()
}

/// Both ends of a new connection, and the listener, which is to stay.
pub(crate) fn connection(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let server = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    (server, client, accepted)
}

/// The client asks, the server answers and closes first.
pub(crate) fn exchange(address: &str) {
    let (_server, mut client, mut accepted) = connection(address);
    client.write_all(b"ask").unwrap();
    accepted.read_exact(&mut [0; 3]).unwrap();
    accepted.write_all(b"answer").unwrap();
    accepted.shutdown(Shutdown::Write).unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
}

/// The server closes with a request unread, which resets the connection.
pub(crate) fn reset(address: &str) {
    let (_server, mut client, accepted) = connection(address);
    client.write_all(b"ask").unwrap();
    assert_eq!(accepted.peek(&mut [0]).unwrap(), 1);
    drop(accepted);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// The client sends so much.
pub(crate) fn body(address: &str, len: usize) {
    let (_server, mut client, mut accepted) = connection(address);
    let reader = thread::spawn(move || accepted.read_exact(&mut vec![0; len]));
    client.write_all(&vec![b'x'; len]).unwrap();
    reader.join().unwrap().unwrap();
}

/// The TCP segments of a recording in which there is nothing else, and from which nothing is missing.
pub(crate) fn segments(recording: &Recording) -> Vec<Segment> {
    let (segments, counts) = recording.segments();
    let drops = recording.drops;
    assert_eq!((drops.packets, counts.malformed + counts.cut_short), (0, 0), "{counts:?}");
    segments
}

/// How many bytes of payload were sent, each counted once: a kernel in doubt sends some again.
pub(crate) fn payload(segments: &[Segment]) -> usize {
    let bytes_of = |segment: &Segment| {
        let (ends, seq) = ((segment.source, segment.destination), segment.seq);
        (0..segment.payload_bytes).map(move |offset| (ends, seq.wrapping_add(offset)))
    };
    segments.iter().flat_map(bytes_of).collect::<HashSet<_>>().len()
}

/// How often each kind of flags was seen, in tcpdump's letters.
pub(crate) fn count(segments: &[Segment], flags: &str) -> usize {
    segments.iter().filter(|segment| segment.flags.to_string() == flags).count()
}

/// Runs another program to its end; `Err` if there is none of that name.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(name).args(arguments).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout).unwrap())
}
