//! The command line: what may be typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use evidence::TcpState;
use socket_inspector::Filter;

/// List this machine's TCP sockets, the two ends of a connection as one pair
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) list: List,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do rather than to list.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell every change of a TCP socket's state as it happens, with the time it took
    Trace(crate::trace::cli::Trace),

    /// Remove the tracer's private instance when the tracer is gone
    #[command(hide = true)]
    TraceWatchdog {
        /// The name of the instance
        instance: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  socket-inspector                                every TCP socket of this machine
  socket-inspector --port 8080                    a server and its clients
  socket-inspector --port 8080 --state time-wait  what is left of closed connections
  socket-inspector --format json | jq .tally      the counts, for a program
  socket-inspector trace --port 8080              every change of state, as it happens

Exit codes: 0 listed or traced (even if there is nothing to tell), 2 could not.";

/// What to list, and how.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// List only sockets with this port at either end; may be repeated
    #[arg(short, long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// List only sockets in this state, such as time-wait; may be repeated
    #[arg(short, long = "state", value_name = "STATE")]
    states: Vec<TcpState>,

    /// Write text for people or json for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: Format,
}

/// Who will read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Text,
    /// One JSON object
    Json,
}

impl List {
    /// Which sockets are asked for.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            ports: self.ports.clone(),
            states: self.states.iter().copied().collect(),
            ..Filter::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        let typed = std::iter::once(&"socket-inspector").chain(arguments);
        Cli::try_parse_from(typed).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_state_may_be_spelt_as_netstat_or_as_ss_does() {
        let typed =
            ["socket-inspector", "-p", "80", "--state", "time-wait", "--state", "CLOSE_WAIT"];
        let filter = Cli::try_parse_from(typed).unwrap().list.filter();
        let expected =
            Filter::default().port(80).state(TcpState::TimeWait).state(TcpState::CloseWait);
        assert_eq!(filter, expected);
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_states_there_are() {
        let refusal = refusal(&["--state", "waiting"]);
        assert!(refusal.contains("time-wait") && refusal.contains("listen"), "{refusal}");
    }

    #[test]
    fn port_0_is_refused_as_no_socket_has_it() {
        assert!(refusal(&["--port", "0"]).contains("1..=65535"));
    }
}
