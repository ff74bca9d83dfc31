//! What the kernel's datagrams add up to: a list, one socket, or an error. What is known to be
//! short is no list.
//!
//! The datagrams come from a closure that does what `recv(2)` does: in a test they are those that
//! no kernel sends when it is asked to.

use std::collections::HashSet;
use std::io;

use crate::Error;
use crate::sock_diag::{
    IpFamily, MessageContent, NetlinkMessage, TableRow, bound_or_row, messages, row,
};

/// The kernel hands out no more than this at a time.
const DATAGRAM_LEN: usize = 32 * 1024;
/// `ENOBUFS`: the kernel had no room for a part of its answer.
const NO_BUFFER_SPACE: i32 = 105;
/// `ENOENT`: there is no such socket.
const NO_ENTRY: i32 = 2;
/// How often a list is read that changes while it is read.
const READINGS: usize = 5;

/// Appends the list of one family to `rows`, once it has been read without a change under the
/// kernel's hands. Each reading asks the question anew.
pub(super) fn steady_list<R: DatagramReceiver>(
    family: IpFamily,
    rows: &mut Vec<TableRow>,
    mut ask: impl FnMut() -> Result<KernelAnswer<R>, Error>,
) -> Result<(), Error> {
    let before = rows.len();
    for _ in 0..READINGS {
        if ask()?.list(rows)? {
            without_repeats(rows, before);
            return Ok(());
        }
        rows.truncate(before);
    }
    Err(Error::Unsteady { family: family.name(), readings: READINGS })
}

/// Drops each socket from `rows` that stands there twice, from the row `from` on.
///
/// Between two datagrams the kernel only remembers how many sockets of which hash bucket it has
/// listed. If new ones come into that bucket meanwhile, at its head as always, it goes on with
/// some that it has listed already; and does not say so, as `inet_diag` sets no
/// `NLM_F_DUMP_INTR`. The same happens every 16 sockets of a longer bucket, and if some go away it
/// leaves out others, for which there is no remedy here: nothing tells that they are missing.
fn without_repeats(rows: &mut Vec<TableRow>, from: usize) {
    let mut cookies: Vec<u64> = rows.iter().skip(from).map(TableRow::cookie).collect();
    cookies.sort_unstable();
    if cookies.is_sorted_by(|a, b| a < b) {
        return; // as almost always
    }
    let mut seen = HashSet::new();
    let mut place = 0..;
    rows.retain(|row| place.next().is_some_and(|n| n < from) || seen.insert(row.cookie()));
}

/// `recv(2)` with `MSG_TRUNC`: puts the next datagram into a buffer that is empty, as much of it
/// as there is capacity for, and returns the length that it had.
pub(super) trait DatagramReceiver: FnMut(&mut Vec<u8>) -> io::Result<usize> {}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<usize>> DatagramReceiver for F {}

/// An answer that is on its way.
pub(super) struct KernelAnswer<R> {
    family: IpFamily,
    /// The number of the question.
    sequence: u32,
    receive: R,
    datagram: Vec<u8>,
}

impl<R: DatagramReceiver> KernelAnswer<R> {
    pub(super) fn new(family: IpFamily, sequence: u32, receive: R) -> Self {
        Self { family, sequence, receive, datagram: Vec::with_capacity(DATAGRAM_LEN) }
    }

    /// The answer to a question for one socket: one message, and no end behind it.
    pub(super) fn one(mut self) -> Result<Option<TableRow>, Error> {
        let family = self.family.name();
        loop {
            if !self.next_datagram()? {
                return Err(Error::Unsteady { family, readings: 1 });
            }
            for message in messages(&self.datagram) {
                let message = message.map_err(|what| malformed(self.family, &what))?;
                if message.sequence != self.sequence {
                    continue; // the answer to somebody else's question
                }
                if is_no_entry(&message) {
                    return Ok(None);
                }
                return match judge(self.family, &message)? {
                    ListStep::Row(words) => {
                        row(words).map_err(|what| malformed(self.family, &what))
                    }
                    ListStep::Lost => Err(Error::Unsteady { family, readings: 1 }),
                    ListStep::Skip | ListStep::End => Ok(None),
                };
            }
        }
    }

    /// Appends the whole answer to `rows`; `false` if the table changed meanwhile or a part was
    /// lost, so that what has been appended is no list.
    fn list(mut self, rows: &mut Vec<TableRow>) -> Result<bool, Error> {
        let mut interrupted = false;
        while self.next_datagram()? {
            for message in messages(&self.datagram) {
                let message = message.map_err(|what| malformed(self.family, &what))?;
                if message.sequence != self.sequence {
                    continue; // the answer to somebody else's question
                }
                interrupted |= message.interrupted;
                match judge(self.family, &message)? {
                    ListStep::Row(words) => {
                        rows.push(bound_or_row(words).map_err(|e| malformed(self.family, &e))?);
                    }
                    ListStep::Skip => {}
                    ListStep::Lost => return Ok(false),
                    ListStep::End => return Ok(!interrupted),
                }
            }
        }
        Ok(false)
    }

    /// Receives the next datagram; `false` if the kernel lost one.
    fn next_datagram(&mut self) -> Result<bool, Error> {
        loop {
            self.datagram.clear();
            match (self.receive)(&mut self.datagram) {
                Ok(0) => return Err(malformed(self.family, &"a datagram is empty")),
                Ok(full) if full > self.datagram.len() => {
                    let got = self.datagram.len();
                    let what = format!("a datagram of {full} bytes was cut to {got}");
                    return Err(malformed(self.family, &what));
                }
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(NO_BUFFER_SPACE) => return Ok(false),
                Err(source) => {
                    return Err(Error::AnswerLost { family: self.family.name(), source });
                }
            }
        }
    }
}

fn malformed(family: IpFamily, what: &dyn ToString) -> Error {
    Error::Malformed { family: family.name(), what: what.to_string() }
}

fn is_no_entry(message: &NetlinkMessage) -> bool {
    matches!(message.content, MessageContent::Refused(errno) if errno.saturating_abs() == NO_ENTRY)
}

/// The effect of the next message on the list.
enum ListStep<'a> {
    Row(&'a [u8]),
    Skip,
    Lost,
    End,
}

/// Returns what a message means for the list.
fn judge<'a>(family: IpFamily, message: &NetlinkMessage<'a>) -> Result<ListStep<'a>, Error> {
    match message.content {
        MessageContent::Socket(words) => Ok(ListStep::Row(words)),
        MessageContent::Nothing => Ok(ListStep::Skip),
        MessageContent::Lost => Ok(ListStep::Lost),
        MessageContent::Done(0..) => Ok(ListStep::End),
        MessageContent::Done(errno) | MessageContent::Refused(errno) => {
            let source = io::Error::from_raw_os_error(errno.saturating_abs());
            Err(Error::Refused { family: family.name(), source })
        }
    }
}

#[cfg(test)]
mod tests;
