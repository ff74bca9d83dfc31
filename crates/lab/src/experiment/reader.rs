//! One run of a file, with every formula of it tried at once.

use std::fmt;
use std::ops::Range;

use evidence::Preset;
use toml::Spanned;

use super::error::ExperimentError;
use super::rows::{File, LaidSettings, Rule, Shown, TransportName};
use super::{Expected, Measure, RunPrediction, Trial};
use crate::formula::{self, Formula};
use crate::real_go::RealGo;
use crate::settings::{Settings, Step};
use crate::{quantities, setup};

/// Reads an experiment, and finds out at once whether every formula of it makes sense.
pub(super) struct Reader<'a> {
    /// How the file is called in messages.
    pub(super) shown: &'a str,
    /// The text of the file.
    pub(super) source: &'a str,
}

impl Reader<'_> {
    pub(super) fn no_sense(
        &self,
        span: Option<Range<usize>>,
        what: impl fmt::Display,
    ) -> ExperimentError {
        let before = span.and_then(|span| self.source.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        ExperimentError::NoSense { file: self.shown.to_owned(), line, what: what.to_string() }
    }

    pub(super) fn trial(
        &self,
        file: &File,
        case: &LaidSettings<'_>,
        preset: Preset,
        real_go: Option<RealGo>,
        settings: Settings,
        changed: bool,
    ) -> Result<Trial, ExperimentError> {
        settings
            .ready(preset, false)
            .map_err(|error: setup::SetupError| self.no_sense(None, error))?;
        let names = settings.names(preset);
        let observed = quantities::vocabulary(snapshots(&settings)).and(&names);
        let mut predictions: Vec<RunPrediction> = Vec::new();
        // What is predicted of Go itself comes before what is predicted of its rules.
        let of_go = real_go.as_ref().map(|_| TransportName::RealGo);
        for transport in of_go.into_iter().chain([TransportName::Own(preset)]) {
            let known = predictions.len();
            for row in file.predict.iter().filter(|row| row.as_ref().is_for(transport, case.name)) {
                let because = if changed { "" } else { &row.as_ref().because };
                for (what, rule) in &row.as_ref().expect {
                    let more = self.prediction(what, rule, because, &names, &observed)?;
                    if !predictions.iter().take(known).any(|prior| prior.what == more.what) {
                        predictions.push(more);
                    }
                }
            }
        }
        if predictions.is_empty() {
            let what = match case.name {
                "" => format!("nothing is predicted for transport {}", preset.name()),
                case => {
                    format!("nothing is predicted for case `{case}`, transport {}", preset.name())
                }
            };
            return Err(self.no_sense(None, what));
        }
        let measures = file.measure.iter().map(|row| self.measure(row, &observed));
        let measures: Vec<Measure> = measures.collect::<Result<_, _>>()?;
        let formulas = predictions.iter().map(|prediction| &prediction.what);
        let formulas: Vec<&Formula> =
            formulas.chain(measures.iter().map(|measure| &measure.what)).collect();
        let hears = names_any(&quantities::WIRE_GROUPS, &formulas);
        let needs_private = needs_private(&settings, &predictions, &formulas);
        let case = case.name.to_owned();
        Ok(Trial { case, preset, real_go, settings, predictions, measures, needs_private, hears })
    }

    /// `what` = `rule`, where `names` may stand on the right and `observed` on the left.
    pub(super) fn prediction(
        &self,
        what: &str,
        rule: &Spanned<Rule>,
        because: &str,
        names: &formula::Names,
        observed: &formula::Names,
    ) -> Result<RunPrediction, ExperimentError> {
        let blame = |error| self.no_sense(Some(rule.span()), error);
        let what = Formula::parse(what).map_err(blame)?;
        check_names(&what, observed).map_err(blame)?;
        let Rule(text) = rule.as_ref();
        let expected = Expected::parse(text).map_err(blame)?;
        let (least, most) = expected.range(names).map_err(blame)?;
        if least.is_infinite() && most.is_infinite() {
            let what = format!("the range `{text}` is open at both ends, so it says nothing");
            return Err(self.no_sense(Some(rule.span()), what));
        }
        if least > most {
            let what = format!("the range `{text}` is empty: from {least} to {most}");
            return Err(self.no_sense(Some(rule.span()), what));
        }
        Ok(RunPrediction { what, expected, least, most, because: because.to_owned() })
    }

    fn measure(
        &self,
        row: &Spanned<Shown>,
        observed: &formula::Names,
    ) -> Result<Measure, ExperimentError> {
        let blame = |error| self.no_sense(Some(row.span()), error);
        let Shown { show, unit } = row.as_ref();
        let what = Formula::parse(show).map_err(blame)?;
        check_names(&what, observed).map_err(blame)?;
        Ok(Measure { what, unit: unit.clone() })
    }

    pub(super) fn chart(&self, chart: &Spanned<String>) -> Result<Formula, ExperimentError> {
        let blame = |error| self.no_sense(Some(chart.span()), error);
        let formula = Formula::parse(chart.as_ref()).map_err(blame)?;
        check_names(&formula, &quantities::vocabulary([])).map_err(blame)?;
        Ok(formula)
    }
}

/// Decides whether a formula over observations uses names that are known, and can be a number. What
/// it divides by is not known before the run.
fn check_names(formula: &Formula, names: &formula::Names) -> Result<(), formula::FormulaError> {
    match formula.value(names) {
        Err(formula::FormulaError::NotFinite { .. }) | Ok(_) => Ok(()),
        // Where the counters cannot be read nobody knows their names; they will be missed later.
        Err(formula::FormulaError::UnknownName { name, .. })
            if name.starts_with("counter.") && netlab::Counters::read().is_err() =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The names that the steps of a script give to tables.
pub(super) fn snapshots(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.workload.steps.iter().flatten().filter_map(|step| match step {
        Step::Snapshot(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Returns true if one of `formulas` uses a name whose first part is one of `groups`.
fn names_any(groups: &[&str], formulas: &[&Formula]) -> bool {
    formulas.iter().any(|formula| quantities::is_about(formula.text(), groups))
}

/// Returns why a run needs a private network. One that is predicted by other things than its packets
/// as well does not need it for them: without one they are not observed.
fn needs_private(
    settings: &Settings,
    predictions: &[RunPrediction],
    formulas: &[&Formula],
) -> Option<String> {
    if let Some(key) = settings.keys().iter().find(|key| key.starts_with("network.")) {
        return Some(format!("sets {key}"));
    }
    if names_any(&["counter"], formulas) {
        return Some("counts what the whole network does".to_owned());
    }
    let by_packets_alone = predictions.iter().all(RunPrediction::is_about_packets);
    by_packets_alone.then(|| "hears every packet of its network".to_owned())
}
