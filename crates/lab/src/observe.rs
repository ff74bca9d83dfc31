//! `lab observe`: any program, its TCP connections, and what they show.
//!
//! | idea | file |
//! |---|---|
//! | what can be typed | `observe/args.rs` |
//! | from the command line to the report | `observe/run.rs` |
//! | what is expected, and whether it holds | `observe/expect.rs` |
//! | the lab's own server on another host | `observe/serve.rs` |
//! | the way out: connections relayed to the real network | `observe/relay.rs` |
//! | name servers at loopback addresses | `observe/near_names.rs` |
//! | keys of TLS that programs tell, for the file of packets | `observe/keys.rs` |
//! | the observation as the outcome of a run, beside which packets are shown | `observe/outcome.rs` |
//! | what is told without a private network | `observe/with_less.rs` |
//! | the report for people | `observe/text.rs` |
//! | the report for programs | `observe/json.rs` |
//! | the report for a CI system | `observe/junit.rs` |
//!
//! All but what can be typed is for Linux alone.

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "what is typed is refused there"))]
mod args;
#[cfg(target_os = "linux")]
mod expect;
#[cfg(target_os = "linux")]
mod json;
#[cfg(target_os = "linux")]
mod junit;
#[cfg(target_os = "linux")]
mod keys;
#[cfg(target_os = "linux")]
mod near_names;
#[cfg(target_os = "linux")]
mod outcome;
#[cfg(target_os = "linux")]
mod relay;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod text;
#[cfg(target_os = "linux")]
mod with_less;

use std::io::Write;

pub(crate) use args::Observe;
#[cfg(target_os = "linux")]
use args::{ObserveFormat, ServeArgs};
#[cfg(target_os = "linux")]
pub(crate) use relay::{OUTSIDE, main as outside};
#[cfg(target_os = "linux")]
use run::{ObserveReport, code_of, run};
#[cfg(target_os = "linux")]
pub(crate) use run::{TRY, try_network};

/// The lab itself failed: what `env`, `timeout` and `docker run` use for it.
pub(crate) const LAB_FAILED: u8 = 125;

/// Carries out `lab observe`, and returns the exit code. It is the program's, if nothing is wrong, so
/// that errors are told here.
pub(crate) fn main(asked: &Observe) -> u8 {
    match run(asked) {
        Ok(code) => code,
        Err(error) => {
            let told = crate::harmless(anyhow::Error::msg(format!("{error:#}")));
            // If not even this can be written, the exit code has to say it.
            let _ = writeln!(anstream::stderr(), "lab: {told}");
            let refused = |it: &netlab::Error| {
                matches!(it, netlab::Error::Refused(_) | netlab::Error::NoCable(_))
            };
            if error.downcast_ref().is_some_and(refused) {
                let doctor = program::call("lab", "doctor");
                let _ = writeln!(
                    anstream::stderr(),
                    "lab: {doctor} tells what works here, and what not"
                );
            }
            code_of(&error)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn code_of(_: &anyhow::Error) -> u8 {
    LAB_FAILED
}

#[cfg(not(target_os = "linux"))]
fn run(_: &Observe) -> anyhow::Result<u8> {
    anyhow::bail!("programs are observed on Linux only")
}
