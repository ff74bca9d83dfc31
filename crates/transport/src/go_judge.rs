//! Go's decisions, case by case: not to be changed.
//!
//! `rules.rs` is there to be changed, and whoever has changed it is to be told so: by a run that
//! follows other rules than Go's, not by a memory. So here are inputs, and beside each what Go
//! decides; at the start of every run the functions of `rules.rs`, and the limits of `config.rs`,
//! are asked the same. A difference is named in words, in the head of the run and in its verdict.
//!
//! This file knows nothing of what carries the decisions out (`pool.rs`, `go.rs`): who changes that
//! is not noticed here.

mod cases;

use std::time::Duration;

use evidence::{NotPooled, Preset, RuleDifference};
use http::{Method, Request, Response};

use crate::config::Limits;
use crate::rules::{self, DroppedBody, EarlyDrop, ExchangeAttempt, RequestSays};

/// The rules, as values that another set can be put in the place of.
#[derive(Clone, Copy)]
struct RuleSet {
    limits: Limits,
    read_ahead: usize,
    busy_grace: Duration,
    early_drop: fn(Preset) -> EarlyDrop,
    on_dropped_body: fn(EarlyDrop, bool, Option<u64>) -> DroppedBody,
    which_idle: fn(&[Duration]) -> Option<usize>,
    is_too_old: fn(Duration, &Limits) -> bool,
    may_dial: fn(usize, &Limits) -> bool,
    returns: fn(bool, &Limits) -> Result<(), NotPooled>,
    which_waiting: fn(usize) -> Option<usize>,
    keeps: fn(usize, &Limits) -> Result<(), NotPooled>,
    which_evicted: fn(&[Duration], &Limits) -> Option<usize>,
    takes_stream: fn(usize, usize, bool) -> bool,
    serves_all_who_wait: fn(&Limits) -> bool,
    persistence: fn(RequestSays, &Response<()>, bool) -> Result<(), NotPooled>,
    sends_body_after_final_response: fn(Result<(), NotPooled>) -> bool,
    says_that_there_is_no_body: fn(&Method) -> bool,
    too_much_interim: fn(u64, u64, bool) -> Option<String>,
    retries: fn(ExchangeAttempt) -> bool,
    is_replayable: fn(&Request<()>) -> bool,
}

impl RuleSet {
    /// The rules as they are in this build.
    const HERE: Self = Self {
        limits: Limits::GO,
        read_ahead: rules::READ_AHEAD,
        busy_grace: rules::BUSY_GRACE,
        early_drop: rules::early_drop,
        on_dropped_body: rules::on_dropped_body,
        which_idle: rules::which_idle,
        is_too_old: rules::is_too_old,
        may_dial: rules::may_dial,
        returns: rules::returns,
        which_waiting: rules::which_waiting,
        keeps: rules::keeps,
        which_evicted: rules::which_evicted,
        takes_stream: rules::takes_stream,
        serves_all_who_wait: rules::serves_all_who_wait,
        persistence: rules::persistence::<()>,
        sends_body_after_final_response: rules::sends_body_after_final_response,
        says_that_there_is_no_body: rules::says_that_there_is_no_body,
        too_much_interim: rules::too_much_interim,
        retries: rules::retries,
        is_replayable: rules::is_replayable::<()>,
    };
}

/// A question that Go has an answer to.
struct GoldenCase {
    /// The rule and its input, in words.
    rule: &'static str,
    /// Go's decision, in words.
    go: String,
    /// The decision here, in the same words.
    here: String,
}

/// Returns where this build decides otherwise than Go does under these rules, in the order of
/// `rules.rs`; nothing if it does not. hyper-util's client has rules of its own, so for it there is
/// nothing to compare.
#[must_use]
pub fn rule_differences(preset: Preset) -> Vec<RuleDifference> {
    differences(preset, &RuleSet::HERE)
}

