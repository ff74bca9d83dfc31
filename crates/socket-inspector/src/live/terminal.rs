//! The terminal: taken, drawn on, given back as it was.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use socket_inspector::{Error, Watch};

use super::app::{App, Asked};
use super::screen;
use crate::stop::Stop;

/// As long at most it takes to notice a signal.
const PATIENCE: Duration = Duration::from_millis(100);

/// The terminal while it is drawn on. Dropped, it is as it was: also after an error. A panic gives
/// it back by itself.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                ratatui::restore(); // it may have been taken half
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        ratatui::restore();
    }
}

/// Shows what `watch` sees until a key or `stop` ends it.
pub(crate) fn show(
    mut watch: Watch,
    about: String,
    interval: Duration,
    stop: &Stop,
) -> anyhow::Result<u8> {
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "stdout is no terminal to draw on; `--format jsonl` writes the changes instead"
    );
    let first = watch.look()?; // what cannot be watched is told on the terminal as it was
    let mut app = App::new(about, interval, first.at);
    app.take_in(&first, watch.ledger());
    let mut screen = Screen::take().context("cannot take the terminal")?;
    let mut due = first.at + interval;
    let mut changed = true;
    while !stop.is_due() {
        if changed {
            let draw = |frame: &mut ratatui::Frame| screen::draw(&mut app, watch.ledger(), frame);
            screen.0.draw(draw).context("cannot draw on the terminal")?;
        }
        let wait = due.saturating_duration_since(Instant::now()).min(PATIENCE);
        changed = event::poll(wait).context("cannot read the terminal")?;
        if changed {
            let event = event::read().context("cannot read the terminal")?;
            if let Event::Key(key) = event
                && key.kind != KeyEventKind::Release
                && app.press(key, watch.ledger()) == Asked::Quit
            {
                break;
            }
        }
        if Instant::now() >= due {
            due = Instant::now() + interval;
            if !app.is_paused {
                match watch.look() {
                    Ok(look) => app.take_in(&look, watch.ledger()),
                    Err(Error::Unsteady { .. }) => app.failed_looks += 1,
                    Err(error) => return Err(error.into()),
                }
                changed = true;
            }
        }
    }
    Ok(0)
}
