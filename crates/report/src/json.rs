//! Reports for programs. Every key of a number ends in its unit; `null` is what nobody could see
//! or what does not exist.

mod packets;
mod run;

use std::collections::BTreeMap;

use evidence::{Observed, Side, SocketTable, TcpState};
use serde::Serialize;

use crate::words;

pub use run::{EventRow, run};

/// The version of the layout. It grows when a key changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// One row of a socket table.
#[derive(Clone, Debug, Serialize)]
pub struct SocketRow {
    /// This end's address; IPv4 on a dual-stack socket is told as plain IPv4, so that the two ends
    /// of a connection match.
    pub local: String,
    /// The other end's address; `null` for a listening socket.
    pub peer: Option<String>,
    /// `client` or `server`; `null` if it cannot be told, and for a listening socket.
    pub side: Option<&'static str>,
    /// The state, as `netstat` prints it.
    pub state: &'static str,
    /// Bytes that the process has not read yet, as the kernel counts them: a FIN that it has not
    /// read counts 1. `null` for a listening socket.
    pub recv_queue_bytes: Option<u32>,
    /// Bytes that the peer has not acknowledged yet; `null` for a listening socket.
    pub send_queue_bytes: Option<u32>,
    /// Of a listening socket: what waits to be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_queue: Option<AcceptQueue>,
    /// The running timer, if any.
    pub timer: Option<TimerRow>,
    /// The processes that hold it, none in `TIME_WAIT`; `null` if they cannot be seen.
    pub owners: Option<Vec<OwnerRow>>,
}

/// The connections that wait at a listening socket.
#[derive(Clone, Debug, Serialize)]
pub struct AcceptQueue {
    /// Connections that wait to be accepted.
    pub waiting_connections: Option<u32>,
    /// How many may wait.
    pub backlog_connections: Option<u32>,
}

/// A running kernel timer.
#[derive(Clone, Debug, Serialize)]
pub struct TimerRow {
    /// `on` (retransmission), `keepalive`, `timewait` or `persist`, as `ss` prints it.
    pub kind: &'static str,
    /// The time left.
    pub left_ms: u64,
}

/// A process that holds a socket.
#[derive(Clone, Debug, Serialize)]
pub struct OwnerRow {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub process: String,
}

/// How many sockets there are of each kind.
#[derive(Clone, Debug, Serialize)]
pub struct TallyRow {
    /// Client ends, by state.
    pub client: BTreeMap<&'static str, usize>,
    /// Server ends, by state.
    pub server: BTreeMap<&'static str, usize>,
    /// Ends of unknown side, by state.
    pub side_unknown: BTreeMap<&'static str, usize>,
    /// Listening sockets.
    pub listening: usize,
}

impl From<&evidence::Socket> for SocketRow {
    fn from(socket: &evidence::Socket) -> Self {
        let (received, sent) = (socket.recv_queue.known(), socket.send_queue.known());
        let listens = socket.state == TcpState::Listen;
        let queue = AcceptQueue { waiting_connections: received, backlog_connections: sent };
        Self {
            local: words::address(socket.local),
            peer: (!listens).then(|| words::address(socket.peer)),
            side: socket.side.map(Side::name),
            state: socket.state.name(),
            recv_queue_bytes: received.filter(|_| !listens),
            send_queue_bytes: sent.filter(|_| !listens),
            accept_queue: listens.then_some(queue),
            timer: socket.timer.known().flatten().map(TimerRow::from),
            owners: match &socket.owners {
                Observed::Known(owners) => Some(owners.iter().map(OwnerRow::from).collect()),
                Observed::NotObservable => None,
            },
        }
    }
}

impl From<evidence::Timer> for TimerRow {
    fn from(timer: evidence::Timer) -> Self {
        let left_ms = u64::try_from(timer.left.as_millis()).unwrap_or(u64::MAX);
        Self { kind: timer.kind.name(), left_ms }
    }
}

impl From<&evidence::Owner> for OwnerRow {
    fn from(owner: &evidence::Owner) -> Self {
        Self { pid: owner.pid, process: owner.process.clone() }
    }
}

