//! The kernel's tracing directory, and a private instance in it.
//!
//! Where nobody has mounted tracefs it is mounted without a place in the tree of files
//! (`fsmount(2)`): such a mount is reached through its descriptor alone and ends with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// What the names of this program's instances begin with; the process id follows.
pub(crate) const PREFIX: &str = "socket-inspector-";
const EVENT: &str = "events/sock/inet_sock_set_state";
/// Where it is mounted, if it is.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// What the buffers of all processors may take together.
const BUFFERS_KIB: usize = 32 * 1024;
/// No page of the ring buffer is larger, on any machine.
const PAGE_LEN: usize = 64 * 1024;

/// A way to the kernel's tracing directory.
#[derive(Debug)]
pub(crate) struct Tracefs {
    root: PathBuf,
    /// Keeps a mount alive that nobody else can see.
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds tracefs, or mounts it where nobody sees it.
    ///
    /// # Errors
    /// What the system says: an ordinary user may do neither.
    pub(crate) fn open() -> io::Result<Self> {
        for place in PLACES {
            match fs::read_dir(Path::new(place).join("instances")) {
                Ok(_) => return Ok(Self { root: place.into(), _mount: None }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        fs::read_dir(root.join("instances"))?;
        Ok(Self { root, _mount: Some(mount) })
    }

    fn instance(&self, name: &str) -> PathBuf {
        self.root.join("instances").join(name)
    }

    /// Removes the instance `name` if it is there and not in use.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_dir(self.instance(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes what processes have left behind that could not clean up.
    ///
    /// The kernel does not remove an instance that somebody reads, so that one of a process in
    /// another PID namespace, which looks dead from here, stays.
    pub(crate) fn remove_stale(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("instances")) else { return };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some(pid) = name.strip_prefix(PREFIX) else { continue };
            if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
                let _ = self.remove(name); // what is in use stays
            }
        }
    }
}

/// A private instance, in which the event is enabled; removed when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    tracefs: Tracefs,
    name: String,
    directory: PathBuf,
    /// One for each processor.
    pipes: Vec<File>,
    page: Vec<u8>,
}

impl Instance {
    /// Makes the instance, with the event enabled for sockets with one of `ports` at either end;
    /// for all if there are none.
    ///
    /// # Errors
    /// What the system says. Nothing is left behind.
    pub(crate) fn new(tracefs: Tracefs, name: String, ports: &[u16]) -> io::Result<Self> {
        let directory = tracefs.instance(&name);
        fs::create_dir(&directory)?;
        let page = vec![0; PAGE_LEN];
        let mut instance = Self { tracefs, name, directory, pipes: Vec::new(), page };
        instance.open_pipes()?;
        let each = BUFFERS_KIB.checked_div(instance.pipes.len()).unwrap_or(BUFFERS_KIB);
        instance.write("buffer_size_kb", &each.clamp(256, 8192).to_string())?;
        instance.write("trace_clock", "mono")?;
        instance.write(&format!("{EVENT}/filter"), &filter(ports))?;
        instance.write(&format!("{EVENT}/enable"), "1")?;
        Ok(instance)
    }

    fn open_pipes(&mut self) -> io::Result<()> {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        for processor in fs::read_dir(self.directory.join("per_cpu"))? {
            let path = processor?.path().join("trace_pipe_raw");
            self.pipes.push(OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?);
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.directory.join(file))?.write_all(text.as_bytes())
    }

    /// What the kernel says about the layout of the event.
    pub(crate) fn format(&self) -> io::Result<String> {
        fs::read_to_string(self.directory.join(EVENT).join("format"))
    }

    /// Hands every page that is there to `take`, processor by processor.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        for pipe in &mut self.pipes {
            loop {
                match pipe.read(&mut self.page) {
                    Ok(0) => break,
                    Ok(length) => take(self.page.get(..length).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// How many records were lost so far, as the kernel counts them.
    pub(crate) fn lost(&self) -> io::Result<u64> {
        let mut lost = 0_u64;
        for processor in fs::read_dir(self.directory.join("per_cpu"))? {
            lost =
                lost.saturating_add(lost_of(&fs::read_to_string(processor?.path().join("stats"))?));
        }
        Ok(lost)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.pipes.clear(); // an instance that is read cannot be removed
        let _ = self.write(&format!("{EVENT}/enable"), "0");
        let _ = self.tracefs.remove(&self.name); // else the watchdog does it
    }
}

/// The event's filter: TCP, and one of `ports` at either end. A fresh client socket, whose own
/// port is 0 in its first change, comes through by the port that it dials.
fn filter(ports: &[u16]) -> String {
    let ports: Vec<String> =
        ports.iter().map(|port| format!("sport=={port} || dport=={port}")).collect();
    if ports.is_empty() {
        return "protocol==6".to_owned();
    }
    format!("protocol==6 && ({})", ports.join(" || "))
}

/// The lost records in a processor's `stats`: overwritten before they were read, or never written.
fn lost_of(stats: &str) -> u64 {
    let counted = ["overrun", "commit overrun", "dropped events"];
    let count = |line: &str| {
        let (name, number) = line.split_once(':')?;
        counted.contains(&name).then(|| number.trim().parse::<u64>().ok())?
    };
    stats.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_looked_for_at_either_end() {
        assert_eq!(filter(&[]), "protocol==6");
        assert_eq!(
            filter(&[80, 443]),
            "protocol==6 && (sport==80 || dport==80 || sport==443 || dport==443)"
        );
    }

    #[test]
    fn every_way_of_losing_a_record_counts() {
        let stats = "entries: 0\noverrun: 3\ncommit overrun: 4\nbytes: 9\ndropped events: 5\n\
                     read events: 23\n";
        assert_eq!(lost_of(stats), 12);
        assert_eq!(lost_of("nonsense"), 0);
    }
}
