//! Roles on two hosts.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use netlab::{
    CableLaw, CablePlan, Counters, DeviceChoice, Error, Fate, HostEnd, HostsPlan, NothingHappens,
    Parcel, Passing, SERVER_HOST, TwoHosts, enter_hosts, lost_before_the_cable,
};
use serde_json::{Value, json};

const LISTENER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(SERVER_HOST), 8080);

/// The flags of a TCP segment, as far as these tests tell them apart.
fn flags(packet: &[u8]) -> String {
    let header = usize::from(packet[0] & 0xf) * 4;
    let bits = packet[header + 13];
    let letters = [(0x02, 'S'), (0x01, 'F'), (0x04, 'R'), (0x08, 'P'), (0x10, '.')];
    letters.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}

/// A law that hears all, and does what a function says.
struct Heard<F> {
    packets: Arc<Mutex<Vec<(HostEnd, String, usize)>>>,
    fate: F,
}

impl<F: FnMut(&Passing<'_>, &str) -> Fate + Send> CableLaw for Heard<F> {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        let flags = flags(packet.bytes);
        let fate = (self.fate)(packet, &flags);
        self.packets.lock().unwrap().push((packet.from, flags, packet.bytes.len()));
        fate
    }
}

type Packets = Arc<Mutex<Vec<(HostEnd, String, usize)>>>;

/// The device by which the test wants its hosts plugged in.
fn device(input: &Value) -> DeviceChoice {
    match input["device"].as_str() {
        Some("tun") => DeviceChoice::Tun,
        Some("veth") => DeviceChoice::Veth,
        _ => DeviceChoice::Auto,
    }
}

/// Two hosts under a law, or the reason why there is no cable.
fn hosts(
    input: &Value,
    delay: Duration,
    fate: impl FnMut(&Passing<'_>, &str) -> Fate + Send + 'static,
) -> Result<Result<(TwoHosts, Packets), Value>, Error> {
    let packets = Packets::default();
    let law = Heard { packets: Arc::clone(&packets), fate };
    let cable = CablePlan { delay, device: device(input), ..CablePlan::default() };
    let plan = HostsPlan { cable, ..HostsPlan::default() };
    or_no_cable(enter_hosts(&plan, Box::new(law))).map(|it| it.map(|hosts| (hosts, packets)))
}

/// No private network is a matter of the machine's, and told as such; no cable is another.
fn or_no_cable<T>(made: Result<T, Error>) -> Result<Result<T, Value>, Error> {
    match made {
        Err(Error::NoCable(why)) => Ok(Err(json!({ "no_cable": why.to_string() }))),
        Err(error) => Err(error),
        Ok(made) => Ok(Ok(made)),
    }
}

/// A listener on the server's host, in the hands of this thread.
fn listener(hosts: &TwoHosts) -> Result<TcpListener, Error> {
    hosts.server.run(|| TcpListener::bind(LISTENER).unwrap())
}

fn counters(hosts: &TwoHosts) -> Result<[Counters; 2], Error> {
    Ok([Counters::read()?, hosts.server.run(Counters::read)??])
}

fn of_both(counters: &[Counters; 2], name: &str) -> Value {
    json!({ "client": counters[0].get(name), "server": counters[1].get(name) })
}

fn sockets() -> String {
    fs::read_to_string("/proc/thread-self/net/tcp").unwrap()
}

/// The states of the sockets that are connected to somebody, in the kernel's numbers.
fn states(table: &str) -> Vec<&str> {
    let fields = table.lines().skip(1).map(|line| line.split_whitespace());
    let connected = fields.filter_map(|mut fields| {
        let (remote, state) = (fields.nth(2)?, fields.next()?);
        (remote != "00000000:0000").then_some(state)
    });
    connected.collect()
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn make_two(input: &Value) -> Result<Value, Error> {
    let cable = CablePlan { device: device(input), ..CablePlan::default() };
    let plan = HostsPlan { cable, ..HostsPlan::default() };
    let made = or_no_cable(enter_hosts(&plan, Box::new(NothingHappens)))?;
    Ok(made.map_or_else(|why| why, |_| json!({ "no_cable": null })))
}

pub(crate) fn talk(input: &Value) -> Result<Value, Error> {
    let delay = Duration::from_millis(input["delay_ms"].as_u64().unwrap());
    let (hosts, packets) = match hosts(input, delay, |_, _| Fate::Pass)? {
        Ok(made) => made,
        Err(why) => return Ok(why),
    };
    let listener = listener(&hosts)?;
    let begun = Instant::now();
    let mut client = TcpStream::connect(LISTENER).unwrap();
    let connecting = begun.elapsed();
    let (mut server, _) = listener.accept().unwrap();
    let of_client = sockets();
    let of_server = hosts.server.run(sockets)?;
    let asked = Instant::now();
    client.write_all(b"question").unwrap();
    server.read_exact(&mut [0; 8]).unwrap();
    server.write_all(b"answer").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    let exchange = asked.elapsed();
    let counters = counters(&hosts)?;
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    until(|| (states(&sockets()) == ["06"]).then_some(()));
    until(|| hosts.server.run(|| states(&sockets()).is_empty()).unwrap().then_some(()));
    let tally = hosts.cable.unplug()?;
    let packets = packets.lock().unwrap();
    Ok(json!({
        "of_client": of_client,
        "of_server": of_server,
        "connecting_ms": connecting.as_millis(),
        "exchange_ms": exchange.as_millis(),
        "dialled": of_both(&counters, "TcpActiveOpens"),
        "accepted": of_both(&counters, "TcpPassiveOpens"),
        "packets": packets.iter().map(|(from, flags, _)| format!("{from} {flags}")).collect::<Vec<_>>(),
        "sent": tally.sent,
        "arrived": tally.arrived,
    }))
}

pub(crate) fn lose_the_last_ack(input: &Value) -> Result<Value, Error> {
    let mut after_server_s_fin = false;
    let mut lost = false;
    let law = move |packet: &Passing<'_>, flags: &str| {
        after_server_s_fin |= packet.from == HostEnd::Server && flags.contains('F');
        let is_last = after_server_s_fin && packet.from == HostEnd::Client && flags == ".";
        if is_last && !std::mem::replace(&mut lost, true) {
            return Fate::Lose;
        }
        Fate::Pass
    };
    let (hosts, packets) = match hosts(input, Duration::ZERO, law)? {
        Ok(made) => made,
        Err(why) => return Ok(why),
    };
    let listener = listener(&hosts)?;
    let client = TcpStream::connect(LISTENER).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    until(|| hosts.server.run(|| states(&sockets()).is_empty()).unwrap().then_some(()));
    let counters = counters(&hosts)?;
    let state_of_client = states(&sockets()).first().copied().unwrap_or_default().to_owned();
    let is_fin = |(from, flags, _): &&(HostEnd, String, usize)| {
        *from == HostEnd::Server && flags.contains('F')
    };
    let fins = packets.lock().unwrap().iter().filter(is_fin).count();
    Ok(json!({
        "fins_of_server": fins,
        "retransmitted": of_both(&counters, "TcpRetransSegs"),
        "state_of_client": state_of_client,
    }))
}

pub(crate) fn send_much(input: &Value) -> Result<Value, Error> {
    const CONNECTIONS: usize = 8;
    const EACH: usize = 4 << 20;
    let (hosts, packets) = match hosts(input, Duration::ZERO, |_, _| Fate::Pass)? {
        Ok(made) => made,
        Err(why) => return Ok(why),
    };
    let listener = listener(&hosts)?;
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = TcpStream::connect(LISTENER).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let sender = thread::spawn(move || server.write_all(&vec![b'x'; EACH]).unwrap());
            let receiver = thread::spawn(move || {
                let mut all = Vec::new();
                client.read_to_end(&mut all).unwrap();
                all.len()
            });
            (sender, receiver)
        })
        .collect();
    let mut received = 0;
    for (sender, receiver) in senders {
        sender.join().unwrap();
        received += receiver.join().unwrap();
    }
    let of_client = lost_before_the_cable()?;
    let of_server = hosts.server.run(lost_before_the_cable)??;
    // Those that had their last packets under way.
    until(|| {
        hosts.server.run(|| states(&sockets()).iter().all(|it| *it == "06")).unwrap().then_some(())
    });
    let tally = hosts.cable.unplug()?;
    let largest = packets.lock().unwrap().iter().map(|(.., bytes)| *bytes).max();
    Ok(json!({
        "written": CONNECTIONS * EACH,
        "received": received,
        "lost_before_the_cable": { "client": of_client, "server": of_server },
        "missed": tally.missed,
        "sent": tally.sent,
        "arrived": tally.arrived,
        "largest": largest,
    }))
}

