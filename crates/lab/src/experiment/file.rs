//! An experiment's file: its shape in TOML, and what it means.

use std::fmt;
use std::ops::Range;

use evidence::Preset;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use toml::Spanned;

use super::disturbing::disturbing;
use super::question::QuestionRow;
use super::{Expected, Experiment, MEASURES, Measure, RunPrediction, Trial};
use crate::formula::{self, Formula};
use crate::real_go::{self, RealGo};
use crate::settings::{Client, Network, Server, Settings, Step, Workload};
use crate::{quantities, setup};

/// A fault in an experiment, and its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExperimentError {
    /// It is no TOML, or not of this shape.
    #[error("{file}: {}", cause.to_string().trim_end())]
    NotAnExperiment {
        /// The file.
        file: String,
        /// Line, column and what is allowed there. Not a `source`: it is all in the message.
        cause: Box<toml::de::Error>,
    },
    /// It has the shape, but makes no sense.
    #[error("{file}{}: {what}", line.map_or(String::new(), |line| format!(", line {line}")))]
    NoSense {
        /// The file.
        file: String,
        /// The line, if one is to blame.
        line: Option<usize>,
        /// The fault.
        what: String,
    },
    /// `--set` is no setting.
    #[error("--set {text}: {what}")]
    BadOverride {
        /// The text that was typed.
        text: String,
        /// The fault in it.
        what: String,
    },
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    question: String,
    look_for: Option<String>,
    transports: Option<Vec<TransportName>>,
    #[serde(default)]
    alone: bool,
    chart: Option<Spanned<String>>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    client: Client,
    #[serde(default)]
    workload: Workload,
    #[serde(default)]
    case: Vec<Case>,
    #[serde(default)]
    predict: Vec<Spanned<Predict>>,
    #[serde(default)]
    pub(super) ask: Vec<Spanned<QuestionRow>>,
    #[serde(default)]
    measure: Vec<Spanned<Shown>>,
}

/// `[[case]]`: settings laid over the file's. The sections stand here again, as serde's way of
/// sharing them (`flatten`) would let unknown keys pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    transports: Option<Vec<TransportName>>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    client: Client,
    #[serde(default)]
    workload: Workload,
}

/// `[[predict]]`: what is expected, for some transports and cases, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Predict {
    transports: Option<Vec<TransportName>>,
    cases: Option<Vec<String>>,
    expect: IndexMap<String, Spanned<Rule>>,
    because: String,
}

impl Predict {
    /// Returns true if it speaks of `case` through `transport`; of Go itself only if it names it.
    fn is_for(&self, transport: TransportName, case: &str) -> bool {
        let of_all = transport != TransportName::RealGo;
        self.transports.as_ref().map_or(of_all, |all| all.contains(&transport))
            && self.cases.as_ref().is_none_or(|all| all.iter().any(|name| name == case))
    }
}

/// `[[measure]]`: what is shown beside the predictions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    show: String,
    unit: String,
}

/// A transport by its name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum TransportName {
    /// One that this program brings.
    Own(Preset),
    /// Go's, of which a prediction may know better than of the rules that are re-created.
    RealGo,
}

impl TransportName {
    fn name(self) -> &'static str {
        match self {
            Self::Own(preset) => preset.name(),
            Self::RealGo => real_go::NAME,
        }
    }
}

impl<'de> Deserialize<'de> for TransportName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["go", "go1.27", "hyper-util", real_go::NAME];
        let name = String::deserialize(from)?;
        let mut all = Preset::ALL.into_iter().map(Self::Own).chain([Self::RealGo]);
        all.find(|transport| transport.name() == name)
            .ok_or_else(|| D::Error::unknown_variant(&name, NAMES))
    }
}

/// The right side of an expectation: a number, or a text with formulas.
pub(super) struct Rule(String);

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a formula, or a range such as \"1 .. workers\"")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rule, E> {
                Ok(Rule(text.to_owned()))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// The text that was typed after `--set`, such as `client.per_host=5`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    text: String,
    pub(super) settings: Settings,
}

