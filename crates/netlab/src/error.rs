//! What can go wrong, each with what was attempted and its cause.

use std::io;

use thiserror::Error;

use crate::Refused;

/// Why there is no private network, or why it does not tell something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// This system makes no private network.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is a private network, but this system makes no cable to a second host.
    #[error(transparent)]
    NoCable(Refused),
    /// The process has several threads, of which only one would move.
    #[error(
        "cannot enter a private network with {threads} threads, as only one of them would move: \
         enter it first, before any runtime is built"
    )]
    ManyThreads {
        /// How many there are, the caller's included.
        threads: usize,
    },
    /// A setting has a value that the kernel does not take. Nothing has been changed.
    #[error("{name} cannot be {value}: {why}")]
    Invalid {
        /// The setting, as `sysctl` names it.
        name: &'static str,
        /// The value asked for.
        value: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The private network's loopback interface does not come up.
    #[error("cannot bring up the loopback interface of the private network")]
    LoopbackDown {
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no second host.
    #[error("cannot {step} the second host")]
    Host {
        /// The step that was attempted.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no cable between the hosts, or none any more.
    #[error("cannot {step} the cable")]
    Cable {
        /// The step that was attempted.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The private network's loopback interface does not cut packets as a wire does.
    #[error("cannot make the loopback interface of the private network cut packets as a wire does")]
    UnlikeWire {
        /// The kernel's answer: `Unsupported` if it has said yes and not done so.
        source: io::Error,
    },
    /// A setting could not be written.
    #[error("cannot set {name} to {value} in the private network{}", advice(source))]
    Setting {
        /// The setting, as `sysctl` names it.
        name: &'static str,
        /// The value, in the kernel's words.
        value: String,
        /// The system's answer: `NotFound` if this kernel has no such setting.
        source: io::Error,
    },
    /// A setting could not be read back.
    #[error("cannot read {name} of the private network")]
    SettingUnreadable {
        /// The setting, as `sysctl` names it.
        name: &'static str,
        /// The system's answer: `InvalidData` if it is not what the setting looks like.
        source: io::Error,
    },
    /// The kernel's counters could not be read.
    #[error("cannot read the network's counters from {path}")]
    CountersUnreadable {
        /// The file that tells them.
        path: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's counters do not have the layout that they have on every known Linux.
    #[error("cannot understand the network's counters in {path}: {what}")]
    CountersMalformed {
        /// The file that tells them.
        path: &'static str,
        /// Where it departs from that layout.
        what: String,
    },
}

/// Returns what helps against `source`, if that is known.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; fix, in a container: docker run --security-opt systempaths=unconfined"
        }
        io::ErrorKind::NotFound => ", as this kernel has no such setting",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(kind: io::ErrorKind) -> String {
        let name = "net.ipv4.tcp_tw_reuse_delay";
        Error::Setting { name, value: "10".to_owned(), source: kind.into() }.to_string()
    }

    #[test]
    fn a_setting_that_is_read_only_comes_with_the_fix_for_containers() {
        let text = setting(io::ErrorKind::ReadOnlyFilesystem);
        assert!(text.contains("systempaths=unconfined"), "{text}");
    }

    #[test]
    fn a_setting_that_the_kernel_lacks_is_said_to_be_lacking() {
        let text = setting(io::ErrorKind::NotFound);
        assert!(text.ends_with("in the private network, as this kernel has no such setting"));
    }
}
