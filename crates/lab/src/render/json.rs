//! Results for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use evidence::RuleDifference;
use serde::Serialize;

use super::{Judged, Section, Tally, TrialRow};
use crate::experiment::QuestionKind;
use crate::judge::Verdict;
use crate::learner::{AnswerMark, LearnerAnswer, LearnerScore, MarkedAnswer};
use crate::record::RunRecord;
use crate::run::Isolation;

/// The keys keep their names as long as this number stays; more may be added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Results<'a> {
    schema: u32,
    program: &'static str,
    /// `private`: every run had a network of its own; `shared`: the machine's.
    network: &'static str,
    /// Why it was not private; `null` if it was.
    network_shared_because: Option<&'a str>,
    held: usize,
    not_held: usize,
    skipped: usize,
    could_not_run: usize,
    interrupted: bool,
    elapsed_us: u64,
    /// `null` without `--predict`.
    score: Option<ScoreResult>,
    experiments: Vec<ExperimentOf<'a>>,
}

/// How many of the learner's answers became what.
#[derive(Serialize)]
struct ScoreResult {
    right: usize,
    wrong: usize,
    unjudged: usize,
    unanswered: usize,
}

#[derive(Serialize)]
struct ExperimentOf<'a> {
    name: &'a str,
    question: &'a str,
    runs: Vec<RunResult<'a>>,
}

#[derive(Serialize)]
struct RunResult<'a> {
    case: &'a str,
    transport: &'a str,
    /// `held`, `not-held`, `skipped` or `could-not-run`.
    verdict: &'static str,
    /// Why it was skipped or could not run.
    because: Option<&'a str>,
    took_us: u64,
    /// The learner's own number for the first of `predictions`, if it is one; it is in `asked`, too.
    guess: Option<f64>,
    /// What the learner was asked about this run; empty without `--predict`.
    asked: Vec<AnswerResult<'a>>,
    predictions: Vec<PredictionResult<'a>>,
    measured: Vec<MeasureResult<'a>>,
    /// Where the client's rules are no longer Go's; empty if they are.
    rule_differences: &'a [RuleDifference],
    /// One sentence each; empty if the witnesses agree.
    disagreements: Vec<&'a str>,
    failures: Option<BTreeMap<&'static str, &'a str>>,
    /// Everything that was observed, by name; times in seconds.
    observed: Option<&'a BTreeMap<String, f64>>,
    /// The settings of the private network, read back from the kernel.
    network: BTreeMap<&'a str, &'a str>,
    /// With `--evidence`: all that the witnesses saw. `null` if it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Option<&'a RunRecord>>,
}

/// A question to the learner, and what became of the answer.
#[derive(Serialize)]
struct AnswerResult<'a> {
    question: &'a str,
    /// The quantity that is asked for, or in a word what is to be chosen.
    what: &'a str,
    /// The answers that could be chosen; empty if a number was asked for.
    choices: Vec<&'a str>,
    /// In words, as the tables have it; `null` if there is no answer.
    yours: Option<String>,
    /// The ends of a number or a range; `null` if it is open there, or no number.
    least: Option<f64>,
    most: Option<f64>,
    predicted: Option<&'a str>,
    observed: Option<&'a str>,
    /// `null` if there is no answer, or nothing to hold it against.
    right: Option<bool>,
}

#[derive(Serialize)]
struct PredictionResult<'a> {
    what: &'a str,
    rule: String,
    /// `null` if the range is open at this end.
    least: Option<f64>,
    most: Option<f64>,
    because: &'a str,
    /// `null` if nobody observed it.
    observed: Option<f64>,
    /// `null` if it did not run.
    held: Option<bool>,
}

#[derive(Serialize)]
struct MeasureResult<'a> {
    what: &'a str,
    unit: &'a str,
    value: Option<f64>,
}

