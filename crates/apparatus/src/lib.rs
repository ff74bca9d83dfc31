//! Sets up server, client and witnesses for a run, and takes them down again.
//!
//! A run is the same whatever its workload: [`Apparatus::set_up`], any number of
//! [`Apparatus::exchange`]s, [`Apparatus::take_down`]. What comes out is an
//! [`Outcome`], in which every number has its witnesses.
//!
//! | idea | file |
//! |---|---|
//! | what can be asked of a run on the command line | `cli.rs` |
//! | what the client's trace and the server tell, as facts | `recorder.rs` |
//! | the kernel's table, once it has settled | `kernel.rs` |
//! | who closed first, and where the witnesses disagree | `judge.rs` |
//! | how many connections a run will open | `predict.rs` |
//! | how many files the system lets us open | `descriptors.rs` |
//! | Ctrl-C | `interrupt.rs` |

pub mod cli;
mod descriptors;
mod interrupt;
mod judge;
mod kernel;
mod predict;
mod recorder;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use evidence::{
    Afterwards, BodyPolicy, BodySeen, Exchange, ExchangeId, Failure, Outcome, Preset, Setup,
    Tables, TraceEvent,
};
use hello::Answer;
use http_body_util::BodyExt;
use tokio::task::AbortHandle;
use transport::{Body, Config, Transport};

pub use interrupt::Interrupt;
pub use predict::opened as predict;

use kernel::Busiest;
use recorder::{ClientWitness, ExchangeNotes, ServerWitness};

/// Everything a run needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked for, in words that a report can repeat.
    pub setup: Setup,
    /// The client.
    pub client: Config,
    /// The server to start in this process; `None` if the URL names one that is running already.
    pub server: Option<(SocketAddr, Answer)>,
    /// Whether to keep every event of the client's trace.
    pub trace: bool,
}

