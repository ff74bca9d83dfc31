//! The picture: a tally over time, a row a connection, the past of one of them, the keys.

use std::collections::VecDeque;
use std::time::Duration;

use evidence::{Observed, Owner, TcpState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use report::words;
use socket_table::{SocketLedger, TimeInState};

use super::app::{WatchApp, unchanged_for};
use super::connections::{SeenConnection, SeenEnd};
use super::tallies::MOST_BARS;

/// At most so many states have a line of bars.
const MOST_TALLIES: usize = 6;
/// Below this height there is no room for bars, and below the other none for the past.
const ROOM_FOR_BARS: u16 = 10;
const ROOM_FOR_PAST: u16 = 16;
const GAP: usize = 2;
const ARROW: &str = "→";
/// Stands for the time in which nobody looked.
const NO_LOOK: &str = "·";

/// Draws everything, and tells the application how many rows its list has room for.
pub(crate) fn draw(app: &mut WatchApp, ledger: &SocketLedger, frame: &mut Frame) {
    let height = frame.area().height;
    let states = if height < ROOM_FOR_BARS {
        vec![]
    } else {
        app.tallies.states(MOST_TALLIES.min(usize::from(height) / 4))
    };
    let tallies = u16::try_from(states.len().max(1)).unwrap_or(1);
    let gap = |is_roomy: bool| Constraint::Length(u16::from(is_roomy));
    let (bars, past) = (height >= ROOM_FOR_BARS, height >= ROOM_FOR_PAST);
    let [title, _, tally, _, list, _, told_of, _, status] = Layout::vertical([
        Constraint::Length(u16::from(height > 3)),
        gap(past),
        Constraint::Length(if bars { tallies } else { 0 }),
        gap(bars),
        Constraint::Fill(1),
        gap(past),
        Constraint::Length(if past { 3 } else { 0 }),
        gap(past),
        Constraint::Length(if height > 4 { 2 } else { 1 }),
    ])
    .areas(frame.area());
    app.room = usize::from(list.height.saturating_sub(1));

    frame.render_widget(heading(app, title.width.into()), title);
    frame.render_widget(tally_lines(app, &states, tally.width.into()), tally);
    draw_list(app, ledger, list, frame);
    frame.render_widget(told(app, ledger, told_of.width.into()), told_of);
    let (keys, cursor) = keys(app, status.width.into());
    let lines = if status.height > 1 { vec![counts(app), keys] } else { vec![keys] };
    frame.render_widget(Paragraph::new(lines), status);
    if app.is_typing && status.height > 0 {
        let column = status.x.saturating_add(u16::try_from(cursor).unwrap_or(u16::MAX));
        frame.set_cursor_position((column, status.bottom().saturating_sub(1)));
    }
}

fn heading(app: &WatchApp, width: usize) -> Line<'static> {
    let time = app.now.saturating_duration_since(app.begun);
    let right =
        if app.is_paused { "paused".to_owned() } else { format!("{:.0} s", time.as_secs_f64()) };
    let (every, bar) = (words::span(app.pace()), words::span(app.tallies.bar));
    let left = format!("TCP sockets {}, every {every}; {bar} a bar", words::printable(&app.about));
    let left: String = left.chars().take(width.saturating_sub(right.chars().count() + 1)).collect();
    let gap = " ".repeat(width.saturating_sub(left.chars().count() + right.chars().count()));
    let right = if app.is_paused { right.yellow().bold() } else { right.dim() };
    Line::from(vec![left.bold(), gap.into(), right])
}

/// A line a state: how many now, the most so far, and how it came to that.
fn tally_lines(app: &WatchApp, states: &[TcpState], width: usize) -> Paragraph<'static> {
    if states.is_empty() {
        return Paragraph::new("no connection yet".dim());
    }
    let digits =
        states.iter().map(|state| app.tallies.most(*state).to_string().len()).max().unwrap_or(1);
    let line = |state: &TcpState| {
        let (now, most) = (app.tallies.now(*state), app.tallies.most(*state));
        let left = format!("{:<11}  {now:>digits$}", state.name());
        let middle = format!("  most {most:>digits$}  ");
        let room = width.saturating_sub(left.len() + middle.len()).min(MOST_BARS);
        let bars = bars(&app.tallies.bars(*state, room), most);
        Line::from(vec![
            Span::styled(left, style(*state)),
            middle.dim(),
            Span::styled(bars, style(*state)),
        ])
    };
    Paragraph::new(states.iter().map(line).collect::<Vec<_>>())
}

