//! A file that is either kept as a whole or not at all.

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
    place: FilePlace,
}

/// Where the file lies, and that it shall go.
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
            let (file, path) = new_file(&directory)?;
            let place = FilePlace { path, is_kept: false };
            Ok(Self { file: tokio::fs::File::from_std(file), place })
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

    /// The name in its directory.
    pub(super) fn name(&self) -> String {
        let name = self.place.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// From now on it stays.
    pub(super) fn keep(mut self) {
        self.place.is_kept = true;
    }
}

/// Names come from here alone: nothing a client says takes part in them.
fn new_file(directory: &Path) -> io::Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    for _ in 0..TRIES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("upload-{}-{number}", now.as_secs()));
        match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, path)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
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
                assert!(creating.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        });
        drop(runtime); // waits for what runs on its threads
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }
}
