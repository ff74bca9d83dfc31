//! The command line: what may be typed.

use clap::{Parser, Subcommand};

use crate::list::args::ListArgs;
use crate::pool::args::PoolArgs;
use crate::ports::args::PortsArgs;
use crate::trace::args::TraceArgs;
use crate::watch::args::WatchArgs;

/// List this machine's TCP sockets, the two ends of a connection as one pair
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = after_help(), args_conflicts_with_subcommands = true)]
pub(crate) struct InspectorArgs {
    #[command(subcommand)]
    pub(crate) command: Option<InspectorCommand>,

    #[command(flatten)]
    pub(crate) list: ListArgs,
}

fn after_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "{LIST_STATUS}

{examples}
  socket-inspector                         every TCP socket of this machine
  socket-inspector --port 8080             a server and its clients
  socket-inspector --port 8080 --state time-wait
                                           what is left of closed connections
  socket-inspector list --process nginx --wide
                                           round trips, bytes, silence
  socket-inspector list --sort recv-q --side client
  socket-inspector --format json | jq .tally
                                           the counts, for a program
  socket-inspector watch --port 8080       connections as they come and go
  socket-inspector trace --port 8080       every change of state
  socket-inspector ports --watch 10        ports in use, by whom, for how long
  socket-inspector pool --pid 4711         what a client's connections are at
  socket-inspector pool --process curl --peer 10.0.0.7:443"
    )
}

const NAME: &str = "socket-inspector";

/// Nothing found is an answer.
const LIST_STATUS: &str =
    "Exit status: 0 told, even if there is nothing to tell; 2 could not be told.";

fn list_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "{LIST_STATUS}

{examples}
  socket-inspector list --port 8080 --state time-wait
  socket-inspector list --process nginx --wide
  socket-inspector list --columns local,peer,rtt --sort rtt"
    )
}

fn ports_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "{LIST_STATUS}

{examples}
  socket-inspector ports                            one look
  socket-inspector ports --watch 10                 a report every second
  socket-inspector ports --peer 10.0.0.7 --interval 5"
    )
}

fn pool_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "{LIST_STATUS}

{examples}
  socket-inspector pool --pid 4711
  socket-inspector pool --process curl --peer 10.0.0.7:443 --watch 10
  socket-inspector pool --port 8080 --idle-timeout 60   as the server closes"
    )
}

fn watch_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "\
Keys: q ends it. / narrows: words such as time_wait, :8080, curl, open, over,
!close_wait. s changes the order, space halts the looks, c forgets connections
that are over, the arrow keys select a connection, whose past is told below the
list.

What is shorter than the time between two looks is not seen; trace sees it.

Exit status: 0 watched, even if nothing changed; 2 could not watch.

{examples}
  socket-inspector watch --port 8080       a server and its clients
  socket-inspector watch --process nginx   what a process has, and had
  socket-inspector watch --format jsonl --for 10s |
      jq -c 'select(.to == \"TIME_WAIT\")'"
    )
}

fn trace_help() -> String {
    let examples = program::examples_of(NAME);
    format!(
        "\
It also ends when the process that started it does, so that it leaves nothing
behind.

Exit status: 0 traced, even if nothing changed; 2 could not trace.

{examples}
  socket-inspector trace --port 8080             until Ctrl-C
  socket-inspector trace --port 8080 --for 10s   for ten seconds
  socket-inspector trace --packets               and who sent FIN or RST first
  socket-inspector trace --witness sampling      as an ordinary user sees it"
    )
}

