//! `socket-inspector trace`: every change of a TCP socket's state as it happens.
//!
//! On systems other than Linux it is refused.

pub(crate) mod args;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(all(fuzzing, target_os = "linux"))]
pub use linux::fuzzed;
#[cfg(target_os = "linux")]
pub(crate) use linux::{run, watchdog};

/// Refuses: only Linux tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &args::TraceArgs, _: &mut impl std::io::Write) -> anyhow::Result<u8> {
    anyhow::bail!("trace needs Linux: other systems do not tell how their sockets change")
}

/// Refuses: only Linux has something to watch over.
#[cfg(not(target_os = "linux"))]
pub(crate) fn watchdog(_: &str) -> anyhow::Result<u8> {
    anyhow::bail!("trace needs Linux")
}
