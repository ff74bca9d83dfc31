//! The kernel's tracing directory, and a private instance in it.
//!
//! Where nobody has mounted tracefs it is mounted without a place in the tree of files
//! (`fsmount(2)`): such a mount is reached through its descriptor alone and ends with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::OFlags;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The beginning of the names of this program's instances; the process id follows.
pub(crate) const PREFIX: &str = "socket-inspector-";
/// The ending of the name of the instance for bytes.
pub(crate) const SECOND: &str = "-bytes";
/// Where it is mounted, if it is.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The room that the buffer of one processor takes, at least and at most.
const BUFFER_KIB: RangeInclusive<usize> = 256..=8192;
/// The least that a page of the ring buffer holds: that of 4 KiB, without its header.
const PAGE_ROOM: usize = 4096 - 16;
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
            let Some(pid) = pid(name.strip_suffix(SECOND).unwrap_or(name)) else { continue };
            if !Path::new("/proc").join(pid.to_string()).exists() {
                let _ = self.remove(name); // what is in use stays
            }
        }
    }
}

/// The process that made the instance `name`; `None` if it is none of this program's.
pub(crate) fn pid(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// An event of the kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelEvent {
    /// Its directory, below that of the instance.
    pub(crate) path: &'static str,
    /// Which of its records are wanted.
    pub(crate) filter: String,
}

/// A private instance, in which events are enabled; removed when dropped.
#[derive(Debug)]
pub(crate) struct TraceInstance {
    tracefs: Rc<Tracefs>,
    name: String,
    directory: PathBuf,
    /// One for each processor.
    pipes: Vec<File>,
    /// How many pages the buffer of a processor holds, at most.
    pages: usize,
    page: Vec<u8>,
}

impl TraceInstance {
    /// Makes the instance with `events` enabled in it. Its buffers take `buffers_kib` together,
    /// unless that is too little or too much for one processor.
    ///
    /// # Errors
    /// What the system says. Nothing is left behind.
    pub(crate) fn new(
        tracefs: &Rc<Tracefs>,
        name: String,
        events: &[KernelEvent],
        buffers_kib: usize,
    ) -> io::Result<Self> {
        let directory = tracefs.instance(&name);
        fs::create_dir(&directory)?;
        let (tracefs, page) = (Rc::clone(tracefs), vec![0; PAGE_LEN]);
        let mut instance = Self { tracefs, name, directory, pipes: Vec::new(), pages: 0, page };
        instance.open_pipes()?;
        let each = buffers_kib.checked_div(instance.pipes.len()).unwrap_or(buffers_kib);
        let each = each.clamp(*BUFFER_KIB.start(), *BUFFER_KIB.end());
        // Besides those that the buffer takes there is one that is being read.
        instance.pages = each.saturating_mul(1024).div_ceil(PAGE_ROOM).saturating_add(1);
        instance.write("buffer_size_kb", &each.to_string())?;
        instance.write("trace_clock", "mono")?;
        for KernelEvent { path, filter } in events {
            instance.write(&format!("{path}/filter"), filter)?;
        }
        for KernelEvent { path, .. } in events {
            instance.write(&format!("{path}/enable"), "1")?;
        }
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

    /// Returns what the kernel says about the layout of the event at `path`.
    pub(crate) fn format(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.directory.join(path).join("format"))
    }

    /// Hands every page that is there to `take`, processor by processor. What comes while it
    /// reads may stay for the next time: nobody can keep it here by writing fast enough.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        for pipe in &mut self.pipes {
            for _ in 0..=self.pages {
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

impl Drop for TraceInstance {
    fn drop(&mut self) {
        self.pipes.clear(); // an instance that is read cannot be removed
        let _ = self.tracefs.remove(&self.name); // else the watchdog does it
    }
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
    fn only_an_instance_of_this_program_has_a_process() {
        assert_eq!(pid("socket-inspector-4711"), Some(4711));
        for name in ["socket-inspector-", "socket-inspector-of-4711", "4711", "foo"] {
            assert_eq!(pid(name), None, "{name}");
        }
    }

    #[test]
    fn a_panic_leaves_no_instance() {
        let Ok(tracefs) = Tracefs::open() else {
            eprintln!("SKIPPED: tracefs cannot be reached, which takes root");
            return;
        };
        let tracefs = Rc::new(tracefs);
        let name = format!("{PREFIX}{}", std::process::id());
        let directory = tracefs.instance(&name);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _instance = TraceInstance::new(&tracefs, name, &[], 256).unwrap();
            assert!(!directory.exists(), "this panic is meant");
        }));
        assert!(unwound.is_err());
        assert!(!directory.exists());
    }

    #[test]
    fn an_event_that_the_kernel_does_not_have_leaves_no_instance() {
        let Ok(tracefs) = Tracefs::open() else {
            eprintln!("SKIPPED: tracefs cannot be reached, which takes root");
            return;
        };
        let tracefs = Rc::new(tracefs);
        let name = format!("{PREFIX}{}{SECOND}", std::process::id());
        let directory = tracefs.instance(&name);
        let event =
            KernelEvent { path: "events/sock/of_another_kernel", filter: "protocol==6".into() };
        let error = TraceInstance::new(&tracefs, name, &[event], 256).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!directory.exists());
    }

    #[test]
    fn every_way_of_losing_a_record_counts() {
        let stats = "entries: 0\noverrun: 3\ncommit overrun: 4\nbytes: 9\ndropped events: 5\n\
                     read events: 23\n";
        assert_eq!(lost_of(stats), 12);
        assert_eq!(lost_of("nonsense"), 0);
    }
}
