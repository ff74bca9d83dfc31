//! An experiment's file, as a whole: what would be ignored in it without a word is refused.

use super::disturbing::disturbing;
use super::error::ExperimentError;
use super::reader::Reader;
use super::rows::{File, LaidSettings, TransportName, cases};
use super::wish::{ExperimentWish, Override};
use super::{Experiment, MEASURES, Trial};
use crate::settings::Settings;

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
    /// Refuses what would command a terminal, wherever it stands: it may be shown. The bytes that a
    /// client sends are their own, and only what turns the direction of writing is refused there.
    fn check_texts(&self) -> Result<(), ExperimentError> {
        let Ok(table) = self.source.parse::<toml::Table>() else { return Ok(()) };
        let Some(text) = disturbing(&toml::Value::Table(table), false) else { return Ok(()) };
        Err(self.no_sense(None, format!("{text:?} holds a control character")))
    }

    /// Refuses what would be ignored without a word.
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
}
