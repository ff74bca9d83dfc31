//! TCP's packets as a witness.
//!
//! | file | idea |
//! |---|---|
//! | `decode.rs` | a packet's bytes, read as a segment; why others are none |
//! | `options.rs` | the options of a TCP header, one by one |

mod decode;
mod options;

pub use decode::{LinkLayer, NoSegment, PacketCounts, decode};
