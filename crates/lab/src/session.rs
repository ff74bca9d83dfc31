//! A session: what is run, asked and written in which order.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use packets::{Overwrite, PcapFile, PcapFileError, PcapWriter};
use program::progress::{self, BarPlace};
use program::{Interrupt, exit};
use report::page::{Page, PageWriter};

use crate::ask::LearnerLines;
use crate::catalogue;
use crate::cli::{Isolate, Run, RunFormat, TransportArg};
use crate::experiment::{self, Experiment, ExperimentWish, Override};
use crate::judge::Verdict;
use crate::learner::{LearnerAnswer, MarkedAnswer};
use crate::packet_spool::PacketSpool;
use crate::real_go::{self, RealGo};
use crate::render::text::Depth;
use crate::render::{self, Section, Tally, TrialRow};
use crate::run::{self, EndedTrial, Isolation, TrialLanes};

/// Returns what was typed after each `--set` and `--transport`.
///
/// # Errors
/// If an override is no setting.
pub(crate) fn wanted(
    overrides: &[String],
    transports: &[TransportArg],
    real_go: Option<RealGo>,
) -> Result<ExperimentWish, experiment::ExperimentError> {
    let overrides = overrides.iter().map(|text| Override::parse(text));
    Ok(ExperimentWish {
        overrides: overrides.collect::<Result<_, _>>()?,
        transports: transports
            .iter()
            .filter_map(|transport| match transport {
                TransportArg::Own(preset) => Some(*preset),
                TransportArg::RealGo => None,
            })
            .collect(),
        real_go,
    })
}

/// Carries out `lab run`, and returns the exit code.
///
/// # Errors
/// If what is asked for makes no sense, or nothing can be run at all.
pub(crate) async fn run(asked: &Run, out: &mut impl Page) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    anyhow::ensure!(
        !asked.predict || asked.format != RunFormat::Junit,
        "--predict asks a learner: it does not go with --format junit"
    );
    // Kept to the end: what Go has built lies in it.
    let directory = match asked.transports.contains(&TransportArg::RealGo) {
        true => Some(tempfile::tempdir().context("cannot make a directory for a time")?),
        false => None,
    };
    let real_go = match &directory {
        Some(directory) => real_go(asked, directory.path()).await?,
        None => None,
    };
    let experiments = experiments(asked, real_go)?;
    let file = pcap_file(asked)?;
    let isolation = isolation(asked.isolate).await?;
    // People see connections and tables; the moments are for programs.
    let moments = asked.evidence && asked.format == RunFormat::Json;
    let lanes = TrialLanes {
        jobs: asked.jobs.into(),
        at_most: asked.at_most,
        isolation,
        moments,
        hears: asked.packets.are_heard(),
        keeps: asked.packets.pcap.is_some(),
    };
    let mut session = LabSession::new(asked, &experiments, lanes, &interrupt, out);
    session.begin()?;
    let over = if asked.predict { session.one_by_one().await } else { session.all_at_once().await };
    let (packets, spool) = (session.packets(), std::mem::take(&mut session.spool));
    let lacking = session.lacking();
    let code = match over.and_then(|()| session.end(interrupt.has_come())) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit::READER_GONE),
        other => other?,
    };
    if let (Some(file), Some(path)) = (file, &asked.packets.pcap) {
        written(file, path, &packets, spool)?;
        writeln!(anstream::stderr(), "lab: the packets are in {}", path.display())?;
        // Go tells nobody its keys.
        let mut trials = experiments.iter().flat_map(|experiment| &experiment.trials);
        if trials.any(|it| it.settings.server.tls.is_some() && it.real_go.is_none()) {
            writeln!(
                anstream::stderr(),
                "lab: with the keys of their TLS, so that Wireshark decrypts it; both ends are the lab's"
            )?;
        }
    }
    match lacking {
        Some(lacking) if !interrupt.has_come() => Err(anyhow::anyhow!(lacking)),
        _ => Ok(code),
    }
}

