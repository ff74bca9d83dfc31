//! `lab passport`: what a client does when its server does not do as one would wish.
//!
//! A battery of probes, each a server that does as a script says, on a host of its own; against any
//! command that fetches URLs. What is read is what the server and the packets saw; of the client
//! itself, its exit status and its output.
//!
//! | idea | file |
//! |---|---|
//! | a probe: script, readings, the standard | `passport/probe.rs` |
//! | those that come with the lab | `passport/battery.rs` |
//! | a client's command, and what it becomes for a probe | `passport/command.rs` |
//! | the order for one probe | `passport/order.rs` |
//! | one probe, in the child process: on Linux alone | `passport/carry.rs` |
//! | what was seen, and the same as numbers | `passport/record.rs` |
//! | what the client did | `passport/judge.rs` |
//! | the table and the evidence | `passport/text.rs` |
//! | a passport that is kept, and what has changed since | `passport/kept.rs` |

mod battery;
#[cfg(target_os = "linux")]
pub(crate) mod carry;
mod command;
mod judge;
mod kept;
pub(crate) mod order;
mod probe;
pub(crate) mod record;
mod text;

use std::io;

use anyhow::Context;
use futures_util::StreamExt;
use program::progress::{self, BarPlace};
use program::{Interrupt, exit};
use report::page::Page;

use crate::bounded_file;
use crate::cli::{Passport, PassportFormat};
use crate::run::Child;
use crate::trial::{ChildAnswer, Order};
use command::ClientCommand;
use judge::{Doing, ProbeEntry, ProbeRow, ProbeVerdict};
use kept::KeptPassport;
use order::ProbeOrder;
use probe::{Probe, SAID};

/// The most bytes of a passport that is read again.
const LONGEST: u64 = 16 << 20;

/// Carries out `lab passport`, and returns the exit code.
///
/// # Errors
/// If what is asked for makes no sense, or no private network can be had.
pub(crate) async fn run(asked: &Passport, out: &mut impl Page) -> anyhow::Result<u8> {
    let probes = wanted(&asked.only)?;
    if asked.command.is_empty() {
        text::list(&probes, out)?;
        return Ok(exit::DONE);
    }
    let before = asked.against.as_ref().map(|path| {
        let shown = || format!("--against {}", path.display());
        let json = bounded_file::read(path, LONGEST).with_context(shown)?;
        KeptPassport::read(&json).with_context(shown)
    });
    let before = before.transpose()?;
    let command = ClientCommand(asked.command.clone());
    command.check()?;
    let interrupt = Interrupt::listen()?;
    let verdicts = all(asked, &command, &probes, &interrupt).await?;
    let rows: Vec<ProbeRow<'_>> = probes.iter().zip(&verdicts).collect();
    let now = KeptPassport::of(&asked.command, &rows);
    let changes = before.as_ref().map(|before| before.changes_to(&now));
    match asked.format {
        PassportFormat::Text => {
            text::table(&rows, out)?;
            let unread = |verdict: &ProbeVerdict| {
                let entry = verdict.entry();
                matches!(
                    entry,
                    ProbeEntry::Varies(_) | ProbeEntry::Unforeseen | ProbeEntry::Unread(_)
                )
            };
            text::evidence(&rows, |verdict| asked.evidence || unread(verdict), out)?;
            if let (Some(before), Some(changes)) = (&before, &changes) {
                text::changes(before, changes, out)?;
            }
        }
        PassportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &now).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    let unread = verdicts.iter().any(|it| matches!(it.entry(), ProbeEntry::Unread(_)));
    Ok(match changes {
        _ if interrupt.has_come() => exit::INTERRUPTED,
        _ if unread => exit::COULD_NOT_RUN,
        Some(changes) if !changes.is_empty() => exit::FAILED,
        _ => exit::DONE,
    })
}

/// The probes that are asked for, by name or number; all of them if none is.
fn wanted(only: &[String]) -> anyhow::Result<Vec<Probe>> {
    let all = battery::battery()?;
    let is = |probe: &Probe, name: &str| {
        let number = probe.name.split('-').next().unwrap_or_default();
        probe.name == name || probe.short() == name || number.trim_start_matches('0') == name
    };
    for name in only {
        anyhow::ensure!(
            all.iter().any(|probe| is(probe, name)),
            "there is no probe `{name}`; `{}` lists them",
            program::call("lab", "passport")
        );
    }
    let wanted = |probe: &Probe| only.is_empty() || only.iter().any(|name| is(probe, name));
    Ok(all.into_iter().filter(wanted).collect())
}

