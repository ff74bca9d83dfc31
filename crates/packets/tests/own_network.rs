//! The machine's own network, of which only the ports of a run are heard; this takes `CAP_NET_RAW`.
#![cfg(target_os = "linux")]

#[path = "private_network/scenes.rs"]
mod scenes;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use evidence::Segment;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packets::{
    Capture, CaptureError, CaptureSetup, LinkLayer, PcapWriter, SectionNotes, SequenceBook,
    SequenceNumbers,
};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};

/// A capture of some ports of `lo`; `None`, said aloud, where this process may not hear them.
fn hear(ports: &[u16]) -> Option<Capture> {
    let setup = CaptureSetup::on("lo").ports(ports.iter().copied());
    match Capture::start(&setup, Instant::now()) {
        Err(CaptureError::Refused(refused)) => {
            assert!(refused.to_string().starts_with("no packets: "), "{refused}");
            eprintln!("SKIPPED: packets of the machine's own network: {refused}");
            None
        }
        started => Some(started.unwrap()),
    }
}

#[test]
fn of_the_machine_s_own_network_only_the_run_s_ports_are_heard() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(capture) = hear(&[address.port()]) else { return };
    let _elsewhere = TcpStream::connect(other.local_addr().unwrap()).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let (segments, counts) = capture.stop().unwrap().segments();
    assert_eq!(segments.len(), 3, "a handshake: {segments:?}");
    assert_eq!(counts.total(), 3);
    assert!(segments.iter().all(|one| one.source == address || one.destination == address));
}

/// The segments in a file of tcpdump's, which may still grow.
fn segments_of(path: &Path) -> Vec<Segment> {
    let file = fs::read(path).unwrap_or_default();
    let mut segments = Vec::new();
    let Ok(mut reader) = LegacyPcapReader::new(1 << 20, file.as_slice()) else { return segments };
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                if let PcapBlockOwned::Legacy(packet) = block {
                    let (link, len) = (LinkLayer::Ethernet, packet.origlen as usize);
                    segments.extend(packets::decode(Duration::ZERO, link, packet.data, len));
                }
                reader.consume(offset);
            }
            Err(PcapError::Incomplete(_)) => {
                if reader.reader_exhausted() {
                    return segments; // the last block is not there as a whole yet
                }
                reader.refill().unwrap();
            }
            Err(_) => return segments,
        }
    }
}

/// All that a segment says, but for the time.
fn facts(segments: &[Segment]) -> Vec<String> {
    let timeless = segments.iter().map(|one| Segment { at: Duration::ZERO, ..one.clone() });
    let mut facts: Vec<String> = timeless.map(|segment| format!("{segment:?}")).collect();
    facts.sort_unstable();
    facts
}

#[test]
fn tcpdump_beside_the_capture_hears_the_same_packets() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let Some(capture) = hear(&[address.port()]) else { return };
    let file = env::temp_dir().join(format!("packets-beside-{}.pcap", std::process::id()));
    let filter = format!("tcp port {}", address.port());
    let tcpdump = Command::new("tcpdump")
        .args(["-i", "lo", "-n", "-U", "--immediate-mode", "-s", "200", "-B", "32768"])
        .args(["-Z", "root", "-w"])
        .arg(&file)
        .arg(filter)
        .stderr(Stdio::piped())
        .spawn();
    let mut tcpdump = match tcpdump {
        Ok(tcpdump) => tcpdump,
        Err(error) => return eprintln!("SKIPPED: tcpdump beside the capture: {error}"),
    };
    let mut said = BufReader::new(tcpdump.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("listening on")), "tcpdump does not listen");
    for body in [3, 50_021, 200_003] {
        let mut client = TcpStream::connect(address).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        let reader = thread::spawn(move || accepted.read_exact(&mut vec![0; body]));
        client.write_all(&vec![b'x'; body]).unwrap();
        reader.join().unwrap().unwrap();
    }
    // What the kernel sends late, such as an acknowledgement that waits for company.
    thread::sleep(Duration::from_millis(300));
    let (heard, _) = capture.stop().unwrap().segments();
    let deadline = Instant::now() + Duration::from_secs(10);
    while segments_of(&file).len() < heard.len() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    kill(Pid::from_raw(i32::try_from(tcpdump.id()).unwrap()), Signal::SIGINT).unwrap();
    tcpdump.wait().unwrap();
    let beside = segments_of(&file);
    fs::remove_file(file).unwrap();
    // It says how many it was not quick enough for: a line that begins with the number.
    if !said.any(|line| line.starts_with("0 packets dropped")) {
        return eprintln!("SKIPPED: tcpdump beside the capture: it has lost packets itself");
    }
    let (beside, heard) = (facts(&beside), facts(&heard));
    let missing = |some: &[String], all: &[String]| -> Vec<String> {
        some.iter().filter(|fact| !all.contains(fact)).cloned().collect()
    };
    assert!(missing(&beside, &heard).is_empty(), "only tcpdump: {:?}", missing(&beside, &heard));
    assert!(missing(&heard, &beside).is_empty(), "not tcpdump: {:?}", missing(&heard, &beside));
    assert_eq!(beside.len(), heard.len(), "each once");
}

/// The address of a port of `host` that is free.
fn free(host: &str) -> SocketAddr {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// With its numbers counted as by default, and as they are in the header.
#[test]
fn tcpdump_prints_the_same_lines() {
    if let Err(why) = scenes::program("tcpdump", &["--version"]) {
        return eprintln!("SKIPPED: tcpdump's lines: {why}");
    }
    let v6 = TcpListener::bind("[::1]:0").is_ok();
    let (answered, long, reset) = (free("127.0.0.1"), free("127.0.0.1"), free("127.0.0.1"));
    let answered_v6 = free(if v6 { "::1" } else { "127.0.0.1" });
    let ports = [answered, answered_v6, long, reset].map(|address| address.port());
    let Some(capture) = hear(&ports) else { return };
    scenes::exchange(&answered.to_string());
    scenes::exchange(&answered_v6.to_string());
    scenes::body(&long.to_string(), 30_011);
    scenes::reset(&reset.to_string());
    let recording = capture.stop().unwrap();
    let heard = scenes::segments(&recording);
    assert!(scenes::count(&heard, "R.") > 0 && scenes::payload(&heard) > 30_011);
    let path = env::temp_dir().join(format!("packets-lines-{}.pcapng", std::process::id()));
    let mut writer = PcapWriter::begin(Vec::new(), &SectionNotes::default()).unwrap();
    writer.recording(&recording, |_| Vec::new()).unwrap();
    fs::write(&path, writer.finish().unwrap()).unwrap();
    for (numbers, flags) in
        [(SequenceNumbers::AsTcpdump, "-nt"), (SequenceNumbers::Absolute, "-ntS")]
    {
        // The file is root's, so tcpdump has to stay root if this is.
        let arguments = [flags, "-Z", "root", "-r", path.to_str().unwrap()];
        let printed = scenes::program("tcpdump", &arguments).unwrap();
        let mut book = SequenceBook::new(numbers);
        let lines: Vec<String> = heard.iter().map(|segment| book.line(segment)).collect();
        assert_eq!(printed.lines().collect::<Vec<_>>(), lines);
    }
    fs::remove_file(path).unwrap();
}
