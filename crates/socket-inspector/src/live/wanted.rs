//! Which connections are shown: what is typed behind `/`.

use evidence::TcpState;

use super::connections::{Connection, End};

/// Words, all of which a connection must match; `!word` must not match.
///
/// A word matches a part of an address, of a state's name, of an owner's name, or a whole process
/// id; `open` and `over` match what is there and what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    words: Vec<(bool, String)>,
}

impl Wanted {
    pub(crate) fn read(typed: &str) -> Self {
        let word = |word: &str| match word.strip_prefix('!') {
            Some(unwanted) => (false, plain(unwanted)),
            None => (true, plain(word)),
        };
        let words = typed.split_whitespace().map(word).filter(|(_, word)| !word.is_empty());
        Self { words: words.collect() }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn matches(&self, connection: &Connection) -> bool {
        self.words.iter().all(|(wanted, word)| names(connection, word) == *wanted)
    }
}

fn names(connection: &Connection, word: &str) -> bool {
    let over = connection.over().is_some();
    (word == "over" && over)
        || (word == "open" && !over)
        || connection.ends().iter().any(|(address, _)| address.contains(word))
        || connection.seen().map(End::state).any(|state| state_name(state).contains(word))
        || connection
            .owners()
            .any(|owner| owner.pid.to_string() == word || plain(&owner.process).contains(word))
}

/// The states' names as [`plain`] makes them, without making them each time.
fn state_name(state: TcpState) -> &'static str {
    match state {
        TcpState::Listen => "listen",
        TcpState::SynSent => "syn_sent",
        TcpState::SynReceived => "syn_recv",
        TcpState::Established => "established",
        TcpState::FinWait1 => "fin_wait_1",
        TcpState::FinWait2 => "fin_wait_2",
        TcpState::CloseWait => "close_wait",
        TcpState::Closing => "closing",
        TcpState::LastAck => "last_ack",
        TcpState::TimeWait => "time_wait",
        TcpState::Closed => "closed",
    }
}

/// `time-wait` is `TIME_WAIT`.
fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::connections::Connections;
    use super::super::samples::{client, server};

    #[test]
    fn every_word_narrows() {
        let mut connections = Connections::default();
        for socket in [
            client(1, TcpState::Established),
            server(1, TcpState::Established),
            client(2, TcpState::TimeWait),
            server(3, TcpState::CloseWait),
        ] {
            connections.found(&socket);
        }
        let shown = |typed: &str| -> Vec<u64> {
            let wanted = Wanted::read(typed);
            connections.iter().filter(|it| wanted.matches(it)).map(|it| it.number).collect()
        };
        assert_eq!(shown(""), [1, 2, 3]);
        assert_eq!(shown("time-wait"), [2]);
        assert_eq!(shown("ESTAB"), [1]);
        assert_eq!(shown(":8080"), [1, 2, 3]);
        assert_eq!(shown("40003"), [3]);
        assert_eq!(shown("hello"), [1, 3]);
        assert_eq!(shown("4711"), [1]);
        assert_eq!(shown("hello !close_wait"), [1]);
        assert_eq!(shown("over"), [] as [u64; 0]);
        assert_eq!(shown("open !"), [1, 2, 3]);
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in TcpState::ALL {
            assert_eq!(state_name(state), plain(state.name()));
        }
    }
}
