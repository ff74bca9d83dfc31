//! An observation as the outcome of a run, beside which packets are shown.

use std::collections::HashMap;
use std::time::Duration;

use evidence::{
    BodySeen, Close, ClosedBy, Connection, Exchange, ExchangeId, Failure, FailureKind, Observed,
    Outcome, Preset, Program, Reading, ServerSetup, Setup, Side, Tables, Unreadable, WireClose,
};
use observe::{GatheredConnections, HearingPlace, Observation, ObservedConnection};

/// Returns an outcome for each place where packets were heard.
pub(super) fn outcomes(
    observation: &Observation,
    gathered: Vec<GatheredConnections>,
) -> Vec<Outcome> {
    let places = gathered.into_iter().map(|it| (it.place, it.record));
    let numbers = numbers(observation);
    places
        .map(|(place, record)| {
            let mut outcome = of_place(observation, place, &numbers);
            outcome.wire = Some(Ok(record));
            outcome
        })
        .collect()
}

/// The numbers of exchanges: by connection and place on it, in the order in which they began.
type Numbers = HashMap<(u64, usize), u64>;

fn numbers(observation: &Observation) -> Numbers {
    let mut all: Vec<(Duration, u64, usize)> = Vec::new();
    for connection in &observation.connections {
        let began = connection.exchanges.iter().map(|it| it.request.began).enumerate();
        all.extend(began.map(|(place, began)| (began, connection.id.0, place)));
    }
    all.sort_unstable();
    let numbered = (1_u64..).zip(all);
    numbered.map(|(number, (_, connection, place))| ((connection, place), number)).collect()
}

fn of_place(observation: &Observation, place: HearingPlace, numbers: &Numbers) -> Outcome {
    let not_read = || Reading {
        table: Err(Unreadable("the table is read when all is over".to_owned())),
        settled: false,
    };
    let here: Vec<&ObservedConnection> =
        observation.connections.iter().filter(|it| it.place == place).collect();
    let mut exchanges: Vec<Exchange> =
        here.iter().flat_map(|connection| exchanges_of(connection, numbers)).collect();
    exchanges.sort_by_key(|exchange| exchange.number);
    Outcome {
        setup: setup(exchanges.len()),
        prediction: None,
        rule_differences: Vec::new(),
        connections: here.iter().filter(|it| it.is_opened()).map(|it| connection(it)).collect(),
        exchanges,
        accepted: None,
        accept_gap: Default::default(),
        wire: None,
        in_flight: None,
        server_reasons: Default::default(),
        accepting: None,
        tables: Tables { busiest: None, while_running: not_read(), after_closing: not_read() },
        disagreements: Vec::new(),
        time_waits_cut_short: 0,
        elapsed: observation.elapsed,
        let_go: observation.elapsed,
        interrupted: false,
    }
}

fn setup(requests: usize) -> Setup {
    Setup {
        program: Program::Lab,
        preset: Preset::Go,
        body: evidence::BodyPolicy::Drain,
        workers: 1,
        requests,
        interval: Default::default(),
        per_host: 0,
        max_idle: None,
        max_conns_per_host: None,
        idle_timeout: None,
        keep_alives: true,
        server: ServerSetup {
            in_process: false,
            url: String::new(),
            bytes: None,
            delay: Default::default(),
            pause_before_body: Default::default(),
        },
        flags: Vec::new(),
    }
}

fn connection(of: &ObservedConnection) -> Connection {
    let close = of.end.map(|end| Close {
        by: match end.by {
            WireClose::First(Side::Client) | WireClose::Both => ClosedBy::Client,
            WireClose::First(Side::Server) => ClosedBy::Server,
            WireClose::Reset(_) => ClosedBy::Reset,
        },
        why: Observed::NotObservable,
        at: end.at,
        unread: 0,
        idle: Observed::NotObservable,
    });
    Connection { id: of.id, ends: of.ends, exchanges: of.exchanges.len() as u64, close }
}

fn exchanges_of(of: &ObservedConnection, numbers: &Numbers) -> Vec<Exchange> {
    let exchange = |(place, seen): (usize, &observe::SeenExchange)| {
        let number = numbers.get(&(of.id.0, place)).copied().unwrap_or_default();
        let response = seen.response.as_ref();
        let body = match response {
            Some(response) if response.ended.is_some() => {
                Ok(BodySeen::Drained { bytes: response.body_bytes })
            }
            _ => Err(Failure { kind: FailureKind::Other, message: "no whole response".to_owned() }),
        };
        let began = seen.request.began;
        let over = seen.ended().or(of.end.map(|end| end.at)).unwrap_or(began);
        Exchange {
            number: ExchangeId(number),
            started: began,
            took: over.saturating_sub(began),
            connection: Some(of.id),
            client: Some(of.ends.client),
            reused: place > 0,
            idle_before: Observed::NotObservable,
            first_byte: response.map(|it| it.began.saturating_sub(began)),
            status: response.map(|it| it.status),
            connection_fields: Default::default(),
            body,
            afterwards: evidence::Afterwards::NotObservable,
        }
    };
    of.exchanges.iter().enumerate().map(exchange).collect()
}
