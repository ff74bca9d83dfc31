//! The tracer against connections of this machine whose every change is known. Ports are picked by
//! the system, and such that no connection of the past still has them. The tests of the tracepoint
//! are skipped aloud where tracefs cannot be reached; no time is judged.
#![cfg(target_os = "linux")]

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod networks;
mod packets;
mod tracer;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use socket2::{SockFilter, SockRef};

use crate::common::{unhaunted_listener, unhaunted_listener_at};
use crate::tracer::{CHILDREN, Tracefs, Tracer, connection, program, reset_on_close, spawn, trace};

/// The states that one end came to be in, one after another.
fn states(told: &[Value], side: &str) -> Vec<String> {
    let of_side = told.iter().filter(|line| line["kind"] == "change" && line["side"] == side);
    let mut last: Option<String> = None;
    of_side
        .map(|line| {
            assert_eq!(line["gap"], false, "{line}");
            let (from, to) = (line["from"].as_str().unwrap(), line["to"].as_str().unwrap());
            assert!(last.is_none() || last.as_deref() == Some(from), "{told:#?}");
            last = Some(to.to_owned());
            to.to_owned()
        })
        .collect()
}

fn ended(told: &[Value]) -> &Value {
    told.iter().find(|line| line["kind"] == "ended").unwrap()
}

/// Has a connection ended by `end`, and returns what the tracepoint saw; `None` if skipped.
fn traced(end: impl FnOnce(TcpStream, TcpStream)) -> Option<Vec<Value>> {
    let tracefs = Tracefs::open()?;
    let listener = unhaunted_listener();
    let mut tracer = Tracer::of(&listener, "tracepoint");
    assert_eq!(tracer.witness["witness"], "tracepoint");
    let (client, server) = connection(&listener);
    let client_address = client.local_addr().unwrap();
    end(client, server);
    let told = tracer.until_ended(1);
    let addresses: Vec<SocketAddr> = told
        .iter()
        .filter(|line| line["side"] == "client")
        .map(|line| line["local"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|address| *address == client_address), "{addresses:?}");
    let (pid, (rest, status)) = (tracer.pid(), tracer.end(Signal::INT));
    assert_eq!(status.code(), Some(0));
    let last = rest.last().unwrap();
    assert_eq!((&last["kind"], &last["lost_changes"]), (&"end".into(), &0.into()));
    assert!(!tracefs.has(pid));
    Some(told)
}

const OPENED_CLIENT: [&str; 2] = ["SYN_SENT", "ESTABLISHED"];
const OPENED_SERVER: [&str; 2] = ["SYN_RECV", "ESTABLISHED"];

