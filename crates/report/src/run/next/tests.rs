//! After whatever run: the advice is another run.

use proptest::prelude::*;

use super::*;

#[path = "../../../../apparatus/tests/program/outcomes.rs"]
mod outcomes;

fn setups() -> impl Strategy<Value = Setup> {
    let ms =
        |all: &'static [u64]| prop::sample::select(all).prop_map(Duration::from_millis).boxed();
    let numbers = |all: &'static [usize]| prop::sample::select(all);
    let limits = |all: &'static [usize]| prop::option::of(prop::sample::select(all));
    let client = (
        prop::sample::select(&[Program::Sequential, Program::Concurrent][..]),
        prop::sample::select(&Preset::ALL[..]),
        prop::sample::select(&BodyPolicy::ALL[..]),
        (numbers(&[1, 3, 10]), numbers(&[1, 2, 10, 100])),
        (numbers(&[0, 1, 2, 10, 20]), limits(&[0, 1, 5, 100]), limits(&[1, 5, 50])),
        (ms(&[0, 300, 1000, 100_000]), prop::option::of(ms(&[0, 100, 1000, 90_000]))),
        any::<bool>(),
    );
    let server = (
        any::<bool>(),
        prop::option::of(prop::sample::select(&[0_u64, 11, 65_536, 1 << 20][..])),
        (ms(&[0, 20]), ms(&[0, 30])),
    );
    (client, server).prop_map(|(client, server)| {
        let (program, preset, body, (workers, requests), limits, times, keep_alives) = client;
        let (in_process, bytes, (delay, pause_before_body)) = server;
        let url = if in_process { "http://127.0.0.1:8080/" } else { "http://h:81/?a=1&b=2" };
        let is_hyper_util = preset == Preset::HyperUtil;
        let bytes = if in_process { bytes.or(Some(11)) } else { bytes };
        Setup {
            program,
            preset,
            body,
            workers: if program == Program::Sequential { 1 } else { workers },
            requests,
            interval: times.0,
            per_host: limits.0,
            max_idle: limits.1.filter(|_| !is_hyper_util),
            max_conns_per_host: limits.2.filter(|_| !is_hyper_util),
            idle_timeout: times.1,
            keep_alives: keep_alives || is_hyper_util,
            server: evidence::ServerSetup {
                in_process,
                url: url.to_owned(),
                bytes,
                delay,
                pause_before_body,
            },
            flags: match keep_alives || is_hyper_util {
                true => Vec::new(),
                false => vec![CommandFlag { name: "no-keep-alives".to_owned(), value: None }],
            },
        }
    })
}

/// The value of a flag of the advice.
fn value<'a>(step: &'a NextStep, flag: &str) -> Option<&'a str> {
    let place = step.words.iter().position(|word| word == flag)?;
    step.words.get(place + 1).map(String::as_str)
}

proptest! {
    #[test]
    fn no_advice_is_what_the_run_was(setup in setups()) {
        prop_assume!(is_possible(&setup));
        let (body, preset) = (setup.body.name(), setup.preset.name());
        for outcome in outcomes::outcomes(&setup) {
            let step = next_step(&outcome);
            if step.words[3] != setup.program.name() {
                continue;
            }
            let as_typed: Vec<String> = setup.flags.iter().flat_map(CommandFlag::words).collect();
            prop_assert!(step.words[5..] != as_typed[..], "{step:?} changes nothing");
            prop_assert_ne!(value(&step, "--body"), Some(body));
            prop_assert_ne!(value(&step, "--transport"), Some(preset));
            let number = |flag| value(&step, flag).and_then(|text| text.parse::<usize>().ok());
            prop_assert_ne!(number("--per-host"), Some(setup.per_host));
            prop_assert_ne!(number("--requests"), Some(setup.requests));
            // The same with every flag typed.
            let flags = [("target", "http://h:81/?a=1&b=2"), ("body", body), ("timeout", "7s")];
            let flags = flags.map(|(name, value)| CommandFlag {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            });
            let mut typed = outcome.clone();
            typed.setup.flags = flags.into();
            let again = next_step(&typed);
            prop_assert_eq!(value(&again, "--target"), Some("http://h:81/?a=1&b=2"));
            prop_assert_eq!(value(&again, "--timeout"), Some("7s"));
            let words = again.words.iter();
            prop_assert_eq!(words.filter(|word| *word == "--body").count(), 1);
        }
    }

    #[test]
    fn what_is_advised_can_be_carried_out_and_told_apart_from_what_was_seen(setup in setups()) {
        prop_assume!(is_possible(&setup));
        let of_outcomes = outcomes::outcomes(&setup);
        for chosen in of_outcomes.iter().map(chosen) {
            let changed = Change::all(&chosen.changes, &setup);
            prop_assert_ne!(seen(&changed), seen(&setup), "{}", chosen.question);
            prop_assert!(is_possible(&changed), "{}: {changed:?}", chosen.question);
        }
    }
}

fn idle_for(limit_ms: u64, interval_ms: u64) -> String {
    let mut setup = super::super::tests::setup(Preset::Go, BodyPolicy::Drain);
    setup.interval = Duration::from_millis(interval_ms);
    setup.idle_timeout = Some(Duration::from_millis(limit_ms));
    let outcome = outcomes::outcomes(&setup).remove(10);
    next_step(&outcome).words[5..].join(" ")
}

#[test]
fn a_longer_idle_timeout_is_one_that_outlives_the_pause() {
    assert_eq!(idle_for(100, 300), "--idle-timeout 90s");
    assert_eq!(idle_for(100, 100_000), "--idle-timeout none");
    assert_eq!(idle_for(90_000, 100_000), "--idle-timeout none");
}

#[test]
fn the_port_of_a_server_that_nobody_reached_is_that_of_its_url() {
    for (url, port) in [
        ("http://127.0.0.1:8123/", 8123),
        ("http://[::1]:81?x", 81),
        ("http://localhost/", 80),
        ("http://[::1]/", 80),
    ] {
        assert_eq!(port_of(url), port, "{url}");
    }
}
