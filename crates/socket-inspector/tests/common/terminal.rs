//! The program in a terminal of its own.
#![allow(dead_code, unreachable_pub, reason = "each program uses its own part")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

const PROGRAM: &str = env!("CARGO_BIN_EXE_socket-inspector");

/// `socket-inspector watch` in a terminal.
pub struct InTerminal {
    pub child: Child,
    /// The end at which the one who types and looks sits.
    seat: Option<File>,
    /// Reads there, until the terminal is to be closed.
    reader: Option<JoinHandle<()>>,
    closed: Arc<AtomicBool>,
    /// The end at which programs sit.
    programs: OwnedFd,
    bytes: Receiver<Vec<u8>>,
    all: Vec<u8>,
    screen: vt100::Parser,
    before: Termios,
}

impl InTerminal {
    /// Starts it in a terminal of so many columns and rows.
    pub fn start(arguments: &[&str], (columns, rows): (u16, u16)) -> Self {
        let seat = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&seat).unwrap();
        unlockpt(&seat).unwrap();
        let name = ptsname(&seat, Vec::new()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&seat, size).unwrap();
        let programs: OwnedFd =
            OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap().into();
        let before = tcgetattr(&programs).unwrap();
        let end = || Stdio::from(programs.try_clone().unwrap());
        let child = Command::new(PROGRAM)
            .arg("watch")
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let seat = File::from(seat);
        let mut eyes = seat.try_clone().unwrap();
        let (sender, bytes) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            while !is_closed.load(Ordering::Relaxed) {
                let mut asked = [PollFd::new(&eyes, PollFlags::IN)];
                if poll(&mut asked, Some(&moment)).unwrap_or(0) == 0 {
                    continue;
                }
                let Ok(length @ 1..) = eyes.read(&mut some) else { break };
                if sender.send(some[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen =
            vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0);
        let all = Vec::new();
        let (seat, reader) = (Some(seat), Some(reader));
        Self { child, seat, reader, closed, programs, bytes, all, screen, before }
    }

    /// Closes the terminal, as a window is closed.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.reader.take().unwrap().join().unwrap();
        drop(self.seat.take());
    }

    pub fn press(&mut self, keys: &str) {
        self.seat.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn take_in(&mut self) {
        for bytes in self.bytes.try_iter() {
            self.screen.process(&bytes);
            self.all.extend(bytes);
        }
    }

    /// Waits until the screen is as `wanted`.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.take_in();
            let shown = self.screen.screen().contents();
            if wanted(&shown) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}:\n{shown}");
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end, and makes sure that the terminal is as it was.
    pub fn end(&mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        std::thread::sleep(Duration::from_millis(50)); // for the thread that reads
        self.take_in();
        let after = tcgetattr(&self.programs).unwrap();
        assert_eq!(format!("{after:?}"), format!("{:?}", self.before), "modes of the terminal");
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(screen.contents().trim(), "", "it leaves nothing on the screen");
        status
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process, but not for ever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}
