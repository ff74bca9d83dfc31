//! How small facts are put into words, the same in every report.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anstyle::{AnsiColor, Style};
use evidence::{Owner, TcpState, Timer};

/// The style of a heading.
pub const HEADING: Style = Style::new().bold();
/// The style of what explains and is no finding.
pub const FAINT: Style = Style::new().dimmed();
/// The style of what a learner should not miss.
pub const STRIKING: Style = AnsiColor::Yellow.on_default().bold();

/// Stands for what is not there.
pub const NONE: &str = "—";
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
    let counts: Vec<String> =
        counts.iter().map(|(state, count)| format!("{state} {count}")).collect();
    counts.join(" · ")
}

/// `hello (4711)`, `nginx (812, 813)`: the processes that hold a socket, by name.
///
/// A process chooses its own name: what would disturb a terminal is shown as `?`.
#[must_use]
pub fn owners(owners: &[Owner]) -> String {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for owner in owners {
        let name = owner.process.replace(char::is_control, "?");
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
        assert_eq!(owners(&[owner(1, "\x1b[31mred\n")]), "?[31mred? (1)");
    }

    #[test]
    fn a_tally_is_in_the_order_of_a_connection_s_life() {
        let counts = BTreeMap::from([(TcpState::TimeWait, 80), (TcpState::Established, 2)]);
        assert_eq!(tally(&counts), "ESTABLISHED 2 · TIME_WAIT 80");
    }
}
