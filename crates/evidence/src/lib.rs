//! The nouns of the laboratory.
//!
//! Everything a run can show is a value of one of these types: what was asked for ([`Setup`]),
//! what the client's trace saw ([`TraceEvent`]), what the kernel listed ([`Socket`]) and what all
//! witnesses together say happened ([`Outcome`]). Nothing here does I/O; that is what makes the
//! judgements of the lab pure functions that a test can feed by hand.
//!
//! | file | nouns |
//! |---|---|
//! | `address.rs` | a client's address, a server's, and both as the ends of a connection |
//! | `tcp_state.rs` | the states of TCP, and their names |
//! | `socket.rs` | a row of the kernel's table, the two ends as a pair, a whole table |
//! | `segment.rs` | a TCP segment as it was heard, its flags and options |
//! | `passage.rs` | a segment between two hosts, and its fate |
//! | `story.rs` | the life of a connection as its segments tell it |
//! | `life.rs` | the same, moment by moment, and how sure each state is |
//! | `wire.rs` | all packets of a run |
//! | `conversation.rs` | those of one connection, and what they alone say of it |
//! | `inspected.rs` | what the kernel remembers of a connection |
//! | `trace.rs` | the moments of an exchange, and the reasons for which a client closes |
//! | `server_close_reason.rs` | the reasons for which a server does |
//! | `setup.rs` | what was asked for, and what was predicted |
//! | `outcome.rs` | all that a run has shown |
//! | `keep_alive.rs` | a server's offer to keep a connection, and what came of it |
//! | `observed.rs` | a value that somebody saw, or could not |
//! | `byte_count.rs`, `micros.rs` | sizes as they are typed, times as they travel |

mod address;
mod byte_count;
mod conversation;
mod inspected;
mod keep_alive;
mod life;
mod micros;
mod observed;
mod outcome;
mod passage;
mod segment;
mod server_close_reason;
mod setup;
mod socket;
mod story;
mod tcp_state;
mod tls;
mod trace;
mod wire;

pub use address::{ClientAddr, Ends, ServerAddr, canonical};
pub use byte_count::{ByteCount, NoByteCount};
pub use conversation::{Conversation, WireClose};
pub use inspected::{Inspected, TcpInfo};
pub use keep_alive::{ConnectionFields, KeepAliveOffer, OfferTally};
pub use life::{Certainty, LifeChange, LifeEvent, LifeMoment, WireLife};
pub use observed::Observed;
pub use outcome::{
    AcceptGap, Afterwards, BodySeen, Close, Connection, Disagreement, Exchange, Failure,
    FailureKind, InFlight, Outcome, Reading, Tables, Unreadable, is_success,
};
pub use passage::{Passage, PassageFate, PassageTally};
pub use segment::{SackBlock, Segment, SegmentFlags, TcpOption, UnknownFlags};
pub use server_close_reason::ServerCloseReason;
pub use setup::{
    BodyPolicy, CommandFlag, Prediction, Preset, Program, RuleDifference, ServerSetup, Setup,
};
pub use socket::{
    AcceptQueue, Owner, Pair, Side, Socket, SocketTable, Timer, TimerKind, pair, tally,
};
pub use story::{ChangeCause, HeardAt, STATE_EDGES, StateChange, StateEdge, TcpStory, Untold};
pub use tcp_state::{TcpState, UnknownTcpState};
pub use tls::{SegmentTls, TlsBytes, TlsStart};
pub use trace::{
    CertificateFacts, CloseReason, ClosedBy, ConnectionId, ExchangeId, Moment, NotPooled, RunEvent,
    TlsFacts, TraceEvent,
};
pub use wire::{WirePlace, WireRecord};
