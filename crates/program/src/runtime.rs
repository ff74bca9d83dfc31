//! The runtime on which a program does its work.

use std::fs::File;
use std::io;

use anyhow::Context;

/// The descriptors that a runtime takes for itself: its poll, its waker, its ear for signals. tokio
/// panics where it gets none for the last.
const OWN_DESCRIPTORS: usize = 8;

/// Does `work` on a runtime of one thread, on which counts come out exact, and returns what came of
/// it.
///
/// # Errors
/// Those of `work`; and if the system gives no runtime, above all for want of descriptors.
pub fn block_on(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    enough_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(work)
}

/// Finds out whether a runtime will have the file descriptors that it needs: opens as many, and
/// closes them again.
///
/// # Errors
/// If they are too few.
pub fn enough_descriptors() -> anyhow::Result<()> {
    let nothing = if cfg!(windows) { "NUL" } else { "/dev/null" };
    let opened: io::Result<Vec<File>> = (0..OWN_DESCRIPTORS).map(|_| File::open(nothing)).collect();
    match opened {
        // A system without it has other limits.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => {
            opened.context("cannot start for want of file descriptors (ulimit -n)")?;
            Ok(())
        }
    }
}
