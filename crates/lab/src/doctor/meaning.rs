//! What settings mean, and for which experiment. Pure.

use super::facts::{DescriptorLimit, LocalPorts};

/// The ports that clients get.
pub(crate) const LOCAL_PORTS: &str = "net.ipv4.ip_local_port_range";

/// The settings that are told, as `sysctl` names them.
pub(crate) const SETTINGS: &[&str] = &[
    LOCAL_PORTS,
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_fin_timeout",
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_congestion_control",
];

/// Returns what this value means; the numbers in brackets are those of experiments.
pub(crate) fn of_setting(name: &str, value: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    match (last, value) {
        ("ip_local_port_range", range) => match span(range) {
            Some(ports) => format!("{ports} connections at a time to one server [13]"),
            None => "the ports that clients get [13]".to_owned(),
        },
        ("tcp_tw_reuse", "0") => "no port in TIME_WAIT is given away [13]".to_owned(),
        ("tcp_tw_reuse", "1") => "a port in TIME_WAIT may be given away [13]".to_owned(),
        ("tcp_tw_reuse", "2") => {
            "a port in TIME_WAIT may be given away on loopback alone [13]".to_owned()
        }
        ("tcp_tw_reuse_delay", ms) => format!("after {ms} ms of silence [13]"),
        ("tcp_max_tw_buckets", _) => "so many in TIME_WAIT; the next skips it [12]".to_owned(),
        ("tcp_fin_timeout", s) => {
            format!("{s} s of FIN_WAIT_2 after a close; TIME_WAIT is not meant [12]")
        }
        ("somaxconn", _) => "so many wait to be accepted at most [26, 40]".to_owned(),
        ("tcp_max_syn_backlog", _) => "handshakes that may be half done [40]".to_owned(),
        ("tcp_abort_on_overflow", "0") => {
            "a full accept queue says nothing: clients try again [26, 40]".to_owned()
        }
        ("tcp_abort_on_overflow", _) => "a full accept queue resets [26, 40]".to_owned(),
        ("tcp_syncookies", "0") => "a flood of SYNs is dropped [40]".to_owned(),
        ("tcp_syncookies", "1") => "a flood of SYNs is answered without memory [40]".to_owned(),
        ("tcp_syncookies", _) => "every SYN is answered without memory [40]".to_owned(),
        ("tcp_slow_start_after_idle", "0") => "an idle connection keeps its window [38]".to_owned(),
        ("tcp_slow_start_after_idle", _) => {
            "an idle connection begins slowly again [38]".to_owned()
        }
        ("tcp_congestion_control", "reno") => "as experiment 38 sets it for itself".to_owned(),
        ("tcp_congestion_control", _) => "experiment 38 sets reno for itself".to_owned(),
        _ => String::new(),
    }
}

/// `1024 (1048576)`: the limit that holds, and as far as it may be raised.
pub(crate) fn limit_words(limit: DescriptorLimit) -> String {
    let word = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    match limit.soft == limit.hard {
        true => word(limit.soft),
        false => format!("{} ({})", word(limit.soft), word(limit.hard)),
    }
}

pub(crate) fn of_limit(limit: DescriptorLimit) -> String {
    match limit.hard {
        Some(most) => {
            format!("runs raise it to {most}; a connection takes one at each end [24, 25]")
        }
        None => "a connection takes one at each end [24, 25]".to_owned(),
    }
}

pub(crate) fn of_ports(ports: LocalPorts) -> String {
    let LocalPorts { all, used } = ports;
    format!("of {all}; {used} taken, which may still serve toward another server")
}

/// How many ports a range has, both ends included.
fn span(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    last.checked_sub(first).map(|more| more + 1)
}
