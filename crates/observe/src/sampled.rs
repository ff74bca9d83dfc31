//! What can be seen where no private network is to be had: the kernel's table, looked at again and
//! again, and in it the sockets of the program's family.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evidence::{ClientAddr, Ends, Observed, ServerAddr, Side, Socket, TcpState};
use socket_table::SocketFilter;

use crate::family::family_pids;

/// So often the table is looked at, if that takes no longer itself.
pub const SAMPLING: Duration = Duration::from_millis(20);

/// A connection that some looks have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledConnection {
    /// Both ends.
    pub ends: Ends,
    /// When the first look saw it.
    pub first: Duration,
    /// When the last did.
    pub last: Duration,
    /// The states of the family's end that looks have seen, in alphabetical order.
    pub states: BTreeSet<&'static str>,
}

/// All that the looks have seen.
#[derive(Clone, Debug, Default)]
pub struct SampledSockets {
    /// Connections that somebody of the family dialled, in the order of their ends.
    pub connections: Vec<SampledConnection>,
    /// The most of them that one look saw open.
    pub most_open: usize,
    /// How many looks there were.
    pub looks: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// Looks at the table, in a thread of its own.
#[derive(Debug)]
pub struct SocketSampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<SampledSockets>,
}

impl SocketSampler {
    /// Begins to look. Times count from `start` on.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(start: Instant) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || sample(start, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and returns what was seen.
    #[must_use]
    pub fn stop(self) -> SampledSockets {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn sample(start: Instant, stopped: &AtomicBool) -> SampledSockets {
    let mut seen = SampledSockets::default();
    let mut connections: BTreeMap<(ClientAddr, ServerAddr), SampledConnection> = BTreeMap::new();
    while !stopped.load(Ordering::Relaxed) {
        let begun = Instant::now();
        seen.looks += 1;
        let family = family_pids();
        match socket_table::snapshot_with_owners(&SocketFilter::default()) {
            Ok(table) => {
                let at = start.elapsed();
                let mut open = 0;
                for socket in table.sockets.iter().filter(|it| is_dialled_by(it, &family)) {
                    open += usize::from(socket.state == TcpState::Established);
                    note(&mut connections, socket, at);
                }
                seen.most_open = seen.most_open.max(open);
            }
            Err(_) => seen.failed += 1,
        }
        std::thread::sleep(SAMPLING.saturating_sub(begun.elapsed()));
    }
    seen.connections = connections.into_values().collect();
    seen
}

/// Returns true for the client's end of a connection that one of these processes holds.
fn is_dialled_by(socket: &Socket, family: &BTreeSet<u32>) -> bool {
    let Observed::Known(owners) = &socket.owners else { return false };
    socket.side == Some(Side::Client) && owners.iter().any(|owner| family.contains(&owner.pid))
}

fn note(
    connections: &mut BTreeMap<(ClientAddr, ServerAddr), SampledConnection>,
    socket: &Socket,
    at: Duration,
) {
    let ends = Ends {
        client: ClientAddr::new(evidence::canonical(socket.local)),
        server: ServerAddr::new(evidence::canonical(socket.peer)),
    };
    let known = connections.entry((ends.client, ends.server)).or_insert_with(|| {
        SampledConnection { ends, first: at, last: at, states: BTreeSet::new() }
    });
    known.last = at;
    known.states.insert(socket.state.name());
}
