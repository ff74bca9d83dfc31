//! A file that is there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and nothing is written.
    Never,
    /// It is replaced, in one step, when the new one is complete.
    Replace,
}

/// A file on its way. It has no name until [`PcapFile::keep`] gives it one: whoever is killed or drops
/// it before leaves nothing behind.
///
/// Where the file system has no files without names, it has a hidden one beside its own; a process
/// that is killed leaves that.
#[derive(Debug)]
pub struct PcapFile {
    out: BufWriter<File>,
    path: PathBuf,
    overwrite: Overwrite,
    /// The name it has meanwhile, if it has to have one.
    hidden: Option<PathBuf>,
}

/// Why a file could not be written.
#[derive(Debug, Error)]
pub enum PcapFileError {
    /// There is one already.
    #[error("{} is there already, and is not overwritten", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// It could not be begun.
    #[error("cannot write {}", path.display())]
    Create {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It could not be completed, and is not there.
    #[error("cannot complete {}, so it is not there", path.display())]
    Keep {
        /// Its path.
        path: PathBuf,
        /// The system's answer: `StorageFull` for a full disk.
        source: io::Error,
    },
}

impl PcapFile {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    /// [`PcapFileError::Exists`] at once if there is one that is not to be overwritten;
    /// [`PcapFileError::Create`] if its directory takes none, or there is something else than a file.
    pub fn create(path: impl Into<PathBuf>, overwrite: Overwrite) -> Result<Self, PcapFileError> {
        let path = path.into();
        if overwrite == Overwrite::Never && path.symlink_metadata().is_ok() {
            return Err(PcapFileError::Exists { path });
        }
        // A device or a directory is not replaced, whoever asks for it.
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
            return Err(PcapFileError::Create { path, source });
        }
        let begun = match nameless(directory_of(&path)) {
            Some(file) => Ok((file, None)),
            None => hidden_name(&path).and_then(|hidden| {
                Ok((File::options().write(true).create_new(true).open(&hidden)?, Some(hidden)))
            }),
        };
        match begun {
            Ok((file, hidden)) => Ok(Self { out: BufWriter::new(file), path, overwrite, hidden }),
            Err(source) => Err(PcapFileError::Create { path, source }),
        }
    }

    /// Lets nobody but its owner read the file, which is to hold secrets. A system that knows no such
    /// thing (not Unix) does nothing.
    ///
    /// # Errors
    /// [`PcapFileError::Create`] if the file system refuses.
    pub fn for_its_owner_alone(&self) -> Result<(), PcapFileError> {
        let failed = |source| PcapFileError::Create { path: self.path.clone(), source };
        owner_alone(self.out.get_ref()).map_err(failed)
    }

    /// Writes what is left to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`PcapFileError::Exists`] if there is one by now that is not to be overwritten;
    /// [`PcapFileError::Keep`] if the disk does not take it. There is no half file after either.
    pub fn keep(mut self) -> Result<(), PcapFileError> {
        let kept = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        match kept.and_then(|()| self.name()) {
            Ok(()) => Ok(()),
            Err(source) => {
                let path = self.path.clone();
                let exists = source.kind() == io::ErrorKind::AlreadyExists;
                Err(if exists {
                    PcapFileError::Exists { path }
                } else {
                    PcapFileError::Keep { path, source }
                })
            }
        }
    }

    fn name(&mut self) -> io::Result<()> {
        if self.hidden.is_none() {
            if self.overwrite == Overwrite::Never {
                return give_name(self.out.get_ref(), &self.path);
            }
            // A file without a name cannot take the place of another.
            let hidden = hidden_name(&self.path)?;
            give_name(self.out.get_ref(), &hidden)?;
            self.hidden = Some(hidden);
        }
        let Some(hidden) = &self.hidden else { return Ok(()) };
        match self.overwrite {
            Overwrite::Replace => fs::rename(hidden, &self.path)?,
            // Unlike rename, this fails if there is a file.
            Overwrite::Never => match fs::hard_link(hidden, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) if self.path.symlink_metadata().is_ok() => {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Err(_) => fs::rename(hidden, &self.path)?, // a file system without such links
                Ok(()) => return Ok(()), // the hidden name goes when this is dropped
            },
        }
        self.hidden = None;
        Ok(())
    }
}

impl Write for PcapFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for PcapFile {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs::remove_file(hidden);
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name beside that of the file, which `ls` does not show.
fn hidden_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(hidden))
}

#[cfg(unix)]
fn owner_alone(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn owner_alone(_: &File) -> io::Result<()> {
    Ok(())
}

/// A file that has no name; `None` where there can be none.
#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(CWD, directory, flags, Mode::from_raw_mode(0o666)).ok().map(File::from)
}

/// Gives a file without a name this one; fails if it is taken.
#[cfg(target_os = "linux")]
fn give_name(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, linkat};
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn give_name(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test's own, empty.
    fn directory(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("packets-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        directory
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn write(path: &Path, overwrite: Overwrite, text: &str) -> Result<(), PcapFileError> {
        let mut file = PcapFile::create(path, overwrite)?;
        file.write_all(text.as_bytes()).unwrap();
        file.keep()
    }

    #[test]
    fn a_file_is_overwritten_only_where_that_is_asked_for() {
        let directory = directory("overwrite");
        let path = directory.join("a.pcapng");
        write(&path, Overwrite::Never, "first").unwrap();
        let refused = write(&path, Overwrite::Never, "second").unwrap_err();
        assert!(refused.to_string().ends_with("a.pcapng is there already, and is not overwritten"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        write(&path, Overwrite::Replace, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(names(&directory), ["a.pcapng"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let directory = directory("device");
        let refused = PcapFile::create(&directory, Overwrite::Replace).unwrap_err();
        assert!(matches!(refused, PcapFileError::Create { .. }), "{refused}");
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_overwritten() {
        let directory = directory("meanwhile");
        let path = directory.join("a.pcapng");
        let file = PcapFile::create(&path, Overwrite::Never).unwrap();
        fs::write(&path, "another's").unwrap();
        assert!(matches!(file.keep(), Err(PcapFileError::Exists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
        assert_eq!(names(&directory), ["a.pcapng"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_not_kept_has_never_been_there() {
        let directory = directory("dropped");
        for overwrite in [Overwrite::Never, Overwrite::Replace] {
            let mut file = PcapFile::create(directory.join("a.pcapng"), overwrite).unwrap();
            file.write_all(&[7; 100_000]).unwrap();
            assert!(!names(&directory).contains(&"a.pcapng".to_owned()));
            drop(file);
            assert!(names(&directory).is_empty());
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn where_files_must_have_names_it_is_the_same() {
        let directory = directory("named");
        let path = directory.join("a.pcapng");
        let named = |overwrite| {
            let hidden = hidden_name(&path).unwrap();
            let out = BufWriter::new(File::create_new(&hidden).unwrap());
            PcapFile { out, path: path.clone(), overwrite, hidden: Some(hidden) }
        };
        drop(named(Overwrite::Never));
        assert!(names(&directory).is_empty());
        named(Overwrite::Never).keep().unwrap();
        assert!(matches!(named(Overwrite::Never).keep(), Err(PcapFileError::Exists { .. })));
        named(Overwrite::Replace).keep().unwrap();
        assert_eq!(names(&directory), ["a.pcapng"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_there_is_not_is_an_error_at_once() {
        let path = Path::new("/no/such/directory/a.pcapng");
        let refused = PcapFile::create(path, Overwrite::Never).unwrap_err();
        assert_eq!(refused.to_string(), "cannot write /no/such/directory/a.pcapng");
    }
}
