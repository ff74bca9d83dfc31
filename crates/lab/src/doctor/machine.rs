//! Settings, limits and tools of this machine, as they are read.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};

use socket_table::SocketFilter;

use super::facts::{DescriptorLimit, LocalPorts, SysctlFact, SystemFacts, ToolFact};
use super::meaning::{LOCAL_PORTS, SETTINGS};

/// Programs that the lab does not need, how they tell their version, and what they add.
const TOOLS: [(&str, &[&str], &str); 3] = [
    ("go", &["version"], "lab run --transport real-go"),
    ("tshark", &["--version"], "reads the files of --pcap"),
    ("tcpdump", &["--version"], "hears and reads the same packets"),
];

pub(crate) fn system() -> SystemFacts {
    #[cfg(unix)]
    let user = Some(rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    let user = None;
    SystemFacts {
        os: std::env::consts::OS.to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").ok(),
        user,
    }
}

pub(crate) fn sysctls() -> Vec<SysctlFact> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let fact = |&name: &&'static str| {
        let value = read(&format!("/proc/sys/{}", name.replace('.', "/")));
        SysctlFact { name, value: value.map_err(|error| error.to_string()) }
    };
    SETTINGS.iter().map(fact).collect()
}

pub(crate) fn descriptors() -> Option<DescriptorLimit> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::Nofile);
        Some(DescriptorLimit { soft: limit.current, hard: limit.maximum })
    }
    #[cfg(not(unix))]
    None
}

/// Counts the ports of clients that some socket has.
pub(crate) fn ports() -> Option<LocalPorts> {
    let range = read(&format!("/proc/sys/{}", LOCAL_PORTS.replace('.', "/"))).ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let table = socket_table::snapshot(&SocketFilter::default()).ok()?;
    let ports = table.sockets.iter().map(|socket| socket.local.port());
    let used: HashSet<u16> = ports.filter(|port| (first..=last).contains(port)).collect();
    let all = u64::from(last).saturating_sub(first.into()) + 1;
    Some(LocalPorts { all, used: u64::try_from(used.len()).unwrap_or(all) })
}

pub(crate) fn tools() -> Vec<ToolFact> {
    let fact = |&(name, arguments, adds): &(&'static str, &[&str], &'static str)| ToolFact {
        name,
        adds,
        version: version(name, arguments),
    };
    TOOLS.iter().map(fact).collect()
}

/// The first line that a program says of its version.
fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    // What stands behind is about how it was built.
    let line = line.split(" (Git").next().unwrap_or(line);
    Some(report::words::printable(line))
}

fn read(path: &str) -> std::io::Result<String> {
    let text = fs::read_to_string(path)?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
