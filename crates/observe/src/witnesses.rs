//! Do packets and kernel say the same?

use std::time::Duration;

use evidence::{SocketTable, TcpState};

use crate::connection::{HearingPlace, ObservedConnection};
use crate::exchange::SpokenProtocol;
use crate::observation::Observation;
use crate::tally::ConnectionTally;

/// `TIME_WAIT` lasts a minute; what ended longer ago may be gone from the table.
const SURELY_THERE: Duration = Duration::from_secs(55);

/// Returns where two witnesses do not say the same, in sentences.
#[must_use]
pub fn disagreements(observation: &Observation) -> Vec<String> {
    let mut all = Vec::new();
    let tally = ConnectionTally::of(&observation.all());
    let numbers =
        [("dialled", tally.dialled, "TcpActiveOpens"), ("opened", tally.opened, "TcpPassiveOpens")];
    for (what, heard, counter) in numbers {
        let Some(counted) = observation.counter(counter) else { continue };
        if counted != heard {
            all.push(format!(
                "{what}: the packets tell of {heard}, the kernel has counted {counted} ({counter})"
            ));
        }
    }
    all.extend(at_server(observation));
    all.extend(in_table(observation));
    if observation.missed > 0 {
        all.push(format!(
            "{} packets were not heard; what they said is missing",
            observation.missed
        ));
    }
    if observation.packets.strays > 0 {
        let strays = observation.packets.strays;
        all.push(format!("{strays} packets belong to no connection that was heard to begin"));
    }
    all
}

/// What the lab's own server says otherwise.
fn at_server(observation: &Observation) -> Vec<String> {
    let Some(words) = observation.server else { return Vec::new() };
    let there = observation.connections.iter().filter(|it| it.place == HearingPlace::Cable);
    let there: Vec<&ObservedConnection> = there.collect();
    let tally = ConnectionTally::of(&there);
    let mut all = Vec::new();
    if words.accepted != tally.opened {
        let (heard, told) = (tally.opened, words.accepted);
        all.push(format!("accepted: the packets tell of {heard} opened, the server of {told}"));
    }
    // A request of which the server has not read the head is none for it.
    let is_read = there
        .iter()
        .all(|it| matches!(it.protocol, SpokenProtocol::Http1 | SpokenProtocol::Nothing));
    let answered = there.iter().flat_map(|it| &it.exchanges).filter(|it| it.response.is_some());
    let answered = answered.count() as u64;
    if is_read && !(answered..=tally.exchanges).contains(&words.requests) {
        let (heard, told) = (tally.exchanges, words.requests);
        all.push(format!("requests: the packets tell of {heard}, the server of {told}"));
    }
    all
}

/// Ends that should be in `TIME_WAIT` by their packets, and of which the kernel's table knows
/// nothing.
fn in_table(observation: &Observation) -> Option<String> {
    let tables: Option<Vec<&SocketTable>> =
        observation.kernel.iter().map(|words| words.table.as_ref()).collect();
    let tables = tables.filter(|tables| !tables.is_empty())?;
    // The last connection between two addresses: an earlier one has left its place to it.
    let is_last = |it: &ObservedConnection| {
        let later = |other: &&ObservedConnection| other.id > it.id && other.ends == it.ends;
        !observation.connections.iter().any(|other| later(&other))
    };
    let recent = |it: &ObservedConnection| {
        it.end.is_some_and(|end| end.at + SURELY_THERE > observation.elapsed)
    };
    let mut waits = 0;
    let mut unknown = 0;
    for connection in observation.connections.iter().filter(|it| recent(it) && is_last(it)) {
        let ends = connection.ends;
        let pairs = [
            (ends.client.socket_addr(), ends.server.socket_addr()),
            (ends.server.socket_addr(), ends.client.socket_addr()),
        ];
        for (state, (local, peer)) in connection.states.into_iter().zip(pairs) {
            if state != Some(TcpState::TimeWait) {
                continue;
            }
            waits += 1;
            let is_it = |socket: &evidence::Socket| {
                evidence::canonical(socket.local) == local
                    && evidence::canonical(socket.peer) == peer
                    && socket.state == TcpState::TimeWait
            };
            if !tables.iter().any(|table| table.sockets.iter().any(is_it)) {
                unknown += 1;
            }
        }
    }
    (unknown > 0).then(|| {
        format!(
            "TIME_WAIT: by their packets {waits} ends are in it, of which the kernel's table lacks {unknown}"
        )
    })
}
