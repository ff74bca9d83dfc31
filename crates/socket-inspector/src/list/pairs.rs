//! A socket table as text.
//!
//! The two ends of a connection share a line, the client's on the left; where that line would be
//! too wide for a terminal, the server's end stands below the client's. Connections that the same
//! processes hold share a heading, so that the lines below it show what differs: states, bytes
//! that nobody has read, timers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use evidence::{
    AcceptQueue, Observed, Pair, ServerAddr, Side, Socket, SocketTable, TcpState, tally,
};

use report::columns::{Cell, Table};
use report::ends;
use report::page::Page;
use report::words::{self, FAINT, HEADING, NO_PROCESS, STRIKING, UNSEEN};

/// How many tell of a connection: the client's address, then both ends.
const PAIR: usize = 1 + 2 * ends::CELLS;

/// Writes `table`, whose owners have been asked for, in sections: connections by who holds them,
/// sockets of an unknown side, listening sockets; then a tally.
///
/// `asked_for` completes the sentence "No TCP socket …" that stands for an empty table.
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(table: &SocketTable, asked_for: &str, out: &mut impl Page) -> io::Result<()> {
    if table.sockets.is_empty() {
        return writeln!(out, "No TCP socket {asked_for}.");
    }
    connections(table, out)?;
    undecided(&table.sockets, out)?;
    listening(&table.sockets, out)?;
    legend(&table.sockets, out)?;
    totals(table, out)
}

/// The header of [`pair_row`].
fn pair_header() -> [Cell; PAIR] {
    let [c1, c2, c3, c4] = ends::header("STATE");
    let [s1, s2, s3, s4] = ends::header("SERVER");
    [Cell::new("CLIENT").styled(FAINT), c1, c2, c3, c4, s1, s2, s3, s4]
}

/// One connection: the client's address, then state, queues and timer of the client's end and of
/// the server's. An end that is not in the table leaves its cells empty.
fn pair_row(pair: &Pair) -> [Cell; PAIR] {
    let [c1, c2, c3, c4] = pair.client.as_ref().map(ends::row).unwrap_or_default();
    let [s1, s2, s3, s4] = pair.server.as_ref().map(ends::row).unwrap_or_default();
    [Cell::new(pair.ends.client.to_string()), c1, c2, c3, c4, s1, s2, s3, s4]
}

/// The holder of one end of a connection, in the order in which the listing tells them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndHolder {
    Processes(String),
    Unseen,
    Nobody,
    /// The end is not in the table: it is on another machine, gone, or not asked for.
    NotListed,
}

impl EndHolder {
    fn of(end: &Socket) -> Self {
        match &end.owners {
            Observed::NotObservable => Self::Unseen,
            Observed::Known(owners) if owners.is_empty() => Self::Nobody,
            Observed::Known(owners) => Self::Processes(words::owners(owners)),
        }
    }

    fn of_listed(end: Option<&Socket>) -> Self {
        end.map_or(Self::NotListed, Self::of)
    }

    fn text(&self) -> &str {
        match self {
            Self::Processes(names) => names,
            Self::Unseen => UNSEEN,
            Self::Nobody => NO_PROCESS,
            Self::NotListed => "",
        }
    }
}

