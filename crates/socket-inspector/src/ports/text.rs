//! The budget of ports, as text: destinations, who burns their ports, and what the settings mean.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::budget::{PortDestination, PortForecast, PortSettings, TIME_WAIT, UnseenPorts};
use super::taken::TakenPorts;

use evidence::AcceptQueue;
use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING, STRIKING};

/// So long may a list of reserved ports be.
const RESERVED: usize = 16;
/// How certain a rate is, and what follows from it.
const LOWER_BOUND: &str = "OPENED/S is what was seen, the least there was: what comes and goes \
    between two looks is missing. So `steady` is not certain, and ports may run out earlier than forecast.";
/// Burners that are named for one destination.
const NAMED: usize = 3;

/// Writes the destinations, and what this reading could not tell of them.
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(
    settings: &PortSettings,
    destinations: &[PortDestination],
    taken: &TakenPorts,
    unseen: UnseenPorts,
    out: &mut impl Page,
) -> io::Result<()> {
    let usable = settings.usable();
    writeln!(out, "{HEADING}{usable} ports for connections to each destination{HEADING:#}")?;
    taken_from_all(usable, taken, out)?;
    if destinations.is_empty() {
        writeln!(out, "  none in use")?;
    } else {
        budgets(settings, destinations, out)?;
    }
    full_queues(destinations, taken, out)?;
    burners(destinations, out)?;
    if destinations.iter().any(|destination| destination.rate.is_some()) {
        writeln!(out)?;
        for line in words::wrap(LOWER_BOUND, out.prose_width()) {
            writeln!(out, "{FAINT}{line}{FAINT:#}")?;
        }
    }
    if destinations.iter().any(|destination| destination.rate.is_none()) {
        let single = "A single look tells no rate and no maker of TIME_WAIT: --watch 10 looks on.";
        writeln!(out)?;
        for line in words::wrap(single, out.prose_width()) {
            writeln!(out, "{FAINT}{line}{FAINT:#}")?;
        }
    }
    let gaps = [
        (unseen.sides, "not counted: nothing tells whether they are a client's"),
        (unseen.likely, "counted, as many share their peer's address: most likely a client's"),
        (unseen.owners, "of other users: root alone sees who makes their TIME_WAIT"),
    ];
    for (n, (sockets, what)) in gaps.iter().filter(|(sockets, _)| *sockets > 0).enumerate() {
        if n == 0 {
            writeln!(out)?;
        }
        let said = format!("{} {what}", words::count(*sockets, "socket"));
        for line in words::wrap(&said, out.prose_width()) {
            writeln!(out, "{FAINT}{line}{FAINT:#}")?;
        }
    }
    writeln!(out)
}

/// Writes what is taken whatever the destination, if it is anything.
fn taken_from_all(usable: usize, taken: &TakenPorts, out: &mut impl Page) -> io::Result<()> {
    let bound = taken.bound.len();
    if bound > 0 {
        let more = words::count(bound, "more port");
        let said = format!("{more} of the range, bound to sockets: never picked");
        for line in words::wrap(&said, out.width() - 2) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    let used = taken.used.difference(&taken.bound).count();
    let free = usable.saturating_sub(used);
    if used > 0 {
        let style = if free == 0 { STRIKING } else { FAINT };
        let said =
            format!("for `bind` before `connect`: {free} free, for all destinations together");
        for line in words::wrap(&said, out.width() - 2) {
            writeln!(out, "  {style}{line}{style:#}")?;
        }
    }
    Ok(())
}

/// Writes the settings that matter, with what they mean on this machine.
///
/// # Errors
/// Those of `out`.
pub(crate) fn settings(settings: &PortSettings, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "{HEADING}Settings{HEADING:#}")?;
    meanings(settings).narrowed(out.width(), 2).write_rows(out)?;
    writeln!(out)
}

