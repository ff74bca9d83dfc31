//! What is written is what tshark reads, or nothing at all.

use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use netlab::PrivateNetwork;
use nix::sched::{CloneFlags, unshare};
use packets::{Overwrite, PcapFile, PcapFileError, PcapWriter, Recording, SectionNotes};

use crate::runner::Test;
use crate::scenes::{body, count, exchange, hear, program, segments};
use crate::tests;

pub(crate) const ALL: &[Test] = tests![
    tshark_reads_every_packet_without_a_complaint_and_counts_the_same_syns,
    a_full_disk_is_an_error_and_leaves_no_half_file,
];

/// A directory of this test's own, which goes when the test is over.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let place = env::temp_dir().join(format!("packets-files-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        Self(place)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a recording into a file, with a comment on each packet.
pub(crate) fn write(recording: &Recording, path: &str) -> Result<(), PcapFileError> {
    let file = PcapFile::create(path, Overwrite::Never)?;
    let notes = SectionNotes { comment: Some("a test".to_owned()), ..SectionNotes::default() };
    let written = PcapWriter::begin(file, &notes).and_then(|mut writer| {
        writer.secrets("CLIENT_RANDOM 00 11\n")?;
        writer.recording(recording, |number| vec![format!("packet {number}")])?;
        writer.finish()
    });
    written.map_err(|source| PcapFileError::Keep { path: path.into(), source })?.keep()
}

fn tshark_reads_every_packet_without_a_complaint_and_counts_the_same_syns(
    _: &PrivateNetwork,
) -> Result<(), String> {
    program("tshark", &["--version"])?;
    let capture = hear();
    (0..7).for_each(|_| exchange("127.0.0.1:0"));
    exchange("[::1]:0");
    body("127.0.0.1:0", 100_003);
    let recording = capture.stop().unwrap();
    let heard = segments(&recording);
    let place = Place::new();
    let file = place.file("lo.pcapng");
    write(&recording, &file).unwrap();

    let checked = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let mut arguments = vec!["-r", &file, "-T", "fields", "-E", "separator=,"];
    checked.iter().for_each(|check| arguments.extend(["-o", check]));
    let fields = ["tcp.flags.syn", "tcp.flags.ack", "tcp.checksum.status", "ip.checksum.status"];
    fields.iter().for_each(|field| arguments.extend(["-e", field]));
    arguments.extend(["-e", "_ws.malformed", "-e", "frame.comment", "-e", "_ws.expert.message"]);
    let table = program("tshark", &arguments)?;
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.splitn(7, ',').collect()).collect();
    assert_eq!(rows.len(), heard.len(), "{table}");
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row[2], "1", "the checksum is good: {row:?}");
        assert!(["1", ""].contains(&row[3]), "there is none in IPv6: {row:?}");
        assert_eq!((row[4], row[5]), ("", format!("packet {number}").as_str()));
    }
    let syns = rows.iter().filter(|row| row[0] == "1" && row[1] == "0").count();
    assert_eq!((syns, count(&heard, "S")), (9, 9));
    Ok(())
}

/// The disk is one of 64 KiB, which only this process and its children see.
fn a_full_disk_is_an_error_and_leaves_no_half_file(_: &PrivateNetwork) -> Result<(), String> {
    let place = Place::new();
    let disk = place.file("");
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())?;
    program("mount", &["-t", "tmpfs", "-o", "size=64k", "none", &disk])?;
    let capture = hear();
    body("127.0.0.1:0", 200_003);
    let recording = capture.stop().unwrap();
    let path = place.file("lo.pcapng");
    let full = write(&recording, &path).unwrap_err();
    let PcapFileError::Keep { source, .. } = &full else { panic!("{full}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(full.to_string().ends_with("lo.pcapng, so it is not there"), "{full}");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    // What a process holds when it is killed has no name, so that nothing stays.
    let mut file = PcapFile::create(&path, Overwrite::Never).unwrap();
    file.write_all(&[7; 1000]).unwrap();
    file.flush().unwrap();
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    drop(file);
    let _ = program("umount", &[&disk]);
    Ok(())
}
