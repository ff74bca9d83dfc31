//! What is on the screen, and what a key does to it.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use evidence::{Observed, Socket, TcpState};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use socket_table::{SocketLedger, TableLook, TimeInState};

use super::connections::{SeenConnection, SeenConnections, SeenEnd};
use super::search::ConnectionSearch;
use super::tallies::StateTallies;

/// In which order connections are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// The latest that came first.
    Newest,
    /// Connections that may need somebody's attention first: closed by the peer and not noticed,
    /// then what is open, waits, is over.
    State,
    /// Connections that have been as they are for the longest time first.
    Longest,
}

impl ListOrder {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::State => "by state",
            Self::Longest => "longest first",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Newest => Self::State,
            Self::State => Self::Longest,
            Self::Longest => Self::Newest,
        }
    }
}

/// The request of a key to whoever reads the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRequest {
    Nothing,
    Quit,
}

/// Everything there is to show.
#[derive(Debug)]
pub(crate) struct WatchApp {
    /// The sockets that are watched, in words.
    pub(crate) about: String,
    pub(crate) interval: Duration,
    /// The time between the latest looks, as it is on average.
    pace: Duration,
    pub(crate) begun: Instant,
    /// The time of the latest look.
    pub(crate) now: Instant,
    pub(crate) connections: SeenConnections,
    pub(crate) tallies: StateTallies,
    pub(crate) order: ListOrder,
    /// The words that are typed behind `/`.
    pub(crate) typed: String,
    pub(crate) is_typing: bool,
    search: ConnectionSearch,
    pub(crate) is_paused: bool,
    /// True if the next look is the first, or the first after a pause.
    is_resumed: bool,
    /// The number of the connection that is looked at closely.
    selected: Option<u64>,
    /// The connections that are shown, in their order.
    shown: Vec<u64>,
    /// How many rows the list has room for, as it was drawn last.
    pub(crate) room: usize,
    /// How many looks came to nothing, as the table changed faster than it could be read.
    pub(crate) failed_looks: usize,
    /// How many sockets came and went of which nobody saw who held them, where that matters.
    pub(crate) unattributed: usize,
    /// Words that hold for the whole watch: what cannot be seen here, and why. Empty if
    /// nothing is kept from us.
    pub(crate) note: String,
    /// True if only one end of connections is asked for.
    pub(crate) is_one_sided: bool,
}

impl WatchApp {
    pub(crate) fn new(about: String, interval: Duration, begun: Instant) -> Self {
        Self {
            about,
            interval,
            pace: interval,
            begun,
            now: begun,
            connections: SeenConnections::default(),
            tallies: StateTallies::new(begun, interval),
            order: ListOrder::Newest,
            typed: String::new(),
            is_typing: false,
            search: ConnectionSearch::default(),
            is_paused: false,
            is_resumed: true,
            selected: None,
            shown: Vec::new(),
            room: 1,
            failed_looks: 0,
            unattributed: 0,
            note: String::new(),
            is_one_sided: false,
        }
    }

    /// Takes in a look, which `ledger` has taken in, too.
    pub(crate) fn take_in(&mut self, look: &TableLook, ledger: &SocketLedger) {
        look.found.iter().for_each(|socket| self.connections.found(socket));
        self.connections.follow(&look.changes, look.at);
        self.unattributed += look.unattributed;
        self.tallies.record(&look.table.sockets, look.at);
        if !self.is_resumed {
            self.pace = (self.pace * 7 + look.at.saturating_duration_since(self.now)) / 8;
        }
        (self.now, self.is_resumed) = (look.at, false);
        self.arrange(ledger);
    }

    /// How often it looks: as it is meant to, unless looks take too long for that.
    pub(crate) fn pace(&self) -> Duration {
        if self.pace <= self.interval * 5 / 4 {
            return self.interval;
        }
        Duration::from_millis(10) * u32::try_from(self.pace.as_millis() / 10).unwrap_or(u32::MAX)
    }

