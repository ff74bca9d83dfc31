//! The kernel's counters of a network, under the names by which `nstat` tells them.

use std::collections::BTreeMap;
use std::fs;

use crate::Error;

/// Where the kernel tells them, for the network of the calling thread; both files have the same
/// layout.
const FILES: [&str; 2] = ["/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"];

/// The names that stand among the counters but go down as well as up, or say how things are set.
const LEVELS: [&str; 7] = [
    "IpDefaultTTL",
    "IpForwarding",
    "MPTcpExtMPCurrEstab",
    "TcpCurrEstab",
    "TcpRtoAlgorithm",
    "TcpRtoMax",
    "TcpRtoMin",
];

/// The kernel's TCP/IP counters of the network the calling thread is in, as `nstat` names them:
/// `TcpOutSegs`, `TcpExtTCPAbortOnClose`, `TcpExtTCPTimeWaitOverflow` …
///
/// They count from the network's beginning: those of a private network start at zero. A counter
/// that this kernel does not have is absent rather than zero, as is `TcpMaxConn`, by whose -1 the
/// kernel says that there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads them all: `net/snmp`, then `net/netstat`, in `/proc/thread-self`.
    ///
    /// The kernel adds up each line while it prints it: two counters that change together may be
    /// read one apart.
    ///
    /// # Errors
    /// [`Error::CountersUnreadable`] if the system does not tell them, as on any that is not
    /// Linux; [`Error::CountersMalformed`] if it tells them in an unknown layout.
    pub fn read() -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for path in FILES {
            let text = fs::read_to_string(path)
                .map_err(|source| Error::CountersUnreadable { path, source })?;
            all.extend(parse(&text).map_err(|what| Error::CountersMalformed { path, what })?);
        }
        Ok(Self(all))
    }

    /// How much each counter has grown since `earlier`; 0 if it has not.
    ///
    /// Levels cannot be counted: those that go down as well as up (`TcpCurrEstab`,
    /// `MPTcpExtMPCurrEstab`) and those that only tell a setting (`TcpRtoMin`, `IpDefaultTTL` …)
    /// stand with the value they have now. A counter that `earlier` lacks counts from zero, as it
    /// does if a part of the kernel was loaded in between. One that is smaller than `earlier` says
    /// 0: the two readings are then of different networks, or the wrong way round.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        let growth = |(name, now): (&String, &u64)| {
            let base = if is_level(name) { 0 } else { earlier.get(name).unwrap_or(0) };
            (name.clone(), now.saturating_sub(base))
        };
        self.0.iter().map(growth).collect()
    }

    /// The value of one counter; `None` if this kernel has no counter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The names of all counters, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn is_level(name: &str) -> bool {
    LEVELS.contains(&name)
}

/// Reads pairs of lines, one with names and one with their values, both after the same prefix:
///
/// ```text
/// Tcp: ActiveOpens PassiveOpens
/// Tcp: 23 0
/// ```
fn parse(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let mut counters = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(names) = lines.next() {
        let values = lines.next().ok_or_else(|| format!("no values follow {names:?}"))?;
        pair(names, values, &mut counters)?;
    }
    Ok(counters)
}

/// Adds the counters of one pair of lines.
fn pair(names: &str, values: &str, to: &mut BTreeMap<String, u64>) -> Result<(), String> {
    let (prefix, names) = names.split_once(':').ok_or_else(|| format!("no prefix in {names:?}"))?;
    let values = values
        .strip_prefix(prefix)
        .and_then(|values| values.strip_prefix(':'))
        .ok_or_else(|| format!("the values of {prefix} do not follow its names"))?;

    let names: Vec<_> = names.split_whitespace().collect();
    let values: Vec<_> = values.split_whitespace().collect();
    if names.len() != values.len() {
        return Err(format!("{prefix} has {} names but {} values", names.len(), values.len()));
    }
    for (name, text) in names.into_iter().zip(values) {
        if let Some(value) = value(text).map_err(|()| format!("{prefix}{name} is {text:?}"))? {
            to.insert(format!("{prefix}{name}"), value);
        }
    }
    Ok(())
}

