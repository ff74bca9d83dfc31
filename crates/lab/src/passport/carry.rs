//! One probe in a process of its own: the child's half.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use netlab::{CablePlan, Host, NothingHappens};
use observe::{Family, FamilyOutput, FamilyPlan, ObservedGround, ProgramEnd};
use peers::{ConnectionScript, PeerStory, ScriptedServer};

use super::order::{ProbeOrder, address};
use super::record::{ClientEnd, ProbePackets, ProbeRecord};

/// So long a close may take from host to host, beside the cable's delay.
const CLOSING: Duration = Duration::from_millis(30);
/// No more bytes of a client's output are kept.
const OUTPUT: u64 = 64 * 1024;

/// Variables that send a client to a proxy, which no probe has.
const PROXIES: [&str; 6] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Moves this process to a private network, lets the client meet the server there, and returns what
/// was seen; or why no private network can be had.
///
/// # Errors
/// If the client cannot be started, or the system does not let it be watched.
pub(crate) fn carry_out(order: ProbeOrder) -> anyhow::Result<Result<ProbeRecord, netlab::Error>> {
    let start = Instant::now();
    // Before there is a runtime: a process with several threads stays where it is.
    let mut ground = match ObservedGround::enter(start) {
        Ok(ground) => ground,
        Err(error) => return Ok(Err(error)),
    };
    let plan = CablePlan { delay: Duration::from_micros(order.delay_us), ..CablePlan::default() };
    let host = match ground.second_host(plan, Box::new(NothingHappens)) {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    ground.begin()?;
    let place = || tempfile::tempfile().context("there is no place for the client's output");
    let (mut output, mut errors) = (place()?, place()?);
    let family = FamilyPlan {
        command: order.command.into_iter().map(Into::into).collect(),
        variables: Vec::new(),
        time: Some(Duration::from_micros(order.at_most_us)),
        without: PROXIES.iter().map(Into::into).collect(),
        output: Some(FamilyOutput { output: output.try_clone()?, errors: errors.try_clone()? }),
        strangers: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let met = meet(order.connections, family, &host, plan.delay, start);
    let (program, connections) = runtime.block_on(met)?;
    let heard = ground.end()?;
    let mut packets = ProbePackets { missed: heard.missed, ..ProbePackets::default() };
    for place in heard.gathered() {
        let opened = place.connections.iter().filter(|it| it.is_opened());
        packets.opened += opened.count();
        let stale = place.connections.iter().filter_map(observe::meets_stale);
        packets.stale += stale.count();
    }
    let end = match program.end {
        _ if program.time_was_over => ClientEnd::TookTooLong,
        ProgramEnd::Exited(status) => ClientEnd::Status(status),
        ProgramEnd::Signal(signal) => ClientEnd::Signal(signal),
        ProgramEnd::Unseen => ClientEnd::TookTooLong,
    };
    let (output, errors) = (written(&mut output)?, written(&mut errors)?);
    Ok(Ok(ProbeRecord { connections, packets, end, output, errors }))
}

async fn meet(
    scripts: Vec<ConnectionScript>,
    family: FamilyPlan,
    host: &Arc<Host>,
    delay: Duration,
    start: Instant,
) -> anyhow::Result<(observe::ObservedProgram, Vec<PeerStory>)> {
    // A socket stays on the host where it was made.
    let listener = host.run(|| std::net::TcpListener::bind(address()))??;
    let server = ScriptedServer::on(listener, scripts)?;
    let program = Family::start(family, start)?.to_its_end().await;
    // The kernel closes what the client had open; that has yet to come to the server.
    tokio::time::sleep(2 * delay + CLOSING).await;
    Ok((program, server.stop().await))
}

/// What was written to a file, as far as it is text and not too long.
fn written(file: &mut File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
