//! The loop that carries packets from one host to the other.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::device::{CableDevice, MTU};
use crate::cable::{CableLaw, CablePlan, CableTally, DueQueue, Fate, HostEnd, Parcel, Passing};

/// Packets taken from one host before the other has its turn.
const TURN: usize = 64;

/// A cable whose packets a thread carries. Dropping it unplugs it.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// Closed when the thread is to end.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<io::Result<CableTally>>>,
    injector: Injector,
}

/// A way to put packets on the cable from outside of its thread.
#[derive(Clone, Debug)]
pub(crate) struct Injector {
    parcels: Sender<(u64, Parcel)>,
    /// A byte in it wakes the thread.
    wake: Arc<PipeWriter>,
}

impl Injector {
    /// Puts `parcel` on its way, under the number of the packet that it came of.
    pub(crate) fn put(&self, number: u64, parcel: Parcel) -> io::Result<()> {
        let unplugged = |_| io::Error::from(io::ErrorKind::NotConnected);
        self.parcels.send((number, parcel)).map_err(unplugged)?;
        (&*self.wake).write_all(&[0])
    }
}

impl Forwarder {
    /// Begins to carry packets between the devices of the client's and the server's host.
    pub(crate) fn start(
        client: CableDevice,
        server: CableDevice,
        plan: CablePlan,
        law: Box<dyn CableLaw>,
    ) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let (woken, wake) = io::pipe()?;
        let (parcels, injected) = channel();
        let carrier = Carrier {
            woken,
            injected,
            devices: [client, server],
            queue: DueQueue::new(plan),
            law,
            tally: CableTally::default(),
        };
        let name = "cable".to_owned();
        let thread =
            std::thread::Builder::new().name(name).spawn(move || carrier.carry_until(&stopped))?;
        let injector = Injector { parcels, wake: Arc::new(wake) };
        Ok(Self { stop: Some(stop), thread: Some(thread), injector })
    }

    /// A way to put packets on it.
    pub(crate) fn injector(&self) -> Injector {
        self.injector.clone()
    }

    /// Ends it.
    pub(crate) fn unplug(mut self) -> io::Result<CableTally> {
        self.end().unwrap_or_else(|| Ok(CableTally::default()))
    }

    fn end(&mut self) -> Option<io::Result<CableTally>> {
        drop(self.stop.take());
        let panicked = |_| Err(io::Error::other("the thread of the cable panicked"));
        self.thread.take().map(|thread| thread.join().unwrap_or_else(panicked))
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ = self.end();
    }
}

struct Carrier {
    /// By [`HostEnd`].
    devices: [CableDevice; 2],
    queue: DueQueue,
    law: Box<dyn CableLaw>,
    tally: CableTally,
    /// Has a byte in it when something was injected.
    woken: PipeReader,
    injected: Receiver<(u64, Parcel)>,
}

impl Carrier {
    fn carry_until(mut self, stopped: &PipeReader) -> io::Result<CableTally> {
        // To the nanosecond, as far as the machine can. By default sleep may last 50 us longer.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut buffer = [0; MTU + 1];
        loop {
            self.hand_over_what_is_due();
            let woken = wait(&self.devices, stopped, &self.woken, self.queue.next())?;
            if woken.is_stopped {
                self.tally.under_way = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
                self.tally.missed = self.devices.iter().map(CableDevice::missed).sum();
                return Ok(self.tally);
            }
            if woken.is_injected {
                self.take_injected()?;
            }
            for from in HostEnd::BOTH {
                for _ in 0..TURN {
                    let Some(length) = self.devices[from as usize].take(&mut buffer)? else {
                        break;
                    };
                    self.pass(from, &buffer[..length]);
                }
            }
        }
    }

    fn take_injected(&mut self) -> io::Result<()> {
        let _ = self.woken.read(&mut [0; 64])?;
        while let Ok((number, Parcel { to, bytes, hold })) = self.injected.try_recv() {
            self.queue.put(number, to, bytes, Instant::now() + hold);
        }
        Ok(())
    }

    fn hand_over_what_is_due(&mut self) {
        while let Some(due) = self.queue.take_due(Instant::now()) {
            self.hand_over(due.number, due.to, &due.bytes);
        }
    }

    fn pass(&mut self, from: HostEnd, bytes: &[u8]) {
        self.tally.sent += 1;
        let (number, at, to) = (self.tally.sent, Instant::now(), from.other());
        match self.law.decide(&Passing { number, from, at, bytes }) {
            Fate::Lose => {}
            Fate::Pass if self.queue.is_a_short_cut() => self.hand_over(number, to, bytes),
            Fate::Pass => self.queue.put(number, to, bytes.to_owned(), at),
            Fate::Hold(pause) => self.queue.put(number, to, bytes.to_owned(), at + pause),
            Fate::Replace(parcels) => {
                for parcel in parcels {
                    self.queue.put(number, parcel.to, parcel.bytes, at + parcel.hold);
                }
            }
        }
    }

    fn hand_over(&mut self, number: u64, to: HostEnd, bytes: &[u8]) {
        match self.devices[to as usize].hand_over(bytes) {
            Ok(()) => {
                self.tally.arrived += 1;
                self.law.arrived(number, to, Instant::now());
            }
            // Such as a packet that a law has made of nothing.
            Err(_) => self.tally.refused += 1,
        }
    }
}

/// The end of a wait.
#[derive(Clone, Copy)]
struct WaitEnd {
    /// The cable is to be unplugged.
    is_stopped: bool,
    /// Something was injected.
    is_injected: bool,
}

/// Waits for a packet, or until `due`.
fn wait(
    devices: &[CableDevice; 2],
    stopped: &PipeReader,
    woken: &PipeReader,
    due: Option<Instant>,
) -> io::Result<WaitEnd> {
    let [client, server] = devices;
    let mut watched = [
        PollFd::new(client, PollFlags::IN),
        PollFd::new(server, PollFlags::IN),
        PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
    ];
    let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
    match poll(&mut watched, timeout.and_then(timespec).as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(WaitEnd {
            is_stopped: !watched[2].revents().is_empty(),
            is_injected: watched[3].revents().contains(PollFlags::IN),
        }),
        Err(error) => Err(error.into()),
    }
}

fn timespec(time: Duration) -> Option<Timespec> {
    time.try_into().ok()
}