    /// Does what a key asks for.
    pub(crate) fn press(&mut self, key: KeyEvent, ledger: &SocketLedger) -> KeyRequest {
        let with_ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if with_ctrl => return KeyRequest::Quit,
            KeyCode::Char('u') if with_ctrl && self.is_typing => self.retype(String::clear),
            KeyCode::Char('w') if with_ctrl && self.is_typing => self.retype(forget_word),
            KeyCode::Char(_) if with_ctrl || key.modifiers.contains(KeyModifiers::ALT) => {}
            _ if self.is_typing => self.type_key(key.code),
            KeyCode::Char('q') => return KeyRequest::Quit,
            KeyCode::Esc if !self.typed.is_empty() => self.type_key(KeyCode::Esc),
            KeyCode::Esc => self.selected = None,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('c') => self.connections.forget_over(),
            KeyCode::Char(' ') => {
                self.is_paused = !self.is_paused;
                self.is_resumed = true;
            }
            KeyCode::Down | KeyCode::Char('j') => self.select(|at| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(|at| at.saturating_sub(1)),
            KeyCode::PageDown => self.select_far(|at, room| at + room),
            KeyCode::PageUp => self.select_far(usize::saturating_sub),
            KeyCode::Home => self.select(|_| 0),
            KeyCode::End => self.select(|_| usize::MAX),
            _ => {}
        }
        self.arrange(ledger);
        KeyRequest::Nothing
    }

    /// The connections that are shown, in their order.
    pub(crate) fn shown(&self) -> impl ExactSizeIterator<Item = &u64> {
        self.shown.iter()
    }

    /// The place of the selected connection among those that are shown.
    pub(crate) fn selected(&self) -> Option<usize> {
        let selected = self.selected?;
        self.shown.iter().position(|number| *number == selected)
    }

    /// The connection whose past is told: the selected one, or the first.
    pub(crate) fn told(&self) -> Option<&SeenConnection> {
        let number = self.selected().and_then(|at| self.shown.get(at)).or(self.shown.first())?;
        self.connections.get(*number)
    }

    fn type_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.retype(String::clear);
                self.is_typing = false;
            }
            KeyCode::Backspace if self.typed.is_empty() => self.is_typing = false,
            KeyCode::Backspace => self.retype(|typed| {
                typed.pop();
            }),
            KeyCode::Char(c) => self.retype(|typed| typed.push(c)),
            _ => {}
        }
    }

    fn retype(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.typed);
        self.search = ConnectionSearch::read(&self.typed);
    }

    /// Selects another connection: the first if none was.
    fn select(&mut self, step: impl FnOnce(usize) -> usize) {
        let at = self.selected().map_or(0, step);
        let last = self.shown.len().saturating_sub(1);
        self.selected = self.shown.get(at.min(last)).copied();
    }

    fn select_far(&mut self, step: impl FnOnce(usize, usize) -> usize) {
        let room = self.room.max(1);
        self.select(|at| step(at, room));
    }

    /// Chooses the connections that are shown, and their order.
    fn arrange(&mut self, ledger: &SocketLedger) {
        let is_found =
            |it: &&SeenConnection| self.search.is_everything() || self.search.matches(it, ledger);
        let mut shown: Vec<&SeenConnection> =
            self.connections.iter().rev().filter(is_found).collect();
        match self.order {
            ListOrder::Newest => {}
            ListOrder::State => shown.sort_by_cached_key(|it| rank(it, ledger)),
            ListOrder::Longest => {
                let now = self.now;
                shown.sort_by_cached_key(|it| Reverse(unchanged_for(it, ledger, now).least));
            }
        }
        self.shown = shown.into_iter().map(|it| it.number).collect();
    }
}

/// Drops the last word.
fn forget_word(typed: &mut String) {
    let end = typed.trim_end().rfind(' ').map_or(0, |space| space + 1);
    typed.truncate(end);
}

/// Returns what comes first in [`ListOrder::State`].
fn rank(connection: &SeenConnection, ledger: &SocketLedger) -> u8 {
    let rank = |end: &SeenEnd| match end.state() {
        TcpState::CloseWait => 0,
        TcpState::Established if ledger.latest(&end.socket).is_some_and(is_unread) => 1,
        TcpState::Established => 2,
        TcpState::TimeWait => 4,
        TcpState::Closed => 5,
        _ => 3,
    };
    connection.seen().map(rank).min().unwrap_or(u8::MAX)
}

fn is_unread(socket: &Socket) -> bool {
    matches!(socket.unread(), Observed::Known(1..))
}

