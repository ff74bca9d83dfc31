//! Bytes and packets of each connection, and of an exchange on a new and on a used one.

use std::io;

use evidence::{Passage, SegmentFlags, WireRecord};

use super::talks::WireTalk;
use super::{PacketOptions, unheard};
use crate::columns::{Cell, Table};
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT, UNSEEN};

/// More connections than this are told by their sum.
const ROWS: usize = 12;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WireSum {
    packets: u64,
    data: u64,
    wire: u64,
}

impl WireSum {
    fn add(&mut self, passage: &Passage) {
        self.packets += 1;
        self.data += u64::from(passage.segment.payload_bytes);
        self.wire += u64::from(passage.segment.ip_bytes());
    }

    fn of<'a>(passages: impl IntoIterator<Item = &'a Passage>) -> Self {
        let mut sum = Self::default();
        passages.into_iter().for_each(|passage| sum.add(passage));
        sum
    }
}

/// Writes the sums of each connection, and of the parts of a connection's life.
pub(super) fn text(
    talks: &[WireTalk<'_>],
    record: &WireRecord,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    if talks.is_empty() {
        heading("Bytes on the wire", "", out)?;
        return unheard(options, out);
    }
    let whole = if record.untold > 0 { ", in the packets that were kept" } else { "" };
    heading("Bytes on the wire", &format!("both directions, IP headers included{whole}"), out)?;
    connections(talks, out)?;
    let parts = parts(talks);
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    lives(&parts, out)
}

fn connections(talks: &[WireTalk<'_>], out: &mut impl Page) -> io::Result<()> {
    let title = |title| Cell::new(title).styled(FAINT);
    let header = [
        title("CONN"),
        title("EXCHANGES").right(),
        title("PACKETS").right(),
        title("DATA").right(),
        title("HEADERS").right(),
        title("ON THE WIRE").right(),
        title("DATA %").right(),
    ];
    let row = |name: String, exchanges: Option<usize>, sum: WireSum| {
        let exchanges = exchanges.map_or(UNSEEN.to_owned(), |count| count.to_string());
        let share = (sum.data * 100).checked_div(sum.wire).unwrap_or(0);
        [
            Cell::new(name),
            Cell::new(exchanges).right(),
            Cell::number(sum.packets),
            Cell::number(sum.data),
            Cell::number(sum.wire - sum.data),
            Cell::number(sum.wire),
            Cell::number(share),
        ]
    };
    let sum = |talk: &WireTalk<'_>| WireSum::of(talk.conversation.passages.iter().copied());
    let mut rows: Vec<_> =
        talks.iter().take(ROWS).map(|talk| row(talk.name(), talk.exchanges(), sum(talk))).collect();
    if talks.len() > 1 {
        let all = talks.iter().flat_map(|talk| talk.conversation.passages.iter().copied());
        let exchanges = talks.iter().map(WireTalk::exchanges).sum();
        if talks.len() > ROWS {
            rows.push(["…"; 7].map(|gap| Cell::new(gap).right().styled(FAINT)));
        }
        rows.push(row(format!("all {}", talks.len()), exchanges, WireSum::of(all)));
    }
    Table::new(2, header, rows).write_within(&[6, 4], out)
}

/// A part of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LifePart {
    /// Its first exchange, with the handshake before it.
    NewExchange,
    /// An exchange on a connection that had carried one.
    ReusedExchange,
    /// From the first FIN or RST on.
    Close,
}

impl LifePart {
    fn name(self) -> &'static str {
        match self {
            Self::NewExchange => "exchange on a new connection, with handshake",
            Self::ReusedExchange => "exchange on a used connection",
            Self::Close => "end, from the first FIN or RST on",
        }
    }
}

/// The sums of every part of every connection whose exchanges came one after the other.
fn parts(talks: &[WireTalk<'_>]) -> Vec<(LifePart, WireSum)> {
    talks.iter().flat_map(parts_of).collect()
}

fn parts_of(talk: &WireTalk<'_>) -> Vec<(LifePart, WireSum)> {
    let Some(starts) = talk.starts() else { return Vec::new() };
    let passages = &talk.conversation.passages;
    let ends = |passage: &&Passage| {
        passage.segment.has(SegmentFlags::FIN) || passage.segment.has(SegmentFlags::RST)
    };
    let end = passages.iter().position(ends).unwrap_or(passages.len());
    let (open, close) = passages.split_at(end);
    let mut parts = Vec::new();
    for n in 0..starts.len() {
        let (from, to) = (starts.get(n), starts.get(n + 1));
        let is_in = |passage: &&&Passage| {
            let at = passage.segment.at;
            (n == 0 || from.is_none_or(|from| *from <= at)) && to.is_none_or(|to| at < *to)
        };
        let part = if n == 0 { LifePart::NewExchange } else { LifePart::ReusedExchange };
        let sum = WireSum::of(open.iter().filter(is_in).copied());
        // What began behind the end of its connection had no packet before that.
        if sum.data > 0 {
            parts.push((part, sum));
        }
    }
    if !close.is_empty() {
        parts.push((LifePart::Close, WireSum::of(close.iter().copied())));
    }
    parts
}

fn lives(parts: &[(LifePart, WireSum)], out: &mut impl Page) -> io::Result<()> {
    let title = |title| Cell::new(title).styled(FAINT);
    let header =
        [title("EACH"), title("TIMES").right(), title("PACKETS").right(), title("BYTES").right()];
    let row = |part: LifePart| {
        let sums = parts.iter().filter(|(of, _)| *of == part).map(|(_, sum)| *sum);
        let sums: Vec<WireSum> = sums.collect();
        (!sums.is_empty()).then(|| {
            [
                Cell::new(part.name()),
                Cell::number(sums.len() as u64),
                Cell::new(range(sums.iter().map(|sum| sum.packets))).right(),
                Cell::new(range(sums.iter().map(|sum| sum.wire))).right(),
            ]
        })
    };
    let all = [LifePart::NewExchange, LifePart::ReusedExchange, LifePart::Close];
    let rows = all.into_iter().filter_map(row).collect();
    Table::new(2, header, rows).narrowed(out.width(), 0).write_within(&[1], out)?;
    let said = "an exchange has what was sent from its start to that of the next";
    for line in words::wrap(said, out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

/// `7`, `6 to 8`.
fn range(numbers: impl Iterator<Item = u64> + Clone) -> String {
    let (least, most) = (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0));
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}
