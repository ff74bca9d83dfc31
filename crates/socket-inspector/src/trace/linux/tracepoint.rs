//! The witness that sees every change: the kernel's tracepoint `sock:inet_sock_set_state`, joined
//! with sock_diag for what it does not announce.
//!
//! Traps: the first change of a client's socket comes before it has a port; the server's end
//! appears only when the handshake completes; `FIN_WAIT_2` → `CLOSED` may mean that the socket is
//! replaced by a small one (`remains.rs`); a state may be announced once more.
//!
//! What was written and read is told by two more events (`traffic.rs`). They come when a call is
//! over, which may be after the end of the connection: a write that waited for room is over when a
//! reset has closed the socket. So everything is told a little later than it is known.
//!
//! It tells the changes of all network namespaces, so those of containers, too (`networks.rs` keeps
//! them apart); sock_diag knows of the one in which it is asked.

use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use evidence::{Socket, TcpState};
use socket_table::{SocketFilter, snapshot};

use super::change::StateChange;
use super::clock::{self, now};
use super::networks::{LiveSockets, ThreadNetworks};
use super::page::page;
use super::record::ChangeLayout;
use super::remains::SmallSockets;
use super::tally::{ByteTally, SocketLife};
use super::teller::TraceTeller;
use super::tracefs::{KernelEvent, PREFIX, SECOND, TraceInstance, Tracefs};
use super::traffic::TrafficWitness;
use super::watchdog::Watchdog;
use super::witness::TraceWitness;
use crate::stop::TimeToStop;

/// How often the buffers are read.
const TICK: Duration = Duration::from_millis(10);
/// A record is told only when it is older than this, so that one of another processor, read later,
/// cannot be older still.
const SLACK: Duration = Duration::from_millis(1);

/// How long a change is kept back where bytes are told: what a call that outlived the connection
/// has moved is counted up to this time after its end.
const GRACE: Duration = Duration::from_millis(50);
const EVENT: &str = "events/sock/inet_sock_set_state";
/// The room that the buffers of all processors may take together.
const BUFFERS_KIB: usize = 32 * 1024;

/// The tracepoint, enabled in an instance of its own.
#[derive(Debug)]
pub(crate) struct TracepointWitness {
    ports: Vec<u16>,
    layout: ChangeLayout,
    /// Before the watchdog, which waits until both are gone: fields are dropped in their order.
    instance: TraceInstance,
    /// The second instance, or why there is none.
    traffic: Result<TrafficWitness, String>,
    _watchdog: Watchdog,
    waiting: Vec<StateChange>,
    missed: bool,
    unknown: u64,
}

impl TracepointWitness {
    /// Enables the event, and those that tell bytes if this kernel has them.
    pub(crate) fn open(ports: &[u16]) -> anyhow::Result<Self> {
        let tracefs = Tracefs::open().context("tracefs cannot be reached (it takes root)")?;
        tracefs.remove_stale();
        let tracefs = Rc::new(tracefs);
        let name = format!("{PREFIX}{}", std::process::id());
        let watchdog = Watchdog::start(&name).context("cannot start the watchdog")?;
        // Bytes first: of a connection whose beginning is told none is missed.
        let traffic = TrafficWitness::open(&tracefs, format!("{name}{SECOND}"));
        let event = KernelEvent { path: EVENT, filter: filter(ports) };
        let instance = TraceInstance::new(&tracefs, name, &[event], BUFFERS_KIB)
            .context("sock:inet_sock_set_state cannot be enabled")?;
        let format = instance.format(EVENT).context("cannot read the layout of the event")?;
        let layout =
            ChangeLayout::read(&format).ok_or_else(|| anyhow!("the event's layout is new"))?;
        Ok(Self {
            ports: ports.to_vec(),
            layout,
            instance,
            traffic: traffic.map_err(|error| format!("{error:#}")),
            _watchdog: watchdog,
            waiting: Vec::new(),
            missed: false,
            unknown: 0,
        })
    }