/// Begins the file that is asked for, if one is.
fn pcap_file(asked: &Run) -> anyhow::Result<Option<PcapFile>> {
    let Some(path) = &asked.packets.pcap else { return Ok(None) };
    let overwrite = if asked.packets.force { Overwrite::Replace } else { Overwrite::Never };
    match PcapFile::create(path, overwrite) {
        Err(error @ PcapFileError::Exists { .. }) => {
            Err(anyhow::anyhow!("{error} (--force replaces it)"))
        }
        other => Ok(Some(other?)),
    }
}

/// Writes a section for each run, with its story.
fn written(
    file: PcapFile,
    path: &Path,
    runs: &[(String, Range<u64>)],
    mut spool: PacketSpool,
) -> anyhow::Result<()> {
    anyhow::ensure!(!runs.is_empty(), "{} is not written: nothing was heard", path.display());
    let write = || -> io::Result<PcapFile> {
        let mut file = file;
        for (story, body) in runs {
            let notes = apparatus::pcap::section(story);
            file = PcapWriter::begin(file, &notes)?.finish()?;
            spool.copy(body, &mut file)?;
        }
        Ok(file)
    };
    let failed = |source| PcapFileError::Keep { path: path.to_owned(), source };
    Ok(write().map_err(failed)?.keep()?)
}

/// Builds Go's own transport. If that cannot be had, it is said, and the others run.
async fn real_go(asked: &Run, directory: &Path) -> anyhow::Result<Option<RealGo>> {
    match RealGo::build(directory).await {
        Ok(go) => {
            let name = real_go::NAME;
            writeln!(anstream::stderr(), "lab: {name} is Go {}", go.version)?;
            Ok(Some(go))
        }
        Err(error) if asked.transports.iter().any(|it| *it != TransportArg::RealGo) => {
            writeln!(anstream::stderr(), "lab: SKIPPED: {}: {error:#}", real_go::NAME)?;
            Ok(None)
        }
        Err(error) => Err(error.context("--transport real-go")),
    }
}

fn experiments(asked: &Run, real_go: Option<RealGo>) -> anyhow::Result<Vec<Experiment>> {
    let wanted = wanted(&asked.overrides, &asked.transports, real_go)?;
    let read = |wanted: &ExperimentWish| -> Result<Vec<Experiment>, catalogue::CatalogueError> {
        match &asked.names[..] {
            [] => catalogue::all(wanted),
            names => names.iter().map(|name| catalogue::find(name, wanted)).collect(),
        }
    };
    let mut experiments = read(&wanted)?;
    experiments.retain(|experiment| !experiment.trials.is_empty());
    if experiments.is_empty() {
        let all = read(&ExperimentWish { transports: Vec::new(), real_go: None, ..wanted })?;
        anyhow::bail!(
            "nothing that was asked for runs through that transport: {}",
            catalogue::transports_of(&all)
        );
    }
    Ok(experiments)
}

async fn isolation(mode: Isolate) -> anyhow::Result<Isolation> {
    if mode == Isolate::Never {
        return Ok(Isolation::Shared("--isolate never".to_owned()));
    }
    match run::probe().await? {
        Ok(()) => Ok(Isolation::Private),
        Err(why) if mode == Isolate::Auto => Ok(Isolation::Shared(why)),
        Err(why) => Err(anyhow::anyhow!(why)).context("--isolate always"),
    }
}

struct LabSession<'a, W> {
    asked: &'a Run,
    experiments: &'a [Experiment],
    lanes: TrialLanes,
    interrupt: &'a Interrupt,
    out: &'a mut W,
    bar: ProgressBar,
    /// How long runs have been going on; not the time in which somebody was asked.
    took: Duration,
    /// The verdict on each trial of each experiment.
    done: Vec<Vec<Option<(Verdict, Duration)>>>,
    /// The learner's answers to the questions of each experiment, where there are any.
    answers: Vec<Option<Vec<Option<LearnerAnswer>>>>,
    /// The packets of each trial of each experiment, where they are kept.
    bodies: Vec<Vec<Option<Range<u64>>>>,
    /// Where they are.
    spool: PacketSpool,
    /// How many experiments have been written.
    written: usize,
}

