//! What a record of packets does not tell, said below it.

use std::io;

use evidence::{Outcome, Unreadable, WireRecord};

use crate::page::Page;
use crate::words::{self, FAINT, STRIKING};

/// Writes what is missing from a record, and what else was there.
pub(super) fn text(record: &WireRecord, out: &mut impl Page) -> io::Result<()> {
    let room = out.prose_width().saturating_sub(2);
    for sentence in gaps(record) {
        for line in words::wrap(&sentence, room) {
            writeln!(out, "  {STRIKING}{line}{STRIKING:#}")?;
        }
    }
    if record.others > 0 {
        let what = "that are no TCP segments of this run's connections, are not shown";
        for line in words::wrap(&format!("{}, {what}", packets(record.others)), room) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    Ok(())
}

/// What was not heard, or not kept, in a sentence each.
pub(super) fn gaps(record: &WireRecord) -> Vec<String> {
    let WireRecord { untold, missed, refused, under_way, .. } = *record;
    let told = [
        (missed, "missed by this witness: that one is not here does not mean that it was not sent"),
        (untold, "more counted, but not kept one by one"),
        (refused, "not taken from the cable by a host, though no rule said so"),
        (under_way, "still on the cable in the end"),
    ];
    let sentence = |(count, what): (u64, &str)| format!("{} {what}", packets(count));
    told.into_iter().filter(|(count, _)| *count > 0).map(sentence).collect()
}

/// The word of the packets on how many connections were opened; `None` if nobody was to hear them.
pub(crate) fn witness(outcome: &Outcome) -> Option<String> {
    let record = match outcome.wire.as_ref()? {
        Ok(record) => record,
        Err(Unreadable(why)) => return Some(format!("none heard: {}", words::printable(why))),
    };
    let sent = record.client.packets + record.server.packets;
    let seen = handshakes(record);
    let mut word = match record.untold {
        0 => format!("handshakes {seen}, in {}", packets(sent)),
        _ => {
            let told = record.passages.len();
            format!("handshakes {seen}, in the first {told} of {}", packets(sent))
        }
    };
    if record.missed > 0 {
        word.push_str(&format!("; {} missed", packets(record.missed)));
    }
    Some(word)
}

/// The connections whose handshake packets show: the client's SYN, the answer, and the client's
/// word that it came.
pub(crate) fn handshakes(record: &WireRecord) -> usize {
    record.conversations().iter().filter(|conversation| conversation.is_opened()).count()
}

/// `1 packet`, `10 packets`.
pub(super) fn packets(number: u64) -> String {
    words::count(usize::try_from(number).unwrap_or(usize::MAX), "packet")
}
