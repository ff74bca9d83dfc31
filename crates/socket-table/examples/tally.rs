//! The states of all connections of one server port, counted by side, as the kernel has them now.
//!
//! ```text
//! cargo run -p socket-table --example tally -- 8080
//! ```

use std::collections::BTreeMap;
use std::io::Write;

use evidence::TcpState;
use socket_table::SocketFilter;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: tally PORT")?.parse()?;
    // Declared a server's: so every socket's side is known, though nobody may listen any more.
    let table = socket_table::snapshot(&SocketFilter::default().port(port).server(port))?;
    let mut tally = BTreeMap::new();
    for socket in table.sockets.iter().filter(|socket| socket.state != TcpState::Listen) {
        *tally.entry((socket.side, socket.state)).or_insert(0) += 1;
    }
    let mut out = std::io::stdout().lock();
    for ((side, state), count) in tally {
        let side = side.map_or("no side", evidence::Side::name);
        writeln!(out, "{side:<8} {:<12} {count}", state.name())?;
    }
    Ok(())
}
