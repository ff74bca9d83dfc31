//! What is expected of a program, as in `opened <= 2`, and whether it holds.

use std::collections::BTreeMap;

use observe::{ConnectionTally, NUMBERS, Observation};

use crate::formula::{Formula, FormulaError, Names, names_in};

/// Names that only an observation as a whole has.
const OF_ALL: [&str; 3] = ["elapsed", "status", "servers"];

/// An expectation as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectation {
    text: String,
    left: Formula,
    relation: Relation,
    right: Formula,
}

/// How two numbers are expected to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Equal,
    Unequal,
    AtLeast,
    More,
}

/// The longer ones first: `<` is the beginning of `<=`.
const RELATIONS: [(&str, Relation); 7] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("!=", Relation::Unequal),
    ("==", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
];

/// Why a text is no expectation.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExpectationError {
    /// Nothing is compared in it.
    #[error("`{text}` expects nothing: it compares no numbers, as `opened <= 2` does")]
    NoRelation {
        /// The text.
        text: String,
    },
    /// A side of it is no formula over known names.
    #[error("--expect '{text}'")]
    NoFormula {
        /// The text.
        text: String,
        /// Why not.
        source: FormulaError,
    },
}

/// An expectation beside what was observed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JudgedExpectation {
    /// As it was typed.
    pub(super) text: String,
    /// The names in it, with their values.
    pub(super) values: Vec<(String, f64)>,
    /// Why there is no number on one side.
    pub(super) trouble: Option<String>,
    /// True if it holds.
    pub(super) held: bool,
}

impl Expectation {
    /// Reads an expectation.
    ///
    /// # Errors
    /// [`ExpectationError`], also for a name that no observation has.
    pub(super) fn read(text: &str) -> Result<Self, ExpectationError> {
        let found = RELATIONS.iter().find_map(|(sign, relation)| {
            let (left, right) = text.split_once(sign)?;
            Some((left, *relation, right))
        });
        let owned = || text.to_owned();
        let (left, relation, right) =
            found.ok_or_else(|| ExpectationError::NoRelation { text: owned() })?;
        let known = vocabulary();
        let side = |side: &str| {
            let formula = Formula::parse(side.trim())?;
            match formula.value(&known) {
                // Names stand for 1 here, so that it may divide by zero.
                Ok(_) | Err(FormulaError::NotFinite { .. }) => Ok(formula),
                Err(error) => Err(error),
            }
        };
        let read = |text: &str| {
            side(text).map_err(|source| ExpectationError::NoFormula { text: owned(), source })
        };
        Ok(Self { text: owned(), left: read(left)?, relation, right: read(right)? })
    }

    /// Holds it against what was observed.
    pub(super) fn judged(&self, observation: &Observation) -> JudgedExpectation {
        self.judged_by(&numbers(observation))
    }

    fn judged_by(&self, numbers: &Names) -> JudgedExpectation {
        let known: BTreeMap<&str, f64> = numbers.iter().collect();
        let mut values: Vec<(String, f64)> = Vec::new();
        for name in names_in(&self.text) {
            if let Some(value) = known.get(name).copied()
                && !values.iter().any(|(known, _)| known == name)
            {
                values.push((name.to_owned(), value));
            }
        }
        let sides =
            self.left.value(numbers).and_then(|left| Ok((left, self.right.value(numbers)?)));
        let (held, trouble) = match sides {
            Ok((left, right)) => (self.relation.holds(left, right), None),
            Err(FormulaError::UnknownName { name, .. }) => {
                (false, Some(format!("nobody observed `{name}`")))
            }
            Err(error) => (false, Some(error.to_string())),
        };
        JudgedExpectation { text: self.text.clone(), values, trouble, held }
    }
}

impl Relation {
    fn holds(self, left: f64, right: f64) -> bool {
        // Sums of fractions are never quite what they should be.
        let equal = (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.0);
        match self {
            Self::Less => left < right && !equal,
            Self::AtMost => left < right || equal,
            Self::Equal => equal,
            Self::Unequal => !equal,
            Self::AtLeast => left > right || equal,
            Self::More => left > right && !equal,
        }
    }
}

/// Every name that there can be, with some value.
fn vocabulary() -> Names {
    let mut names: Names = NUMBERS
        .iter()
        .map(|(name, _)| *name)
        .chain(OF_ALL)
        .map(|name| (name.to_owned(), 1.0))
        .collect();
    if let Ok(counters) = netlab::Counters::read() {
        for counter in counters.names() {
            names.set(format!("counter.{counter}"), 1.0);
        }
    }
    names
}

/// The numbers of an observation, by their names.
pub(super) fn numbers(observation: &Observation) -> Names {
    let tally = ConnectionTally::of(&observation.all());
    let named = tally.named().into_iter().map(|(name, value)| (name.to_owned(), value));
    let mut names: Names = named.collect();
    names.set("elapsed", observation.program.ended.as_secs_f64());
    names.set("status", f64::from(observation.program.end.status()));
    names.set("servers", observation.by_server().len() as f64);
    let counters = observation.kernel.iter().flat_map(|words| words.counters.keys());
    for name in counters {
        if let Some(by) = observation.counter(name) {
            names.set(format!("counter.{name}"), by as f64);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> JudgedExpectation {
        let names: Names = [("opened", 3.0), ("exchanges", 7.0), ("closed_by.server", 1.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect();
        Expectation::read(text).unwrap().judged_by(&names)
    }

    #[test]
    fn each_relation_is_read_as_it_is_written() {
        for (text, held) in [
            ("opened <= 3", true),
            ("opened < 3", false),
            ("opened=3", true),
            ("opened == 3", true),
            ("opened != 3", false),
            ("opened >= 4", false),
            ("exchanges > 2 * opened", true),
            ("exchanges / opened > 2.3", true),
            ("closed_by.server = opened - 2", true),
        ] {
            assert_eq!(judged(text).held, held, "{text}");
        }
    }

    #[test]
    fn an_expectation_that_fails_tells_the_numbers_that_it_speaks_of() {
        let judged = judged("opened <= exchanges / 7");
        assert_eq!(judged.values, [("opened".to_owned(), 3.0), ("exchanges".to_owned(), 7.0)]);
    }

    #[test]
    fn what_nobody_observed_does_not_hold() {
        let judged = judged("reuse >= 0");
        assert!(!judged.held);
        assert_eq!(judged.trouble.as_deref(), Some("nobody observed `reuse`"));
    }

    #[test]
    fn what_is_no_expectation_is_refused_before_anything_runs() {
        let told = |text: &str| {
            let error = anyhow::Error::from(Expectation::read(text).unwrap_err());
            format!("{error:#}")
        };
        assert!(told("opened").contains("compares no numbers"));
        assert!(told("open <= 2").contains("did you mean `opened`?"), "{}", told("open <= 2"));
        assert!(told("opened <= ").contains("is no formula"), "{}", told("opened <= "));
    }
}
