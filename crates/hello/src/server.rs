//! Listening, accepting, stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evidence::{ClientAddr, Owner, ServerAddr};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::answer::Answer;
use crate::connection;
use crate::fan_out::FanOut;
use crate::limits::Limits;
use crate::listening::{self, BindStep};
use crate::log::Log;
use crate::observer::{Accepted, Observer};
use crate::routes::Site;
use crate::trouble::{self, ACCEPT_BACKOFF, AcceptTrouble, Trouble};
use crate::watch::Watch;

/// How many connections may wait to be accepted, as in Go. The kernel may cap it lower
/// (`net.core.somaxconn`); tokio's own `bind` asks for 1024 only, the standard library for 128.
pub const BACKLOG: u32 = 4096;

/// How long a stopping server waits for exchanges in flight before it cuts them off.
pub const GRACE: Duration = Duration::from_secs(5);

/// After so much silence the kernel probes whether the client still lives, as in Go. That is TCP
/// keepalive, not HTTP keep-alive: it closes no connection whose other end answers.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Why the server could not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens at the address.
    #[error("cannot listen on {address}: port {} is in use{}", address.port(), by(owners))]
    PortInUse {
        /// The address asked for.
        address: SocketAddr,
        /// Who listens there, as far as the system tells.
        owners: Vec<Owner>,
        /// The system's words.
        source: io::Error,
    },
    /// Anything else went wrong.
    #[error("cannot listen on {address}")]
    CannotListen {
        /// The address asked for.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

fn by(owners: &[Owner]) -> String {
    let owners: Vec<String> =
        owners.iter().map(|owner| format!("{} (pid {})", owner.process, owner.pid)).collect();
    if owners.is_empty() { String::new() } else { format!(" by {}", owners.join(", ")) }
}

/// Who listens on `port`, for a message: if that cannot be found out, the message does without.
fn owners_of(port: u16) -> Vec<Owner> {
    let listener = socket_table::listener(port).ok().flatten();
    listener.and_then(|listener| listener.owners.known()).unwrap_or_default().to_vec()
}

/// A server that listens already, but does not accept yet. Connections wait in its backlog.
pub struct Server {
    listener: TcpListener,
    steps: Vec<BindStep>,
    address: ServerAddr,
    answer: Answer,
    observer: Option<Arc<dyn Observer>>,
    limits: Limits,
    trouble: Trouble,
    #[cfg(feature = "routes")]
    uploads: crate::routes::Uploads,
    #[cfg(feature = "metrics")]
    metrics: Option<Arc<crate::Metrics>>,
}

impl Server {
    /// Listens on `address` (port 0: any free one). Whoever connects from now on is not refused.
    ///
    /// # Errors
    /// [`Error::PortInUse`] with the port's owner, or [`Error::CannotListen`].
    pub fn bind(address: SocketAddr, answer: Answer) -> Result<Self, Error> {
        Self::bind_with_backlog(address, answer, BACKLOG)
    }

    /// Listens, but asks the kernel for room for so many connections that wait to be accepted,
    /// instead of [`BACKLOG`]. It grants no more than `net.core.somaxconn`, and Linux lets one more
    /// wait than it has granted.
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn bind_with_backlog(
        address: SocketAddr,
        answer: Answer,
        backlog: u32,
    ) -> Result<Self, Error> {
        let (listener, steps) =
            listening::listen(address, backlog).map_err(|source: io::Error| {
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        Error::PortInUse { address, owners: owners_of(address.port()), source }
                    }
                    _ => Error::CannotListen { address, source },
                }
            })?;
        let told = |source| Error::CannotListen { address, source };
        let address = ServerAddr::new(listener.local_addr().map_err(told)?);
        let (observer, limits, trouble) = Default::default();
        Ok(Self {
            listener,
            steps,
            address,
            answer,
            observer,
            limits,
            trouble,
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "routes")]
            uploads: crate::routes::Uploads::default(),
        })
    }

    /// Tells `observer` what the server sees, beside those that are told already.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(FanOut::add(self.observer.take(), observer));
        self
    }

    /// Lets `metrics` count, and answers `/metrics` with the counts.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn counted_by(mut self, metrics: Arc<crate::Metrics>) -> Self {
        self.metrics = Some(Arc::clone(&metrics));
        self.observed_by(metrics)
    }

    /// How long the server waits for what; without this call, for ever.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Closes connections that have been idle for `limit`; `None`, as before any call: never. The
    /// most asked for of the [`Limits`], as Go's `Server.IdleTimeout`, but that 0 is no way to
    /// switch it off.
    ///
    /// It counts from the end of a response, when its last byte is handed to the socket, to the
    /// first byte of the next request. Before its first request a connection is not idle. An
    /// HTTP/2 connection is idle while no request is being answered; the server then says
    /// `GOAWAY`, to which many clients react by closing first.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.limits.idle = limit;
        self
    }

    /// Calls `tell` when the server cannot accept connections, and when it can again. Not a matter
    /// for an [`Observer`], who is told of connections: here there is none.
    #[must_use]
    pub fn trouble_told_to(mut self, tell: impl Fn(AcceptTrouble) + Send + 'static) -> Self {
        self.trouble.tell = Some(Box::new(tell));
        self
    }

    /// Says what becomes of uploads; before any call they are counted and discarded.
    #[cfg(feature = "routes")]
    #[must_use]
    pub fn uploads(mut self, uploads: crate::routes::Uploads) -> Self {
        self.uploads = uploads;
        self
    }

    /// The address it really has.
    #[must_use]
    pub fn address(&self) -> ServerAddr {
        self.address
    }

    /// How it came to listen, step by step.
    #[must_use]
    pub fn steps(&self) -> &[BindStep] {
        &self.steps
    }

    /// Accepts connections in the background, from now on until [`Running::stop`].
    ///
    /// # Panics
    /// If there is no tokio runtime to run on.
    #[must_use]
    pub fn start(self) -> Running {
        let address = self.address;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(self.accept_until(stopped));
        Running { address, stop, task }
    }

    async fn accept_until(self, mut stop: watch::Receiver<bool>) -> JoinSet<()> {
        let Self { listener, answer, observer, limits, mut trouble, .. } = self;
        let site = Arc::new(Site {
            answer,
            #[cfg(feature = "metrics")]
            metrics: self.metrics,
            #[cfg(feature = "routes")]
            desk: crate::routes::Desk::new(self.uploads),
        });
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let (stream, peer) = tokio::select! {
                accepted = accept(&listener, &mut trouble) => accepted,
                () = connection::until_stopped(&mut stop) => return connections,
            };
            // Forget the connections that are over.
            while connections.try_join_next().is_some() {}
            number += 1;
            set_options(&stream);
            let log = observer.as_ref().map(|observer| {
                let peer = ClientAddr::new(peer);
                Log::open(Arc::clone(observer), Accepted(number), peer, &stream)
            });
            let watch = Watch::new(log, limits);
            let site = Arc::clone(&site);
            connections.spawn(connection::serve(stream, site, watch, stop.clone()));
        }
    }
}

/// Waits for the next connection, however often that takes another try.
async fn accept(listener: &TcpListener, trouble: &mut Trouble) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                trouble.succeeded();
                return accepted;
            }
            Err(error) if trouble::is_of_one_connection(&error) => {}
            Err(error) => {
                trouble.failed(error);
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// An option that cannot be set leaves a connection that works; there is nobody to tell.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// A server that accepts connections. Dropping it stops it without grace.
#[derive(Debug)]
pub struct Running {
    address: ServerAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<JoinSet<()>>,
}

impl Running {
    /// The address it really has.
    #[must_use]
    pub fn address(&self) -> ServerAddr {
        self.address
    }

    /// Stops accepting, lets exchanges in flight finish for at most `grace`, closes the rest. A
    /// request of which only a part of the head has come has not begun: it is closed at once (Go
    /// waits five seconds for it). A request whose head was read is answered whole, or cut off
    /// after `grace`.
    ///
    /// Returns how many connections had to be cut off.
    pub async fn stop(mut self, grace: Duration) -> usize {
        self.stop.send_replace(true);
        let Ok(mut connections) = (&mut self.task).await else { return 0 };
        let all_done = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all_done).await;
        let cut_off = connections.len();
        connections.shutdown().await;
        cut_off
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
