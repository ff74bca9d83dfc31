//! From a pool to what ails it: the rules, each with the evidence that it takes.

use std::time::Duration;

use evidence::AcceptQueue;

use super::client_pool::ClientPool;
use super::standing::{ConnectionStanding, PoolConnection, StandingTime};

/// An ailment of a pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PoolAilment {
    /// Sockets are connected to themselves.
    ToItself {
        /// How many.
        connections: usize,
    },
    /// Connections do not get through the handshake.
    NoHandshake {
        /// How many connections.
        connections: usize,
        /// How often the most patient of them has sent its SYN again.
        syns_again: u8,
        /// The server's queue, if that is full.
        full: Option<AcceptQueue>,
    },
    /// The other end's TCP does not answer what is sent.
    Unanswered {
        /// How many connections.
        connections: usize,
        /// The bytes that they have sent and nobody has acknowledged.
        unacknowledged: u64,
        /// How often the same was sent again in a row, at the most.
        resent: u8,
        /// How many probes in a row were not answered, at the most.
        probes: u8,
    },
    /// Bodies are not read to their end: their connections serve no other exchange.
    Unread {
        /// How many connections.
        connections: usize,
        /// The bytes in their queues.
        bytes: u64,
        /// How long the longest has been silent.
        silent: Duration,
    },
    /// The peer has closed, the process has not.
    ClosedByPeer {
        /// How many connections.
        connections: usize,
        /// On how many of them, at least, the process has not even read that.
        unnoticed: usize,
        /// How long the longest has been closed.
        longest: Option<StandingTime>,
    },
    /// The server has closed connections that were idle, and none was seen to be used again.
    ClosedBetween {
        /// How many connections.
        connections: usize,
        /// How long one of them was silent before that, at least.
        silence: Option<Duration>,
    },
    /// New connections are opened instead of old ones reused.
    Churn {
        /// Connections that were seen to be opened each second: the least there was.
        opened_per_s: f64,
        /// How many lie idle at the same time.
        idle: usize,
        /// The causes that the evidence leaves.
        causes: Vec<ChurnCause>,
    },
    /// Connections to the same server come and go, and no look saw whose they are: perhaps this
    /// process opens new ones instead of reusing old ones.
    Unattributed {
        /// How many connections.
        connections: usize,
        /// How many came each second, at least.
        came_per_s: f64,
    },
    /// Idle connections that the server is about to close: the next request may meet that.
    StaleSoon {
        /// How many connections.
        connections: usize,
        /// How long the server lets them be silent.
        idle_timeout: Duration,
    },
}

/// A reason why connections may be opened instead of reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChurnCause {
    /// Bodies with unread bytes, which are told already.
    UnreadSeen,
    /// A body is neither read to its end nor closed, and has arrived whole.
    UnreadUnseen,
    /// A client is made for each request, and stays.
    ClientKept,
    /// A client is made for each request, and closed after it.
    ClientClosed,
    /// `Connection: close`, or HTTP/1.0.
    CloseField,
    /// A cap on idle connections.
    IdleCap,
    /// The server closes with its answer: a limit of its own.
    ServerLimit,
    /// The server closes what is idle.
    ServerIdle,
    /// A body is dropped unread, which resets its connection.
    DroppedBody,
}

impl ChurnCause {
    /// `unread_body`, `idle_cap` …
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnreadSeen => "unread_bytes",
            Self::UnreadUnseen => "unread_body",
            Self::ClientKept | Self::ClientClosed => "client_for_each_request",
            Self::CloseField => "connection_close",
            Self::IdleCap => "idle_cap",
            Self::ServerLimit => "server_limit",
            Self::ServerIdle => "server_idle_timeout",
            Self::DroppedBody => "dropped_body",
        }
    }
}

/// From this many new connections a second a pool is said to churn.
const CHURN_PER_S: f64 = 1.0;
/// So many that were opened while others lay idle are no accident.
const PASSED_OVER: usize = 2;

impl ClientPool {
    /// Returns what it suffers from, the worst first. Nothing: it looks healthy, if any of its
    /// connections is at work or was used again.
    #[must_use]
    pub(crate) fn ailments(&self) -> Vec<PoolAilment> {
        let rules = [
            Self::to_itself,
            Self::no_handshake,
            Self::unanswered,
            Self::unread,
            Self::closed_by_peer,
            Self::closed_between,
            Self::churn,
            Self::unattributed_churn,
            Self::stale_soon,
        ];
        rules.iter().filter_map(|rule| rule(self)).collect()
    }

    fn at(&self, standing: ConnectionStanding) -> impl Iterator<Item = &PoolConnection> {
        self.connections.iter().filter(move |connection| connection.standing == standing)
    }

    fn to_itself(&self) -> Option<PoolAilment> {
        let connections = self.count(ConnectionStanding::ToItself);
        (connections > 0).then_some(PoolAilment::ToItself { connections })
    }

    fn no_handshake(&self) -> Option<PoolAilment> {
        let connections = self.count(ConnectionStanding::Opening);
        let again = self.at(ConnectionStanding::Opening).map(|c| c.row.info.resent_in_a_row());
        let syns_again = again.max().unwrap_or(0);
        let full = self.queue.filter(|queue| queue.is_full());
        let hangs = connections > 0 && (syns_again > 0 || full.is_some());
        hangs.then_some(PoolAilment::NoHandshake { connections, syns_again, full })
    }