/// Carries out the probes, several side by side; those about the body of a request when it is known
/// whether there is one.
async fn all(
    asked: &Passport,
    command: &ClientCommand,
    probes: &[Probe],
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<ProbeVerdict>> {
    let bar = progress::bar(probes.len() as u64, "probes", BarPlace::Terminal);
    let writes = !probes.iter().any(|probe| needs_output(command, probe))
        || writes_bodies(asked, command, interrupt).await?;
    let mut verdicts: Vec<Option<ProbeVerdict>> = probes.iter().map(|_| None).collect();
    for about_bodies in [false, true] {
        let sends = !about_bodies || has_body(&verdicts);
        let these = probes.iter().enumerate().filter(|(_, probe)| probe.body == about_bodies);
        let mut running = futures_util::stream::iter(these)
            .map(|(number, probe)| async move {
                let needs = |what: &str| ProbeVerdict::Skipped(format!("needs {what}"));
                let verdict = match command.is_unfit_for(probe) {
                    Some(why) => ProbeVerdict::Skipped(why),
                    None if !sends => needs("a request with a body"),
                    None if !writes && needs_output(command, probe) => {
                        needs("bodies in the client's output")
                    }
                    None => {
                        let mut runs = Vec::new();
                        for _ in 0..asked.times {
                            runs.push(one(asked, command, probe, interrupt).await);
                        }
                        ProbeVerdict::of_runs(runs)
                    }
                };
                (number, verdict)
            })
            .buffer_unordered(asked.jobs.into());
        while let Some((number, verdict)) = running.next().await {
            bar.inc(1);
            if let Some(place) = verdicts.get_mut(number) {
                *place = Some(verdict);
            }
        }
    }
    bar.finish_and_clear();
    let interrupted = || ProbeVerdict::Skipped("interrupted".to_owned());
    Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(interrupted)).collect())
}

/// Returns true if `probe` is asked, and read by what the client writes to its output.
fn needs_output(command: &ClientCommand, probe: &Probe) -> bool {
    command.is_unfit_for(probe).is_none() && probe.words(SAID).next().is_some()
}

/// Returns true if the client writes the body of a plain response to its output. Of one that does
/// not, no probe can tell which response it took; nor of one that did not come so far, which then is
/// for the probes to say.
async fn writes_bodies(
    asked: &Passport,
    command: &ClientCommand,
    interrupt: &Interrupt,
) -> anyhow::Result<bool> {
    let mut plain = battery::plain()?;
    plain.urls = 1;
    let verdict = one(asked, command, &plain, interrupt).await;
    let record = verdict.doing().map(|doing| &doing.record);
    Ok(record
        .is_none_or(|record| record.unread().is_some() || record.output.contains("first_answer")))
}

/// Returns true if a request had a body, or if nothing was asked that would show it.
fn has_body(verdicts: &[Option<ProbeVerdict>]) -> bool {
    let mut doings = verdicts.iter().filter_map(|verdict| match verdict {
        Some(verdict) => verdict.doing().map(|doing| &doing.numbers),
        None => None,
    });
    let sent = |name: &str, numbers: &std::collections::BTreeMap<String, f64>| {
        numbers.get(name).is_some_and(|number| *number > 0.0)
    };
    let mut any = false;
    let has = doings.any(|numbers| {
        any = true;
        sent("body", numbers) || sent("expects", numbers)
    });
    has || !any
}

async fn one(
    asked: &Passport,
    command: &ClientCommand,
    probe: &Probe,
    interrupt: &Interrupt,
) -> ProbeVerdict {
    if interrupt.has_come() {
        return ProbeVerdict::Skipped("interrupted".to_owned());
    }
    let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let order = Order::Passport(Box::new(ProbeOrder {
        connections: probe.connections.clone(),
        delay_us: us(probe.delay),
        command: command.words(probe, &order::address().to_string()),
        at_most_us: us(asked.at_most),
    }));
    let mut child = match Child::start(&order).await {
        Ok(child) => child,
        Err(error) => return ProbeVerdict::CouldNotRun(format!("{error:#}")),
    };
    let Some(told) = interrupt.or(child.tell()).await else {
        child.end_with_its_family().await;
        return ProbeVerdict::Skipped("interrupted".to_owned());
    };
    match told {
        Ok(ChildAnswer::Probed(record)) => ProbeVerdict::Did(Box::new(Doing::of(probe, *record))),
        Ok(ChildAnswer::Refused(why) | ChildAnswer::NoCable(why) | ChildAnswer::Failed(why)) => {
            ProbeVerdict::CouldNotRun(why)
        }
        Ok(ChildAnswer::Ready | ChildAnswer::Over(_) | ChildAnswer::Attempted(_)) => {
            ProbeVerdict::CouldNotRun("the order was misunderstood".to_owned())
        }
        Err(error) => ProbeVerdict::CouldNotRun(format!("{error:#}")),
    }
}
