//! Whose packets they are, and what those say of the end of each connection. Pure.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Segment, SegmentFlags, Side, WireClose, canonical};
use packets::LiveTalk;

use super::change::MomentRange;
use super::story::{ChangeLine, ConnectionEnding, StoryEvent};

/// Packets are kept back so long, for the changes that they belong to to be known.
const HOLD: Duration = Duration::from_millis(80);
/// The other witness's word on the end of a connection is waited for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many connections are followed at the same time. Beyond that the longest silent are forgotten.
const MOST_FOLLOWED: usize = 65_536;

/// A packet, at a time on the trace's clock.
#[derive(Clone, Debug)]
pub(crate) struct WirePacket {
    pub(crate) at: Duration,
    pub(crate) segment: Segment,
    pub(crate) interface: u32,
}

/// Something that packets tell.
#[derive(Clone, Debug)]
pub(crate) enum WireEvent {
    Packet(PacketLine),
    Ended(Box<WireSummary>),
}

impl WireEvent {
    pub(crate) fn when(&self) -> MomentRange {
        MomentRange::at(match self {
            Self::Packet(line) => line.at,
            Self::Ended(summary) => summary.at,
        })
    }
}

/// A FIN or a RST.
#[derive(Clone, Debug)]
pub(crate) struct PacketLine {
    pub(crate) at: Duration,
    /// The number of its connection; `None` if no other witness knows it.
    pub(crate) connection: Option<u64>,
    pub(crate) side: Option<Side>,
    /// The end that sent it.
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) flags: SegmentFlags,
    /// True if it is the first of its connection.
    pub(crate) first: bool,
}

/// A connection whose packets have come to their end.
#[derive(Clone, Debug)]
pub(crate) struct WireSummary {
    /// When the last of them came.
    pub(crate) at: Duration,
    pub(crate) connection: Option<u64>,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) talk: LiveTalk,
    /// True if the other witness saw the same end first, false if it saw the other one; `None` if
    /// they cannot be compared.
    pub(crate) agrees: Option<bool>,
}

/// The two ends of a connection, the lesser address first.
type EndPair = (SocketAddr, SocketAddr);

/// All that the packets say.
#[derive(Debug, Default)]
pub(crate) struct WireStory {
    lives: HashMap<EndPair, WireLife>,
    waiting: VecDeque<WirePacket>,
    /// Packets that nobody heard.
    missed: u64,
    /// Connections whose packets have come to their end, not told yet.
    over: Vec<EndPair>,
    told: Vec<WireEvent>,
    opened: u64,
}

#[derive(Debug)]
struct WireLife {
    talk: LiveTalk,
    /// The end that is the client's in `talk`.
    supposed: SocketAddr,
    /// The end that dialled, if that is known.
    client: Option<SocketAddr>,
    number: Option<u64>,
    /// The number of the next connection between these ends, of which no packet has been told yet.
    next: Option<u64>,
    ending: Option<ConnectionEnding>,
    last: Duration,
    missed_before: u64,
}

impl WireStory {
    /// Takes packets that were heard, and how many were not in all.
    pub(crate) fn hear(&mut self, packets: Vec<WirePacket>, missed: u64) {
        self.missed = missed;
        self.waiting.extend(packets);
    }

    /// How many connections the packets have shown to begin.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Takes notice of what another witness tells. It may tell of other networks, too, whose packets
    /// are not heard here.
    pub(crate) fn note(&mut self, event: &StoryEvent) {
        match event {
            StoryEvent::Change(line) => self.note_change(line),
            StoryEvent::Ended(it) => {
                let ends = pair(it.client, it.server);
                let Some(life) = self.lives.get_mut(&ends) else { return };
                if life.number != Some(it.connection) {
                    return;
                }
                life.ending = Some(it.ending).filter(|_| it.sides_known);
                life.last = life.last.max(it.when.latest);
                if !self.over.contains(&ends) {
                    self.over.push(ends);
                }
            }
        }
    }

    fn note_change(&mut self, line: &ChangeLine) {
        let Some(number) = line.connection.filter(|_| !line.elsewhere) else { return };
        let ends = pair(line.local, line.peer);
        let life = self.lives.entry(ends).or_insert_with(|| WireLife::of(line.local));
        if life.number.is_some_and(|known| known != number) {
            life.next = Some(number);
            return;
        }
        life.number = Some(number);
        life.client = life.client.or(match line.side {
            Some(Side::Client) => Some(canonical(line.local)),
            Some(Side::Server) => Some(canonical(line.peer)),
            None => None,
        });
        life.last = life.last.max(line.when.latest);
    }

