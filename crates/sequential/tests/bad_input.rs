//! What cannot be run is refused with the reason; what goes wrong in mid-run is shown.

#[path = "../../apparatus/tests/program/mod.rs"]
mod program;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use program::Ran;

fn sequential(arguments: &str) -> Ran {
    program::run(env!("CARGO_BIN_EXE_sequential"), arguments)
}

/// The arguments are refused, for each of these reasons in the message.
fn refused(arguments: &str, reasons: &[&str]) {
    let Ran { code, stdout, stderr } = sequential(arguments);
    assert_eq!((code, stdout.as_str()), (2, ""), "{arguments}: {stderr}");
    for reason in reasons {
        assert!(stderr.contains(reason), "{arguments}: `{reason}` in {stderr}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_would() {
    refused("--requests 0", &["--requests", "1..=1000000"]);
    refused("--per-host -1", &["--per-host", "0 or more"]);
    refused("--transport curl", &["go, go1.27, hyper-util"]);
    refused("--body eat", &["drain, drop, hold"]);
    refused("--interval soon", &["--interval", "100ms"]);
    refused("--delay 20", &["--delay", "unit", "20ms"]);
    refused("--idle-timeout soon", &["--idle-timeout"]);
    refused("--bytes many", &["--bytes", "64KiB"]);
    refused("--max-idle some", &["--max-idle", "none"]);
    refused("--max-conns-per-host 0", &["every request waits for ever"]);
    refused("--timeout 0s", &["leaves no time for a request"]);
    refused("--format xml", &["text, json"]);
    refused("--target https://localhost/", &["TLS"]);
    refused("--target localhost:8080", &["http"]);
    refused("--target file:///x", &["the scheme is neither http nor https"]);
    for port in ["99999", "-1", "0", "", "http"] {
        refused(&format!("--target http://localhost:{port}/"), &["a number from 1 to 65535"]);
    }
    refused("--target http://localhost/ --port 8080", &["cannot be used with"]);
}

#[cfg(unix)]
#[test]
fn few_descriptors_are_named_and_no_panic() {
    for limit in [4, 5, 6, 7, 8, 9, 10, 12, 16, 24] {
        let program = env!("CARGO_BIN_EXE_sequential");
        let command = format!("ulimit -n {limit}; exec {program} --port 0 --requests 1");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{limit}: {stderr}");
        assert!(stderr.contains("ulimit -n") && !stderr.contains("panicked"), "{limit}: {stderr}");
    }
}

#[test]
fn a_password_in_a_target_is_refused_and_not_repeated() {
    for target in ["http://alice:s3cret@localhost/", "http://alice:s3cret@localhost:99999/"] {
        let ran = sequential(&format!("--target {target}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains("would not be sent"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}

#[test]
fn a_limit_that_hyper_utils_client_lacks_is_refused_with_the_reason() {
    for (limit, reason) in [
        ("--max-idle 5", "counts per host only"),
        ("--max-conns-per-host 5", "always dials a new one"),
        ("--no-keep-alives", "pools nothing"),
    ] {
        refused(
            &format!("--port 0 --transport hyper-util {limit}"),
            &["hyper-util has no", reason],
        );
    }
}

#[test]
fn a_port_in_use_is_named_with_its_owner_and_a_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Ran { code, stderr, .. } = sequential(&format!("--port {port}"));
    assert_eq!(code, 2);
    assert!(stderr.contains(&format!("port {port} is in use")), "{stderr}");
    assert!(stderr.contains("--port 0"), "{stderr}");
    if cfg!(target_os = "linux") {
        assert!(stderr.contains(&format!("(pid {})", std::process::id())), "{stderr}");
    }
}

#[test]
fn a_target_where_nobody_listens_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let Ran { code, stderr, .. } = sequential(&format!("--target http://{address}/"));
    assert_eq!(code, 2);
    assert!(
        stderr.contains(&format!("cannot connect to {address}: Connection refused")),
        "{stderr}"
    );
    assert!(stderr.contains("cargo run -p hello"), "{stderr}");
}

/// A server that answers each connection with these bytes and closes it; for `connections` of
/// them, then it is gone.
fn server(answer: &'static str, connections: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            serve(stream.unwrap(), answer);
        }
    });
    format!("http://{address}/")
}

fn serve(mut stream: TcpStream, answer: &str) {
    let mut request = [0; 4096];
    if stream.read(&mut request).is_ok_and(|read| read > 0) {
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn a_peer_that_is_no_http_server_is_told_and_what_was_seen_is_shown() {
    let url = server("SSH-2.0-OpenSSH_9.2\r\n", usize::MAX);
    let ran = sequential(&format!("--target {url} --requests 2 --interval 5ms"));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for part in ["failed: not-http", "does not answer in HTTP/1.1", "2 of 2 requests failed"] {
        assert!(ran.stdout.contains(part), "`{part}` in\n{}", ran.stdout);
    }
}

#[test]
fn a_response_cut_short_is_told_apart_from_a_clean_close() {
    for (answer, kind) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello", "cut-short"),
        ("", "closed-before-response"),
    ] {
        let url = server(answer, usize::MAX);
        let ran = sequential(&format!("--target {url} --requests 2 --interval 5ms"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stdout.contains(&format!("failed: {kind}")), "{kind} in\n{}", ran.stdout);
    }
}

/// Takes every connection and request, and answers none.
fn silent_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let kept: Vec<TcpStream> = listener.incoming().map(Result::unwrap).collect();
        drop(kept);
    });
    format!("http://{address}/")
}

