//! Two hosts with 20 ms between them, and the packets of one connection.
//!
//! ```text
//! cargo run -p netlab --example two_hosts
//! ```

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use netlab::{CableLaw, CablePlan, Fate, HostEnd, HostsPlan, Passing, SERVER_HOST, enter_hosts};

/// A law that loses nothing, and tells of every packet.
struct Tell(Sender<(Instant, HostEnd, usize)>);

impl CableLaw for Tell {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        let _ = self.0.send((packet.at, packet.from, packet.bytes.len()));
        Fate::Pass
    }
}

// Without #[tokio::main]: only a process with one thread can leave its network.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cable = CablePlan { delay: Duration::from_millis(20), ..CablePlan::default() };
    let (tell, told) = channel();
    let plan = HostsPlan { cable, ..HostsPlan::default() };
    let hosts = enter_hosts(&plan, Box::new(Tell(tell)))?;
    // Bound in the thread of the server's host, so it listens there; accepted from here.
    let listener = hosts.server.run(|| TcpListener::bind((SERVER_HOST, 8080)))??;
    let begun = Instant::now();
    let mut client = TcpStream::connect((SERVER_HOST, 8080))?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"question")?;
    server.read_exact(&mut [0; 8])?;
    server.write_all(b"answer")?;
    client.read_exact(&mut [0; 6])?;
    drop((client, server));
    std::thread::sleep(Duration::from_millis(100)); // for the last packets
    hosts.cable.unplug()?;
    let mut out = std::io::stdout().lock();
    for (at, from, bytes) in told {
        let ms = at.duration_since(begun).as_secs_f64() * 1e3;
        writeln!(out, "{ms:6.1} ms  {bytes:3} bytes from the {from}'s host")?;
    }
    Ok(())
}
