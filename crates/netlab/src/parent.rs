//! No process outlives the one that started it, so that no namespace outlives the lab.

use std::io;

/// This process is killed when its parent dies, so that no namespace outlives the lab.
///
/// Call it in the child, before anything that takes time. It lasts through [`enter`](crate::enter),
/// but not for this process's own children. "Parent" means the *thread* that started this process
/// (`PR_SET_PDEATHSIG`): start children from one that lasts as long as they are to.
///
/// The parent may be dead already: this process is then killed at once, as far as it can tell,
/// which is if its parent died while it asked, or if it now belongs to process 1 and that runs
/// another program. It cannot tell in the care of a "subreaper" other than process 1, such as
/// `systemd --user`: [`die_with`] can.
///
/// # Errors
/// `Unsupported` if the system is not Linux; else what the system says. Also if the parent is dead
/// and this process, being process 1 itself, cannot be killed.
pub fn die_with_parent() -> io::Result<()> {
    system::die_with_parent()
}

/// This process is killed when its parent dies, and at once unless its parent is process `parent`.
///
/// The same as [`die_with_parent`], for a child that was told by its parent who that is
/// ([`std::process::id`]), and so knows for certain whether it is alive.
///
/// # Errors
/// Those of [`die_with_parent`].
pub fn die_with(parent: u32) -> io::Result<()> {
    system::die_with(parent)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::io;

    use rustix::process::{
        Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
    };

    pub(super) fn die_with_parent() -> io::Result<()> {
        let parent = getppid();
        arm()?;
        if getppid() == parent && !is_adopted(parent) { Ok(()) } else { die() }
    }

    pub(super) fn die_with(parent: u32) -> io::Result<()> {
        arm()?;
        if raw(getppid()) == Some(parent) { Ok(()) } else { die() }
    }

    /// From now on no death goes unnoticed; one before has changed who the parent is.
    fn arm() -> io::Result<()> {
        Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
    }

    /// Returns true if `parent` is the process that takes in orphans, rather than one that started
    /// this. In a container, process 1 may well be the lab.
    fn is_adopted(parent: Option<Pid>) -> bool {
        let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        parent == Some(Pid::INIT) && program(1) != program(std::process::id())
    }

    fn raw(pid: Option<Pid>) -> Option<u32> {
        u32::try_from(pid?.as_raw_pid()).ok()
    }

    fn die() -> io::Result<()> {
        kill_process(getpid(), Signal::KILL)?;
        Err(io::Error::other("the parent of this process is dead, and it cannot be killed itself"))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn die_with_parent() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn die_with(_: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
