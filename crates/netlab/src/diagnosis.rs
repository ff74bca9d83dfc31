//! Who refuses a private network here: facts in, culprit out.
//!
//! [`Facts::gather`] looks around, [`diagnose`] judges: a pure function, as no single machine has
//! all the systems that refuse.

use std::fmt;
use std::fs;
use std::path::Path;

use nix::errno::Errno;

use crate::Refused;

/// A step on the way into a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryStep {
    /// Finding out where the process is, from this file.
    Locate(&'static str),
    /// Leaving for a new network.
    Unshare,
    /// Becoming root of the new user namespace, by writing this file; as who it is outside.
    Map { file: &'static str, user: u32 },
}

impl fmt::Display for EntryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locate(path) => write!(f, "reading {path}"),
            Self::Unshare => f.write_str("unshare"),
            Self::Map { file, .. } => write!(f, "writing {file}"),
        }
    }
}

/// The facts when a step has failed. A switch that this kernel does not have is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) step: EntryStep,
    pub(crate) errno: Errno,
    /// `kernel.unprivileged_userns_clone`, which Debian adds: 0 forbids.
    pub(crate) userns_clone: Option<u64>,
    /// `user.max_user_namespaces`: how many the user may have.
    pub(crate) max_user_namespaces: Option<u64>,
    /// `user.max_net_namespaces`: how many the user may have.
    pub(crate) max_net_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu adds: 1 restricts.
    pub(crate) apparmor_restricts: Option<u64>,
    /// True if system calls of this process pass through a filter, as in most containers.
    pub(crate) seccomp_filter: bool,
    /// True if the process is certainly in a chroot. Not every chroot can be told.
    pub(crate) chroot: bool,
    /// True if the kernel was built with user namespaces.
    pub(crate) has_user_namespaces: bool,
}

impl Facts {
    /// Looks around after `step` has failed with `errno`.
    pub(crate) fn gather(step: EntryStep, errno: Errno) -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let switch = |path| text(path).trim().parse().ok();
        Self {
            step,
            errno,
            userns_clone: switch("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: switch("/proc/sys/user/max_user_namespaces"),
            max_net_namespaces: switch("/proc/sys/user/max_net_namespaces"),
            apparmor_restricts: switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp_filter: has_seccomp_filter(&text("/proc/self/status")),
            chroot: is_chroot(&text("/proc/self/mountinfo")),
            has_user_namespaces: Path::new("/proc/self/ns/user").exists(),
        }
    }
}

