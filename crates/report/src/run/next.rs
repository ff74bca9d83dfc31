//! One command to try next. What is advised follows from the settings of the run and from what came
//! of it, and shows something else than the run has shown.

use std::time::Duration;

use evidence::{
    BodyPolicy, CloseReason, ClosedBy, CommandFlag, NotPooled, Outcome, Preset, Program, Setup,
};

use super::facts::{enough, most_frequent_loss};
use super::{change::Change, peer};

/// A command, and the question that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// The words of the command, from the program's name or `cargo` on, as the shell is to hand them
    /// over.
    pub words: Vec<String>,
    /// The question.
    pub question: String,
}

/// Returns the command to try next. A command of the same program keeps every flag that was typed
/// but those whose change is the point.
#[must_use]
pub fn next_step(outcome: &Outcome) -> NextStep {
    let setup = &outcome.setup;
    if outcome.failed() > 0 || !outcome.disagreements.is_empty() {
        let first = outcome.connections.first().map(|c| c.ends.server.port());
        let port = first.unwrap_or_else(|| port_of(&setup.server.url)).to_string();
        let question = "what does the kernel still list, and who holds it?";
        return step("socket-inspector", ["--port", &port], question);
    }
    let server_decides = peer::deeds(outcome).is_some() || is_the_servers(outcome);
    if !setup.server.in_process && server_decides {
        let arguments = ["trace", &setup.server.url, "--requests", "3"];
        return step("lab", arguments, "when does what happen to such a connection?");
    }
    let candidate = chosen(outcome);
    let flags = Change::flags(&candidate.changes, &setup.flags);
    let arguments = flags.iter().flat_map(CommandFlag::words);
    step(setup.program.name(), arguments, candidate.question)
}

/// The first that is possible, and another run than this one.
fn chosen(outcome: &Outcome) -> Candidate {
    let setup = &outcome.setup;
    let possible = candidates(outcome).into_iter().find(|candidate| {
        let changed = Change::all(&candidate.changes, setup);
        is_possible(&changed) && seen(&changed) != seen(setup)
    });
    possible.unwrap_or_else(|| more(setup))
}

fn step<S: Into<String>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    question: &str,
) -> NextStep {
    let mut words = program::call_words(program);
    words.extend(arguments.into_iter().map(Into::into));
    NextStep { words, question: question.to_owned() }
}

fn port_of(url: &str) -> u16 {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80)
}

/// Returns true if connections were lost because of the way in which the server answers.
fn is_the_servers(outcome: &Outcome) -> bool {
    matches!(
        most_frequent_loss(outcome),
        Some((
            CloseReason::NotPooled(
                NotPooled::ServerSaidClose | NotPooled::Http10 | NotPooled::BodyEndsWithConnection
            ),
            _
        ))
    )
}

/// Settings to change, and the question that is answered then.
struct Candidate {
    changes: Vec<Change>,
    question: &'static str,
}

fn candidate(
    changes: impl IntoIterator<Item = Change>,
    question: &'static str,
) -> Option<Candidate> {
    Some(Candidate { changes: changes.into_iter().collect(), question })
}

/// Returns what may be tried, the best first. Not all of it is possible, or another run than this.
fn candidates(outcome: &Outcome) -> Vec<Candidate> {
    let setup = &outcome.setup;
    let by_program = match setup.program {
        Program::Concurrent => concurrent(outcome),
        Program::Sequential | Program::Lab => sequential(outcome),
    };
    let all = once(setup).into_iter().chain(by_loss(outcome)).chain(by_program);
    all.chain(others(setup)).flatten().collect()
}

/// A single request shows nothing of what becomes of its connection.
fn once(setup: &Setup) -> Option<Option<Candidate>> {
    let again = "and if the connection could be used again?";
    (setup.exchanges() == 1).then(|| candidate([Change::Requests(10)], again))
}