impl Override {
    /// Reads `key=value`. A value that is no TOML is taken as a text: `20ms` for `"20ms"`.
    ///
    /// # Errors
    /// [`ExperimentError::BadOverride`] with the allowed keys.
    pub(crate) fn parse(text: &str) -> Result<Self, ExperimentError> {
        let bad = |what: String| ExperimentError::BadOverride { text: text.to_owned(), what };
        let (key, value) =
            text.split_once('=').ok_or_else(|| bad("not of the form KEY=VALUE".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if !key.contains('.') {
            return Err(bad("a key has its section, as in client.per_host".into()));
        }
        let as_toml = format!("{key} = {value}");
        let as_text = format!("{key} = {value:?}");
        let is_toml = as_toml.parse::<toml::Table>().is_ok();
        let settings = toml::from_str(if is_toml { &as_toml } else { &as_text });
        let settings =
            settings.map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        Ok(Self { text: text.to_owned(), settings })
    }
}

/// The wishes for an experiment, beside what its file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ExperimentWish {
    /// Settings to lay over it.
    pub(crate) overrides: Vec<Override>,
    /// Only these transports; all of them if there is none, and no [`Self::real_go`] either.
    pub(crate) transports: Vec<Preset>,
    /// Go's own transport, too.
    pub(crate) real_go: Option<RealGo>,
}

/// Reads an experiment, and finds out at once whether every formula of it makes sense.
pub(super) struct Reader<'a> {
    /// How the file is called in messages.
    shown: &'a str,
    source: &'a str,
}

impl Experiment {
    /// Reads the experiment `name` from `source`, the text of a file that is called `shown` in
    /// messages, as far as it is `wanted`. It has no trials if it does not run through the wanted
    /// transports.
    ///
    /// # Errors
    /// [`ExperimentError`] with the file and the line.
    pub(crate) fn read(
        name: &str,
        shown: &str,
        source: &str,
        wanted: &ExperimentWish,
    ) -> Result<Self, ExperimentError> {
        let reader = Reader { shown, source };
        reader.check_texts()?;
        let file: File = toml::from_str(source).map_err(|cause| {
            ExperimentError::NotAnExperiment { file: shown.to_owned(), cause: Box::new(cause) }
        })?;
        reader.check(&file)?;
        let trials = reader.trials(&file, wanted)?;
        let changed = !wanted.overrides.is_empty();
        let questions = reader.questions(&file, &trials, changed)?;
        let chart = file.chart.as_ref().map(|chart| reader.chart(chart)).transpose()?;
        let overrides: Vec<String> =
            wanted.overrides.iter().map(|over| over.text.clone()).collect();
        // Its texts speak of the settings of the file, and would be wrong of others.
        let (question, look_for) = match overrides.is_empty() {
            true => (file.question, file.look_for),
            false => (format!("What changes with {}?", overrides.join(", ")), None),
        };
        Ok(Self {
            name: name.to_owned(),
            question,
            look_for,
            overrides,
            alone: file.alone,
            chart,
            trials,
            questions,
        })
    }
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

    /// Refuses what would command a terminal, wherever it stands: it may be shown. The bytes that a
    /// client sends are their own, and only what turns the direction of writing is refused there.
    fn check_texts(&self) -> Result<(), ExperimentError> {
        let Ok(table) = self.source.parse::<toml::Table>() else { return Ok(()) };
        let Some(text) = disturbing(&toml::Value::Table(table), false) else { return Ok(()) };
        Err(self.no_sense(None, format!("{text:?} holds a control character")))
    }

