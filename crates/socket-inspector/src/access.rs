//! What this system, or this user, does not get to see.

use std::io;

use anyhow::Context as _;

/// Refuses `command` on systems other than Linux, which do not tell `what` it is made of.
pub(crate) fn needs_linux(command: &str, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "{command} needs Linux: other systems do not tell {what}"
    );
    Ok(())
}

/// Makes sure that the sockets of a process can be seen at all: without, it would seem to have
/// none.
pub(crate) fn may_look_into(pid: u32) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(()); // other systems tell with the sockets
    }
    let Err(error) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Ok(()) };
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::bail!("there is no process {pid}"),
        io::ErrorKind::PermissionDenied => anyhow::bail!(
            "process {pid} is another user's: only that user and root may see which sockets are its \
             own; --port PORT looks at all connections to a server instead"
        ),
        _ => Err(error).with_context(|| format!("cannot look into process {pid}")),
    }
}
