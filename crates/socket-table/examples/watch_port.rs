//! Every change of state on one port for ten seconds, looked at every 20 ms. A state that was
//! shorter than that is not seen, but told in brackets where it must have been passed.
//!
//! ```text
//! cargo run -p socket-table --example watch_port -- 8080
//! ```

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use socket_table::SocketFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: watch_port PORT")?.parse()?;
    let every = Duration::from_millis(20);
    let looks = socket_table::watch(SocketFilter::default().port(port).server(port), every);
    let mut looks = pin!(looks.take_until(tokio::time::sleep(Duration::from_secs(10))));
    let mut out = std::io::stdout();
    while let Some(look) = looks.next().await {
        for change in look?.changes {
            let passed: String =
                change.passed.iter().map(|state| format!(" -> ({})", state.name())).collect();
            let (socket, from, to) = (change.socket, change.from.name(), change.to.name());
            writeln!(out, "{} > {}: {from}{passed} -> {to}", socket.local, socket.peer)?;
        }
    }
    Ok(())
}
