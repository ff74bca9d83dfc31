//! What a request and its response put on the wire, packet by packet, and the states of both ends.
//!
//! ```text
//! cargo run -p packets --example one_exchange [-- FILE.pcapng]
//! ```
//!
//! With a file, Wireshark shows the same.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use evidence::{HeardAt, TcpStory};
use netlab::NetworkSettings;
use packets::{
    Capture, CaptureSetup, Overwrite, PcapFile, PcapWriter, SectionNotes, SequenceBook,
    SequenceNumbers,
};

/// One request, one response; the server closes first.
fn exchange(server: &TcpListener) -> Result<TcpStream, Box<dyn Error>> {
    let mut client = TcpStream::connect(server.local_addr()?)?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let (mut accepted, _) = server.accept()?;
    let mut request = [0; 100];
    let _ = accepted.read(&mut request)?;
    accepted.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
    drop(accepted);
    client.read_to_end(&mut Vec::new())?;
    Ok(client)
}

fn main() -> Result<(), Box<dyn Error>> {
    netlab::enter(&NetworkSettings::default())?.as_on_a_wire()?;
    let server = TcpListener::bind("127.0.0.1:8080")?;
    let capture = Capture::start(&CaptureSetup::on("lo"), Instant::now())?;
    let client = exchange(&server)?;
    let client_addr = client.local_addr()?;
    drop(client);
    let recording = capture.stop()?;

    let mut out = std::io::stdout().lock();
    let (segments, _) = recording.segments();
    let mut book = SequenceBook::new(SequenceNumbers::Relative);
    let mut story = TcpStory::between(client_addr, server.local_addr()?);
    for segment in &segments {
        writeln!(out, "{:>7} µs  {}", segment.at.as_micros(), book.line(segment))?;
        for change in story.hear(segment, HeardAt::Both) {
            let who = if change.end == client_addr { "client" } else { "server" };
            writeln!(out, "{:>14} {} -> {}", who, change.from, change.to)?;
        }
    }
    writeln!(out, "{} packets; {}", recording.packets.len(), recording.drops)?;

    if let Some(path) = std::env::args().nth(1) {
        let file = PcapFile::create(&path, Overwrite::Never)?;
        let application = Some("packets, example one_exchange".to_owned());
        let notes = SectionNotes { application, ..SectionNotes::default() };
        let mut writer = PcapWriter::begin(file, &notes)?;
        writer.recording(&recording, |_| Vec::new())?;
        writer.finish()?.keep()?;
        writeln!(out, "written to {path}")?;
    }
    Ok(())
}
