//! Sets up server, client and witnesses for a run, and takes them down again.
//!
//! A run is the same whatever its workload: [`Apparatus::set_up`], any number of
//! [`Apparatus::exchange`]s, [`Apparatus::take_down`]. What comes out is an
//! [`Outcome`], in which every number has its witnesses.
//!
//! | idea | file |
//! |---|---|
//! | what can be asked of a run on the command line | `cli.rs` |
//! | what a run is made of, and whether it can come to an end | `plan.rs` |
//! | the client under study: ours, or another program | `client.rs` |
//! | the servers, from nothing over listening to accepting | `servers.rs` |
//! | what the client's trace and the server tell, as facts | `recorder.rs` |
//! | the kernel's table, once it has settled | `kernel.rs` |
//! | who closed first, and where the witnesses disagree | `judge.rs` |
//! | how many connections a run will open | `predict.rs` |
//! | another host, on which the servers live | `far.rs` |
//! | the packets of a run | `wire.rs` |
//! | the packets that a command line asks for | `ear.rs` |
//! | a run's packets for Wireshark | `pcap.rs` |
//! | packets held against the other witnesses | `wire_judge.rs` |
//! | how many files the system lets us open | `descriptors.rs` |
//! | what is said of an exchange that took too long | `time_limit.rs` |

pub mod cli;
mod client;
mod descriptors;
mod ear;
mod far;
mod judge;
mod kernel;
#[cfg(feature = "packets")]
pub mod pcap;
mod plan;
mod predict;
mod recorder;
mod servers;
mod time_limit;
mod wire;
mod wire_judge;

use std::collections::{BTreeMap, HashSet};
use std::error::Error as StdError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evidence::{
    Afterwards, BodyPolicy, BodySeen, ClientAddr, Disagreement, Ends, Exchange, ExchangeId,
    Failure, Outcome, Preset, Reading, RuleDifference, RunEvent, ServerAddr, Setup, Tables,
    Unreadable,
};
use http::{HeaderMap, HeaderValue, Method};
use program::exit;
use tokio::task::AbortHandle;
use transport::{Config, HttpVersion, Listener, Transport};

pub use client::{ClientWork, ResponseHead, StudiedClient};
#[cfg(feature = "packets")]
pub use ear::PacketFile;
pub use ear::{EarError, PacketEar};
pub use far::FarHost;
pub use plan::{Error, Plan, ServerPlan, Starts};
pub use predict::opened as predict;
#[cfg(feature = "packets")]
pub use wire::InterfaceWitness;
pub use wire::WireWitness;

use client::OwnClient;
use far::ServersHost;
use kernel::Busiest;
use recorder::{ClientWitness, ExchangeNotes};
use servers::Servers;

/// Server, client and witnesses of one run.
pub struct Apparatus {
    setup: Setup,
    client: Box<dyn StudiedClient>,
    /// How long an exchange may take.
    timeout: Option<Duration>,
    servers: Servers,
    host: ServersHost,
    wire: Option<Arc<dyn WireWitness>>,
    /// How many resets this network had sent when the run began.
    resets_before: Option<u64>,
    /// How often an accept queue of this network had been full when the run began.
    overflows_before: Option<u64>,
    client_witness: Arc<ClientWitness>,
    busiest: Arc<Busiest>,
    sampler: Sampler,
    started: Instant,
    next: AtomicU64,
    book: Mutex<RunBook>,
    /// Whose connections are not the client's.
    strangers: Mutex<HashSet<ClientAddr>>,
}

/// A request, and the reader's way with its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which of the run's own servers, from 0.
    pub server: usize,
    /// The path that is asked for, such as `/`.
    pub path: String,
    /// The query of this request alone, such as `delay=20ms&bytes=64KiB`.
    pub query: String,
    /// The method, if it is not GET, or with a body POST.
    pub method: Option<Method>,
    /// Fields of the request's head, beside those that the client says by itself.
    pub fields: HeaderMap,
    /// A body to send, which makes the request a POST, unless it has another method.
    pub post: Option<Post>,
    /// The reader's way with the body of the response.
    pub body: BodyPolicy,
}

