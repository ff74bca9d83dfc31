//! Sockets in depth: one row a socket, with the columns that are asked for.
//!
//! Where a row would be too wide, each socket gets a line of its own and its numbers, each with
//! its name, below it.

use std::cmp::Ordering;
use std::io;
use std::time::Duration;

use evidence::{Inspected, Observed, Side, Socket, TcpState};

use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING, NO_PROCESS, NONE, STRIKING, UNSEEN};

/// The width of its page where nobody has measured it: rows are long.
pub(crate) const WIDTH: usize = 90;

/// One fact of a socket, by which rows are shown and ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketColumn {
    /// This end's address.
    Local,
    /// The other end's.
    Peer,
    /// Client or server.
    Side,
    /// The state.
    State,
    /// Bytes unread, the peer's FIN not counted; for a listening socket, connections that wait.
    RecvQueue,
    /// Bytes not acknowledged; for a listening socket, its backlog.
    SendQueue,
    /// The running timer.
    Timer,
    /// The smoothed round-trip time.
    Rtt,
    /// Segments sent again.
    Retransmits,
    /// Data bytes sent.
    Sent,
    /// Bytes acknowledged.
    Acked,
    /// Bytes received.
    Received,
    /// The time since data was last sent.
    LastSent,
    /// The time since data was last received.
    LastReceived,
    /// The control group.
    Cgroup,
    /// The processes that hold it.
    Owner,
}

impl SocketColumn {
    /// Every column, in the order in which they are shown.
    pub(crate) const ALL: [Self; 16] = [
        Self::Local,
        Self::Peer,
        Self::Side,
        Self::State,
        Self::RecvQueue,
        Self::SendQueue,
        Self::Timer,
        Self::Rtt,
        Self::Retransmits,
        Self::Sent,
        Self::Acked,
        Self::Received,
        Self::LastSent,
        Self::LastReceived,
        Self::Cgroup,
        Self::Owner,
    ];

    /// The columns that tell a socket from another: where numbers stand below it, its first line.
    const HEAD: [Self; 5] = [Self::Local, Self::Peer, Self::Side, Self::State, Self::Owner];

    /// Its name, as it is asked for.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Side => "side",
            Self::State => "state",
            Self::RecvQueue => "recv-q",
            Self::SendQueue => "send-q",
            Self::Timer => "timer",
            Self::Rtt => "rtt",
            Self::Retransmits => "retransmits",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Received => "received",
            Self::LastSent => "last-sent",
            Self::LastReceived => "last-received",
            Self::Cgroup => "cgroup",
            Self::Owner => "owner",
        }
    }

    /// Returns true if no other system tells it: queues, timers and what TCP remembers.
    #[must_use]
    pub(crate) fn is_told_by_linux_alone(self) -> bool {
        !Self::HEAD.contains(&self)
    }

    fn is_number(self) -> bool {
        matches!(
            self,
            Self::RecvQueue
                | Self::SendQueue
                | Self::Rtt
                | Self::Retransmits
                | Self::Sent
                | Self::Acked
                | Self::Received
                | Self::LastSent
                | Self::LastReceived
        )
    }

    /// Returns what it says of `row`; empty for what does not apply or nobody could see.
    fn text(self, row: &Inspected) -> String {
        let Inspected { socket, info, cgroup } = row;
        let known = |text: Observed<String>| text.known().unwrap_or_default();
        let bytes = |number: Observed<u64>| known(number.map(|bytes| bytes.to_string()));
        let count = |number: Observed<u32>| known(number.map(|count| count.to_string()));
        let age = |time: Observed<Duration>| known(time.map(words::short));
        match self {
            Self::Local => words::address(socket.local),
            Self::Peer if socket.state == TcpState::Listen => NONE.to_owned(),
            Self::Peer => words::address(socket.peer),
            Self::Side => socket.side.map_or("", Side::name).to_owned(),
            Self::State => socket.state.name().to_owned(),
            Self::RecvQueue => count(recv_queue(socket)),
            Self::SendQueue => count(socket.send_queue),
            Self::Timer => socket.timer.known().flatten().map(words::timer).unwrap_or_default(),
            Self::Rtt => age(info.rtt),
            Self::Retransmits => count(info.retransmits),
            Self::Sent => bytes(row.sent_once()),
            Self::Acked => bytes(info.bytes_acked),
            Self::Received => bytes(info.bytes_received),
            Self::LastSent => age(info.since_sent()),
            Self::LastReceived => age(info.since_received()),
            Self::Cgroup => words::printable(cgroup.as_ref().known().map_or("", |path| path)),
            Self::Owner => match &socket.owners {
                Observed::NotObservable => UNSEEN.to_owned(),
                Observed::Known(owners) if owners.is_empty() => NO_PROCESS.to_owned(),
                Observed::Known(owners) => words::owners(owners),
            },
        }
    }

    fn cell(self, row: &Inspected) -> Cell {
        let text = self.text(row);
        let striking = self == Self::RecvQueue && text != "0";
        let cell = if self.is_number() { Cell::new(text).right() } else { Cell::new(text) };
        match self {
            Self::State => cell.styled(words::state_style(row.socket.state)),
            Self::Timer => cell.styled(FAINT),
            _ if striking => cell.styled(STRIKING),
            _ => cell,
        }
    }

    fn title(self) -> Cell {
        let title = Cell::new(self.name().to_uppercase()).styled(FAINT);
        if self.is_number() { title.right() } else { title }
    }

    fn compare(self, a: &Inspected, b: &Inspected) -> Ordering {
        /// Most first; what is not known comes last.
        fn most<T: Ord>(a: Observed<T>, b: Observed<T>) -> Ordering {
            b.known().cmp(&a.known())
        }
        let left = |row: &Inspected| row.socket.timer.map(|timer| timer.map(|timer| timer.left));
        match self {
            Self::Local => a.socket.local.cmp(&b.socket.local),
            Self::Peer => a.socket.peer.cmp(&b.socket.peer),
            Self::Side => a.socket.side.cmp(&b.socket.side),
            Self::State => a.socket.state.cmp(&b.socket.state),
            // Where a FIN makes the difference, the kernel's numbers are in order, too.
            Self::RecvQueue => most(recv_queue(&a.socket), recv_queue(&b.socket))
                .then(most(a.socket.recv_queue, b.socket.recv_queue)),
            Self::SendQueue => most(a.socket.send_queue, b.socket.send_queue),
            Self::Timer => most(left(a), left(b)),
            Self::Rtt => most(a.info.rtt, b.info.rtt),
            Self::Retransmits => most(a.info.retransmits, b.info.retransmits),
            Self::Sent => most(a.sent_once(), b.sent_once()),
            Self::Acked => most(a.info.bytes_acked, b.info.bytes_acked),
            Self::Received => most(a.info.bytes_received, b.info.bytes_received),
            Self::LastSent => most(a.info.since_sent(), b.info.since_sent()),
            Self::LastReceived => most(a.info.since_received(), b.info.since_received()),
            Self::Cgroup | Self::Owner => self.text(a).cmp(&self.text(b)),
        }
    }
}

