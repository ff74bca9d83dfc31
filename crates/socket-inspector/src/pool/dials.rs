//! The kernel's own count of connections that are dialled.

use std::fs;

/// Reads how many connections the processes of one network have dialled since it came to be,
/// whether they were answered or not (`TcpActiveOpens`): that of process `pid`, or this one's.
/// `None` if that cannot be read.
pub(super) fn active_opens(pid: Option<u32>) -> Option<u64> {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    of(&fs::read_to_string(format!("/proc/{process}/net/snmp")).ok()?)
}

/// Reads it from two lines that begin with `Tcp:`, names and values.
fn of(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(name, _)| *name == "ActiveOpens")?.1.parse().ok()
}

/// The kernel's count of dials, beside what the looks have seen of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialCount {
    /// Connections dialled between the first look and the last, by anybody in this network.
    pub(crate) dialled: u64,
    /// Connections that the looks saw come, whosever they are.
    pub(crate) seen: u64,
}

impl DialCount {
    /// The dials that no look has caught.
    pub(crate) fn unseen(self) -> u64 {
        self.dialled.saturating_sub(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_count_is_read_by_its_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 41 7\n";
        assert_eq!(of(snmp), Some(41));
        assert_eq!(of("Udp: InDatagrams\nUdp: 3\n"), None);
    }
}
