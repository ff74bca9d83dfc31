//! `socket-inspector watch`: the table as it changes.

use crate::cli::Watch;

/// Shows what is asked for until somebody has seen enough.
#[cfg(target_os = "linux")]
pub(crate) fn run(asked: &Watch) -> anyhow::Result<u8> {
    use anyhow::Context as _;
    use rustix::process::geteuid;
    use serde_json::json;

    use crate::cli::Stream;
    use crate::live::{self, App, Pace};
    use crate::stop::{Parent, Stop};

    let (filter, narrow) = (asked.which.filter(), asked.which.narrow());
    narrow.pids.iter().try_for_each(|pid| super::may_look_into(*pid))?;
    let about = format!("{filter}{narrow}");
    // Who may not look into others' processes is told so once; on the screen there is little room.
    let is_root = geteuid().is_root();
    let note = (!is_root).then_some("others' owners unseen");
    let not_seen = (!is_root).then_some("who holds other users' sockets, which root alone sees");
    let asked_for = json!({
        "ports": filter.ports, "pids": narrow.pids, "processes": narrow.processes,
        "peers": narrow.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "side": narrow.side.map(evidence::Side::name),
        "not_seen": not_seen,
    });
    let is_one_sided = narrow.side.is_some();
    let watch = socket_inspector::Watch::new(filter).with_owners().narrowed(narrow);
    let stop = Stop::new(asked.time, Parent::IsNothing).context("cannot listen for Ctrl-C")?;
    let pace = Pace::new(asked.interval);
    match asked.format {
        Stream::Screen => live::show(watch, pace, &stop, |begun| {
            let mut app = App::new(about, pace.interval(), begun);
            (app.note, app.is_one_sided) = (note, is_one_sided);
            app
        }),
        Stream::Jsonl => {
            let mut out = std::io::BufWriter::new(anstream::stdout());
            live::follow(watch, &asked_for, pace, &stop, &mut out)
        }
    }
}

/// Only Linux tells its table fast enough.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &Watch) -> anyhow::Result<u8> {
    super::needs_linux("watch", "timers and queues")?;
    Ok(2)
}
