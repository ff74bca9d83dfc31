//! What does it cost to watch 10,000 sockets, ten looks a second?
//!
//! In a private network there are 5,000 connections with both ends. The program draws them in a
//! terminal of its own: once at its own pace, which slows down where looks are dear, and once as
//! often as it is told to. In turns with it, this process makes as many bare dumps in the same time:
//! the kernel's answers received and not looked at. The measure is the time on a processor, as a
//! part of one.
//!
//! ```text
//! cargo bench -p socket-inspector --bench watch
//! ```
//!
//! It judges nothing and always succeeds; without `--bench`, as in `cargo test --benches`, it
//! takes a short look at few sockets just to show that it works.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: only Linux has netlink");
}

#[cfg(target_os = "linux")]
#[path = "../../socket-table/tests/common/bare_dump.rs"]
mod bare_dump;
#[cfg(target_os = "linux")]
#[path = "../../socket-table/tests/common/crowd.rs"]
mod crowd;
#[cfg(target_os = "linux")]
#[path = "../tests/common/terminal.rs"]
mod terminal;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use crate::bare_dump::bare_dump;
    use crate::crowd::{Crowd, Size, private_network};
    use crate::terminal::InTerminal;

    const FULL: Size = Size { time_wait: 0, open: 5_000 };
    const SMOKE: Size = Size { time_wait: 0, open: 7 };
    const EVERY: Duration = Duration::from_millis(100);
    const TURNS: usize = 3;
    /// Of one processor, watching should take less than this.
    const GOAL: f64 = 0.1;

    pub(super) fn main() {
        let asked_for = std::env::args().any(|argument| argument == "--bench");
        let (size, turns, turn) = if asked_for {
            (FULL, TURNS, Duration::from_secs(6))
        } else {
            (SMOKE, 1, Duration::from_millis(500))
        };
        if let Err(reason) = private_network(size) {
            return eprintln!("SKIPPED: {reason}");
        }
        let crowd = Crowd::gather(size);
        let own_pace = cost(&[], size, turns, turn);
        let asked = cost(&["--interval", "0.1"], size, turns, turn);
        drop(crowd);
        if !asked_for {
            return println!("it works; cargo bench shows the cost");
        }
        println!("{} sockets, each side for {turns} x {turn:?}, of one processor:", 2 * size.open);
        for (name, Cost { watched, dumped }) in
            [("at its own pace", own_pace), ("ten looks a second", asked)]
        {
            let (watch, bare) = (100.0 * watched, 100.0 * dumped);
            println!(
                "  watch, {name:<18}  {watch:4.1} %   ten bare dumps a second {bare:4.1} %   \
                 ratio {:.2}",
                watched / dumped
            );
        }
        let verdict = if own_pace.watched < GOAL { "reached" } else { "missed" };
        println!("the goal at its own pace, less than {:.0} %, is {verdict}", 100.0 * GOAL);
    }

    /// What it costs to watch, and to make bare dumps, as parts of a processor.
    #[derive(Clone, Copy)]
    struct Cost {
        watched: f64,
        dumped: f64,
    }

    fn cost(arguments: &[&str], size: Size, turns: usize, turn: Duration) -> Cost {
        let mut terminal = InTerminal::start(arguments, (120, 40));
        let there = format!("{} connections there", size.open);
        terminal.until("all there", |shown| shown.contains(&there));
        let (mut watched, mut dumped) = (Vec::new(), Vec::new());
        let program = terminal.child.id().to_string();
        for _ in 0..turns {
            watched.push(share_of(&program, || sleep(turn)));
            // The program goes on meanwhile, so that both sides meet the same machine.
            dumped.push(share_of("self", || {
                let begun = Instant::now();
                while begun.elapsed() < turn {
                    bare_dump();
                    sleep(EVERY);
                }
            }));
            terminal.until("all there", |shown| shown.contains(&there));
        }
        terminal.press("q");
        terminal.end();
        Cost { watched: median(watched), dumped: median(dumped) }
    }

    /// Which part of a processor a process takes while `meanwhile` lasts.
    fn share_of(process: &str, meanwhile: impl FnOnce()) -> f64 {
        let (before, begun) = (on_cpu(process), Instant::now());
        meanwhile();
        (on_cpu(process) - before).as_secs_f64() / begun.elapsed().as_secs_f64()
    }

    /// The time that all threads of a process have spent on a processor.
    fn on_cpu(process: &str) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let nanos = |task: std::io::Result<std::fs::DirEntry>| {
            let told = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            told.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.filter_map(nanos).sum())
    }

    fn median(mut shares: Vec<f64>) -> f64 {
        shares.sort_by(f64::total_cmp);
        shares[shares.len() / 2]
    }
}
