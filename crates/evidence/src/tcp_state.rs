//! The eleven states of a TCP connection (RFC 9293 section 3.3.2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A state of one end of a TCP connection, printed the way `netstat` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&str", try_from = "String")]
pub enum TcpState {
    /// Waits for connections to come in.
    Listen,
    /// Has sent its SYN, waits for the answer.
    SynSent,
    /// Has answered a SYN, waits for the handshake's last ACK.
    SynReceived,
    /// Open: data may flow both ways.
    Established,
    /// Closed first: its FIN is not acknowledged yet.
    FinWait1,
    /// Closed first: its FIN is acknowledged, the peer's has not come.
    FinWait2,
    /// The peer has closed; this end has not.
    CloseWait,
    /// Both ends closed at once; waits for the ACK of its FIN.
    Closing,
    /// Closed second: waits for the ACK of its FIN.
    LastAck,
    /// Closed first and is done; keeps the addresses reserved for a while (60 s on Linux).
    TimeWait,
    /// No connection at all.
    Closed,
}

impl From<TcpState> for &'static str {
    fn from(state: TcpState) -> Self {
        state.name()
    }
}

impl TryFrom<String> for TcpState {
    type Error = UnknownTcpState;

    fn try_from(name: String) -> Result<Self, UnknownTcpState> {
        name.parse()
    }
}

impl TcpState {
    /// Every state, in the order a connection may meet them.
    pub const ALL: [Self; 11] = [
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
        Self::Closed,
    ];

    /// The name `netstat` prints, such as `TIME_WAIT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// The state under Linux's number for it (`include/net/tcp_states.h`). What has just answered a
    /// SYN has two of them. `None` for a number that is no state of a connection: 13, a socket that
    /// is bound and no more, and all beyond.
    #[must_use]
    pub fn from_linux(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }

    /// Returns true if a healthy connection passes through this state within moments, so that a
    /// table that shows it has not settled yet.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::SynSent
                | Self::SynReceived
                | Self::FinWait1
                | Self::FinWait2
                | Self::Closing
                | Self::LastAck
        )
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no TCP state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTcpState(String);

impl fmt::Display for UnknownTcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no TCP state; the states are", self.0)?;
        for (n, state) in TcpState::ALL.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma} {}", state.name().to_lowercase().replace('_', "-"))?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownTcpState {}

impl FromStr for TcpState {
    type Err = UnknownTcpState;

    /// Reads `time-wait`, `TIME_WAIT`, `fin-wait-1`, `FIN_WAIT1` and `syn-received` alike.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let squeeze =
            |name: &str| name.to_lowercase().replace(['_', '-'], "").replace("received", "recv");
        Self::ALL
            .into_iter()
            .find(|state| squeeze(state.name()) == squeeze(text))
            .ok_or_else(|| UnknownTcpState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back_from_its_name_and_from_ss_spelling() {
        for state in TcpState::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(state.name().to_lowercase().replace('_', "-").parse(), Ok(state));
        }
        assert_eq!("fin-wait-2".parse(), Ok(TcpState::FinWait2));
        assert_eq!("FIN_WAIT2".parse(), Ok(TcpState::FinWait2));
        assert_eq!("syn-received".parse(), Ok(TcpState::SynReceived));
    }

    #[test]
    fn a_word_that_is_no_state_is_refused_with_the_list_of_states() {
        let error = "waiting".parse::<TcpState>().unwrap_err().to_string();
        assert!(error.starts_with("`waiting` is no TCP state"), "{error}");
        assert!(error.contains("time-wait"), "{error}");
    }

    #[test]
    fn a_state_travels_under_the_name_that_netstat_prints() {
        for state in TcpState::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.name()));
            assert_eq!(serde_json::from_str::<TcpState>(&json).unwrap(), state);
        }
        assert!(serde_json::from_str::<TcpState>("\"WAITING\"").is_err());
    }
}
