//! Which connections are shown: what is typed behind `/`.

use socket_table::SocketLedger;

use super::connections::SeenConnection;

/// Words, all of which a connection must match; `!word` must not match.
///
/// A word matches a part of an address, of a state's name, of an owner's name, or a whole process
/// id; `open` and `over` match what is there and what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionSearch {
    words: Vec<SearchWord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SearchWord {
    is_wanted: bool,
    lower: String,
    /// As the names of states are written: `time-wait` is `TIME_WAIT`.
    upper: String,
}

impl SearchWord {
    fn read(typed: &str) -> Self {
        let (is_wanted, word) = typed.strip_prefix('!').map_or((true, typed), |word| (false, word));
        let upper = word.to_uppercase().replace('-', "_");
        Self { is_wanted, lower: word.to_lowercase(), upper }
    }

    fn matches(&self, connection: &SeenConnection, ledger: &SocketLedger) -> bool {
        let Self { lower, upper, .. } = self;
        let over = connection.over().is_some();
        (lower == "over" && over)
            || (lower == "open" && !over)
            || connection.ends().iter().any(|(address, _)| address.contains(lower.as_str()))
            || connection.seen().any(|end| end.state().name().contains(upper.as_str()))
            || connection.owners(ledger).any(|owner| {
                owner.pid.to_string() == *lower
                    || owner.process.to_lowercase().contains(lower.as_str())
            })
    }
}

impl ConnectionSearch {
    pub(crate) fn read(typed: &str) -> Self {
        let words = typed.split_whitespace().map(SearchWord::read);
        Self { words: words.filter(|word| !word.lower.is_empty()).collect() }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn matches(&self, connection: &SeenConnection, ledger: &SocketLedger) -> bool {
        self.words.iter().all(|word| word.matches(connection, ledger) == word.is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::connections::SeenConnections;
    use super::super::samples::{client, server};
    use evidence::TcpState;

    #[test]
    fn every_word_narrows() {
        let (mut connections, ledger) = (SeenConnections::default(), SocketLedger::default());
        for socket in [
            client(1, TcpState::Established),
            server(1, TcpState::Established),
            client(2, TcpState::TimeWait),
            server(3, TcpState::CloseWait),
        ] {
            connections.found(&socket);
        }
        let shown = |typed: &str| -> Vec<u64> {
            let search = ConnectionSearch::read(typed);
            connections
                .iter()
                .filter(|it| search.matches(it, &ledger))
                .map(|it| it.number)
                .collect()
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
}
