//! How many files, and so sockets, the system lets this process open.

/// Standard streams, the runtime's own, the server's listener and some to spare.
pub(crate) const OTHERS: u64 = 32;

/// Raises the limit on open files as far as an ordinary user may, as Go's runtime does at start,
/// and returns it; `None` where there is no such limit.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Some systems refuse a limit that they have announced; the old one still holds.
        Err(_) => limit.current,
    }
}

/// There is no such limit.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}
