//! What each command does, from its arguments to its exit code.

pub(crate) mod list;
pub(crate) mod pool;
pub(crate) mod ports;
pub(crate) mod watch;

/// Refuses `command` on systems other than Linux, which do not tell `what` it is made of.
fn needs_linux(command: &str, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "{command} needs Linux: other systems do not tell {what}"
    );
    Ok(())
}
