//! `concurrent`: parse, run, render, choose an exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use apparatus::cli::Format;
use apparatus::{Apparatus, PacketEar, Plan};
use concurrent::cli;
use program::Interrupt;
use program::progress::{self, BarPlace};
use report::page;
use report::run::RunReport;

/// So many exchanges have a line each on a terminal, too.
const FEW_LINES: usize = 30;

fn main() -> ExitCode {
    let (args, plan) = cli::Args::read();
    program::exit::code("concurrent", run(&args, plan))
}

/// Moves into a private network, if packets are to be heard: before there is a runtime, whose threads
/// would stay behind.
fn run(args: &cli::Args, mut plan: Plan) -> anyhow::Result<u8> {
    let ear = PacketEar::prepare(&args.client.packets, &mut plan)?;
    for note in ear.notes() {
        writeln!(anstream::stderr(), "concurrent: {note}")?;
    }
    program::block_on(execute(args, plan, ear))
}

async fn execute(args: &cli::Args, plan: Plan, ear: PacketEar) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    // A trace takes the place of a bar, and so do a few lines.
    let needs_none = args.client.trace || plan.setup.exchanges() <= FEW_LINES;
    let place = if needs_none { BarPlace::Nowhere } else { BarPlace::Terminal };
    let bar = progress::bar(plan.setup.exchanges() as u64, "exchanges", place);
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
    // On a terminal the bar stands for the lines; in a pipe, or a file, the lines are there.
    let lines = bar.is_hidden() || !std::io::stdout().is_terminal();
    let interrupted = concurrent::run(&apparatus, &interrupt, |exchange| {
        bar.inc(1);
        if lines { report.exchange(exchange, &apparatus.take_events()) } else { Ok(()) }
    })
    .await;
    bar.finish_and_clear();
    let (outcome, events) = apparatus.take_down(interrupted?).await;
    report.end(&outcome, &events)?;
    if let Some(path) = ear.keep(&outcome)? {
        writeln!(anstream::stderr(), "concurrent: the packets are in {}", path.display())?;
    }
    args.client.packets.check(&outcome)?;
    Ok(apparatus::exit_code(&outcome))
}
