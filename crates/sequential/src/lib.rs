//! One request after another: is the connection used again?

pub mod cli;

use std::io;

use apparatus::Apparatus;
use evidence::Exchange;
use program::Interrupt;

/// Carries out the run's exchanges one after the other, with its interval between them, and tells
/// of each as it ends. Returns whether the run was interrupted.
///
/// # Errors
/// If there is no server to talk to, or `tell` fails.
pub async fn run(
    apparatus: &Apparatus,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Exchange) -> io::Result<()>,
) -> anyhow::Result<bool> {
    let requests = apparatus.setup().requests;
    for number in 1..=requests {
        let Some(exchange) = interrupt.or(apparatus.exchange()).await else { return Ok(true) };
        tell(&exchange?)?;
        if number < requests && interrupt.or(apparatus.pause()).await.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
