//! Many workers at once: does the idle pool hold their connections?

pub mod cli;

use std::cell::RefCell;
use std::io;

use apparatus::Apparatus;
use evidence::Exchange;
use futures_util::future::try_join_all;
use program::Interrupt;

/// Lets every worker carry out its exchanges, with the run's interval between them, and tells of
/// each as it ends. Returns whether the run was interrupted.
///
/// # Errors
/// If there is no server to talk to, or `tell` fails.
pub async fn run(
    apparatus: &Apparatus,
    interrupt: &Interrupt,
    tell: impl FnMut(&Exchange) -> io::Result<()>,
) -> anyhow::Result<bool> {
    let tell = RefCell::new(tell);
    let workers = (0..apparatus.setup().workers).map(|_| worker(apparatus, &tell));
    match interrupt.or(try_join_all(workers)).await {
        Some(done) => done.map(|_| false),
        None => Ok(true),
    }
}

async fn worker(
    apparatus: &Apparatus,
    tell: &RefCell<impl FnMut(&Exchange) -> io::Result<()>>,
) -> anyhow::Result<()> {
    let requests = apparatus.setup().requests;
    for number in 1..=requests {
        let exchange = apparatus.exchange().await?;
        (tell.borrow_mut())(&exchange)?;
        if number < requests {
            apparatus.pause().await;
        }
    }
    Ok(())
}
