//! From what was typed to what is shown.

use anyhow::Context as _;
use rustix::process::geteuid;
use serde_json::json;

use super::app::WatchApp;
use super::pace::LookPace;
use super::{jsonl, terminal};
use crate::access::{elsewhere, may_look_into, warn};
use crate::stop::{ParentTie, TimeToStop};
use crate::watch::args::{WatchArgs, WatchFormat};

/// Shows what is asked for until somebody has seen enough.
pub(crate) fn run(asked: &WatchArgs) -> anyhow::Result<u8> {
    let (filter, sieve) = (asked.which.filter(), asked.which.sieve());
    sieve.pids.iter().try_for_each(|pid| may_look_into(*pid, "watch"))?;
    let about = format!("{filter}{sieve}");
    // Who may not look into others' processes is told so once; on the screen there is little room.
    let is_root = geteuid().is_root();
    let note = (!is_root).then_some("others' owners unseen");
    let elsewhere = elsewhere(&sieve.processes, "watch");
    // Before the screen is taken: there it stands again when the watch is over.
    warn(elsewhere.as_deref());
    let notes = [note, elsewhere.as_ref().map(|_| "of that name in another network, too")];
    let note = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let not_seen = (!is_root).then_some("who holds other users' sockets, which root alone sees");
    let asked_for = json!({
        "ports": filter.ports, "pids": sieve.pids, "processes": sieve.processes,
        "peers": sieve.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "side": sieve.side.map(evidence::Side::name),
        "not_seen": not_seen, "elsewhere": elsewhere,
    });
    let is_one_sided = sieve.side.is_some();
    let watch = socket_table::TableWatch::new(filter).with_owners().narrowed(sieve);
    let stop =
        TimeToStop::new(asked.time, ParentTie::IsNothing).context("cannot listen for Ctrl-C")?;
    let pace = LookPace::new(asked.interval);
    match asked.format {
        WatchFormat::Screen => terminal::show(watch, pace, &stop, |begun| {
            let mut app = WatchApp::new(about, pace.interval(), begun);
            (app.note, app.is_one_sided) = (note, is_one_sided);
            app
        }),
        WatchFormat::Jsonl => {
            let mut out = std::io::BufWriter::new(anstream::stdout());
            jsonl::follow(watch, &asked_for, pace, &stop, &mut out)
        }
    }
}