impl From<&SocketTable> for TallyRow {
    fn from(table: &SocketTable) -> Self {
        let mut tally = Self {
            client: BTreeMap::new(),
            server: BTreeMap::new(),
            side_unknown: BTreeMap::new(),
            listening: 0,
        };
        for socket in &table.sockets {
            let counts = match socket.side {
                _ if socket.state == TcpState::Listen => {
                    tally.listening += 1;
                    continue;
                }
                Some(Side::Client) => &mut tally.client,
                Some(Side::Server) => &mut tally.server,
                None => &mut tally.side_unknown,
            };
            *counts.entry(socket.state.name()).or_default() += 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn socket(side: Option<Side>, local: &str, peer: &str, state: TcpState) -> evidence::Socket {
        evidence::Socket {
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            state,
            side,
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::Known(None),
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        }
    }

    /// A table's rows and what they come to.
    #[derive(Serialize)]
    struct Sockets {
        sockets: Vec<SocketRow>,
        tally: TallyRow,
    }

    fn written(sockets: Vec<evidence::Socket>) -> String {
        let table = SocketTable { sockets };
        let sockets = table.sockets.iter().map(SocketRow::from).collect();
        serde_json::to_string_pretty(&Sockets { sockets, tally: TallyRow::from(&table) }).unwrap()
    }

    #[test]
    fn every_number_says_its_unit_and_null_is_what_nobody_could_see() {
        let hello = evidence::Owner { pid: 4711, process: "hello".to_owned() };
        let left = Duration::from_micros(57_300_999);
        let timer = evidence::Timer { kind: evidence::TimerKind::TimeWait, left };
        let listening = evidence::Socket {
            send_queue: Observed::Known(128),
            owners: Observed::Known([hello].into()),
            ..socket(None, "127.0.0.1:8080", "0.0.0.0:0", TcpState::Listen)
        };
        let time_wait = evidence::Socket {
            timer: Observed::Known(Some(timer)),
            owners: Observed::Known([].into()),
            ..socket(Some(Side::Client), "127.0.0.1:40210", "127.0.0.1:8080", TcpState::TimeWait)
        };
        let mapped = "[::ffff:127.0.0.1]:8080";
        let dual_stack = evidence::Socket {
            recv_queue: Observed::NotObservable,
            ..socket(Some(Side::Server), mapped, "[::ffff:127.0.0.1]:40212", TcpState::Established)
        };
        insta::assert_snapshot!(written(vec![listening, time_wait, dual_stack]), @r#"
        {
          "sockets": [
            {
              "local": "127.0.0.1:8080",
              "peer": null,
              "side": null,
              "state": "LISTEN",
              "recv_queue_bytes": null,
              "send_queue_bytes": null,
              "accept_queue": {
                "waiting_connections": 0,
                "backlog_connections": 128
              },
              "timer": null,
              "owners": [
                {
                  "pid": 4711,
                  "process": "hello"
                }
              ]
            },
            {
              "local": "127.0.0.1:40210",
              "peer": "127.0.0.1:8080",
              "side": "client",
              "state": "TIME_WAIT",
              "recv_queue_bytes": 0,
              "send_queue_bytes": 0,
              "timer": {
                "kind": "timewait",
                "left_ms": 57300
              },
              "owners": []
            },
            {
              "local": "127.0.0.1:8080",
              "peer": "127.0.0.1:40212",
              "side": "server",
              "state": "ESTABLISHED",
              "recv_queue_bytes": null,
              "send_queue_bytes": 0,
              "timer": null,
              "owners": null
            }
          ],
          "tally": {
            "client": {
              "TIME_WAIT": 1
            },
            "server": {
              "ESTABLISHED": 1
            },
            "side_unknown": {},
            "listening": 1
          }
        }
        "#);
    }

    #[test]
    fn nothing_found_is_an_empty_list_and_not_an_error() {
        insta::assert_snapshot!(written(vec![]), @r#"
        {
          "sockets": [],
          "tally": {
            "client": {},
            "server": {},
            "side_unknown": {},
            "listening": 0
          }
        }
        "#);
    }
}
