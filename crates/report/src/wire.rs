//! The packets of a run: as a list, as ladders, as the states that they took both ends through,
//! as bytes.

mod figure;
mod kinds;
mod ladder;
mod lane;
mod list;
mod notes;
mod numbers;
mod ruler;
mod states;
mod table;
mod talks;
mod totals;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use evidence::{ConnectionId, Outcome, Passage, TlsStart, Unreadable, WirePlace, WireRecord};

use crate::page::Page;
use crate::page::heading;
use crate::words;

pub(crate) use notes::{handshakes, witness};

/// A way to look at packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketView {
    /// One line a packet, in the order in which they were heard.
    #[default]
    List,
    /// A connection's packets between its two ends, with the states of both.
    Ladder,
    /// The state diagram of RFC 9293, with the changes that a connection made.
    States,
    /// The bytes of each packet, header by header, and what they come to.
    Bytes,
}

/// The choices of a reader of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketOptions {
    /// Sequence numbers as they are in the headers, rather than counted from each end's SYN.
    pub absolute: bool,
    /// This connection alone; `None` for all of them in a list, and otherwise for one of each kind.
    pub connection: Option<ConnectionId>,
}

/// The connection whose packets are wanted is none of the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoConnection {
    /// Its number.
    pub id: ConnectionId,
    /// How many connections the run opened.
    pub opened: usize,
    /// The last of them.
    pub last: Option<ConnectionId>,
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, opened, last } = self;
        write!(f, "there is no connection {id}: ")?;
        match (last, opened) {
            (None, _) => write!(f, "none was opened"),
            (Some(only), 1) => write!(f, "the only one that was opened is {only}"),
            (Some(last), _) => write!(f, "of the {opened} that were opened the last is {last}"),
        }
    }
}

impl std::error::Error for NoConnection {}

/// Makes sure that a run opened the connection of this number, by the client's trace.
///
/// # Errors
/// [`NoConnection`] if it did not.
pub fn connection(outcome: &Outcome, id: ConnectionId) -> Result<(), NoConnection> {
    let ids = || outcome.connections.iter().map(|connection| connection.id);
    if ids().any(|known| known == id) {
        return Ok(());
    }
    Err(NoConnection { id, opened: ids().count(), last: ids().max() })
}

/// Writes the packets of a run, or why there are none.
///
/// # Errors
/// Those of `out`.
pub fn packets(
    outcome: &Outcome,
    view: PacketView,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let record = match &outcome.wire {
        Some(Ok(record)) => record,
        Some(Err(Unreadable(why))) => return nothing(&format!("none was heard: {why}"), out),
        None => return nothing("nobody was to hear them in this run", out),
    };
    if let Some(Err(none)) = options.connection.map(|id| connection(outcome, id)) {
        return nothing(&none.to_string(), out);
    }
    match view {
        PacketView::List => list::text(outcome, record, options, out)?,
        PacketView::Ladder => ladder::text(outcome, record, options, out)?,
        PacketView::States => states::text(outcome, record, options, out)?,
        PacketView::Bytes => ruler::text(outcome, record, options, out)?,
    }
    notes::text(record, out)?;
    writeln!(out)
}

fn nothing(why: &str, out: &mut impl Page) -> io::Result<()> {
    heading("Packets", "", out)?;
    for line in words::wrap(&words::printable(why), out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)
}

/// What begins with a packet's data: the first line of a message of HTTP, or records of TLS.
fn begins(passage: &Passage) -> Option<String> {
    let of_tls = || {
        let starts = &passage.tls.as_ref()?.begins;
        // That the handshake goes on behind its beginning says nothing.
        let goes_on = |at: usize| at > 0 && starts.get(at) == Some(&TlsStart::Handshake);
        let words = starts.iter().enumerate().filter(|(at, _)| !goes_on(*at));
        let words: Vec<String> = words.map(|(_, start)| start.to_string()).collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    passage.begins.clone().or_else(of_tls).map(|text| words::printable(&text))
}

/// Says that there are no packets of what is asked for.
fn unheard(options: PacketOptions, out: &mut impl Page) -> io::Result<()> {
    let whose = options.connection.map_or(String::new(), |id| format!(" of {id}"));
    writeln!(out, "  no packet{whose} was heard")
}

/// Where packets were heard, in words.
fn place(record: &WireRecord) -> String {
    match record.place {
        WirePlace::Loopback => "on loopback".to_owned(),
        WirePlace::Device => "on a device of the client's machine".to_owned(),
        WirePlace::Cable { delay } if delay.is_zero() => "on the cable".to_owned(),
        WirePlace::Cable { delay } => {
            format!("on the cable, {} each way", words::span(delay))
        }
    }
}