/// A row a destination. Long addresses leave no room for what follows from the rest; longer ones
/// stand above their row, so that every number keeps its column.
fn budgets(
    settings: &PortSettings,
    destinations: &[PortDestination],
    out: &mut impl Page,
) -> io::Result<()> {
    let width = out.width();
    let fits = |table: &Table<9>| table.width() <= width;
    let beside = |whole| table(settings, destinations, whole, true);
    if let Some(table) = [true, false].into_iter().map(beside).find(fits) {
        return table.write(out);
    }
    let below = |whole| table(settings, destinations, whole, false);
    let whole = below(true);
    let table = if fits(&whole) { whole } else { below(false) };
    let indented = |lines: Vec<String>| lines.iter().map(|line| format!("  {line}")).collect();
    let above: Vec<Vec<String>> =
        destinations.iter().map(|d| indented(addresses(d, destinations))).collect();
    // When the last TIME_WAIT ends can be done without first, then what is opened a second.
    let (table, left_out) = table.within(width, &[6, 7]);
    table.write_below(&above, out)?;
    if !left_out.is_empty() {
        writeln!(out, "  {FAINT}left out for want of room: {}{FAINT:#}", left_out.join(", "))?;
    }
    Ok(())
}

/// Where connections go; and where they come from, if `all` of them come from several addresses.
fn addresses(destination: &PortDestination, all: &[PortDestination]) -> Vec<String> {
    let from = is_one_of_several(destination, all).then(|| format!("from {}", destination.from));
    [Some(destination.address.to_string()), from].into_iter().flatten().collect()
}

/// Returns true if connections to its address come from several addresses of this machine.
fn is_one_of_several(destination: &PortDestination, all: &[PortDestination]) -> bool {
    all.iter().filter(|other| other.address == destination.address).count() > 1
}

/// The numbers, the `whole` of them or what matters most, with their addresses or without.
fn table(
    settings: &PortSettings,
    destinations: &[PortDestination],
    whole: bool,
    addressed: bool,
) -> Table<9> {
    let row = |destination: &PortDestination| {
        let left = |time: Option<&Duration>| {
            time.map_or(Cell::empty(), |time| Cell::new(words::short(*time)).right())
        };
        let several = is_one_of_several(destination, destinations);
        let address = |shown: bool, text: &dyn ToString| {
            if shown { Cell::new(text.to_string()) } else { Cell::empty() }
        };
        let time_wait = &destination.time_wait;
        let free = settings.usable().saturating_sub(destination.in_use());
        let number = |number: usize| Cell::number(number.try_into().unwrap_or(u64::MAX));
        let opened = destination.rate.map(|rate| format!("{:.1}", rate.opened));
        [
            address(addressed, &destination.address),
            address(addressed && several, &destination.from),
            number(destination.in_use()),
            if whole { number(free) } else { Cell::empty() },
            number(time_wait.len()),
            if whole { left(time_wait.first()) } else { Cell::empty() },
            left(time_wait.last()),
            Cell::new(opened.unwrap_or_default()).right(),
            outlook(destination.forecast(settings)),
        ]
    };
    let left = |title| Cell::new(title).styled(FAINT);
    let right = |title| left(title).right();
    let header = [
        left("DESTINATION"),
        left("FROM"),
        right("IN USE"),
        right("FREE"),
        right("TIME_WAIT"),
        right("FIRST ENDS"),
        right("LAST ENDS"),
        right("OPENED/S"),
        left("FORECAST"),
    ];
    Table::new(2, header, destinations.iter().map(row).collect())
}

/// `steady`, `exhausted in 38 s`.
fn outlook(forecast: Option<PortForecast>) -> Cell {
    match forecast {
        None => Cell::empty(),
        Some(PortForecast::Steady) => Cell::new("steady"),
        Some(PortForecast::Exhausted) => Cell::new("exhausted").styled(STRIKING),
        Some(PortForecast::In(time)) => {
            let time = match time.as_secs() {
                seconds @ 0..120 => format!("{seconds} s"),
                seconds @ 120..7200 => format!("{} min", seconds / 60),
                seconds => format!("{} h", seconds / 3600),
            };
            Cell::new(format!("exhausted in {time}")).styled(STRIKING)
        }
    }
}

/// Writes which of the destinations, if they listen on this machine, take no more connections.
fn full_queues(
    destinations: &[PortDestination],
    taken: &TakenPorts,
    out: &mut impl Page,
) -> io::Result<()> {
    let is_asked = |address: &SocketAddr| {
        let there = |ip: std::net::IpAddr| address.ip().is_unspecified() || ip == address.ip();
        destinations.iter().any(|d| d.address.port() == address.port() && there(d.address.ip()))
    };
    for (address, queue) in taken.full.iter().filter(|(address, _)| is_asked(address)) {
        let AcceptQueue { waiting, backlog } = queue;
        let said = format!(
            "{address} has a full accept queue ({waiting} wait, backlog {backlog}): what dials it \
             stays in SYN_SENT"
        );
        for line in words::wrap(&said, out.prose_width() - 2) {
            writeln!(out, "  {STRIKING}{line}{STRIKING:#}")?;
        }
    }
    Ok(())
}

