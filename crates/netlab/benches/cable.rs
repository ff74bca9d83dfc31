//! The price of the cable, with devices of either kind: a round trip, and a large body, beside loopback
//! and a veth pair without a cable.
//!
//! ```text
//! cargo bench -p netlab
//! ```
//!
//! A veth pair is made with `ip` (iproute2), and left out aloud where there is none.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: the cable needs Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use netlab::{
        CablePlan, CableTally, DeviceChoice, Error, HostsPlan, NothingHappens, SERVER_HOST,
        TwoHosts, enter_hosts, lost_before_the_cable,
    };

    /// Tells a process which device it measures.
    const DEVICE: &str = "NETLAB_BENCH_DEVICE";
    const ROUND_TRIPS: usize = 4000;
    const BULK: usize = 256 << 20;
    /// The rounds over all ways, of which the best counts: a busy machine is no property of a way.
    const ROUNDS: usize = 5;

    pub(super) fn main() {
        if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
            return;
        }
        match std::env::var(DEVICE).as_deref() {
            Ok("tun") => with(DeviceChoice::Tun),
            Ok(_) => with(DeviceChoice::Veth),
            // Whoever has entered a network is in it for good: so each has a process of its own.
            Err(_) => {
                for device in ["tun", "veth"] {
                    println!("cable by {device}");
                    let this = std::env::current_exe().unwrap();
                    let bench = Command::new(this).arg("--bench").env(DEVICE, device).status();
                    assert!(bench.unwrap().success());
                }
            }
        }
    }

    fn with(device: DeviceChoice) {
        let cable = CablePlan { device, ..CablePlan::default() };
        match enter_hosts(&HostsPlan { cable, ..HostsPlan::default() }, Box::new(NothingHappens)) {
            Ok(hosts) => measure(hosts).unwrap(),
            Err(why @ (Error::Refused(_) | Error::NoCable(_))) => eprintln!("SKIPPED: {why}"),
            Err(error) => panic!("{error}"),
        }
    }

    struct Way {
        name: &'static str,
        listener: TcpListener,
        round_trip: Duration,
        bulk: Duration,
    }

    impl Way {
        fn new(name: &'static str, listener: TcpListener) -> Self {
            Self { name, listener, round_trip: Duration::MAX, bulk: Duration::MAX }
        }
    }

    fn measure(hosts: TwoHosts) -> Result<(), Error> {
        let there =
            |address: Ipv4Addr| hosts.server.run(move || TcpListener::bind((address, 0)).unwrap());
        let mut ways = vec![Way::new("lo", TcpListener::bind("127.0.0.1:0").unwrap())];
        if veth(&hosts)? {
            ways.push(Way::new("veth", there(Ipv4Addr::new(10, 0, 1, 2))?));
        } else {
            eprintln!("SKIPPED: veth: `ip` did not make a pair");
        }
        ways.push(Way::new("cable", there(SERVER_HOST)?));
        for _ in 0..ROUNDS {
            for way in &mut ways {
                let address = way.listener.local_addr().unwrap();
                way.round_trip = way.round_trip.min(round_trip(&way.listener, address));
                way.bulk = way.bulk.min(bulk(&way.listener, address));
            }
        }
        let lost = [lost_before_the_cable()?, hosts.server.run(lost_before_the_cable)??];
        let CableTally { sent, arrived, missed, .. } = hosts.cable.unplug()?;
        println!("           round trip   against lo    a body of 256 MiB   against lo");
        for way in &ways {
            let gbit = |time: Duration| BULK as f64 * 8.0 / 1e9 / time.as_secs_f64();
            println!(
                "{:>7}  {:8.1} us  {:8.2} times  {:11.2} Gbit/s  {:8.2} times",
                way.name,
                way.round_trip.as_secs_f64() * 1e6,
                way.round_trip.div_duration_f64(ways[0].round_trip),
                gbit(way.bulk),
                way.bulk.div_duration_f64(ways[0].bulk),
            );
        }
        println!(
            "the cable carried {arrived} of {sent} packets; the hosts lost {} before it",
            lost[0] + lost[1] + missed
        );
        Ok(())
    }

    /// A pair of virtual Ethernet devices beside the cable, with a network of its own.
    fn veth(hosts: &TwoHosts) -> Result<bool, Error> {
        let there = hosts.server.run(|| rustix::thread::gettid().as_raw_pid())?;
        let ip = |line: &str| {
            Command::new("ip").args(line.split(' ')).status().is_ok_and(|status| status.success())
        };
        let here = ip("link add veth-here type veth peer name veth-there")
            && ip(&format!("link set veth-there netns {there}"))
            && ip("address add 10.0.1.1/24 dev veth-here")
            && ip("link set veth-here up");
        let far = hosts.server.run(move || {
            let ip = |line: &str| {
                let status = Command::new("ip").args(line.split(' ')).status();
                status.is_ok_and(|status| status.success())
            };
            here && ip("address add 10.0.1.2/24 dev veth-there") && ip("link set veth-there up")
        })?;
        Ok(far)
    }

    fn connected(listener: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        (client, server)
    }

    /// The mean of many.
    fn round_trip(listener: &TcpListener, address: SocketAddr) -> Duration {
        let (mut client, mut server) = connected(listener, address);
        let echo = thread::spawn(move || {
            let mut byte = [0];
            while server.read_exact(&mut byte).is_ok() {
                server.write_all(&byte).unwrap();
            }
        });
        let begun = Instant::now();
        for _ in 0..ROUND_TRIPS {
            client.write_all(&[1]).unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
        let each = begun.elapsed() / u32::try_from(ROUND_TRIPS).unwrap();
        drop(client);
        echo.join().unwrap();
        each
    }

    fn bulk(listener: &TcpListener, address: SocketAddr) -> Duration {
        let (mut client, mut server) = connected(listener, address);
        let begun = Instant::now();
        let sender = thread::spawn(move || {
            let block = vec![b'x'; 1 << 20];
            for _ in 0..BULK / block.len() {
                server.write_all(&block).unwrap();
            }
        });
        let mut block = vec![0; 1 << 18];
        let mut received = 0;
        while received < BULK {
            received += client.read(&mut block).unwrap();
        }
        let took = begun.elapsed();
        sender.join().unwrap();
        took
    }
}
