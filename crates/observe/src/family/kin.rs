//! Who belongs to the family: all that descends from this process.

use std::collections::HashMap;
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process of the family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kin {
    pub(super) pid: u32,
    pub(super) name: String,
    /// When it was started, in ticks since the machine was.
    born: u64,
}

/// What the kernel tells of a process in a line.
struct ProcessLine {
    name: String,
    is_dead: bool,
    parent: u32,
    born: u64,
}

impl Kin {
    /// All that live and descend from this process, but for `strangers` and those who descend from
    /// them.
    pub(super) fn all_but(strangers: &[u32]) -> io::Result<Vec<Self>> {
        let mut processes: HashMap<u32, ProcessLine> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            // One that has just ended is in no list.
            if let Some((pid, line)) = pid.and_then(|pid| Some((pid, line(pid)?))) {
                processes.insert(pid, line);
            }
        }
        let own = std::process::id();
        let descends = |mut pid: u32| {
            for _ in 0..processes.len() {
                if strangers.contains(&pid) {
                    return false;
                }
                match processes.get(&pid).map(|line| line.parent) {
                    Some(parent) if parent == own => return true,
                    Some(parent) => pid = parent,
                    None => return false,
                }
            }
            false
        };
        let kin = processes.iter().filter(|(pid, line)| !line.is_dead && descends(**pid));
        let mut kin: Vec<Self> = kin
            .map(|(&pid, line)| Self { pid, name: line.name.clone(), born: line.born })
            .collect();
        kin.sort_by_key(|one| one.pid);
        Ok(kin)
    }

    /// Sends it a signal. Whoever has its number by now, if it is gone, gets none.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return;
        };
        if line(self.pid).is_some_and(|line| line.born == self.born) {
            // It may have gone meanwhile, which is what is wanted.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

fn line(pid: u32) -> Option<ProcessLine> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`: the name is in brackets, and may have brackets itself.
fn parse(stat: &str) -> Option<ProcessLine> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(ProcessLine {
        name: name.to_owned(),
        is_dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        born: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_read_to_its_last() {
        let stat = "7 (a) b (c)) S 5 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let line = parse(stat).unwrap();
        assert_eq!((line.name.as_str(), line.parent, line.born), ("a) b (c)", 5, 987_654));
        assert!(!line.is_dead);
        assert!(parse("").is_none() && parse("7 (a) Z").is_none());
    }

    #[test]
    fn a_child_belongs_to_the_family_until_it_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let is_kin = |pid| Kin::all_but(&[]).unwrap().into_iter().find(|one| one.pid == pid);
        let kin = is_kin(child.id()).unwrap();
        assert_eq!(Kin::all_but(&[child.id()]).unwrap(), [], "strangers are none");
        kin.signal(Signal::KILL);
        child.wait().unwrap();
        assert_eq!(is_kin(child.id()), None);
        assert_eq!(is_kin(std::process::id()), None, "nobody descends from himself");
    }
}
