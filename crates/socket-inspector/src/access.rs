//! What this system, or this user, does not get to see.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Refuses `command` on systems other than Linux, which do not tell `what` it is made of.
pub(crate) fn needs_linux(command: &str, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "{command} needs Linux: other systems do not tell {what}"
    );
    Ok(())
}

/// Makes sure that the sockets of a process can be seen at all by `command`: without, it would seem
/// to have none.
pub(crate) fn may_look_into(pid: u32, command: &str) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(()); // other systems tell with the sockets
    }
    let process = format!("/proc/{pid}");
    if let Err(error) = fs::read_dir(format!("{process}/fd")) {
        return match error.kind() {
            io::ErrorKind::NotFound if is_there(pid) || proc_hides() => {
                anyhow::bail!("process {pid} cannot be seen: {HIDDEN}")
            }
            io::ErrorKind::NotFound => anyhow::bail!("there is no process {pid}"),
            io::ErrorKind::PermissionDenied => anyhow::bail!(
                "process {pid} is another user's: only that user and root may see which sockets \
                 are its own; --port PORT looks at all connections to a server instead"
            ),
            _ => Err(error).with_context(|| format!("cannot look into process {pid}")),
        };
    }
    anyhow::ensure!(
        !is_elsewhere(Path::new(&process)),
        "process {pid} is there, in another network namespace, whose sockets cannot be seen from \
         here: sudo nsenter -t {pid} -n socket-inspector {command} --pid {pid}"
    );
    Ok(())
}

/// Tells once, beside the results, what is missing from them.
pub(crate) fn warn(missing: Option<&str>) {
    if let Some(missing) = missing {
        // If stderr is closed, the results are still whole.
        let _ = writeln!(anstream::stderr(), "socket-inspector: {missing}");
    }
}

/// The reason why processes cannot be seen that are there.
pub(crate) const HIDDEN: &str = "/proc hides processes (hidepid, or it is not mounted)";

/// Returns true if `/proc` does not show all processes that are there: the first one always is.
pub(crate) fn proc_hides() -> bool {
    cfg!(target_os = "linux") && !Path::new("/proc/1").exists()
}

/// Says which processes of these names are in other network namespaces, and how to look there.
/// `None` if there is none, or no name.
pub(crate) fn elsewhere(names: &[String], command: &str) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.filter_map(Result::ok).filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        let is_named = socket_table::SocketSieve {
            processes: names.to_vec(),
            ..socket_table::SocketSieve::default()
        };
        let owner = evidence::Owner { pid, process: name.trim_end_matches('\n').to_owned() };
        (is_named.means(&owner) && is_elsewhere(&process.path())).then_some(pid)
    });
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    let first = pids.first()?;
    let these = match pids.len() {
        1 => format!("process {first} of that name is"),
        more => format!("{more} processes of that name, such as {first}, are"),
    };
    Some(format!(
        "{these} in another network namespace, whose sockets cannot be seen from here: sudo \
         nsenter -t {first} -n socket-inspector {command} --pid {first}"
    ))
}

/// Returns true if a process has another network than this one, as far as that can be seen.
fn is_elsewhere(process: &Path) -> bool {
    let network = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    match (network(process), network(Path::new("/proc/self"))) {
        (Some(theirs), Some(ours)) => theirs != ours,
        _ => false,
    }
}

/// Returns true if there is a process of this id, whatever `/proc` says.
#[cfg(target_os = "linux")]
fn is_there(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| matches!(test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM)))
}

#[cfg(not(target_os = "linux"))]
fn is_there(_pid: u32) -> bool {
    false
}