    /// Returns what there is to tell at `now`; everything if it is the `last` time.
    pub(crate) fn take(&mut self, now: Duration, last: bool) -> Vec<WireEvent> {
        let due = |packet: &mut WirePacket| last || packet.at.saturating_add(HOLD) <= now;
        while let Some(packet) = self.waiting.pop_front_if(due) {
            self.follow(&packet);
        }
        self.end(now, last);
        if self.lives.len() > MOST_FOLLOWED {
            self.forget_silent();
        }
        std::mem::take(&mut self.told)
    }

    fn follow(&mut self, WirePacket { at, segment, interface }: &WirePacket) {
        let (from, to) = (canonical(segment.source), canonical(segment.destination));
        let ends = pair(from, to);
        let ends_it = segment.has(SegmentFlags::FIN) || segment.has(SegmentFlags::RST);
        let is_dial = LiveTalk::is_dial(segment);
        if ends_it && !self.lives.contains_key(&ends) {
            return; // said again after the end, or the end of what nobody knows
        }
        if self.lives.get(&ends).is_some_and(|life| life.talk.is_left_by(segment)) {
            self.finish(ends); // the ports are in use again
        }
        let missed = self.missed;
        let life = self.lives.entry(ends).or_insert_with(|| WireLife::of(from));
        if !life.talk.is_heard() {
            life.missed_before = missed;
            life.supposed = from;
            self.opened = self.opened.saturating_add(u64::from(is_dial));
        }
        if is_dial {
            life.client = Some(from);
        }
        let role = if from == life.supposed { Side::Client } else { Side::Server };
        let (first, again) = (life.talk.close().is_none(), life.talk.end(role).has_fin());
        life.talk.hear(role, segment, *interface);
        life.last = life.last.max(*at);
        let is_told = segment.has(SegmentFlags::RST) || !again;
        if ends_it && is_told {
            let side = life.client.map(|it| if it == from { Side::Client } else { Side::Server });
            let (connection, flags) = (life.number, segment.flags);
            let line =
                PacketLine { at: *at, connection, side, local: from, peer: to, flags, first };
            self.told.push(WireEvent::Packet(line));
        }
        if life.talk.is_over() && !self.over.contains(&ends) {
            self.over.push(ends);
        }
    }

    /// Tells of those whose packets have come to their end, when the other witness has, too.
    fn end(&mut self, now: Duration, last: bool) {
        let is_due = |life: &WireLife| {
            let both = life.ending.is_some() && life.talk.is_over();
            last || both || life.last.saturating_add(PATIENCE) <= now
        };
        let due = |ends: &mut EndPair| self.lives.get(ends).is_none_or(is_due);
        let due: Vec<EndPair> = self.over.extract_if(.., due).collect();
        for ends in due {
            self.finish(ends);
        }
    }

    /// Tells the end of a connection, and forgets it.
    fn finish(&mut self, ends: EndPair) {
        self.over.retain(|over| *over != ends);
        let Some(mut life) = self.lives.remove(&ends) else { return };
        if let Some(next) = life.next.take() {
            let fresh = WireLife { number: Some(next), ..WireLife::of(life.supposed) };
            self.lives.insert(ends, fresh);
        }
        let Some(client) = life.client.filter(|_| life.talk.close().is_some()) else { return };
        let server = if client == ends.0 { ends.1 } else { ends.0 };
        let talk = if client == life.supposed { life.talk } else { life.talk.turned() };
        let is_whole = self.missed == life.missed_before;
        let agrees = life.ending.and_then(|ending| agreement(ending, &talk)).filter(|_| is_whole);
        let (at, connection) = (life.last, life.number);
        let summary = WireSummary { at, connection, client, server, talk, agrees };
        self.told.push(WireEvent::Ended(Box::new(summary)));
    }

    /// Forgets the half of which nothing was heard for longest.
    fn forget_silent(&mut self) {
        let mut last: Vec<Duration> = self.lives.values().map(|life| life.last).collect();
        last.sort_unstable();
        let middle = last.get(last.len() / 2).copied().unwrap_or_default();
        self.lives.retain(|_, life| life.last > middle);
    }
}

impl WireLife {
    fn of(supposed: SocketAddr) -> Self {
        Self {
            talk: LiveTalk::default(),
            supposed,
            client: None,
            number: None,
            next: None,
            ending: None,
            last: Duration::ZERO,
            missed_before: 0,
        }
    }
}

fn pair(one: SocketAddr, other: SocketAddr) -> EndPair {
    let (one, other) = (canonical(one), canonical(other));
    (one.min(other), one.max(other))
}

/// Both are about the same only where one end is said to have closed first.
fn agreement(ending: ConnectionEnding, talk: &LiveTalk) -> Option<bool> {
    match (ending, talk.close()?) {
        (ConnectionEnding::ClosedFirst(Some(said)), WireClose::First(side)) => Some(said == side),
        (ConnectionEnding::Both, WireClose::Both) => Some(true),
        (ConnectionEnding::Aborted(Some(said)), WireClose::Reset(side)) if said == side => {
            Some(true)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::closing as closing_of_tests;
