//! How many connections wait to be accepted.
//!
//! The kernel opens them by itself: a client is connected, and may send, before the server knows of
//! it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use evidence::{Observed, ServerAddr, TcpState};
use serde_json::json;
use socket_table::SocketFilter;

use super::output::LineOutput;
use crate::cli::ShowFormat;

/// How often the queue is looked at. What comes and goes in between is not seen.
const LOOK: Duration = Duration::from_millis(100);

/// The accept queue of a listening socket at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Connections that are open and not accepted.
    pub(crate) waiting: u32,
    /// The limit that the kernel has granted. Linux lets one more wait, and leaves the clients
    /// beyond that without an answer, so that they try again.
    pub(crate) backlog: u32,
}

impl Queue {
    /// How many connections may wait.
    pub(crate) fn room(self) -> u64 {
        u64::from(self.backlog) + 1
    }
}

/// Reads it from the kernel's table of sockets, which shows it in the places where a connection has
/// its unread and its unsent bytes. `None` where no system tells (not Linux).
pub(crate) fn read(address: ServerAddr) -> Option<Queue> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let filter = SocketFilter::default().port(address.port()).state(TcpState::Listen);
    let table = socket_table::snapshot(&filter).ok()?;
    let is_it = |socket: &&evidence::Socket| ServerAddr::new(socket.local) == address;
    let socket = table.sockets.iter().find(is_it)?;
    match (&socket.recv_queue, &socket.send_queue) {
        (Observed::Known(waiting), Observed::Known(backlog)) => {
            Some(Queue { waiting: *waiting, backlog: *backlog })
        }
        _ => None,
    }
}

/// Writes a line each time another number of connections waits, for ever. At first nobody does.
pub(crate) async fn follow(
    address: ServerAddr,
    format: ShowFormat,
    started: Instant,
    out: &LineOutput,
) {
    let mut before = 0;
    loop {
        if let Some(queue) = read(address).filter(|queue| queue.waiting != before) {
            before = queue.waiting;
            let mut line = Vec::new();
            // Writing into a buffer does not fail.
            let _ = write(queue, format, started.elapsed(), &mut line);
            out.write(&line);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn write(queue: Queue, format: ShowFormat, at: Duration, out: &mut impl Write) -> io::Result<()> {
    let (Queue { waiting, backlog }, room) = (queue, queue.room());
    match format {
        ShowFormat::Text => {
            let (ms, s) = (at.as_secs_f64() * 1e3, if waiting == 1 { "" } else { "s" });
            writeln!(
                out,
                "{ms:>10.3}  queue     {waiting} connection{s} waiting, of {room} at the most \
                 (backlog {backlog})"
            )?;
        }
        ShowFormat::Jsonl => {
            let at_us = super::us(at);
            let object = json!({
                "event": "queue", "at_us": at_us,
                "waiting_connections": waiting, "backlog": backlog, "room_connections": room,
            });
            writeln!(out, "{object}")?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(waiting: u32, format: ShowFormat) -> String {
        let mut out = Vec::new();
        let queue = Queue { waiting, backlog: 3 };
        write(queue, format, Duration::from_micros(1234), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_says_how_many_wait() {
        assert_eq!(
            line(1, ShowFormat::Text),
            "     1.234  queue     1 connection waiting, of 4 at the most (backlog 3)\n"
        );
        assert_eq!(
            line(4, ShowFormat::Text),
            "     1.234  queue     4 connections waiting, of 4 at the most (backlog 3)\n"
        );
        let expected = r#"{"at_us":1234,"backlog":3,"event":"queue","room_connections":4,"waiting_connections":4}"#;
        assert_eq!(line(4, ShowFormat::Jsonl).trim_end(), expected);
    }
}
