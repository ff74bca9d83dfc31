//! The picture: a tally over time, a row a connection, the past of one of them, the keys.

use std::collections::VecDeque;
use std::time::Duration;

use evidence::{Observed, Owner, Socket, TcpState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState};
use report::words;
use socket_inspector::{InState, Ledger};

use super::app::{App, unchanged_for};
use super::connections::{Connection, End};

/// At most so many states have a line of bars.
const MOST_TALLIES: usize = 6;
/// At most so many bars are shown: `TIME_WAIT` lasts for 60 of them.
const MOST_BARS: usize = 60;
/// The width of a row beside its addresses: two states, a time, bytes, and the gaps between.
const BESIDE: u16 = 11 + 11 + 12 + 7 + 5 * GAP;
const GAP: u16 = 2;
/// From this width on a row tells who holds the connection, too.
const WIDE: u16 = 100;
const ARROW: &str = "→";

/// Draws everything, and tells the application how many rows its list has room for.
pub(crate) fn draw(app: &mut App, ledger: &Ledger, frame: &mut Frame) {
    let states = app.tallies.states(MOST_TALLIES.min(usize::from(frame.area().height) / 4));
    let tallies = u16::try_from(states.len().max(1)).unwrap_or(1);
    let [title, _, tally, _, list, _, past, _, status] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(tallies),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    app.room = usize::from(list.height.saturating_sub(1));

    frame.render_widget(heading(app, title.width), title);
    frame.render_widget(tally_lines(app, &states, tally.width), tally);
    draw_list(app, ledger, list, frame);
    frame.render_widget(told(app, ledger, past.width), past);
    frame.render_widget(Paragraph::new(vec![counts(app), keys(app)]), status);
    if app.is_typing {
        let typed = u16::try_from(app.typed.chars().count()).unwrap_or(u16::MAX);
        let column = status.x.saturating_add(1).saturating_add(typed);
        frame.set_cursor_position((
            column.min(status.right().saturating_sub(1)),
            status.bottom().saturating_sub(1),
        ));
    }
}

fn heading(app: &App, width: u16) -> Line<'static> {
    let time = app.now.saturating_duration_since(app.begun);
    let right =
        if app.is_paused { "paused".to_owned() } else { format!("{:.0} s", time.as_secs_f64()) };
    let every = words::span(app.interval);
    let left = format!("TCP sockets {}, every {every}", words::printable(&app.about));
    let room = usize::from(width).saturating_sub(right.chars().count() + 1);
    let left: String = left.chars().take(room).collect();
    let gap =
        " ".repeat(usize::from(width).saturating_sub(left.chars().count() + right.chars().count()));
    let right = if app.is_paused { right.yellow().bold() } else { right.dim() };
    Line::from(vec![left.bold(), gap.into(), right])
}

/// A line a state: how many now, the most so far, and how it came to that.
fn tally_lines(app: &App, states: &[TcpState], width: u16) -> Paragraph<'static> {
    if states.is_empty() {
        return Paragraph::new("no connection yet".dim());
    }
    let digits =
        states.iter().map(|state| app.tallies.most(*state).to_string().len()).max().unwrap_or(1);
    let line = |state: &TcpState| {
        let (now, most) = (app.tallies.now(*state), app.tallies.most(*state));
        let left = format!("{:<11}  {now:>digits$}", state.name());
        let most = format!("  most {most:>digits$}  ");
        let room = usize::from(width).saturating_sub(left.len() + most.len()).min(MOST_BARS);
        let bars = bars(&app.tallies.bars(*state, room), app.tallies.most(*state));
        Line::from(vec![
            Span::styled(left, style(*state)),
            most.dim(),
            Span::styled(bars, style(*state)),
        ])
    };
    Paragraph::new(states.iter().map(line).collect::<Vec<_>>())
}

/// One character a bar, of eight heights; nothing is a space, and anything is more than that.
fn bars(heights: &[u64], most: u64) -> String {
    let levels = [
        bar::ONE_EIGHTH,
        bar::ONE_QUARTER,
        bar::THREE_EIGHTHS,
        bar::HALF,
        bar::FIVE_EIGHTHS,
        bar::THREE_QUARTERS,
        bar::SEVEN_EIGHTHS,
        bar::FULL,
    ];
    let level = |height: &u64| {
        let eighths = height.saturating_mul(8).div_ceil(most.max(1));
        let place = usize::try_from(eighths).ok()?.checked_sub(1)?;
        levels.get(place.min(7)).copied()
    };
    heights.iter().map(|height| level(height).unwrap_or(" ")).collect()
}