    fn unanswered(&self) -> Option<PoolAilment> {
        let all = || self.at(ConnectionStanding::Unanswered);
        let resent = all().map(|c| c.row.info.resent_in_a_row()).max()?;
        let unacknowledged =
            all().filter_map(|c| c.row.socket.send_queue.known()).map(u64::from).sum();
        let probes = all().filter_map(|c| c.row.info.probes.known()).max().unwrap_or(0);
        let connections = all().count();
        Some(PoolAilment::Unanswered { connections, unacknowledged, resent, probes })
    }

    fn unread(&self) -> Option<PoolAilment> {
        let all = || self.at(ConnectionStanding::Unread);
        let silent = all().filter_map(|c| c.row.info.last_received.known()).max();
        let connections = all().count();
        (connections > 0).then(|| PoolAilment::Unread {
            connections,
            bytes: all().map(PoolConnection::unread).sum(),
            silent: silent.unwrap_or_default(),
        })
    }

    fn closed_by_peer(&self) -> Option<PoolAilment> {
        let all = || self.at(ConnectionStanding::ClosedByPeer);
        let time = |lasted: &StandingTime| match *lasted {
            StandingTime::Exactly(time) | StandingTime::AtLeast(time) => time,
        };
        let longest = all().filter_map(|c| c.closed_for).max_by_key(time);
        let unnoticed = all().filter(|c| c.is_unnoticed()).count();
        let connections = all().count();
        (connections > 0).then_some(PoolAilment::ClosedByPeer { connections, unnoticed, longest })
    }

    fn closed_between(&self) -> Option<PoolAilment> {
        let connections = self.lives.by_server_idle;
        let silence = self.lives.server_silence;
        (connections > 0 && self.lives.used_again == 0)
            .then_some(PoolAilment::ClosedBetween { connections, silence })
    }

    fn churn(&self) -> Option<PoolAilment> {
        let opened_per_s = self.opened_per_s()?;
        let lives = &self.lives;
        // A program may have several pools, each of which opens its first connection beside others.
        let passes_over = lives.passed_over >= PASSED_OVER && lives.used_again == 0;
        let churns = opened_per_s >= CHURN_PER_S || passes_over;
        // Opened anew because the server closes in between: that is told already.
        let others = lives.by_client + lives.by_server + lives.gone + lives.passed_over;
        let is_told = others == 0 && self.closed_between().is_some();
        let idle = self.count(ConnectionStanding::Idle);
        // None could have been taken instead.
        let unread = self.count(ConnectionStanding::Unread);
        let all_at_work = lives.kept == self.opened && idle + unread + lives.passed_over == 0;
        (churns && !is_told && !all_at_work).then(|| PoolAilment::Churn {
            opened_per_s,
            idle,
            causes: self.churn_causes(),
        })
    }

    /// The causes that are left by what was seen; all that are possible, if nothing was.
    fn churn_causes(&self) -> Vec<ChurnCause> {
        use ChurnCause::{
            ClientClosed, ClientKept, CloseField, DroppedBody, IdleCap, ServerIdle, ServerLimit,
            UnreadSeen, UnreadUnseen,
        };
        let lives = &self.lives;
        let mut causes = Vec::new();
        let unread = self.count(ConnectionStanding::Unread) > 0;
        if unread {
            causes.push(UnreadSeen);
        }
        // They stay open, and nobody takes them: nothing closes them.
        if lives.passed_over > 0 || (lives.kept > 1 && lives.used_again == 0 && !unread) {
            causes.extend([UnreadUnseen, ClientKept]);
        }
        if lives.by_client > 0 && lives.used_again == 0 {
            causes.extend([ClientClosed, CloseField]);
        }
        if lives.by_client > 0 {
            causes.push(IdleCap);
        }
        if lives.by_server > 0 {
            causes.extend([CloseField, ServerLimit]);
        }
        if lives.by_server_idle > 0 {
            causes.push(ServerIdle);
        }
        if lives.gone > 0 {
            causes.extend([CloseField, ServerLimit, DroppedBody]);
        }
        if causes.is_empty() {
            // What is kept would lie idle.
            causes.extend((self.count(ConnectionStanding::Idle) > 0).then_some(UnreadUnseen));
            causes.extend([ClientClosed, CloseField, IdleCap]);
        }
        let mut named = Vec::new();
        causes.retain(|cause| {
            let is_new = !named.contains(cause);
            named.push(*cause);
            is_new
        });
        causes
    }

    fn unattributed_churn(&self) -> Option<PoolAilment> {
        let came_per_s = self.each_second(self.unattributed)?;
        let connections = self.unattributed;
        (came_per_s >= CHURN_PER_S).then_some(PoolAilment::Unattributed { connections, came_per_s })
    }

    fn stale_soon(&self) -> Option<PoolAilment> {
        let connections = self.connections.iter().filter(|c| self.is_stale_soon(c)).count();
        let idle_timeout = self.server_idle_timeout()?;
        (connections > 0).then_some(PoolAilment::StaleSoon { connections, idle_timeout })
    }
}
