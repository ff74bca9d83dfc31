//! Rows for spreadsheets (RFC 4180).

use std::io::{self, Write};

use evidence::{Inspected, Observed, Side, TcpState};

use report::words;

/// The names of the fields. A number's name ends in its unit; an empty field is what nobody could
/// see or what does not exist.
const HEADER: [&str; 19] = [
    "local",
    "peer",
    "side",
    "state",
    "recv_queue_bytes",
    "send_queue_bytes",
    "waiting_connections",
    "backlog_connections",
    "timer",
    "timer_left_ms",
    "rtt_us",
    "retransmits",
    "bytes_sent",
    "bytes_acked",
    "bytes_received",
    "last_sent_ms",
    "last_received_ms",
    "cgroup",
    "owners",
];

/// Writes a header and one record a socket.
///
/// # Errors
/// Those of `out`.
pub(crate) fn sockets(rows: &[Inspected], out: &mut impl Write) -> io::Result<()> {
    record(&HEADER.map(str::to_owned), out)?;
    rows.iter().try_for_each(|row| record(&fields(row), out))
}

fn fields(row: &Inspected) -> [String; HEADER.len()] {
    let Inspected { socket, info, cgroup } = row;
    fn told<T: ToString>(fact: Option<T>) -> String {
        fact.map(|fact| fact.to_string()).unwrap_or_default()
    }
    let listens = socket.state == TcpState::Listen;
    let (received, sent) = (socket.recv_queue.known(), socket.send_queue.known());
    let timer = socket.timer.known().flatten();
    let owners = match &socket.owners {
        Observed::Known(owners) => words::owners(owners),
        Observed::NotObservable => words::UNSEEN.to_owned(),
    };
    [
        words::address(socket.local),
        told((!listens).then(|| words::address(socket.peer))),
        told(socket.side.map(Side::name)),
        socket.state.name().to_owned(),
        told(received.filter(|_| !listens)),
        told(sent.filter(|_| !listens)),
        told(received.filter(|_| listens)),
        told(sent.filter(|_| listens)),
        told(timer.map(|timer| timer.kind.name())),
        told(timer.map(|timer| timer.left.as_millis())),
        told(info.rtt.known().map(|rtt| rtt.as_micros())),
        told(info.retransmits.known()),
        told(row.sent_once().known()),
        told(info.bytes_acked.known()),
        told(info.bytes_received.known()),
        told(info.since_sent().known().map(|age| age.as_millis())),
        told(info.since_received().known().map(|age| age.as_millis())),
        words::printable(cgroup.as_ref().known().map_or("", |path| path)),
        owners,
    ]
}

/// Fields with commas between them. Those with a comma, a quote or a line end are quoted, their
/// quotes doubled.
fn record(fields: &[String], out: &mut impl Write) -> io::Result<()> {
    for (n, field) in fields.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        if field.contains([',', '"', '\r', '\n']) {
            write!(out, "{comma}\"{}\"", field.replace('"', "\"\""))?;
        } else {
            write!(out, "{comma}{field}")?;
        }
    }
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Owner;

    #[test]
    fn every_record_has_every_field() {
        let mut out = Vec::new();
        sockets(&crate::list::rows::tests::scene(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.split(',').count() == HEADER.len()), "{text}");
        let records: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let field = |n: usize| records.iter().map(|record| record[n]).collect::<Vec<_>>();
        let fields: Vec<String> = (0..HEADER.len()).map(|n| field(n).join(" | ")).collect();
        insta::assert_snapshot!(fields.join("\n"), @r"
        local | 127.0.0.1:8080 | 127.0.0.1:40210 | 127.0.0.1:40208
        peer |  | 127.0.0.1:8080 | 127.0.0.1:8080
        side |  | client | client
        state | LISTEN | ESTABLISHED | TIME_WAIT
        recv_queue_bytes |  | 57423 | 0
        send_queue_bytes |  | 0 | 0
        waiting_connections | 0 |  | 
        backlog_connections | 128 |  | 
        timer |  |  | timewait
        timer_left_ms |  |  | 57300
        rtt_us |  | 53 | 
        retransmits |  | 0 | 
        bytes_sent |  | 83 | 
        bytes_acked |  | 84 | 
        bytes_received |  | 300130 | 
        last_sent_ms |  | 4120 | 
        last_received_ms |  | 4100 | 
        cgroup |  | /user.slice/user-1000.slice/session-2.scope | 
        owners | ? | sequential (4712) |
        ");
    }

    #[test]
    fn a_process_cannot_add_fields_by_its_name() {
        let mut row = crate::list::rows::tests::scene().remove(1);
        let owner = Owner { pid: 1, process: "a,\"b\"\n".to_owned() };
        row.socket.owners = Observed::Known([owner].into());
        let mut out = Vec::new();
        sockets(&[row], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\"a,\"\"b\"\"\\u{a} (1)\"\r\n"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
