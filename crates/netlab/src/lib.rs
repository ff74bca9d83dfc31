//! A private network in which one experiment runs, made without root.
//!
//! So far: what the kernel counts in the network this process is in.

mod counters;
mod error;

pub use counters::Counters;
pub use error::Error;
