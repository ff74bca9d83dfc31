//! Which sockets are asked for.

use std::collections::BTreeSet;
use std::fmt;

use evidence::{Socket, TcpState};

/// Which sockets to list. The default lists them all; each part narrows it.
///
/// ```
/// use evidence::TcpState;
/// use socket_table::SocketFilter;
///
/// let filter = SocketFilter::default().port(8080).state(TcpState::TimeWait);
/// assert_eq!(filter.to_string(), "with port 8080 at either end, in TIME_WAIT");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketFilter {
    /// Only sockets with one of these ports (host byte order) at either end; every port if empty.
    pub ports: Vec<u16>,
    /// Only sockets in one of these states; every state if empty.
    pub states: BTreeSet<TcpState>,
    /// Ports that are known to be servers'. Selects nothing: it decides which end of a connection
    /// a socket is, before anything is worked out.
    pub servers: Vec<u16>,
}

impl SocketFilter {
    /// Selects sockets with `port` at either end, too.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Selects sockets in `state`, too.
    #[must_use]
    pub fn state(mut self, state: TcpState) -> Self {
        self.states.insert(state);
        self
    }

    /// Declares `port` a server's, whatever it looks like.
    #[must_use]
    pub fn server(mut self, port: u16) -> Self {
        self.servers.push(port);
        self
    }

    /// Returns true if it asks for `socket`.
    #[must_use]
    pub fn selects(&self, socket: &Socket) -> bool {
        let has = |port| self.ports.contains(&port);
        (self.states.is_empty() || self.states.contains(&socket.state))
            && (self.ports.is_empty() || has(socket.local.port()) || has(socket.peer.port()))
    }

    /// Returns true if it asks for every socket.
    pub(crate) fn selects_everything(&self) -> bool {
        self.states.is_empty() && self.ports.is_empty()
    }

    /// Returns true if it asks for every listening socket.
    pub(crate) fn selects_every_listener(&self) -> bool {
        self.ports.is_empty() && (self.states.is_empty() || self.states.contains(&TcpState::Listen))
    }
}

impl fmt::Display for SocketFilter {
    /// Completes "TCP sockets …": `with port 8080 at either end, in TIME_WAIT or CLOSE_WAIT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ports.is_empty() {
            f.write_str("on this machine")?;
        } else {
            f.write_str("with port ")?;
            alternatives(&self.ports, f)?;
            f.write_str(" at either end")?;
        }
        if !self.states.is_empty() {
            f.write_str(", in ")?;
            alternatives(&self.states, f)?;
        }
        Ok(())
    }
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives<'a, T: fmt::Display + 'a>(
    items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let items = items.into_iter();
    let last = items.len().saturating_sub(1);
    for (n, item) in items.enumerate() {
        match n {
            0 => write!(f, "{item}")?,
            n if n == last => write!(f, " or {item}")?,
            _ => write!(f, ", {item}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reads_as_the_rest_of_a_sentence() {
        let everything = SocketFilter::default();
        assert_eq!(everything.to_string(), "on this machine");
        let filter = everything
            .port(8080)
            .port(9090)
            .port(80)
            .state(TcpState::TimeWait)
            .state(TcpState::Listen);
        assert_eq!(
            filter.to_string(),
            "with port 8080, 9090 or 80 at either end, in LISTEN or TIME_WAIT"
        );
    }
}
