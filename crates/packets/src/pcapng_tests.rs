use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block as Read, OptionCode, PcapBlockOwned, PcapError, PcapNGReader};
use proptest::prelude::*;

use super::*;

/// What a reader finds in a file, one line a block.
#[derive(Debug, Default, PartialEq)]
struct Found {
    comments: Vec<String>,
    packets: Vec<(u64, usize, Vec<u8>, Vec<String>)>,
    secrets: Vec<Vec<u8>>,
    dropped: Vec<u64>,
    names: Vec<String>,
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

fn read(file: &[u8]) -> Found {
    let mut reader = PcapNGReader::new(128 * 1024, file).unwrap();
    let mut found = Found::default();
    loop {
        match reader.next() {
            Ok((offset, PcapBlockOwned::NG(block))) => {
                note(&block, &mut found);
                reader.consume(offset);
            }
            Ok(_) => panic!("a block of another format"),
            Err(PcapError::Eof) => return found,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn note(block: &Read<'_>, found: &mut Found) {
    match block {
        Read::SectionHeader(section) => {
            assert_eq!(section.section_len, -1);
            let comments = section.options.iter().filter(|one| one.code == OptionCode::Comment);
            found.comments.extend(comments.map(|one| text(one.as_bytes().unwrap())));
        }
        Read::InterfaceDescription(interface) => {
            assert_eq!((interface.linktype.0, interface.if_tsresol), (101, 9));
            let name = interface.options.iter().find(|one| one.code == OptionCode::IfName);
            found.names.push(text(name.unwrap().as_bytes().unwrap()));
        }
        Read::EnhancedPacket(packet) => {
            let nanos = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let bytes = packet.data[..packet.caplen as usize].to_vec();
            let comments = packet.options.iter().filter(|one| one.code == OptionCode::Comment);
            let comments = comments.map(|one| text(one.as_bytes().unwrap())).collect();
            found.packets.push((nanos, packet.origlen as usize, bytes, comments));
        }
        Read::InterfaceStatistics(totals) => {
            let dropped = totals.options.iter().find(|one| one.code == OptionCode(7)).unwrap();
            let dropped = dropped.as_bytes().unwrap().first_chunk().copied().unwrap();
            found.dropped.push(u64::from_le_bytes(dropped));
        }
        Read::DecryptionSecrets(secrets) => {
            assert_eq!(secrets.secrets_type.0, 0x544c_534b);
            found.secrets.push(secrets.data[..secrets.secrets_len as usize].to_vec());
        }
        other => panic!("{other:?}"),
    }
}

fn lo() -> InterfaceNotes {
    InterfaceNotes { name: "lo".to_owned(), description: None, link: LinkLayer::Raw, keep: 0 }
}

fn packet(nanos: u64, bytes: &[u8]) -> HeardPacket {
    HeardPacket {
        at: Duration::ZERO,
        since_epoch: Duration::from_nanos(nanos),
        outgoing: true,
        wire_len: bytes.len() + 7,
        bytes: bytes.into(),
    }
}

#[test]
fn all_that_is_said_about_a_capture_is_read_back() {
    let notes = SectionNotes {
        comment: Some("cargo run -p sequential; as predicted".to_owned()),
        os: Some("Linux".to_owned()),
        ..SectionNotes::default()
    };
    let mut writer = PcapWriter::begin(Vec::new(), &notes).unwrap();
    let interface = writer.interface(&lo()).unwrap();
    let keys = "CLIENT_RANDOM 00 11\n";
    writer.secrets(keys).unwrap();
    let comments = ["exchange 3 begins on #1".to_owned(), "ä".to_owned()];
    writer.packet(interface, &packet(1_700_000_000_123_456_789, b"no IP"), &comments).unwrap();
    let totals = InterfaceTotals { heard: 1, dropped: 3, ..InterfaceTotals::default() };
    writer.totals(interface, &totals).unwrap();
    let found = read(&writer.finish().unwrap());
    assert_eq!(found.comments, [notes.comment.unwrap()]);
    assert_eq!(found.names, ["lo"]);
    assert_eq!(found.secrets, [keys.as_bytes()]);
    let expected = (1_700_000_000_123_456_789, 12, b"no IP".to_vec(), comments.to_vec());
    assert_eq!(found.packets, [expected]);
    assert_eq!(found.dropped, [3]);
}

#[test]
fn a_comment_that_is_too_long_is_cut_between_two_letters() {
    let comment = "ä".repeat(40_000);
    let notes = SectionNotes { comment: Some(comment), ..SectionNotes::default() };
    let file = PcapWriter::begin(Vec::new(), &notes).unwrap().finish().unwrap();
    assert_eq!(read(&file).comments, ["ä".repeat(32_767)]);
}

#[test]
fn an_interface_of_another_file_is_refused() {
    let begin = || PcapWriter::begin(Vec::new(), &SectionNotes::default()).unwrap();
    let elsewhere = begin().interface(&lo()).unwrap();
    let refused = begin().packet(elsewhere, &packet(0, b""), &[]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_disk_that_is_full_is_an_error() {
    /// Takes so many bytes.
    struct Disk(usize);
    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.0.min(bytes.len());
            self.0 -= room;
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = PcapWriter::begin(Disk(200), &SectionNotes::default()).unwrap();
    let interface = writer.interface(&lo()).unwrap();
    let full = (0..10).try_for_each(|_| writer.packet(interface, &packet(0, &[7; 50]), &[]));
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        packets in proptest::collection::vec(
            (any::<u64>(), proptest::collection::vec(0_u8..0x40, 0..99), "[a-zä]{0,9}"),
            0..20,
        ),
        comment: Option<String>,
        keys in "[A-Z0-9 \n]{0,99}",
    ) {
        let notes = SectionNotes { comment: comment.clone(), ..SectionNotes::default() };
        let mut writer = PcapWriter::begin(Vec::new(), &notes).unwrap();
        let interface = writer.interface(&lo()).unwrap();
        writer.secrets(&keys).unwrap();
        for (nanos, bytes, comment) in &packets {
            writer.packet(interface, &packet(*nanos, bytes), std::slice::from_ref(comment)).unwrap();
        }
        let found = read(&writer.finish().unwrap());
        prop_assert_eq!(found.comments, comment.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(found.secrets, [keys.as_bytes()]);
        let expected: Vec<_> = packets
            .into_iter()
            .map(|(nanos, bytes, comment)| (nanos, bytes.len() + 7, bytes, vec![comment]))
            .collect();
        prop_assert_eq!(found.packets, expected);
    }
}
