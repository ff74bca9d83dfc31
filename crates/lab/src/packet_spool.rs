//! The packets of runs on their way to the file that is asked for, in files that have no names: whoever
//! is killed leaves nothing behind.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The place to which the process of a run writes its packets.
#[derive(Debug)]
pub(crate) struct PacketDrop {
    file: File,
    path: PathBuf,
    /// Where a process cannot pass on a file without a name, it has one as long as this lives.
    #[cfg(not(target_os = "linux"))]
    _name: tempfile::TempPath,
}

impl PacketDrop {
    /// A file without a name, which every process that this one starts from now on may write to.
    ///
    /// # Errors
    /// Those of the system.
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        let file = tempfile::tempfile()?;
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
        // The child's own, which has the same number there.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { file, path })
    }

    /// A file for a time.
    ///
    /// # Errors
    /// Those of the system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Self> {
        let (file, name) = tempfile::NamedTempFile::new()?.into_parts();
        Ok(Self { file, path: name.to_path_buf(), _name: name })
    }

    /// The path under which the process of the run opens it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The packets of the runs that are over, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct PacketSpool {
    /// Made when the first packets come.
    file: Option<File>,
    end: u64,
}

impl PacketSpool {
    /// Takes what the process of a run has written, and returns where it is.
    ///
    /// # Errors
    /// Those of the system, such as that of a full disk.
    pub(crate) fn take(&mut self, packets: PacketDrop) -> io::Result<Range<u64>> {
        let spool = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let mut from = packets.file;
        from.seek(SeekFrom::Start(0))?;
        // What half a copy has left is written over.
        spool.seek(SeekFrom::Start(self.end))?;
        let start = self.end;
        self.end += io::copy(&mut from, spool)?;
        Ok(start..self.end)
    }

    /// Writes the packets at this place to `out`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn copy(&mut self, place: &Range<u64>, out: &mut impl Write) -> io::Result<()> {
        let Some(spool) = &mut self.file else { return Ok(()) };
        spool.seek(SeekFrom::Start(place.start))?;
        io::copy(&mut spool.take(place.end - place.start), out).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_have_written_is_found_again_in_any_order() {
        let mut spool = PacketSpool::default();
        let mut places = Vec::new();
        for text in ["first", "", "the second"] {
            let packets = PacketDrop::new().unwrap();
            std::fs::write(packets.path(), text).unwrap();
            places.push((spool.take(packets).unwrap(), text));
        }
        for (place, text) in places.iter().rev() {
            let mut out = Vec::new();
            spool.copy(place, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), *text);
        }
    }
}