impl Ask {
    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> Method {
        let by_body = if self.post.is_some() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(by_body)
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its bytes.
    pub data: Bytes,
    /// The `Content-Type` that it claims.
    pub content_type: HeaderValue,
}

/// The task that looks for the busiest moment; ends when dropped.
struct Sampler(AbortHandle);

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The traces that the exchanges so far have left behind.
#[derive(Default)]
struct RunBook {
    exchanges: BTreeMap<ExchangeId, Exchange>,
    last_end: Option<Instant>,
}

impl Apparatus {
    /// Starts the servers, if they are ours, and the client, and lets the witnesses listen.
    ///
    /// # Errors
    /// [`Error`] says what could not be set up.
    pub fn set_up(plan: Plan) -> Result<Self, Error> {
        let dialling = plan.dialling.clone();
        Self::set_up_with(plan, |config, listener| {
            // In HTTP/2 a connection is never put back: it is shared all the time.
            let tells_of_its_pool =
                config.preset != Preset::HyperUtil && config.version == HttpVersion::Http1;
            let preset = config.preset;
            let transport = Transport::with(config, dialling, Some(listener))?;
            Ok(Box::new(OwnClient::new(transport, preset, tells_of_its_pool)))
        })
    }

    /// The same with a client that `make` makes. It is given what the plan says of the client, and
    /// who is to hear of its moments.
    ///
    /// # Errors
    /// Those of [`Self::set_up`], and of `make`.
    pub fn set_up_with(
        plan: Plan,
        make: impl FnOnce(Config, Arc<dyn Listener>) -> Result<Box<dyn StudiedClient>, Error>,
    ) -> Result<Self, Error> {
        plan::feasible(&plan.setup)?;
        let Plan { mut setup, client, timeout, servers, far, wire, trace, .. } = plan;
        let started = Instant::now();
        let host = ServersHost(far);
        let servers = Servers::set_up(servers, host.clone())?;
        if let Some(wire) = &wire {
            wire.begin(started, &servers.all()).map_err(Error::Wire)?;
        }
        if let Some(url) = servers.url(0) {
            setup.server.url = url;
        }
        let client_witness = Arc::new(ClientWitness::default());
        if trace {
            client_witness.keep_events();
        }
        let client = make(client, client_witness.clone())?;
        let busiest = Arc::new(Busiest::default());
        let watch = Arc::clone(&busiest).watch(Arc::clone(&client_witness), host.clone());
        Ok(Self {
            setup,
            client,
            timeout,
            servers,
            resets_before: kernel::resets_sent(&host),
            overflows_before: kernel::listen_overflows(&host),
            host,
            client_witness,
            busiest,
            sampler: Sampler(tokio::spawn(watch).abort_handle()),
            started,
            wire,
            next: AtomicU64::new(0),
            book: Mutex::default(),
            strangers: Mutex::default(),
        })
    }

    /// Returns what is asked for, with the server's real address.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Returns where the rules of this build's client differ from Go's, if it follows Go's.
    #[must_use]
    pub fn rule_differences(&self) -> Vec<RuleDifference> {
        self.client.rule_differences()
    }

    /// Lets the servers that start when they are told to listen: whoever connects from now on is
    /// not refused, but waits.
    ///
    /// # Errors
    /// If one of them cannot listen.
    pub fn listen(&self) -> Result<(), Error> {
        self.servers.listen()
    }

    /// Lets the servers that listen accept connections.
    pub fn accept(&self) {
        self.servers.accept();
    }

    /// Carries out one exchange as the setup says: see [`Self::exchange_for`].
    ///
    /// # Errors
    /// Those of [`Self::exchange_for`].
    pub async fn exchange(&self) -> Result<Exchange, Error> {
        let ask = Ask {
            server: 0,
            path: "/".to_owned(),
            query: String::new(),
            method: None,
            fields: HeaderMap::new(),
            post: None,
            body: self.setup.body,
        };
        self.exchange_for(&ask).await
    }

