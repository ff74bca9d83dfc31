//! What each command does, from its arguments to its exit code.

pub(crate) mod list;
pub(crate) mod pool;
pub(crate) mod ports;
pub(crate) mod watch;