impl<'a, W: Page> LabSession<'a, W> {
    fn new(
        asked: &'a Run,
        experiments: &'a [Experiment],
        lanes: TrialLanes,
        interrupt: &'a Interrupt,
        out: &'a mut W,
    ) -> Self {
        let trials = || experiments.iter().map(|experiment| experiment.trials.len());
        let all = trials().sum::<usize>() as u64;
        // Questions take the place of a bar.
        let place = if asked.predict { BarPlace::Nowhere } else { BarPlace::Terminal };
        Self {
            asked,
            experiments,
            lanes,
            interrupt,
            out,
            bar: progress::bar(all, "runs", place),
            took: Duration::ZERO,
            done: trials().map(|trials| vec![None; trials]).collect(),
            bodies: trials().map(|trials| vec![None; trials]).collect(),
            spool: PacketSpool::default(),
            answers: vec![None; experiments.len()],
            written: 0,
        }
    }

    /// Where the runs will take place, and by whose rules, if that is not what one would expect.
    fn begin(&mut self) -> io::Result<()> {
        if let (Isolation::Shared(why), Isolate::Auto) = (&self.lanes.isolation, self.asked.isolate)
        {
            let doctor = program::call("lab", "doctor");
            writeln!(anstream::stderr(), "lab: {doctor} tells what works here, and what not")?;
            writeln!(anstream::stderr(), "lab: in the machine's own network: {why}")?;
        }
        match self.asked.format {
            RunFormat::Text => render::text::banner(self.experiments, self.out),
            RunFormat::Json | RunFormat::Junit => Ok(()),
        }
    }

    /// Every trial as soon as there is a place for it; results in the order of the experiments.
    async fn all_at_once(&mut self) -> io::Result<()> {
        let lanes = self.lanes.clone();
        let interrupt = self.interrupt.clone();
        let started = Instant::now();
        let over = run::all(self.experiments, &lanes, &interrupt, |done| self.note(done)).await;
        self.took = started.elapsed();
        over
    }

    /// Experiment by experiment: asked, run, shown.
    async fn one_by_one(&mut self) -> io::Result<()> {
        let lanes = self.lanes.clone();
        let interrupt = self.interrupt.clone();
        let mut lines = LearnerLines::listen();
        for (number, experiment) in self.experiments.iter().enumerate() {
            let asked = interrupt.or(self.ask(experiment, &mut lines)).await;
            let Some(answers) = asked.transpose()? else {
                // What is told now begins below the question.
                return if self.asked.format == RunFormat::Text {
                    writeln!(self.out)
                } else {
                    Ok(())
                };
            };
            self.answers[number] = Some(answers);
            let only = std::slice::from_ref(experiment);
            let tell = |done: EndedTrial| self.note(EndedTrial { experiment: number, ..done });
            let started = Instant::now();
            run::all(only, &lanes, &interrupt, tell).await?;
            self.took += started.elapsed();
        }
        Ok(())
    }

    /// Asks where the results are written, unless these are for programs.
    async fn ask(
        &mut self,
        experiment: &Experiment,
        lines: &mut LearnerLines,
    ) -> io::Result<Vec<Option<LearnerAnswer>>> {
        match self.asked.format {
            RunFormat::Text => lines.about(experiment, &mut *self.out).await,
            RunFormat::Json | RunFormat::Junit => {
                let mut asked = PageWriter::new(anstream::stderr(), self.out.width());
                lines.about(experiment, &mut asked).await
            }
        }
    }

    fn note(&mut self, done: EndedTrial) -> io::Result<()> {
        self.bar.inc(1);
        self.done[done.experiment][done.trial] = Some((done.verdict, done.took));
        let packets = done.packets.map(|packets| self.spool.take(packets)).transpose()?;
        self.bodies[done.experiment][done.trial] = packets;
        while self.done.get(self.written).is_some_and(|all| all.iter().all(Option::is_some)) {
            self.write(self.written)?;
            self.written += 1;
        }
        Ok(())
    }

