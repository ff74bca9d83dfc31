//! `lab observe`: any program, its TCP connections, and what they show.
//!
//! | idea | file |
//! |---|---|
//! | what is expected, and whether it holds | `observe/expect.rs` |
//! | the lab's own server on another host | `observe/serve.rs` |
//! | the observation as the outcome of a run, beside which packets are shown | `observe/outcome.rs` |
//! | the report for people | `observe/text.rs` |
//! | the report for programs | `observe/json.rs` |
//! | the report for a CI system | `observe/junit.rs` |

mod expect;
mod json;
mod junit;
mod outcome;
#[cfg(target_os = "linux")]
mod serve;
mod text;

use std::fs::File;
use std::io::Write;

use crate::cli::{Observe, ObserveFormat};
use expect::{Expectation, JudgedExpectation};

/// The lab itself failed: what `env`, `timeout` and `docker run` use for it.
pub(crate) const LAB_FAILED: u8 = 125;
/// The program cannot be executed.
#[cfg(target_os = "linux")]
const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
#[cfg(target_os = "linux")]
const NOT_FOUND: u8 = 127;
/// An expectation did not hold, though the program ended well.
const NOT_AS_EXPECTED: u8 = 1;

/// All that a report is made of.
struct ObserveReport<'a> {
    observation: &'a observe::Observation,
    expectations: &'a [JudgedExpectation],
    disagreements: &'a [String],
    notes: &'a [String],
    /// The exit code of the lab.
    code: u8,
}

/// Where a report goes.
enum ReportPlace {
    Stderr,
    File(File),
}

/// Carries out `lab observe`, and returns the exit code. It is the program's, if nothing is wrong, so
/// that errors are told here.
pub(crate) fn main(asked: &Observe) -> u8 {
    match run(asked) {
        Ok(code) => code,
        Err(error) => {
            let told = crate::harmless(anyhow::Error::msg(format!("{error:#}")));
            // If not even this can be written, the exit code has to say it.
            let _ = writeln!(anstream::stderr(), "lab: {told}");
            code_of(&error)
        }
    }
}

#[cfg(target_os = "linux")]
fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<observe::FamilyError>() {
        Some(observe::FamilyError::NotFound { .. }) => NOT_FOUND,
        Some(observe::FamilyError::NotExecutable { .. }) => NOT_EXECUTABLE,
        _ => LAB_FAILED,
    }
}

#[cfg(not(target_os = "linux"))]
fn code_of(_: &anyhow::Error) -> u8 {
    LAB_FAILED
}

#[cfg(not(target_os = "linux"))]
fn run(asked: &Observe) -> anyhow::Result<u8> {
    let _ = expectations(asked)?;
    let ground = observe::ObservedGround::enter(std::time::Instant::now())?;
    let _ = ground.end()?;
    anyhow::bail!("programs are observed on Linux only")
}

/// Observes the program, writes the report and returns the exit code.
#[cfg(target_os = "linux")]
fn run(asked: &Observe) -> anyhow::Result<u8> {
    use std::time::Instant;

    use anyhow::Context;
    use packets::{Overwrite, PcapFile};

    let expectations = expectations(asked)?;
    let serves = asked.serve.serve || serve::is_named_in(&asked.command);
    anyhow::ensure!(
        serves || !asked.serve.is_described(),
        "flags of the lab's own server are for a command that has {{url}}, or for --serve"
    );
    let place = match &asked.report {
        None => ReportPlace::Stderr,
        Some(path) => ReportPlace::File(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        ),
    };
    let overwrite = if asked.packets.force { Overwrite::Replace } else { Overwrite::Never };
    let pcap = asked.packets.pcap.as_ref().map(|path| PcapFile::create(path, overwrite));
    let pcap = pcap.transpose()?;

    // From here on this process lives in another network. It has one thread up to now.
    let start = Instant::now();
    let mut ground = observe::ObservedGround::enter(start)?;
    let mut notes = Vec::new();
    if asked.packets.are_heard()
        && let Err(error) = ground.as_on_a_wire()
    {
        notes.push(apparatus::with_causes(&error));
    }
    let lab_server = match serves {
        true => Some(serve::LabServer::start(&asked.serve, &mut ground)?),
        false => None,
    };
    ground.begin()?;
    let plan = observe::FamilyPlan {
        command: if serves { serve::with_address(&asked.command) } else { asked.command.clone() },
        variables: Vec::new(),
        time: asked.time,
        without: Vec::new(),
        output: None,
    };
    let program = program_of(plan, start)?;
    let heard = ground.end()?;
    let mut gathered = heard.gathered();
    let mut observation = observation(program, &heard, &mut gathered, start.elapsed());
    observation.server = lab_server.map(|server| server.words());

    let disagreements = observe::disagreements(&observation);
    let judged: Vec<JudgedExpectation> =
        expectations.iter().map(|it| it.judged(&observation)).collect();
    let code = exit_code(&observation, &judged, &disagreements);
    let report = ObserveReport {
        observation: &observation,
        expectations: &judged,
        disagreements: &disagreements,
        notes: &notes,
        code,
    };
    let outcomes = outcome::outcomes(&observation, gathered);
    write(asked, &report, &outcomes, place)?;
    if let Some(file) = pcap {
        keep(file, &report, &heard, &outcomes)?;
        if let Some(path) = &asked.packets.pcap {
            writeln!(anstream::stderr(), "lab: the packets are in {}", path.display())?;
        }
    }
    Ok(code)
}

