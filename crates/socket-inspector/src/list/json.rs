//! Sockets in depth for programs.

use std::io::{self, Write};
use std::time::Duration;

use evidence::{Inspected, SocketTable};
use serde::Serialize;

use report::json::{SCHEMA, SocketRow, TallyRow};

/// Sockets in depth.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SocketList {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// The rows, in the order they were given.
    pub(crate) sockets: Vec<InspectedRow>,
    /// How many there are of each kind.
    pub(crate) tally: TallyRow,
    /// The things that this user may not see, in words.
    pub(crate) not_seen: Vec<String>,
}

/// One socket.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InspectedRow {
    /// Its row of the table.
    #[serde(flatten)]
    pub(crate) socket: SocketRow,
    /// The memory of TCP.
    pub(crate) tcp_info: TcpInfoRow,
    /// The path of its control group (version 2).
    pub(crate) cgroup: Option<String>,
}

/// The memory of TCP; `null` is what this kernel, or this state, does not tell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TcpInfoRow {
    /// The smoothed round-trip time.
    pub(crate) rtt_us: Option<u64>,
    /// Segments sent again.
    pub(crate) retransmitted_segments: Option<u32>,
    /// The time since data was last sent.
    pub(crate) last_sent_ms: Option<u64>,
    /// The time since data was last received.
    pub(crate) last_received_ms: Option<u64>,
    /// Data bytes sent.
    pub(crate) sent_bytes: Option<u64>,
    /// Acknowledged, SYN and FIN included.
    pub(crate) acked_bytes: Option<u64>,
    /// Received, FIN included.
    pub(crate) received_bytes: Option<u64>,
}

/// Writes `rows` as one JSON object and a line end.
///
/// # Errors
/// Those of `out`.
pub(crate) fn inspected(rows: &[Inspected], out: &mut impl Write) -> io::Result<()> {
    let sockets = rows.iter().map(|row| row.socket.clone()).collect();
    let list = SocketList {
        schema: SCHEMA,
        sockets: rows.iter().map(InspectedRow::from).collect(),
        tally: TallyRow::from(&SocketTable { sockets }),
        not_seen: crate::list::rows::owners_unseen(rows).into_iter().collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &list)?;
    writeln!(out)
}

impl From<&Inspected> for InspectedRow {
    fn from(row: &Inspected) -> Self {
        let Inspected { socket, info, cgroup } = row;
        let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let tcp_info = TcpInfoRow {
            rtt_us: info.rtt.known().map(us),
            retransmitted_segments: info.retransmits.known(),
            last_sent_ms: info.since_sent().known().map(ms),
            last_received_ms: info.since_received().known().map(ms),
            sent_bytes: row.sent_once().known(),
            acked_bytes: info.bytes_acked.known(),
            received_bytes: info.bytes_received.known(),
        };
        Self { socket: SocketRow::from(socket), tcp_info, cgroup: cgroup.clone().known() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tcp_remembers_stands_beside_the_row() {
        let mut out = Vec::new();
        let open = crate::list::rows::tests::scene().remove(1);
        inspected(&[open], &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {
          "schema": 1,
          "sockets": [
            {
              "local": "127.0.0.1:40210",
              "peer": "127.0.0.1:8080",
              "side": "client",
              "state": "ESTABLISHED",
              "recv_queue_bytes": 57423,
              "send_queue_bytes": 0,
              "timer": null,
              "owners": [
                {
                  "pid": 4712,
                  "process": "sequential"
                }
              ],
              "tcp_info": {
                "rtt_us": 53,
                "retransmitted_segments": 0,
                "last_sent_ms": 4120,
                "last_received_ms": 4100,
                "sent_bytes": 83,
                "acked_bytes": 84,
                "received_bytes": 300130
              },
              "cgroup": "/user.slice/user-1000.slice/session-2.scope"
            }
          ],
          "tally": {
            "client": {
              "ESTABLISHED": 1
            },
            "server": {},
            "side_unknown": {},
            "listening": 0
          },
          "not_seen": []
        }
        "#);
    }
}