/// What follows from the reason for which most connections were lost.
fn by_loss(outcome: &Outcome) -> Vec<Option<Candidate>> {
    let setup = &outcome.setup;
    let one_each = setup.workers.max(2);
    let mut all = Vec::new();
    match most_frequent_loss(outcome) {
        Some((CloseReason::IdleTimeout(_), _)) => {
            let long = Duration::from_secs(90);
            let outlives = long > setup.interval.saturating_add(Duration::from_secs(1));
            let question = "what if they may wait longer than the pause?";
            all.push(candidate([Change::IdleTimeout(outlives.then_some(long))], question));
        }
        Some((CloseReason::NotPooled(NotPooled::KeepAlivesDisabled), _)) => {
            all.push(kept_alive(setup));
        }
        Some((CloseReason::NotPooled(NotPooled::IdleCapReached { .. }), _)) => {
            let question = match setup.program {
                Program::Concurrent => "what if the pool keeps one for every worker?",
                Program::Sequential | Program::Lab => "what if the pool keeps idle connections?",
            };
            all.push(candidate([Change::PerHost(one_each)], question));
        }
        Some((CloseReason::NotPooled(NotPooled::TotalCapReached { .. }), _)) => {
            let question = "what if the pool keeps one for every worker?";
            let changes = [Change::MaxIdle(one_each), Change::PerHost(one_each)];
            all.push(candidate([Change::MaxIdle(one_each)], question));
            all.push(candidate(changes, question));
        }
        _ => {}
    }
    let queued = outcome.opened() < enough(outcome);
    if queued && setup.max_conns_per_host.is_some() {
        all.push(candidate([Change::NoMaxConns], "what if every worker may dial?"));
    }
    all
}

fn concurrent(outcome: &Outcome) -> Vec<Option<Candidate>> {
    let setup = &outcome.setup;
    let few = outcome.opened() <= enough(outcome);
    let drains = setup.body == BodyPolicy::Drain;
    let mut all = Vec::new();
    if drains && !few {
        let question = "what if the pool keeps one for every worker?";
        all.push(candidate([Change::PerHost(setup.workers)], question));
    }
    if setup.preset == Preset::HyperUtil {
        let question = "do Go's rules do the same with the same cap?";
        all.push(candidate([Change::Transport(Preset::Go)], question));
    }
    if drains && setup.per_host < setup.workers {
        let mut changes = Vec::new();
        if setup.requests == 1 {
            changes.push(Change::Requests(10));
        }
        if setup.interval.is_zero() || setup.requests == 1 {
            changes.push(Change::Interval(Duration::from_secs(1)));
        }
        let question = "what if they come back round after round, with a pause between?";
        all.push(candidate(changes, question));
        let question = "what if all workers are busy at once?";
        all.push(here(setup, Change::Delay(Duration::from_millis(20)), question));
    }
    let question = "does hyper-util's own pool do the same?";
    all.push(candidate([Change::Transport(Preset::HyperUtil)], question));
    all.push(candidate([Change::PerHost(2)], "what if the pool keeps two, as Go's does?"));
    all
}

fn sequential(outcome: &Outcome) -> Vec<Option<Candidate>> {
    let setup = &outcome.setup;
    let few = outcome.opened() <= enough(outcome);
    let nobody_reads = "what if nobody reads the bodies?";
    let mut all = Vec::new();
    match (setup.preset, setup.body) {
        (Preset::Go, BodyPolicy::Drain) => {
            let question = match setup.requests {
                10 => "what if nobody reads the bodies, as in the article? It has ten here",
                _ => "what if nobody reads the bodies, as in the article?",
            };
            all.push(candidate([Change::Body(BodyPolicy::Hold)], question));
        }
        (Preset::Go, BodyPolicy::Drop) => {
            if outcome.closed_by(ClosedBy::Reset) > 0 {
                let question = "and if the body is so small that nothing is left in the kernel?";
                all.push(here(setup, Change::Bytes(11), question));
            }
            let question = "what has Go 1.27 changed about that?";
            all.push(candidate([Change::Transport(Preset::Go127)], question));
        }
        (Preset::Go127, BodyPolicy::Drop) if few => {
            all.push(here(setup, Change::Bytes(1 << 20), "how much does it drain?"));
        }
        (Preset::HyperUtil, BodyPolicy::Drop) if few => {
            let pause = Change::PauseBeforeBody(Duration::from_millis(30));
            all.push(here(setup, pause, "what if the body comes later than its head?"));
        }
        (Preset::HyperUtil, BodyPolicy::Hold) if few => {
            let question = "what if hyper cannot read all of it ahead?";
            all.push(here(setup, Change::Bytes(64 << 10), question));
        }
        (Preset::HyperUtil | Preset::Go127, BodyPolicy::Drain) => {
            all.push(candidate([Change::Body(BodyPolicy::Drop)], nobody_reads));
        }
        _ => {}
    }
    let question = "what if the bodies are read to their end?";
    all.push(candidate([Change::Body(BodyPolicy::Drain)], question));
    all
}

