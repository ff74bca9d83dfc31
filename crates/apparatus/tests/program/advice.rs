//! The commands that are advised after runs, read by the parser of the program itself.
//!
//! Shared by the tests of `sequential` and `concurrent`, which include it by its path.

use apparatus::Plan;
use evidence::{BodyPolicy, CommandFlag, Setup};

#[path = "outcomes.rs"]
mod outcomes;

/// What may be typed for each setting; nothing is the first.
const GRID: [&[&str]; 11] = [
    &["", "--body drop", "--body hold"],
    &["", "--transport go1.27", "--transport hyper-util"],
    &["", "--target http://localhost:8081/a?b=1&c=2", "--port 0"],
    &["", "--bytes 0", "--bytes 64KiB", "--bytes 1MiB"],
    &["", "--per-host 0", "--per-host 5", "--per-host 10"],
    &["", "--requests 1", "--requests 3"],
    &["", "--interval 0s", "--interval 5m"],
    &["", "--idle-timeout 100ms", "--idle-timeout none"],
    &["", "--max-idle 1", "--max-conns-per-host 3", "--max-conns-per-host none"],
    &["", "--no-keep-alives"],
    &["", "--trace --timeout 7s", "--delay 0ms", "--pause-before-body 30ms"],
];

/// Of all commands that the grid has every so-manyth, the same every time.
const EVERY: usize = 2003;

type Reader = fn(Vec<String>) -> Result<Plan, clap::Error>;

/// Holds the advice after runs of `program`, which may be told `own` things besides.
pub(crate) fn holds(program: &str, own: &[&str], read: Reader) {
    let read =
        |words: &[&str]| read([program].iter().chain(words).map(ToString::to_string).collect());
    let mut advised = 0;
    for command in commands(own) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let plan = read(&words).unwrap();
        if !is_possible(&plan) {
            continue;
        }
        for outcome in outcomes::outcomes(&plan.setup) {
            let step = report::run::next_step(&outcome);
            if step.words[3] != program {
                continue;
            }
            advised += 1;
            let words: Vec<&str> = step.words[5..].iter().map(String::as_str).collect();
            let next = read(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            let context = format!("after `{command}` there is advised {words:?}");
            is_another(&plan, &next, &context);
        }
    }
    assert!(advised > 500, "{advised}");
}

/// The plan of the advice is another one, can be carried out, and leaves alone what was typed.
fn is_another(plan: &Plan, next: &Plan, context: &str) {
    assert!(is_possible(next), "{context}");
    assert_ne!(settings(&next.setup), settings(&plan.setup), "{context}");
    assert_eq!(next.trace, plan.trace, "{context}");
    let typed = |plan: &Plan, name: &str| -> Option<CommandFlag> {
        plan.setup.flags.iter().find(|flag| flag.name == name).cloned()
    };
    for CommandFlag { name, .. } in &plan.setup.flags {
        assert!(typed(next, name).is_some() || name == "no-keep-alives", "{context}");
    }
    for name in ["target", "port", "timeout", "trace", "workers"] {
        assert_eq!(typed(next, name), typed(plan, name), "{context}");
    }
}

fn commands(own: &[&str]) -> impl Iterator<Item = String> {
    let grid: Vec<&[&str]> = GRID.into_iter().chain([own]).collect();
    let all: usize = grid.iter().map(|typed| typed.len()).product();
    (0..all).step_by(EVERY).map(move |number| {
        let mut rest = number;
        let typed = grid.iter().map(|typed| {
            let place = rest % typed.len();
            rest /= typed.len();
            typed[place]
        });
        typed.collect::<Vec<_>>().join(" ")
    })
}

/// Would the program carry it out?
fn is_possible(plan: &Plan) -> bool {
    let setup = &plan.setup;
    let holds = setup.body == BodyPolicy::Hold && setup.server.bytes != Some(0);
    let most = setup.max_conns_per_host.filter(|_| holds).unwrap_or(usize::MAX);
    plan.client.check().is_ok() && setup.exchanges() <= most
}

/// The settings without the words that led to them.
fn settings(setup: &Setup) -> Setup {
    let mut settings = Setup { flags: Vec::new(), ..setup.clone() };
    settings.server.url = String::new();
    settings
}