/// `SECCOMP_MODE_FILTER`, in `/proc/PID/status`.
fn has_seccomp_filter(status: &str) -> bool {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

/// The kernel lists the mounts that a process can reach, one of which is at its root; unless its
/// root was moved to a plain directory.
fn is_chroot(mountinfo: &str) -> bool {
    let mut mount_points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    !mountinfo.is_empty() && mount_points.all(|mount_point| mount_point != "/")
}

/// Names the one that refused, and the fix.
pub(crate) fn diagnose(facts: &Facts) -> Refused {
    let (by, fix) = culprit(facts);
    let is_apparmor = by == APPARMOR;
    let refused = Refused::new(format!("{} refused ({:?})", facts.step, facts.errno), by, fix);
    if is_apparmor { refused.by_apparmor() } else { refused }
}

/// The switch by which Ubuntu lets AppArmor decide.
const APPARMOR: &str = "AppArmor's switch kernel.apparmor_restrict_unprivileged_userns = 1";

/// The device file from which a cable's ends are made.
const TUN: &str = "/dev/net/tun";

/// Names what refused a device for the cable, and the fix.
pub(crate) fn no_tun(errno: Errno) -> Refused {
    let (by, fix) = match errno {
        Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => known(
            "a system without it: the kernel's module tun is not loaded, or a container was \
             started without the device",
            "sudo modprobe tun, or in a container: docker run --device /dev/net/tun",
        ),
        Errno::EACCES | Errno::EPERM => known(
            "the permissions of the file, or a guard",
            "sudo chmod 666 /dev/net/tun, which is its mode on most systems: what a device may do \
             depends on the network in which it is made",
        ),
        _ => unknown(),
    };
    Refused::no_cable(format!("opening {TUN} refused ({errno:?})"), by, fix)
}

/// Names what refused a pair of virtual Ethernet devices for the cable, and the fix.
pub(crate) fn no_veth(errno: Errno) -> Refused {
    let (by, fix) = match errno {
        Errno::EOPNOTSUPP => known(
            "a kernel without such devices: its module veth is not loaded, or it has none",
            "sudo modprobe veth",
        ),
        _ => unknown(),
    };
    Refused::no_cable(format!("making a pair of veth devices refused ({errno:?})"), by, fix)
}

/// The kernel said yes, but the process is where it was.
pub(crate) fn not_moved() -> Refused {
    let (by, fix) = unknown();
    Refused::new("the move that unshare confirmed was withheld".to_owned(), by, fix)
}

fn culprit(facts: &Facts) -> (String, String) {
    match facts.errno {
        Errno::ENOSPC | Errno::EUSERS => limit(facts),
        Errno::ENOENT if matches!(facts.step, EntryStep::Locate(_)) => {
            known("a system without /proc, or without network namespaces", "mount /proc")
        }
        Errno::EINVAL if !facts.has_user_namespaces => known(
            "a kernel without user namespaces (CONFIG_USER_NS)",
            "run it as root, or on another kernel",
        ),
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS => guard(facts),
        _ => unknown(),
    }
}

/// Namespaces are counted for each user, and those nested in each other as well.
fn limit(facts: &Facts) -> (String, String) {
    if facts.max_user_namespaces == Some(0) {
        known(
            "the limit user.max_user_namespaces = 0",
            "sudo sysctl user.max_user_namespaces=15000",
        )
    } else if facts.max_net_namespaces == Some(0) {
        known("the limit user.max_net_namespaces = 0", "sudo sysctl user.max_net_namespaces=15000")
    } else {
        known(
            "a limit that is used up: of namespaces, here or in an outer user namespace, or of 32 \
             nested ones",
            "end the processes that hold namespaces (lsns lists them), or raise \
             user.max_user_namespaces and user.max_net_namespaces with sudo sysctl",
        )
    }
}

/// Those who forbid it by name. The surest sign comes first.
fn guard(facts: &Facts) -> (String, String) {
    let unshare = facts.step == EntryStep::Unshare;
    if unshare && facts.userns_clone == Some(0) {
        known(
            "Debian's switch kernel.unprivileged_userns_clone = 0",
            "sudo sysctl kernel.unprivileged_userns_clone=1",
        )
    } else if unshare && facts.chroot {
        known("the kernel, which allows none in a chroot", "run it outside the chroot")
    } else if unshare && facts.seccomp_filter && facts.errno != Errno::EACCES {
        known(
            "a seccomp filter, as containers have one",
            "docker run --security-opt seccomp=unconfined",
        )
    } else if facts.apparmor_restricts == Some(1) {
        known(APPARMOR, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0")
    } else if matches!(facts.step, EntryStep::Map { user: 0, .. }) {
        // Since Linux 5.12: root inside could otherwise put capabilities on files of root outside.
        known(
            "the kernel, as this is root without the capability CAP_SETFCAP",
            "run it as an ordinary user, or docker run --cap-add SETFCAP",
        )
    } else {
        unknown()
    }
}

fn known(by: &str, fix: &str) -> (String, String) {
    (by.to_owned(), fix.to_owned())
}

fn unknown() -> (String, String) {
    known("somebody who is not known", "not known; try it as root, outside of any container")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: u32 = 1000;
    const UID_MAP: &str = "/proc/self/uid_map";

    /// A machine on which nothing forbids anything, and yet a step failed.
    fn facts(step: EntryStep, errno: Errno) -> Facts {
        Facts {
            step,
            errno,
            userns_clone: None,
            max_user_namespaces: Some(96_365),
            max_net_namespaces: Some(96_365),
            apparmor_restricts: None,
            seccomp_filter: false,
            chroot: false,
            has_user_namespaces: true,
        }
    }

    fn refused(facts: &Facts) -> String {
        let line = diagnose(facts).to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn debian_s_switch_is_named_with_the_command_that_turns_it() {
        let debian = Facts { userns_clone: Some(0), ..facts(EntryStep::Unshare, Errno::EPERM) };
        assert_eq!(
            refused(&debian),
            "no private network: unshare refused (EPERM) by Debian's switch \
             kernel.unprivileged_userns_clone = 0; fix: sudo sysctl \
             kernel.unprivileged_userns_clone=1"
        );
    }

    #[test]
    fn debian_s_switch_is_innocent_where_it_is_on() {
        let debian = Facts { userns_clone: Some(1), ..facts(EntryStep::Unshare, Errno::EPERM) };
        assert!(refused(&debian).contains("not known"));
    }

    #[test]
    fn a_limit_of_zero_namespaces_is_named() {
        let none =
            Facts { max_user_namespaces: Some(0), ..facts(EntryStep::Unshare, Errno::ENOSPC) };
        assert_eq!(
            refused(&none),
            "no private network: unshare refused (ENOSPC) by the limit \
             user.max_user_namespaces = 0; fix: sudo sysctl user.max_user_namespaces=15000"
        );
        let none =
            Facts { max_net_namespaces: Some(0), ..facts(EntryStep::Unshare, Errno::ENOSPC) };
        assert!(refused(&none).contains("fix: sudo sysctl user.max_net_namespaces=15000"));
    }

    #[test]
    fn a_limit_that_is_reached_is_not_called_zero() {
        for errno in [Errno::ENOSPC, Errno::EUSERS] {
            let line = refused(&facts(EntryStep::Unshare, errno));
            assert!(line.contains("used up") && !line.contains("= 0"), "{line}");
        }
    }

    #[test]
    fn ubuntu_s_apparmor_lets_the_process_go_and_then_refuses_to_make_it_root() {
        let step = EntryStep::Map { file: UID_MAP, user: ORDINARY };
        let ubuntu = Facts { apparmor_restricts: Some(1), ..facts(step, Errno::EPERM) };
        assert_eq!(
            refused(&ubuntu),
            "no private network: writing /proc/self/uid_map refused (EPERM) by AppArmor's switch \
             kernel.apparmor_restrict_unprivileged_userns = 1; fix: sudo sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }

    #[test]
    fn ubuntu_s_apparmor_may_refuse_at_once() {
        let unshare = facts(EntryStep::Unshare, Errno::EACCES);
        let ubuntu = Facts { apparmor_restricts: Some(1), seccomp_filter: true, ..unshare.clone() };
        assert!(refused(&ubuntu).contains("AppArmor"), "seccomp does not answer EACCES");
        assert!(diagnose(&ubuntu).is_by_apparmor());
        assert!(!diagnose(&unshare).is_by_apparmor());
    }

    #[test]
    fn a_container_s_filter_is_named_with_docker_s_option() {
        let docker = Facts { seccomp_filter: true, ..facts(EntryStep::Unshare, Errno::EPERM) };
        assert_eq!(
            refused(&docker),
            "no private network: unshare refused (EPERM) by a seccomp filter, as containers have \
             one; fix: docker run --security-opt seccomp=unconfined"
        );
    }

    #[test]
    fn docker_on_ubuntu_fails_at_docker_s_filter_first() {
        let docker = Facts { seccomp_filter: true, ..facts(EntryStep::Unshare, Errno::EPERM) };
        let docker = Facts { apparmor_restricts: Some(1), ..docker };
        assert!(refused(&docker).contains("seccomp=unconfined"));
    }

    #[test]
    fn a_chroot_is_named_where_it_can_be_told() {
        let chroot = Facts { chroot: true, ..facts(EntryStep::Unshare, Errno::EPERM) };
        assert!(refused(&chroot).ends_with("fix: run it outside the chroot"));
    }

    #[test]
    fn root_with_few_capabilities_is_told_which_one_it_lacks() {
        let step = EntryStep::Map { file: UID_MAP, user: 0 };
        assert!(refused(&facts(step, Errno::EPERM)).contains("without the capability CAP_SETFCAP"));
        let step = EntryStep::Map { file: UID_MAP, user: ORDINARY };
        assert!(refused(&facts(step, Errno::EPERM)).contains("not known"));
    }

    #[test]
    fn a_kernel_without_user_namespaces_is_named() {
        let old = Facts { has_user_namespaces: false, ..facts(EntryStep::Unshare, Errno::EINVAL) };
        assert!(refused(&old).contains("CONFIG_USER_NS"));
    }

    #[test]
    fn a_system_without_proc_is_named() {
        let step = EntryStep::Locate("/proc/self/task");
        assert!(refused(&facts(step, Errno::ENOENT)).ends_with("fix: mount /proc"));
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_step_and_errno_and_nobody_is_accused() {
        let step = EntryStep::Map { file: UID_MAP, user: ORDINARY };
        assert_eq!(
            refused(&facts(step, Errno::EIO)),
            "no private network: writing /proc/self/uid_map refused (EIO) by somebody who is not \
             known; fix: not known; try it as root, outside of any container"
        );
    }

    #[test]
    fn a_filter_shows_in_the_status_of_the_process() {
        assert!(has_seccomp_filter("Threads:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!has_seccomp_filter("Threads:\t1\nSeccomp:\t0\nSeccomp_filters:\t0\n"));
        assert!(!has_seccomp_filter(""));
    }

    #[test]
    fn whose_root_is_no_mount_is_in_a_chroot() {
        let root = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
        let proc = "22 21 0:20 / /proc rw,relatime - proc proc rw\n";
        assert!(!is_chroot(&format!("{root}{proc}")));
        assert!(is_chroot(proc));
        assert!(!is_chroot(""), "it cannot be told");
    }
}