#[test]
fn a_request_that_is_never_answered_fails_when_its_time_is_over() {
    for transport in ["go", "go1.27", "hyper-util"] {
        let ran = sequential(&format!(
            "--target {} --requests 2 --interval 5ms --timeout 300ms --transport {transport}",
            silent_server()
        ));
        assert_eq!(ran.code, 1, "{transport}: {}{}", ran.stdout, ran.stderr);
        for part in [
            "failed: timed-out",
            "gave up after 300ms (--timeout) while waiting for the response",
            "2 of 2 requests failed (2 timed-out)",
        ] {
            assert!(ran.stdout.contains(part), "{transport}: `{part}` in\n{}", ran.stdout);
        }
    }
}

#[test]
fn a_server_that_never_stops_with_interim_responses_is_given_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    while stream.write_all(b"HTTP/1.1 103 \r\n\r\n").is_ok() {}
                }
            });
        }
    });
    let ran = sequential(&format!("--target http://{address}/ --requests 2 --interval 5ms"));
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for part in ["failed: interim-only", "more than 1000 interim"] {
        assert!(ran.stdout.contains(part), "`{part}` in\n{}", ran.stdout);
    }
}

#[test]
fn a_server_that_is_gone_in_mid_run_leaves_what_was_observed() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nHello";
    let url = server(answer, 2);
    let ran = sequential(&format!("--target {url} --requests 4 --interval 20ms"));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for part in ["failed: refused", "2 of 4 requests failed (2 refused)", "opened 2 connections"] {
        assert!(ran.stdout.contains(part), "`{part}` in\n{}", ran.stdout);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sequential"))
        .args(["--port", "0", "--requests", "30", "--interval", "5ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

/// Ctrl-C, as a terminal sends it.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_run_early_and_shows_what_was_observed() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sequential"))
        .args(["--port", "0", "--requests", "1000", "--interval", "20ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("#1 reused") {
        let read = stdout.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    stdout.read_to_string(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for part in
        ["when you ended the run", "You ended the run after", "of 1000 requests", "they agree"]
    {
        assert!(seen.contains(part), "`{part}` in\n{seen}");
    }
}

#[test]
fn a_run_that_could_not_end_is_refused_before_it_starts() {
    refused(
        "--port 0 --body hold --max-conns-per-host 2",
        &["wait for ever", "of 10 requests only 2"],
    );
    refused("--port 0 --idle-timeout 584542000000y", &["longer than a day"]);
}

/// Answers every request on a connection, but never closes its end.
fn stubborn_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            kept.push(stream.try_clone().unwrap());
            thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello";
                    stream.write_all(answer).unwrap();
                }
            });
        }
    });
    format!("http://{address}/")
}

#[test]
fn a_server_that_does_not_close_its_end_is_no_disagreement() {
    let ran = sequential(&format!(
        "--target {} --requests 2 --interval 5ms --format json",
        stubborn_server()
    ));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let outcome: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(outcome["connections"][0]["closed_by"], "client");
    let after_closing = &outcome["sockets"]["after_closing"];
    assert_eq!(after_closing["client"]["FIN_WAIT_2"], 1);
    assert_eq!(after_closing["settled"], true, "it waits for the server, and nothing moves");
}

/// A copy that lies where cargo does not build.
#[test]
fn an_installed_program_names_programs_and_not_cargo() {
    let installed = std::env::temp_dir().join(format!("sequential-{}", std::process::id()));
    std::fs::create_dir_all(&installed).unwrap();
    let program = installed.join("sequential");
    std::fs::copy(env!("CARGO_BIN_EXE_sequential"), &program).unwrap();
    let said = |arguments: &str| {
        let Ran { stdout, stderr, .. } = program::run(program.to_str().unwrap(), arguments);
        stdout + &stderr
    };
    let run = said("--port 0 --requests 2 --interval 0");
    let refused = said("--target http://127.0.0.1:1/ --requests 1");
    let help = said("--help");
    std::fs::remove_dir_all(&installed).unwrap();
    assert!(run.contains("try next  sequential --requests 2"), "{run}");
    assert!(help.contains("\nExamples:\n"), "{help}");
    for text in [run, refused, help] {
        assert!(!text.contains("cargo"), "{text}");
    }
    let Ran { stdout, .. } = sequential("--port 0 --requests 2 --interval 0");
    assert!(stdout.contains("try next  cargo run -p sequential -- --requests 2"), "{stdout}");
}
