//! The terminal: taken, drawn on, given back as it was.

use std::io::{self, IsTerminal as _};
use std::mem::ManuallyDrop;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use socket_table::{Error, TableWatch};

use super::app::{KeyRequest, WatchApp};
use super::pace::LookPace;
use super::screen;
use crate::stop::TimeToStop;

/// As long at most it takes to notice a signal.
const PATIENCE: Duration = Duration::from_millis(100);

/// The terminal while it is drawn on. Dropped, it is as it was: also after an error. A panic gives
/// it back by itself.
///
/// The inner terminal is never dropped: when it is, it tells on stderr that the cursor cannot be
/// shown, which is a panic where stderr is the terminal that is gone.
struct ScreenGuard(ManuallyDrop<DefaultTerminal>);

impl ScreenGuard {
    fn take() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(ManuallyDrop::new(terminal))),
            Err(error) => {
                let _ = ratatui::try_restore(); // it may have been taken half
                Err(error)
            }
        }
    }
}

impl Drop for ScreenGuard {
    fn drop(&mut self) {
        // A terminal that is gone cannot be given back, and nobody can be told.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Reads keys on a thread of its own, which may hang: if the terminal is closed, the reading never
/// ends and never tells.
fn keys() -> io::Result<Receiver<io::Result<Event>>> {
    let (sender, events) = channel();
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || while sender.send(event::read()).is_ok() {})?;
    Ok(events)
}

/// Shows what `watch` sees until a key or `stop` ends it.
pub(crate) fn show(
    mut watch: TableWatch,
    mut pace: LookPace,
    stop: &TimeToStop,
    app: impl FnOnce(Instant) -> WatchApp,
) -> anyhow::Result<u8> {
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "stdout is no terminal to draw on; `--format jsonl` writes the changes instead"
    );
    let begun = Instant::now();
    let first = watch.look()?; // what cannot be watched is told on the terminal as it was
    pace.looked(begun);
    let mut app = app(first.at);
    app.take_in(&first, watch.ledger());
    let mut screen = ScreenGuard::take().context("cannot take the terminal")?;
    let events = keys().context("cannot read the terminal")?;
    let mut changed = true;
    while !stop.is_due() {
        if changed {
            let draw = |frame: &mut ratatui::Frame| screen::draw(&mut app, watch.ledger(), frame);
            screen.0.draw(draw).context("cannot draw on the terminal")?;
        }
        changed = true;
        match events.recv_timeout(pace.left().min(PATIENCE)) {
            Ok(event) => {
                let event = event.context("cannot read the terminal")?;
                if let Event::Key(key) = event
                    && key.kind != KeyEventKind::Release
                    && app.press(key, watch.ledger()) == KeyRequest::Quit
                {
                    break;
                }
                continue; // or another size: it is drawn anew
            }
            Err(RecvTimeoutError::Timeout) => changed = false,
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("cannot read the terminal"),
        }
        if pace.is_due() {
            let begun = Instant::now();
            if !app.is_paused {
                match watch.look() {
                    Ok(look) => app.take_in(&look, watch.ledger()),
                    Err(Error::Unsteady { .. }) => app.failed_looks += 1,
                    Err(error) => return Err(error.into()),
                }
                changed = true;
            }
            pace.looked(begun);
        }
    }
    Ok(0)
}