/// The packet that answers `packet` with a reset, by its sequence numbers alone: addresses and
/// ports turned round, no options, no data.
fn reset_for(packet: &[u8]) -> Vec<u8> {
    let tcp = usize::from(packet[0] & 0xf) * 4;
    let mut reset = vec![0; 40];
    reset[0] = 0x45;
    reset[3] = 40;
    reset[8] = 64;
    reset[9] = 6;
    reset[12..16].copy_from_slice(&packet[16..20]);
    reset[16..20].copy_from_slice(&packet[12..16]);
    reset[20..22].copy_from_slice(&packet[tcp + 2..tcp + 4]);
    reset[22..24].copy_from_slice(&packet[tcp..tcp + 2]);
    reset[24..28].copy_from_slice(&packet[tcp + 8..tcp + 12]);
    reset[32] = 0x50;
    reset[33] = 0x04;
    let ip = checksum(&reset[..20], 0);
    reset[10..12].copy_from_slice(&ip.to_be_bytes());
    let pseudo = reset[12..20].chunks(2).map(word).sum::<u32>() + 6 + 20;
    let tcp = checksum(&reset[20..], pseudo);
    reset[36..38].copy_from_slice(&tcp.to_be_bytes());
    reset
}

fn word(pair: &[u8]) -> u32 {
    u32::from(pair[0]) << 8 | u32::from(pair[1])
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = bytes.chunks(2).map(word).sum::<u32>() + start;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

pub(crate) fn forge_a_reset(input: &Value) -> Result<Value, Error> {
    let law = |packet: &Passing<'_>, flags: &str| {
        if packet.from == HostEnd::Client && flags == "P." {
            let reset = reset_for(packet.bytes);
            let parcel = Parcel { to: HostEnd::Client, bytes: reset, hold: Duration::ZERO };
            return Fate::Replace(vec![parcel]);
        }
        Fate::Pass
    };
    let (hosts, _) = match hosts(input, Duration::ZERO, law)? {
        Ok(made) => made,
        Err(why) => return Ok(why),
    };
    let listener = listener(&hosts)?;
    let mut client = TcpStream::connect(LISTENER).unwrap();
    let (_server, _) = listener.accept().unwrap();
    client.write_all(b"question").unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    let table = hosts.server.run(sockets)?;
    Ok(json!({
        "client_sees": format!("{:?}", error.kind()),
        "server_state": states(&table).first(),
    }))
}
