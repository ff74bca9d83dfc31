//! One line a packet, in tcpdump's notation.

use std::collections::HashMap;
use std::io;

use anstyle::Style;
use evidence::{
    Observed, Outcome, Passage, PassageFate, SegmentFlags, Side, WirePlace, WireRecord,
};

use super::notes::packets;
use super::numbers::SequenceOrigins;
use super::talks::{WireTalk, talks};
use super::{PacketOptions, begins, place, unheard};
use crate::columns::{Cell, Table};
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT, STRIKING};

/// The first packets that are shown of a long run, and the last.
const FIRST: usize = 160;
const LAST: usize = 40;

/// The columns: time, connection, direction, flags, seq, ack, length, exchange, cable.
const COLUMNS: usize = 9;
const EXCHANGE: usize = 7;
/// What is left of a message's first line, at least.
const SHORTEST: usize = 12;
/// The times of arrival stand below what the cable did, if both are longer than this.
const DEEDS: usize = 16;

/// A packet with what is known around it.
struct ListLine<'a> {
    passage: &'a Passage,
    talk: &'a WireTalk<'a>,
    origins: SequenceOrigins,
}

/// Writes the packets of a run, or of one of its connections.
pub(super) fn text(
    outcome: &Outcome,
    record: &WireRecord,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let talks = talks(outcome, record);
    let lines = lines(record, &talks, options);
    let numbers = if options.absolute { "as in the headers" } else { "from each SYN on" };
    let when = match record.place {
        WirePlace::Loopback | WirePlace::Cable { .. } => ", as they leave",
        WirePlace::Device => "",
    };
    heading("Packets", &format!("{}{when}; numbers {numbers}", place(record)), out)?;
    if lines.is_empty() {
        return unheard(options, out);
    }
    let left_out = if lines.len() > FIRST + LAST { lines.len() - FIRST - LAST } else { 0 };
    let (first, last) = match left_out {
        0 => (&lines[..], &lines[..0]),
        _ => lines.split_at(FIRST),
    };
    let last = last.get(left_out..).unwrap_or_default();
    let mut rows: Vec<_> = first.iter().chain(last).map(row).collect();
    let header = header();
    fit(&mut rows, &header, out.width());
    if left_out > 0 {
        rows.insert(first.len(), gap(&rows));
    }
    Table::new(2, header, rows).write_within(&[6, 5, 1, 7, 4, 0], out)?;
    if left_out > 0 {
        let said = format!(
            "{} left out at …: the first {FIRST} and the last {LAST} of {} are shown",
            packets(left_out as u64),
            lines.len()
        );
        for line in words::wrap(&said, out.prose_width().saturating_sub(2)) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    let has_exchange = first.iter().chain(last).any(|it| it.talk.exchange(it.passage).is_some());
    let is_strange = lines.iter().any(|line| line.talk.id.is_none());
    legend(record, has_exchange, is_strange, out)
}

fn lines<'a>(
    record: &'a WireRecord,
    talks: &'a [WireTalk<'a>],
    options: PacketOptions,
) -> Vec<ListLine<'a>> {
    let mut places = HashMap::new();
    for talk in talks {
        let origins = SequenceOrigins::of_each(&talk.conversation, options.absolute);
        places.extend(origins.into_iter().map(|(number, origins)| (number, (talk, origins))));
    }
    let line = |passage: &'a Passage| {
        let (talk, origins) = *places.get(&passage.number)?;
        let shown = options.connection.is_none() || talk.id == options.connection;
        shown.then_some(ListLine { passage, talk, origins })
    };
    record.passages.iter().filter_map(line).collect()
}

/// The row that stands for those that are left out. A column that no row fills stays empty.
fn gap(rows: &[[Cell; COLUMNS]]) -> [Cell; COLUMNS] {
    std::array::from_fn(|column| {
        match rows.iter().all(|row| row.get(column).is_none_or(|cell| cell.text().is_empty())) {
            true => Cell::empty(),
            false => Cell::new("…").styled(FAINT),
        }
    })
}

fn header() -> [Cell; COLUMNS] {
    let title = |title| Cell::new(title).styled(FAINT);
    [
        title("SECONDS").right(),
        title("CONN"),
        title(""),
        title("FLAGS"),
        title("SEQ"),
        title("ACK").right(),
        title("LEN").right(),
        title("EXCHANGE"),
        title("CABLE"),
    ]
}

