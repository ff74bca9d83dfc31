//! A child process that removes the private instances when this process is gone, however it went.
//!
//! It holds the reading end of a pipe of which this process alone holds the other: when that is
//! closed, be it by SIGKILL, the child removes the instances and ends. It is in a process group of
//! its own, so that no Ctrl-C reaches it.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::tracefs::{SECOND, Tracefs, pid};

/// The hidden subcommand by which this program starts itself.
pub(crate) const SUBCOMMAND: &str = "trace-watchdog";
/// How often, and after what time each, an instance is removed that is still in use.
const TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// The child; ends when dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts the child for `instance` and the one for bytes, and returns when it watches.
    pub(crate) fn start(instance: &str) -> io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args([SUBCOMMAND, instance])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut ready = [0];
        let told = child.stdout.take().map(|mut stdout| stdout.read_exact(&mut ready));
        let watchdog = Self { child };
        told.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(watchdog)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait(); // it ends by itself
    }
}

/// Returns what the child does: it removes `instance` and the one for bytes. An instance of another
/// name than this program's is not touched.
pub(crate) fn watch(instance: &str) -> anyhow::Result<u8> {
    anyhow::ensure!(pid(instance).is_some(), "{instance} is no instance of this program");
    let second = format!("{instance}{SECOND}");
    let tracefs = Tracefs::open()?;
    let mut stdout = io::stdout();
    stdout.write_all(b".")?;
    stdout.flush()?;
    let mut nothing = Vec::new();
    io::stdin().read_to_end(&mut nothing)?;
    for _ in 0..TRIES {
        let removed = [instance, &second].map(|name| tracefs.remove(name));
        if removed.iter().all(Result::is_ok) {
            return Ok(0);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(2)
}
