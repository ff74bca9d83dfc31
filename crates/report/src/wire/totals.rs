//! Bytes and packets of each connection, and of an exchange on a new and on a used one.

use std::io;

use evidence::{Passage, SegmentFlags, TlsBytes, WireRecord};

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
    /// What segments carry: of TLS all of it.
    payload: u64,
    wire: u64,
    /// Of connections with TLS.
    tls: Option<TlsBytes>,
}

impl WireSum {
    fn add(&mut self, passage: &Passage) {
        self.packets += 1;
        self.payload += u64::from(passage.segment.payload_bytes);
        self.wire += u64::from(passage.segment.ip_bytes());
        if let Some(tls) = &passage.tls {
            self.tls = Some(self.tls.unwrap_or_default().with(tls.bytes));
        }
    }

    /// The bytes that are the application's, as far as that is known.
    fn data(&self) -> u64 {
        let TlsBytes { handshake, records, unknown, .. } = self.tls.unwrap_or_default();
        self.payload.saturating_sub(handshake + records + unknown)
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
    let all = WireSum::of(talks.iter().flat_map(|it| it.conversation.passages.iter().copied()));
    let header = connections_header(all.tls);
    let row = |name: String, exchanges: Option<usize>, sum: WireSum| {
        let exchanges = exchanges.map_or(UNSEEN.to_owned(), |count| count.to_string());
        let share = (sum.data() * 100).checked_div(sum.wire).unwrap_or(0);
        let of_tls = |bytes: fn(TlsBytes) -> u64| match all.tls {
            Some(tls) if bytes(tls) > 0 => Cell::number(sum.tls.map_or(0, bytes)),
            _ => Cell::empty(),
        };
        [
            Cell::new(name),
            Cell::new(exchanges).right(),
            Cell::number(sum.packets),
            Cell::number(sum.data()),
            of_tls(|tls| tls.handshake),
            of_tls(|tls| tls.records),
            of_tls(|tls| tls.unknown),
            Cell::number(sum.wire - sum.payload),
            Cell::number(sum.wire),
            Cell::number(share),
        ]
    };
    let sum = |talk: &WireTalk<'_>| WireSum::of(talk.conversation.passages.iter().copied());
    let mut rows: Vec<_> =
        talks.iter().take(ROWS).map(|talk| row(talk.name(), talk.exchanges(), sum(talk))).collect();
    if talks.len() > 1 {
        let exchanges = talks.iter().map(WireTalk::exchanges).sum();
        if talks.len() > ROWS {
            let gap = |cell: &Cell| match cell.text() {
                "" => Cell::empty(),
                _ => Cell::new("…").right().styled(FAINT),
            };
            rows.extend(rows.last().map(|last| last.each_ref().map(gap)));
        }
        rows.push(row(format!("all {}", talks.len()), exchanges, all));
    }
    Table::new(2, header, rows).write_within(&[9, 7], out)?;
    if all.tls.is_none() {
        return Ok(());
    }
    let said = "HANDSHAKE and RECORDS: TLS's handshake, up to the client's Finished, and what its \
                records add to what they carry; DATA: HTTP, and in TLS 1.3 session tickets and \
                goodbyes, which look like it without keys";
    for line in words::wrap(said, out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

fn connections_header(tls: Option<TlsBytes>) -> [Cell; 10] {
    let title = |title| Cell::new(title).styled(FAINT);
    [
        title("CONN"),
        title("EXCHANGES").right(),
        title("PACKETS").right(),
        title("DATA").right(),
        title("HANDSHAKE").right(),
        title("RECORDS").right(),
        title("?").right(),
        title("HEADERS").right(),
        // With the columns of TLS there is less room.
        title(if tls.is_some() { "IN ALL" } else { "ON THE WIRE" }).right(),
        title("DATA %").right(),
    ]
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
        if sum.payload > 0 {
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