/// Writes all results as one JSON object and a line end, on request with the whole evidence of
/// every run.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(
    sections: &[Section<'_>],
    isolation: &Isolation,
    took: Duration,
    interrupted: bool,
    with_evidence: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let Tally { held, not_held, skipped, could_not_run } =
        Tally::of(sections.iter().flat_map(|section| &section.rows));
    let (network, network_shared_because) = match isolation {
        Isolation::Private => ("private", None),
        Isolation::Shared(why) => ("shared", Some(why.as_str())),
    };
    let results = Results {
        schema: SCHEMA,
        program: "lab",
        network,
        network_shared_because,
        held,
        not_held,
        skipped,
        could_not_run,
        interrupted,
        elapsed_us: us(took),
        score: score(sections),
        experiments: sections.iter().map(|section| experiment(section, with_evidence)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &results)?;
    writeln!(out)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn experiment<'a>(section: &'a Section<'a>, with_evidence: bool) -> ExperimentOf<'a> {
    ExperimentOf {
        name: &section.experiment.name,
        question: &section.experiment.question,
        runs: section.rows.iter().map(|row| run(section, row, with_evidence)).collect(),
    }
}

fn score(sections: &[Section<'_>]) -> Option<ScoreResult> {
    let mut answers = sections.iter().filter_map(|section| section.answers.as_ref()).peekable();
    answers.peek()?;
    let LearnerScore { right, wrong, unjudged, unanswered } = LearnerScore::of(answers.flatten());
    Some(ScoreResult { right, wrong, unjudged, unanswered })
}

fn asked<'a>(section: &'a Section<'a>, row: &TrialRow<'_>) -> Vec<AnswerResult<'a>> {
    let of_row = section.answers.iter().flatten().filter(|it| it.question.trial == row.number);
    let asked = |answer: &'a MarkedAnswer<'a>| {
        let kind = &answer.question.kind;
        let (what, choices) = match kind {
            QuestionKind::Number { prediction, .. } => {
                let trial = section.experiment.trials.get(row.number);
                let prediction = trial.and_then(|trial| trial.predictions.get(*prediction));
                (prediction.map_or("", |prediction| prediction.what.text()), Vec::new())
            }
            QuestionKind::Choice { name, options } => {
                (&**name, options.iter().map(|option| &*option.name).collect())
            }
        };
        let (least, most) = match answer.answer {
            Some(LearnerAnswer::Number(value)) => (Some(*value), Some(*value)),
            Some(LearnerAnswer::Range(least, most)) => (finite(*least), finite(*most)),
            Some(LearnerAnswer::Choice(_)) | None => (None, None),
        };
        AnswerResult {
            question: &answer.question.text,
            what,
            choices,
            yours: answer.answer.map(|it| it.text(kind)),
            least,
            most,
            predicted: answer.predicted.as_deref(),
            observed: answer.observed.as_deref(),
            right: match answer.mark {
                AnswerMark::Right => Some(true),
                AnswerMark::Wrong => Some(false),
                AnswerMark::Unjudged | AnswerMark::Unanswered => None,
            },
        }
    };
    of_row.map(asked).collect()
}

fn finite(end: f64) -> Option<f64> {
    end.is_finite().then_some(end)
}

/// The learner's number for the first prediction of a run.
fn guess(section: &Section<'_>, row: &TrialRow<'_>) -> Option<f64> {
    section.answers.iter().flatten().find_map(|answer| {
        match (&answer.question.kind, answer.answer) {
            (QuestionKind::Number { prediction: 0, .. }, Some(LearnerAnswer::Number(value)))
                if answer.question.trial == row.number =>
            {
                Some(*value)
            }
            _ => None,
        }
    })
}

fn run<'a>(section: &'a Section<'a>, row: &'a TrialRow<'a>, with_evidence: bool) -> RunResult<'a> {
    let trial = row.trial;
    let ran = match row.verdict {
        Verdict::Ran(ran) => Some(ran),
        Verdict::Skipped(_) | Verdict::CouldNotRun(_) => None,
    };
    let because = match row.verdict {
        Verdict::Skipped(why) | Verdict::CouldNotRun(why) => Some(why.as_str()),
        Verdict::Ran(_) => None,
    };
    let verdict = match row.verdict {
        Verdict::Skipped(_) => "skipped",
        Verdict::CouldNotRun(_) => "could-not-run",
        Verdict::Ran(_) if row.verdict.held(trial) => "held",
        Verdict::Ran(_) => "not-held",
    };
    let judged: Vec<Judged<'_>> = ran.into_iter().flat_map(|ran| ran.judged(trial)).collect();
    let predictions = trial.predictions.iter().enumerate().map(|(n, prediction)| {
        let observed = ran.and_then(|ran| ran.observed.get(n)?.as_ref().ok().copied());
        PredictionResult {
            what: prediction.what.text(),
            rule: prediction.expected.to_string(),
            least: finite(prediction.least),
            most: finite(prediction.most),
            because: &prediction.because,
            observed,
            held: judged.get(n).filter(|judged| !judged.unseen).map(|judged| judged.held),
        }
    });
    let measured = trial.measures.iter().enumerate().map(|(n, measure)| MeasureResult {
        what: measure.what.text(),
        unit: &measure.unit,
        value: ran.and_then(|ran| ran.measured.get(n)?.as_ref().ok().copied()),
    });
    let record = ran.map(|ran| &ran.record);
    let network = record.into_iter().flat_map(|record| &record.network);
    RunResult {
        case: &trial.case,
        transport: trial.transport(),
        verdict,
        because,
        took_us: us(row.took),
        guess: guess(section, row),
        asked: asked(section, row),
        predictions: predictions.collect(),
        measured: measured.collect(),
        rule_differences: record.map_or(&[], |record| &record.outcome.rule_differences),
        disagreements: record.into_iter().flat_map(RunRecord::disagreements).collect(),
        failures: record.map(RunRecord::failures),
        observed: ran.map(|ran| &ran.quantities),
        network: network.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        evidence: with_evidence.then_some(record),
    }
}