/// A change to what the server answers, which only ours is sure to follow.
fn here(setup: &Setup, change: Change, question: &'static str) -> Option<Candidate> {
    if setup.server.in_process { candidate([change], question) } else { None }
}

/// Connections that may be used again need a pool that keeps some.
fn kept_alive(setup: &Setup) -> Option<Candidate> {
    let pool = (setup.per_host == 0).then_some(Change::PerHost(setup.workers.max(2)));
    let changes = [Change::KeepAlives].into_iter().chain(pool);
    candidate(changes, "what if connections may be used again?")
}

/// What can be tried after any run.
fn others(setup: &Setup) -> Vec<Option<Candidate>> {
    vec![
        candidate([Change::Body(BodyPolicy::Hold)], "what if nobody reads the bodies?"),
        candidate([Change::Body(BodyPolicy::Drop)], "what if nobody reads the bodies?"),
        kept_alive(setup),
        candidate([Change::PerHost(2)], "what if the pool keeps two, as Go's does?"),
        candidate([Change::Transport(Preset::HyperUtil)], "does hyper-util do the same?"),
    ]
}

/// Another number of requests, which is another run whatever else is set: more of them, or fewer
/// where there are many.
fn more(setup: &Setup) -> Candidate {
    let requests = match (setup.requests, setup.max_conns_per_host) {
        (1, _) => 2,
        // Bodies that are held may leave no connection for more.
        (requests, Some(_)) => requests / 2,
        (requests, None) if requests > 20 => requests / 2,
        (requests, None) => requests * 2,
    };
    let changes = vec![Change::Requests(requests)];
    Candidate { changes, question: "is it the same with another number of requests?" }
}

/// Returns true if the programs take these settings, and can come to an end with them.
fn is_possible(setup: &Setup) -> bool {
    let unlimited = setup.max_idle.is_none() && setup.max_conns_per_host.is_none();
    let has_its_limits = setup.preset != Preset::HyperUtil || (unlimited && setup.keep_alives);
    let holds = setup.body == BodyPolicy::Hold && setup.server.bytes != Some(0);
    // So many descriptors are not everybody's.
    let most = setup.max_conns_per_host.unwrap_or(400);
    has_its_limits && (!holds || setup.exchanges() <= most)
}

/// Returns the settings with all those made equal that cannot be told apart by what a run shows:
/// two runs that differ in nothing else are the same run.
fn seen(setup: &Setup) -> Setup {
    let mut seen = setup.clone();
    seen.flags = Vec::new();
    seen.server.url = String::new();
    if seen.server.bytes == Some(0) {
        // Nothing is there to be read.
        seen.body = BodyPolicy::Drain;
    }
    let never_drained = seen.server.bytes.is_some_and(|bytes| bytes > 256 << 10);
    if seen.preset == Preset::Go127 && (seen.body != BodyPolicy::Drop || never_drained) {
        seen.preset = Preset::Go;
    }
    if seen.requests == 1 {
        seen.interval = Duration::ZERO;
    }
    let most = match seen.body {
        BodyPolicy::Hold => seen.exchanges(),
        BodyPolicy::Drain | BodyPolicy::Drop => seen.workers,
    };
    seen.max_conns_per_host = seen.max_conns_per_host.filter(|max| *max < most);
    seen.per_host = seen.per_host.min(most);
    seen.max_idle = seen.max_idle.filter(|max| *max < most.min(seen.per_host));
    // Nothing comes back to be used again, or comes too late.
    if !seen.keep_alives || seen.per_host == 0 {
        (seen.max_idle, seen.idle_timeout) = (None, None);
    }
    if !seen.keep_alives {
        seen.per_host = 0;
    }
    let pause = seen.interval.saturating_add(Duration::from_millis(500));
    seen.idle_timeout = seen.idle_timeout.filter(|limit| *limit <= pause && seen.requests > 1);
    seen
}

#[cfg(test)]
#[path = "next/tests.rs"]
mod tests;
