//! The roles that a child plays. Each enters a private network, or tries to, and reports.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::fs::MetadataExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use netlab::{
    Counters, Error, Identity, NetworkSettings, PrivateNetwork, Refused, enter, enter_as,
};
use rustix::process::{Pid, geteuid, getppid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde_json::{Value, json};

/// Which role a process is to play.
pub(crate) const ROLE: &str = "NETLAB_ROLE";
/// What it is told for it, as JSON.
pub(crate) const INPUT: &str = "NETLAB_INPUT";

const MAX_USER_NAMESPACES: &str = "/proc/sys/user/max_user_namespaces";

pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

fn input() -> Value {
    serde_json::from_str(&env::var(INPUT).unwrap()).unwrap()
}

pub(crate) fn play(role: &str) -> ExitCode {
    let report = match role {
        "look around" => look_around(),
        "set" => set(),
        "connect once" => connect_once(),
        "send a body" => send_a_body(),
        "hold a port" => hold_a_port(),
        "enter again" => enter_again(),
        "enter as oneself" => enter_as_oneself(),
        "enter with threads" => enter_with_threads(),
        "enter with" => enter_with(),
        "start another" => start_another(),
        "die with parent" => die_with_parent(),
        "be an orphan" => be_an_orphan(),
        "talk from host to host" => crate::hosts::talk(&input()),
        "lose the last ACK" => crate::hosts::lose_the_last_ack(&input()),
        "send much" => crate::hosts::send_much(&input()),
        "forge a reset" => crate::hosts::forge_a_reset(&input()),
        "make two hosts" => crate::hosts::make_two(&input()),
        unknown => panic!("there is no role {unknown:?}"),
    };
    say(&report.unwrap_or_else(|error| told(&error)));
    ExitCode::SUCCESS
}

fn say(report: &Value) {
    println!("{report}");
}

/// A refusal that ends a role is the machine's: its tests are skipped. Any other error is ours.
fn told(error: &Error) -> Value {
    match error {
        Error::Refused(refused) => json!({ "refused": refused.to_string() }),
        error => json!({ "error": error.to_string() }),
    }
}

/// Tells one namespace from another.
fn namespace(kind: &str) -> u64 {
    fs::metadata(format!("/proc/thread-self/ns/{kind}")).unwrap().st_ino()
}

/// How many TCP sockets there are, IPv4 and, where there is such a thing, IPv6.
fn sockets() -> usize {
    let rows = |table: String| table.lines().skip(1).count(); // below a heading
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.into_iter().filter_map(Result::ok).map(rows).sum()
}

/// One connection over loopback, then both ends.
fn connection() -> (TcpListener, TcpStream, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    (server, client, accepted)
}

fn look_around() -> Result<Value, Error> {
    let user_outside = geteuid().as_raw();
    enter(&NetworkSettings::default())?;
    let sockets_at_first = sockets();
    let _connection = connection();
    Ok(json!({
        "user_outside": user_outside,
        "user_inside": geteuid().as_raw(),
        "network": namespace("net"),
        "sockets_at_first": sockets_at_first,
        "sockets_with_a_connection": sockets(),
    }))
}

fn set() -> Result<Value, Error> {
    let asked: NetworkSettings = serde_json::from_value(input()).unwrap();
    Ok(json!(enter(&asked)?.settings()?))
}

fn connect_once() -> Result<Value, Error> {
    enter(&NetworkSettings::default())?;
    let before = Counters::read()?;
    let ends = connection();
    let open = Counters::read()?.since(&before);
    drop(ends);
    let closed = Counters::read()?.since(&before);
    Ok(json!({ "before": before.since(&Counters::default()), "open": open, "closed": closed }))
}

/// Sends 100 kB over a connection, and tells in how many segments.
fn send_a_body() -> Result<Value, Error> {
    const LEN: usize = 100_000;
    let network = enter(&NetworkSettings::default())?;
    if input()["as_on_a_wire"] == true {
        network.as_on_a_wire()?;
    }
    let (_server, mut client, mut accepted) = connection();
    let before = Counters::read()?;
    let reader = thread::spawn(move || accepted.read_exact(&mut [0; LEN]));
    client.write_all(&[b'x'; LEN]).unwrap();
    reader.join().unwrap().unwrap();
    let counted = Counters::read()?.since(&before);
    Ok(json!({ "segments": counted["TcpOutSegs"] }))
}

fn hold_a_port() -> Result<Value, Error> {
    enter(&NetworkSettings::default())?;
    let server = TcpListener::bind("127.0.0.1:8080").unwrap();
    say(&json!({ "network": namespace("net"), "holds": server.local_addr().unwrap().port() }));
    let _ = std::io::stdin().read(&mut [0]); // until the test lets go
    Ok(json!({}))
}

/// Enters, forbids user namespaces from there on, and tries to enter once more.
fn enter_again() -> Result<Value, Error> {
    let outside = namespace("user");
    enter(&NetworkSettings::default())?;
    let first = namespace("net");
    // The limit belongs to the user namespace: without one of our own it would be the machine's.
    assert_ne!(namespace("user"), outside, "it is only for ordinary users to play this role");
    fs::write(MAX_USER_NAMESPACES, "0").unwrap();
    if input()["as_root"] == false {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).unwrap();
    }
    let again = enter(&NetworkSettings::default());
    let refused = match &again {
        Err(Error::Refused(refused)) => Some(refused),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    };
    Ok(json!({
        "moved": namespace("net") != first,
        "line": refused.map(ToString::to_string),
        "what": refused.map(Refused::what),
        "by": refused.map(Refused::by),
        "fix": refused.map(Refused::fix),
    }))
}

