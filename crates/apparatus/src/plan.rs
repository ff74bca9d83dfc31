//! What a run is made of, and whether it can come to an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evidence::{BodyPolicy, Setup};
use server::{Answer, HelloWorld, Responder, ServerTls};
use transport::{Config, Dialling};

use crate::{FarHost, WireWitness, descriptors, predict};

/// Everything a run needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The run that is asked for, in words that a report can repeat.
    pub setup: Setup,
    /// The client.
    pub client: Config,
    /// How it makes connections: with TLS, if its servers speak that.
    pub dialling: Dialling,
    /// How long an exchange may take, from the question to the end of its body; `None` for ever.
    pub timeout: Option<Duration>,
    /// The servers to start in this process; none if the URL names one that is running already.
    pub servers: Vec<ServerPlan>,
    /// The host on which they start, if it is another than the client's.
    pub far: Option<Arc<dyn FarHost>>,
    /// Who hears the packets, if anybody does.
    pub wire: Option<Arc<dyn WireWitness>>,
    /// True if to keep every event of the client's trace.
    pub trace: bool,
}

/// One server of a run.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// Where it listens; port 0 takes any free one.
    pub address: SocketAddr,
    /// How it answers, unless a request asks for something else.
    pub answer: Answer,
    /// The responder that answers as it says.
    pub responder: fn(Answer) -> Arc<dyn Responder>,
    /// How long it waits for what.
    pub limits: server::ServerLimits,
    /// True if a small segment does not wait for the acknowledgement of the one before
    /// (`TCP_NODELAY`), as with Go and with every server of the lab unless an experiment says no.
    pub nodelay: bool,
    /// True if it closes in two steps where the client is still sending what nobody will read.
    pub lingers: bool,
    /// When it starts.
    pub starts: Starts,
    /// The TLS that it speaks, if it does.
    pub tls: Option<Arc<dyn ServerTls>>,
}

impl ServerPlan {
    /// The responder that the server brings: `Hello world` on every path.
    #[must_use]
    pub fn hello_world(answer: Answer) -> Arc<dyn Responder> {
        Arc::new(HelloWorld::new(answer))
    }
}

/// When a server starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// It listens and accepts before the first request.
    AtOnce,
    /// It listens, and later accepts, when the run says so.
    WhenTold,
}

/// Why a run could not take place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be started.
    #[error("cannot start the server{}", hint(.0))]
    Server(#[from] server::Error),
    /// The client lacks a limit that was asked for.
    #[error("cannot set up the client")]
    Client(#[from] transport::Unsupported),
    /// The packets, which were to be heard, could not be.
    #[error("cannot hear the packets of the run")]
    Wire(#[source] std::io::Error),
    /// The client, which is another program, could not be started.
    #[error("cannot start the client")]
    ForeignClient(#[source] std::io::Error),
    /// The run would stop for want of what it cannot get.
    #[error(
        "this run would wait for ever: every held body keeps its connection, and of {requests} requests only {max} may have one (--max-conns-per-host)"
    )]
    WouldWaitForEver {
        /// All requests of the run.
        requests: usize,
        /// The limit.
        max: usize,
    },
    /// The run needs more file descriptors than the system allows this process.
    #[error(
        "this run needs about {needed} file descriptors, and the system allows {allowed} (ulimit -n)"
    )]
    TooFewDescriptors {
        /// An estimate from below.
        needed: u64,
        /// The limit.
        allowed: u64,
    },
    /// There is no server to talk to.
    #[error("{0}; start a server with `{hello}`, or leave out --target", hello = program::call("hello", ""))]
    NoServer(String),
}

/// Decides whether the run can come to an end.
pub(crate) fn feasible(setup: &Setup) -> Result<(), Error> {
    let requests = setup.exchanges();
    if let Some(max) = setup.max_conns_per_host
        && setup.body == BodyPolicy::Hold
        && setup.server.bytes != Some(0)
        && requests > max
    {
        return Err(Error::WouldWaitForEver { requests, max });
    }
    // Open at once: all connections of held bodies, else one for each worker.
    let open = match setup.body {
        BodyPolicy::Hold => predict(setup).map_or(0, |predicted| predicted.least),
        BodyPolicy::Drain | BodyPolicy::Drop => setup.workers,
    };
    let ends = if setup.server.in_process { 2 } else { 1 };
    let needed = open as u64 * ends + descriptors::OTHERS;
    match descriptors::raise_limit() {
        Some(allowed) if allowed < needed => Err(Error::TooFewDescriptors { needed, allowed }),
        _ => Ok(()),
    }
}

fn hint(error: &server::Error) -> &'static str {
    match error {
        server::Error::PortInUse { .. } => " (--port 0 takes any free port)",
        server::Error::CannotListen { .. } => "",
    }
}
