//! `sequential`: parse, run, render, choose an exit code.

use std::io::Write;
use std::process::ExitCode;

use apparatus::cli::Format;
use apparatus::{Apparatus, PacketEar, Plan};
use program::Interrupt;
use report::page;
use report::run::RunReport;
use sequential::cli;

fn main() -> ExitCode {
    let (args, plan) = cli::Args::read();
    program::exit::code("sequential", run(&args, plan))
}

/// Moves into a private network, if packets are to be heard: before there is a runtime, whose threads
/// would stay behind.
fn run(args: &cli::Args, mut plan: Plan) -> anyhow::Result<u8> {
    let ear = PacketEar::prepare(&args.client.packets, &mut plan)?;
    for note in ear.notes() {
        writeln!(anstream::stderr(), "sequential: {note}")?;
    }
    program::block_on(execute(args, plan, ear))
}

async fn execute(args: &cli::Args, plan: Plan, ear: PacketEar) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    let mut report = match args.client.format {
        Format::Text => {
            let width = program::terminal_width().unwrap_or(page::USUAL_WIDTH);
            RunReport::of_width(anstream::stdout(), width)
        }
        Format::Json => RunReport::json(anstream::stdout()),
    }
    .with_packets(args.client.packets.view());
    let apparatus = Apparatus::set_up(plan)?;
    let prediction = apparatus::predict(apparatus.setup());
    report.start(apparatus.setup(), &apparatus.rule_differences(), prediction.as_ref())?;
    let interrupted = sequential::run(&apparatus, &interrupt, |exchange| {
        report.exchange(exchange, &apparatus.take_events())
    })
    .await?;
    let (outcome, events) = apparatus.take_down(interrupted).await;
    report.end(&outcome, &events)?;
    if let Some(path) = ear.keep(&outcome)? {
        writeln!(anstream::stderr(), "sequential: the packets are in {}", path.display())?;
    }
    args.client.packets.check(&outcome)?;
    Ok(apparatus::exit_code(&outcome))
}
