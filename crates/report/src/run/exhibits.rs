//! The evidence of a run alone, without plan and verdict: its connections and its socket tables.

use std::collections::BTreeSet;
use std::io;

use evidence::{Connection, Observed, Outcome, Reading, ServerAddr};

use super::tables;
use crate::columns::{Cell, Table};
use crate::page::heading;
use crate::page::{Page, USUAL_WIDTH};
use crate::words::{self, FAINT, NONE, UNSEEN};

/// More connections than this are told by the first of them.
const ROWS: usize = 12;

/// Writes the connections of a run, the tables that it was asked to keep, and those that every
/// run has.
///
/// # Errors
/// Those of `out`.
pub fn evidence(
    outcome: &Outcome,
    kept: &[(&str, &Reading)],
    out: &mut impl Page,
) -> io::Result<()> {
    connections(&outcome.connections, out)?;
    tables::kept(outcome, kept, out)?;
    tables::text(outcome, out)
}

fn connections(connections: &[Connection], out: &mut impl Page) -> io::Result<()> {
    heading("Connections", "in the order in which they were dialled", out)?;
    if connections.is_empty() {
        return writeln!(out, "  none was established\n");
    }
    let title = |title| Cell::new(title).styled(FAINT);
    let servers: BTreeSet<ServerAddr> = connections.iter().map(|c| c.ends.server).collect();
    let header = [
        title("CONN"),
        title("CLIENT"),
        title("SERVER"),
        title("EXCHANGES").right(),
        title("CLOSED AT").right(),
        title("BY"),
        title("BECAUSE"),
    ];
    let rows = connections.iter().take(ROWS).map(|c| row(c, servers.len() > 1)).collect();
    // The reason goes on below; then the time of the close is left out, the server, and the number.
    let (table, width) = (Table::new(2, header, rows), out.width());
    if width < USUAL_WIDTH {
        table.narrowed(width, 6).write_within(&[4, 2, 0], out)?;
    } else {
        table.write(out)?;
    }
    if connections.len() > ROWS {
        writeln!(out, "  {FAINT}… and {} more{FAINT:#}", connections.len() - ROWS)?;
    }
    writeln!(out)
}

/// A connection; which server it leads to is told where there are several.
fn row(connection: &Connection, tell_server: bool) -> [Cell; 7] {
    let [at, by, why] = match &connection.close {
        None => [NONE.to_owned(), "open".to_owned(), String::new()],
        Some(close) => {
            let why = match &close.why {
                Observed::Known(why) => why.to_string(),
                Observed::NotObservable => UNSEEN.to_owned(),
            };
            [words::seconds(close.at), close.by.name().to_owned(), why]
        }
    };
    [
        Cell::new(connection.id.to_string()),
        Cell::new(connection.ends.client.to_string()),
        Cell::new(if tell_server { connection.ends.server.to_string() } else { String::new() }),
        Cell::number(connection.exchanges),
        Cell::new(at).right(),
        Cell::new(by),
        Cell::new(why),
    ]
}
