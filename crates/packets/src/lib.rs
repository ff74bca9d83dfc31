//! TCP's packets as a witness.
//!
//! | file | idea |
//! |---|---|
//! | `capture.rs` | packets heard on one interface, each once, with the kernel's time |
//! | `decode.rs` | a packet's bytes, read as a segment; why others are none |
//! | `options.rs` | the options of a TCP header, one by one |

mod capture;
mod decode;
mod options;

pub use capture::{
    Capture, CaptureError, CaptureRefusal, CaptureSetup, ClockFit, HeardPacket, PacketDrops,
    Recording,
};
pub use decode::{LinkLayer, NoSegment, PacketCounts, decode};
