//! The lane between both ends of a ladder, and the arrows in it.

use evidence::{LifeMoment, Passage, PassageFate, Side};

use super::begins;
use super::list::{cut, deed};
use super::numbers::SequenceOrigins;

/// The shortest stretch of line beside a label.
const LINE: usize = 2;

/// What a packet says, in the order in which it can be done without from the end.
pub(super) fn label(passage: &Passage, origins: SequenceOrigins) -> (String, String) {
    let flags = format!("[{}]", passage.segment.flags);
    let mut words = Vec::new();
    let seq = origins.seq(passage);
    if !seq.is_empty() {
        words.push(format!("seq {seq}"));
    }
    if let Some(ack) = origins.ack(passage) {
        words.push(format!("ack {ack}"));
    }
    if passage.segment.payload_bytes > 0 {
        words.push(format!("len {}", passage.segment.payload_bytes));
    }
    (flags, words.join(" "))
}

/// A lane of `width` characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct LadderLane {
    pub(super) width: usize,
    /// True if packets are seen to arrive.
    pub(super) slants: bool,
}

impl LadderLane {
    /// The room for a label.
    fn room(self) -> usize {
        let turn = if self.slants { self.width - self.turn(Side::Client) } else { 1 };
        self.width.saturating_sub(turn + 2 * LINE + 2)
    }

    /// Where a packet of this end bends towards the other: near the end of its way.
    fn turn(self, from: Side) -> usize {
        let far = self.width - (self.width / 6).max(7).min(self.width / 2);
        match from {
            Side::Client => far,
            Side::Server => self.width - 1 - far,
        }
    }

    /// Returns the arrow of a moment, and what had no room beside it.
    pub(super) fn arrow(
        self,
        passage: &Passage,
        moment: LifeMoment,
        origins: SequenceOrigins,
    ) -> (String, Option<String>) {
        let (flags, words) = label(passage, origins);
        if moment == LifeMoment::Arrives {
            return (self.arrival(passage.from, &flags), None);
        }
        let whole = format!("{flags} {words}").trim_end().to_owned();
        let (text, left) = match whole.chars().count() <= self.room() {
            true => (whole, None),
            false => (cut(&flags, self.room()), Some(words)),
        };
        let arrow = match moment {
            LifeMoment::Heard => self.straight(passage.from, &text),
            _ => self.departure(passage, &text),
        };
        (arrow, left)
    }

    /// `── [S] seq 0 ───────>`
    fn straight(self, from: Side, text: &str) -> String {
        let line = self.width.saturating_sub(text.chars().count() + LINE + 3);
        let line = "─".repeat(line);
        let begin = "─".repeat(LINE);
        match from {
            Side::Client => format!("{begin} {text} {line}>"),
            Side::Server => format!("<{line} {text} {begin}"),
        }
    }

    /// `── [S] seq 0 ────╮`, or an x where it ends.
    fn departure(self, passage: &Passage, text: &str) -> String {
        let turn = self.turn(Side::Client);
        let line = "─".repeat(turn.saturating_sub(text.chars().count() + LINE + 2));
        let begin = "─".repeat(LINE);
        let lost = passage.fate.is_lost();
        match passage.from {
            Side::Client => format!("{begin} {text} {line}{}", if lost { 'x' } else { '╮' }),
            Side::Server => {
                let end = if lost { 'x' } else { '╭' };
                let arrow = format!("{end}{line} {text} {begin}");
                format!("{arrow:>width$}", width = self.width)
            }
        }
    }

    /// `╰─ [S] ─>`
    fn arrival(self, from: Side, flags: &str) -> String {
        let turn = self.turn(Side::Client);
        let room = self.width.saturating_sub(turn + 2);
        let text = if flags.chars().count() > room { "" } else { flags };
        let line = "─".repeat(room.saturating_sub(text.chars().count()));
        match from {
            Side::Client => format!("{:turn$}╰{text}{line}>", ""),
            Side::Server => format!("<{line}{text}╯"),
        }
    }

    /// Draws the packets that are on their way through a line that is not theirs.
    pub(super) fn with_under_way(self, line: &str, client: bool, server: bool) -> String {
        let mut letters: Vec<char> = line.chars().collect();
        letters.resize(self.width, ' ');
        let turns = [(client, Side::Client), (server, Side::Server)];
        for (_, side) in turns.into_iter().filter(|(under_way, _)| *under_way) {
            let turn = self.turn(side);
            let at = |place: Option<usize>| place.and_then(|place| letters.get(place).copied());
            let is_line = |letter: Option<char>| letter.is_none_or(|it| " ─<>".contains(it));
            // Not through words.
            let free = is_line(at(turn.checked_sub(1))) && is_line(at(turn.checked_add(1)));
            match letters.get_mut(turn) {
                Some(letter @ ' ') if free => *letter = '│',
                Some(letter @ '─') if free => *letter = '┼',
                _ => {}
            }
        }
        letters.into_iter().collect()
    }

    /// Where words begin below an arrow, and their room: beside the turns of what is under way.
    ///
    /// The lane of packets that arrive at once has no turns.
    pub(super) fn below(self) -> (usize, usize) {
        let (from, to) = match self.slants {
            true => (self.turn(Side::Server) + 2, self.turn(Side::Client).saturating_sub(1)),
            false => (LINE + 1, self.width.saturating_sub(1)),
        };
        (from, to.saturating_sub(from).max(1))
    }
}

/// The line that a message begins with, and what the cable did to the packet.
pub(super) fn remarks(passage: &Passage) -> Vec<String> {
    let deed = match &passage.fate {
        PassageFate::Reset => Some("the cable drops it, and sends a RST to both ends".to_owned()),
        PassageFate::LostByChance => Some("lost on the cable, by chance".to_owned()),
        PassageFate::Cut => Some("lost: the cable is cut".to_owned()),
        fate => deed(fate).map(|deed| format!("{deed} by the cable")),
    };
    begins(passage).into_iter().chain(deed).collect()
}