    /// Carries out one exchange: sends a request, does with the body what is asked for, and tells
    /// what became of the connection.
    ///
    /// # Errors
    /// [`Error::NoServer`] if the server is not ours, nobody can be reached and no exchange has
    /// succeeded so far: then the run is over before it began. Any other failure is a finding, in
    /// the exchange itself.
    pub async fn exchange_for(&self, ask: &Ask) -> Result<Exchange, Error> {
        let number = ExchangeId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let asked_at = Instant::now();
        let head = OnceLock::new();
        // `None`: it took too long.
        let body = {
            let exchanging = self.client.exchange(number, self.url(ask), ask, &head);
            match self.timeout {
                Some(limit) => tokio::time::timeout(limit, exchanging).await.ok(),
                None => Some(exchanging.await),
            }
        };
        let head = head.into_inner();
        let ended_at = Instant::now();
        let lets_go = matches!(body, Some(Ok(BodySeen::Drained { .. } | BodySeen::Dropped { .. })));
        let will_decide = lets_go && self.client.tells_of_its_pool();
        let notes = self.client_witness.take_exchange(number, will_decide);
        let notes = notes.unwrap_or_else(|| ExchangeNotes::begun(asked_at));
        let body = body.unwrap_or_else(|| {
            let limit = self.timeout.unwrap_or_default();
            Err(time_limit::given_up(limit, &notes, head.is_some()))
        });
        let exchange = Exchange {
            number,
            started: notes.asked_at.duration_since(self.started),
            took: ended_at.duration_since(notes.asked_at),
            connection: notes.connection,
            client: notes.client,
            reused: notes.reused,
            idle_before: notes.idle_before,
            first_byte: notes.first_byte_at.map(|at| at.duration_since(notes.asked_at)),
            status: head.as_ref().map(|head| head.status),
            connection_fields: head.map(|head| head.connection_fields).unwrap_or_default(),
            afterwards: self.afterwards(&body, &notes),
            body,
        };
        if let (Ok(BodySeen::Held { .. }), Some(connection)) = (&exchange.body, exchange.connection)
            && exchange.afterwards != Afterwards::Pooled
        {
            self.client_witness.holds(connection);
        }
        let mut book = lock(&self.book);
        if let Err(failure) = &exchange.body
            && failure.kind.means_no_server()
            && exchange.connection.is_none()
            && self.servers.are_strangers()
            && !book.exchanges.values().any(|exchange| exchange.connection.is_some())
        {
            return Err(Error::NoServer(failure.message.clone()));
        }
        book.last_end = Some(ended_at);
        book.exchanges.insert(number, exchange.clone());
        Ok(exchange)
    }

    /// The URL of a request. A server that is not ours is told everything by the setup's URL.
    fn url(&self, ask: &Ask) -> String {
        let url = self.servers.url(ask.server).unwrap_or_else(|| self.setup.server.url.clone());
        let path = ask.path.strip_prefix('/').unwrap_or(&ask.path);
        let question_mark = if ask.query.is_empty() { "" } else { "?" };
        format!("{url}{path}{question_mark}{}", ask.query)
    }

