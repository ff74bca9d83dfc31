//! A tracer that runs, and what it watches.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::SockRef;

/// The kernel's tracing directory, mounted where nobody else sees it.
pub(crate) struct Tracefs {
    pub(crate) instances: PathBuf,
    _mount: OwnedFd,
}

impl Tracefs {
    /// `None`, and said aloud, where it cannot be reached.
    pub(crate) fn open() -> Option<Self> {
        let mount = || -> Result<OwnedFd, rustix::io::Errno> {
            let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        match mount() {
            Ok(mount) => {
                let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
                Some(Self { instances: root.join("instances"), _mount: mount })
            }
            Err(error) => {
                eprintln!("SKIPPED: tracefs cannot be mounted, which takes root: {error}");
                None
            }
        }
    }

    /// Whether the tracer `pid` has an instance.
    pub(crate) fn has(&self, pid: u32) -> bool {
        !self.of(pid).is_empty()
    }

    /// What the names of the tracer's instances end with, after its number.
    pub(crate) fn of(&self, pid: u32) -> Vec<String> {
        let name = format!("socket-inspector-{pid}");
        let ends = ["", "-bytes"].into_iter();
        let there = |end: &&str| self.instances.join(format!("{name}{end}")).exists();
        ends.filter(there).map(str::to_owned).collect()
    }

    pub(crate) fn wait_until_gone(&self, pid: u32) {
        eventually(|| !self.has(pid), "the instance outlived its tracer");
    }
}

/// A child has a copy of every descriptor until it becomes another program: a connection that is
/// closed in the meantime stays open. Held for reading by who starts a child, for writing by who
/// cannot have that.
pub(crate) static CHILDREN: RwLock<()> = RwLock::new(());

pub(crate) fn spawn(command: &mut Command) -> Child {
    let _turn = CHILDREN.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Waits for an event.
pub(crate) fn eventually(mut happened: impl FnMut() -> bool, otherwise: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The client's end and the server's.
pub(crate) fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A close sends a reset.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_socket-inspector")
}

pub(crate) fn trace(program: &Path, listener: &TcpListener, witness: &str) -> Command {
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = Command::new(program);
    command.args(["trace", "--format", "jsonl", "--witness", witness, "--port", &port]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A tracer that runs.
pub(crate) struct Tracer {
    pub(crate) child: Child,
    pub(crate) out: BufReader<ChildStdout>,
    /// What it said first.
    pub(crate) witness: Value,
}

impl Tracer {
    /// Starts it, and returns when it watches.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = spawn(&mut command);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let witness = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it said {line:?} and {said:?}")
        });
        Self { child, out, witness }
    }

    pub(crate) fn of(listener: &TcpListener, witness: &str) -> Self {
        Self::start(trace(Path::new(program()), listener, witness))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads on until it tells of the end of `connections`.
    pub(crate) fn until_ended(&mut self, connections: usize) -> Vec<Value> {
        let mut told = Vec::new();
        let mut ended = 0;
        while ended < connections {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it has ended: {told:#?}");
            let value: Value = serde_json::from_str(&line).unwrap();
            ended += usize::from(value["kind"] == "ended");
            told.push(value);
        }
        told
    }

    /// Ends it by `signal`, and returns what it still had to say.
    pub(crate) fn end(mut self, signal: Signal) -> (Vec<Value>, ExitStatus) {
        self.signal(signal);
        let rest = (&mut self.out).lines().map(|line| serde_json::from_str(&line.unwrap()));
        let rest = rest.collect::<Result<_, _>>().unwrap();
        (rest, self.child.wait().unwrap())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
