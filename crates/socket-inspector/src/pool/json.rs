//! Pools for programs.

use std::io::{self, Write};

use super::ailments::PoolAilment;
use super::client_pool::ClientPool;
use super::dials::DialCount;
use super::standing::{PoolConnection, StandingTime};
use report::json::SCHEMA;
use serde_json::{Value, json};

use crate::list::json::InspectedRow;

/// Writes one JSON object in one line. A pool without `ailments` looks healthy, as far as was seen,
/// if any of its connections is `busy` or was used again (`used_again_connections`); what was never
/// used, and what only lies idle, is no sign of it.
///
/// `closed_first_connections` were closed while looking, by whom first: `not_seen` are gone without
/// `TIME_WAIT` at the client's end, so that the server closed first, or there was a reset.
///
/// `opened_connections`, and what is told of each second, are what was seen: the least there was.
/// `unattributed_connections` came and went beside them, to the same server, and no look saw whose
/// they were. Every pool of that server has their number, as any may be whose they are; where the
/// pools of all processes are asked for, the one whose `pid` is `null` has opened them.
///
/// # Errors
/// Those of `out`.
///
/// `dialled_connections` are those that the kernel counted in this network, by whomever, and
/// `dials_seen` those that looks have caught; `null` where the two cannot be compared.
pub(crate) fn pools(
    pools: &[ClientPool],
    dials: Option<DialCount>,
    out: &mut impl Write,
) -> io::Result<()> {
    let pools: Vec<Value> = pools.iter().map(pool).collect();
    let line = json!({
        "schema": SCHEMA, "pools": pools,
        "dialled_connections": dials.map(|dials| dials.dialled),
        "dials_seen": dials.map(|dials| dials.seen),
    });
    writeln!(out, "{line}")
}

fn pool(pool: &ClientPool) -> Value {
    let connection = |connection: &PoolConnection| {
        json!({
            "standing": connection.standing.name(),
            "stale_soon": pool.is_stale_soon(connection),
            "closed_by_peer": connection.closed_for.map(lasted),
            "socket": InspectedRow::from(&connection.row),
        })
    };
    json!({
        "pid": pool.process.as_ref().map(|owner| owner.pid),
        "process": pool.process.as_ref().map(|owner| owner.process.clone()),
        "server": pool.server.to_string(),
        "opened_connections": pool.opened,
        "unattributed_connections": pool.unattributed,
        "used_again_connections": pool.lives.used_again,
        "closed_first_connections": {
            "client": pool.lives.by_client,
            "server": pool.lives.by_servers(),
            "not_seen": pool.lives.gone,
        },
        "watched_ms": pool.watched.as_millis(),
        "server_idle_timeout_ms": pool.server_idle_timeout().map(|time| time.as_millis()),
        "ailments": pool.ailments().iter().map(ailment).collect::<Vec<_>>(),
        "connections": pool.connections.iter().map(connection).collect::<Vec<_>>(),
    })
}

fn lasted(time: StandingTime) -> Value {
    let (ms, is_exact) = match time {
        StandingTime::Exactly(time) => (time.as_millis(), true),
        StandingTime::AtLeast(time) => (time.as_millis(), false),
    };
    json!({ "for_ms": ms, "is_lower_bound": !is_exact })
}

fn ailment(ailment: &PoolAilment) -> Value {
    match ailment {
        PoolAilment::ToItself { connections } => json!({
            "kind": "connected_to_itself", "connections": connections,
        }),
        PoolAilment::NoHandshake { connections, syns_again, full } => json!({
            "kind": "no_handshake", "connections": connections, "syns_sent_again": syns_again,
            "accept_queue_is_full": full.is_some(),
        }),
        PoolAilment::Unanswered { connections, unacknowledged, resent, probes } => json!({
            "kind": "unanswered", "connections": connections,
            "unacknowledged_bytes": unacknowledged, "sent_again_in_a_row": resent,
            "probes_unanswered": probes,
        }),
        PoolAilment::ClosedBetween { connections, silence } => json!({
            "kind": "closed_between_requests", "connections": connections,
            "silent_ms": silence.map(|silence| silence.as_millis()),
        }),
        PoolAilment::Unread { connections, bytes, silent } => json!({
            "kind": "unread", "connections": connections, "unread_bytes": bytes,
            "silent_ms": silent.as_millis(),
        }),
        PoolAilment::ClosedByPeer { connections, unnoticed, longest } => json!({
            "kind": "closed_by_peer", "connections": connections,
            "unnoticed_connections": unnoticed, "longest": longest.map(lasted),
        }),
        PoolAilment::Churn { opened_per_s, idle, causes } => json!({
            "kind": "churn", "opened_per_s": opened_per_s, "idle_connections": idle,
            "possible_causes": causes.iter().map(|cause| cause.name()).collect::<Vec<_>>(),
        }),
        PoolAilment::Unattributed { connections, came_per_s } => json!({
            "kind": "unattributed", "connections": connections, "came_per_s": came_per_s,
        }),
        PoolAilment::StaleSoon { connections, idle_timeout } => json!({
            "kind": "stale_soon", "connections": connections,
            "idle_timeout_ms": idle_timeout.as_millis(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use evidence::ServerAddr;

    #[test]
    fn programs_are_told_how_many_connections_nobody_was_seen_to_hold() {
        let nobodys = ClientPool {
            process: None,
            server: ServerAddr::new("127.0.0.1:8080".parse().unwrap()),
            connections: vec![],
            opened: 0,
            unattributed: 1663,
            watched: Duration::from_secs(2),
            idle_timeout: None,
            lives: super::super::lives::PoolLives::default(),
            queue: None,
        };
        let mut out = Vec::new();
        pools(&[nobodys], None, &mut out).unwrap();
        let object: Value = serde_json::from_slice(&out).unwrap();
        insta::assert_snapshot!(format!("{object:#}"), @r#"
        {
          "dialled_connections": null,
          "dials_seen": null,
          "pools": [
            {
              "ailments": [
                {
                  "came_per_s": 831.5,
                  "connections": 1663,
                  "kind": "unattributed"
                }
              ],
              "closed_first_connections": {
                "client": 0,
                "not_seen": 0,
                "server": 0
              },
              "connections": [],
              "opened_connections": 0,
              "pid": null,
              "process": null,
              "server": "127.0.0.1:8080",
              "server_idle_timeout_ms": null,
              "unattributed_connections": 1663,
              "used_again_connections": 0,
              "watched_ms": 2000
            }
          ],
          "schema": 1
        }
        "#);
    }
}
