//! What does a snapshot cost beyond the kernel's own work?
//!
//! In a private network there are 80,000 sockets: 70,000 in `TIME_WAIT`, and 5,000 connections with
//! both ends. Rounds take turns, so that what else the machine does meets all ways of listing them
//! alike. The measure is a bare dump: the same two questions (IPv4, IPv6), the answers received
//! into the same buffer of 32 KiB, and not looked at.
//!
//! The other ways: a snapshot; one that the kernel filters by port, which leaves an eighth; one
//! with the owners of each socket; the netstat2 crate, which looks for owners, too; and `ss`,
//! `netstat` and `cat` as programs, where they are installed, their output to nowhere.
//!
//! ```text
//! cargo bench -p socket-table --bench snapshot
//! ```
//!
//! It judges nothing and always succeeds; without `--bench`, as in `cargo test --benches`, it
//! takes one round with few sockets just to show that it works.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: only Linux has netlink");
}

#[cfg(target_os = "linux")]
#[path = "../tests/common/bare_dump.rs"]
mod bare_dump;
#[cfg(target_os = "linux")]
#[path = "../tests/common/crowd.rs"]
mod crowd;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use netstat2::{AddressFamilyFlags, ProtocolFlags};
    use socket_table::{SocketFilter, snapshot, snapshot_with_owners};

    use crate::bare_dump::bare_dump;
    use crate::crowd::{Crowd, Size, private_network};

    const FULL: Size = Size { time_wait: 70_000, open: 5_000 };
    const SMOKE: Size = Size { time_wait: 23, open: 7 };
    /// The crowd begins to leave a minute after it began to come.
    const UNTIL: Duration = Duration::from_secs(50);
    const MOST_ROUNDS: usize = 101;
    /// A snapshot should take no longer than so many bare dumps.
    const GOAL: f64 = 1.5;
    /// The places of these two among the ways.
    const BARE: usize = 0;
    const SNAPSHOT: usize = 1;
    /// The slow ways take part in one round out of so many.
    const SLOW_EVERY: usize = 5;

    pub(super) fn main() {
        let asked_for = std::env::args().any(|argument| argument == "--bench");
        let size = if asked_for { FULL } else { SMOKE };
        if let Err(reason) = private_network(size) {
            return eprintln!("SKIPPED: {reason}");
        }
        let crowd = Crowd::gather(size);
        let made = crowd.lines.len();
        let ways = ways(crowd.port());
        let mut rounds: Vec<Round> = Vec::new();
        let wanted = if asked_for { MOST_ROUNDS } else { 1 };
        while rounds.len() < wanted && crowd.began.elapsed() < UNTIL {
            let slow_ones_too = rounds.len().is_multiple_of(SLOW_EVERY);
            let time = |way: &Way| (slow_ones_too || !way.slow).then(|| way.time());
            rounds.push(ways.iter().map(time).collect());
        }
        let left = snapshot(&SocketFilter::default()).unwrap().sockets.len();
        assert_eq!(left, made, "the rounds took too long: some sockets are gone");
        if !asked_for {
            return println!("all ways work; cargo bench shows how fast");
        }
        report(&ways, &rounds, made);
    }

    /// How long each way took, in milliseconds; `None` if it took no part.
    type Round = Vec<Option<f64>>;

    fn report(ways: &[Way], rounds: &[Round], sockets: usize) {
        println!("{sockets} sockets, {} rounds", rounds.len());
        for (number, way) in ways.iter().enumerate() {
            let times = sorted(rounds.iter().filter_map(|round| round[number]));
            let (name, min, median) = (way.name, times[0], times[times.len() / 2]);
            println!("{name:<22} min {min:>6.1} ms   median {median:>6.1} ms");
        }
        // Compared round by round: neighbours in time met the same machine.
        let ratios: Vec<f64> = (0..ways.len())
            .map(|number| {
                let ratio = |round: &Round| Some(round[number]? / round[BARE]?);
                let ratios = sorted(rounds.iter().filter_map(ratio));
                ratios[ratios.len() / 2]
            })
            .collect();
        for (way, ratio) in ways.iter().zip(&ratios).skip(SNAPSHOT) {
            println!("{} / bare dump: {ratio:.2}", way.name);
        }
        let (ratio, verdict) =
            (ratios[SNAPSHOT], if ratios[SNAPSHOT] <= GOAL { "reached" } else { "missed" });
        println!(
            "a snapshot takes {ratio:.2} times as long as a bare dump; goal: {GOAL}, {verdict}"
        );
    }

    fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// A way of listing the sockets.
    struct Way {
        name: &'static str,
        slow: bool,
        run: Box<dyn Fn() -> usize>,
    }

    impl Way {
        /// How many milliseconds one listing takes, the freeing of the list included.
        fn time(&self) -> f64 {
            let start = Instant::now();
            std::hint::black_box((self.run)());
            start.elapsed().as_secs_f64() * 1e3
        }
    }

    /// The ways that this machine has; first the measure, then the snapshot.
    fn ways(port: u16) -> Vec<Way> {
        let everything = SocketFilter::default();
        let of_port = SocketFilter::default().port(port);
        let mut ways = vec![
            way("bare dump", false, bare_dump),
            way("snapshot", false, {
                let everything = everything.clone();
                move || snapshot(&everything).unwrap().sockets.len()
            }),
            way("snapshot, one port", false, move || snapshot(&of_port).unwrap().sockets.len()),
            way("snapshot, with owners", true, move || {
                snapshot_with_owners(&everything).unwrap().sockets.len()
            }),
            way("netstat2, with owners", true, || {
                let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
                netstat2::get_sockets_info(families, ProtocolFlags::TCP).unwrap().len()
            }),
        ];
        for line in ["ss -tan", "netstat -tan", "cat /proc/net/tcp"] {
            match run(line) {
                Ok(()) => ways.push(way(line, true, move || {
                    run(line).unwrap();
                    0
                })),
                Err(error) => eprintln!("SKIPPED: {line}: {error}"),
            }
        }
        ways
    }

    fn way(name: &'static str, slow: bool, run: impl Fn() -> usize + 'static) -> Way {
        Way { name, slow, run: Box::new(run) }
    }

    /// Runs a program, its output to nowhere.
    fn run(line: &str) -> io::Result<()> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        let status = command.args(words).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}