/// Writes who has burnt the ports in `TIME_WAIT`, as far as earlier readings saw them held.
fn burners(destinations: &[PortDestination], out: &mut impl Page) -> io::Result<()> {
    let seen = |destination: &&PortDestination| {
        destination.rate.is_some() && !destination.time_wait.is_empty()
    };
    let mut rows = Vec::new();
    for destination in destinations.iter().filter(seen) {
        let named = destination.burners.iter().take(NAMED).map(|burner| {
            let process = burner.process.as_deref().map(words::printable);
            let process = process.unwrap_or_else(|| "not seen".to_owned());
            format!("{process} {}", burner.ports)
        });
        let mut named: Vec<String> = named.collect();
        let more = destination.burners.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        rows.push((addresses(destination, destinations), named.join(" · ")));
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{HEADING}TIME_WAIT was made by{HEADING:#}")?;
    let beside = |(addresses, makers): &(Vec<String>, String)| {
        [Cell::new(addresses.join(" ")), Cell::new(makers)]
    };
    let beside = rows.iter().map(beside).collect();
    let beside = Table::new(2, [Cell::empty(), Cell::empty()], beside);
    if beside.width() <= out.width() {
        beside.write_rows(out)?;
    } else {
        for (addresses, makers) in &rows {
            addresses.iter().try_for_each(|address| writeln!(out, "  {address}"))?;
            for line in words::fold(makers, out.width() - 4) {
                writeln!(out, "    {}", line.trim_end())?;
            }
        }
    }
    let anybody = |d: &PortDestination| d.burners.iter().any(|burner| burner.process.is_none());
    if destinations.iter().any(anybody) {
        let why = "not seen: opened and closed between two looks, or before the first one";
        for line in words::wrap(why, out.width() - 2) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    Ok(())
}

/// A line a setting.
fn meanings(settings: &PortSettings) -> Table<3> {
    let delay = words::span(settings.tw_reuse_delay);
    let hold = TIME_WAIT.as_secs();
    let pace = settings.usable() as u64 / hold;
    let reuse = match settings.tw_reuse {
        Some(0) => format!("TIME_WAIT keeps a port for {hold} s"),
        Some(1) => "TIME_WAIT gives up a port early".to_owned(),
        Some(2) => "TIME_WAIT gives it up early on loopback".to_owned(),
        Some(_) | None => "not known to this program".to_owned(),
    };
    let show = |value: Option<String>| value.unwrap_or_else(|| words::UNSEEN.to_owned());
    let rows = [
        (
            "ip_local_port_range",
            range(&settings.range),
            format!("{pace} closed a second, they last for ever"),
        ),
        ("ip_local_reserved_ports", reserved(settings), "left out of the range".to_owned()),
        ("tcp_tw_reuse", show(settings.tw_reuse.map(|value| value.to_string())), reuse),
        ("tcp_tw_reuse_delay", delay, "how early, at best".to_owned()),
        (
            "tcp_max_tw_buckets",
            show(settings.max_tw_buckets.map(|value| value.to_string())),
            "beyond, a close leaves no TIME_WAIT".to_owned(),
        ),
    ];
    let cells = rows.map(|(name, value, meaning)| {
        [Cell::new(name), Cell::new(value), Cell::new(meaning).styled(FAINT)]
    });
    Table::new(2, std::array::from_fn(|_| Cell::empty()), cells.into())
}

fn range(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        return ports.start().to_string();
    }
    format!("{}-{}", ports.start(), ports.end())
}

/// `none`, `8080, 9000-9100`, or how many where that would be long.
fn reserved(settings: &PortSettings) -> String {
    let list: Vec<String> = settings.reserved.iter().map(range).collect();
    let list = list.join(", ");
    match list.len() {
        0 => "none".to_owned(),
        length if length <= RESERVED => list,
        _ => words::count(settings.reserved.len(), "range"),
    }
}

#[cfg(test)]
mod tests;
