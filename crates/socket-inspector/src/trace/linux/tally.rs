//! How many bytes each socket has moved: a sum without input or output, of what the tracepoints
//! tell.
//!
//! A socket is called by the place where the kernel keeps it, and such a place is soon used again:
//! at five thousand connections a second within a tenth of a millisecond. So changes and transfers
//! are taken in the order of their times, and a change that begins a connection begins a new
//! [`SocketLife`] at its place. After its end a life has the place until somebody else begins
//! there: what a call has moved that outlived the connection is its own.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use evidence::TcpState;

use super::bytes::{ByteAmount, EndBytes};
use super::change::StateChange;
use super::transfer::{Transfer, TransferWay};

/// Of how many sockets of which no change was seen sums are kept, in case that they belong to a
/// connection that is watched and was there before. A few MiB.
const STRANGERS: usize = 65_536;

/// One socket, from its beginning to its end, at a place that others had before and will have
/// again.
#[derive(Debug)]
pub(crate) struct SocketLife(Cell<ByteSum>);

#[derive(Clone, Copy, Debug)]
struct ByteSum {
    /// Since when it is counted.
    since: Duration,
    /// True if that is since the beginning of the connection.
    whole: bool,
    moved: ByteCounts,
    /// The counts when the socket was closed.
    at_close: Option<ByteCounts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ByteCounts {
    wrote: u64,
    read: u64,
}

impl ByteSum {
    fn new(since: Duration, whole: bool) -> Self {
        Self { since, whole, moved: ByteCounts::default(), at_close: None }
    }

    fn with(self, transfer: &Transfer) -> Self {
        let ByteCounts { wrote, read } = self.moved;
        let moved = match transfer.way {
            TransferWay::Begun => self.moved,
            TransferWay::Written => {
                ByteCounts { wrote: wrote.saturating_add(transfer.bytes), read }
            }
            TransferWay::Read => ByteCounts { wrote, read: read.saturating_add(transfer.bytes) },
        };
        Self { moved, ..self }
    }
}

/// The sums of all sockets.
#[derive(Debug, Default)]
pub(crate) struct ByteTally {
    /// Those of which a change was seen, by the place where the kernel keeps them.
    lives: HashMap<u64, Rc<SocketLife>>,
    /// All others.
    strangers: HashMap<u64, ByteSum>,
    /// Transfers up to this time may be missing.
    lost: Option<Duration>,
    /// Changes up to this time may be missing: two connections may have been taken for one.
    doubted: Option<Duration>,
}

impl ByteTally {
    /// Takes note of what happened, and says of each change which socket's it is. Both have to be
    /// in the order of their times, and later than those of the last call.
    pub(crate) fn take(
        &mut self,
        changes: Vec<StateChange>,
        transfers: &[Transfer],
    ) -> Vec<(StateChange, Option<Rc<SocketLife>>)> {
        let mut transfers = transfers.iter().peekable();
        let mut of_lives = Vec::with_capacity(changes.len());
        for change in changes {
            while let Some(earlier) = transfers.next_if(|next| next.at < change.when.latest) {
                self.add(earlier);
            }
            let life = self.life(&change);
            of_lives.push((change, life));
        }
        transfers.for_each(|transfer| self.add(transfer));
        of_lives
    }

    /// Transfers may be missing, up to the time `until`.
    pub(crate) fn transfers_lost(&mut self, until: Duration) {
        self.lost = Some(until);
    }

    /// Changes may be missing, up to the time `until`: of the connections that were there then
    /// nothing will be said.
    pub(crate) fn changes_lost(&mut self, until: Duration) {
        self.doubted = Some(until);
        self.strangers.clear();
    }

    /// Returns what is known of a socket; exact only if nothing more can come (`settled`). `None`
    /// if changes were lost, so that it cannot be told whose bytes they are.
    pub(crate) fn bytes(&self, life: &SocketLife, settled: bool) -> Option<EndBytes> {
        let sum = life.0.get();
        let before = |until: Option<Duration>| until.is_some_and(|until| sum.since <= until);
        let exact = settled && sum.whole && !before(self.lost);
        // The beginning of somebody else at its place may be lost, too.
        let certain = sum.at_close.filter(|_| before(self.lost));
        let ByteCounts { wrote, read } = certain.unwrap_or(sum.moved);
        let amount = |least| ByteAmount { least, exact };
        (!before(self.doubted)).then(|| EndBytes { wrote: amount(wrote), read: amount(read) })
    }

    /// Stops counting for a socket that is closed.
    pub(crate) fn forget(&mut self, kernel_address: u64, life: &Rc<SocketLife>) {
        if self.lives.get(&kernel_address).is_some_and(|now| Rc::ptr_eq(now, life)) {
            self.lives.remove(&kernel_address);
        }
    }

    fn life(&mut self, change: &StateChange) -> Option<Rc<SocketLife>> {
        let place = change.kernel_address?;
        let at = change.when.latest;
        let stranger = self.strangers.remove(&place);
        let begins = match change.old {
            TcpState::Closed => true,
            TcpState::Listen => change.new != TcpState::Closed,
            _ => false,
        };
        let known = self.lives.get(&place).filter(|_| !begins);
        let life = known.cloned().unwrap_or_else(|| {
            let stranger = stranger.filter(|_| !begins);
            Rc::new(SocketLife(Cell::new(stranger.unwrap_or(ByteSum::new(at, begins)))))
        });
        if change.new == TcpState::Closed {
            let sum = life.0.get();
            life.0.set(ByteSum { at_close: Some(sum.moved), ..sum });
        }
        self.lives.insert(place, Rc::clone(&life));
        Some(life)
    }

    fn add(&mut self, transfer: &Transfer) {
        if transfer.way == TransferWay::Begun {
            let place = transfer.kernel_address;
            self.strangers.remove(&place);
            // One that is open is the one that begins: both instances tell of it.
            if self.lives.get(&place).is_some_and(|life| life.0.get().at_close.is_some()) {
                self.lives.remove(&place);
            }
            return;
        }
        if let Some(SocketLife(sum)) = self.lives.get(&transfer.kernel_address).map(Rc::as_ref) {
            sum.set(sum.get().with(transfer));
            return;
        }
        let doubtful = self.doubted.is_some_and(|until| transfer.at <= until);
        let room = self.strangers.len() < STRANGERS;
        let known = self.strangers.get(&transfer.kernel_address).copied();
        if !doubtful && (room || known.is_some()) {
            let sum = known.unwrap_or(ByteSum::new(transfer.at, false)).with(transfer);
            self.strangers.insert(transfer.kernel_address, sum);
        }
    }
}

#[cfg(test)]
mod tests;
