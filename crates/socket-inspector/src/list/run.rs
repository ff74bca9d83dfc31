//! `socket-inspector list`: one reading of the table.

use std::io::{BufWriter, Write};

use evidence::{Observed, Socket};
use report::page::{PageWriter, USUAL_WIDTH};
use socket_table::{SocketFilter, SocketSieve};

use super::args::{ListArgs, ListFormat};
use super::rows::{self, SocketColumn};
use super::{csv, json, pairs};
use crate::access::{self, may_look_into, warn};

/// Lists the sockets that are asked for.
pub(crate) fn run(asked: &ListArgs) -> anyhow::Result<u8> {
    warn(untold(asked, cfg!(target_os = "linux")).as_deref());
    let (filter, sieve) = (asked.filter(), asked.sieve());
    sieve.pids.iter().try_for_each(|pid| may_look_into(*pid, "list"))?;
    let usual = if asked.columns().is_some() { rows::WIDTH } else { USUAL_WIDTH };
    let width = program::terminal_width().unwrap_or(usual);
    let mut out = PageWriter::new(BufWriter::new(anstream::stdout()), width);
    match (asked.format, asked.columns()) {
        (ListFormat::Text, None) => {
            let mut table = socket_table::snapshot_with_owners(&filter)?;
            let before = hidden(&table.sockets);
            sieve.retain(&mut table.sockets, |socket| socket);
            let unseen = unseen(&sieve, before.saturating_sub(hidden(&table.sockets)));
            let asked_for = asked_for(&filter, &sieve, unseen.is_none());
            pairs::text(&table, &asked_for, &mut out)?;
            out.flush()?;
            warn(unseen.as_deref());
        }
        (format, columns) => {
            let mut rows = socket_table::inspect(&filter)?;
            let before = hidden(rows.iter().map(|row| &row.socket));
            sieve.retain(&mut rows, |row| &row.socket);
            let after = hidden(rows.iter().map(|row| &row.socket));
            let unseen = unseen(&sieve, before.saturating_sub(after));
            rows::sort(&mut rows, asked.order());
            match format {
                ListFormat::Text => {
                    let columns = columns.unwrap_or_default();
                    let asked_for = asked_for(&filter, &sieve, unseen.is_none());
                    rows::text(&rows, &columns, &asked_for, &mut out)?;
                }
                ListFormat::Json => json::inspected(&rows, &mut out)?,
                ListFormat::Csv => csv::sockets(&rows, &mut out)?,
            }
            out.flush()?;
            let in_csv = rows::owners_unseen(&rows);
            warn(unseen.or(in_csv.filter(|_| format == ListFormat::Csv)).as_deref());
        }
    }
    warn(access::elsewhere(&sieve.processes, "list").as_deref());
    Ok(0)
}

/// Returns what is asked for and Linux alone tells, where the system is not Linux: it is left out,
/// or empty in JSON and CSV.
fn untold(asked: &ListArgs, is_linux: bool) -> Option<String> {
    let of_linux = |column: &SocketColumn| column.is_told_by_linux_alone();
    let columns = asked.columns().unwrap_or_default();
    let columns: Vec<&str> = columns.iter().filter(|c| of_linux(c)).map(|c| c.name()).collect();
    (!is_linux && !columns.is_empty())
        .then(|| format!("left out, as Linux alone tells it: {}", columns.join(", ")))
}

/// Completes "No TCP socket …". Where some holders are not seen, nobody knows that there is none.
fn asked_for(filter: &SocketFilter, sieve: &SocketSieve, all_seen: bool) -> String {
    let whose = sieve.to_string();
    let whose = if all_seen { whose } else { whose.replace(", held by", ", seen to be held by") };
    format!("{filter}{whose}")
}

/// The number of sockets of which this user does not see who holds them.
fn hidden<'a>(sockets: impl IntoIterator<Item = &'a Socket>) -> usize {
    let hidden = |socket: &&Socket| socket.owners == Observed::NotObservable;
    sockets.into_iter().filter(hidden).count()
}

/// Returns what a search by process may have missed: so many sockets were left out without a look.
fn unseen(sieve: &SocketSieve, left_out: usize) -> Option<String> {
    (sieve.asks_for_owners() && left_out > 0).then(|| {
        let sockets = report::words::count(left_out, "socket");
        if access::proc_hides() {
            return format!(
                "{sockets} left out, as nobody sees who holds them: {}",
                access::HIDDEN
            );
        }
        format!("{sockets} of other users left out: root alone sees who holds them")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::InspectorArgs;

    #[test]
    fn elsewhere_than_on_linux_a_listing_says_what_it_leaves_out() {
        let said = |arguments: &[&str], is_linux| {
            let typed = std::iter::once(&"socket-inspector").chain(arguments);
            untold(&InspectorArgs::try_parse_from(typed).unwrap().list, is_linux)
        };
        assert_eq!(said(&[], false), None);
        assert_eq!(said(&["--columns", "local,state,owner"], false), None);
        assert_eq!(said(&["--columns", "local,rtt"], true), None);
        let left_out = "left out, as Linux alone tells it: rtt, cgroup".to_owned();
        assert_eq!(said(&["--columns", "rtt,local,cgroup"], false), Some(left_out));
    }
}
