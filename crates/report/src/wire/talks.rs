//! Which connection of the client's trace a packet belongs to, and which exchange.

use std::collections::HashMap;
use std::time::Duration;

use evidence::{
    BodySeen, ConnectionId, Conversation, Ends, Exchange, ExchangeId, Outcome, Passage, Side,
    WireRecord,
};

use crate::words::NONE;

/// The packets between two ends, and the connection that they are.
#[derive(Clone, Debug)]
pub(super) struct WireTalk<'a> {
    pub(super) conversation: Conversation<'a>,
    /// The client's number of it; `None` if its trace does not tell of it, or not which it is.
    pub(super) id: Option<ConnectionId>,
    /// The exchanges that it carried, by the client's trace.
    exchanges: Vec<&'a Exchange>,
    /// Every exchange of the run.
    all: &'a [Exchange],
}

/// Returns the connections that packets tell of, in the order of their first packets.
///
/// A trace and packets know a connection by its ends. Where these were used again, the first that
/// was opened by packets is the first of the trace, and so on: but only if there are as many.
pub(super) fn talks<'a>(outcome: &'a Outcome, record: &'a WireRecord) -> Vec<WireTalk<'a>> {
    let conversations = record.conversations();
    // If packets were missed, those of a handshake may be.
    let counts = |it: &Conversation<'_>| record.missed > 0 || it.is_opened();
    let mut heard: HashMap<Ends, usize> = HashMap::new();
    for conversation in conversations.iter().filter(|it| counts(it)) {
        *heard.entry(conversation.ends).or_default() += 1;
    }
    let mut known: HashMap<Ends, Vec<ConnectionId>> = HashMap::new();
    for connection in &outcome.connections {
        known.entry(connection.ends).or_default().push(connection.id);
    }
    let mut before: HashMap<Ends, usize> = HashMap::new();
    let mut all = Vec::new();
    for conversation in conversations {
        let ends = conversation.ends;
        let (ids, heard) = (known.get(&ends), heard.get(&ends).copied().unwrap_or(0));
        // The last packets of a long record are not told, so later connections may lack.
        let fit = |ids: &&Vec<ConnectionId>| {
            ids.len() == heard || (ids.len() > heard && record.missed == 0 && record.untold > 0)
        };
        let mut id = None;
        if counts(&conversation) {
            let place = before.entry(ends).or_default();
            id = ids.filter(fit).and_then(|ids| ids.get(*place)).copied();
            *place += 1;
        }
        let exchanges = outcome.exchanges.iter().filter(|it| id.is_some() && it.connection == id);
        let exchanges = exchanges.collect();
        all.push(WireTalk { conversation, id, exchanges, all: &outcome.exchanges });
    }
    all
}

impl WireTalk<'_> {
    /// `#1`, or a dash.
    pub(super) fn name(&self) -> String {
        self.id.map_or(NONE.to_owned(), |id| id.to_string())
    }

    /// How many exchanges it carried; `None` if nobody knows.
    pub(super) fn exchanges(&self) -> Option<usize> {
        self.id.map(|_| self.exchanges.len())
    }

    /// When each of its exchanges began; `None` if nobody knows, or if they were not one after the
    /// other.
    pub(super) fn starts(&self) -> Option<Vec<Duration>> {
        self.id?;
        let mut exchanges = self.exchanges.clone();
        exchanges.sort_by_key(|exchange| exchange.started);
        let apart = exchanges.windows(2).all(|two| match two {
            [one, next] => ended(one) <= next.started,
            _ => true,
        });
        apart.then(|| exchanges.iter().map(|exchange| exchange.started).collect())
    }

    /// Returns the exchange that was under way when `passage` carried data; `None` if there was
    /// none, or several shared the connection.
    pub(super) fn exchange(&self, passage: &Passage) -> Option<ExchangeId> {
        let (at, from) = (passage.segment.at, passage.from);
        if passage.segment.payload_bytes == 0 || self.id.is_none() {
            return None;
        }
        let mut here = self.exchanges.iter().filter(|it| is_under_way(it, at));
        match (here.next(), here.next()) {
            (Some(one), None) => return Some(one.number),
            (Some(_), Some(_)) => return None,
            (None, _) => {}
        }
        if from == Side::Server {
            // A body that nobody reads comes all the same, until the next exchange.
            let before = self.exchanges.iter().filter(|it| it.started <= at);
            let last = before.max_by_key(|it| it.started)?;
            let is_unread =
                matches!(last.body, Ok(BodySeen::Dropped { .. } | BodySeen::Held { .. }));
            return is_unread.then_some(last.number);
        }
        // A request that was sent here first, and then again elsewhere, is told of by its place there.
        passage.begins.as_ref()?;
        let mut any = self.all.iter().filter(|it| is_under_way(it, at));
        let only = any.next()?;
        any.next().is_none().then_some(only.number)
    }
}

fn ended(exchange: &Exchange) -> Duration {
    exchange.started.saturating_add(exchange.took)
}

fn is_under_way(exchange: &Exchange, at: Duration) -> bool {
    exchange.started <= at && at <= ended(exchange)
}
