//! A child of a test: this program, started again to play a role.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child as Process, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::inside::{INPUT, ROLE};
use crate::runner::Skipped;

/// No child needs more; one that hangs is a failure.
const DEADLINE: Duration = Duration::from_secs(20);
/// The user and the group called `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// Who is to play a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever runs this test.
    Caller,
    /// An ordinary user: `nobody` if root runs this test.
    Ordinary,
}

/// A process that plays a role. It is killed when the test lets go of it.
pub(crate) struct Child {
    process: Process,
    who: Who,
    lines: mpsc::Receiver<String>,
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A copy of this program that everybody may execute: `target` may be closed to others.
fn open_to_all() -> &'static PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let directory = env::temp_dir().join(format!("netlab-{}", std::process::id()));
        let copy = directory.join("private_network");
        fs::create_dir(&directory).unwrap();
        fs::copy(env::current_exe().unwrap(), &copy).unwrap();
        for path in [&directory, &copy] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy
    })
}

/// Removes what the tests have left in the temporary directory.
pub(crate) fn clean_up() {
    if is_root() {
        let _ = fs::remove_dir_all(open_to_all().parent().unwrap());
    }
}

/// This program, or another one, run by `who`.
fn command(other: Option<&str>, who: Who) -> Command {
    let as_nobody = who == Who::Ordinary && is_root();
    let mut command = match other {
        Some(other) => Command::new(other),
        None if as_nobody => Command::new(open_to_all()),
        None => Command::new(env::current_exe().unwrap()),
    };
    if as_nobody {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    command
}

/// A second opinion, so that a fault of ours does not pass for a refusal of the machine's.
fn unshare_is_refused(who: Who) -> bool {
    let unshare = command(Some("unshare"), who).args(["--map-root-user", "--net", "true"]).output();
    !unshare.is_ok_and(|output| output.status.success())
}

impl Child {
    pub(crate) fn start(role: &str, input: &Value, who: Who) -> Self {
        let mut process = command(None, who)
            .env(ROLE, role)
            .env(INPUT, input.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, who, lines }
    }

    /// The next report: what was seen, or why there was no private network.
    pub(crate) fn report(&self) -> Result<Value, Skipped> {
        let line = self.lines.recv_timeout(DEADLINE).expect("no report in time");
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(report.get("error"), None, "the child failed");
        match report.get("refused") {
            Some(why) if unshare_is_refused(self.who) => {
                Err(Skipped(why.as_str().unwrap().to_owned()))
            }
            Some(why) => panic!("unshare(1) is not refused, but: {why}"),
            None => Ok(report),
        }
    }

    /// Waits until everybody who could report has ended.
    pub(crate) fn wait_until_nobody_is_left(&self) {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody has not died"),
            }
        }
    }

    /// Kills this process, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `who` saw who played `role`.
pub(crate) fn seen_by(who: Who, role: &str, input: &Value) -> Result<Value, Skipped> {
    Child::start(role, input, who).report()
}
