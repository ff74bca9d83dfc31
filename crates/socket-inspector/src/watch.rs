//! `socket-inspector watch`: the table as it changes, in a terminal or as a stream of JSON.
//!
//! On systems other than Linux it is refused.

pub(crate) mod args;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::run;

/// Refuses: only Linux tells its table fast enough.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &args::WatchArgs) -> anyhow::Result<u8> {
    anyhow::bail!("watch needs Linux: other systems do not tell timers and queues")
}
