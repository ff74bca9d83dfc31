//! The servers of a run, from nothing over listening to accepting.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::{InFlight, ServerAddr};
use server::{OpenListener, RunningServer, Server};

use crate::far::ServersHost;
use crate::lock;
use crate::plan::{Error, ServerPlan, Starts};
use crate::recorder::{AcceptedNotes, ServerEar, ServerWitness};

/// How long exchanges in flight may take to end when a run is over.
const GRACE: Duration = Duration::from_millis(200);

/// Our own servers, in the order in which the plan names them.
pub(crate) struct Servers {
    addresses: Vec<ServerAddr>,
    /// The schemes of their URLs.
    schemes: Vec<&'static str>,
    places: Mutex<Vec<ServerPlace>>,
    host: ServersHost,
    witness: Arc<ServerWitness>,
}

struct ServerPlace {
    plan: ServerPlan,
    stage: ServerStage,
}

enum ServerStage {
    /// Nobody listens at the address.
    Absent,
    /// Whoever connects waits to be accepted.
    Listening(Box<Server>),
    Accepting(RunningServer),
}

impl Servers {
    /// Starts those that start at once, and finds an address for the others.
    pub(crate) fn set_up(plans: Vec<ServerPlan>, host: ServersHost) -> Result<Self, Error> {
        let witness = Arc::new(ServerWitness::default());
        let mut places = Vec::new();
        let mut addresses = Vec::new();
        let scheme = |plan: &ServerPlan| if plan.tls.is_some() { "https" } else { "http" };
        let schemes = plans.iter().map(scheme).collect();
        for mut plan in plans {
            let (address, stage) = match plan.starts {
                Starts::AtOnce => {
                    let server = bound(&plan, &host, &witness)?;
                    (server.address(), ServerStage::Accepting(server.start()))
                }
                Starts::WhenTold => (free_address(plan.address, &host)?, ServerStage::Absent),
            };
            plan.address = address.socket_addr();
            addresses.push(address);
            places.push(ServerPlace { plan, stage });
        }
        Ok(Self { addresses, schemes, places: Mutex::new(places), host, witness })
    }

    /// Returns true if no server is ours.
    pub(crate) fn are_strangers(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The URL of a server of ours.
    pub(crate) fn url(&self, server: usize) -> Option<String> {
        let address = self.addresses.get(server)?;
        Some(format!("{}://{address}/", self.schemes.get(server)?))
    }

    /// The address of a server of ours.
    pub(crate) fn address(&self, server: usize) -> Option<ServerAddr> {
        self.addresses.get(server).copied()
    }

    /// The addresses of all servers of ours.
    pub(crate) fn all(&self) -> Vec<ServerAddr> {
        self.addresses.clone()
    }

    pub(crate) fn listen(&self) -> Result<(), Error> {
        for place in lock(&self.places).iter_mut() {
            if matches!(place.stage, ServerStage::Absent) {
                let server = bound(&place.plan, &self.host, &self.witness)?;
                place.stage = ServerStage::Listening(Box::new(server));
            }
        }
        Ok(())
    }

    pub(crate) fn accept(&self) {
        for place in lock(&self.places).iter_mut() {
            place.stage = match std::mem::replace(&mut place.stage, ServerStage::Absent) {
                ServerStage::Listening(server) => ServerStage::Accepting(server.start()),
                stage => stage,
            };
        }
    }

    /// Returns what the servers accepted; `None` if no server is ours to ask.
    pub(crate) fn accepted(&self) -> Option<Vec<AcceptedNotes>> {
        (!self.are_strangers()).then(|| self.witness.accepted())
    }

    /// How many requests were being answered; `None` if no server is ours to ask.
    pub(crate) fn in_flight(&self) -> Option<InFlight> {
        (!self.are_strangers()).then(|| self.witness.in_flight())
    }

    pub(crate) async fn stop(self) {
        let places = std::mem::take(&mut *lock(&self.places));
        for place in places {
            if let ServerStage::Accepting(running) = place.stage {
                running.stop(GRACE).await;
            }
        }
    }
}

fn bound(
    plan: &ServerPlan,
    host: &ServersHost,
    witness: &Arc<ServerWitness>,
) -> Result<Server, Error> {
    let address = plan.address;
    let open = host.run(move || OpenListener::open(address, server::BACKLOG));
    let open = open.map_err(|source| server::Error::CannotListen { address, source })??;
    let server = Server::on(open, plan.answer.clone())?
        .answered_by((plan.responder)(plan.answer.clone()))
        .limits(plan.limits)
        .nodelay(plan.nodelay)
        .lingers(plan.lingers);
    let server = match &plan.tls {
        Some(tls) => server.secured_by(Arc::clone(tls)),
        None => server,
    };
    let ear = ServerEar { witness: Arc::clone(witness), server: server.address() };
    Ok(server.observed_by(Arc::new(ear)))
}

/// An address at which nobody listens: the one that is asked for, with a port that was free just
/// now if any will do.
fn free_address(asked: SocketAddr, host: &ServersHost) -> Result<ServerAddr, Error> {
    let free = host.run(move || TcpListener::bind(asked).and_then(|it| it.local_addr()));
    let source = |source| server::Error::CannotListen { address: asked, source };
    Ok(ServerAddr::new(free.flatten().map_err(source)?))
}