#[cfg(target_os = "linux")]
fn program_of(
    plan: observe::FamilyPlan,
    start: std::time::Instant,
) -> anyhow::Result<observe::ObservedProgram> {
    let mut program = None;
    program::block_on(async {
        program = Some(observe::Family::start(plan, start)?.to_its_end().await);
        Ok(0)
    })?;
    program.ok_or_else(|| anyhow::anyhow!("the program was not waited for"))
}

fn expectations(asked: &Observe) -> anyhow::Result<Vec<Expectation>> {
    Ok(asked.expectations.iter().map(|text| Expectation::read(text)).collect::<Result<_, _>>()?)
}

#[cfg(target_os = "linux")]
fn observation(
    program: observe::ObservedProgram,
    heard: &observe::Heard,
    gathered: &mut [observe::GatheredConnections],
    elapsed: std::time::Duration,
) -> observe::Observation {
    let mut connections = Vec::new();
    let mut packets = observe::PacketTally::default();
    for place in gathered {
        connections.append(&mut place.connections);
        packets.segments += place.packets.segments;
        packets.strays += place.packets.strays;
        packets.others += place.packets.others;
    }
    connections.sort_by_key(|connection| connection.id);
    let (missed, kernel) = (heard.missed, heard.kernel.clone());
    observe::Observation { connections, packets, missed, program, kernel, server: None, elapsed }
}

/// The exit code: the program's, unless something else is to be said.
fn exit_code(
    observation: &observe::Observation,
    judged: &[JudgedExpectation],
    disagreements: &[String],
) -> u8 {
    let program = &observation.program;
    let of_program = if program.time_was_over { 0 } else { program.end.status() };
    match () {
        () if of_program != 0 || judged.is_empty() => of_program,
        () if !disagreements.is_empty() => LAB_FAILED,
        () if judged.iter().any(|it| !it.held) => NOT_AS_EXPECTED,
        () => of_program,
    }
}

fn write(
    asked: &Observe,
    report: &ObserveReport<'_>,
    outcomes: &[evidence::Outcome],
    place: ReportPlace,
) -> anyhow::Result<()> {
    use report::page::{PageWriter, USUAL_WIDTH};
    let width = program::terminal_width().unwrap_or(USUAL_WIDTH);
    let out: Box<dyn Write> = match place {
        ReportPlace::Stderr => Box::new(anstream::stderr()),
        ReportPlace::File(file) => Box::new(anstream::StripStream::new(file)),
    };
    let mut out = PageWriter::new(out, width);
    match asked.format {
        ObserveFormat::Text => {
            if let Some((view, options)) = asked.packets.view() {
                let is_silent = |outcome: &evidence::Outcome| matches!(&outcome.wire, Some(Ok(record)) if record.passages.is_empty());
                let all_silent = outcomes.iter().all(is_silent);
                for outcome in outcomes.iter().filter(|it| all_silent || !is_silent(it)) {
                    report::wire::packets(outcome, view, options, &mut out)?;
                }
            }
            text::write(report, &mut out)?;
        }
        ObserveFormat::Json => json::write(report, &mut out)?,
        ObserveFormat::Jsonl => json::write_lines(report, &mut out)?,
        ObserveFormat::Junit => junit::write(report, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

/// Writes the packets, each with what is known of its connection.
#[cfg(target_os = "linux")]
fn keep(
    file: packets::PcapFile,
    report: &ObserveReport<'_>,
    heard: &observe::Heard,
    outcomes: &[evidence::Outcome],
) -> anyhow::Result<()> {
    use packets::PcapWriter;
    let story = text::story(report);
    let mut writer = PcapWriter::begin(file, &apparatus::pcap::section(&story))?;
    let recordings = [Some(&heard.loopback), heard.cable.as_ref()];
    for (recording, outcome) in recordings.into_iter().flatten().zip(outcomes) {
        apparatus::pcap::write(&mut writer, recording, "", outcome)?;
    }
    writer.finish()?.keep()?;
    Ok(())
}
