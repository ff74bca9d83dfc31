//! The habits that all programs of the lab share.
//!
//! | idea | file |
//! |---|---|
//! | exit codes, and the one place where an error is printed | `exit.rs` |
//! | Ctrl-C and its relatives, as something to wait for | `signals.rs` |
//! | Ctrl-C ends a run early, and what was observed is still shown | `interrupt.rs` |
//! | how times and limits are typed | `args.rs` |
//! | how a command is typed: through cargo, or by its name alone | `call.rs` |
//! | the runtime on which a program does its work | `runtime.rs` |
//! | the bar that stands for long work (cargo feature `progress`) | `progress.rs` |

pub mod args;
mod call;
pub mod exit;
mod interrupt;
#[cfg(feature = "progress")]
pub mod progress;
mod runtime;
mod signals;

pub use call::{call, call_words, examples_of};
pub use interrupt::Interrupt;
pub use runtime::{block_on, enough_descriptors};
pub use signals::{Signals, StopSignal};
