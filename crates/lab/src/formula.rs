//! Formulas: arithmetic over named numbers. The expressions are rhai's; this file is all that
//! knows it.

use std::cell::Cell;
use std::collections::BTreeMap;

use rhai::{AST, Dynamic, Engine, EvalAltResult, Map, OptimizationLevel, Scope};

/// Named numbers. A name with a dot, such as `after.client.time_wait`, is a part of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names(BTreeMap<String, f64>);

impl Names {
    /// Gives `name` this value.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All names with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// These names and those.
    #[must_use]
    pub(crate) fn and(&self, others: &Self) -> Self {
        let mut both = self.clone();
        both.0.extend(others.0.clone());
        both
    }

    /// Those of these names that `formula` uses: there are more than a thousand, and most formulas
    /// use one.
    fn scope(&self, formula: &str) -> Scope<'static> {
        let mut top = Map::new();
        for name in names_in(formula) {
            if let Some(value) = self.0.get(name) {
                insert(&mut top, name, *value);
            }
        }
        let mut scope = Scope::new();
        for (name, value) in top {
            scope.push_constant_dynamic(name.as_str(), value);
        }
        scope
    }

    /// The name that is most like `name`, if any is.
    fn most_like(&self, name: &str) -> Option<&str> {
        closest(name, self.names())
    }
}

impl FromIterator<(String, f64)> for Names {
    fn from_iter<T: IntoIterator<Item = (String, f64)>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

fn insert(group: &mut Map, name: &str, value: f64) {
    match name.split_once('.') {
        None => {
            group.insert(name.into(), value.into());
        }
        Some((first, rest)) => {
            let inner = group.entry(first.into()).or_insert_with(|| Map::new().into());
            if let Some(mut inner) = inner.write_lock::<Map>() {
                insert(&mut inner, rest, value);
            }
        }
    }
}

/// The candidate that `word` is most likely to stand for: whoever types has hit most letters.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |candidate: &&str| strsim::jaro_winkler(word, candidate);
    let best = candidates.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.75).then_some(best)
}

/// An expression such as `workers + (requests - 1) * (workers - per_host)`.
#[derive(Clone, Debug)]
pub(crate) struct Formula {
    text: String,
    tree: AST,
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a formula gives no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormulaError {
    /// It is no expression.
    #[error("`{formula}` is no formula: {cause}")]
    NoFormula {
        /// The formula.
        formula: String,
        /// Where it departs from one.
        cause: String,
    },
    /// It uses a name that means nothing here.
    #[error("`{formula}` names `{name}`, which is unknown{}", hint(known.as_deref()))]
    UnknownName {
        /// The formula.
        formula: String,
        /// The name.
        name: String,
        /// A name like it.
        known: Option<String>,
    },
    /// Its value is no number, whatever its names stand for.
    #[error("`{formula}` gives no number: {cause}")]
    NoNumber {
        /// The formula.
        formula: String,
        /// Why not.
        cause: String,
    },
    /// Its value is beyond all numbers, or none, for what its names stand for just now.
    #[error("`{formula}` gives no number: {cause}")]
    NotFinite {
        /// The formula.
        formula: String,
        /// Why not.
        cause: String,
    },
}

fn hint(known: Option<&str>) -> String {
    known.map_or(String::new(), |known| format!("; did you mean `{known}`?"))
}

impl Formula {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`FormulaError::NoFormula`] says where it stops being one.
    pub(crate) fn parse(text: &str) -> Result<Self, FormulaError> {
        let tree = ENGINE.with(|engine| engine.compile_expression(text)).map_err(|cause| {
            FormulaError::NoFormula { formula: text.to_owned(), cause: cause.to_string() }
        })?;
        Ok(Self { text: text.to_owned(), tree })
    }

    /// As it was written.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns true if it is a number and nothing else.
    #[must_use]
    pub(crate) fn is_number(&self) -> bool {
        self.text.trim().parse::<f64>().is_ok()
    }

    /// Its value, where `names` have theirs.
    ///
    /// # Errors
    /// [`FormulaError::UnknownName`]; [`FormulaError::NotFinite`], as after a division by zero; or
    /// [`FormulaError::NoNumber`].
    pub(crate) fn value(&self, names: &Names) -> Result<f64, FormulaError> {
        let mut scope = names.scope(&self.text);
        HAS_DIVIDED_BY_ZERO.set(false);
        let result =
            ENGINE.with(|engine| engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.tree));
        let value = result.map_err(|error| self.error(*error, names))?;
        let number = value.as_float().or_else(|_| value.as_int().map(|int| int as f64));
        match number {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(FormulaError::NotFinite {
                formula: self.text.clone(),
                cause: self.why_not_finite(names),
            }),
            Err(kind) => Err(self.no_number(format!("it is a {kind}"))),
        }
    }

    fn why_not_finite(&self, names: &Names) -> String {
        let unlimited = |name: &&str| names.0.get(*name).is_some_and(|value| value.is_infinite());
        match names_in(&self.text).find(unlimited) {
            Some(name) => format!("{name} has no limit"),
            None if HAS_DIVIDED_BY_ZERO.get() => "it divides by zero".to_owned(),
            None => "it is too large".to_owned(),
        }
    }

    fn error(&self, error: EvalAltResult, names: &Names) -> FormulaError {
        match error {
            EvalAltResult::ErrorVariableNotFound(name, _)
            | EvalAltResult::ErrorPropertyNotFound(name, _) => {
                let name = self.full_name(&name);
                let known = names.most_like(&name).map(str::to_owned);
                FormulaError::UnknownName { formula: self.text.clone(), name, known }
            }
            other => self.no_number(other.to_string()),
        }
    }

    /// `after.client.time_wiat`, of which the engine tells the last part alone.
    fn full_name(&self, last: &str) -> String {
        let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        self.text
            .split(|c| !is_part_of_name(c))
            .find(|name| name.split('.').any(|part| part == last))
            .unwrap_or(last)
            .to_owned()
    }

    fn no_number(&self, cause: String) -> FormulaError {
        FormulaError::NoNumber { formula: self.text.clone(), cause }
    }
}