    /// Returns what would be ignored without a word is refused.
    fn check(&self, file: &File) -> Result<(), ExperimentError> {
        self.check_names_of_cases(file)?;
        for case in cases(file) {
            let twice = |(n, it): (usize, &TransportName)| case.transports[..n].contains(it);
            if case.transports.is_empty() {
                return Err(self.no_sense(None, "there is no transport to run it through"));
            }
            if let Some(n) = (0..case.transports.len()).find(|&n| twice((n, &case.transports[n]))) {
                let what = format!("it would run through {} twice", case.transports[n].name());
                return Err(self.no_sense(None, what));
            }
            if case.transports.contains(&TransportName::RealGo) {
                let what = "real-go runs whatever go runs, if it is asked for (--transport)";
                return Err(self.no_sense(None, what));
            }
        }
        for row in &file.predict {
            let speaks = |case: &LaidSettings<'_>| {
                let with_go = [TransportName::RealGo].into_iter().chain(case.transports.clone());
                with_go.into_iter().any(|transport| row.as_ref().is_for(transport, case.name))
            };
            if !cases(file).iter().any(speaks) {
                return Err(self.no_sense(Some(row.span()), "this prediction is for no run"));
            }
        }
        for ask in &file.ask {
            let asks = |case: &LaidSettings<'_>| {
                let mut transports = case.transports.iter();
                transports.any(|&transport| ask.as_ref().is_for(transport, case.name))
            };
            if !cases(file).iter().any(asks) {
                return Err(self.no_sense(Some(ask.span()), "this question is for no run"));
            }
        }
        Ok(())
    }

    fn trials(&self, file: &File, wanted: &ExperimentWish) -> Result<Vec<Trial>, ExperimentError> {
        if let Some(measure) = file.measure.get(MEASURES) {
            let what = format!("no more than {MEASURES} measures");
            return Err(self.no_sense(Some(measure.span()), what));
        }
        let common = Settings {
            network: file.network.clone(),
            server: file.server.clone(),
            client: file.client.clone(),
            workload: file.workload.clone(),
        };
        let changed = !wanted.overrides.is_empty();
        let mut trials = Vec::new();
        for case in cases(file) {
            let mut settings = common.with(&case.settings);
            for over in &wanted.overrides {
                self.check_override(over, &case)?;
                settings = settings.with(&over.settings);
            }
            let all = wanted.transports.is_empty() && wanted.real_go.is_none();
            let is_wanted = |transport: &&TransportName| {
                all || wanted
                    .transports
                    .iter()
                    .any(|preset| **transport == TransportName::Own(*preset))
            };
            for &transport in case.transports.iter().filter(is_wanted) {
                if let TransportName::Own(preset) = transport {
                    let settings = settings.clone();
                    trials.push(self.trial(file, &case, preset, None, settings, changed)?);
                }
            }
            // Go's own transport is held to what is predicted of its rules. It speaks HTTP/1.1 here.
            if let Some(go) = &wanted.real_go
                && case.transports.contains(&TransportName::Own(go.preset))
                && settings.speaks_http1()
            {
                let go = go.clone();
                trials.push(self.trial(file, &case, go.preset, Some(go), settings, changed)?);
            }
        }
        Ok(trials)
    }

    /// A case that is about a key would tell a lie if that key were overridden.
    fn check_override(
        &self,
        over: &Override,
        case: &LaidSettings<'_>,
    ) -> Result<(), ExperimentError> {
        let of_case = case.settings.keys();
        let both = over.settings.keys().into_iter().find(|key| of_case.contains(key));
        match both {
            None => Ok(()),
            Some(key) => Err(ExperimentError::BadOverride {
                text: over.text.clone(),
                what: format!(
                    "{}: its case `{}` sets {key} itself; copy the file to change that",
                    self.shown, case.name
                ),
            }),
        }
    }

    fn check_names_of_cases(&self, file: &File) -> Result<(), ExperimentError> {
        let names: Vec<&str> = file.case.iter().map(|case| case.name.as_str()).collect();
        if let Some(twice) = (1..names.len()).find(|&n| names[..n].contains(&names[n])) {
            return Err(self.no_sense(None, format!("two cases are called `{}`", names[twice])));
        }
        let predicted = file.predict.iter().map(|row| {
            let cases: Vec<&String> = row.as_ref().cases.iter().flatten().collect();
            (row.span(), cases)
        });
        let asked = file.ask.iter().map(|ask| (ask.span(), ask.as_ref().cases().collect()));
        for (span, cases) in predicted.chain(asked) {
            for case in cases {
                if !names.contains(&case.as_str()) {
                    let what = match names.join("`, `") {
                        none if none.is_empty() => format!("there is no case `{case}`, nor any"),
                        known => format!("there is no case `{case}`; there are `{known}`"),
                    };
                    return Err(self.no_sense(Some(span), what));
                }
            }
        }
        Ok(())
    }

    fn trial(
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

    fn chart(&self, chart: &Spanned<String>) -> Result<Formula, ExperimentError> {
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

/// A case that is laid over the file, or the file itself if it has none.
struct LaidSettings<'a> {
    name: &'a str,
    settings: Settings,
    transports: Vec<TransportName>,
}

fn cases(file: &File) -> Vec<LaidSettings<'_>> {
    let all = || Preset::ALL.map(TransportName::Own).to_vec();
    let transports = file.transports.clone().unwrap_or_else(all);
    if file.case.is_empty() {
        return vec![LaidSettings { name: "", settings: Settings::default(), transports }];
    }
    let laid = |case: &'_ Case| Settings {
        network: case.network.clone(),
        server: case.server.clone(),
        client: case.client.clone(),
        workload: case.workload.clone(),
    };
    file.case
        .iter()
        .map(|case| LaidSettings {
            name: &case.name,
            settings: laid(case),
            transports: case.transports.clone().unwrap_or(transports.clone()),
        })
        .collect()
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
