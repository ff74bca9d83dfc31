//! The changes for programs: one JSON object a line. Every key of a number ends in its unit; times
//! are those since the first look.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use report::json;
use serde_json::{Value, json};
use socket_inspector::{Change, Error, InState, Look, Watch};

use crate::stop::Stop;

/// The version of the layout.
const SCHEMA: u32 = 1;

/// Writes what `watch` sees until `stop` ends it.
pub(crate) fn follow(
    mut watch: Watch,
    about: &str,
    interval: Duration,
    stop: &Stop,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let first = watch.look()?;
    let begun = first.at;
    let opening = json!({
        "kind": "watch", "schema": SCHEMA, "sockets": about, "interval_ms": millis(interval),
    });
    write(&opening, out)?;
    for socket in &first.table.sockets {
        write(&json!({ "kind": "found", "socket": json::Socket::from(socket) }), out)?;
    }
    let (mut looks, mut changes) = (1_u64, 0_u64);
    let mut due = begun + interval;
    loop {
        out.flush()?;
        let over = stop.wait_until(due);
        match watch.look() {
            Ok(look) => {
                looks += 1;
                changes += look.changes.len() as u64;
                tell(&look, begun, out)?;
            }
            // The next look tells, less exactly.
            Err(Error::Unsteady { .. }) => {
                write(
                    &json!({ "kind": "failed_look", "at_ms": since(begun, Instant::now()) }),
                    out,
                )?;
            }
            Err(error) => return Err(error.into()),
        }
        due = Instant::now() + interval;
        if over {
            write(&json!({ "kind": "end", "looks": looks, "changes": changes }), out)?;
            out.flush()?;
            return Ok(0);
        }
    }
}

fn tell(look: &Look, begun: Instant, out: &mut impl Write) -> io::Result<()> {
    let when = json!({
        "min": look.since.map_or(0, |since| self::since(begun, since)),
        "max": since(begun, look.at),
    });
    look.changes.iter().try_for_each(|change| write(&line(change, &when), out))
}

fn line(change: &Change, when: &Value) -> Value {
    let Change { socket, from, to, passed, lasted } = change;
    let passed: Vec<&str> = passed.iter().map(|state| state.name()).collect();
    json!({
        "kind": "change",
        "at_ms": when,
        "from": from.name(),
        "to": to.name(),
        "passed": passed,
        "from_lasted_ms": lasted.map(InState::time).map(millis),
        "from_lasted_longer": lasted.map(|lasted| matches!(lasted, InState::AtLeast(_))),
        "socket": json::Socket::from(socket),
    })
}

fn write(line: &Value, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

fn since(begun: Instant, at: Instant) -> u64 {
    millis(at.saturating_duration_since(begun))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
