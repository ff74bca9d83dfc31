//! Any program's TCP connections, observed: opened, used, reused, closed, by whom and why.
//!
//! The program is left as it is: it is started in a private network, whose packets are heard, and
//! whose kernel keeps its own counters. What is said here was read from those two.
//!
//! | idea | file |
//! |---|---|
//! | one direction of a connection, in order, gaps told | `stream.rs` |
//! | requests and responses in it | `exchange.rs` |
//! | the frames of HTTP/2 in it | `http2.rs` |
//! | a connection, from its first packet to its last | `connection.rs` |
//! | all connections out of all packets | `gather.rs` |
//! | all that was observed | `observation.rs` |
//! | what it comes to, as numbers | `tally.rs` |
//! | requests that met a closed connection, or were sent again | `stale.rs` |
//! | why a connection was closed | `cause.rs` |
//! | what packets and kernel say, held against each other | `witnesses.rs` |
//! | the same in plain words, with the next step | `verdict.rs` |
//! | the program and all that descends from it | `family.rs` |
//! | where it runs: hosts, cable, ears | `ground.rs` |
//! | what is seen without a private network | `sampled.rs` |
//! | a far host that is every host, and its names | `everywhere.rs`, `names.rs` |
//! | the way out: what waits at the cable, and who dials outside | `relay_law.rs`, `outside.rs` |

mod cause;
mod connection;
mod everywhere;
mod exchange;
#[cfg(target_os = "linux")]
mod family;
mod gather;
mod ground;
mod http2;
mod names;
mod observation;
#[cfg(target_os = "linux")]
mod outside;
mod relay_law;
#[cfg(target_os = "linux")]
mod sampled;
mod stale;
mod stream;
mod tally;
mod verdict;
mod witnesses;

pub use cause::{CloseCause, close_cause};
pub use connection::{ConnectionEnd, DialOutcome, HearingPlace, ObservedConnection};
pub use everywhere::{EverywhereLaw, PortOpener};
pub use exchange::{SeenExchange, SeenRequest, SeenResponse, SeenTls, SpokenProtocol};
#[cfg(target_os = "linux")]
pub use family::{Family, FamilyError, FamilyOutput, FamilyPlan};
pub use gather::{ConnectionGatherer, GatheredConnections, PacketTally};
pub use ground::{Heard, ObservedGround};
pub use http2::{SeenGoAway, SeenHttp2, SeenStream};
pub use names::NameAnswers;
pub use observation::{
    FamilyMember, KernelWords, Observation, ObservedProgram, ProgramEnd, ServerWords,
};
#[cfg(target_os = "linux")]
pub use outside::{OutsideChannel, OutsideReply, OutsideRequest, serve_outside};
pub use relay_law::{DialledPair, KeptPacket, RelayAsker, RelayDials, RelayLaw, RelayWish};
#[cfg(target_os = "linux")]
pub use sampled::{SAMPLING, SampledConnection, SampledSockets, SocketSampler};
pub use stale::{SentAgain, StaleRequest, meets_stale, sent_again};
pub use tally::{ConnectionTally, NUMBERS, idle_times};
pub use verdict::{Finding, verdict};
pub use witnesses::disagreements;
