//! Answers that are right, and answers that are not.

use super::*;
use crate::experiment::{Experiment, ExperimentWish};

const CLOSES: &str = "question = 'x'\n\
    transports = ['go']\n\
    [client]\n\
    idle_timeout = '500ms'\n\
    [[ask]]\n\
    question = 'How many are opened?'\n\
    number = 'opened'\n\
    [[ask]]\n\
    question = 'When is it closed?'\n\
    number = 'closed_after'\n\
    near = 0.2\n\
    [[ask]]\n\
    question = 'Which end closes first?'\n\
    choice = 'closes first'\n\
    answers.client = { 'closed_by.client' = '1 ..' }\n\
    answers.server = { 'closed_by.server' = '1 ..' }\n\
    answers.reset = { 'closed_by.reset' = '1 ..' }\n\
    [[predict]]\n\
    expect.opened = 'requests'\n\
    expect.closed_after = 'idle_timeout .. 2 * idle_timeout'\n\
    expect.'closed_by.client' = 'requests'\n\
    because = 'y'\n";

fn experiment() -> Experiment {
    Experiment::read("own", "own.toml", CLOSES, &ExperimentWish::default()).unwrap()
}

fn names(seen: &[(&str, f64)]) -> Names {
    seen.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// Reads an answer to a question (from 0) of [`CLOSES`].
fn read(question: usize, text: &str) -> Result<LearnerAnswer, String> {
    let experiment = experiment();
    let trial = &experiment.trials[0];
    let names = trial.settings.names(trial.preset);
    LearnerAnswer::read(text, &experiment.questions[question].kind, &names)
}

/// The mark of an answer to it, and what is said to be observed.
fn marked(question: usize, text: &str, seen: &[(&str, f64)]) -> (AnswerMark, Option<String>) {
    let experiment = experiment();
    let answer = read(question, text).unwrap();
    let question = &experiment.questions[question];
    let names = names(seen);
    let marked = MarkedAnswer::beside(question, Some(&answer), &experiment.trials[0], Some(&names));
    (marked.mark, marked.observed)
}

#[test]
fn an_answer_is_written_as_the_right_side_of_a_prediction() {
    use LearnerAnswer::{Number, Range};
    for (text, answer) in [
        ("10", Number(10.0)),
        (" 0.5 ", Number(0.5)),
        ("2..5", Range(2.0, 5.0)),
        ("2 .. requests", Range(2.0, 10.0)),
        ("3..", Range(3.0, f64::INFINITY)),
        ("..5", Range(f64::NEG_INFINITY, 5.0)),
        ("requests * 2 - 1", Number(19.0)),
        ("4..4", Number(4.0)),
    ] {
        assert_eq!(read(0, text), Ok(answer), "{text}");
    }
}

#[test]
fn what_is_no_answer_is_told_with_what_would_be_one() {
    let wrong = |text| read(0, text).unwrap_err();
    insta::assert_snapshot!(
        wrong("many"),
        @"`many` names `many`, which is unknown; it is a number such as 10, or a range: 2..5, 3.. (at least 3), ..5"
    );
    insta::assert_snapshot!(wrong("5..2"), @"`5..2` is empty: from 5 to 2");
    for text in ["0 ..", "..", "-3 .."] {
        assert!(wrong(text).contains("could hardly fail"), "{text}: {}", wrong(text));
    }
    for text in ["about 57", "5 ms", "inf", "NaN", ">= 3", "1 / 0", "\"x\"", "1e999"] {
        assert!(read(0, text).is_err(), "{text}");
    }
    insta::assert_snapshot!(read(2, "4").unwrap_err(), @"it is one of 1 to 3, or of their words");
    insta::assert_snapshot!(read(2, "e").unwrap_err(), @"it is one of 1 to 3, or of their words");
}

#[test]
fn an_answer_is_chosen_by_its_number_or_its_name() {
    for (text, choice) in [("1", 0), ("client", 0), ("Server", 1), ("r", 2), (" 3 ", 2)] {
        assert_eq!(read(2, text), Ok(LearnerAnswer::Choice(choice)), "{text}");
    }
}

#[test]
fn a_count_is_right_if_it_is_what_was_observed_and_a_range_if_it_holds_it() {
    let mark = |text| marked(0, text, &[("opened", 7.0)]).0;
    assert_eq!(mark("7"), AnswerMark::Right);
    assert_eq!(mark("8"), AnswerMark::Wrong);
    assert_eq!(mark("2..7"), AnswerMark::Right);
    assert_eq!(mark("8.."), AnswerMark::Wrong);
    // The lab predicts `requests`, which is 10 here and was not observed.
    assert_eq!(mark("requests"), AnswerMark::Wrong);
}

#[test]
fn a_time_may_be_off_by_the_share_that_the_question_tells() {
    let mark = |text| marked(1, text, &[("closed_after", 0.6)]).0;
    assert_eq!(mark("0.5"), AnswerMark::Right);
    assert_eq!(mark("0.72"), AnswerMark::Right);
    assert_eq!(mark("0.47"), AnswerMark::Wrong);
    assert_eq!(mark("0.3 .. 0.55"), AnswerMark::Wrong);
}

#[test]
fn a_choice_is_right_if_it_was_observed_and_what_was_observed_is_told_whole() {
    let closed = |client, server, reset| {
        [("closed_by.client", client), ("closed_by.server", server), ("closed_by.reset", reset)]
    };
    let told = |text: &str| Some(text.to_owned());
    let only_client = closed(5.0, 0.0, 0.0);
    assert_eq!(marked(2, "client", &only_client), (AnswerMark::Right, told("client")));
    assert_eq!(marked(2, "server", &only_client), (AnswerMark::Wrong, told("client")));
    let both = closed(3.0, 0.0, 2.0);
    assert_eq!(marked(2, "reset", &both), (AnswerMark::Right, told("client, reset")));
    let none = closed(0.0, 0.0, 0.0);
    assert_eq!(marked(2, "client", &none), (AnswerMark::Wrong, told("none of these")));
}

#[test]
fn what_nobody_observed_makes_no_answer_right_or_wrong() {
    assert_eq!(marked(0, "7", &[]), (AnswerMark::Unjudged, None));
    assert_eq!(marked(2, "client", &[("closed_by.client", 0.0)]), (AnswerMark::Unjudged, None));
    let experiment = experiment();
    let answer = LearnerAnswer::Number(7.0);
    let (question, trial) = (&experiment.questions[0], &experiment.trials[0]);
    let not_run = MarkedAnswer::beside(question, Some(&answer), trial, None);
    assert_eq!((not_run.mark, not_run.held), (AnswerMark::Unjudged, None));
    let silent = MarkedAnswer::beside(question, None, trial, Some(&names(&[("opened", 10.0)])));
    assert_eq!((silent.mark, silent.held), (AnswerMark::Unanswered, Some(true)));
}

#[test]
fn the_lab_predicts_the_choice_that_follows_from_its_numbers() {
    let experiment = experiment();
    let (question, trial) = (&experiment.questions[2], &experiment.trials[0]);
    let seen =
        names(&[("closed_by.client", 10.0), ("closed_by.server", 0.0), ("closed_by.reset", 0.0)]);
    let marked = MarkedAnswer::beside(question, None, trial, Some(&seen));
    assert_eq!(marked.predicted.as_deref(), Some("client"));
    assert_eq!((marked.held, marked.because), (Some(true), "y"));
}

#[test]
fn the_score_counts_what_could_be_judged() {
    let score = LearnerScore { right: 4, wrong: 2, unjudged: 0, unanswered: 0 };
    insta::assert_snapshot!(score.text(), @"had 4 of 6");
    let score = LearnerScore { right: 1, wrong: 0, unjudged: 1, unanswered: 2 };
    insta::assert_snapshot!(score.text(), @"had 1 of 1, 1 cannot be judged, 2 without an answer");
    insta::assert_snapshot!(
        LearnerScore { unjudged: 2, ..LearnerScore::default() }.text(),
        @"predicted nothing that could be judged, 2 cannot be judged"
    );
    insta::assert_snapshot!(
        LearnerScore { unanswered: 3, ..LearnerScore::default() }.text(),
        @"answered none of 3"
    );
}
