//! How wide a page may be.

use std::io::{self, IsTerminal};

/// Narrower, no table can be read.
const NARROWEST: usize = 40;

/// Returns how many columns the terminal has that results go to: `COLUMNS`, if somebody has exported
/// it, or else what the terminal says. `None` where they go to a file or a pipe: what is kept there
/// does not hang on the window that it was made in.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let told = || terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
    // A terminal of no width has not been told its size.
    asked.or_else(told).filter(|columns| *columns > 0).map(|columns| columns.max(NARROWEST))
}
