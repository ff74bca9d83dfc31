//! The life of a connection: each moment at which a packet left or came, and the states it led to.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{
    ChangeCause, Conversation, HeardAt, Observed, Passage, PassageFate, Side, StateChange,
    TcpState, TcpStory, Untold, WirePlace, WireRecord,
};

/// A moment of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeMoment {
    /// It is heard once, in one place.
    Heard,
    /// It leaves.
    Departs,
    /// It is handed to the other host.
    Arrives,
}

/// A moment of a packet, and what it tells.
#[derive(Clone, Debug)]
pub struct LifeEvent<'a> {
    /// When it was, on the run's clock.
    pub at: Duration,
    /// The moment.
    pub moment: LifeMoment,
    /// The packet.
    pub passage: &'a Passage,
    /// The changes of state that it tells, in order.
    pub changes: Vec<LifeChange>,
}

/// A change of one end's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeChange {
    /// The end.
    pub side: Side,
    /// The state that it left.
    pub from: TcpState,
    /// The state that it came into.
    pub to: TcpState,
    /// How sure it is that it did.
    pub certainty: Certainty,
}

/// How sure it is that an end was in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// A packet shows it.
    Shown,
    /// A packet that was sent makes it so, if it came: nobody saw that.
    Presumed,
    /// Something else must have done it, unseen.
    Unseen,
}

/// The life of a connection as far as packets tell it.
#[derive(Clone, Debug)]
pub struct WireLife<'a> {
    /// Every moment of its packets, in the order of time.
    pub events: Vec<LifeEvent<'a>>,
    /// What packets do not tell of the end.
    pub untold: Vec<(Side, Untold)>,
}

impl<'a> WireLife<'a> {
    /// The life that the packets of `conversation` tell, as they were heard at the place of `record`.
    #[must_use]
    pub fn of(conversation: &Conversation<'a>, record: &WireRecord) -> Self {
        let Some((client, server)) = addresses(conversation) else {
            return Self { events: Vec::new(), untold: Vec::new() };
        };
        let side = |end| if end == client { Side::Client } else { Side::Server };
        let mut story = TcpStory::between(client, server);
        let mut events = moments(conversation, record.place);
        for event in &mut events {
            let heard = match (event.moment, record.place, event.passage.from) {
                (LifeMoment::Departs, ..) => HeardAt::Sender,
                (LifeMoment::Arrives, ..) => HeardAt::Receiver,
                // Beside the client: its own leave there, and the others come.
                (LifeMoment::Heard, WirePlace::Device, Side::Client) => HeardAt::Sender,
                (LifeMoment::Heard, WirePlace::Device, Side::Server) => HeardAt::Receiver,
                (LifeMoment::Heard, ..) => HeardAt::Both,
            };
            let change = |change: StateChange| {
                let StateChange { end, from, to, cause, .. } = change;
                let certainty = match cause {
                    ChangeCause::Sent(_) | ChangeCause::Acknowledged(_) => Certainty::Shown,
                    ChangeCause::Received(_) if heard == HeardAt::Receiver => Certainty::Shown,
                    ChangeCause::Received(_) => Certainty::Presumed,
                    ChangeCause::Unseen => Certainty::Unseen,
                };
                LifeChange { side: side(end), from, to, certainty }
            };
            let changes = story.hear(&event.passage.segment, heard);
            event.changes = changes.into_iter().map(change).collect();
        }
        let untold = story.untold().into_iter().map(|(end, what)| (side(end), what)).collect();
        Self { events, untold }
    }

    /// Every change of an end, in order, and when it was told.
    pub fn changes(&self, side: Side) -> impl Iterator<Item = (Duration, LifeChange)> {
        let of_it = self
            .events
            .iter()
            .flat_map(|event| event.changes.iter().map(|change| (event.at, *change)));
        of_it.filter(move |(_, change)| change.side == side)
    }

    /// The state in which an end began; `None` if no packet tells.
    #[must_use]
    pub fn first_state(&self, side: Side) -> Option<TcpState> {
        self.changes(side).next().map(|(_, change)| change.from)
    }

    /// Returns true if an end came into this state by what its packets tell, not by what nobody saw.
    #[must_use]
    pub fn has_been(&self, side: Side, state: TcpState) -> bool {
        self.changes(side)
            .any(|(_, change)| change.to == state && change.certainty != Certainty::Unseen)
    }

    /// Returns true if the cable sent resets in the names of both ends, which no state here knows of.
    #[must_use]
    pub fn has_forged_reset(&self) -> bool {
        self.events.iter().any(|event| event.passage.fate == PassageFate::Reset)
    }
}

/// The addresses of the client and the server as packets have them.
fn addresses(conversation: &Conversation<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let first = conversation.passages.first()?;
    let (source, destination) = (first.segment.source, first.segment.destination);
    Some(match first.from {
        Side::Client => (source, destination),
        Side::Server => (destination, source),
    })
}

/// The moments of all packets, in the order of time.
fn moments<'a>(conversation: &Conversation<'a>, place: WirePlace) -> Vec<LifeEvent<'a>> {
    let mut events = Vec::new();
    for passage in conversation.passages.iter().copied() {
        let event = |at, moment| LifeEvent { at, moment, passage, changes: Vec::new() };
        let at = passage.segment.at;
        match (&passage.arrived, place) {
            (Observed::Known(arrived), WirePlace::Cable { .. }) => {
                events.push(event(at, LifeMoment::Departs));
                events.extend(arrived.iter().map(|at| event(*at, LifeMoment::Arrives)));
            }
            (Observed::NotObservable, WirePlace::Cable { .. }) => {
                events.push(event(at, LifeMoment::Departs));
            }
            (_, WirePlace::Loopback | WirePlace::Device) => {
                events.push(event(at, LifeMoment::Heard));
            }
        }
    }
    // What is heard at one moment stays in its order: a packet leaves before it arrives.
    events.sort_by_key(|event| event.at);
    events
}
