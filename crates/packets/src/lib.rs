//! TCP's packets as a witness: what both ends really put on the wire.
//!
//! [`Capture`] hears every packet of an interface once and puts it on the clock of a run; [`decode`]
//! makes an [`evidence::Segment`] of its bytes, of which [`evidence::TcpStory`] tells the states of both
//! ends. [`line`](line()) prints a segment as tcpdump does, [`PcapWriter`] writes all of them for Wireshark.
//!
//! | file | idea |
//! |---|---|
//! | `capture.rs` | packets heard on one interface, each once, with the kernel's time |
//! | `live_talk.rs` | what the packets of one connection come to while it lives |
//! | `decode.rs` | a packet's bytes, read as a segment; why others are none |
//! | `options.rs` | the options of a TCP header, one by one |
//! | `forge.rs` | packets that nobody sent |
//! | `notation.rs` | a segment as tcpdump prints it |
//! | `pcapng.rs` | a capture as Wireshark reads it, written to anything that takes bytes |
//! | `wire_log.rs` | the packets of a run, told and counted |
//! | `tls_log.rs` | their TLS, read along |
//! | `checksum.rs` | checksums that a device was to fill in |
//! | `pcap_file.rs` | a file that is there as a whole or not at all |
//!
//! ```
//! use std::time::Duration;
//!
//! use packets::{LinkLayer, SequenceBase, decode, line};
//!
//! // An IPv4 and a TCP header of 20 bytes each: the server at port 80 answers a SYN.
//! let bytes = [
//!     0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, //
//!     0, 80, 0x9c, 0x40, 0, 0, 0, 7, 0, 0, 0, 3, 0x50, 0x12, 2, 0, 0, 0, 0, 0,
//! ];
//! let segment = decode(Duration::ZERO, LinkLayer::Raw, &bytes, bytes.len())?;
//! assert_eq!(
//!     line(&segment, SequenceBase::default()),
//!     "IP 127.0.0.1.80 > 127.0.0.1.40000: Flags [S.], seq 7, ack 3, win 512, length 0"
//! );
//! # Ok::<(), packets::NoSegment>(())
//! ```
//!
//! To hear packets takes `CAP_NET_RAW`, which every process has in a private network of its own
//! (`netlab`). Elsewhere [`CaptureError::Refused`] says who refuses, and what helps.
//!
//! Two things about `lo` are to be known. It hands over tens of kilobytes as one packet, which no wire
//! would carry, until `netlab::PrivateNetwork::as_on_a_wire` is called. And it never fills in
//! checksums: a [`PcapWriter`] does.

mod capture;
mod checksum;
mod decode;
mod forge;
mod live_talk;
mod notation;
mod options;
mod pcap_file;
mod pcapng;
mod tls_log;
mod wire_log;

pub use capture::{
    Capture, CaptureError, CaptureRefusal, CaptureSetup, ClockFit, HeardPacket, LiveCapture,
    LivePacket, PacketDrops, PacketSink, Recording, interface_toward,
};
pub use decode::{LinkLayer, NoSegment, PacketCounts, decode};
pub use forge::resets;
pub use live_talk::{LiveEnd, LiveTalk};
pub use notation::{SequenceBase, SequenceBook, SequenceNumbers, line};
pub use pcap_file::{Overwrite, PcapFile, PcapFileError};
pub use pcapng::{InterfaceId, InterfaceNotes, InterfaceTotals, PcapWriter, SectionNotes};
pub use wire_log::WireLog;
