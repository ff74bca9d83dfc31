//! Very many sockets, in private networks, against a real kernel: none missing, none twice.
//!
//! A process enters a network for good and must have one thread. So each test is this very program
//! again, as a child that finds its name in the environment; it takes a `main` of its own, as the
//! usual harness has several threads.

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: every test of very many sockets: only Linux has private networks");
}

#[cfg(target_os = "linux")]
#[path = "common/crowd.rs"]
mod crowd;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{BTreeSet, HashMap};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    use std::process::{Command, ExitCode};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};
    use std::{env, fs, io, thread};

    use evidence::TcpState;
    use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo};
    use socket_table::{SocketFilter, snapshot};
    use socket2::{Domain, SockRef, Socket, Type};

    use crate::crowd::{Crowd, Line, Size, line, private_network};

    /// Why a test could not be run here.
    type Skipped = String;

    /// A finding, and how it is tested.
    type Test = (&'static str, fn() -> Result<(), Skipped>);

    const TESTS: [Test; 2] = [
        ("none_of_90000_sockets_is_missing_and_none_is_listed_twice", ninety_thousand),
        ("where_buckets_are_long_none_is_listed_twice_and_few_are_missing", long_buckets),
    ];

    /// By which a child knows its test.
    const TEST: &str = "SOCKET_INSPECTOR_CROWD";
    /// A child's status if its test cannot be run here.
    const SKIPPED: u8 = 3;

    pub(super) fn main() -> ExitCode {
        if let Ok(mine) = env::var(TEST) {
            let (name, test) = TESTS.into_iter().find(|(name, _)| *name == mine).unwrap();
            return match test() {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("SKIPPED: {name}: {why}");
                    ExitCode::from(SKIPPED)
                }
            };
        }
        let arguments: Vec<String> = env::args().skip(1).collect();
        let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
        let wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
        let mut failed = false;
        for (name, _) in TESTS.into_iter().filter(|(name, _)| wanted(name)) {
            if arguments.iter().any(|argument| argument == "--list") {
                println!("{name}: test");
                continue;
            }
            let status = Command::new(env::current_exe().unwrap()).env(TEST, name).status();
            let verdict = match status.unwrap().code() {
                Some(0) => "ok",
                Some(code) if code == i32::from(SKIPPED) => "skipped",
                _ => "FAILED",
            };
            failed |= verdict == "FAILED";
            println!("test {name} ... {verdict}");
        }
        ExitCode::from(u8::from(failed))
    }

    fn ninety_thousand() -> Result<(), Skipped> {
        let size = Size { time_wait: 80_000, open: 5_000 };
        let _network = private_network(size)?;
        let crowd = Crowd::gather(size);
        println!("{} sockets after {:.1?}", crowd.lines.len(), crowd.began.elapsed());

        let listed = whole_table();
        let by_files: Vec<Line> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
            .into_iter()
            .flat_map(|path| {
                fs::read_to_string(path)
                    .unwrap_or_default()
                    .lines()
                    .skip(1)
                    .map(of_file)
                    .collect::<Vec<_>>()
            })
            .collect();
        let by_ss = ss();
        let listed_again = whole_table();
        assert_alike("a snapshot", listed, &crowd.lines);
        assert_alike("/proc/net/tcp", by_files, &crowd.lines);
        match by_ss {
            Ok(lines) => assert_alike("ss", lines, &crowd.lines),
            Err(error) => eprintln!("SKIPPED: the comparison with ss: {error}"),
        }
        assert_alike("another snapshot", listed_again, &crowd.lines);
        let established = crowd.in_state(TcpState::Established).count();
        let time_wait = crowd.in_state(TcpState::TimeWait).count();
        assert_eq!((established, time_wait), (10_000, 80_000));

        let established = SocketFilter::default().state(TcpState::Established);
        let seen = look_while_others_come_and_go(
            &crowd,
            &[SocketFilter::default(), established.clone(), established.clone(), established],
        );
        println!("{seen:?}");
        assert!(seen.others > 1000, "{seen:?}");
        assert_eq!(seen.twice, 0, "{seen:?}");
        // It takes a change in the very bucket in which a datagram ends, in the moment between it
        // and the next one.
        assert!(seen.missing <= 2, "{seen:?}");
        assert_eq!(seen.missing_again, 0, "{seen:?}");
        Ok(())
    }

    /// The worst case: a table of so few buckets that every datagram ends in the middle of one, and
    /// that others always come and go there.
    fn long_buckets() -> Result<(), Skipped> {
        const FILE: &str = "/proc/sys/net/ipv4/tcp_child_ehash_entries";
        let size = Size { time_wait: 0, open: 2_000 };
        // The size of a network's table is a setting of the network from which it was made.
        let _outer = private_network(size)?;
        fs::write(FILE, "64").map_err(|error| format!("{FILE}: {error}"))?;
        let _network = private_network(Size { time_wait: 50_000, ..size })?;
        let told = fs::read_to_string("/proc/sys/net/ipv4/tcp_ehash_entries").unwrap_or_default();
        if told.trim() != "64" {
            return Err(format!("net.ipv4.tcp_ehash_entries is {told:?}"));
        }
        let crowd = Crowd::gather(size);
        assert_alike("a snapshot", whole_table(), &crowd.lines);

        let seen = look_while_others_come_and_go(&crowd, &[SocketFilter::default()]);
        println!("{seen:?}");
        assert_eq!(seen.twice, 0, "{seen:?}");
        assert!(seen.missing * 20 < seen.readings * seen.steady, "{seen:?}");
        Ok(())
    }

    fn whole_table() -> Vec<Line> {
        table(&SocketFilter::default())
    }

    fn table(filter: &SocketFilter) -> Vec<Line> {
        snapshot(filter).unwrap().sockets.iter().map(line).collect()
    }

    /// Asserts that `lines`, in any order, are those that were made, each of them once.
    #[track_caller]
    fn assert_alike(who: &str, mut lines: Vec<Line>, made: &[Line]) {
        lines.sort_unstable();
        if lines != made {
            let (told, made): (BTreeSet<_>, BTreeSet<_>) =
                (lines.iter().collect(), made.iter().collect());
            let missing: Vec<_> = made.difference(&told).take(5).collect();
            let unknown: Vec<_> = told.difference(&made).take(5).collect();
            let twice = lines.len() - told.len();
            panic!(
                "{who}: {} lines of {}, {twice} twice; missing: {missing:?}; unknown: {unknown:?}",
                lines.len(),
                made.len()
            );
        }
    }

    /// A line of `/proc/net/tcp`: the third field is the peer, the fourth the state; the address
    /// is told in words of 32 bits, in this machine's order of bytes.
    fn of_file(text: &str) -> Line {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let address = |field: &str| {
            let (ip, port) = field.split_once(':').unwrap();
            let words = ip.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).unwrap());
            let bytes: Vec<u8> = words
                .flat_map(|word| u32::from_str_radix(word, 16).unwrap().to_ne_bytes())
                .collect();
            let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
                Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
                Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap())),
            };
            SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
        };
        let state = TcpState::from_linux(u8::from_str_radix(fields[3], 16).unwrap()).unwrap();
        (address(fields[1]), address(fields[2]), state)
    }

    /// What `ss` lists.
    fn ss() -> io::Result<Vec<Line>> {
        let output = Command::new("ss").arg("-tanH").output()?;
        let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
        Ok(text.lines().map(of_ss).collect())
    }

    /// A line of `ss`: state, two queues, the two addresses; `*` is any port.
    fn of_ss(text: &str) -> Line {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let address = |field: &str| field.replace('*', "0").parse::<SocketAddr>().unwrap();
        let state = match fields[0] {
            "LISTEN" => TcpState::Listen,
            "ESTAB" => TcpState::Established,
            "TIME-WAIT" => TcpState::TimeWait,
            other => panic!("ss lists a socket in {other}"),
        };
        (address(fields[3]), address(fields[4]), state)
    }

    /// What was seen of sockets that stood still while others came and went.
    #[derive(Debug, Default)]
    struct Seen {
        /// How many stood still.
        steady: usize,
        /// How often the table was read.
        readings: usize,
        /// How many other connections came and went.
        others: usize,
        /// How often a socket was listed once more, in all readings.
        twice: usize,
        /// How often a socket that stood still was missing, in all readings.
        missing: usize,
        /// How often it was missing in the next reading, too.
        missing_again: usize,
        /// How often netstat2, which gets the same answers and keeps all rows, listed a socket
        /// once more, in one reading.
        twice_by_netstat2: usize,
    }

    const LOOK_FOR: Duration = Duration::from_secs(2);
    /// Enough; and what is read is kept until the end.
    const MOST_READINGS: usize = 400;

    /// Reads the table again and again, with one of `filters` after the other.
    fn look_while_others_come_and_go(crowd: &Crowd, filters: &[SocketFilter]) -> Seen {
        let stop = AtomicBool::new(false);
        let (tables, by_netstat2, others) = thread::scope(|scope| {
            let others = scope.spawn(|| come_and_go(&stop));
            let (began, mut tables) = (Instant::now(), Vec::new());
            for filter in filters.iter().cycle().take(MOST_READINGS) {
                tables.push(table(filter));
                if began.elapsed() > LOOK_FOR && tables.len() >= filters.len() {
                    break;
                }
            }
            let by_netstat2 = netstat2_table();
            stop.store(true, Ordering::Relaxed);
            (tables, by_netstat2, others.join().unwrap())
        });

        let steady: Vec<&Line> = crowd.in_state(TcpState::Established).collect();
        let mut seen =
            Seen { steady: steady.len(), readings: tables.len(), others, ..Seen::default() };
        let mut missing_before = BTreeSet::new();
        for table in &tables {
            let times = times_listed(table.iter().map(|&(local, peer, _)| (local, peer)));
            seen.twice += repeats(&times);
            let missing: BTreeSet<&Line> = steady
                .iter()
                .copied()
                .filter(|(local, peer, _)| !times.contains_key(&(*local, *peer)))
                .collect();
            seen.missing += missing.len();
            seen.missing_again += missing.intersection(&missing_before).count();
            missing_before = missing;
        }
        seen.twice_by_netstat2 = repeats(&times_listed(by_netstat2.into_iter()));
        seen
    }

    type Addresses = (SocketAddr, SocketAddr);

    fn times_listed(table: impl Iterator<Item = Addresses>) -> HashMap<Addresses, usize> {
        let mut times = HashMap::new();
        table.for_each(|addresses| *times.entry(addresses).or_default() += 1);
        times
    }

    fn repeats(times: &HashMap<Addresses, usize>) -> usize {
        times.values().map(|times| times - 1).sum()
    }

    fn netstat2_table() -> Vec<Addresses> {
        let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
        let all =
            netstat2::iterate_sockets_info_without_pids(families, ProtocolFlags::TCP).unwrap();
        all.filter_map(|socket| match socket.unwrap().protocol_socket_info {
            ProtocolSocketInfo::Tcp(tcp) => Some((
                SocketAddr::new(tcp.local_addr, tcp.local_port),
                SocketAddr::new(tcp.remote_addr, tcp.remote_port),
            )),
            ProtocolSocketInfo::Udp(_) => None,
        })
        .collect()
    }

    /// Opens and closes connections as fast as it can, half of them with a reset, the others into
    /// `TIME_WAIT`; never two between the same addresses. Returns how many there were.
    fn come_and_go(stop: &AtomicBool) -> usize {
        let listener = TcpListener::bind("127.0.0.100:8100").unwrap();
        let server = listener.local_addr().unwrap();
        let mut others = 0;
        for port in 1024..=u16::MAX {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.bind(&SocketAddr::from(([127, 0, 0, 101], port)).into()).unwrap();
            client.connect(&server.into()).unwrap();
            let (server_end, _) = listener.accept().unwrap();
            if port % 2 == 0 {
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(TcpStream::from(client));
            drop(server_end);
            others += 1;
        }
        others
    }
}