/// Waits until the end `of` has heard of the other's FIN.
fn wait_for_fin(mut of: &TcpStream) {
    assert_eq!(of.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_closes_first_holds_time_wait() {
    let Some(told) = traced(|client, server| {
        drop(client);
        wait_for_fin(&server);
    }) else {
        return;
    };
    let client = [&OPENED_CLIENT[..], &["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]].concat();
    assert_eq!(states(&told, "client"), client);
    let server = [&OPENED_SERVER[..], &["CLOSE_WAIT", "LAST_ACK", "CLOSED"]].concat();
    assert_eq!(states(&told, "server"), server);
    let ended = ended(&told);
    assert_eq!((&ended["ending"], &ended["by"]), (&"closed_first".into(), &"client".into()));
    assert_eq!(ended["time_wait"], serde_json::json!(["client"]));
}

#[test]
fn a_server_that_closes_first_holds_time_wait() {
    let Some(told) = traced(|client, server| {
        drop(server);
        wait_for_fin(&client);
    }) else {
        return;
    };
    let server = [&OPENED_SERVER[..], &["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]].concat();
    assert_eq!(states(&told, "server"), server);
    let client = [&OPENED_CLIENT[..], &["CLOSE_WAIT", "LAST_ACK", "CLOSED"]].concat();
    assert_eq!(states(&told, "client"), client);
    assert_eq!(ended(&told)["by"], "server");
    assert_eq!(ended(&told)["time_wait"], serde_json::json!(["server"]));
}

#[test]
fn after_a_half_close_fin_wait_2_lasts_until_the_other_end_closes() {
    let Some(told) = traced(|client, server| {
        client.shutdown(Shutdown::Write).unwrap();
        wait_for_fin(&server);
        server.shutdown(Shutdown::Write).unwrap();
        wait_for_fin(&client);
    }) else {
        return;
    };
    let client = [&OPENED_CLIENT[..], &["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]].concat();
    // Where the server closes before its ACK is out, its FIN carries the ACK: the kernel still
    // passes through FIN_WAIT_2.
    assert_eq!(states(&told, "client"), client);
    assert_eq!(ended(&told)["by"], "client");
}

#[test]
fn a_close_after_a_half_close_is_no_change_of_state() {
    let Some(told) = traced(|client, server| {
        client.shutdown(Shutdown::Write).unwrap();
        drop(client); // hyper does so, too; the kernel announces FIN_WAIT_1 once more
        wait_for_fin(&server);
    }) else {
        return;
    };
    let client = [&OPENED_CLIENT[..], &["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]].concat();
    assert_eq!(states(&told, "client"), client);
}

#[test]
fn a_reset_ends_both_ends_at_once_and_leaves_no_time_wait() {
    let Some(told) = traced(|client, server| {
        reset_on_close(&client);
        drop(client);
        drop(server);
    }) else {
        return;
    };
    assert_eq!(states(&told, "client"), ["SYN_SENT", "ESTABLISHED", "CLOSED"]);
    assert_eq!(states(&told, "server"), ["SYN_RECV", "ESTABLISHED", "CLOSED"]);
    let ended = ended(&told);
    assert_eq!((&ended["ending"], &ended["by"]), (&"aborted".into(), &"client".into()));
    assert_eq!(ended["time_wait"], serde_json::json!([]));
}

#[test]
fn two_ends_that_close_at_once_were_both_in_fin_wait_1() {
    let deaf = [SockFilter::new(6, 0, 0, 0)]; // a filter that lets nothing in
    let Some(told) = traced(|client, server| {
        for end in [&client, &server] {
            SockRef::from(end).attach_filter(&deaf).unwrap();
        }
        for end in [&client, &server] {
            end.shutdown(Shutdown::Write).unwrap();
        }
        // From now on they hear each other, and the FINs are sent again.
        for end in [&client, &server] {
            SockRef::from(end).detach_filter().unwrap();
        }
        wait_for_fin(&client);
        wait_for_fin(&server);
    }) else {
        return;
    };
    for side in ["client", "server"] {
        let states = states(&told, side);
        assert_eq!(states[2], "FIN_WAIT_1", "{side} {states:?}");
    }
    let all = [states(&told, "client"), states(&told, "server")].concat();
    assert!(all.iter().any(|state| state == "CLOSING"), "{all:?}");
    assert_eq!(ended(&told)["ending"], "both_closed");
}

#[test]
fn the_ends_of_ipv4_on_a_dual_stack_listener_and_of_ipv6_are_told_as_one_connection() {
    let Some(_tracefs) = Tracefs::open() else { return };
    let Some(listener) = unhaunted_listener_at("[::]:0") else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let mut tracer = Tracer::of(&listener, "tracepoint");
    for host in ["127.0.0.1", "::1"] {
        let client = TcpStream::connect((host, port)).unwrap();
        let address = client.local_addr().unwrap().to_string();
        drop(listener.accept().unwrap()); // the server's end closes first
        wait_for_fin(&client);
        drop(client);
        let told = tracer.until_ended(1);
        let ended = ended(&told);
        assert_eq!(ended["client"], address, "{told:#?}");
        assert_eq!(ended["by"], "server");
        assert_eq!(ended["time_wait"], serde_json::json!(["server"]), "{told:#?}");
        assert_eq!(states(&told, "client").len(), 5, "{told:#?}");
    }
}

#[test]
fn of_five_thousand_connections_a_second_none_is_lost_or_it_is_said_how_many() {
    const PER_SECOND: u32 = 5000;
    const CONNECTIONS: usize = 10_007;
    /// `SYN_SENT`, `SYN_RECV`, twice `ESTABLISHED`, twice `CLOSED`.
    const CHANGES: usize = 6;
    let Some(tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    let mut tracer = Tracer::of(&listener, "tracepoint");
    let pid = tracer.pid();
    let load = std::thread::spawn(move || {
        let _alone = CHILDREN.write().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        for number in 0..CONNECTIONS {
            let due = begun + Duration::from_secs(1) / PER_SECOND * u32::try_from(number).unwrap();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A reset, so that no ten thousand ports are in TIME_WAIT for a minute.
            let (mut client, mut server) = connection(&listener);
            client.write_all(&[1; 11]).unwrap();
            server.read_exact(&mut [0; 11]).unwrap();
            reset_on_close(&client);
            drop((client, server));
        }
        eprintln!("{CONNECTIONS} connections in {:?}", begun.elapsed());
        listener
    });
    let mut told = Vec::new();
    let mut load = Some(load);
    let mut listening = None;
    for line in tracer.out.by_ref().lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let last = line["kind"] == "end";
        told.push(line);
        if load.as_ref().is_some_and(std::thread::JoinHandle::is_finished) {
            listening = load.take().map(|load| load.join().unwrap());
            kill_process(Pid::from_child(&tracer.child), Signal::INT).unwrap();
        }
        if last {
            break;
        }
    }
    drop(listening);
    let end = told.last().unwrap();
    let (changes, lost) = (changes(&told), end["lost_changes"].as_u64().unwrap());
    eprintln!("{changes} changes told, {lost} lost, of {}", CONNECTIONS * CHANGES);
    assert_eq!(changes + usize::try_from(lost).unwrap(), CONNECTIONS * CHANGES);
    if lost == 0 {
        assert_eq!(end["ended"], CONNECTIONS);
        assert!(told.iter().all(|line| line["gap"] != true));
    }
    let exact = |line: &&Value| line["client_wrote_bytes"] == json!({ "min": 11, "max": 11 });
    let of_bytes = &end["lost_sends_and_receives"];
    let counted = told.iter().filter(exact).count();
    eprintln!("{of_bytes} records of bytes lost; the bytes of {counted} connections are known");
    if lost == 0 && *of_bytes == 0 {
        // What the last have moved may still be waited for when it ends.
        assert!(counted > CONNECTIONS - 1000, "{counted}");
    }
    tracefs.wait_until_gone(pid);
}

#[test]
fn a_tracer_that_cannot_keep_up_says_how_many_changes_it_lost() {
    /// More than the buffers of a machine with a few processors hold.
    const CONNECTIONS: usize = 30_011;
    let Some(_tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    let mut tracer = Tracer::of(&listener, "tracepoint");
    tracer.signal(Signal::STOP);
    {
        let _alone = CHILDREN.write().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..CONNECTIONS {
            let (client, server) = connection(&listener);
            reset_on_close(&client);
            drop((client, server));
        }
    }
    tracer.signal(Signal::CONT);
    // It is ended when it has caught up: it says what it lost after what it did not.
    let mut told: Vec<Value> = Vec::new();
    let mut changes_told = 0;
    for line in tracer.out.by_ref().lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        changes_told += changes(std::slice::from_ref(&line));
        let is_last = line["kind"] == "change" && changes_told == CONNECTIONS * 6;
        if line["kind"] == "lost" || is_last {
            kill_process(Pid::from_child(&tracer.child), Signal::INT).unwrap();
        }
        told.push(line);
    }
    let (changes, lost) = (changes(&told), told.last().unwrap()["lost_changes"].as_u64().unwrap());
    eprintln!("{changes} changes told, {lost} lost, of {}", CONNECTIONS * 6);
    assert_eq!(changes + usize::try_from(lost).unwrap(), CONNECTIONS * 6);
    let of_loss: Vec<&Value> = told.iter().filter(|line| line["kind"] == "lost").collect();
    assert_eq!(of_loss.is_empty(), lost == 0);
}

/// How many changes of connections were told.
fn changes(told: &[Value]) -> usize {
    let change = |line: &&Value| line["kind"] == "change" && line["connection"].is_u64();
    told.iter().filter(change).count()
}

#[test]
fn a_tracer_has_one_instance_for_changes_and_one_for_bytes() {
    let Some(tracefs) = Tracefs::open() else { return };
    let tracer = Tracer::of(&unhaunted_listener(), "tracepoint");
    let pid = tracer.pid();
    let both = tracer.witness["no_bytes_because"].is_null();
    let expected =
        if both { vec![String::new(), "-bytes".to_owned()] } else { vec![String::new()] };
    assert_eq!(tracefs.of(pid), expected);
    drop(tracer.end(Signal::INT));
    assert!(!tracefs.has(pid));
}

#[test]
fn the_instance_is_gone_after_every_kind_of_end() {
    let Some(tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    // An abort is what a panic becomes that cannot be unwound.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::ABORT, Signal::KILL] {
        let tracer = Tracer::of(&listener, "tracepoint");
        let pid = tracer.pid();
        assert!(tracefs.has(pid));
        drop(tracer.end(signal));
        tracefs.wait_until_gone(pid);
    }

    let mut command = trace(Path::new(program()), &listener, "tracepoint");
    command.args(["--for", "20ms"]);
    let mut tracer = Tracer::start(command);
    assert!(tracer.child.wait().unwrap().success());
    assert!(!tracefs.has(tracer.pid()));
}

#[test]
fn the_instance_is_gone_after_the_tracer_s_parent_was_killed() {
    let Some(tracefs) = Tracefs::open() else { return };
    let port = unhaunted_listener().local_addr().unwrap().port();
    let script = format!("{} trace --port {port} --format jsonl & echo $!; wait", program());
    let mut shell = spawn(Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()));
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let pid: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    lines.next().unwrap().unwrap(); // it watches
    assert!(tracefs.has(pid));
    shell.kill().unwrap();
    shell.wait().unwrap();
    tracefs.wait_until_gone(pid);
}

#[test]
fn a_reader_that_goes_away_ends_the_trace_and_leaves_no_instance() {
    let Some(tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut tracer = spawn(trace(Path::new(program()), &listener, "tracepoint").stdout(writer));
    let mut first = String::new();
    BufReader::new(&reader).read_line(&mut first).unwrap();
    assert!(tracefs.has(tracer.id()));
    drop(reader);
    drop(connection(&listener)); // something to tell
    assert_eq!(tracer.wait().unwrap().code(), Some(0));
    assert!(!tracefs.has(tracer.id()));
}

#[test]
fn a_disk_that_is_full_ends_the_trace_with_an_error_and_leaves_no_instance() {
    let Some(tracefs) = Tracefs::open() else { return };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = trace(Path::new(program()), &unhaunted_listener(), "tracepoint");
    let tracer = spawn(command.stdout(full));
    let pid = tracer.id();
    let output = tracer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!tracefs.has(pid));
}

#[test]
fn a_closed_stdout_leaves_no_instance() {
    let Some(tracefs) = Tracefs::open() else { return };
    let port = unhaunted_listener().local_addr().unwrap().port();
    let script = format!("exec {} trace --port {port} --for 50ms >&-", program());
    let mut tracer = spawn(Command::new("sh").args(["-c", &script]));
    tracer.wait().unwrap();
    assert!(!tracefs.has(tracer.id()));
}

#[test]
fn a_tracer_whose_parent_died_before_it_began_ends_by_itself() {
    let port = unhaunted_listener().local_addr().unwrap().port();
    // A session of its own, as that of a terminal; the shell that leads it is gone at once, and
    // the tracer begins when it has another parent.
    let begins = format!(
        "while [ \"$(cut -d ' ' -f 4 /proc/$$/stat)\" = $1 ]; do sleep 0.01; done; \
         exec {} trace --port {port} --format jsonl --witness sampling",
        program()
    );
    let script = format!("sh -c '{}' sh $$ &", begins.replace('\'', "'\\''"));
    let shell = spawn(Command::new("setsid").args(["sh", "-c", &script]).stdout(Stdio::piped()));
    let output = shell.wait_with_output().unwrap(); // until the tracer has closed it
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().last().unwrap().contains("\"kind\":\"end\""), "{said}");
}

#[test]
fn a_tracer_that_leads_a_session_traces_on_as_a_service_does() {
    let listener = unhaunted_listener();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = Command::new("setsid");
    let args = ["trace", "--format", "jsonl", "--witness", "sampling", "--port", &port];
    command.arg("--wait").arg(program()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tracer = Tracer::start(command);
    let (client, _server) = connection(&listener);
    let mut line = String::new();
    tracer.out.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["kind"], "change");
    drop(client);
}

#[test]
fn what_a_dead_tracer_left_behind_is_removed_by_the_next() {
    let Some(tracefs) = Tracefs::open() else { return };
    let dead = u32::MAX; // no process has such a number
    for end in ["", "-bytes"] {
        let name = format!("socket-inspector-{dead}{end}");
        fs::create_dir(tracefs.instances.join(name)).unwrap();
    }
    let foreign = tracefs.instances.join(format!("socket-inspector-of-{}", std::process::id()));
    fs::create_dir(&foreign).unwrap();
    drop(Tracer::of(&unhaunted_listener(), "tracepoint").end(Signal::INT));
    assert!(!tracefs.has(dead));
    assert!(foreign.exists(), "an instance of another name is not this program's");
    fs::remove_dir(foreign).unwrap();
}

#[test]
fn a_connection_from_before_the_trace_has_no_made_up_age() {
    let Some(_tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    let (client, server) = connection(&listener);
    let mut tracer = Tracer::of(&listener, "tracepoint");
    drop(client);
    wait_for_fin(&server);
    drop(server);
    let told = tracer.until_ended(1);
    assert_eq!(states(&told, "client"), ["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]);
    assert_eq!(ended(&told)["age_ns"], Value::Null);
    assert_eq!(ended(&told)["by"], "client");
    let first = told.iter().find(|line| line["kind"] == "change").unwrap();
    assert_eq!(first["lasted_ns"], Value::Null);
}

#[test]
fn sampling_sees_what_lasts_and_says_what_it_infers() {
    let listener = unhaunted_listener();
    let mut tracer = Tracer::of(&listener, "sampling");
    assert_eq!(tracer.witness["witness"], "sampling");
    sampled(&listener, &mut tracer);
    assert_eq!(tracer.end(Signal::INT).1.code(), Some(0));
}

/// Has a sampling tracer watch a connection that a client closes first.
fn sampled(listener: &TcpListener, tracer: &mut Tracer) {
    let (client, server) = connection(listener);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let mut line = String::new();
        tracer.out.read_line(&mut line).unwrap();
        let change: Value = serde_json::from_str(&line).unwrap();
        if change["to"] == "ESTABLISHED" {
            assert_ne!(change["at_ns"]["min"], change["at_ns"]["max"], "{change}");
            seen.push(change);
        }
    }
    // Inferred, as a rule; a reading that comes at the right moment sees it.
    let by_syn_sent = |change: &Value| {
        change["unseen"] == serde_json::json!(["SYN_SENT"]) || change["from"] == "SYN_SENT"
    };
    assert!(seen.iter().any(by_syn_sent), "{seen:#?}");
    drop(client);
    wait_for_fin(&server);
    drop(server);
    let told = tracer.until_ended(1);
    assert_eq!(states(&told, "client").last().unwrap(), "TIME_WAIT");
    assert_eq!(ended(&told)["by"], "client");
    assert_eq!(ended(&told)["time_wait"], serde_json::json!(["client"]));
}

#[test]
fn samples_tell_no_more_connections_than_there_were() {
    const CONNECTIONS: usize = 1009;
    let listener = unhaunted_listener();
    let address = listener.local_addr().unwrap();
    let tracer = Tracer::of(&listener, "sampling");
    let served = std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let mut server = listener.accept().unwrap().0;
            server.read_exact(&mut [0]).unwrap();
            server.write_all(&[b'x'; 128]).unwrap(); // and closes first
        }
        listener
    });
    std::thread::scope(|scope| {
        for worker in 0..7 {
            let share = CONNECTIONS / 7 + usize::from(worker < CONNECTIONS % 7);
            scope.spawn(move || {
                for _ in 0..share {
                    let mut client = TcpStream::connect(address).unwrap();
                    client.write_all(b"?").unwrap();
                    client.read_to_end(&mut Vec::new()).unwrap();
                }
            });
        }
    });
    let _listener = served.join().unwrap();
    let (told, _) = tracer.end(Signal::INT);
    let end = told.last().unwrap();
    let connections = end["connections"].as_u64().unwrap();
    assert!((1..=1009).contains(&connections), "{end}");
    assert!(end["ended"].as_u64().unwrap() <= connections, "{end}");
}

#[test]
fn an_ordinary_user_gets_samples_and_is_told_why() {
    const NOBODY: u32 = 65534;
    let listener = unhaunted_listener();
    // Where everybody may run it: the directory of the build may be root's alone.
    let copy = std::env::temp_dir().join(format!("socket-inspector-{}", std::process::id()));
    fs::copy(program(), &copy).unwrap();
    let mut command = trace(&copy, &listener, "auto");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut tracer = Tracer::start(command);
    assert_eq!(tracer.witness["witness"], "sampling");
    let why = tracer.witness["no_tracepoint_because"].as_str().unwrap();
    assert!(why.starts_with("tracefs cannot be reached (it takes root): "), "{why}");
    sampled(&listener, &mut tracer);
    assert_eq!(tracer.end(Signal::TERM).1.code(), Some(0));

    let mut command = trace(&copy, &listener, "tracepoint");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = spawn(&mut command).wait_with_output().unwrap();
    fs::remove_file(copy).unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("socket-inspector: cannot use the tracepoint: "), "{said}");
    assert_eq!(said.lines().count(), 1);
}
