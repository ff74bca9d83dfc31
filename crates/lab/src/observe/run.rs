//! From the command line to the report.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use packets::{Overwrite, PcapFile, PcapWriter};
use report::page::{PageWriter, USUAL_WIDTH};

use super::expect::{Expectation, JudgedExpectation};
use super::with_less::SampledReport;
use super::{
    LAB_FAILED, Observe, ObserveFormat, json, junit, keys, outcome, relay, serve, text, with_less,
};
use crate::cli::Isolate;

/// The program cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
const NOT_FOUND: u8 = 127;
/// An expectation did not hold, though the program ended well.
const NOT_AS_EXPECTED: u8 = 1;

/// All that a report is made of.
pub(super) struct ObserveReport<'a> {
    pub(super) observation: &'a observe::Observation,
    pub(super) expectations: &'a [JudgedExpectation],
    pub(super) disagreements: &'a [String],
    pub(super) notes: &'a [String],
    /// The exit code of the lab.
    pub(super) code: u8,
}

/// Where a report goes.
enum ReportPlace {
    Stderr,
    File(File),
}

pub(super) fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<observe::FamilyError>() {
        Some(observe::FamilyError::NotFound { .. }) => NOT_FOUND,
        Some(observe::FamilyError::NotExecutable { .. }) => NOT_EXECUTABLE,
        _ => LAB_FAILED,
    }
}

/// Observes the program, writes the report and returns the exit code.
pub(super) fn run(asked: &Observe) -> anyhow::Result<u8> {
    let expectations = expectations(asked)?;
    let serves = asked.serve.serve || serve::is_named_in(&asked.command);
    anyhow::ensure!(
        !(serves && asked.outside),
        "with --outside there is no server of the lab's, so that {{url}}, {{host}} and {{port}} mean nothing"
    );
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

    if let Some(why) = why_not_private(asked)? {
        let needs = [
            (!expectations.is_empty(), "--expect"),
            (serves, "the lab's own server"),
            (asked.outside, "--outside"),
            (asked.packets.are_heard(), "--packets and --pcap"),
            (asked.isolate == Isolate::Always, "--isolate always"),
        ];
        if let Some((_, what)) = needs.iter().find(|(needed, _)| *needed) {
            anyhow::bail!("{what} takes a private network: {why}");
        }
        return with_less(asked, &why, place);
    }
    let wants_keys = asked.packets.pcap.is_some() && !asked.no_keys;
    let keys = wants_keys.then(keys::KeyFile::make).transpose()?;
    let outside = asked.outside.then(relay::OutsideProcess::start).transpose()?;
    let strangers: Vec<u32> = outside.iter().map(|outside| outside.pid).collect();

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
    if let Some(outside) = outside {
        relay::start(outside, &mut ground)?;
        notes.push(
            "what passed the cable was relayed byte for byte, its ends as they came; beyond the \
             relay the packets are others"
                .to_owned(),
        );
    }
    ground.begin()?;
    let plan = observe::FamilyPlan {
        command: if serves { serve::with_address(&asked.command) } else { asked.command.clone() },
        variables: keys.as_ref().map(keys::KeyFile::variables).unwrap_or_default(),
        time: asked.time,
        without: Vec::new(),
        output: None,
        strangers,
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
        let has_keys = keep(file, &report, &heard, &outcomes, keys.as_ref())?;
        if let Some(path) = &asked.packets.pcap {
            let keys = if has_keys {
                ", with the keys of TLS: whoever has it reads all (--no-keys leaves them out)"
            } else {
                ""
            };
            writeln!(anstream::stderr(), "lab: the packets are in {}{keys}", path.display())?;
        }
    }
    Ok(code)
}

/// The hidden command by which this program finds out whether there can be a private network: who is
/// refused half-way is in one of no use, so another process tries it.
pub(crate) const TRY: &str = "try-network";

/// What that command does.
///
/// # Errors
/// If there can be none.
pub(crate) fn try_network() -> anyhow::Result<()> {
    let mut ground = observe::ObservedGround::enter(Instant::now())?;
    Ok(ground.begin()?)
}

/// Why there is no private network, if there is to be none or can be none.
fn why_not_private(asked: &Observe) -> anyhow::Result<Option<String>> {
    if asked.isolate == Isolate::Never {
        return Ok(Some("as --isolate never says".to_owned()));
    }
    let this = std::env::current_exe()?;
    let tried = std::process::Command::new(this)
        .arg(TRY)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .output()?;
    let told = String::from_utf8_lossy(&tried.stderr);
    let why = told.trim().trim_start_matches("lab: ").to_owned();
    Ok((!tried.status.success()).then_some(why))
}

/// Runs the program where it is, and looks at the kernel's table.
fn with_less(asked: &Observe, why: &str, place: ReportPlace) -> anyhow::Result<u8> {
    let start = Instant::now();
    let sampler = observe::SocketSampler::start(start)?;
    let plan = observe::FamilyPlan {
        command: asked.command.clone(),
        variables: Vec::new(),
        time: asked.time,
        without: Vec::new(),
        output: None,
        strangers: Vec::new(),
    };
    let program = program_of(plan, start)?;
    let sockets = sampler.stop();
    let code = if program.time_was_over { 0 } else { program.end.status() };
    let report = SampledReport { program: &program, sockets: &sockets, why };
    let mut out = page(place);
    match asked.format {
        ObserveFormat::Text => with_less::write(&report, &mut out)?,
        ObserveFormat::Json | ObserveFormat::Jsonl => {
            with_less::write_json(&report, code, &mut out)?;
        }
        ObserveFormat::Junit => anyhow::bail!("--format junit takes a private network: {why}"),
    }
    out.flush()?;
    Ok(code)
}

fn program_of(
    plan: observe::FamilyPlan,
    start: Instant,
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

fn observation(
    program: observe::ObservedProgram,
    heard: &observe::Heard,
    gathered: &mut [observe::GatheredConnections],
    elapsed: Duration,
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

/// The page that a report is written on.
fn page(place: ReportPlace) -> PageWriter<Box<dyn Write>> {
    let width = program::terminal_width().unwrap_or(USUAL_WIDTH);
    let out: Box<dyn Write> = match place {
        ReportPlace::Stderr => Box::new(anstream::stderr()),
        ReportPlace::File(file) => Box::new(anstream::StripStream::new(file)),
    };
    PageWriter::new(out, width)
}

fn write(
    asked: &Observe,
    report: &ObserveReport<'_>,
    outcomes: &[evidence::Outcome],
    place: ReportPlace,
) -> anyhow::Result<()> {
    let mut out = page(place);
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

/// Writes the packets, each with what is known of its connection, and the keys of TLS. Returns true if
/// there are any.
fn keep(
    file: PcapFile,
    report: &ObserveReport<'_>,
    heard: &observe::Heard,
    outcomes: &[evidence::Outcome],
    keys: Option<&keys::KeyFile>,
) -> anyhow::Result<bool> {
    let story = text::story(report);
    let mut writer = PcapWriter::begin(file, &apparatus::pcap::section(&story))?;
    let recordings = [Some(&heard.loopback), heard.cable.as_ref()];
    let mut has_keys = false;
    for (recording, outcome) in recordings.into_iter().flatten().zip(outcomes) {
        let keys = keys.map(|keys| keys.keys_of(recording)).unwrap_or_default();
        has_keys |= !keys.is_empty();
        apparatus::pcap::write(&mut writer, recording, &keys, outcome)?;
    }
    writer.finish()?.keep()?;
    Ok(has_keys)
}