/// For how long the connection has been as it is, as far as the looks show.
pub(crate) fn unchanged_for(
    connection: &SeenConnection,
    ledger: &SocketLedger,
    now: Instant,
) -> TimeInState {
    if let Some(over) = connection.over() {
        let since = now.saturating_duration_since(over);
        return TimeInState { least: since, most: Some(since) };
    }
    let there = connection.seen().filter(|end| end.gone.is_none());
    let times = there.filter_map(|end| ledger.in_state(&end.socket));
    let latest = times.min_by_key(|time| (time.most.is_none(), time.least));
    latest.unwrap_or(TimeInState { least: Duration::ZERO, most: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::samples::{client, looked, server, take_in};

    use TcpState::{CloseWait, Established, TimeWait};

    fn press(app: &mut WatchApp, ledger: &SocketLedger, keys: &str) -> KeyRequest {
        let mut asked = KeyRequest::Nothing;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\u{8}' => KeyCode::Backspace,
                '↓' => KeyCode::Down,
                '↑' => KeyCode::Up,
                other => KeyCode::Char(other),
            };
            asked = app.press(KeyEvent::from(code), ledger);
        }
        asked
    }

    fn numbers(app: &WatchApp) -> Vec<u64> {
        app.shown().copied().collect()
    }

    #[test]
    fn what_is_typed_narrows_at_once_and_esc_shows_all_again() {
        let sockets = vec![client(1, Established), client(2, TimeWait), client(3, TimeWait)];
        let (mut app, ledger) = looked(&[sockets]);
        assert_eq!(numbers(&app), [3, 2, 1], "newest first");
        press(&mut app, &ledger, "/time_w");
        assert_eq!(numbers(&app), [3, 2]);
        press(&mut app, &ledger, " 40002q");
        assert_eq!(numbers(&app), [] as [u64; 0], "q is a letter while one types");
        press(&mut app, &ledger, "\u{8}\n");
        assert_eq!(numbers(&app), [2]);
        assert!(!app.is_typing);
        assert_eq!(press(&mut app, &ledger, "\u{1b}"), KeyRequest::Nothing);
        assert_eq!(numbers(&app).len(), 3);
        assert_eq!(press(&mut app, &ledger, "\u{1b}"), KeyRequest::Nothing);
        assert_eq!(press(&mut app, &ledger, "q"), KeyRequest::Quit);
    }

    #[test]
    fn the_selected_connection_stays_selected_when_others_come() {
        let first = vec![client(1, Established), client(2, Established)];
        let (mut app, mut ledger) = looked(std::slice::from_ref(&first));
        press(&mut app, &ledger, "↓↓");
        assert_eq!(app.told().unwrap().number, 1);
        let sockets = [first, vec![client(3, Established)]].concat();
        let at = app.now + Duration::from_secs(1);
        take_in(&mut app, &mut ledger, &sockets, at);
        assert_eq!((app.told().unwrap().number, app.selected()), (1, Some(2)));
        press(&mut app, &ledger, "↓↓↓↑");
        assert_eq!(app.told().unwrap().number, 2, "there is nothing below the last");
    }

    #[test]
    fn what_needs_attention_comes_first_by_state() {
        let (mut app, ledger) = looked(&[
            vec![client(1, TimeWait), server(2, Established), client(3, CloseWait)],
            vec![
                client(1, TimeWait),
                server(2, Established),
                client(3, CloseWait),
                client(4, TimeWait),
            ],
        ]);
        press(&mut app, &ledger, "s");
        assert_eq!(numbers(&app), [3, 2, 4, 1]);
        press(&mut app, &ledger, "s");
        assert_eq!(numbers(&app)[3], 4, "the youngest is last");
        press(&mut app, &ledger, "s");
        assert_eq!(numbers(&app), [4, 3, 2, 1]);
    }

    #[test]
    fn a_word_and_a_line_are_taken_back_as_in_a_shell() {
        let (mut app, ledger) = looked(&[vec![]]);
        press(&mut app, &ledger, "/time_wait hello");
        let ctrl = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        for (letter, left) in [('w', "time_wait "), ('x', "time_wait "), ('w', "")] {
            app.press(ctrl(letter), &ledger);
            assert_eq!(app.typed, left);
        }
        press(&mut app, &ledger, "a b");
        app.press(ctrl('u'), &ledger);
        assert_eq!(app.typed, "");
    }

    #[test]
    fn ctrl_c_ends_it_even_while_one_types() {
        let (mut app, ledger) = looked(&[vec![]]);
        press(&mut app, &ledger, "/");
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.press(ctrl_c, &ledger), KeyRequest::Quit);
    }
}
