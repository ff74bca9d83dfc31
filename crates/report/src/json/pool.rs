//! Pools for programs.

use std::io::{self, Write};

use evidence::pool::{Ailment, Lasted, Pool, PoolConnection};
use serde_json::{Value, json};

use super::{Row, SCHEMA};

/// Writes one JSON object in one line. A pool with connections and without `ailments` looks healthy.
///
/// # Errors
/// Those of `out`.
pub fn pools(pools: &[Pool], out: &mut impl Write) -> io::Result<()> {
    let pools: Vec<Value> = pools.iter().map(pool).collect();
    writeln!(out, "{}", json!({ "schema": SCHEMA, "pools": pools }))
}

fn pool(pool: &Pool) -> Value {
    let connection = |connection: &PoolConnection| {
        json!({
            "standing": connection.standing.name(),
            "stale_soon": pool.is_stale_soon(connection),
            "closed_by_peer": connection.closed_for.map(lasted),
            "socket": Row::from(&connection.row),
        })
    };
    json!({
        "pid": pool.process.as_ref().map(|owner| owner.pid),
        "process": pool.process.as_ref().map(|owner| owner.process.clone()),
        "server": pool.server.to_string(),
        "opened_connections": pool.opened,
        "watched_ms": pool.watched.as_millis(),
        "server_idle_timeout_ms": pool.server_idle_timeout().map(|time| time.as_millis()),
        "ailments": pool.ailments().iter().map(ailment).collect::<Vec<_>>(),
        "connections": pool.connections.iter().map(connection).collect::<Vec<_>>(),
    })
}

fn lasted(time: Lasted) -> Value {
    let (ms, is_exact) = match time {
        Lasted::Exactly(time) => (time.as_millis(), true),
        Lasted::AtLeast(time) => (time.as_millis(), false),
    };
    json!({ "for_ms": ms, "is_lower_bound": !is_exact })
}

fn ailment(ailment: &Ailment) -> Value {
    match ailment {
        Ailment::Unread { connections, bytes, silent } => json!({
            "kind": "unread", "connections": connections, "unread_bytes": bytes,
            "silent_ms": silent.as_millis(),
        }),
        Ailment::ClosedByPeer { connections, unnoticed, longest } => json!({
            "kind": "closed_by_peer", "connections": connections,
            "unnoticed_connections": unnoticed, "longest": longest.map(lasted),
        }),
        Ailment::Churn { opened_per_s, idle } => json!({
            "kind": "churn", "opened_per_s": opened_per_s, "idle_connections": idle,
        }),
        Ailment::StaleSoon { connections, idle_timeout } => json!({
            "kind": "stale_soon", "connections": connections,
            "idle_timeout_ms": idle_timeout.as_millis(),
        }),
    }
}