fn draw_list(app: &App, ledger: &Ledger, area: Rect, frame: &mut Frame) {
    let room = app.room;
    let selected = app.selected();
    let first = selected.map_or(0, |at| (at + 1).saturating_sub(room));
    let visible: Vec<&Connection> = app
        .shown()
        .skip(first)
        .take(room)
        .filter_map(|number| app.connections.get(*number))
        .collect();

    let is_wide = area.width >= WIDE;
    let beside = if is_wide { BESIDE + GAP + (area.width - WIDE).clamp(20, 40) } else { BESIDE };
    let widths = fitting(
        [0, 1].map(|end| {
            visible.iter().map(|it| it.ends()[end].0.chars().count()).max().unwrap_or(0).max(6)
        }),
        usize::from(area.width.saturating_sub(beside)),
    );
    let rows = visible.iter().map(|it| row(it, app, ledger, widths));
    let title = ["CLIENT", "SERVER", "CLIENT IS", "SERVER IS", "FOR", "UNREAD", "HELD BY"];
    let fixed = [widths[0], widths[1], 11, 11, 12, 7];
    let columns = fixed.iter().map(|width| u16::try_from(*width).unwrap_or(u16::MAX));
    let held_by = is_wide.then_some(Constraint::Min(0));
    let table = Table::new(rows, columns.map(Constraint::Length).chain(held_by))
        .column_spacing(GAP)
        .header(Row::new(title).style(Style::new().dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(selected.map(|at| at - first));
    frame.render_stateful_widget(table, area, &mut state);
}

/// The widths for two addresses that want `wanted` and have `room` together: each no less than half
/// of it, if it wants as much.
fn fitting([one, other]: [usize; 2], room: usize) -> [usize; 2] {
    let half = room / 2;
    if one + other <= room {
        [one, other]
    } else if one <= half {
        [one, room - one]
    } else if other <= half {
        [room - other, other]
    } else {
        [half, half]
    }
}

fn row(connection: &Connection, app: &App, ledger: &Ledger, widths: [usize; 2]) -> Row<'static> {
    let [(client, client_end), (server, server_end)] = connection.ends();
    let over = connection.over().is_some();
    let state = |end: Option<&End>| match end.map(End::state) {
        None => Span::raw(""),
        Some(TcpState::Closed) => "gone".dim(),
        Some(state) => Span::styled(state.name(), style(state)),
    };
    let unread: Vec<String> = connection
        .seen()
        .filter(|end| end.gone.is_none())
        .filter_map(|end| match ledger.latest(&end.socket)?.recv_queue {
            Observed::Known(bytes @ 1..) => Some(bytes.to_string()),
            _ => None,
        })
        .collect();
    let cells = [
        Span::raw(words::shortened(client, widths[0])),
        Span::raw(words::shortened(server, widths[1])),
        state(client_end),
        state(server_end),
        Span::raw(lasting(connection, app, ledger)),
        unread.join(", ").yellow().bold(),
        Span::raw(words::owners(&owners(connection))),
    ];
    let row = Row::new(cells);
    if over { row.dim() } else { row }
}

/// How long it has been as it is, or how long it will be.
fn lasting(connection: &Connection, app: &App, ledger: &Ledger) -> String {
    let there = || connection.seen().filter(|end| end.gone.is_none());
    if let Some(left) = there().find_map(|end| left(ledger.latest(&end.socket)?)) {
        return format!("{} left", seconds(left));
    }
    let time = seconds(unchanged_for(connection, ledger, app.now));
    if connection.over().is_some() {
        return format!("{time} ago");
    }
    let first_look =
        |end: &End| matches!(ledger.in_state(&end.socket, app.now), Some(InState::AtLeast(_)));
    if there().all(first_look) { format!("≥ {time}") } else { time }
}

/// What is left of `TIME_WAIT`.
fn left(socket: &Socket) -> Option<Duration> {
    let timer = socket.timer.known().flatten().filter(|_| socket.state == TcpState::TimeWait);
    timer.map(|timer| timer.left)
}

/// The processes at its two ends, which may be one.
fn owners(connection: &Connection) -> Vec<Owner> {
    let mut owners: Vec<Owner> = connection.owners().cloned().collect();
    owners.dedup();
    owners
}

/// The past of the connection that is looked at closely.
fn told(app: &App, ledger: &Ledger, columns: u16) -> Paragraph<'static> {
    let Some(connection) = app.told() else { return Paragraph::new("") };
    let [(client, client_end), (server, server_end)] = connection.ends();
    let between = if connection.sides_known() { ARROW } else { "↔" };
    let number = format!("#{}  ", connection.number);
    let room = usize::from(columns).saturating_sub(number.len() + 3);
    let [one, other] = fitting([client.chars().count(), server.chars().count()], room);
    let (client, server) = (words::shortened(client, one), words::shortened(server, other));
    let title = format!("{number}{client} {between} {server}");
    let names =
        if connection.sides_known() { ["client", "server"] } else { ["one end", "other end"] };
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let room = usize::from(columns).saturating_sub(width + 4);
    let end = |name: &str, end: Option<&End>| {
        let mut line = vec![format!("  {name:<width$}  ").dim()];
        match end {
            None => {
                line.push("not seen: elsewhere, or shorter than the time between two looks".dim());
            }
            Some(end) => line.extend(life(end, app, ledger, room)),
        }
        Line::from(line)
    };
    Paragraph::new(vec![
        Line::from(title.bold()),
        end(names[0], client_end),
        end(names[1], server_end),
    ])
}

