//! Captures as other programs read them: pcapng (draft-ietf-opsawg-pcapng), with times in
//! nanoseconds, comments, what was dropped, and the keys of TLS.

use std::io::{self, Write};
use std::time::Duration;

use crate::capture::{HeardPacket, Recording};
use crate::checksum;
use crate::decode::{LinkLayer, ip_packet};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const TOTALS: u32 = 5;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;

/// Tells readers in which order the bytes of numbers stand.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The length of a section that nobody knows when it begins.
const UNKNOWN_LEN: u64 = u64::MAX;
/// `TLSK`: secrets in the format of `SSLKEYLOGFILE`.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Times count in powers of ten of a second: minus nine.
const NANOSECONDS: u8 = 9;

const END: u16 = 0;
const COMMENT: u16 = 1;

/// What is said about a capture as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionNotes {
    /// What it is: the command, what was predicted, the verdict.
    pub comment: Option<String>,
    /// The machine.
    pub hardware: Option<String>,
    /// The system.
    pub os: Option<String>,
    /// The program that wrote it.
    pub application: Option<String>,
}

/// What is said about an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceNotes {
    /// Its name, such as `lo`.
    pub name: String,
    /// Where it is.
    pub description: Option<String>,
    /// What its packets begin with.
    pub link: LinkLayer,
    /// How many bytes of a packet were kept at the most; 0 for no limit.
    pub keep: u32,
}

/// An interface of the file that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceId {
    number: u32,
    link: LinkLayer,
}

/// How many packets there were on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceTotals {
    /// When it was last looked at, since 1970 began.
    pub since_epoch: Duration,
    /// How many were heard.
    pub heard: u64,
    /// How many the system has dropped.
    pub dropped: u64,
    /// What is to be said about these numbers.
    pub comment: Option<String>,
}

