//! `socket-inspector watch`: the table as it changes.

use crate::cli::Watch;

/// Shows what is asked for until somebody has seen enough.
#[cfg(target_os = "linux")]
pub(crate) fn run(asked: &Watch) -> anyhow::Result<u8> {
    use anyhow::Context as _;

    use crate::cli::Stream;
    use crate::live;
    use crate::stop::Stop;

    let (filter, narrow) = (asked.which.filter(), asked.which.narrow());
    let about = format!("{filter}{narrow}");
    let watch = socket_inspector::Watch::new(filter).with_owners().narrowed(narrow);
    let stop = Stop::new(asked.time).context("cannot listen for Ctrl-C")?;
    match asked.format {
        Stream::Screen => live::show(watch, about, asked.interval, &stop),
        Stream::Jsonl => {
            let mut out = std::io::BufWriter::new(anstream::stdout());
            live::follow(watch, &about, asked.interval, &stop, &mut out)
        }
    }
}

/// Only Linux tells its table fast enough.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &Watch) -> anyhow::Result<u8> {
    super::needs_linux("watch", "timers and queues")?;
    Ok(2)
}