/// What to do; without it, list.
#[derive(Debug, Subcommand)]
pub(crate) enum InspectorCommand {
    /// List sockets: what is done if no command is given
    #[command(after_help = list_help())]
    List(ListArgs),
    /// Show connections as they come, change and go, in this terminal or as json
    #[command(after_help = watch_help())]
    Watch(WatchArgs),
    /// Show how many ports are left for connections to each destination, and for how long
    #[command(after_help = ports_help())]
    Ports(PortsArgs),
    /// Look at a process's connections from outside: busy, idle, unread, closed by the peer
    #[command(after_help = pool_help())]
    Pool(PoolArgs),
    /// Tell every change of a TCP socket's state as it happens, with the time it took
    #[command(after_help = trace_help())]
    Trace(TraceArgs),
    /// Remove the tracer's private instance when the tracer is gone
    #[command(hide = true)]
    TraceWatchdog {
        /// The name of the instance
        instance: String,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evidence::TcpState;
    use socket_table::SocketFilter;

    use super::*;
    use crate::list::rows::SocketColumn;

    fn typed(arguments: &[&str]) -> Result<InspectorArgs, clap::Error> {
        InspectorArgs::try_parse_from(std::iter::once(&"socket-inspector").chain(arguments))
    }

    fn refusal(arguments: &[&str]) -> String {
        typed(arguments).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        InspectorArgs::command().debug_assert();
    }

    #[test]
    fn a_state_may_be_spelt_as_netstat_or_as_ss_does() {
        let filter = typed(&["-p", "80", "--state", "time-wait", "--state", "CLOSE_WAIT"]);
        let expected =
            SocketFilter::default().port(80).state(TcpState::TimeWait).state(TcpState::CloseWait);
        assert_eq!(filter.unwrap().list.filter(), expected);
    }

    #[test]
    fn list_is_what_is_done_without_a_command() {
        let bare = typed(&["--port", "80"]).unwrap();
        assert!(bare.command.is_none());
        let Some(InspectorCommand::List(list)) = typed(&["list", "--port", "80"]).unwrap().command
        else {
            panic!("no list");
        };
        assert_eq!(list.filter(), bare.list.filter());
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_states_there_are() {
        let refusal = refusal(&["--state", "waiting"]);
        assert!(refusal.contains("time-wait") && refusal.contains("listen"), "{refusal}");
    }

    #[test]
    fn an_unknown_column_is_refused_with_the_columns_there_are() {
        let refusal = refusal(&["--sort", "color"]);
        assert!(refusal.contains("recv-q") && refusal.contains("last-received"), "{refusal}");
    }

    #[test]
    fn the_column_that_orders_the_rows_is_shown() {
        let columns = |arguments: &[&str]| typed(arguments).unwrap().list.columns();
        assert_eq!(columns(&[]), None);
        assert!(columns(&["--sort", "rtt"]).unwrap().contains(&SocketColumn::Rtt));
        let asked = columns(&["--sort", "rtt", "--columns", "local,last_sent"]).unwrap();
        assert_eq!(asked, [SocketColumn::Local, SocketColumn::LastSent]);
    }

    #[test]
    fn ports_are_looked_at_once_unless_a_time_is_given() {
        let looks = |arguments: &[&str]| {
            let typed = typed(&[&["ports"], arguments].concat()).unwrap();
            let Some(InspectorCommand::Ports(ports)) = typed.command else { panic!("no ports") };
            ports.looks()
        };
        let s = Duration::from_secs;
        assert_eq!(looks(&[]).1, 0);
        assert_eq!(looks(&["--interval", "500ms", "--watch", "1min"]), (s(1) / 2, 120));
        assert_eq!(looks(&["--interval", "2"]), (s(2), 1));
        assert_eq!(looks(&["--watch", "10"]), (s(1), 10));
        assert_eq!(looks(&["--watch", "10", "--interval", "5"]), (s(5), 2));
        assert!(refusal(&["ports", "--watch", "0"]).contains("a time from 1ms"));
    }

    #[test]
    fn a_pool_is_that_of_a_process_or_of_a_server_s_clients() {
        assert!(refusal(&["pool", "--watch", "1"]).contains("--pid <PID>"));
        assert!(typed(&["pool", "--pid", "7"]).is_ok());
        assert!(typed(&["pool", "--port", "80"]).is_ok());
        assert!(typed(&["pool", "--pid", "7", "--port", "80"]).is_ok());
        assert!(typed(&["pool", "--process", "curl", "--peer", "10.0.0.7:443"]).is_ok());
    }

    #[test]
    fn port_0_is_refused_as_no_socket_has_it() {
        assert!(refusal(&["--port", "0"]).contains("1..=65535"));
    }
}
