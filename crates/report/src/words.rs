//! How small facts are put into words, the same in every report.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use evidence::{Owner, TcpState, Timer};

/// The style of a heading.
pub const HEADING: Style = Style::new().bold();
/// The style of what explains and is no finding.
pub const FAINT: Style = Style::new().dimmed();
/// The style of what went as it should.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// The style of what did not.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of what a learner should not miss.
pub const STRIKING: Style = AnsiColor::Yellow.on_default().bold();

/// Stands for what is not there.
pub const NONE: &str = "—";
/// Stands for the owner of a socket that no process of this machine is seen to hold.
pub const NO_PROCESS: &str = "no process";
/// Stands for what could not be seen.
pub const UNSEEN: &str = "?";

/// The style in which a state is shown: open, closed by this end, closed by the peer, passing.
#[must_use]
pub fn state_style(state: TcpState) -> Style {
    match state {
        TcpState::Established => AnsiColor::Green.on_default(),
        TcpState::TimeWait => AnsiColor::Yellow.on_default(),
        TcpState::CloseWait => AnsiColor::Red.on_default(),
        TcpState::Listen => AnsiColor::Cyan.on_default(),
        _ => AnsiColor::Magenta.on_default(),
    }
}

/// An address as people write it: IPv4 that a dual-stack socket carries is plain IPv4.
#[must_use]
pub fn address(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()).to_string(),
        IpAddr::V6(_) => address.to_string(),
    }
}

/// `timewait 57.3 s`, `keepalive 7199 s`: a timer and the time it has left.
#[must_use]
pub fn timer(timer: Timer) -> String {
    let seconds = timer.left.as_secs_f64();
    let decimals = if seconds < 100.0 { 1 } else { 0 };
    format!("{} {seconds:.decimals$} s", timer.kind.name())
}

/// `ESTABLISHED 2 · TIME_WAIT 80`: how many are in which state.
#[must_use]
pub fn tally(counts: &BTreeMap<TcpState, usize>) -> String {
    tally_lines(counts, usize::MAX).concat()
}

/// The same in lines of at most `width` characters, unless one count alone is longer.
#[must_use]
pub fn tally_lines(counts: &BTreeMap<TcpState, usize>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (state, count) in counts {
        let count = format!("{state} {count}");
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + count.chars().count() <= width => {
                line.push_str(" · ");
                line.push_str(&count);
            }
            _ => lines.push(count),
        }
    }
    lines
}

/// `20ms`, `1s`, `1m 30s`: a time that somebody has asked for.
#[must_use]
pub fn span(time: Duration) -> String {
    let parts = [
        (time.as_secs() / 3600, "h"),
        (time.as_secs() / 60 % 60, "m"),
        (time.as_secs() % 60, "s"),
        (u64::from(time.subsec_millis()), "ms"),
        (u64::from(time.subsec_micros() % 1000), "us"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

/// `0.31 ms`, `12.3 ms`, `1.00 s`: a time that was measured, in at most seven characters.
#[must_use]
pub fn short(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 9.995 => format!("{ms:.2} ms"),
        ms if ms < 99.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 99_995.0 => format!("{:.2} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// `12.345s`: a moment of a run.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{:.3}s", time.as_secs_f64())
}

/// The number of characters of `text` that are shown: its colours take no room.
#[must_use]
pub fn shown_width(text: &str) -> usize {
    let mut shown = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // ESC [ … m
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            shown += 1;
        }
    }
    shown
}

/// Breaks `text` into lines of at most `width` characters that are shown, between words.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if shown_width(line) + 1 + shown_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Breaks `text` into lines of at most `width` characters: after a space where there is one, within
/// a word where there is none. Unlike [`wrap`] it leaves every character as it is.
#[must_use]
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > width.max(1) {
        let fits = rest.get(..=width).unwrap_or(&rest);
        let at = fits.iter().rposition(|c| *c == ' ').map_or(width.max(1), |space| space + 1);
        let tail = rest.split_off(at);
        lines.push(rest.into_iter().collect::<String>());
        rest = tail;
    }
    lines.push(rest.into_iter().collect());
    lines
}

