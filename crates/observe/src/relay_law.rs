//! The law of a cable that leads out: each SYN waits until somebody has dialled outside, and each
//! question for a name is put outside.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netlab::{CableInjector, CableLaw, Fate, HostEnd, Parcel, Passing};

use crate::everywhere::{IpHeader, NAMES, TCP, UDP};

/// Both addresses of a connection: the client's, and the one that it dials.
pub type DialledPair = (SocketAddr, SocketAddr);

/// What the law asks for.
#[derive(Debug)]
pub enum RelayWish {
    /// Dial outside, then let the SYN go on.
    Dial {
        /// Whom the connection is between.
        pair: DialledPair,
        /// The SYN that waits.
        syn: KeptPacket,
    },
    /// Put a question outside.
    Ask {
        /// The name server.
        server: SocketAddr,
        /// The question.
        question: Vec<u8>,
        /// The datagram that waits for its answer.
        datagram: KeptPacket,
    },
}

/// A packet that a law has kept back.
#[derive(Debug)]
pub struct KeptPacket {
    number: u64,
    bytes: Vec<u8>,
}

/// Whoever is asked.
pub type RelayAsker = Box<dyn FnMut(RelayWish) + Send>;

/// The connections that are being dialled.
#[derive(Clone, Debug, Default)]
pub struct RelayDials(Arc<Mutex<HashMap<DialledPair, bool>>>);

impl RelayDials {
    fn lock(&self) -> MutexGuard<'_, HashMap<DialledPair, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dial is over: what it waited for may go on.
    pub fn is_over(&self, pair: DialledPair) {
        self.lock().insert(pair, true);
    }

    /// The connection was accepted: a SYN of the same pair begins another.
    pub fn forget(&self, pair: DialledPair) {
        self.lock().remove(&pair);
    }
}

/// A law that lets nothing begin before it was begun outside.
pub struct RelayLaw {
    dials: RelayDials,
    asker: RelayAsker,
}

impl RelayLaw {
    /// A law that asks `asker`, and looks at `dials` for what it was told.
    #[must_use]
    pub fn new(dials: RelayDials, asker: RelayAsker) -> Self {
        Self { dials, asker }
    }
}

impl CableLaw for RelayLaw {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        if packet.from != HostEnd::Client {
            return Fate::Pass;
        }
        let Some(header) = IpHeader::of(packet.bytes) else { return Fate::Pass };
        let kept = || KeptPacket { number: packet.number, bytes: packet.bytes.to_owned() };
        match header.protocol {
            TCP if header.dialled_port().is_some() => {
                let Some(pair) = pair(&header) else { return Fate::Pass };
                let mut dials = self.dials.lock();
                match dials.get(&pair) {
                    Some(true) => Fate::Pass,
                    Some(false) => Fate::Lose, // the first still waits
                    None => {
                        dials.insert(pair, false);
                        drop(dials);
                        (self.asker)(RelayWish::Dial { pair, syn: kept() });
                        Fate::Lose
                    }
                }
            }
            UDP => match header.udp_to(NAMES) {
                Some(question) => {
                    let server = SocketAddrV4::new(header.destination, NAMES).into();
                    let (question, datagram) = (question.to_owned(), kept());
                    (self.asker)(RelayWish::Ask { server, question, datagram });
                    Fate::Lose
                }
                None => Fate::Pass,
            },
            _ => Fate::Pass,
        }
    }
}

fn pair(header: &IpHeader<'_>) -> Option<DialledPair> {
    let client = SocketAddrV4::new(header.source, header.port(0)?);
    let server = SocketAddrV4::new(header.destination, header.port(2)?);
    Some((client.into(), server.into()))
}

impl KeptPacket {
    /// Lets it go on to the other host.
    pub fn go_on(self, cable: &CableInjector) {
        let parcel = Parcel { to: HostEnd::Server, bytes: self.bytes, hold: Duration::ZERO };
        // An unplugged cable carries nothing, which is what is wanted.
        let _ = cable.put(self.number, parcel);
    }

    /// Sends back that there is no way to where it should go.
    pub fn has_no_way(&self, cable: &CableInjector) {
        let bytes = IpHeader::of(&self.bytes).map(|header| header.unreachable(&self.bytes));
        self.send_back(bytes, cable);
    }

    /// Sends the answer to a datagram back.
    pub fn is_answered(&self, answer: &[u8], cable: &CableInjector) {
        let bytes = IpHeader::of(&self.bytes).and_then(|header| header.udp_answer(answer));
        self.send_back(bytes, cable);
    }

    fn send_back(&self, bytes: Option<Vec<u8>>, cable: &CableInjector) {
        if let Some(bytes) = bytes {
            let parcel = Parcel { to: HostEnd::Client, bytes, hold: Duration::ZERO };
            let _ = cable.put(self.number, parcel);
        }
    }
}
