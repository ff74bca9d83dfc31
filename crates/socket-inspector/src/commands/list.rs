//! `socket-inspector list`: one reading of the table.

use std::io::{BufWriter, Write};

use evidence::{Observed, Socket, SocketTable};
use socket_inspector::Narrow;

use crate::cli::{Format, List};

/// Lists the sockets that are asked for.
pub(crate) fn run(asked: &List) -> anyhow::Result<u8> {
    let (filter, narrow) = (asked.filter(), asked.narrow());
    let asked_for = format!("{filter}{narrow}");
    let mut out = BufWriter::new(anstream::stdout());
    match (asked.format, asked.columns()) {
        (Format::Text, None) => {
            let mut table = socket_inspector::snapshot_with_owners(&filter)?;
            let unseen = unseen(&narrow, &table);
            table.sockets.retain(|socket| narrow.keeps(socket));
            report::sockets::text(&table, &asked_for, &mut out)?;
            out.flush()?;
            warn(unseen.as_deref());
        }
        (format, columns) => {
            let mut rows = socket_inspector::inspect(&filter)?;
            let sockets = rows.iter().map(|row| row.socket.clone()).collect();
            let unseen = unseen(&narrow, &SocketTable { sockets });
            rows.retain(|row| narrow.keeps(&row.socket));
            report::inspected::sort(&mut rows, asked.order());
            match format {
                Format::Text => {
                    let columns = columns.unwrap_or_default();
                    report::inspected::text(&rows, &columns, &asked_for, &mut out)?;
                }
                Format::Json => report::json::inspected(&rows, &mut out)?,
                Format::Csv => report::csv::sockets(&rows, &mut out)?,
            }
            out.flush()?;
            let in_csv = report::inspected::owners_unseen(&rows);
            warn(unseen.or(in_csv.filter(|_| format == Format::Csv)).as_deref());
        }
    }
    Ok(0)
}

/// What a search by process may have missed, as this user does not see who holds it.
fn unseen(narrow: &Narrow, table: &SocketTable) -> Option<String> {
    let hidden = |socket: &&Socket| socket.owners == Observed::NotObservable;
    let hidden = table.sockets.iter().filter(hidden).count();
    (narrow.asks_for_owners() && hidden > 0).then(|| {
        let sockets = report::words::count(hidden, "socket");
        format!("{sockets} of other users left out: root alone sees who holds them")
    })
}

/// Tells once, beside the results, what is missing from them.
fn warn(missing: Option<&str>) {
    if let Some(missing) = missing {
        // If stderr is closed, the results are still whole.
        let _ = writeln!(anstream::stderr(), "socket-inspector: {missing}");
    }
}