/// Returns what waits for the process: bytes, or for a listening socket, connections.
fn recv_queue(socket: &Socket) -> Observed<u32> {
    match socket.state {
        TcpState::Listen => socket.recv_queue,
        _ => socket.unread(),
    }
}

/// Orders rows by `key`: numbers and times from the largest down, everything else upwards, what
/// is equal by address.
pub(crate) fn sort(rows: &mut [Inspected], key: SocketColumn) {
    rows.sort_by(|a, b| {
        let address = || (a.socket.local, a.socket.peer).cmp(&(b.socket.local, b.socket.peer));
        key.compare(a, b).then_with(address)
    });
}

/// Writes one row a socket with `columns`, in the order given; `asked_for` completes the sentence
/// "No TCP socket …".
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(
    rows: &[Inspected],
    columns: &[SocketColumn],
    asked_for: &str,
    out: &mut impl Page,
) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "No TCP socket {asked_for}.");
    }
    let table = table(rows, columns);
    if table.width() <= out.width() {
        table.write(out)?;
    } else {
        blocks(rows, columns, out)?;
    }
    if let Some(unseen) = owners_unseen(rows).filter(|_| columns.contains(&SocketColumn::Owner)) {
        writeln!(out)?;
        for (n, line) in words::wrap(&unseen, out.width() - 3).iter().enumerate() {
            let sign = if n == 0 { UNSEEN } else { " " };
            writeln!(out, "{FAINT}{sign}  {line}{FAINT:#}")?;
        }
    }
    Ok(())
}

/// Returns what this user may not see of `rows`, and what is shown instead; `None` if that is
/// nothing.
#[must_use]
pub(crate) fn owners_unseen(rows: &[Inspected]) -> Option<String> {
    let unseen = rows.iter().filter(|row| row.socket.owners == Observed::NotObservable).count();
    (unseen > 0).then(|| {
        let sockets = words::count(unseen, "socket");
        format!("{sockets} of other users: root alone sees the owners; everything else is told")
    })
}

/// The columns side by side; what is not asked for stays empty and drops out.
fn table(rows: &[Inspected], columns: &[SocketColumn]) -> Table<{ SocketColumn::ALL.len() }> {
    let cells = |cell: &dyn Fn(SocketColumn) -> Cell| {
        let mut cells = std::array::from_fn(|_| Cell::empty());
        for (place, column) in cells.iter_mut().zip(columns) {
            *place = cell(*column);
        }
        cells
    };
    let body = rows.iter().map(|row| cells(&|column| column.cell(row))).collect();
    Table::new(0, cells(&SocketColumn::title), body)
}

/// A line a socket, and below it the rest of what is asked for, as names and values.
fn blocks(rows: &[Inspected], columns: &[SocketColumn], out: &mut impl Page) -> io::Result<()> {
    let indent = "    ";
    let page = out.width();
    for row in rows {
        let head = SocketColumn::HEAD.iter().filter(|column| columns.contains(column));
        let head: Vec<String> =
            head.map(|column| column.text(row)).filter(|text| !text.is_empty()).collect();
        for (n, line) in words::fold(&head.join("  "), page).iter().enumerate() {
            let bold = if n == 0 { HEADING } else { anstyle::Style::new() };
            writeln!(out, "{bold}{}{bold:#}", line.trim_end())?;
        }
        let facts = columns.iter().filter(|column| !SocketColumn::HEAD.contains(column));
        let facts = facts.map(|column| (column.name(), column.text(row)));
        let mut line = String::new();
        for (name, text) in facts.filter(|(_, text)| !text.is_empty()) {
            let fact = format!("{name} {text}");
            let gap = if line.is_empty() { "" } else { " · " };
            let width = indent.len() + line.chars().count() + 3 + fact.chars().count();
            if width > page && !line.is_empty() {
                writeln!(out, "{indent}{line}")?;
                line = fact;
            } else {
                line.push_str(gap);
                line.push_str(&fact);
            }
        }
        for part in words::fold(&line, page - indent.len()).iter().filter(|part| !part.is_empty()) {
            writeln!(out, "{indent}{}", part.trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
