//! The changes for programs: one JSON object a line. Every key of a number ends in its unit; times
//! are those since the first look.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use evidence::{Observed, Socket};
use report::json;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use socket_table::{
    AddressPair, Error, SocketChange, SocketLedger, TableLook, TableWatch, TimeInState,
};

use super::pace::LookPace;
use crate::stop::TimeToStop;

/// The version of the layout.
const SCHEMA: u32 = 1;

/// Writes what `watch` sees until `stop` ends it, or nobody reads any more. `asked` is what is
/// watched, as an object.
pub(crate) fn follow(
    mut watch: TableWatch,
    asked: &Value,
    mut pace: LookPace,
    stop: &TimeToStop,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let before = Instant::now();
    let first = watch.look()?;
    pace.looked(before);
    let begun = first.at;
    let opening = json!({
        "kind": "watch", "schema": SCHEMA, "asked": asked, "interval_ms": millis(pace.interval()),
        "begun_unix_ms": millis(now),
    });
    write(&opening, out)?;
    let mut ownerless = OwnerlessSockets::default();
    ownerless.tell(&first, begun, &watch, out)?;
    let mut total = WatchTotal { looks: 1, ..WatchTotal::default() };
    loop {
        out.flush()?;
        let over = stop.wait_until(pace.due());
        if nobody_reads() {
            return Ok(0);
        }
        let before = Instant::now();
        match watch.look() {
            Ok(look) => {
                total.looks += 1;
                total.changes += look.changes.len();
                total.unattributed += look.unattributed;
                ownerless.tell(&look, begun, &watch, out)?;
            }
            // The next look tells, less exactly.
            Err(Error::Unsteady { .. }) => {
                let at = since(begun, Instant::now());
                write(&json!({ "kind": "failed_look", "at_ms": at }), out)?;
            }
            Err(error) => return Err(error.into()),
        }
        pace.looked(before);
        if over {
            let WatchTotal { looks, changes, unattributed } = total;
            let end = json!({
                "kind": "end", "looks": looks, "changes": changes,
                "unattributed_sockets": unattributed,
            });
            write(&end, out)?;
            out.flush()?;
            return Ok(0);
        }
    }
}

/// The sums of a watch.
#[derive(Clone, Copy, Debug, Default)]
struct WatchTotal {
    looks: usize,
    changes: usize,
    unattributed: usize,
}

/// The sockets that were told without the processes that hold them.
#[derive(Debug, Default)]
struct OwnerlessSockets(HashMap<AddressPair, Socket>);

impl OwnerlessSockets {
    /// Tells what a look has shown, and who holds what was told before, where that is known now.
    fn tell(
        &mut self,
        look: &TableLook,
        begun: Instant,
        watch: &TableWatch,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let ledger = watch.ledger();
        let (known, gone) = self.known(ledger);
        for socket in &known {
            let line = json!({
                "kind": "owners", "at_ms": since(begun, look.at), "socket": told(socket),
            });
            write(&line, out)?;
        }
        for place in known.iter().map(AddressPair::of).chain(gone) {
            self.0.remove(&place);
        }
        for socket in &look.found {
            let line = json!({
                "kind": "found", "at_ms": since(begun, look.at), "socket": told(socket),
            });
            write(&line, out)?;
            self.take_note(socket);
        }
        let when = json!({
            "min": look.since.map_or(0, |since| self::since(begun, since)),
            "max": since(begun, look.at),
        });
        for change in &look.changes {
            write(&line(change, &when), out)?;
            self.take_note(&change.socket);
        }
        Ok(())
    }

    fn take_note(&mut self, socket: &Socket) {
        if !has_owners(socket) {
            self.0.insert(AddressPair::of(socket), socket.clone());
        }
    }

    /// Those whose owners are known by now, and the places of those that are gone.
    fn known(&self, ledger: &SocketLedger) -> (Vec<Socket>, Vec<AddressPair>) {
        let (mut known, mut gone) = (vec![], vec![]);
        for (place, socket) in &self.0 {
            match ledger.latest(socket).filter(|latest| latest.cookie == socket.cookie) {
                Some(latest) if has_owners(latest) => known.push(latest.clone()),
                Some(_) => {}
                None => gone.push(*place),
            }
        }
        known.sort_by_key(AddressPair::of);
        (known, gone)
    }
}

fn has_owners(socket: &Socket) -> bool {
    matches!(&socket.owners, Observed::Known(owners) if !owners.is_empty())
}

fn line(change: &SocketChange, when: &Value) -> Value {
    let SocketChange { socket, from, to, passed, lasted } = change;
    let passed: Vec<&str> = passed.iter().map(|state| state.name()).collect();
    json!({
        "kind": "change",
        "at_ms": when,
        "from": from.name(),
        "to": to.name(),
        "passed": passed,
        "from_lasted_ms": lasted.map(|TimeInState { least, most }| {
            json!({ "min": millis(least), "max": most.map(millis) })
        }),
        "socket": told(socket),
    })
}

/// `null` for owners that no look has seen: nobody may hold it, or nobody has looked yet.
fn told(socket: &Socket) -> json::SocketRow {
    let told = json::SocketRow::from(socket);
    json::SocketRow { owners: told.owners.filter(|owners| !owners.is_empty()), ..told }
}

/// Returns true if whoever read from the other end of stdout is gone. While nothing changes,
/// nothing is written that would tell.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let told = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    told.is_ok() && asked.iter().any(|it| it.revents().contains(PollFlags::ERR))
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
