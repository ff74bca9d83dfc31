//! Why nothing can be heard here, as one sentence: facts in, culprit out.

use thiserror::Error;

/// Why this process may not hear packets: what was refused, by whom, and the exact fix.
///
/// One line, such as `no packets: opening a packet socket refused (EPERM) by the kernel, as this
/// process lacks CAP_NET_RAW; fix: enter a private network first, or sudo setcap cap_net_raw+ep …`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no packets: {what} by {by}; fix: {fix}")]
pub struct CaptureRefusal {
    what: String,
    by: String,
    fix: String,
}

impl CaptureRefusal {
    /// `system` has no packet sockets.
    #[cfg(any(not(target_os = "linux"), test))]
    pub(crate) fn not_linux(system: &str) -> Self {
        Self {
            what: "packet sockets are not offered".to_owned(),
            by: format!("{system}, which is not Linux"),
            fix: "run it on Linux, or in a Linux virtual machine".to_owned(),
        }
    }

    /// The step that failed, with the system's answer.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The one that refused, as far as it can be told.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// The remedy.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

/// The facts when a packet socket was refused.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug)]
pub(crate) struct CaptureFacts {
    pub(crate) errno: nix::errno::Errno,
    /// True if this process has `CAP_NET_RAW`, be it in a user namespace alone.
    pub(crate) net_raw: bool,
    /// True if system calls of this process pass through a filter, as in most containers.
    pub(crate) seccomp_filter: bool,
    /// The file of this program.
    pub(crate) program: String,
}

#[cfg(target_os = "linux")]
impl CaptureFacts {
    /// Looks around after opening the socket has failed with `errno`.
    pub(crate) fn gather(errno: nix::errno::Errno) -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let program = std::env::current_exe().map(|path| path.display().to_string());
        Self {
            errno,
            net_raw: has_net_raw(&status),
            seccomp_filter: field(&status, "Seccomp:") == Some("2"),
            program: program.unwrap_or_else(|_| "PROGRAM".to_owned()),
        }
    }
}

#[cfg(target_os = "linux")]
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// `CAP_NET_RAW` is the fourteenth.
#[cfg(target_os = "linux")]
fn has_net_raw(status: &str) -> bool {
    let effective = field(status, "CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    effective.is_some_and(|mask| mask & (1 << 13) != 0)
}

/// Names the one that refused, and the fix.
#[cfg(target_os = "linux")]
pub(crate) fn diagnose(facts: &CaptureFacts) -> CaptureRefusal {
    use nix::errno::Errno;

    let known = |by: &str, fix: String| (by.to_owned(), fix);
    let (by, fix) = match facts.errno {
        Errno::EAFNOSUPPORT => known(
            "a kernel without packet sockets (CONFIG_PACKET)",
            "run it on another kernel".to_owned(),
        ),
        Errno::EPERM | Errno::EACCES if !facts.net_raw => known(
            "the kernel, as this process lacks CAP_NET_RAW",
            format!(
                "enter a private network first, or sudo setcap cap_net_raw+ep {}",
                facts.program
            ),
        ),
        Errno::EPERM | Errno::EACCES if facts.seccomp_filter => known(
            "a filter of system calls (seccomp) or a security module, as containers have them",
            "allow it, in a container: docker run --cap-add NET_RAW".to_owned(),
        ),
        Errno::EPERM | Errno::EACCES => known(
            "the user namespace, in which CAP_NET_RAW does not reach the machine's own network, or a \
             security module (AppArmor, SELinux)",
            "enter a private network first, or run it as root".to_owned(),
        ),
        _ => known(
            "somebody who cannot be told",
            "enter a private network first, or run it as root".to_owned(),
        ),
    };
    CaptureRefusal { what: format!("opening a packet socket refused ({:?})", facts.errno), by, fix }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn facts() -> CaptureFacts {
        CaptureFacts {
            errno: Errno::EPERM,
            net_raw: false,
            seccomp_filter: false,
            program: "/bin/lab".to_owned(),
        }
    }

    #[test]
    fn whoever_lacks_the_capability_is_told_the_two_ways_to_have_it() {
        assert_eq!(
            diagnose(&facts()).to_string(),
            "no packets: opening a packet socket refused (EPERM) by the kernel, as this process \
             lacks CAP_NET_RAW; fix: enter a private network first, or sudo setcap cap_net_raw+ep \
             /bin/lab"
        );
    }

    #[test]
    fn a_capability_that_does_not_help_points_to_a_guard() {
        let with = CaptureFacts { net_raw: true, ..facts() };
        assert!(diagnose(&with).by().contains("user namespace"));
        let filtered = CaptureFacts { seccomp_filter: true, ..with };
        assert!(diagnose(&filtered).by().contains("seccomp"));
        let kernel = CaptureFacts { errno: Errno::EAFNOSUPPORT, ..facts() };
        assert!(diagnose(&kernel).by().contains("CONFIG_PACKET"));
        let other = CaptureFacts { errno: Errno::ENFILE, ..facts() };
        assert!(diagnose(&other).by().contains("cannot be told"));
    }

    #[test]
    fn the_capability_is_read_from_the_process_s_status() {
        assert!(has_net_raw("Name:\tx\nCapEff:\t0000000000002000\n"));
        assert!(!has_net_raw("CapEff:\t000001ffffffdfff\n"));
        assert!(!has_net_raw(""));
    }
}
