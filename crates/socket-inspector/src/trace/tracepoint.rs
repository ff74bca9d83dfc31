//! The witness that sees every change: the kernel's tracepoint `sock:inet_sock_set_state`, joined
//! with sock_diag for what it does not announce.
//!
//! Traps: the first change of a client's socket comes before it has a port; the server's end
//! appears only when the handshake completes; `FIN_WAIT_2` → `CLOSED` may mean that the socket is
//! replaced by a small one (`remains.rs`); a state may be announced once more.
//!
//! It tells the changes of all network namespaces, so those of containers, too; sock_diag knows of
//! the one in which it is asked.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, anyhow};
use evidence::Socket;
use socket_inspector::{Filter, snapshot};

use super::change::Change;
use super::clock::now;
use super::page::page;
use super::record::Layout;
use super::remains::Remains;
use super::teller::{Teller, Witness};
use super::tracefs::{Instance, PREFIX, Tracefs};
use super::watchdog::Watchdog;
use crate::stop::Stop;

/// How often the buffers are read.
const TICK: Duration = Duration::from_millis(10);
/// A record is told only when it is older than this, so that one of another processor, read later,
/// cannot be older still.
const SLACK: Duration = Duration::from_millis(1);

/// The tracepoint, enabled in an instance of its own.
#[derive(Debug)]
pub(crate) struct Tracepoint {
    ports: Vec<u16>,
    layout: Layout,
    /// Before the watchdog, which waits until it is gone: fields are dropped in their order.
    instance: Instance,
    _watchdog: Watchdog,
    waiting: Vec<Change>,
    missed: bool,
    unknown: u64,
}

impl Tracepoint {
    /// Enables the event.
    pub(crate) fn open(ports: &[u16]) -> anyhow::Result<Self> {
        let tracefs = Tracefs::open().context("tracefs cannot be reached (it takes root)")?;
        tracefs.remove_stale();
        let name = format!("{PREFIX}{}", std::process::id());
        let watchdog = Watchdog::start(&name).context("cannot start the watchdog")?;
        let instance = Instance::new(tracefs, name, ports)
            .context("sock:inet_sock_set_state cannot be enabled")?;
        let format = instance.format().context("cannot read the layout of the event")?;
        let layout = Layout::read(&format).ok_or_else(|| anyhow!("the event's layout is new"))?;
        Ok(Self {
            ports: ports.to_vec(),
            layout,
            instance,
            _watchdog: watchdog,
            waiting: Vec::new(),
            missed: false,
            unknown: 0,
        })
    }

    /// Tells what happens until it is over.
    pub(crate) fn follow<W: Write>(
        mut self,
        stop: &Stop,
        mut teller: Teller<'_, W>,
    ) -> anyhow::Result<u8> {
        let mut remains = Remains::new(&self.ports);
        let before = self.before()?;
        let known = now();
        for socket in &before {
            teller.story.seed(socket, known);
            remains.seed(socket, known);
        }
        teller.witness(&Witness::Tracepoint)?;
        let mut lost = 0;
        loop {
            let over = stop.is_due();
            let begun = now();
            self.read()?;
            let until = if over { Duration::MAX } else { begun.saturating_sub(SLACK) };
            for change in self.before_time(until) {
                if let Some(over) = remains.replaced_by(&change) {
                    teller.story.change(over);
                }
                if !remains.keeps(&change) {
                    teller.story.change(change);
                }
            }
            for change in remains.look(now, over)? {
                teller.story.change(change);
            }
            teller.story.tick(if over { Duration::MAX } else { begun });
            teller.tell()?;
            if std::mem::take(&mut self.missed) || over {
                let lost_now = self.instance.lost()?.saturating_add(self.unknown);
                teller.lost(lost_now.saturating_sub(lost))?;
                lost = lost_now;
            }
            if over {
                teller.end(Some(lost))?;
                return Ok(0);
            }
            stop.sleep(TICK);
        }
    }

    /// The sockets that are there already.
    fn before(&self) -> Result<Vec<Socket>, socket_inspector::Error> {
        let filter = Filter { ports: self.ports.clone(), ..Filter::default() };
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
    fn before_time(&mut self, until: Duration) -> Vec<Change> {
        self.waiting.sort_by_key(|change| change.when);
        let later = self.waiting.partition_point(|change| change.when.latest <= until);
        let rest = self.waiting.split_off(later);
        std::mem::replace(&mut self.waiting, rest)
    }
}
