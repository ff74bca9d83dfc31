//! The program as it is used: started, asked, interrupted, started wrongly.

mod common;
#[path = "common/program.rs"]
mod program;

use std::io::BufRead as _;
use std::process::{Command, Output};

use common::Client;
use program::{Hello, PROGRAM};

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The backlog that the kernel grants; elsewhere it is not known, only asked for.
fn granted(asked: u32) -> String {
    match std::fs::read_to_string("/proc/sys/net/core/somaxconn") {
        Ok(most) => asked.min(most.trim().parse().unwrap()).to_string(),
        Err(_) => format!("{asked} asked for"),
    }
}

#[test]
fn the_backlog_it_prints_is_the_one_it_has() {
    for asked in [0, 7, 2_000_000_000] {
        let hello = Hello::start(&["--backlog", &asked.to_string()]);
        let words = format!("(backlog {}, TCP_NODELAY on)", granted(asked));
        assert!(hello.first_line.contains(&words), "{}", hello.first_line);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_is_never_accepted_is_connected_and_counted() {
    let mut hello = Hello::start(&["--no-accept", "--backlog", "5"]);
    let words = "(backlog 5, never accepts)";
    assert!(hello.first_line.contains(words), "{}", hello.first_line);
    let mut lines = hello.shown.take().unwrap();
    let mut next = || lines.next().unwrap().unwrap();
    let mut client = hello.connect();
    assert!(next().ends_with("queue     1 connection waiting, of 6 at the most (backlog 5)"));
    client.ask("GET", "/"); // taken by the kernel
    let _others = [hello.connect(), hello.connect()];
    // They may come between two looks, or on either side of one.
    while !next().ends_with("queue     3 connections waiting, of 6 at the most (backlog 5)") {}
    hello.signal(rustix::process::Signal::INT);
    let (status, said) = hello.end();
    assert!(status.success());
    assert_eq!(said, "hello: stopped; never accepted: 3 connection(s)\n");
}

#[cfg(target_os = "linux")]
#[test]
fn one_more_than_the_backlog_may_wait() {
    let mut hello = Hello::start(&["--no-accept", "--backlog", "2"]);
    let mut lines = hello.shown.take().unwrap();
    let _clients: Vec<Client> = (0..3).map(|_| hello.connect()).collect();
    let full = "3 connections waiting, of 3 at the most (backlog 2)";
    while !lines.next().unwrap().unwrap().ends_with(full) {}
}

#[test]
fn the_address_it_prints_is_the_one_it_has() {
    let hello = Hello::start(&[]);
    assert_ne!(hello.address.port(), 0);
    assert_eq!(
        hello.first_line,
        format!(
            "hello listens on http://{} (backlog {}, TCP_NODELAY on); Ctrl-C ends it\n",
            hello.address,
            granted(server::BACKLOG)
        )
    );
    assert_eq!(hello.connect().get("/").text(), "Hello world");
}

#[test]
fn flags_say_how_every_request_is_answered() {
    let hello = Hello::start(&["--bytes", "64KiB", "--chunked", "--close"]);
    let mut client = hello.connect();
    let response = client.get("/");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.body.len(), 65_536);
    client.sees_the_close().unwrap();
}

#[test]
fn an_idle_timeout_makes_it_close_first() {
    let hello = Hello::start(&["--idle-timeout", "70ms"]);
    let mut client = hello.connect();
    client.get("/");
    client.sees_the_close().unwrap();
    let hello = Hello::start(&["--idle-timeout", "none"]);
    let mut client = hello.connect();
    client.get("/");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(client.get("/").text(), "Hello world");
}

#[test]
fn every_time_limit_has_a_flag() {
    let hello = Hello::start(&["--handler-timeout", "70ms", "--delay", "1h"]);
    assert_eq!(hello.connect().get("/").status, 503);
    let hello =
        Hello::start(&["--handler-timeout", "140ms", "--write-timeout", "70ms", "--delay", "1h"]);
    let mut client = hello.connect();
    client.ask("GET", "/");
    client.sees_the_close().unwrap();
    for flag in ["--read-header-timeout", "--read-timeout"] {
        let hello = Hello::start(&[flag, "70ms"]);
        let mut client = hello.connect();
        client.send("GET / HTTP/1.1\r\nHost: hel");
        client.sees_the_close().unwrap();
    }
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert_eq!(help.matches("[default: none]").count(), 5, "{help}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_after_the_exchange_in_flight() {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT] {
        let hello = Hello::start(&[]);
        let mut client = hello.connect();
        client.ask("GET", "/?bytes=64KiB&pause_before_body=300ms");
        let length: usize = client.head().header("content-length").unwrap().parse().unwrap();
        hello.signal(signal);
        assert_eq!(client.rest().len(), length);
        let (status, said) = hello.end();
        assert_eq!(status.code(), Some(0), "{signal:?}: {said}");
        let expected = "hello: stopped, every exchange in flight was finished\n\
            hello: 1 connection, 1 request: 1 used once\n";
        assert_eq!(said, expected);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_though_a_client_stays_connected() {
    let hello = Hello::start(&[]);
    let mut client = hello.connect();
    client.get("/");
    hello.signal(rustix::process::Signal::TERM);
    assert_eq!(hello.end().0.code(), Some(0));
    client.sees_the_close().unwrap();
}

#[cfg(unix)]
#[test]
fn what_the_grace_cut_off_is_told() {
    let hello = Hello::start(&["--delay", "1h"]);
    let mut client = hello.connect();
    client.ask("GET", "/");
    // An answer of another connection shows that hello has come to the first one, too.
    assert_eq!(hello.connect().get("/?delay=0s").status, 200);
    hello.signal(rustix::process::Signal::TERM);
    let (status, said) = hello.end();
    assert_eq!(status.code(), Some(0));
    let expected = "hello: stopped; cut off after 5s: 1 connection(s)\n\
        hello: 2 connections, 2 requests: 2 used once\n";
    assert_eq!(said, expected);
}

#[cfg(unix)]
#[test]
fn at_its_end_it_says_how_many_connections_were_used_again() {
    let hello = Hello::of(Command::new(PROGRAM).args(["--port", "0"]), false);
    assert!(hello.address.ip().is_loopback());
    for _ in 0..7 {
        hello.connect().get("/");
    }
    let mut client = hello.connect();
    for _ in 0..23 {
        client.get("/");
    }
    let mut stranger = hello.connect();
    stranger.send("EHLO me\r\n");
    stranger.rest();
    hello.signal(rustix::process::Signal::INT);
    let (_, said) = hello.end();
    let summary = "hello: 9 connections, 30 requests: 1 used again, 7 used once, 1 never used\n";
    assert!(said.ends_with(summary), "{said}");
}

#[test]
fn a_port_in_use_is_told_with_its_owner() {
    let hello = Hello::start(&[]);
    let second = run(&["--listen", &hello.address.to_string()]);
    assert_eq!(second.status.code(), Some(2));
    let told = stderr(&second);
    let in_use = format!("port {} is in use", hello.address.port());
    assert!(told.contains(&in_use), "{told}");
    if cfg!(target_os = "linux") {
        let owner = format!("{in_use} by hello (pid {})", hello.child.id());
        assert!(told.contains(&owner), "{told}");
    }
    assert!(second.stdout.is_empty());
}

#[test]
fn an_address_of_another_machine_is_told_as_such() {
    let output = run(&["--listen", "192.0.2.1:0"]); // TEST-NET-1: nobody's (RFC 5737)
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot listen on 192.0.2.1:0: "), "{}", stderr(&output));
}

#[test]
fn a_flag_that_makes_no_sense_is_refused_with_the_reason() {
    for (arguments, told) in [
        (["--bytes", "many"], "`many` is no number of bytes, as in 11, 64KiB or 1MiB"),
        (["--delay", "20"], "time unit needed"),
        (["--idle-timeout", "5"], "neither `none` nor a time: time unit needed"),
        (["--listen", "8080"], "invalid value '8080' for '--listen <ADDR:PORT>'"),
        (["--sizes", "11"], "unexpected argument '--sizes' found"),
        (["--close", "extra"], "unexpected argument 'extra' found"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_is_told_once_and_so_is_its_end() {
    out_of_descriptors("");
}

/// To ask the kernel for the state of a connection takes a descriptor, too.
#[cfg(unix)]
#[test]
fn running_out_of_descriptors_is_told_once_whatever_else_is_shown() {
    out_of_descriptors("--show connections");
    out_of_descriptors("--log combined");
    out_of_descriptors("--show connections,bytes --log combined --metrics");
}

/// The next line on stderr.
#[cfg(unix)]
fn complaint(hello: &mut Hello) -> String {
    let mut line = String::new();
    hello.said.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[cfg(unix)]
fn out_of_descriptors(flags: &str) {
    let limited = format!("ulimit -n 32; exec '{PROGRAM}' --listen 127.0.0.1:0 {flags}");
    let mut command = Command::new("sh");
    let mut hello = Hello::of(command.args(["-c", &limited]), flags.contains("--log"));
    let shown = hello.shown.take().unwrap();
    std::thread::spawn(move || shown.count());
    let clients: Vec<Client> = (0..41).map(|_| hello.connect()).collect();
    assert_eq!(
        complaint(&mut hello),
        "hello: cannot accept connections: Too many open files (os error 24); \
         who connects waits, trying again every 50 ms"
    );
    std::thread::sleep(server::ACCEPT_BACKOFF * 3);
    drop(clients);
    let over = complaint(&mut hello);
    assert!(over.starts_with("hello: accepts connections again, after "), "{over}");
    assert_eq!(hello.connect().get("/").text(), "Hello world");
}

#[test]
fn help_lists_the_routes() {
    let output = run(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for line in hello::index().lines() {
        let path = line.split(' ').next().unwrap();
        assert!(help.contains(path), "{path}: {help}");
    }
}

#[test]
fn uploads_are_kept_where_and_as_far_as_flags_say() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("program-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.to_str().unwrap();
    let hello = Hello::start(&["--upload-dir", path, "--upload-limit", "3"]);
    let mut client = hello.connect();
    let head = "POST /upload HTTP/1.1\r\nHost: hello\r\nContent-Length:";
    client.send(&format!("{head} 3\r\n\r\nabc"));
    assert_eq!(client.response().status, 201);
    client.send(&format!("{head} 4\r\n\r\n"));
    assert_eq!(client.response().status, 413);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    std::fs::remove_dir_all(&directory).unwrap();
    let refused = run(&["--upload-dir", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("No such file or directory"), "{}", stderr(&refused));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_once_and_the_lost_lines_are_counted() {
    use std::process::Stdio;
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--log", "combined"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let listens = said.next().unwrap().unwrap();
    let address = listens.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    for _ in 0..3 {
        assert_eq!(Client::connect(address.parse().unwrap()).get("/").status, 200);
    }
    let first = said.next().unwrap().unwrap();
    let expected = "hello: cannot write to standard output: No space left on device (os error 28); \
        lines are lost until it can";
    assert_eq!(first, expected);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    let expected = "hello: 3 lines could not be written to standard output: \
        No space left on device (os error 28)";
    assert_eq!(rest.last().map(String::as_str), Some(expected), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[cfg(unix)]
#[test]
fn too_few_descriptors_to_begin_with_are_told() {
    for most in [5, 6, 7, 8, 9] {
        let limited = format!("ulimit -n {most}; exec '{PROGRAM}' --listen 127.0.0.1:0");
        let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
        let said = stderr(&output);
        assert!(said.starts_with("hello: cannot start for want of file descriptors"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}