    /// Writes the results of an experiment, as far as there are any.
    fn write(&mut self, number: usize) -> io::Result<()> {
        if self.asked.format != RunFormat::Text {
            return Ok(());
        }
        let explained = self.asked.predict || !self.asked.names.is_empty();
        let depth = if explained { Depth::Detail } else { Depth::Overview };
        let mut text = PageWriter::new(Vec::new(), self.out.width());
        let section = self.section(number);
        if !section.rows.is_empty() {
            render::text::section(&section, depth, &mut text)?;
        }
        // The bar steps aside for what is written.
        let out = &mut self.out;
        self.bar.suspend(|| out.write_all(&text.into_inner()).and_then(|()| out.flush()))
    }

    fn section(&self, number: usize) -> Section<'_> {
        let experiment = &self.experiments[number];
        let done = &self.done[number];
        let rows = experiment.trials.iter().zip(done).enumerate();
        let rows = rows.filter_map(|(number, (trial, done))| {
            let (verdict, took) = done.as_ref()?;
            Some(TrialRow { trial, verdict, took: *took, number })
        });
        let mark = |answers| -> Vec<MarkedAnswer<'_>> {
            let with_answers = experiment.questions.iter().zip(answers);
            let marked = with_answers.filter_map(|(question, answer): (_, &Option<_>)| {
                let (verdict, _) = done[question.trial].as_ref()?;
                let trial = &experiment.trials[question.trial];
                Some(MarkedAnswer::on(question, answer.as_ref(), trial, verdict))
            });
            marked.collect()
        };
        let answers = self.answers[number].as_ref().map(mark);
        Section { experiment, rows: rows.collect(), answers }
    }

    /// The packets of the runs that were heard, each with the story of its run.
    fn packets(&self) -> Vec<(String, Range<u64>)> {
        let mut all = Vec::new();
        for (number, bodies) in self.bodies.iter().enumerate() {
            for row in self.section(number).rows {
                if let (Some(Some(body)), Verdict::Ran(ran)) = (bodies.get(row.number), row.verdict)
                    && matches!(ran.record.outcome.wire, Some(Ok(_)))
                {
                    let name = &self.experiments[number].name;
                    all.push((render::story(name, &row, ran), body.clone()));
                }
            }
        }
        all
    }

    /// The word on a connection that is asked for by its number, if no run had it.
    fn lacking(&self) -> Option<String> {
        let id = self.asked.packets.connection()?;
        let sections = (0..self.experiments.len()).map(|number| self.section(number));
        let mut lacking = Vec::new();
        for row in sections.flat_map(|section| section.rows) {
            if let Verdict::Ran(ran) = row.verdict {
                lacking.push(report::wire::connection(&ran.record.outcome, id).err()?);
            }
        }
        match &lacking[..] {
            [] => None,
            [only] => Some(only.to_string()),
            several => Some(format!("none of {} runs has a connection {id}", several.len())),
        }
    }

    /// Writes what is left to write, and returns the exit code.
    fn end(mut self, interrupted: bool) -> io::Result<u8> {
        self.bar.finish_and_clear();
        for number in self.written..self.experiments.len() {
            self.write(number)?;
        }
        let took = self.took;
        let sections: Vec<Section<'_>> =
            (0..self.experiments.len()).map(|number| self.section(number)).collect();
        let mut text = PageWriter::new(Vec::new(), self.out.width());
        match self.asked.format {
            RunFormat::Text => {
                render::text::evidence(&sections, self.asked.evidence, &mut text)?;
                if let Some((view, options)) = self.asked.packets.view() {
                    render::text::packets(&sections, view, options, &mut text)?;
                }
                render::text::summary(&sections, took, interrupted, &mut text)?;
            }
            RunFormat::Json => {
                let isolation = &self.lanes.isolation;
                let evidence = self.asked.evidence;
                render::json::write(&sections, isolation, took, interrupted, evidence, &mut text)?;
            }
            RunFormat::Junit => render::junit::write(&sections, &mut text)?,
        }
        let tally = Tally::of(sections.iter().flat_map(|section| &section.rows));
        drop(sections);
        self.out.write_all(&text.into_inner())?;
        self.out.flush()?;
        Ok(if interrupted { exit::INTERRUPTED } else { tally.exit_code() })
    }
}