/// A value; `None` if it is negative, which is how the kernel says "without limit".
fn value(text: &str) -> Result<Option<u64>, ()> {
    match text.strip_prefix('-') {
        Some(digits) => digits.parse::<u64>().map(|_| None).map_err(drop),
        None => text.parse().map(Some).map_err(drop),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TCP: &str = "\
Tcp: RtoMin MaxConn ActiveOpens CurrEstab
Tcp: 200 -1 23 5
TcpExt: TCPAbortOnClose
TcpExt: 7
";

    fn counters(text: &str) -> Counters {
        Counters(parse(text).unwrap())
    }

    #[test]
    fn a_counter_has_the_name_that_nstat_gives_it() {
        let counters = counters(TCP);
        assert_eq!(counters.get("TcpActiveOpens"), Some(23));
        assert_eq!(counters.get("TcpExtTCPAbortOnClose"), Some(7));
        let names: Vec<_> = counters.names().collect();
        let expected = ["TcpActiveOpens", "TcpCurrEstab", "TcpExtTCPAbortOnClose", "TcpRtoMin"];
        assert_eq!(names, expected);
    }

    #[test]
    fn no_limit_is_no_number() {
        assert_eq!(counters(TCP).get("TcpMaxConn"), None);
    }

    #[test]
    fn counters_differ_and_levels_stand_as_they_are() {
        let later = counters(&TCP.replace("23 5", "36 3"));
        let growth = later.since(&counters(TCP));
        assert_eq!(growth["TcpActiveOpens"], 13);
        assert_eq!(growth["TcpExtTCPAbortOnClose"], 0);
        assert_eq!(growth["TcpCurrEstab"], 3, "it went down by 2");
        assert_eq!(growth["TcpRtoMin"], 200);
    }

    #[test]
    fn a_counter_that_was_not_there_before_counts_from_zero() {
        assert_eq!(counters(TCP).since(&Counters::default())["TcpActiveOpens"], 23);
    }

    #[test]
    fn what_is_not_two_lines_of_equal_length_under_one_prefix_is_an_error() {
        let cases = [
            ("Tcp: A B\nTcp: 1\n", "Tcp has 2 names but 1 values"),
            ("Tcp: A\n", "no values follow \"Tcp: A\""),
            ("Tcp: A\nUdp: 1\n", "the values of Tcp do not follow its names"),
            ("A\n1\n", "no prefix in \"A\""),
            ("Tcp: A\nTcp: one\n", "TcpA is \"one\""),
            ("Tcp: A\nTcp: --1\n", "TcpA is \"--1\""),
            ("Tcp: A\nTcp: 18446744073709551616\n", "TcpA is \"18446744073709551616\""),
        ];
        for (text, what) in cases {
            assert_eq!(parse(text), Err(what.to_owned()), "{text:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_kernel_has_the_counters_that_the_lab_speaks_of() {
        let counters = Counters::read().unwrap();
        for name in [
            "TcpActiveOpens",
            "TcpPassiveOpens",
            "TcpCurrEstab",
            "TcpOutSegs",
            "TcpOutRsts",
            "TcpEstabResets",
            "TcpExtTW",
            "TcpExtTCPAbortOnClose",
            "TcpExtTCPTimeWaitOverflow",
            "TcpExtListenOverflows",
        ] {
            assert!(counters.get(name).is_some(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_nothing_but_never_a_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn near_misses_never_panic(text in "((Tcp|TcpExt|:)[: ]{0,2}[A-Z0-9 -]{0,12}\n?){0,6}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_the_kernel_prints_is_read_back(
            groups in vec(vec(any::<u64>(), 0..40), 0..6),
        ) {
            let mut text = String::new();
            let mut expected = BTreeMap::new();
            for (group, values) in groups.iter().enumerate() {
                let names: Vec<_> = (0..values.len()).map(|n| format!("Name{n}")).collect();
                let words: Vec<_> = values.iter().map(u64::to_string).collect();
                text += &format!("G{group}x: {}\nG{group}x: {}\n", names.join(" "), words.join(" "));
                for (name, value) in names.iter().zip(values) {
                    expected.insert(format!("G{group}x{name}"), *value);
                }
            }
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn a_value_too_few_or_too_many_is_an_error(names in 0_usize..9, values in 0_usize..9) {
            let text = format!("Tcp: {}\nTcp: {}\n", "A ".repeat(names), "1 ".repeat(values));
            prop_assert_eq!(parse(&text).is_ok(), names == values);
        }
    }
}
