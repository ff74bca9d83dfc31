//! Standard output, of which no line is lost without a word.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Standard output, written whole lines at a time. A disk that is full is said once, on standard
/// error, and the lines that are lost are counted; they are tried again and again, for there may be
/// room later. A pipe that nobody reads any more is nobody's loss. All clones are one.
#[derive(Clone)]
pub(crate) struct LineOutput(Arc<OutputShared>);

struct OutputShared {
    out: Mutex<OutputEnd>,
    lost: AtomicU64,
    /// Why the first was lost.
    cause: OnceLock<io::Error>,
}

struct OutputEnd {
    /// Without a buffer, in which lines would be neither written nor lost. Nothing once nobody reads
    /// it any more.
    file: Option<Box<dyn Write + Send>>,
    /// The last line was written in part.
    is_torn: bool,
}

impl LineOutput {
    pub(crate) fn stdout() -> Self {
        Self::of(stdout())
    }

    fn of(file: Box<dyn Write + Send>) -> Self {
        let out = Mutex::new(OutputEnd { file: Some(file), is_torn: false });
        let (lost, cause) = Default::default();
        Self(Arc::new(OutputShared { out, lost, cause }))
    }

    /// Writes whole lines, as far as that is possible.
    pub(crate) fn write(&self, lines: &[u8]) {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write(lines);
        let Err((error, rest)) = written else { return };
        if error.kind() == ErrorKind::BrokenPipe {
            out.file = None;
            return;
        }
        let count = rest.iter().filter(|byte| **byte == b'\n').count();
        self.0.lost.fetch_add(count as u64, Ordering::Relaxed);
        if self.0.cause.get().is_none() {
            let _ = writeln!(
                io::stderr(),
                "hello: cannot write to standard output: {error}; lines are lost until it can"
            );
            let _ = self.0.cause.set(error);
        }
    }

    /// The end of what was to be written.
    ///
    /// # Errors
    /// If lines were lost: how many, and why the first.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        match (self.0.lost.load(Ordering::Relaxed), self.0.cause.get()) {
            (lost @ 1.., Some(cause)) => {
                let lines = if lost == 1 { "line" } else { "lines" };
                anyhow::bail!("{lost} {lines} could not be written to standard output: {cause}")
            }
            _ => Ok(()),
        }
    }
}

impl OutputEnd {
    /// Returns why, and what of the lines, could not be written.
    fn write<'a>(&mut self, lines: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.is_torn {
            file.write_all(b"\n").map_err(|error| (error, lines))?;
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), rest)),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let written = lines.len() - rest.len();
                    self.is_torn =
                        lines.get(..written).is_some_and(|it| !it.ends_with(b"\n")) && written > 0;
                    return Err((error, rest));
                }
            }
        }
        file.flush().map_err(|error| (error, rest))
    }
}

#[cfg(unix)]
fn stdout() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd;
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(file) => Box::new(std::fs::File::from(file)),
        // It is closed, or there is no descriptor left.
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(not(unix))]
fn stdout() -> Box<dyn Write + Send> {
    Box::new(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room, and what is on it.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let count = bytes.len().min(disk.0);
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.0 -= count;
            disk.1.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_none_is_glued_to_the_next() {
        let disk = Disk::default();
        let out = LineOutput::of(Box::new(disk.clone()));
        disk.0.lock().unwrap().0 = 6;
        out.write(b"one\ntwo\nthree\n");
        out.write(b"four\n");
        disk.0.lock().unwrap().0 = 100;
        out.write(b"five\n");
        assert_eq!(String::from_utf8_lossy(&disk.0.lock().unwrap().1), "one\ntw\nfive\n");
        let told = out.end().unwrap_err().to_string();
        assert!(told.starts_with("3 lines could not be written to standard output: "), "{told}");
    }

    #[test]
    fn a_reader_that_has_left_is_nobodys_loss() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let out = LineOutput::of(Box::new(writer));
        out.write(b"one\n");
        out.write(b"two\n");
        assert!(out.end().is_ok());
    }
}
