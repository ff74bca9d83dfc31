//! The price of hearing packets, and how many are lost: a client and a server that keep both of their
//! threads busy, with nobody who listens, and with an ear.
//!
//! ```text
//! cargo bench -p packets
//! cargo bench -p packets --profile dev
//! ```

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: packets are heard on Linux alone");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use netlab::{Counters, Error, NetworkSettings};
    use packets::{Capture, CaptureSetup};

    const CONNECTIONS: usize = 64;
    const ROUNDS: usize = 4000;
    /// What most systems grant to one socket (`net.core.rmem_max` before Linux 6.17).
    const LITTLE: usize = 212_992;
    /// What a GET and a response of eleven bytes come to.
    const REQUEST: usize = 41;
    const RESPONSE: usize = 128;

    pub(super) fn main() {
        if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
            return;
        }
        let network = match netlab::enter(&NetworkSettings::default()) {
            Ok(network) => network,
            Err(why @ Error::Refused(_)) => return eprintln!("SKIPPED: {why}"),
            Err(error) => panic!("{error}"),
        };
        network.as_on_a_wire().unwrap();
        println!("                     packets   a second     heard   dropped   ear's us a packet");
        measure("nobody", None);
        measure("an ear", Some(CaptureSetup::on("lo").keep(512)));
        measure("whole packets", Some(CaptureSetup::on("lo")));
        measure("little room", Some(CaptureSetup::on("lo").keep(512).each(LITTLE)));
    }

    fn measure(name: &str, setup: Option<CaptureSetup>) {
        let before = segments();
        let start = Instant::now();
        let capture = setup.map(|setup| Capture::start(&setup, start).unwrap());
        load();
        let took = start.elapsed();
        let sent = segments() - before;
        let busy = ear_busy();
        let rate = sent as f64 / took.as_secs_f64();
        let told = capture.map_or(String::new(), |capture| {
            let heard = capture.stop().unwrap();
            let (packets, drops) = (heard.packets.len(), heard.drops.packets);
            let each = busy.as_secs_f64() * 1e6 / packets.max(1) as f64;
            format!("  {packets:8}  {drops:8}  {each:18.2}")
        });
        println!("{name:16}  {sent:10}  {rate:9.0}{told}");
    }

    fn segments() -> u64 {
        Counters::read().unwrap().get("TcpOutSegs").unwrap()
    }

    /// The time that the threads that hear packets have been at work.
    fn ear_busy() -> Duration {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let busy = |task: fs::DirEntry| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = times.split(' ').next()?.parse().ok()?;
            (name.trim() == "packets").then(|| Duration::from_nanos(nanos))
        };
        tasks.filter_map(|task| busy(task.ok()?)).sum()
    }

    /// Requests on all connections at once, and their responses, many times.
    fn load() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            clients.push(TcpStream::connect(address).unwrap());
            servers.push(listener.accept().unwrap().0);
        }
        let server = thread::spawn(move || {
            for server in (0..ROUNDS).flat_map(|_| &servers) {
                let mut server: &TcpStream = server;
                server.read_exact(&mut [0; REQUEST]).unwrap();
                server.write_all(&[b'x'; RESPONSE]).unwrap();
            }
        });
        for _ in 0..ROUNDS {
            clients.iter().for_each(|mut client| client.write_all(&[b'x'; REQUEST]).unwrap());
            clients.iter().for_each(|mut client| client.read_exact(&mut [0; RESPONSE]).unwrap());
        }
        server.join().unwrap();
    }
}