    /// Tells what happens until it is over.
    pub(crate) fn follow<W: Write>(
        mut self,
        stop: &TimeToStop,
        mut teller: TraceTeller<'_, W>,
    ) -> anyhow::Result<u8> {
        let mut remains = SmallSockets::new(&self.ports);
        let before = self.before()?;
        let known = now();
        for socket in &before {
            teller.story.seed(socket, known);
            remains.seed(socket, known);
        }
        let no_bytes = self.traffic.as_ref().err().cloned();
        let grace = if no_bytes.is_none() { GRACE } else { Duration::ZERO };
        teller.witness(&TraceWitness::Tracepoint { no_bytes })?;
        let (mut live, threads) = (LiveSockets::default(), ThreadNetworks::new());
        let mut tally = ByteTally::default();
        let mut kept = VecDeque::new();
        let mut lost = 0;
        loop {
            let over = stop.is_due();
            let begun = now();
            let changes = self.happened(if over { None } else { Some(begun) }, &mut tally)?;
            if self.missed {
                live.clear(); // what seems to live may be long gone
            }
            let due = begun.saturating_add(grace);
            for (mut change, life) in changes {
                let when = change.when.latest;
                let is_elsewhere = |thread| threads.is_elsewhere(thread);
                live.place(&mut change, is_elsewhere, |ends| remains.is_kept(ends, when, now()));
                if let Some(over) = remains.replaced_by(&change) {
                    kept.push_back(DelayedChange { due, change: over, life: None, told: true });
                }
                let told = !remains.keeps(&change);
                kept.push_back(DelayedChange { due, change, life, told });
            }
            for change in remains.look(now, over)? {
                kept.push_back(DelayedChange { due, change, life: None, told: true });
            }
            while let Some(next) = kept.pop_front_if(|next| over || next.due <= begun) {
                next.tell(begun, &mut tally, &mut teller);
            }
            // What is kept back may tell the port that the story waits for.
            let told_up_to = kept.front().map_or(begun, |next| next.change.when.latest);
            teller.story.tick(if over { Duration::MAX } else { told_up_to });
            teller.tell()?;
            if std::mem::take(&mut self.missed) || over {
                let lost_now = self.instance.lost()?.saturating_add(self.unknown);
                teller.lost(lost_now.saturating_sub(lost))?;
                lost = lost_now;
            }
            if over {
                let of_bytes = self.traffic.as_ref().ok().map(TrafficWitness::lost).transpose()?;
                teller.end(Some(lost), of_bytes)?;
                return Ok(0);
            }
            stop.sleep(TICK);
        }
    }

    /// Returns what has changed until shortly before `now`, or until the present if there is no
    /// `now`, and whose socket each change is of.
    fn happened(
        &mut self,
        now: Option<Duration>,
        tally: &mut ByteTally,
    ) -> std::io::Result<Vec<(StateChange, Option<Rc<SocketLife>>)>> {
        let until = now.map_or(Duration::MAX, |now| now.saturating_sub(SLACK));
        self.read()?;
        let changes = self.before_time(until);
        let Ok(traffic) = &mut self.traffic else {
            return Ok(changes.into_iter().map(|change| (change, None)).collect());
        };
        let transfers = traffic.before(until)?;
        let read = clock::now();
        if self.missed {
            tally.changes_lost(read);
        }
        if traffic.missed() {
            tally.transfers_lost(read);
        }
        Ok(tally.take(changes, &transfers))
    }

    /// The sockets that are there already.
    fn before(&self) -> Result<Vec<Socket>, socket_table::Error> {
        let filter = SocketFilter { ports: self.ports.clone(), ..SocketFilter::default() };
        Ok(snapshot(&filter)?.sockets)
    }

    /// Reads what the kernel has recorded.
    fn read(&mut self) -> std::io::Result<()> {
        let Self { layout, instance, waiting, missed, unknown, .. } = self;
        instance.read(|bytes| match page(bytes) {
            Some(page) => {
                *missed |= page.missed;
                let records = page.records.into_iter();
                waiting.extend(records.filter_map(|(time, record)| layout.change(time, record)));
            }
            None => {
                *missed = true;
                *unknown = unknown.saturating_add(1);
            }
        })
    }

    /// Takes the changes before `until`, in the order in which they happened.
    fn before_time(&mut self, until: Duration) -> Vec<StateChange> {
        self.waiting.sort_by_key(|change| change.when);
        let later = self.waiting.partition_point(|change| change.when.latest <= until);
        let rest = self.waiting.split_off(later);
        std::mem::replace(&mut self.waiting, rest)
    }
}

/// A change that is kept back.
#[derive(Debug)]
struct DelayedChange {
    /// Until when.
    due: Duration,
    change: StateChange,
    /// Whose it is, if bytes are told.
    life: Option<Rc<SocketLife>>,
    /// True if it is to be told. If it is not, as the socket is not gone yet but has become a small
    /// one, it was still the last that can be said of its bytes.
    told: bool,
}

impl DelayedChange {
    /// Tells it at the time `now`, with the bytes up to now.
    fn tell<W: Write>(self, now: Duration, tally: &mut ByteTally, teller: &mut TraceTeller<'_, W>) {
        let Self { change, life, told, .. } = self;
        let settled = change.when.latest.saturating_add(GRACE) <= now;
        let bytes = life.as_ref().and_then(|life| tally.bytes(life, settled));
        if let (TcpState::Closed, Some(place), Some(life)) =
            (change.new, change.kernel_address, &life)
        {
            tally.forget(place, life);
        }
        match (told, bytes) {
            (true, bytes) => teller.story.change_with(change, bytes),
            (false, Some(bytes)) => teller.story.bytes(&change, bytes),
            (false, None) => {}
        }
    }
}

/// The event's filter: TCP, and one of `ports` at either end. A fresh client socket, whose own
/// port is 0 in its first change, comes through by the port that it dials.
fn filter(ports: &[u16]) -> String {
    let ports: Vec<String> =
        ports.iter().map(|port| format!("sport=={port} || dport=={port}")).collect();
    if ports.is_empty() {
        return "protocol==6".to_owned();
    }
    format!("protocol==6 && ({})", ports.join(" || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_looked_for_at_either_end() {
        assert_eq!(filter(&[]), "protocol==6");
        assert_eq!(
            filter(&[80, 443]),
            "protocol==6 && (sport==80 || dport==80 || sport==443 || dport==443)"
        );
    }
}
