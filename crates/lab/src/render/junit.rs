//! Results for CI systems: JUnit XML, a suite an experiment, a case a run.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use report::page::USUAL_WIDTH;

use super::{Section, TrialRow};
use crate::judge::Verdict;
use crate::numbers::range;

/// Writes all results as one XML document.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(sections: &[Section<'_>], out: &mut impl Write) -> io::Result<()> {
    let mut report = Report::new("lab");
    for section in sections {
        let mut suite = TestSuite::new(xml(&section.experiment.name));
        suite.add_test_cases(section.rows.iter().map(|row| case(section, row)));
        report.add_test_suite(suite);
    }
    report.serialize(&mut *out).map_err(io::Error::other)?;
    writeln!(out)
}

/// A text of which only characters are left that XML allows (XML 1.0 section 2.2); the others are
/// shown as their numbers.
pub(crate) fn xml(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_allowed(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

fn case(section: &Section<'_>, row: &TrialRow<'_>) -> TestCase {
    let trial = row.trial;
    let name = match trial.case.as_str() {
        "" => trial.transport().to_owned(),
        case => format!("{case}, {}", trial.transport()),
    };
    let mut case = TestCase::new(xml(&name), status(row));
    case.set_classname(xml(&section.experiment.name));
    case.set_time(row.took);
    case
}

fn status(row: &TrialRow<'_>) -> TestCaseStatus {
    match row.verdict {
        Verdict::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(why));
            status
        }
        Verdict::CouldNotRun(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(xml(why));
            status
        }
        Verdict::Ran(_) if row.verdict.held(row.trial) => TestCaseStatus::success(),
        Verdict::Ran(ran) => {
            let wrong = ran.judged(row.trial).filter(|judged| !judged.held && !judged.unseen).map(
                |judged| {
                    let what = judged.prediction.what.text();
                    format!(
                        "{what}: predicted {}, {}",
                        range(judged.prediction),
                        super::seen(&judged)
                    )
                },
            );
            let disagreements = ran.record.disagreements().map(ToOwned::to_owned);
            let all: Vec<String> = wrong.chain(disagreements).collect();
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(xml(&all.join("; ")));
            let mut plain = anstream::StripStream::new(Vec::new());
            let written = super::exhibits(&ran.record, USUAL_WIDTH)
                .and_then(|exhibits| plain.write_all(exhibits.as_bytes()));
            if written.is_ok() {
                let evidence = String::from_utf8_lossy(&plain.into_inner()).into_owned();
                status.set_description(xml(&evidence));
            }
            status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_does_not_allow_is_shown_as_its_number() {
        assert_eq!(
            xml("a\u{fffe}b\u{ffff}\u{1b}\tö\u{fffd}\u{1f600}"),
            "a\\u{fffe}b\\u{ffff}\\u{1b}\tö\u{fffd}\u{1f600}"
        );
    }
}
