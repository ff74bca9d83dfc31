//! Listening, accepting, stopping.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use evidence::{ClientAddr, ServerAddr};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::answers::answer::Answer;
use crate::answers::hello_world::HelloWorld;
use crate::answers::responder::Responder;
use crate::connection;
use crate::life::limits::ServerLimits;
use crate::listening::error::Error;
use crate::listening::listen::{BindStep, OpenListener};
use crate::listening::trouble::{self, ACCEPT_BACKOFF, AcceptFailures, AcceptTrouble};
use crate::stream::secured::ServerTls;
use crate::to_its_end::until_stopped;
use crate::watching::fan_out::FanOut;
use crate::watching::log::ConnectionLog;
use crate::watching::observer::{AcceptedId, Observer};
use crate::watching::tally::ServerTally;
use crate::watching::watch::ConnectionWatch;

/// How many connections may wait to be accepted, as in Go. The kernel may cap it lower
/// (`net.core.somaxconn`); tokio's own `bind` asks for 1024 only, the standard library for 128.
pub const BACKLOG: u32 = 4096;

/// How long a stopping server waits for exchanges in flight before it cuts them off.
pub const GRACE: Duration = Duration::from_secs(5);

/// After so much silence the kernel probes whether the client still lives, as in Go. That is TCP
/// keepalive, not HTTP keep-alive: it closes no connection whose other end answers.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A server that listens already, but does not accept yet. Connections wait in its backlog.
pub struct Server {
    listener: TcpListener,
    steps: Vec<BindStep>,
    address: ServerAddr,
    responder: Arc<dyn Responder>,
    observer: Option<Arc<dyn Observer>>,
    limits: ServerLimits,
    trouble: AcceptFailures,
    tally: ServerTally,
    nodelay: bool,
    lingers: bool,
    tls: Option<Arc<dyn ServerTls>>,
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
        Self::on(OpenListener::open(address, backlog)?, answer)
    }

    /// Serves those who connect to a socket that listens already.
    ///
    /// # Errors
    /// [`Error::CannotListen`] if the runtime does not take it.
    ///
    /// # Panics
    /// If there is no tokio runtime to run on.
    pub fn on(open: OpenListener, answer: Answer) -> Result<Self, Error> {
        let OpenListener { listener, steps, address } = open;
        let listener = TcpListener::from_std(listener)
            .map_err(|source| Error::CannotListen { address: address.socket_addr(), source })?;
        let (observer, limits, trouble, tally) = Default::default();
        Ok(Self {
            listener,
            steps,
            address,
            responder: Arc::new(HelloWorld::new(answer)),
            observer,
            limits,
            trouble,
            tally,
            nodelay: true,
            lingers: true,
            tls: None,
        })
    }

    /// Tells `observer` what the server sees, beside those that are told already.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(FanOut::add(self.observer.take(), observer));
        self
    }

    /// Lets `responder` answer, instead of `Hello world`.
    #[must_use]
    pub fn answered_by(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = responder;
        self
    }

    /// How long the server waits for what; without this call, for ever.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Closes connections that have been idle for `limit`; `None`, as before any call: never. The
    /// most asked for of the [`ServerLimits`], as Go's `Server.IdleTimeout`, but that 0 is no way
    /// to switch it off.
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

    /// Whether a small segment is sent at once (`TCP_NODELAY`); true before any call, as in Go. If
    /// not, it waits while earlier data is not acknowledged: Nagle's algorithm (RFC 9293 section
    /// 3.7.4).
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Whether a connection whose client is still sending what nobody will read is closed in two
    /// steps (RFC 9112 section 9.6); true before any call, as in Go. If not, a reset may destroy
    /// the last response.
    #[must_use]
    pub fn lingers(mut self, lingers: bool) -> Self {
        self.lingers = lingers;
        self
    }

    /// Lets it speak TLS, and nothing else. A limit on a head then holds for the handshake, too.
    #[must_use]
    pub fn secured_by(mut self, tls: Arc<dyn ServerTls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Calls `tell` when the server cannot accept connections, and when it can again. Not a matter
    /// for an [`Observer`], who is told of connections: here there is none.
    #[must_use]
    pub fn trouble_told_to(mut self, tell: impl Fn(AcceptTrouble) + Send + 'static) -> Self {
        self.trouble.tell = Some(Box::new(tell));
        self
    }

    /// The address it really has.
    #[must_use]
    pub fn address(&self) -> ServerAddr {
        self.address
    }

    /// The counts of its connections and requests, which go on when it runs.
    #[must_use]
    pub fn tally(&self) -> ServerTally {
        self.tally.clone()
    }

    /// How it came to listen, step by step.
    #[must_use]
    pub fn steps(&self) -> &[BindStep] {
        &self.steps
    }

    /// Accepts connections in the background, from now on until [`RunningServer::stop`].
    ///
    /// # Panics
    /// If there is no tokio runtime to run on.
    #[must_use]
    pub fn start(self) -> RunningServer {
        let address = self.address;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(self.accept_until(stopped));
        RunningServer { address, stop, task }
    }

    async fn accept_until(self, mut stop: watch::Receiver<bool>) -> JoinSet<()> {
        let Self {
            listener,
            responder,
            observer,
            limits,
            mut trouble,
            tally,
            nodelay,
            lingers,
            tls,
            ..
        } = self;
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let (stream, peer) = tokio::select! {
                accepted = accept(&listener, &mut trouble) => accepted,
                () = until_stopped(&mut stop) => return connections,
            };
            // Forget the connections that are over.
            while connections.try_join_next().is_some() {}
            number += 1;
            tally.connection();
            set_options(&stream, nodelay);
            let log = observer.as_ref().map(|observer| {
                let peer = ClientAddr::new(peer);
                ConnectionLog::open(Arc::clone(observer), AcceptedId(number), peer, &stream)
            });
            let watch = ConnectionWatch::new(log, limits, tally.clone());
            let responder = Arc::clone(&responder);
            let stop = stop.clone();
            match &tls {
                None => {
                    connections.spawn(connection::serve(stream, responder, watch, lingers, stop))
                }
                Some(tls) => {
                    let tls = Arc::clone(tls);
                    connections.spawn(connection::serve_secured(
                        stream, tls, responder, watch, lingers, stop,
                    ))
                }
            };
        }
    }
}

/// Waits for the next connection, however often that takes another try.
async fn accept(listener: &TcpListener, trouble: &mut AcceptFailures) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = match poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => {
                trouble.succeeded();
                tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = trouble.peace() => continue,
                }
            }
        };
        match accepted {
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
fn set_options(stream: &TcpStream, nodelay: bool) {
    let _ = stream.set_nodelay(nodelay);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// A server that accepts connections. Dropping it stops it without grace.
#[derive(Debug)]
pub struct RunningServer {
    address: ServerAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<JoinSet<()>>,
}

impl RunningServer {
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

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
