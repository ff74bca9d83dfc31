//! Pools for programs.

use std::io::{self, Write};

use crate::pool::standing::{ClientPool, PoolAilment, PoolConnection, StandingTime};
use report::json::SCHEMA;
use serde_json::{Value, json};

use crate::list::json::InspectedRow;

/// Writes one JSON object in one line. A pool without `ailments` looks healthy, as far as was seen,
/// if any of its connections is `busy` or `idle`; what was never used is no sign of it.
///
/// `opened_connections`, and what is told of each second, are what was seen: the least there was.
/// `unattributed_connections` came and went beside them, to the same server, and no look saw whose
/// they were. Every pool of that server has their number, as any may be whose they are; where the
/// pools of all processes are asked for, the one whose `pid` is `null` has opened them.
///
/// # Errors
/// Those of `out`.
pub(crate) fn pools(pools: &[ClientPool], out: &mut impl Write) -> io::Result<()> {
    let pools: Vec<Value> = pools.iter().map(pool).collect();
    writeln!(out, "{}", json!({ "schema": SCHEMA, "pools": pools }))
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
        PoolAilment::Unread { connections, bytes, silent } => json!({
            "kind": "unread", "connections": connections, "unread_bytes": bytes,
            "silent_ms": silent.as_millis(),
        }),
        PoolAilment::ClosedByPeer { connections, unnoticed, longest } => json!({
            "kind": "closed_by_peer", "connections": connections,
            "unnoticed_connections": unnoticed, "longest": longest.map(lasted),
        }),
        PoolAilment::Churn { opened_per_s, idle } => json!({
            "kind": "churn", "opened_per_s": opened_per_s, "idle_connections": idle,
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
        };
        let mut out = Vec::new();
        pools(&[nobodys], &mut out).unwrap();
        let object: Value = serde_json::from_slice(&out).unwrap();
        insta::assert_snapshot!(format!("{object:#}"), @r#"
        {
          "pools": [
            {
              "ailments": [
                {
                  "came_per_s": 831.5,
                  "connections": 1663,
                  "kind": "unattributed"
                }
              ],
              "connections": [],
              "opened_connections": 0,
              "pid": null,
              "process": null,
              "server": "127.0.0.1:8080",
              "server_idle_timeout_ms": null,
              "unattributed_connections": 1663,
              "watched_ms": 2000
            }
          ],
          "schema": 1
        }
        "#);
    }
}
