//! The bytes of each packet as a bar: IP header, TCP header, TLS, data; and what they come to.

use std::io;

use anstyle::{AnsiColor, Style};
use evidence::{Outcome, Passage, WireRecord};

use super::kinds::{TalkKind, kinds};
use super::list::{direction, moment, style};
use super::talks::talks;
use super::{PacketOptions, place, totals};
use crate::columns::{Cell, Table};
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT};

/// The first packets that are shown of a long connection, and the last.
const FIRST: usize = 60;
const LAST: usize = 20;
/// The room that the numbers take beside the bars.
const NUMBERS: usize = 46;
/// And those of TLS, and of what is encrypted.
const TLS_NUMBERS: usize = 6;
/// A bar is not shorter than this where it fills its room.
const SHORTEST: usize = 10;

/// The parts of a packet, and how they are drawn.
const PARTS: [(&str, char, Style); 5] = [
    ("IP header", '░', FAINT),
    ("TCP header with options", '▒', Style::new()),
    ("TLS: its handshake, and what its records add", '▓', AnsiColor::Cyan.on_default()),
    ("encrypted, of which nobody knows what it is", '?', FAINT),
    ("data", '█', AnsiColor::Green.on_default()),
];
/// Where TLS stands among them, and what is unknown.
const TLS: usize = 2;
const UNKNOWN: usize = 3;

/// Writes the bytes of one connection of each kind, and those of all connections.
pub(super) fn text(
    outcome: &Outcome,
    record: &WireRecord,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let mut talks = talks(outcome, record);
    talks.retain(|talk| options.connection.is_none() || talk.id == options.connection);
    let (shown, others) = kinds(&talks, options);
    for TalkKind { talk, alike } in &shown {
        let mut meaning = format!("each packet, {}", place(record));
        if *alike > 0 {
            meaning.push_str(&format!("; {alike} more look alike"));
        }
        heading(&format!("Bytes of {}", talk.name()), &meaning, out)?;
        bars(&talk.conversation.passages, out)?;
        writeln!(out)?;
    }
    if others > 0 {
        let said = format!("… and {} of other kinds", words::count(others, "connection"));
        writeln!(out, "  {FAINT}{said}{FAINT:#}\n")?;
    }
    totals::text(&talks, record, options, out)
}

/// The lengths of the parts of a packet.
fn parts(passage: &Passage) -> [u64; 5] {
    let segment = &passage.segment;
    let (tls, unknown, data) = match &passage.tls {
        None => (0, 0, segment.payload_bytes.into()),
        Some(tls) => {
            let bytes = tls.bytes;
            (bytes.handshake + bytes.records, bytes.unknown, bytes.data)
        }
    };
    [segment.ip_header_bytes.into(), segment.tcp_header_bytes.into(), tls, unknown, data]
}

fn bars(passages: &[&Passage], out: &mut impl Page) -> io::Result<()> {
    let left_out = if passages.len() > FIRST + LAST { passages.len() - FIRST - LAST } else { 0 };
    let first = passages.len().min(if left_out > 0 { FIRST } else { usize::MAX });
    let shown = passages.iter().take(first).chain(passages.iter().skip(first + left_out));
    let shown: Vec<&Passage> = shown.copied().collect();
    let longest = shown.iter().map(|it| parts(it).iter().sum::<u64>()).max().unwrap_or(0);
    let is_there = |part: usize| shown.iter().any(|it| parts(it).get(part) > Some(&0));
    let is_shown = [true, true, is_there(TLS), is_there(UNKNOWN), true];
    let of_tls = usize::from(is_there(TLS)) + usize::from(is_there(UNKNOWN));
    let room = out.width().saturating_sub(NUMBERS + of_tls * TLS_NUMBERS).max(SHORTEST);
    let unit = unit(longest, room, is_shown.into_iter().filter(|it| *it).count());
    let optional = |part: usize, bytes: u64| match is_there(part) {
        true => Cell::number(bytes),
        false => Cell::empty(),
    };
    let title = |title| Cell::new(title).styled(FAINT);
    let header = [
        title("SECONDS").right(),
        title(""),
        title("FLAGS"),
        title("IP").right(),
        title("TCP").right(),
        title("TLS").right(),
        title("?").right(),
        title("DATA").right(),
        title(""),
    ];
    let row = |passage: &&Passage| {
        let [ip, tcp, tls, unknown, data] = parts(passage);
        let flags = passage.segment.flags;
        [
            Cell::new(moment(passage.segment.at)).styled(FAINT).right(),
            Cell::new(direction(passage.from)),
            Cell::new(format!("[{flags}]")).styled(style(flags)),
            Cell::number(ip),
            Cell::number(tcp),
            optional(TLS, tls),
            optional(UNKNOWN, unknown),
            Cell::number(data),
            Cell::new(bar(parts(passage), unit)),
        ]
    };
    let mut rows: Vec<_> = shown.iter().map(row).collect();
    if left_out > 0 {
        rows.insert(first, ["…"; 9].map(|gap| Cell::new(gap).styled(FAINT)));
    }
    Table::new(2, header, rows).write_within(&[8, 0], out)?;
    if left_out > 0 {
        writeln!(
            out,
            "  {FAINT}{} left out at …{FAINT:#}",
            super::notes::packets(left_out as u64)
        )?;
    }
    let named = PARTS.into_iter().zip(is_shown).filter(|(_, is_shown)| *is_shown);
    let named = named.map(|((name, sign, style), _)| format!("{style}{sign}{style:#} {name}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let bytes = if unit == 1 { "byte".to_owned() } else { format!("{unit} bytes begun") };
    let said = format!("{named}; a sign for each {bytes}");
    for line in words::wrap(&said, out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// How many bytes a sign stands for, so that the longest bar has room, though each of so many parts has
/// a sign.
fn unit(longest: u64, room: usize, parts: usize) -> u64 {
    let room = u64::try_from(room.saturating_sub(parts)).unwrap_or(1).max(1);
    longest.div_ceil(room).max(1)
}

/// The signs of the parts of a packet.
fn bar(parts: [u64; 5], unit: u64) -> String {
    let signs = |(length, (_, sign, _)): (u64, (&str, char, Style))| {
        let count = length.div_ceil(unit);
        std::iter::repeat_n(sign, usize::try_from(count).unwrap_or(0))
    };
    parts.into_iter().zip(PARTS).flat_map(signs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_a_sign_for_every_part_that_is_there_and_room_on_the_page() {
        assert_eq!(bar([20, 32, 0, 0, 0], 10), "░░▒▒▒▒");
        assert_eq!(bar([1, 1, 1, 1, 1], 1000), "░▒▓?█");
        for (longest, room) in [(0, 10), (60, 34), (1500, 34), (65_535, 7)] {
            let unit = unit(longest, room, 3);
            let parts = [
                20.min(longest),
                32.min(longest.saturating_sub(20)),
                0,
                0,
                longest.saturating_sub(52),
            ];
            assert!(bar(parts, unit).chars().count() <= room, "{longest} in {room}");
        }
    }
}
