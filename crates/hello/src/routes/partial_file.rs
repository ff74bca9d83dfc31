//! A file that is either kept as a whole or not at all.
//!
//! It is written under a name that begins with a dot and ends in `.part`, and gets its own name
//! when it is whole: a program that is killed leaves that part behind, and no half file under a
//! name that means a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::io::AsyncWriteExt;

/// How many names are tried. One is taken only if a program of the same second had it.
const TRIES: usize = 100;

/// A new file. Dropped before it is [kept](Self::keep), it is removed.
pub(super) struct PartialFile {
    file: tokio::fs::File,
    part: FilePlace,
    /// The name that it is to have.
    name: String,
}

/// Where the file lies under one of its names, and that it shall go.
struct FilePlace {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for FilePlace {
    fn drop(&mut self) {
        if !self.is_kept {
            // There is nobody to tell that it could not be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl PartialFile {
    /// Makes a file in `directory` that was not there before, which only its owner may read.
    ///
    /// Whoever stops waiting for it while it is being made leaves none behind: it is then dropped
    /// where it was made.
    pub(super) async fn create(directory: &Path) -> io::Result<Self> {
        let directory = directory.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let (name, (file, part)) = under_a_new_name(|name| {
                let path = directory.join(format!(".{name}.part"));
                Ok((new_file(&path)?, FilePlace { path, is_kept: false }))
            })?;
            Ok(Self { file: tokio::fs::File::from_std(file), part, name })
        });
        made.await.map_err(io::Error::other)?
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    /// Waits until all of it was handed to the system. tokio tells of a failed write only here.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    /// Gives all of them names of their own, or none, and returns the names in their directory.
    pub(super) async fn keep(files: Vec<Self>) -> io::Result<Vec<String>> {
        let kept = tokio::task::spawn_blocking(move || {
            let whole: Vec<(String, FilePlace)> =
                files.iter().map(Self::get_name).collect::<io::Result<_>>()?;
            Ok(whole.into_iter().map(|(name, place)| place.stay(name)).collect())
        });
        kept.await.map_err(io::Error::other)?
    }

    /// Gives it the name that it is to have, or another if that is taken, beside the one that it
    /// was written under.
    fn get_name(&self) -> io::Result<(String, FilePlace)> {
        match self.part.link(&self.name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                under_a_new_name(|name| self.part.link(name))
            }
            place => Ok((self.name.clone(), place?)),
        }
    }
}

impl FilePlace {
    /// Gives the file a further name in its directory. Never in the place of anything that is
    /// there, nor through a link.
    fn link(&self, name: &str) -> io::Result<Self> {
        let path = self.path.with_file_name(name);
        if let Err(error) = fs::hard_link(&self.path, &path) {
            // Not every file system has links.
            let has_none =
                matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied);
            if !has_none || path.symlink_metadata().is_ok() {
                return Err(error);
            }
            fs::rename(&self.path, &path)?;
        }
        Ok(Self { path, is_kept: false })
    }

    /// From now on it stays.
    fn stay(mut self, name: String) -> String {
        self.is_kept = true;
        name
    }
}

/// Makes something under a name that nothing has, and returns that, too. Names come from here
/// alone: nothing a client says takes part in them.
fn under_a_new_name<T>(make: impl Fn(&str) -> io::Result<T>) -> io::Result<(String, T)> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    for _ in 0..TRIES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("upload-{}-{number}", now.as_secs());
        match make(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok((name, made?)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_waiting_for_a_file_leaves_none_behind() {
        let directory =
            std::env::temp_dir().join(format!("hello-partial-file-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut creating = std::pin::pin!(PartialFile::create(&directory));
            std::future::poll_fn(|cx| {
                // Mostly still being made; on a busy machine it may be there, and is dropped here.
                drop(creating.as_mut().poll(cx));
                std::task::Poll::Ready(())
            })
            .await;
        });
        drop(runtime); // waits for what runs on its threads
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }
}