/// Connections by server, and for each server by who holds their two ends.
fn connections(table: &SocketTable, out: &mut impl Page) -> io::Result<()> {
    let mut groups: BTreeMap<(ServerAddr, EndHolder, EndHolder), Vec<Pair>> = BTreeMap::new();
    for pair in table.pairs() {
        let client = EndHolder::of_listed(pair.client.as_ref());
        let server = EndHolder::of_listed(pair.server.as_ref());
        groups.entry((pair.ends.server, client, server)).or_default().push(pair);
    }
    let addresses = groups.values().flatten().map(|pair| pair.ends.client.to_string().len());
    let widest_address = addresses.max().unwrap_or(0);

    for ((server, client, holder), mut pairs) in groups {
        pairs.sort_by_key(|pair| pair.ends.client);
        heading(&client, server, &holder, out)?;
        let beside = beside(&pairs, widest_address);
        if beside.width() <= out.width() {
            beside.write(out)?;
        } else {
            // Of an end the timer can be done without first, then what is not acknowledged.
            stacked(&pairs).write_within(&[5, 4], out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// `curl (4712) → 127.0.0.1:8080 hello (4711)`
fn heading(
    client: &EndHolder,
    server: ServerAddr,
    holder: &EndHolder,
    out: &mut impl Page,
) -> io::Result<()> {
    let arrow = if *client == EndHolder::NotListed { "" } else { " → " };
    let gap = if *holder == EndHolder::NotListed { "" } else { " " };
    let (client, holder) = (client.text(), holder.text());
    let whole = format!("{client}{arrow}{server}{gap}{holder}");
    if whole.chars().count() <= out.width() {
        return writeln!(out, "{HEADING}{whole}{HEADING:#}");
    }
    let mut indent = "";
    for line in words::wrap(&whole, out.width() - 4) {
        writeln!(out, "{HEADING}{indent}{line}{HEADING:#}")?;
        indent = "    ";
    }
    Ok(())
}

/// The server's end to the right of the client's.
fn beside(pairs: &[Pair], widest_address: usize) -> Table<PAIR> {
    Table::new(2, pair_header(), pairs.iter().map(pair_row).collect())
        .at_least(0, widest_address)
        .at_least(1, "ESTABLISHED".len())
        .gap_before(1 + ends::CELLS, 4)
}

/// The server's end below the client's.
fn stacked(pairs: &[Pair]) -> Table<{ 2 + ends::CELLS }> {
    let line =
        |label: &str, address: &str, [state, unread, unacked, timer]: [Cell; ends::CELLS]| {
            [Cell::new(label).styled(FAINT), Cell::new(address), state, unread, unacked, timer]
        };
    let mut rows = Vec::new();
    for Pair { ends, client, server } in pairs {
        if let Some(end) = client {
            rows.push(line("client", &ends.client.to_string(), ends::row(end)));
        }
        if let Some(end) = server {
            rows.push(line("server", &ends.server.to_string(), ends::row(end)));
        }
    }
    let header = line("END", "ADDRESS", ends::header("STATE")).map(|title| title.styled(FAINT));
    Table::new(2, header, rows)
}

/// Sockets that are no end of a pair: both ends at once, or one of which nothing tells whether it
/// is a client's or a server's.
fn undecided(sockets: &[Socket], out: &mut impl Page) -> io::Result<()> {
    let (itself, unknown): (Vec<&Socket>, Vec<&Socket>) = sockets
        .iter()
        .filter(|socket| socket.side.is_none() && socket.state != TcpState::Listen)
        .partition(|socket| socket.is_connected_to_itself());
    single_ends("Connected to itself", itself, out)?;
    single_ends("Side unknown", unknown, out)
}

/// Sockets, a row each.
fn single_ends(title: &str, mut sockets: Vec<&Socket>, out: &mut impl Page) -> io::Result<()> {
    sockets.sort_by_key(|socket| (socket.local, socket.peer));
    let [state, unread, unacked, timer] = ends::header("STATE");
    let [local, peer, owner] = ["LOCAL", "PEER", "OWNER"].map(|t| Cell::new(t).styled(FAINT));
    let header = [local, peer, state, unread, unacked, timer, owner];
    let rows = sockets.into_iter().map(|socket| {
        let [local, peer] = [socket.local, socket.peer].map(words::address).map(Cell::new);
        let [state, unread, unacked, timer] = ends::row(socket);
        [local, peer, state, unread, unacked, timer, owner_of(socket)]
    });
    section(title, header, rows.collect(), (6, &[5, 4, 6, 3]), out)
}

/// Listening sockets, with the connections that wait for their process to accept them.
fn listening(sockets: &[Socket], out: &mut impl Page) -> io::Result<()> {
    let mut sockets: Vec<&Socket> =
        sockets.iter().filter(|socket| socket.state == TcpState::Listen).collect();
    sockets.sort_by_key(|socket| socket.local);

    let [address, waiting, backlog, owner] =
        ["ADDRESS", "WAITING", "BACKLOG", "OWNER"].map(|title| Cell::new(title).styled(FAINT));
    let header = [address, waiting.right(), backlog.right(), Cell::empty(), owner];
    let rows = sockets.into_iter().map(|socket| {
        let waiting = ends::queue(socket.recv_queue).styled(STRIKING);
        let address = Cell::new(socket.local.to_string());
        let full = if is_full(socket) { FULL } else { "" };
        let full = Cell::new(full).styled(STRIKING);
        [address, waiting, ends::queue(socket.send_queue), full, owner_of(socket)]
    });
    section("Listening", header, rows.collect(), (4, &[2]), out)
}

/// The sign of an accept queue that takes no more.
const FULL: &str = "full";

fn is_full(socket: &Socket) -> bool {
    socket.accept_queue().is_some_and(AcceptQueue::is_full)
}

fn owner_of(socket: &Socket) -> Cell {
    Cell::new(EndHolder::of(socket).text())
}

/// A heading and a table; nothing at all for no rows. Where there is no room, the text of one column
/// goes on below, then others leave in their order.
fn section<const N: usize>(
    title: &str,
    header: [Cell; N],
    rows: Vec<[Cell; N]>,
    (text, order): (usize, &[usize]),
    out: &mut impl Page,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "{HEADING}{title}{HEADING:#}")?;
    Table::new(2, header, rows).narrowed(out.width(), text).write_within(order, out)?;
    writeln!(out)
}

/// Writes what the words in the tables mean, as far as they occur.
fn legend(sockets: &[Socket], out: &mut impl Page) -> io::Result<()> {
    let held_by = |holder: EndHolder| sockets.iter().filter(move |s| EndHolder::of(s) == holder);
    let of_nobody: BTreeSet<TcpState> =
        held_by(EndHolder::Nobody).map(|socket| socket.state).collect();
    let (closed, open): (Vec<TcpState>, Vec<TcpState>) =
        of_nobody.into_iter().partition(|&state| outlives_its_process(state));
    let unseen = held_by(EndHolder::Unseen).next().is_some();

    let names =
        |states: &[TcpState]| states.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ");
    if !closed.is_empty() {
        let why = format!("closed by its process, kept by the kernel in {}", names(&closed));
        explain(NO_PROCESS, &why, out)?;
    }
    if !open.is_empty() {
        let why =
            format!("in {}: not accepted yet, or held in another PID namespace", names(&open));
        explain(NO_PROCESS, &why, out)?;
    }
    if unseen {
        explain(
            UNSEEN,
            "owners of other users' processes need root; /proc may hide them, too",
            out,
        )?;
    }
    let full = sockets.iter().any(is_full);
    if full {
        let why = "more wait than the backlog says: clients that dial now stay in SYN_SENT, until \
                   some are accepted";
        explain(FULL, why, out)?;
    }
    let itself = sockets.iter().any(Socket::is_connected_to_itself);
    if itself {
        let why = "one socket is both ends: it dialled the very port that it was given";
        explain("itself", why, out)?;
    }
    if !closed.is_empty() || !open.is_empty() || unseen || full || itself {
        writeln!(out)?;
    }
    Ok(())
}

/// Returns true if the kernel may keep a socket in this state after its process has closed it.
fn outlives_its_process(state: TcpState) -> bool {
    matches!(
        state,
        TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::LastAck
            | TcpState::TimeWait
    )
}

fn explain(sign: &str, meaning: &str, out: &mut impl Page) -> io::Result<()> {
    for (n, line) in words::wrap(meaning, out.prose_width() - sign.len() - 2).iter().enumerate() {
        let shown = if n == 0 { sign } else { "" };
        writeln!(out, "{FAINT}{shown:width$}  {line}{FAINT:#}", width = sign.len())?;
    }
    Ok(())
}

/// How many sockets there are, by side and state.
fn totals(table: &SocketTable, out: &mut impl Page) -> io::Result<()> {
    let (listening, ends): (Vec<&Socket>, Vec<&Socket>) =
        table.sockets.iter().partition(|socket| socket.state == TcpState::Listen);
    let mut rows = Vec::new();
    for (label, side) in
        [("client", Some(Side::Client)), ("server", Some(Side::Server)), ("side unknown", None)]
    {
        let counts = tally(ends.iter().copied().filter(|socket| socket.side == side));
        // Beside the longest label and its gap.
        let lines = words::tally_lines(&counts, out.width() - "side unknown".len() - 2);
        for (line, label) in
            lines.into_iter().zip(std::iter::once(label).chain(std::iter::repeat("")))
        {
            rows.push([Cell::new(label), Cell::new(line)]);
        }
    }
    if !listening.is_empty() {
        rows.push([Cell::new("listening"), Cell::new(listening.len().to_string())]);
    }
    Table::new(0, [Cell::empty(), Cell::empty()], rows).write_rows(out)
}

#[cfg(test)]
mod tests;
