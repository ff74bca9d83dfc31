//! One end of a connection as columns: its state, what waits in its queues, its timer.

use evidence::{Observed, Socket};

use crate::columns::Cell;
use crate::words::{self, FAINT, STRIKING};

/// The number of cells that tell of one end of a connection.
pub const CELLS: usize = 4;

/// Returns the header of [`row`], under `state` as the title of its first cell.
#[must_use]
pub fn header(state: &str) -> [Cell; CELLS] {
    let title = |title| Cell::new(title).styled(FAINT);
    [title(state), title("UNREAD").right(), title("UNACKED").right(), title("TIMER")]
}

/// Returns the cells of one end. A queue in which nothing waits, and a timer that does not run,
/// leave theirs empty.
#[must_use]
pub fn row(end: &Socket) -> [Cell; CELLS] {
    [
        Cell::new(end.state.name()).styled(words::state_style(end.state)),
        queue(end.unread()).styled(STRIKING),
        queue(end.send_queue),
        timer(end),
    ]
}

/// Returns the length of a queue; an empty cell if nothing waits in it, or nobody tells.
#[must_use]
pub fn queue(length: Observed<u32>) -> Cell {
    match length {
        Observed::Known(0) | Observed::NotObservable => Cell::empty(),
        Observed::Known(length) => Cell::number(length.into()),
    }
}

fn timer(socket: &Socket) -> Cell {
    match socket.timer {
        Observed::Known(Some(timer)) => Cell::new(words::timer(timer)).styled(FAINT),
        Observed::Known(None) | Observed::NotObservable => Cell::empty(),
    }
}