/// What came of entering, and whether the process has moved.
fn tried(enter: impl FnOnce() -> Result<PrivateNetwork, Error>) -> Value {
    let before = namespace("net");
    let error = enter().err().map(|error| error.to_string());
    json!({ "error_text": error, "moved": namespace("net") != before })
}

fn enter_with_threads() -> Result<Value, Error> {
    let (end, ended) = mpsc::channel::<()>();
    let other = thread::spawn(move || ended.recv());
    let report = tried(|| enter(&NetworkSettings::default()));
    drop(end);
    let _ = other.join();
    Ok(report)
}

fn enter_with() -> Result<Value, Error> {
    let settings = serde_json::from_value(input()).unwrap();
    Ok(tried(|| enter(&settings)))
}

/// Starts another process, which reports in this one's place, and lives on or ends at once.
#[allow(clippy::zombie_processes, reason = "one of the two is to end before the other")]
fn start_another() -> Result<Value, Error> {
    let input = input();
    Command::new(env::current_exe().unwrap())
        .env(ROLE, input["role"].as_str().unwrap())
        .env(INPUT, json!({ "parent": std::process::id(), "told": input["told"] }).to_string())
        .spawn()
        .unwrap();
    if input["ends"] == true {
        std::process::exit(0);
    }
    live_on()
}

fn live_on() -> ! {
    loop {
        thread::park();
    }
}

fn die_with_parent() -> Result<Value, Error> {
    netlab::die_with_parent().unwrap();
    enter(&NetworkSettings::default())?;
    say(&json!({ "pid": std::process::id() }));
    live_on()
}

/// Asks to die with a parent that has died already. The kernel has nothing left to tell it.
fn be_an_orphan() -> Result<Value, Error> {
    let input = input();
    let started_by = u32::try_from(input["parent"].as_u64().unwrap()).unwrap();
    while getppid().is_some_and(|now| now.as_raw_pid().unsigned_abs() == started_by) {
        thread::sleep(Duration::from_millis(1));
    }
    let adopted_by = getppid().map(Pid::as_raw_pid);
    say(&json!({ "pid": std::process::id(), "adopted_by": adopted_by }));
    if input["told"] == true {
        netlab::die_with(started_by).unwrap();
    } else {
        netlab::die_with_parent().unwrap();
    }
    live_on()
}

/// Says who a program is that is started in a private network, and what its starter may do there.
fn enter_as_oneself() -> Result<Value, Error> {
    let before = geteuid().as_raw();
    let network = enter_as(Identity::Oneself, &NetworkSettings::default())?;
    network.as_on_a_wire()?; // which takes CAP_NET_ADMIN
    let told = Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
    let status = String::from_utf8(told).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    Ok(json!({
        "before": before.to_string(),
        "program": field("Uid:"),
        "capabilities": field("CapEff:"),
    }))
}