    fn afterwards(&self, body: &Result<BodySeen, Failure>, notes: &ExchangeNotes) -> Afterwards {
        match (notes.put, body, self.client.tells_of_its_pool()) {
            (_, Err(_), _) => Afterwards::Failed,
            (Some(None), ..) => Afterwards::Pooled,
            (Some(Some(refused)), ..) => Afterwards::NotPooled(refused),
            (None, _, false) => Afterwards::NotObservable,
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

    /// The address of one of the run's own servers, counted from 0.
    #[must_use]
    pub fn server(&self, server: usize) -> Option<ServerAddr> {
        self.servers.address(server)
    }

    /// Some connections are not the client's, and the caller knows: what the servers tell of those
    /// is no part of the outcome.
    pub fn leave_out(&self, strangers: impl IntoIterator<Item = ClientAddr>) {
        lock(&self.strangers).extend(strangers);
    }

    /// The kernel's table of this run's sockets, once it has settled.
    pub async fn look(&self) -> Reading {
        kernel::settled(&self.client_witness, &self.host).await
    }

    /// Waits until so many connections have been closed in all, or no longer than `patience`.
    pub async fn until_closed(&self, connections: usize, patience: Duration) {
        let enough = async {
            while self.client_witness.closed() < connections {
                self.client_witness.one_less.notified().await;
            }
        };
        // Whether it came to that is for the witnesses to say.
        let _ = tokio::time::timeout(patience, enough).await;
    }

    /// Lets go of held bodies, and waits until the client has decided on their connections: what
    /// is closed after that is closed for another reason.
    pub async fn release(&self) {
        let will_decide = |number| self.client_witness.will_decide(number);
        let any = self.client.release(&will_decide).await;
        self.client_witness.holds_nothing();
        if any {
            kernel::settled(&self.client_witness, &self.host).await;
        }
    }

    /// The events of the client's trace since the last call, if the plan asked for them.
    #[must_use]
    pub fn take_events(&self) -> Vec<RunEvent> {
        self.client_witness.take_events(self.started)
    }

    /// Reads the kernel's table once it has settled, lets go of held bodies, closes the client's
    /// idle connections, reads the table again, stops the server, and hears all witnesses.
    /// Returns the outcome, and the events of the trace since [`Self::take_events`].
    pub async fn take_down(self, interrupted: bool) -> (Outcome, Vec<RunEvent>) {
        self.sampler.0.abort();
        let while_running = self.look().await;
        let busiest = self.busiest.or(&while_running);
        let (open_while_running, running_at) = (self.client_witness.open(), Instant::now());
        let let_go = self.started.elapsed();
        self.release().await;
        self.client.close().await;
        let after_closing = self.look().await;
        let read_at = Instant::now();
        let time_wait_is_full = kernel::time_wait_is_full(&self.host);
        let resets_sent = growth(kernel::resets_sent(&self.host), self.resets_before);
        let listen_overflows = growth(kernel::listen_overflows(&self.host), self.overflows_before);
        let unfinished_dials = self.client_witness.unfinished_dials();
        let strangers = std::mem::take(&mut *lock(&self.strangers));
        let mut accepted = self.servers.accepted();
        let server_reasons = recorder::reasons(accepted.as_deref().unwrap_or_default());
        if let Some(accepted) = &mut accepted {
            accepted.retain(|accepted| !strangers.contains(&accepted.ends.client));
        }
        let in_flight = self.servers.in_flight();
        let accepting = accepted.as_deref().map(recorder::span_of_accepts);
        let servers = self.servers.all();
        self.servers.stop().await;
        let wire = self.wire.as_ref().map(|wire| {
            let ends = self.client_witness.all_ends();
            let strangers = ends.into_iter().map(|ends| ends.server);
            wire.end(&strangers.chain(servers).collect())
        });
        let RunBook { exchanges, last_end, .. } = std::mem::take(&mut *lock(&self.book));
        let elapsed = last_end.unwrap_or(self.started).duration_since(self.started);
        let exchanges: Vec<Exchange> = exchanges.into_values().collect();
        let connections = self.client_witness.connections();
        let testimony = judge::Testimony {
            tells_of_its_pool: self.client.tells_of_its_pool(),
            bodies_left_unread: exchanges.iter().any(leaves_its_body),
            started: self.started,
            read_at,
            connections: &connections,
            open_while_running,
            running_at,
            accepted: accepted.as_deref(),
            while_running: &while_running,
            after_closing: &after_closing,
            time_wait_is_full,
            resets_sent,
            listen_overflows,
            unfinished_dials,
        };
        let connections = judge::connections(&testimony);
        let mut disagreements = judge::disagreements(&testimony, &connections);
        let accepted_ends: Option<Vec<Ends>> =
            accepted.as_ref().map(|all| all.iter().map(|accepted| accepted.ends).collect());
        let wire = match wire {
            None => None,
            Some(Ok(wire)) => {
                let told = wire_judge::disagreements(&wire, &connections, accepted_ends.as_deref());
                disagreements.extend(told.into_iter().map(|sentence| Disagreement { sentence }));
                Some(Ok(wire))
            }
            Some(Err(error)) => Some(Err(Unreadable(with_causes(&error)))),
        };
        let accept_gap = judge::accept_gap(&testimony).unwrap_or_default();
        let time_waits_cut_short = judge::time_waits_cut_short(&connections, &testimony);
        let outcome = Outcome {
            prediction: predict(&self.setup),
            rule_differences: self.client.rule_differences(),
            setup: self.setup,
            exchanges,
            connections,
            accepted: accepted.map(|accepted| accepted.len()),
            accept_gap,
            in_flight,
            server_reasons,
            accepting,
            tables: Tables { busiest, while_running, after_closing },
            disagreements,
            time_waits_cut_short,
            wire,
            elapsed,
            let_go,
            interrupted,
        };
        (outcome, self.client_witness.take_events(self.started))
    }
}

/// By how much a counter of the kernel grew, if both readings are known.
fn growth(after: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// Returns true if the reader of this exchange did not read its body to the end.
fn leaves_its_body(exchange: &Exchange) -> bool {
    matches!(exchange.body, Ok(BodySeen::Dropped { .. } | BodySeen::Held { .. }))
}

/// Returns the exit code of a program that ran this: done, failed if some request did, untrusted
/// if the witnesses disagree, or interrupted.
#[must_use]
pub fn exit_code(outcome: &Outcome) -> u8 {
    if !outcome.disagreements.is_empty() {
        exit::COULD_NOT_RUN
    } else if outcome.interrupted {
        exit::INTERRUPTED
    } else if outcome.failed() > 0 {
        exit::FAILED
    } else {
        exit::DONE
    }
}

/// Returns what was attempted, on what, and every cause below it.
#[must_use]
pub fn with_causes(error: &dyn StdError) -> String {
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
