//! The signals by which people and systems ask a program to end.

use std::io;

/// A way in which a program is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// Ctrl-C, or SIGINT. The only one where there is no Unix.
    Interrupt,
    /// SIGTERM: what `kill` and service managers send.
    Terminate,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl StopSignal {
    /// The signals that every program listens to: Ctrl-C and SIGTERM.
    pub const USUAL: [Self; 2] = [Self::Interrupt, Self::Terminate];
}

/// Signals that no longer end the process by themselves, but are heard here.
#[derive(Debug)]
pub struct Signals(imp::Signals);

impl Signals {
    /// Listens for `signals` from now on, so that none that comes later is missed. Wants a tokio
    /// runtime with its I/O driver. What the system does not have is never heard.
    ///
    /// # Errors
    /// If the system does not let us listen.
    pub fn listen(signals: &[StopSignal]) -> io::Result<Self> {
        imp::Signals::listen(signals).map(Self)
    }

    /// Waits for the next of them. Safe to give up and to call again.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

#[cfg(unix)]
mod imp {
    use std::future::poll_fn;
    use std::io;
    use std::task::Poll;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::StopSignal;

    #[derive(Debug)]
    pub(super) struct Signals(Vec<Signal>);

    impl Signals {
        pub(super) fn listen(signals: &[StopSignal]) -> io::Result<Self> {
            let kind = |stop: &StopSignal| match stop {
                StopSignal::Interrupt => SignalKind::interrupt(),
                StopSignal::Terminate => SignalKind::terminate(),
                StopSignal::Quit => SignalKind::quit(),
                StopSignal::HangUp => SignalKind::hangup(),
            };
            signals.iter().map(|stop| signal(kind(stop))).collect::<io::Result<_>>().map(Self)
        }

        pub(super) async fn next(&mut self) {
            poll_fn(|context| {
                let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if came { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;

    use super::StopSignal;

    #[derive(Debug)]
    pub(super) struct Signals;

    impl Signals {
        pub(super) fn listen(_: &[StopSignal]) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