/// Why a run could not take place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be started.
    #[error("cannot start the server{}", hint(.0))]
    Server(#[from] hello::Error),
    /// The client lacks a limit that was asked for.
    #[error("cannot set up the client")]
    Client(#[from] transport::Unsupported),
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
    #[error("{0}; start a server with `cargo run -p hello`, or leave out --target")]
    NoServer(String),
}

/// Whether the run can come to an end.
fn feasible(setup: &Setup) -> Result<(), Error> {
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

fn hint(error: &hello::Error) -> &'static str {
    match error {
        hello::Error::PortInUse { .. } => " (--port 0 takes any free port)",
        hello::Error::CannotListen { .. } => "",
    }
}

/// Server, client and witnesses of one run.
pub struct Apparatus {
    setup: Setup,
    client: Transport,
    server: Option<hello::Running>,
    client_witness: Arc<ClientWitness>,
    server_witness: Arc<ServerWitness>,
    busiest: Arc<Busiest>,
    sampler: Sampler,
    started: Instant,
    next: AtomicU64,
    book: Mutex<Book>,
}

/// The task that looks for the busiest moment; ends when dropped.
struct Sampler(AbortHandle);

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the exchanges so far have left behind.
#[derive(Default)]
struct Book {
    exchanges: BTreeMap<ExchangeId, Exchange>,
    held: Vec<(ExchangeId, Body)>,
    last_end: Option<Instant>,
}

impl Apparatus {
    /// Starts the server, if it is ours, and the client, and lets the witnesses listen.
    ///
    /// # Errors
    /// [`Error`] says what could not be set up.
    pub fn set_up(plan: Plan) -> Result<Self, Error> {
        let Plan { mut setup, client, server, trace } = plan;
        feasible(&setup)?;
        let server_witness = Arc::new(ServerWitness::default());
        let server = match server {
            None => None,
            Some((address, answer)) => {
                let observer = Arc::clone(&server_witness);
                let server = hello::Server::bind(address, answer)?.observed_by(observer);
                Some(server.start())
            }
        };
        if let Some(server) = &server {
            setup.server.url = format!("http://{}/", server.address());
        }
        let client_witness = Arc::new(ClientWitness::default());
        if trace {
            client_witness.keep_events();
        }
        let client = Transport::new(client, Some(client_witness.clone()))?;
        let busiest = Arc::new(Busiest::default());
        let watch = Arc::clone(&busiest).watch(Arc::clone(&client_witness));
        Ok(Self {
            setup,
            client,
            server,
            client_witness,
            server_witness,
            busiest,
            sampler: Sampler(tokio::spawn(watch).abort_handle()),
            started: Instant::now(),
            next: AtomicU64::new(0),
            book: Mutex::default(),
        })
    }

    /// What is asked for, with the server's real address.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// When the run started: what the moments of its exchanges are counted from.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Carries out one exchange: sends a request, does with the body what the setup says, and
    /// tells what became of the connection.
    ///
    /// # Errors
    /// [`Error::NoServer`] if nobody can be reached and no exchange has succeeded so far: then the
    /// run is over before it began. Any other failure is a finding, in the exchange itself.
    pub async fn exchange(&self) -> Result<Exchange, Error> {
        let number = ExchangeId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let asked_at = Instant::now();
        let body = self.send_and_read(number).await;
        let ended_at = Instant::now();
        let lets_go = matches!(body, Ok(BodySeen::Drained { .. } | BodySeen::Dropped { .. }));
        let tells = self.setup.preset != Preset::HyperUtil;
        let notes = self.client_witness.take_exchange(number, lets_go && tells);
        let notes = notes.unwrap_or_else(|| ExchangeNotes::begun(asked_at));
        let exchange = Exchange {
            number,
            started: notes.asked_at.duration_since(self.started),
            connection: notes.connection,
            client: notes.client,
            reused: notes.reused,
            idle_before: notes.idle_before,
            first_byte: notes.first_byte_at.map(|at| at.duration_since(notes.asked_at)),
            afterwards: self.afterwards(&body, &notes),
            body,
        };
        let mut book = lock(&self.book);
        if let Err(failure) = &exchange.body
            && failure.kind.means_no_server()
            && !book.exchanges.values().any(|exchange| exchange.connection.is_some())
        {
            return Err(Error::NoServer(failure.message.clone()));
        }
        book.last_end = Some(ended_at);
        book.exchanges.insert(number, exchange.clone());
        Ok(exchange)
    }

    async fn send_and_read(&self, number: ExchangeId) -> Result<BodySeen, Failure> {
        let response = self
            .client
            .get_as(number, &self.setup.server.url)
            .await
            .map_err(|error| fail(&error))?;
        let mut body = response.into_body();
        match self.setup.body {
            BodyPolicy::Drain => {
                // Counted, not collected: a body may be larger than the memory.
                let mut bytes = 0;
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(|error| fail(&error))?;
                    bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Ok(BodySeen::Drained { bytes })
            }
            BodyPolicy::Drop => {
                let left = body.left();
                drop(body);
                Ok(BodySeen::Dropped { left })
            }
            BodyPolicy::Hold => {
                let left = body.left();
                lock(&self.book).held.push((number, body));
                Ok(BodySeen::Held { left })
            }
        }
    }

    fn afterwards(&self, body: &Result<BodySeen, Failure>, notes: &ExchangeNotes) -> Afterwards {
        match (notes.put, body, self.setup.preset) {
            (_, Err(_), _) => Afterwards::Failed,
            (Some(None), ..) => Afterwards::Pooled,
            (Some(Some(refused)), ..) => Afterwards::NotPooled(refused),
            (None, _, Preset::HyperUtil) => Afterwards::NotObservable,
            (None, Ok(BodySeen::Held { .. }), _) => Afterwards::Held,
            (None, Ok(BodySeen::Dropped { .. } | BodySeen::Drained { .. }), _) => {
                Afterwards::Draining
            }
        }
    }

    /// The pause between two exchanges. No pause is none at all: even the shortest sleep would let
    /// other workers in between, and change the number of connections.
    pub async fn pause(&self) {
        if !self.setup.interval.is_zero() {
            tokio::time::sleep(self.setup.interval).await;
        }
    }

    /// Lets go of held bodies, and waits until the client has decided on their connections: what
    /// is closed after that is closed for another reason.
    async fn let_go(&self, held: Vec<(ExchangeId, Body)>) {
        for (number, body) in held {
            if self.setup.preset != Preset::HyperUtil && !body.is_over() {
                self.client_witness.will_decide(number);
            }
            drop(body);
        }
        kernel::settled(&self.client_witness).await;
    }

    /// The events of the client's trace since the last call, if the plan asked for them.
    #[must_use]
    pub fn take_events(&self) -> Vec<TraceEvent> {
        self.client_witness.take_events()
    }

    /// Reads the kernel's table once it has settled, lets go of held bodies, closes the client's
    /// idle connections, reads the table again, stops the server, and hears all witnesses.
    /// Returns the outcome, and the events of the trace since [`Self::take_events`].
    pub async fn take_down(self, interrupted: bool) -> (Outcome, Vec<TraceEvent>) {
        let Book { exchanges, held, last_end } = std::mem::take(&mut *lock(&self.book));
        let elapsed = last_end.unwrap_or(self.started).duration_since(self.started);
        self.sampler.0.abort();
        let while_running = kernel::settled(&self.client_witness).await;
        let busiest = self.busiest.or(&while_running);
        let open_while_running = self.client_witness.open();
        if !held.is_empty() {
            self.let_go(held).await;
        }
        self.client.close();
        let after_closing = kernel::settled(&self.client_witness).await;
        let read_at = Instant::now();
        let accepted = self.server.as_ref().map(|_| self.server_witness.accepted());
        if let Some(server) = self.server {
            server.stop(std::time::Duration::from_millis(200)).await;
        }
        let connections = self.client_witness.connections();
        let testimony = judge::Testimony {
            body: self.setup.body,
            started: self.started,
            read_at,
            connections: &connections,
            open_while_running,
            accepted: accepted.as_deref(),
            while_running: &while_running,
            after_closing: &after_closing,
        };
        let connections = judge::connections(&testimony);
        let disagreements = judge::disagreements(&testimony, &connections);
        let outcome = Outcome {
            prediction: predict(&self.setup),
            setup: self.setup,
            exchanges: exchanges.into_values().collect(),
            connections,
            accepted: accepted.map(|accepted| accepted.len()),
            tables: Tables { busiest, while_running, after_closing },
            disagreements,
            elapsed,
            interrupted,
        };
        (outcome, self.client_witness.take_events())
    }
}

fn fail(error: &transport::Error) -> Failure {
    Failure { kind: error.kind(), message: with_causes(error) }
}

/// What was attempted, on what, and every cause below it.
fn with_causes(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |message, cause| {
        // Some libraries repeat their cause in their own words.
        if message.ends_with(&cause) { message } else { format!("{message}: {cause}") }
    })
}

/// Locks `mutex`. A panic elsewhere leaves nothing half done behind these locks, so it does not
/// become ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
