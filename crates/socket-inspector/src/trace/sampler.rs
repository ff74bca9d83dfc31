//! Sampling itself: reads the table again and again.

use std::io::Write;
use std::time::Duration;

use socket_inspector::{Error, Filter, snapshot};

use super::clock::now;
use super::sampling::Samples;
use super::teller::{Teller, Witness};
use crate::stop::Stop;

/// The least time between two readings.
const PAUSE: Duration = Duration::from_millis(1);

/// Tells what changes from one reading to the next until it is over.
pub(crate) fn follow<W: Write>(
    ports: &[u16],
    instead: Option<String>,
    stop: &Stop,
    mut teller: Teller<'_, W>,
) -> anyhow::Result<u8> {
    let filter = Filter { ports: ports.to_vec(), ..Filter::default() };
    let first = snapshot(&filter)?;
    let known = now();
    for socket in &first.sockets {
        teller.story.seed(socket, known);
    }
    let mut samples = Samples::new(&first.sockets, known);
    teller.witness(&Witness::Sampling { instead })?;
    loop {
        let over = stop.is_due();
        let begun = now();
        match snapshot(&filter) {
            Ok(table) => {
                for change in samples.next(&table.sockets, now()) {
                    teller.story.change(change);
                }
            }
            Err(Error::Unsteady { .. }) => {} // the next reading tells, less exactly
            Err(error) => return Err(error.into()),
        }
        teller.tell()?;
        if over {
            teller.end(None)?;
            return Ok(0);
        }
        // A long table is read less often: half of a processor is enough.
        stop.sleep(PAUSE.max(now().saturating_sub(begun)));
    }
}