/// Writes a capture to anything that takes bytes.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    interfaces: u32,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file with what is said about it as a whole.
    ///
    /// # Errors
    /// Those of `out`, here and in every other method.
    pub fn begin(out: W, notes: &SectionNotes) -> io::Result<Self> {
        let mut block = Block::new(SECTION);
        block.number(BYTE_ORDER);
        block.short(1); // the format's version, 1.0
        block.short(0);
        block.long(UNKNOWN_LEN);
        let SectionNotes { comment, hardware, os, application } = notes;
        for (code, text) in [(COMMENT, comment), (2, hardware), (3, os), (4, application)] {
            block.text(code, text.as_deref());
        }
        let mut writer = Self { out, interfaces: 0 };
        writer.put(block)?;
        Ok(writer)
    }

    /// Goes on in a section whose beginning somebody else writes, with [`Self::begin`]: a file may
    /// have several, one behind the other.
    pub fn inside(out: W) -> Self {
        Self { out, interfaces: 0 }
    }

    /// Adds an interface. Its packets come later.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn interface(&mut self, notes: &InterfaceNotes) -> io::Result<InterfaceId> {
        let mut block = Block::new(INTERFACE);
        block.short(notes.link.link_type());
        block.short(0);
        block.number(notes.keep);
        block.text(2, Some(&notes.name));
        block.text(3, notes.description.as_deref());
        block.option(9, &[NANOSECONDS]);
        self.put(block)?;
        let id = InterfaceId { number: self.interfaces, link: notes.link };
        self.interfaces += 1;
        Ok(id)
    }

    /// Adds the secrets of TLS connections, in the format of `SSLKEYLOGFILE`: whoever opens the file
    /// sees what they encrypt. To be called before the packets that they are for.
    ///
    /// # Errors
    /// Those of the writer; `InvalidInput` if they are longer than the format can tell.
    pub fn secrets(&mut self, key_log: &str) -> io::Result<()> {
        let mut block = Block::new(SECRETS);
        block.number(TLS_KEY_LOG);
        block.number(length(key_log.len())?);
        block.padded(key_log.as_bytes());
        self.put(block)
    }

    /// Adds a packet and what is to be said about it. A checksum that the kernel has left to a device
    /// is filled in; one that is wrong stays wrong.
    ///
    /// # Errors
    /// Those of the writer; `InvalidInput` for an interface of another file.
    pub fn packet(
        &mut self,
        interface: InterfaceId,
        packet: &HeardPacket,
        comments: &[String],
    ) -> io::Result<()> {
        if interface.number >= self.interfaces {
            return Err(invalid("this file has no such interface"));
        }
        let mut bytes = packet.bytes.to_vec();
        let front = ip_packet(interface.link, &bytes).map(|ip| bytes.len() - ip.len());
        if let Some(ip) = front.ok().and_then(|front| bytes.get_mut(front..)) {
            checksum::complete(ip);
        }
        let mut block = Block::new(PACKET);
        block.number(interface.number);
        block.time(packet.since_epoch);
        block.number(length(bytes.len())?);
        block.number(length(packet.wire_len)?);
        block.padded(&bytes);
        for comment in comments {
            block.text(COMMENT, Some(comment));
        }
        let direction = if packet.outgoing { 2_u32 } else { 1 };
        block.option(2, &direction.to_le_bytes());
        self.put(block)
    }

    /// Adds how many packets there were on an interface. To be called behind the last of them.
    ///
    /// # Errors
    /// Those of the writer; `InvalidInput` for an interface of another file.
    pub fn totals(&mut self, interface: InterfaceId, totals: &InterfaceTotals) -> io::Result<()> {
        if interface.number >= self.interfaces {
            return Err(invalid("this file has no such interface"));
        }
        let mut block = Block::new(TOTALS);
        block.number(interface.number);
        block.time(totals.since_epoch);
        block.text(COMMENT, totals.comment.as_deref());
        let seen = totals.heard.saturating_add(totals.dropped);
        block.option(4, &seen.to_le_bytes());
        block.option(7, &totals.dropped.to_le_bytes());
        block.option(8, &totals.heard.to_le_bytes());
        self.put(block)
    }

    /// Adds all that a capture has heard, with what `comments` says of the packet of each number, from
    /// 0 on; and what was dropped.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn recording(
        &mut self,
        recording: &Recording,
        mut comments: impl FnMut(usize) -> Vec<String>,
    ) -> io::Result<()> {
        let interface = self.interface(&InterfaceNotes {
            name: recording.interface.clone(),
            description: None,
            link: Recording::LINK,
            keep: 0,
        })?;
        for (number, packet) in recording.packets.iter().enumerate() {
            self.packet(interface, packet, &comments(number))?;
        }
        let exact = recording.drops.exact;
        self.totals(
            interface,
            &InterfaceTotals {
                since_epoch: recording
                    .packets
                    .last()
                    .map_or(Duration::ZERO, |last| last.since_epoch),
                heard: recording.packets.len() as u64,
                dropped: recording.drops.packets,
                comment: (!exact).then(|| recording.drops.to_string()),
            },
        )
    }

    /// Ends the file, and returns what it was written to.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, block: Block) -> io::Result<()> {
        self.out.write_all(&block.close()?)
    }
}

/// A block on its way: its kind, room for its length, its contents, its options.
struct Block {
    bytes: Vec<u8>,
    has_options: bool,
}

impl Block {
    fn new(kind: u32) -> Self {
        let mut block = Self { bytes: Vec::new(), has_options: false };
        block.number(kind);
        block.number(0);
        block
    }

    fn short(&mut self, number: u16) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn long(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    /// A time in nanoseconds, its upper half first.
    fn time(&mut self, since_epoch: Duration) {
        let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.number((nanos >> 32) as u32);
        self.number(nanos as u32);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.short(code);
        self.short(length);
        self.padded(value.get(..usize::from(length)).unwrap_or_default());
        self.has_options = true;
    }

    /// A text, cut where an option ends that is as long as it can be.
    fn text(&mut self, code: u16, text: Option<&str>) {
        if let Some(text) = text {
            let end = text.floor_char_boundary(usize::from(u16::MAX));
            self.option(code, text.get(..end).unwrap_or_default().as_bytes());
        }
    }

    fn close(mut self) -> io::Result<Vec<u8>> {
        if self.has_options {
            self.short(END);
            self.short(0);
        }
        let len = length(self.bytes.len() + 4)?;
        self.number(len);
        if let Some(room) = self.bytes.get_mut(4..8) {
            room.copy_from_slice(&len.to_le_bytes());
        }
        Ok(self.bytes)
    }
}

fn length(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(|_| invalid("it is longer than a capture file can tell"))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
#[path = "pcapng_tests.rs"]
mod tests;