thread_local! {
    /// Made once: it takes a millisecond or more.
    static ENGINE: Engine = engine();
    /// True if the last formula did, somewhere.
    static HAS_DIVIDED_BY_ZERO: Cell<bool> = const { Cell::new(false) };
}

/// `by`, of which it is noted if it is zero.
fn divisor(by: f64) -> f64 {
    if by == 0.0 {
        HAS_DIVIDED_BY_ZERO.set(true);
    }
    by
}

/// The operators that rhai knows beyond arithmetic, and what no formula needs.
const SWITCHED_OFF: [&str; 19] = [
    "if", "else", "switch", "do", "while", "loop", "for", "in", "let", "const", "return", "throw",
    "eval", "print", "debug", "type_of", "??", "?.", "[",
];

/// An operation that makes one number of two.
type Operator = fn(f64, f64) -> f64;

/// Arithmetic over numbers, and nothing else: an engine without a library, to which the operators
/// are given. All of them calculate with fractions, so that `3 / 2` is one and a half.
fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    engine.set_fail_on_invalid_map_property(true);
    engine.set_max_operations(10_000);
    engine.set_fast_operators(false);
    engine.set_optimization_level(OptimizationLevel::None);
    for symbol in SWITCHED_OFF {
        engine.disable_symbol(symbol);
    }
    let functions: [(&str, Operator); 7] = [
        ("+", |a, b| a + b),
        ("-", |a, b| a - b),
        ("*", |a, b| a * b),
        ("/", |a, b| a / divisor(b)),
        ("%", |a, b| a % divisor(b)),
        ("min", f64::min),
        ("max", f64::max),
    ];
    for (name, function) in functions {
        engine.register_fn(name, function);
        engine.register_fn(name, move |a: f64, b: i64| function(a, b as f64));
        engine.register_fn(name, move |a: i64, b: f64| function(a as f64, b));
        engine.register_fn(name, move |a: i64, b: i64| function(a as f64, b as f64));
    }
    engine.register_fn("-", |a: f64| -a);
    engine.register_fn("-", |a: i64| -(a as f64));
    engine
}

/// The names that a formula uses: `counter.TcpOutSegs` and `requests` of their quotient.
pub(crate) fn names_in(formula: &str) -> impl Iterator<Item = &str> {
    formula
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        [("workers", 10.0), ("requests", 10.0), ("per_host", 2.0), ("idle", 0.0)]
            .into_iter()
            .chain([("after.client.time_wait", 80.0), ("no_limit", f64::INFINITY)])
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn value(formula: &str) -> Result<f64, String> {
        let formula = Formula::parse(formula).map_err(|error| error.to_string())?;
        formula.value(&names()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_formula_is_arithmetic_over_names() {
        assert_eq!(value("workers + (requests - 1) * (workers - per_host)"), Ok(82.0));
        assert_eq!(value("after.client.time_wait / 2"), Ok(40.0));
        assert_eq!(value("max(workers - 20, 0)"), Ok(0.0));
        assert_eq!(value("min(no_limit, workers)"), Ok(10.0));
        assert_eq!(value("7"), Ok(7.0));
        assert_eq!(value("3 / 2 * requests"), Ok(15.0));
        assert_eq!(value("-(7 % 4) + 1"), Ok(-2.0));
    }

    #[test]
    fn a_formula_is_nothing_but_arithmetic() {
        for other in [
            "sleep(12.0) ?? 1",
            "exit(3)",
            "print(\"hello\")",
            "eval(\"1\")",
            "if true { 1 } else { 2 }",
            "blob(100000000000000).len()",
            "[1, 2].len()",
            "switch 1 { 1 => 2 }",
            "\"text\"",
            "true",
        ] {
            assert!(value(other).is_err(), "{other}: {:?}", value(other));
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_one_that_is_known() {
        insta::assert_snapshot!(
            value("per_hots + 1").unwrap_err(),
            @"`per_hots + 1` names `per_hots`, which is unknown; did you mean `per_host`?"
        );
        insta::assert_snapshot!(
            value("after.client.time_wiat").unwrap_err(),
            @"`after.client.time_wiat` names `after.client.time_wiat`, which is unknown; did you mean `after.client.time_wait`?"
        );
        insta::assert_snapshot!(value("xyz").unwrap_err(), @"`xyz` names `xyz`, which is unknown");
    }

    #[test]
    fn what_gives_no_number_says_why() {
        assert!(value("workers / idle").unwrap_err().contains("it divides by zero"));
        assert!(value("1 / 0").unwrap_err().contains("by zero"), "{:?}", value("1 / 0"));
        assert!(value("workers +").unwrap_err().contains("is no formula"));
        assert!(value("let x = 1").unwrap_err().contains("is no formula"));
        assert!(value("workers > 1").is_err());
        assert!(value("no_limit + 1").unwrap_err().contains("no_limit has no limit"));
    }
}
