//! The shape of an experiment's file in TOML.

use std::fmt;

use evidence::Preset;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use toml::Spanned;

use crate::real_go;
use crate::settings::{Client, Network, Server, Settings, Workload};

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) question: String,
    pub(super) look_for: Option<String>,
    pub(super) transports: Option<Vec<TransportName>>,
    #[serde(default)]
    pub(super) alone: bool,
    pub(super) chart: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) network: Network,
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) client: Client,
    #[serde(default)]
    pub(super) workload: Workload,
    #[serde(default)]
    pub(super) case: Vec<Case>,
    #[serde(default)]
    pub(super) predict: Vec<Spanned<Predict>>,
    #[serde(default)]
    pub(super) ask: Vec<Spanned<QuestionRow>>,
    #[serde(default)]
    pub(super) measure: Vec<Spanned<Shown>>,
}

/// `[[case]]`: settings laid over the file's. The sections stand here again, as serde's way of
/// sharing them (`flatten`) would let unknown keys pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) transports: Option<Vec<TransportName>>,
    #[serde(default)]
    pub(super) network: Network,
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) client: Client,
    #[serde(default)]
    pub(super) workload: Workload,
}

/// `[[predict]]`: what is expected, for some transports and cases, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predict {
    pub(super) transports: Option<Vec<TransportName>>,
    pub(super) cases: Option<Vec<String>>,
    pub(super) expect: IndexMap<String, Spanned<Rule>>,
    pub(super) because: String,
}

impl Predict {
    /// Returns true if it speaks of `case` through `transport`; of Go itself only if it names it.
    pub(super) fn is_for(&self, transport: TransportName, case: &str) -> bool {
        let of_all = transport != TransportName::RealGo;
        self.transports.as_ref().map_or(of_all, |all| all.contains(&transport))
            && self.cases.as_ref().is_none_or(|all| all.iter().any(|name| name == case))
    }
}

/// `[[measure]]`: what is shown beside the predictions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    pub(super) show: String,
    pub(super) unit: String,
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
    pub(super) fn name(self) -> &'static str {
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
pub(super) struct Rule(pub(super) String);

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

/// `[[ask]]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionRow {
    pub(super) question: String,
    pub(super) number: Option<String>,
    pub(super) near: Option<f64>,
    pub(super) choice: Option<String>,
    #[serde(default)]
    pub(super) answers: IndexMap<String, IndexMap<String, Spanned<Rule>>>,
    pub(super) cases: Option<Vec<String>>,
    pub(super) transports: Option<Vec<TransportName>>,
}

impl QuestionRow {
    /// The cases that it names.
    pub(super) fn cases(&self) -> impl Iterator<Item = &String> {
        self.cases.iter().flatten()
    }

    /// Returns true if it is asked of `case` through `transport`.
    pub(super) fn is_for(&self, transport: TransportName, case: &str) -> bool {
        self.transports.as_ref().is_none_or(|all| all.contains(&transport))
            && self.cases.as_ref().is_none_or(|all| all.iter().any(|name| name == case))
    }
}

/// A case that is laid over the file, or the file itself if it has none.
pub(super) struct LaidSettings<'a> {
    pub(super) name: &'a str,
    pub(super) settings: Settings,
    pub(super) transports: Vec<TransportName>,
}

pub(super) fn cases(file: &File) -> Vec<LaidSettings<'_>> {
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