/// An address in words, within `width` characters: of a long one the beginning and the port.
#[must_use]
pub fn shortened(address: &str, width: usize) -> String {
    if address.chars().count() <= width {
        return address.to_owned();
    }
    let port = address.rsplit_once(':').map_or("", |(_, port)| port);
    let bracket = if address.starts_with('[') { "]" } else { "" };
    let end = format!("…{bracket}:{port}");
    let room = width.saturating_sub(end.chars().count());
    address.chars().take(room).chain(end.chars()).collect()
}

/// Returns true for characters that command a terminal, or turn the direction of writing.
#[must_use]
pub fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns what others have sent, so that it cannot disturb a terminal: characters that would
/// ([`disturbs`]) are shown as their numbers, such as `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> String {
    printable_but(text, &[])
}

/// The same of a text that may have several lines: those stay, and so do tabs.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    printable_but(text, &['\n', '\t'])
}

fn printable_but(text: &str, kept: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if disturbs(c) && !kept.contains(&c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `1 request`, `10 requests`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `hello (4711)`, `nginx (812, 813)`: the processes that hold a socket, by name.
///
/// A process chooses its own name, so it is made [`printable`].
#[must_use]
pub fn owners(owners: &[Owner]) -> String {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for owner in owners {
        let name = printable(&owner.process);
        by_name.entry(name).or_default().push(owner.pid.to_string());
    }
    let owners: Vec<String> =
        by_name.iter().map(|(name, pids)| format!("{name} ({})", pids.join(", "))).collect();
    owners.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32, process: &str) -> Owner {
        Owner { pid, process: process.to_owned() }
    }

    #[test]
    fn processes_of_one_name_are_told_together() {
        assert_eq!(owners(&[owner(4711, "hello")]), "hello (4711)");
        let forked = [owner(812, "nginx"), owner(813, "nginx"), owner(7, "spy")];
        assert_eq!(owners(&forked), "nginx (812, 813), spy (7)");
    }

    #[test]
    fn a_process_cannot_paint_the_terminal_by_its_name() {
        assert_eq!(owners(&[owner(1, "\x1b[31mred\n")]), "\\u{1b}[31mred\\u{a} (1)");
    }

    #[test]
    fn what_is_folded_stays_what_it_is() {
        for text in ["", "a", "a b  c", "aaaaaaaaaaaa", "aa bbbbbbbb c", "a     b ccc"] {
            for width in 1..14 {
                let lines = fold(text, width);
                assert_eq!(lines.concat(), text);
                assert!(lines.iter().all(|line| line.trim_end().chars().count() <= width));
            }
        }
        assert_eq!(fold("one two three", 8), ["one two ", "three"]);
    }

    #[test]
    fn what_others_send_cannot_paint_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31m\u{9b}b\u{202e}ö\t"),
            "a\\u{1b}[31m\\u{9b}b\\u{202e}ö\\u{9}"
        );
        assert_eq!(printable_lines("a\n\tb\u{1b}\r"), "a\n\tb\\u{1b}\\u{d}");
    }

    #[test]
    fn times_are_asked_for_exactly_and_measured_shortly() {
        let spans = [(0, "0s"), (20_000, "20ms"), (1_000_000, "1s"), (90_000_500, "1m 30s 500us")];
        for (us, text) in spans {
            assert_eq!(span(Duration::from_micros(us)), text);
        }
        let shorts =
            [(312, "0.31 ms"), (9_999, "10.0 ms"), (99_960, "100 ms"), (999_700, "1.00 s")];
        for (us, text) in shorts {
            assert_eq!(short(Duration::from_micros(us)), text);
        }
    }

    #[test]
    fn a_tally_is_in_the_order_of_a_connection_s_life() {
        let counts = BTreeMap::from([(TcpState::TimeWait, 80), (TcpState::Established, 2)]);
        assert_eq!(tally(&counts), "ESTABLISHED 2 · TIME_WAIT 80");
        assert_eq!(tally_lines(&counts, 27), ["ESTABLISHED 2", "TIME_WAIT 80"]);
        assert_eq!(tally_lines(&counts, 28), ["ESTABLISHED 2 · TIME_WAIT 80"]);
    }
}
