//! All that was observed of a program.

use std::collections::BTreeMap;
use std::time::Duration;

use evidence::{ServerAddr, SocketTable};

use crate::connection::ObservedConnection;
use crate::gather::PacketTally;

/// All that was observed of a program and its family.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Every connection that was dialled, in the order of dialling.
    pub connections: Vec<ObservedConnection>,
    /// The packets that were heard.
    pub packets: PacketTally,
    /// Packets that are known to have been missed.
    pub missed: u64,
    /// The program.
    pub program: ObservedProgram,
    /// The kernel's words: of the program's host, and of the other host if there was one.
    pub kernel: Vec<KernelWords>,
    /// The words of the lab's own server, if there was one.
    pub server: Option<ServerWords>,
    /// From the start of the program to the end of the hearing.
    pub elapsed: Duration,
}

/// A program and its end.
#[derive(Clone, Debug, Default)]
pub struct ObservedProgram {
    /// Its command.
    pub command: Vec<String>,
    /// How it ended.
    pub end: ProgramEnd,
    /// When that was seen.
    pub ended: Duration,
    /// True if the lab ended it, because its time was over.
    pub time_was_over: bool,
    /// The signals that were passed on to it.
    pub signals: u64,
    /// True if it had to be killed, after a second wish that it should end.
    pub was_killed: bool,
    /// The processes of its family that it left behind, and that the lab has ended.
    pub left: Vec<FamilyMember>,
}

/// A process of the program's family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyMember {
    /// Its number.
    pub pid: u32,
    /// Its name, as the kernel keeps it.
    pub name: String,
    /// True if it did not go when it was asked to, and was killed.
    pub was_killed: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It runs on: nobody has seen its end.
    #[default]
    Unseen,
    /// With this status.
    Exited(u8),
    /// By this signal.
    Signal(u8),
}

impl ProgramEnd {
    /// The status by which a shell tells it: 128 and the number of a signal.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Unseen => 0,
            Self::Exited(status) => status,
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

/// What the kernel of a host says.
#[derive(Clone, Debug, Default)]
pub struct KernelWords {
    /// By how much its counters grew, by their names in `nstat`.
    pub counters: BTreeMap<String, u64>,
    /// Its sockets when all was over; `None` if they could not be read.
    pub table: Option<SocketTable>,
}

/// What a server of the lab's says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerWords {
    /// Connections that it accepted.
    pub accepted: u64,
    /// Requests whose heads it read.
    pub requests: u64,
}

impl Observation {
    /// By how much a counter of the kernel grew, on all hosts together; `None` if nobody tells.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<u64> {
        let of_hosts = self.kernel.iter().map(|words| words.counters.get(name).copied());
        of_hosts.sum::<Option<u64>>().filter(|_| !self.kernel.is_empty())
    }

    /// The servers that were dialled, in the order of the first dial, with their connections.
    #[must_use]
    pub fn by_server(&self) -> Vec<(ServerAddr, Vec<&ObservedConnection>)> {
        let mut all: Vec<(ServerAddr, Vec<&ObservedConnection>)> = Vec::new();
        for connection in &self.connections {
            let server = connection.ends.server;
            match all.iter_mut().find(|(known, _)| *known == server) {
                Some((_, connections)) => connections.push(connection),
                None => all.push((server, vec![connection])),
            }
        }
        all
    }

    /// All connections.
    pub fn all(&self) -> Vec<&ObservedConnection> {
        self.connections.iter().collect()
    }
}
