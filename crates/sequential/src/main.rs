//! `sequential`: parse, run, render, choose an exit code.

use std::process::ExitCode;

use apparatus::cli::Format;
use apparatus::{Apparatus, Plan};
use program::Interrupt;
use report::page;
use report::run::RunReport;
use sequential::cli;

fn main() -> ExitCode {
    let (args, plan) = cli::Args::read();
    program::exit::code("sequential", program::block_on(execute(&args, plan)))
}

async fn execute(args: &cli::Args, plan: Plan) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    let mut report = match args.client.format {
        Format::Text => {
            let width = program::terminal_width().unwrap_or(page::USUAL_WIDTH);
            RunReport::of_width(anstream::stdout(), width)
        }
        Format::Json => RunReport::json(anstream::stdout()),
    };
    let apparatus = Apparatus::set_up(plan)?;
    let prediction = apparatus::predict(apparatus.setup());
    report.start(apparatus.setup(), &apparatus.rule_differences(), prediction.as_ref())?;
    let interrupted = sequential::run(&apparatus, &interrupt, |exchange| {
        report.exchange(exchange, &apparatus.take_events())
    })
    .await?;
    let (outcome, events) = apparatus.take_down(interrupted).await;
    report.end(&outcome, &events)?;
    Ok(apparatus::exit_code(&outcome))
}