/// `curl (4711)  ESTABLISHED 2.1 s → FIN_WAIT_2 0.1 s → TIME_WAIT 2.7 s, 57.3 s left`, within
/// `room` columns: of a longer life the latest.
fn life(end: &End, app: &App, ledger: &Ledger, room: usize) -> Vec<Span<'static>> {
    let owners = match &end.socket.owners {
        Observed::Known(owners) => words::owners(owners),
        Observed::NotObservable => words::UNSEEN.to_owned(),
    };
    let owners = if owners.is_empty() { vec![] } else { vec![Span::raw(owners + "  ")] };
    let mut steps: VecDeque<Vec<Span<'static>>> = VecDeque::new();
    for (state, lasted) in &end.past {
        let lasted = format!(" {} {ARROW} ", in_state(*lasted));
        steps.push_back(vec![Span::styled(state.name(), style(*state)), lasted.into()]);
    }
    steps.push_back(present(end, app, ledger));

    let width = |spans: &[Span]| spans.iter().map(Span::width).sum::<usize>();
    let all = |steps: &VecDeque<Vec<Span>>| steps.iter().map(|step| width(step)).sum::<usize>();
    let mut cut = vec![];
    while steps.len() > 1 && width(&owners) + width(&cut) + all(&steps) > room {
        steps.pop_front();
        cut = vec![format!("… {ARROW} ").dim()];
    }
    owners.into_iter().chain(cut).chain(steps.into_iter().flatten()).collect()
}

/// What an end is at: its state, for how long and for how long yet, and what waits in its queues.
fn present(end: &End, app: &App, ledger: &Ledger) -> Vec<Span<'static>> {
    if let Some(gone) = end.gone {
        let ago = seconds(app.now.saturating_duration_since(gone));
        return vec![format!("gone {ago} ago").dim()];
    }
    let mut line = vec![Span::styled(end.socket.state.name(), style(end.socket.state))];
    if let Some(lasting) = ledger.in_state(&end.socket, app.now) {
        line.push(format!(" {}", in_state(lasting)).into());
    }
    let Some(latest) = ledger.latest(&end.socket) else { return line };
    if let Some(left) = left(latest) {
        line.push(format!(", {} left", seconds(left)).into());
    }
    let queue = |queue: Observed<u32>| queue.known().filter(|bytes| *bytes > 0);
    if let Some(unread) = queue(latest.recv_queue) {
        line.push(format!(", {unread} B unread").yellow().bold());
    }
    if let Some(unacked) = queue(latest.send_queue) {
        line.push(format!(", {unacked} B not acknowledged").into());
    }
    line
}

fn counts(app: &App) -> Line<'static> {
    let (there, over) = app.connections.count();
    let mut text = format!("{there} there, {over} over and kept");
    let forgotten = app.connections.seen().saturating_sub((there + over) as u64);
    if forgotten > 0 {
        text.push_str(&format!(", {forgotten} forgotten"));
    }
    text.push_str(&format!("; {}", app.order.name()));
    if !app.typed.is_empty() {
        text.push_str(&format!("; {} match", app.shown().len()));
    }
    let mut line = vec![Span::raw(text)];
    if app.failed_looks > 0 {
        let looks = words::count(app.failed_looks, "look");
        line.push(format!("; {looks} failed: too much change").yellow());
    }
    Line::from(line)
}

/// What is being typed, or what may be.
fn keys(app: &App) -> Line<'static> {
    if app.is_typing {
        return Line::from(vec!["/".bold(), app.typed.clone().into()]);
    }
    let keys = if app.typed.is_empty() {
        "q quit   / filter   s order   space pause   c forget what is over   ↑ ↓ select".to_owned()
    } else {
        format!("/{}   esc show all   q quit   s order   space pause   ↑ ↓ select", app.typed)
    };
    Line::from(keys.dim())
}

/// `2.1 s`, `≥ 2.1 s`.
fn in_state(time: InState) -> String {
    match time {
        InState::Since(time) => seconds(time),
        InState::AtLeast(time) => format!("≥ {}", seconds(time)),
    }
}

/// `2.1 s`, `57 min`, `3.5 h`: calm, as it changes all the time.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 99.95 => format!("{s:.1} s"),
        s if s < 5940.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The style that every report of this lab has for a state.
fn style(state: TcpState) -> Style {
    words::state_style(state).into()
}

#[cfg(test)]
mod tests;
