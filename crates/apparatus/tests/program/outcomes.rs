//! Outcomes that a run of given settings may have, for tests of what is advised after it.
//!
//! Shared by the tests of `report`, `sequential` and `concurrent`, which include it by its path.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    Afterwards, BodySeen, ClientAddr, Close, CloseReason, ClosedBy, Connection, ConnectionFields,
    ConnectionId, Ends, Exchange, ExchangeId, Failure, FailureKind, NotPooled, Observed, Outcome,
    ServerAddr, Setup, Tables,
};

/// One connection for all exchanges, one for each, and that for every reason; and failures.
pub(crate) fn outcomes(setup: &Setup) -> Vec<Outcome> {
    let over = || CloseReason::TransportClosed;
    let closed = |by, why: CloseReason| of(setup, true, by, &Observed::Known(why));
    let refused = |why| closed(ClosedBy::Client, CloseReason::NotPooled(why));
    let mut failed = of(setup, false, ClosedBy::Client, &Observed::Known(over()));
    for exchange in &mut failed.exchanges {
        let message = "in vain".to_owned();
        exchange.body = Err(Failure { kind: FailureKind::Reset, message });
    }
    vec![
        of(setup, false, ClosedBy::Client, &Observed::Known(over())),
        closed(ClosedBy::Client, over()),
        of(setup, true, ClosedBy::Client, &Observed::NotObservable),
        refused(NotPooled::BodyUnread { left: Some(11) }),
        closed(ClosedBy::Reset, CloseReason::NotPooled(NotPooled::BodyUnread { left: None })),
        refused(NotPooled::IdleCapReached { per_host: setup.per_host }),
        refused(NotPooled::TotalCapReached { max_idle: 1 }),
        refused(NotPooled::KeepAlivesDisabled),
        refused(NotPooled::ServerSaidClose),
        closed(ClosedBy::Server, CloseReason::ServerClosed),
        closed(ClosedBy::Client, CloseReason::IdleTimeout(Duration::from_millis(100))),
        failed,
    ]
}

fn of(setup: &Setup, each: bool, by: ClosedBy, why: &Observed<CloseReason>) -> Outcome {
    let all = setup.exchanges().min(30) as u64;
    let ends = |port| Ends {
        client: ClientAddr::new(SocketAddr::from(([127, 0, 0, 1], port))),
        server: ServerAddr::new(SocketAddr::from(([127, 0, 0, 1], 8080))),
    };
    let exchanges = (1..=all).map(|number| Exchange {
        number: ExchangeId(number),
        started: Duration::from_millis(number),
        took: Duration::from_millis(1),
        connection: Some(ConnectionId(if each { number } else { 1 })),
        client: None,
        reused: !each && number > 1,
        idle_before: Observed::NotObservable,
        first_byte: None,
        status: Some(200),
        connection_fields: ConnectionFields::default(),
        body: Ok(BodySeen::Drained { bytes: 11 }),
        afterwards: Afterwards::Pooled,
    });
    let connections = (1..=if each { all } else { 1 }).map(|id| Connection {
        id: ConnectionId(id),
        ends: ends(40_000 + u16::try_from(id).unwrap()),
        exchanges: if each { 1 } else { all },
        close: Some(Close {
            by,
            why: why.clone(),
            at: Duration::from_secs(1),
            unread: 0,
            idle: Observed::NotObservable,
        }),
    });
    Outcome {
        setup: setup.clone(),
        prediction: None,
        rule_differences: Vec::new(),
        exchanges: exchanges.collect(),
        connections: connections.collect(),
        accepted: None,
        in_flight: None,
        server_reasons: BTreeMap::new(),
        accepting: None,
        tables: Tables::default(),
        disagreements: Vec::new(),
        time_waits_cut_short: 0,
        accept_gap: evidence::AcceptGap::default(),
        wire: None,
        elapsed: Duration::from_secs(1),
        let_go: Duration::from_secs(1),
        interrupted: false,
    }
}
