//! From packets to connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    ClientAddr, ConnectionId, Ends, PassageFate, Segment, SegmentFlags, ServerAddr, Side,
    WirePlace, WireRecord,
};
use packets::{HeardPacket, WireLog};

use crate::connection::{ConnectionFollower, HearingPlace, ObservedConnection};

/// Puts the packets of one place together to connections.
pub struct ConnectionGatherer {
    place: HearingPlace,
    followers: Vec<ConnectionFollower>,
    /// The place of the last connection between two addresses, whichever of them dialled.
    current: HashMap<(SocketAddr, SocketAddr), (usize, Side)>,
    log: WireLog,
    /// The segments that are under way on the cable, by their numbers.
    under_way: HashMap<u64, (usize, Segment)>,
    heard: u64,
    counts: PacketTally,
}

/// How many packets were heard, and what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketTally {
    /// TCP segments of connections.
    pub segments: u64,
    /// TCP segments of no connection that was heard to begin.
    pub strays: u64,
    /// All others.
    pub others: u64,
}

/// What was heard at one place.
#[derive(Debug)]
pub struct GatheredConnections {
    /// The place.
    pub place: HearingPlace,
    /// The connections, in the order of dialling.
    pub connections: Vec<ObservedConnection>,
    /// How many packets there were.
    pub packets: PacketTally,
    /// The packets of these connections.
    pub record: WireRecord,
}

impl ConnectionGatherer {
    /// Puts together what is heard at `place`.
    #[must_use]
    pub fn at(place: HearingPlace) -> Self {
        let of_log = match place {
            HearingPlace::Loopback => WirePlace::Loopback,
            HearingPlace::Cable => WirePlace::Cable { delay: Duration::ZERO },
        };
        Self {
            place,
            followers: Vec::new(),
            current: HashMap::new(),
            log: WireLog::new(of_log),
            under_way: HashMap::new(),
            heard: 0,
            counts: PacketTally::default(),
        }
    }

    /// Takes the next packet.
    pub fn hear(&mut self, packet: &HeardPacket) {
        self.heard += 1;
        let Ok(segment) = packet.segment() else {
            self.counts.others += 1;
            self.log.other();
            return;
        };
        let headers = usize::from(segment.ip_header_bytes) + usize::from(segment.tcp_header_bytes);
        let data = packet.bytes.get(headers..).unwrap_or_default();
        let data = data.get(..segment.payload_bytes as usize).unwrap_or(data);
        let Some((index, from)) = self.connection_of(&segment) else {
            self.counts.strays += 1;
            self.log.other();
            return;
        };
        self.counts.segments += 1;
        let number = self.heard;
        let fate = PassageFate::Passed;
        if let Some(follower) = self.followers.get_mut(index) {
            follower.hear(number, from, &segment, data);
        }
        if self.place == HearingPlace::Cable {
            self.under_way.insert(number, (index, segment.clone()));
        }
        self.log.heard(number, from, segment, &packet.bytes, fate);
    }

    /// The packet with this number, counted from 1, has arrived at the other host. To be told between
    /// the packets that were heard before and after.
    pub fn arrived(&mut self, number: u64, at: Duration) {
        if let Some((index, segment)) = self.under_way.remove(&number)
            && let Some(follower) = self.followers.get_mut(index)
        {
            follower.arrived(&segment);
        }
        self.log.arrived(number, at);
    }

    /// The connection that a segment belongs to, and the end that sent it. A SYN that dials begins
    /// one, unless it is sent again.
    fn connection_of(&mut self, segment: &Segment) -> Option<(usize, Side)> {
        let Segment { source, destination, .. } = *segment;
        let known = self.current.get(&(source, destination)).copied();
        let dials = segment.has(SegmentFlags::SYN) && !segment.has(SegmentFlags::ACK);
        if !dials {
            return known;
        }
        let again = known.filter(|(index, from)| {
            let follower = self.followers.get(*index);
            *from == Side::Client && follower.is_some_and(|it| it.is_dialled_by(segment))
        });
        if again.is_some() {
            return again;
        }
        let ends = Ends { client: ClientAddr::new(source), server: ServerAddr::new(destination) };
        let index = self.followers.len();
        self.followers.push(ConnectionFollower::dialled_by(self.place, ends, segment));
        self.current.insert((destination, source), (index, Side::Server));
        self.current.insert((source, destination), (index, Side::Client));
        Some((index, Side::Client))
    }

    /// Nothing more is heard.
    #[must_use]
    pub fn finish(self) -> GatheredConnections {
        let connection = |follower: ConnectionFollower| follower.into_connection(ConnectionId(0));
        let mut gathered = GatheredConnections {
            place: self.place,
            connections: self.followers.into_iter().map(connection).collect(),
            packets: self.counts,
            record: self.log.into_record(),
        };
        number(&mut [&mut gathered]);
        gathered
    }
}

/// Numbers the connections of all places in the order of dialling.
pub(crate) fn number(places: &mut [&mut GatheredConnections]) {
    let mut all: Vec<&mut ObservedConnection> =
        places.iter_mut().flat_map(|place| place.connections.iter_mut()).collect();
    all.sort_by_key(|connection| connection.dialled);
    for (number, connection) in (1_u64..).zip(all) {
        connection.id = ConnectionId(number);
    }
}