/// One character a bar, of eight heights; none is a space, and anything is more than that.
fn bars(heights: &[Option<u64>], most: u64) -> String {
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
    let level = |height: u64| {
        let eighths = height.saturating_mul(8).div_ceil(most.max(1));
        let place = usize::try_from(eighths).ok()?.checked_sub(1)?;
        levels.get(place.min(7)).copied()
    };
    let shown = |height: &Option<u64>| height.map_or(NO_LOOK, |it| level(it).unwrap_or(" "));
    heights.iter().map(shown).collect()
}

/// The columns for which there is room, and the widths of the two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScreenColumns {
    addresses: [usize; 2],
    server_is: bool,
    lasting: bool,
    unread: bool,
    /// The room for who holds it.
    held_by: Option<usize>,
}

impl ScreenColumns {
    const STATE: usize = 11;
    const LASTING: usize = 12;
    const UNREAD: usize = 7;
    /// The least room for who holds a connection.
    const HELD_BY: usize = 20;
    /// Addresses that want more than this together are shortened before a column is dropped.
    const ADDRESSES: usize = 29;

    /// Of a list `width` wide whose longest addresses want `wanted`. What there is no room for is
    /// left out as a whole: half a number is another number.
    fn of(wanted: [usize; 2], width: usize) -> Self {
        let mut columns =
            Self { addresses: wanted, server_is: true, lasting: true, unread: true, held_by: None };
        let least = (wanted[0] + wanted[1]).min(Self::ADDRESSES);
        for column in [Self::drop_unread, Self::drop_lasting, Self::drop_server_is] {
            if columns.left(width) < least {
                column(&mut columns);
            }
        }
        let room = columns.left(width);
        columns.addresses = fitting(wanted, room);
        let used: usize = columns.addresses.iter().sum();
        let for_owners = room.saturating_sub(used + GAP);
        columns.held_by = Some(for_owners).filter(|room| *room >= Self::HELD_BY);
        columns
    }

    fn drop_unread(&mut self) {
        self.unread = false;
    }

    fn drop_lasting(&mut self) {
        self.lasting = false;
    }

    fn drop_server_is(&mut self) {
        self.server_is = false;
    }

    /// Returns what the other columns leave of `width` for the two addresses.
    fn left(&self, width: usize) -> usize {
        let column = |is_there: bool, width: usize| if is_there { width + GAP } else { 0 };
        let others = GAP
            + column(true, Self::STATE)
            + column(self.server_is, Self::STATE)
            + column(self.lasting, Self::LASTING)
            + column(self.unread, Self::UNREAD);
        width.saturating_sub(others)
    }

