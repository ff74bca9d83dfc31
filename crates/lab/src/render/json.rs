//! Results for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Row, Section, Tally};
use crate::judge::Verdict;
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
    experiments: Vec<ExperimentOf<'a>>,
}

#[derive(Serialize)]
struct ExperimentOf<'a> {
    name: &'a str,
    question: &'a str,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    case: &'a str,
    transport: &'a str,
    /// `held`, `not-held`, `skipped` or `could-not-run`.
    verdict: &'static str,
    /// Why it was skipped or could not run.
    because: Option<&'a str>,
    took_us: u64,
    /// What the learner predicted for the first of `predictions`.
    guess: Option<f64>,
    predictions: Vec<Predicted<'a>>,
    measured: Vec<Measured<'a>>,
    /// One sentence each; empty if the witnesses agree.
    disagreements: &'a [String],
    failures: Option<&'a BTreeMap<String, String>>,
    /// Everything that was observed, by name; times in seconds.
    observed: Option<&'a BTreeMap<String, f64>>,
    /// The settings of the private network, read back from the kernel.
    network: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Predicted<'a> {
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
struct Measured<'a> {
    what: &'a str,
    unit: &'a str,
    value: Option<f64>,
}

/// Writes all results as one JSON object and a line end.
///
/// # Errors
/// Those of `out`.
pub fn write(
    sections: &[Section<'_>],
    isolation: &Isolation,
    took: Duration,
    interrupted: bool,
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
        experiments: sections.iter().map(experiment).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &results)?;
    writeln!(out)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn experiment<'a>(section: &'a Section<'a>) -> ExperimentOf<'a> {
    ExperimentOf {
        name: &section.experiment.name,
        question: &section.experiment.question,
        runs: section.rows.iter().map(run).collect(),
    }
}

fn run<'a>(row: &'a Row<'a>) -> Run<'a> {
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
    let finite = |end: f64| end.is_finite().then_some(end);
    let predictions = trial.predictions.iter().enumerate().map(|(n, prediction)| {
        let observed = ran.and_then(|ran| ran.observed.get(n)?.as_ref().ok().copied());
        Predicted {
            what: prediction.what.text(),
            rule: prediction.expected.to_string(),
            least: finite(prediction.least),
            most: finite(prediction.most),
            because: &prediction.because,
            observed,
            held: ran.map(|_| observed.is_some_and(|observed| prediction.holds(observed))),
        }
    });
    let measured = trial.measures.iter().enumerate().map(|(n, measure)| Measured {
        what: measure.what.text(),
        unit: &measure.unit,
        value: ran.and_then(|ran| ran.measured.get(n)?.as_ref().ok().copied()),
    });
    let observation = ran.map(|ran| &ran.observation);
    let network = observation.into_iter().flat_map(|observation| &observation.network);
    Run {
        case: &trial.case,
        transport: trial.preset.name(),
        verdict,
        because,
        took_us: us(row.took),
        guess: row.guess,
        predictions: predictions.collect(),
        measured: measured.collect(),
        disagreements: observation.map_or(&[], |observation| &observation.disagreements),
        failures: observation.map(|observation| &observation.failures),
        observed: observation.map(|observation| &observation.quantities),
        network: network.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    }
}