fn row(line: &ListLine<'_>) -> [Cell; COLUMNS] {
    let ListLine { passage, talk, origins } = line;
    let segment = &passage.segment;
    let number = talk.exchange(passage).map_or(String::new(), |number| number.to_string());
    let begins = begins(passage).unwrap_or_default();
    let exchange = format!("{number} {begins}");
    let length = match segment.payload_bytes {
        0 => Cell::empty(),
        bytes => Cell::number(bytes.into()),
    };
    [
        Cell::new(moment(segment.at)).styled(FAINT).right(),
        Cell::new(talk.name()),
        Cell::new(direction(passage.from)),
        Cell::new(format!("[{}]", segment.flags)).styled(style(segment.flags)),
        Cell::new(origins.seq(passage)),
        origins.ack(passage).map_or(Cell::empty(), |ack| Cell::number(ack.into())),
        length,
        Cell::new(exchange.trim()),
        cable(passage),
    ]
}

/// `0.000123`: seconds since the run began.
pub(super) fn moment(at: std::time::Duration) -> String {
    format!("{}.{:06}", at.as_secs(), at.subsec_micros())
}

pub(super) fn direction(from: Side) -> &'static str {
    match from {
        Side::Client => "C → S",
        Side::Server => "C ← S",
    }
}

/// The style of what begins a connection, ends one, and breaks one off.
pub(super) fn style(flags: SegmentFlags) -> Style {
    use anstyle::AnsiColor::{Cyan, Red, Yellow};
    let has = |flag| flags.contains(flag);
    if has(SegmentFlags::RST) {
        Red.on_default().bold()
    } else if has(SegmentFlags::SYN) {
        Cyan.on_default()
    } else if has(SegmentFlags::FIN) {
        Yellow.on_default()
    } else {
        Style::new()
    }
}

/// What the cable did, and how long after its departure the packet arrived.
fn cable(passage: &Passage) -> Cell {
    let Observed::Known(arrived) = &passage.arrived else { return Cell::empty() };
    let deed = deed(&passage.fate).unwrap_or_default();
    let after = |at: &std::time::Duration| at.checked_sub(passage.segment.at);
    let times = arrived.iter().filter_map(after).map(|time| format!("+{}", words::short(time)));
    let times = times.collect::<Vec<_>>().join(" ");
    let gap = if deed.len() + 1 + times.len() > DEEDS { "\n" } else { " " };
    let words = match (deed.as_str(), times.as_str()) {
        ("", "") => "under way".to_owned(),
        (deed, times) => format!("{deed}{gap}{times}").trim().to_owned(),
    };
    let style = if passage.fate == PassageFate::Passed { FAINT } else { STRIKING };
    Cell::new(words).styled(style)
}

/// What the cable did to a packet, in words; `None` if it only let it pass.
pub(super) fn deed(fate: &PassageFate) -> Option<String> {
    Some(match fate {
        PassageFate::Passed => return None,
        PassageFate::Lost => "lost".to_owned(),
        PassageFate::LostByChance => "lost by chance".to_owned(),
        PassageFate::Cut => "lost: cut".to_owned(),
        PassageFate::Held { time } => format!("held {}", words::span(*time)),
        PassageFate::Doubled { .. } => "doubled".to_owned(),
        PassageFate::Reset => "RST instead".to_owned(),
    })
}

/// Shortens the lines of messages so far as the page asks for it.
fn fit(rows: &mut [[Cell; COLUMNS]], header: &[Cell; COLUMNS], width: usize) {
    let natural = Table::new(2, header.clone(), rows.to_vec()).width();
    let excess = natural.saturating_sub(width);
    let longest = rows.iter().map(|row| row[EXCHANGE].text().chars().count()).max().unwrap_or(0);
    let room = longest.saturating_sub(excess).max(SHORTEST);
    for row in rows {
        row[EXCHANGE] = Cell::new(cut(row[EXCHANGE].text(), room));
    }
}

/// `text` within `room` characters, and a sign if something is missing.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn legend(
    record: &WireRecord,
    has_exchange: bool,
    is_strange: bool,
    out: &mut impl Page,
) -> io::Result<()> {
    let mut sentences = vec!["C the client, S the server"];
    if has_exchange {
        sentences.push("EXCHANGE: under way on this connection when data was sent");
    }
    if matches!(record.place, WirePlace::Cable { .. }) {
        sentences
            .push("CABLE: how long after it was sent a packet arrived, and what was done to it");
    }
    if record.place == WirePlace::Device {
        sentences.push("C's packets were heard as they left, S's as they came");
    }
    if is_strange {
        sentences.push("CONN —: not known by the client's trace");
    }
    for line in words::wrap(&sentences.join("; "), out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}
