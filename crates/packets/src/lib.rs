//! TCP's packets as a witness.
//!
//! | file | idea |
//! |---|---|
//! | `capture.rs` | packets heard on one interface, each once, with the kernel's time |
//! | `decode.rs` | a packet's bytes, read as a segment; why others are none |
//! | `options.rs` | the options of a TCP header, one by one |
//! | `forge.rs` | packets that nobody sent |
//! | `notation.rs` | a segment as tcpdump prints it |
//! | `pcapng.rs` | a capture as Wireshark reads it, written to anything that takes bytes |
//! | `checksum.rs` | checksums that a device was to fill in |
//! | `pcap_file.rs` | a file that is there as a whole or not at all |

mod capture;
mod checksum;
mod decode;
mod forge;
mod notation;
mod options;
mod pcap_file;
mod pcapng;

pub use capture::{
    Capture, CaptureError, CaptureRefusal, CaptureSetup, ClockFit, HeardPacket, PacketDrops,
    Recording,
};
pub use decode::{LinkLayer, NoSegment, PacketCounts, decode};
pub use forge::resets;
pub use notation::{SequenceBase, SequenceBook, SequenceNumbers, line};
pub use pcap_file::{Overwrite, PcapFile, PcapFileError};
pub use pcapng::{InterfaceId, InterfaceNotes, InterfaceTotals, PcapWriter, SectionNotes};
