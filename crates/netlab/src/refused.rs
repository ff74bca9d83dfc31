//! Why there is no private network, or no cable, as one sentence.

use thiserror::Error;

/// Why this system makes no private network, or no cable between two hosts: what was refused, by
/// whom, and the exact fix.
///
/// One line, such as `no private network: unshare refused (EPERM) by Debian's switch
/// kernel.unprivileged_userns_clone = 0; fix: sudo sysctl kernel.unprivileged_userns_clone=1`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no {goal}: {what} by {by}; fix: {fix}")]
pub struct Refused {
    goal: &'static str,
    what: String,
    by: String,
    fix: String,
    apparmor: bool,
}

impl Refused {
    pub(crate) fn new(what: String, by: String, fix: String) -> Self {
        Self { goal: "private network", what, by, fix, apparmor: false }
    }

    /// The same, refused by AppArmor.
    #[cfg(target_os = "linux")]
    pub(crate) fn by_apparmor(self) -> Self {
        Self { apparmor: true, ..self }
    }

    /// There is a private network, but no cable to a second host.
    #[cfg(target_os = "linux")]
    pub(crate) fn no_cable(what: String, by: String, fix: String) -> Self {
        Self { goal: "cable between two hosts", what, by, fix, apparmor: false }
    }

    /// `system` has no network namespaces.
    #[cfg(any(not(target_os = "linux"), test))]
    pub(crate) fn not_linux(system: &str) -> Self {
        Self::new(
            "network namespaces are not offered".to_owned(),
            format!("{system}, which is not Linux"),
            "run it on Linux, or in a Linux virtual machine".to_owned(),
        )
    }

    /// The step that failed, with the system's answer: `unshare refused (EPERM)`.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The one that refused, as far as it can be told: a switch, a limit, a guard. It says so if it
    /// cannot.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// True if it was AppArmor, whose profiles can allow it to one program alone (`userns,`): better
    /// than the remedy for all of them.
    #[must_use]
    pub fn is_by_apparmor(&self) -> bool {
        self.apparmor
    }

    /// The remedy: a command, where one is known.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_is_not_linux_says_so_in_one_line() {
        assert_eq!(
            Refused::not_linux("macos").to_string(),
            "no private network: network namespaces are not offered by macos, which is not \
             Linux; fix: run it on Linux, or in a Linux virtual machine"
        );
    }
}