    /// A line of these cells, each no wider than its column.
    fn line(&self, cells: [Span<'static>; 7]) -> Line<'static> {
        let [client, server, client_is, server_is, lasting, unread, held_by] = cells;
        let column = |width: usize, cell: Span<'static>| (width, cell);
        let columns = [
            Some(column(self.addresses[0], client)),
            Some(column(self.addresses[1], server)),
            Some(column(Self::STATE, client_is)),
            self.server_is.then_some(column(Self::STATE, server_is)),
            self.lasting.then_some(column(Self::LASTING, lasting)),
            self.unread.then_some(column(Self::UNREAD, unread)),
            self.held_by.map(|room| column(room, held_by)),
        ];
        let mut line = Line::default();
        for (width, cell) in columns.into_iter().flatten() {
            let gap = (width + GAP).saturating_sub(cell.width());
            line.push_span(cell);
            line.push_span(" ".repeat(gap));
        }
        line
    }
}

fn draw_list(app: &WatchApp, ledger: &SocketLedger, area: Rect, frame: &mut Frame) {
    let (room, selected) = (app.room, app.selected());
    let first = selected.map_or(0, |at| (at + 1).saturating_sub(room));
    let shown = app.shown().skip(first).take(room);
    let visible: Vec<&SeenConnection> =
        shown.filter_map(|number| app.connections.get(*number)).collect();
    let wanted = [0, 1].map(|end| {
        visible.iter().map(|it| it.ends()[end].0.chars().count()).max().unwrap_or(0).max(6)
    });
    let columns = ScreenColumns::of(wanted, area.width.into());
    let titles = ["CLIENT", "SERVER", "CLIENT IS", "SERVER IS", "FOR", "UNREAD", "HELD BY"];
    let mut lines = vec![columns.line(titles.map(Span::from)).dim()];
    for (place, connection) in visible.iter().enumerate() {
        let line = row(connection, app, ledger, &columns);
        let is_selected = selected == Some(first + place);
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        lines.push(if is_selected { line.patch_style(reversed) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
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

fn row(
    connection: &SeenConnection,
    app: &WatchApp,
    ledger: &SocketLedger,
    columns: &ScreenColumns,
) -> Line<'static> {
    let [(client, client_end), (server, server_end)] = connection.ends();
    let state = |end: Option<&SeenEnd>| match end.map(SeenEnd::state) {
        None => Span::raw(""),
        Some(TcpState::Closed) => "gone".dim(),
        Some(state) => Span::styled(state.name(), style(state)),
    };
    let there = connection.seen().filter(|end| end.gone.is_none());
    let unread: u64 = there.map(|end| u64::from(unread(end, ledger).unwrap_or_default())).sum();
    let unread = if unread > 0 { bytes(unread) } else { String::new() };
    let mut owners: Vec<Owner> = connection.owners(ledger).cloned().collect();
    owners.dedup(); // one process may hold both ends
    let owners: String =
        words::owners(&owners).chars().take(columns.held_by.unwrap_or(0)).collect();
    let line = columns.line([
        Span::raw(words::shortened(client, columns.addresses[0])),
        Span::raw(words::shortened(server, columns.addresses[1])),
        state(client_end),
        state(server_end),
        Span::raw(lasting(connection, app, ledger)),
        unread.yellow().bold(),
        Span::raw(owners),
    ]);
    if connection.over().is_some() { line.dim() } else { line }
}

/// The bytes that a process has let lie.
fn unread(end: &SeenEnd, ledger: &SocketLedger) -> Option<u32> {
    ledger.latest(&end.socket)?.unread().known().filter(|bytes| *bytes > 0)
}

/// A number of bytes in at most seven characters.
fn bytes(number: u64) -> String {
    match number {
        0..10_000_000 => number.to_string(),
        10_000_000..10_000_000_000 => format!("{} MiB", number >> 20),
        _ => format!("{} GiB", number >> 30),
    }
}

/// How long it has been as it is, or how long it will be.
fn lasting(connection: &SeenConnection, app: &WatchApp, ledger: &SocketLedger) -> String {
    let mut there = connection.seen().filter(|end| end.gone.is_none());
    if let Some(left) = there.find_map(|end| ledger.latest(&end.socket)?.time_wait_left()) {
        return format!("{} left", seconds(left));
    }
    let time = unchanged_for(connection, ledger, app.now);
    if connection.over().is_some() {
        return format!("{} ago", seconds(time.least));
    }
    // There is no room for two numbers.
    if is_sharp(time) { seconds(time.least) } else { at_least(time.least) }
}

/// The past of the connection that is looked at closely.
fn told(app: &WatchApp, ledger: &SocketLedger, columns: usize) -> Paragraph<'static> {
    let Some(connection) = app.told() else { return Paragraph::new("") };
    let [(client, client_end), (server, server_end)] = connection.ends();
    let between = if connection.sides_known() { ARROW } else { "↔" };
    let number = format!("#{}  ", connection.number);
    let room = columns.saturating_sub(number.len() + 3);
    let [one, other] = fitting([client.chars().count(), server.chars().count()], room);
    let (client, server) = (words::shortened(client, one), words::shortened(server, other));
    let title = format!("{number}{client} {between} {server}");
    let names =
        if connection.sides_known() { ["client", "server"] } else { ["one end", "other end"] };
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let room = columns.saturating_sub(width + 4);
    let not_seen = if app.is_one_sided {
        "left out: one side is asked for"
    } else {
        "not seen: elsewhere, or shorter than the time between two looks"
    };
    let end = |name: &str, end: Option<&SeenEnd>| {
        let mut line = vec![format!("  {name:<width$}  ").dim()];
        match end {
            None => line.push(not_seen.dim()),
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
fn life(end: &SeenEnd, app: &WatchApp, ledger: &SocketLedger, room: usize) -> Vec<Span<'static>> {
    let owners = end.owners(ledger).map_or(words::UNSEEN.to_owned(), words::owners);
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

/// Returns what an end is at: its state, for how long and for how long yet, and what waits in its
/// queues.
fn present(end: &SeenEnd, app: &WatchApp, ledger: &SocketLedger) -> Vec<Span<'static>> {
    if let Some(gone) = end.gone {
        let ago = seconds(app.now.saturating_duration_since(gone));
        return vec![format!("gone {ago} ago").dim()];
    }
    let mut line = vec![Span::styled(end.socket.state.name(), style(end.socket.state))];
    if let Some(lasting) = ledger.in_state(&end.socket) {
        line.push(format!(" {}", in_state(lasting)).into());
    }
    let Some(latest) = ledger.latest(&end.socket) else { return line };
    if let Some(left) = latest.time_wait_left() {
        line.push(format!(", {} left", seconds(left)).into());
    }
    if let Some(unread) = unread(end, ledger) {
        line.push(format!(", {unread} B unread").yellow().bold());
    }
    if let Observed::Known(unacked @ 1..) = latest.send_queue {
        line.push(format!(", {unacked} B not acknowledged").into());
    }
    line
}

fn counts(app: &WatchApp) -> Line<'static> {
    let (there, over) = app.connections.count();
    let mut text = format!("{} there, {over} over and kept", words::count(there, "connection"));
    let forgotten = app.connections.seen().saturating_sub((there + over) as u64);
    if forgotten > 0 {
        text.push_str(&format!(", {forgotten} forgotten"));
    }
    text.push_str(&format!("; {}", app.order.name()));
    if !app.typed.is_empty() {
        text.push_str(&format!("; {} match", app.shown().len()));
    }
    let mut line = vec![Span::raw(text)];
    if app.unattributed > 0 {
        let sockets = words::count(app.unattributed, "socket");
        line.push(format!("; {sockets} gone, nobody saw whose").yellow());
    }
    if app.failed_looks > 0 {
        let looks = words::count(app.failed_looks, "look");
        line.push(format!("; {looks} failed: too much change").yellow());
    }
    if !app.note.is_empty() {
        line.push(format!("; {}", app.note).dim());
    }
    Line::from(line)
}

/// Returns what is being typed, or what may be; and where the cursor stands.
fn keys(app: &WatchApp, width: usize) -> (Line<'static>, usize) {
    if app.is_typing {
        let length = app.typed.chars().count();
        let hidden = (length + 2).saturating_sub(width);
        let typed: String = app.typed.chars().skip(hidden).collect();
        return (Line::from(vec!["/".bold(), typed.into()]), 1 + length - hidden.min(length));
    }
    let keys = if app.typed.is_empty() {
        "q quit   / filter   s order   space pause   c forget what is over   ↑ ↓ select".to_owned()
    } else {
        format!("/{}   esc show all   q quit   s order   space pause   ↑ ↓ select", app.typed)
    };
    (Line::from(keys.dim()), 0)
}

/// `2.1 s`, `≥ 2.1 s`, `< 0.2 s`, `1.0 s to 7.0 s`.
fn in_state(time: TimeInState) -> String {
    match time.most {
        None => at_least(time.least),
        // The next tenth, so that it is not less than it was.
        Some(most) if time.least.is_zero() => {
            format!("< {}", seconds(most + Duration::from_millis(100)))
        }
        Some(_) if is_sharp(time) => seconds(time.least),
        Some(most) => format!("{} to {}", seconds(time.least), seconds(most)),
    }
}

fn at_least(time: Duration) -> String {
    format!("≥ {}", seconds(time))
}

/// Returns true if one number tells all: the two differ by no more than a reader can see.
fn is_sharp(time: TimeInState) -> bool {
    let spread = time.most.map(|most| most.saturating_sub(time.least));
    spread.is_some_and(|spread| spread <= SHARP.max(time.least / 20))
}

/// Two looks at the usual distance, and some time for the looks themselves.
const SHARP: Duration = Duration::from_millis(300);

/// `2.1 s`, `3 min 57 s`, `57 min`, `3.5 h`: calm, as it changes all the time, and never more than
/// it is.
fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let seconds = time.as_secs();
    match seconds {
        0..100 => format!("{}.{} s", tenths / 10, tenths % 10),
        100..600 => format!("{} min {} s", seconds / 60, seconds % 60),
        600..6000 => format!("{} min", seconds / 60),
        _ => format!("{}.{} h", seconds / 3600, seconds % 3600 / 360),
    }
}

/// The style that every report of this lab has for a state.
fn style(state: TcpState) -> Style {
    words::state_style(state).into()
}

#[cfg(test)]
mod tests;