fn differences(preset: Preset, rules: &RuleSet) -> Vec<RuleDifference> {
    if preset == Preset::HyperUtil {
        return Vec::new();
    }
    let mut differences: Vec<RuleDifference> = Vec::new();
    for GoldenCase { rule, go, here } in cases::all(preset, rules) {
        let difference = RuleDifference { rule: rule.to_owned(), go, here };
        // Several cases may say the same of a rule.
        if difference.go != difference.here && !differences.contains(&difference) {
            differences.push(difference);
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOS: [Preset; 2] = [Preset::Go, Preset::Go127];

    /// What is told of a set of rules, a difference a line.
    fn told(preset: Preset, rules: &RuleSet) -> String {
        let all = differences(preset, rules);
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_rules_are_gos() {
        for preset in Preset::ALL {
            assert_eq!(told(preset, &RuleSet::HERE), "", "{}", preset.name());
            assert!(rule_differences(preset).is_empty());
        }
    }

    #[test]
    fn a_rule_that_never_sends_again_is_noticed() {
        let rules = RuleSet { retries: |_| false, ..RuleSet::HERE };
        for preset in GOS {
            let words = "retries of idempotent requests on a connection that was idle (Go: yes; here: no)\nretries of requests of which nothing was written (Go: yes; here: no)";
            assert_eq!(told(preset, &rules), words);
        }
    }

    #[test]
    fn a_rule_that_does_not_hear_the_servers_close_is_noticed() {
        let persistence = |asked, response: &Response<()>, keep_alives| match rules::persistence(
            asked,
            response,
            keep_alives,
        ) {
            Err(NotPooled::ServerSaidClose) => Ok(()),
            other => other,
        };
        let words = "a connection after the server's `Connection: close` (Go: closed, server said close; here: kept)";
        assert_eq!(told(Preset::Go, &RuleSet { persistence, ..RuleSet::HERE }), words);
    }

    #[test]
    fn another_number_of_idle_connections_is_noticed() {
        let limits = Limits { max_idle_per_host: 5, ..Limits::GO };
        let words = "idle connections kept per host, by default (Go: 2; here: 5)";
        assert_eq!(told(Preset::Go, &RuleSet { limits, ..RuleSet::HERE }), words);
    }

    #[test]
    fn another_bound_for_draining_is_noticed_where_there_is_draining() {
        fn early_drop(preset: Preset) -> EarlyDrop {
            match preset {
                Preset::Go127 => {
                    EarlyDrop::Drain { bytes: 8 << 10, time: Duration::from_millis(50) }
                }
                _ => EarlyDrop::Close,
            }
        }
        let rules = RuleSet { early_drop, ..RuleSet::HERE };
        let words = "a body that is let go of (Go: drained, up to 256 KiB in 50 ms; here: drained, up to 8 KiB in 50 ms)";
        assert_eq!(told(Preset::Go127, &rules), words);
        assert_eq!(told(Preset::Go, &rules), "");
    }

    #[test]
    fn another_choice_of_the_idle_connection_is_noticed() {
        let rules = RuleSet { which_idle: |idle| (!idle.is_empty()).then_some(0), ..RuleSet::HERE };
        let words = "which of several idle connections a request gets (Go: the one used last; here: the one idle longest)";
        assert_eq!(told(Preset::Go, &rules), words);
    }

    #[test]
    fn hyper_util_has_no_rules_that_could_be_changed() {
        let rules = RuleSet { retries: |_| false, read_ahead: 1, ..RuleSet::HERE };
        assert_eq!(told(Preset::HyperUtil, &rules), "");
    }

    #[test]
    fn no_rule_can_be_turned_round_unnoticed() {
        let here = RuleSet::HERE;
        let turned = [
            RuleSet { limits: Limits { keep_alives: false, ..Limits::GO }, ..here },
            RuleSet { limits: Limits { max_idle: None, ..Limits::GO }, ..here },
            RuleSet { limits: Limits { max_conns_per_host: Some(9), ..Limits::GO }, ..here },
            RuleSet { limits: Limits { idle_timeout: None, ..Limits::GO }, ..here },
            RuleSet { read_ahead: 8192, ..here },
            RuleSet { busy_grace: Duration::ZERO, ..here },
            RuleSet { on_dropped_body: |_, _, _| DroppedBody::Close, ..here },
            RuleSet { which_idle: |_| None, ..here },
            RuleSet { is_too_old: |_, _| false, ..here },
            RuleSet { is_too_old: |_, _| true, ..here },
            RuleSet { may_dial: |_, _| true, ..here },
            RuleSet { may_dial: |_, _| false, ..here },
            RuleSet { returns: |_, _| Ok(()), ..here },
            RuleSet { returns: |_, _| Err(NotPooled::ConnectionBroken), ..here },
            RuleSet { which_waiting: |_| None, ..here },
            RuleSet { which_waiting: |waiting| waiting.checked_sub(1), ..here },
            RuleSet { keeps: |_, _| Ok(()), ..here },
            RuleSet { keeps: |_, _| Err(NotPooled::ConnectionBroken), ..here },
            RuleSet { which_evicted: |_, _| None, ..here },
            RuleSet { which_evicted: |idle, _| idle.len().checked_sub(1), ..here },
            RuleSet { takes_stream: |_, _, _| true, ..here },
            RuleSet { takes_stream: |_, _, _| false, ..here },
            RuleSet { serves_all_who_wait: |_| true, ..here },
            RuleSet { serves_all_who_wait: |_| false, ..here },
            RuleSet { persistence: |_, _, _| Ok(()), ..here },
            RuleSet { persistence: |_, _, _| Err(NotPooled::Http10), ..here },
            RuleSet { sends_body_after_final_response: |_| true, ..here },
            RuleSet { sends_body_after_final_response: |_| false, ..here },
            RuleSet { says_that_there_is_no_body: |_| true, ..here },
            RuleSet { says_that_there_is_no_body: |_| false, ..here },
            RuleSet { too_much_interim: |_, _, _| None, ..here },
            RuleSet { retries: |_| true, ..here },
            RuleSet { is_replayable: |_| true, ..here },
            RuleSet { is_replayable: |_| false, ..here },
        ];
        for (number, rules) in turned.iter().enumerate() {
            for preset in GOS {
                assert!(!differences(preset, rules).is_empty(), "number {number}");
            }
        }
    }
}
