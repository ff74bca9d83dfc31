//! `lab doctor`: what of the lab works on this machine, and how to allow the rest.
//!
//! Each thing is tried as the lab would do it, in a process of its own; what is printed was observed.
//!
//! | idea | file |
//! |---|---|
//! | what was found out | `doctor/facts.rs` |
//! | trying one thing, in the child | `doctor/attempts.rs` |
//! | settings, limits and tools of this machine | `doctor/machine.rs` |
//! | what settings mean, and for which experiment | `doctor/meaning.rs` |
//! | from facts to a judgement: what works, which experiments run | `doctor/judge.rs` |
//! | the judgement as text and as JSON | `doctor/text.rs`, `doctor/json.rs` |
//! | a profile that lets AppArmor allow this program what it needs | `doctor/apparmor.rs` |

mod apparmor;
pub(crate) mod attempts;
pub(crate) mod facts;
mod json;
mod judge;
mod machine;
mod meaning;
mod text;

use std::time::Duration;

use anyhow::Context;
use report::page::Page;

use crate::catalogue;
use crate::cli::{Doctor, DoctorFormat};
use crate::experiment::{Experiment, ExperimentWish};
use crate::run;
use facts::{Attempt, AttemptOutcome, DoctorFacts, ExperimentNeeds, TrialNeeds};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks, and tells. Returns the exit code: 0 if everything works, 1 if something does not.
///
/// # Errors
/// If nothing could be tried.
pub(crate) async fn run(asked: &Doctor, out: &mut impl Page) -> anyhow::Result<u8> {
    if asked.apparmor {
        let program = std::env::current_exe().context("cannot find this program itself")?;
        out.write_all(apparmor::profile(&program)?.as_bytes())?;
        return Ok(0);
    }
    let experiments = catalogue::all(&ExperimentWish::default())?;
    let facts = gather(needs(&experiments)?).await?;
    let judgement = judge::judge(&facts);
    match asked.format {
        DoctorFormat::Text => text::write(&judgement, out)?,
        DoctorFormat::Json => json::write(&judgement, out)?,
    }
    Ok(u8::from(!judgement.all_works()))
}

/// Finds out what each experiment takes.
fn needs(experiments: &[Experiment]) -> anyhow::Result<Vec<ExperimentNeeds>> {
    let of_experiment = |experiment: &Experiment| {
        let trials = experiment.trials.iter().map(|trial| {
            let ready = trial.settings.ready(trial.preset, true)?;
            Ok(TrialNeeds {
                private: trial.needs_private.is_some(),
                settings: ready.network,
                two_hosts: ready.cable.is_some(),
                packets: trial.hears,
            })
        });
        let trials = trials.collect::<anyhow::Result<_>>()?;
        Ok(ExperimentNeeds { name: experiment.name.clone(), trials })
    };
    experiments.iter().map(of_experiment).collect()
}

/// Tries everything, one after the other.
async fn gather(experiments: Vec<ExperimentNeeds>) -> anyhow::Result<DoctorFacts> {
    let private = tried(Attempt::Private).await?;
    let mut settings = Vec::new();
    let mut tun = no_network();
    let mut cable = no_network();
    let mut packets_inside = no_network();
    let mut observing = no_network();
    if private.works() {
        for wanted in facts::distinct_settings(&experiments) {
            let outcome = tried(Attempt::Settings(Box::new(wanted.clone()))).await?;
            settings.push((wanted, outcome));
        }
        tun = tried(Attempt::Tun).await?;
        cable = tried(Attempt::Cable).await?;
        packets_inside = tried(Attempt::PacketsInside).await?;
        observing = tried(Attempt::Observing).await?;
    }
    Ok(DoctorFacts {
        system: machine::system(),
        private,
        settings,
        tun,
        cable,
        packets_inside,
        observing,
        packets_here: tried(Attempt::PacketsHere).await?,
        tracepoint: tried(Attempt::Tracepoint).await?,
        sysctls: machine::sysctls(),
        descriptors: machine::descriptors(),
        ports: machine::ports(),
        tools: machine::tools(),
        experiments,
    })
}

fn no_network() -> AttemptOutcome {
    AttemptOutcome::NotTried("it takes a private network".to_owned())
}

/// Lets a child try it.
async fn tried(attempt: Attempt) -> anyhow::Result<AttemptOutcome> {
    run::attempt(attempt, PATIENCE).await
}

#[cfg(test)]
mod tests;
