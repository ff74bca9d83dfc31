//! The report for a CI system: JUnit XML, a case an expectation, and one for the program itself.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{ObserveReport, text};
use crate::render::junit::xml;

/// Writes the report as one XML document.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(report: &ObserveReport<'_>, out: &mut impl Write) -> io::Result<()> {
    let program = &report.observation.program;
    let mut suite = TestSuite::new(xml(&text::command(program)));
    let failed = |kind, message: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(xml(message));
        status
    };
    let status = match report.disagreements {
        _ if program.end.status() != 0 && !program.time_was_over => {
            failed(NonSuccessKind::Failure, &text::ended(program).join("; "))
        }
        [] => TestCaseStatus::success(),
        all => failed(NonSuccessKind::Error, &all.join("; ")),
    };
    let mut case = TestCase::new("the program", status);
    case.set_time(program.ended);
    let mut told = anstream::StripStream::new(Vec::new());
    let mut page = report::page::PageWriter::new(&mut told, report::page::USUAL_WIDTH);
    text::write(report, &mut page)?;
    case.set_system_out(xml(&String::from_utf8_lossy(&told.into_inner())));
    suite.add_test_case(case);
    for judged in report.expectations {
        let values: Vec<String> = judged
            .values
            .iter()
            .map(|(name, value)| format!("{name} is {}", text::number(*value)))
            .collect();
        let seen = judged.trouble.clone().unwrap_or_else(|| values.join(", "));
        let status = match judged.held {
            true => TestCaseStatus::success(),
            false => failed(NonSuccessKind::Failure, &seen),
        };
        suite.add_test_case(TestCase::new(xml(&judged.text), status));
    }
    let mut document = Report::new("lab observe");
    document.add_test_suite(suite);
    document.serialize(&mut *out).map_err(io::Error::other)?;
    writeln!(out)
}
