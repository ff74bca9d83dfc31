//! Sampling itself: reads the table again and again.

use std::io::Write;
use std::time::Duration;

use evidence::{Inspected, Socket, TcpState};
use socket_table::{Error, SocketFilter, inspect_without_owners};

use super::bytes::EndBytes;
use super::clock::now;
use super::sampling::TableSamples;
use super::teller::TraceTeller;
use super::witness::TraceWitness;
use crate::stop::TimeToStop;

/// The least time between two readings.
const PAUSE: Duration = Duration::from_millis(1);

/// Tells what changes from one reading to the next until it is over.
pub(crate) fn follow<W: Write>(
    ports: &[u16],
    instead: Option<String>,
    stop: &TimeToStop,
    mut teller: TraceTeller<'_, W>,
) -> anyhow::Result<u8> {
    let filter = SocketFilter { ports: ports.to_vec(), ..SocketFilter::default() };
    let first = inspect_without_owners(&filter)?;
    let known = now();
    for Inspected { socket, .. } in &first {
        teller.story.seed(socket, known);
    }
    note_bytes(&first, &mut teller);
    let mut samples = TableSamples::new(&sockets(&first), known);
    teller.witness(&TraceWitness::Sampling { instead })?;
    loop {
        let over = stop.is_due();
        let begun = now();
        match inspect_without_owners(&filter) {
            Ok(rows) => {
                let read = now();
                teller.story.reading(samples.next(&sockets(&rows), read));
                // After the changes, so that no end gets those of its successor.
                note_bytes(&rows, &mut teller);
            }
            Err(Error::Unsteady { .. }) => {} // the next reading tells, less exactly
            Err(error) => return Err(error.into()),
        }
        teller.tell()?;
        if over {
            teller.end(None, None)?;
            return Ok(0);
        }
        // A long table is read less often: half of a processor is enough.
        stop.sleep(PAUSE.max(now().saturating_sub(begun)));
    }
}

/// The rows without what TCP remembers.
fn sockets(rows: &[Inspected]) -> Vec<Socket> {
    rows.iter().map(|row| row.socket.clone()).collect()
}

/// Remembers what was written and read at every end that has such numbers.
fn note_bytes<W: Write>(rows: &[Inspected], teller: &mut TraceTeller<'_, W>) {
    for row in rows {
        if let Some(bytes) = bytes(row) {
            teller.story.bytes_at_least(row.socket.local, row.socket.peer, bytes);
        }
    }
}

/// Returns what the process has written and read so far, at least. `None` where the kernel
/// remembers nothing, as in `TIME_WAIT`.
fn bytes(row: &Inspected) -> Option<EndBytes> {
    let Inspected { socket, info, .. } = row;
    // An older kernel does not tell how many bytes were sent again, but what was acknowledged: SYN
    // and FIN count 1 each.
    let acked = info.bytes_acked.known().map(|acked| acked.saturating_sub(2));
    let wrote = row.sent_once().known().or(acked);
    // What still lies in the queue is not read; a FIN counts 1 among what was received.
    let ended = matches!(socket.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
    let unread = u64::from(socket.unread().known()?).saturating_add(u64::from(ended));
    let read = info.bytes_received.known().map(|received| received.saturating_sub(unread));
    (wrote.is_some() || read.is_some())
        .then(|| EndBytes::at_least(wrote.unwrap_or_default(), read.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Observed, TcpInfo};

    fn row(state: TcpState, queue: u32, info: TcpInfo) -> Inspected {
        let socket = Socket {
            local: "127.0.0.1:40001".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state,
            side: None,
            recv_queue: Observed::Known(queue),
            send_queue: Observed::Known(0),
            timer: Observed::NotObservable,
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        };
        Inspected { socket, info, cgroup: Observed::NotObservable }
    }

    #[test]
    fn what_lies_in_the_queue_and_a_fin_are_not_read() {
        let info = TcpInfo {
            retransmits: Observed::Known(0),
            bytes_sent: Observed::Known(83),
            bytes_received: Observed::Known(129),
            ..TcpInfo::UNSEEN
        };
        let known = bytes(&row(TcpState::Established, 100, info));
        assert_eq!(known, Some(EndBytes::at_least(83, 29)));
        // The FIN lies in the queue until the process reads as far as it, and is no byte either way.
        for queue in [0, 1] {
            let known = bytes(&row(TcpState::CloseWait, queue, info));
            assert_eq!(known, Some(EndBytes::at_least(83, 128)), "{queue} in the queue");
        }
        let known = bytes(&row(TcpState::CloseWait, 101, info));
        assert_eq!(known, Some(EndBytes::at_least(83, 28)));
    }

    #[test]
    fn what_was_sent_again_was_written_once() {
        let info = TcpInfo {
            retransmits: Observed::Known(3),
            bytes_sent: Observed::Known(332),
            bytes_acked: Observed::Known(85),
            ..TcpInfo::UNSEEN
        };
        assert_eq!(bytes(&row(TcpState::FinWait2, 0, info)), Some(EndBytes::at_least(83, 0)));
    }

    #[test]
    fn of_what_the_kernel_has_forgotten_nothing_is_said() {
        assert_eq!(bytes(&row(TcpState::TimeWait, 0, TcpInfo::UNSEEN)), None);
    }
}
