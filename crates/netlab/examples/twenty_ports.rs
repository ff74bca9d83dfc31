//! A network with twenty ports, and the connection that finds none.
//!
//! ```text
//! cargo run -p netlab --example twenty_ports
//! ```

use std::net::{TcpListener, TcpStream};

use netlab::{Counters, NetworkSettings};

// Without #[tokio::main]: only a process with one thread can leave its network.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = NetworkSettings { local_ports: Some((50_000, 50_019)), ..Default::default() };
    netlab::enter(&settings)?;
    let before = Counters::read()?;
    let server = TcpListener::bind("127.0.0.1:8080")?; // free, whatever else runs here
    let mut open = Vec::new();
    let refusal = loop {
        match TcpStream::connect(server.local_addr()?) {
            Ok(connection) => open.push(connection),
            Err(error) => break error,
        }
    };
    let counted = Counters::read()?.since(&before);
    let mut out = std::io::stdout().lock();
    use std::io::Write;
    writeln!(out, "{} connections, then: {refusal}", open.len())?;
    writeln!(out, "the kernel counts TcpActiveOpens {}", counted["TcpActiveOpens"])?;
    Ok(())
}
