//! Programs that the lab does not know: what they do with their connections is told as it was, and
//! they do the same as without it.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server that starts a client: `{u}` in its arguments is its URL.
const SERVER: &str = r#"
import http.server, threading, sys, subprocess, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = os.environ.get("PROTOCOL", "HTTP/1.1")
    timeout = float(os.environ["IDLE"]) if "IDLE" in os.environ else None
    def do_GET(self):
        body = b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_): pass
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d/" % server.server_port
sys.exit(subprocess.call([word.replace("{u}", url) for word in sys.argv[1:]]))
"#;

/// A new connection for each of five requests.
const CONNECTION_EACH: &str = r#"
import http.client, sys
from urllib.parse import urlparse
url = urlparse(sys.argv[1])
for _ in range(5):
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
"#;

/// Five connections that nobody gives back, with bodies that nobody reads.
const LEAK: &str = r#"
import http.client, sys
from urllib.parse import urlparse
url = urlparse(sys.argv[1])
kept = []
for _ in range(5):
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("GET", "/")
    kept.append((connection, connection.getresponse()))
"#;

/// One connection for seven requests.
const ONE_CONNECTION: &str = r#"
import http.client, sys
from urllib.parse import urlparse
url = urlparse(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
for _ in range(7):
    connection.request("GET", "/")
    connection.getresponse().read()
print("seven")
"#;

/// A directory with the programs, and the lab.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// Sets it up; `None` where something is missing that it takes.
    fn set_up() -> Option<Self> {
        for program in ["python3", "curl"] {
            if Command::new(program).arg("--version").output().is_err() {
                eprintln!("SKIPPED: there is no {program}");
                return None;
            }
        }
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for (name, text) in [
            ("server.py", SERVER),
            ("each.py", CONNECTION_EACH),
            ("leak.py", LEAK),
            ("one.py", ONE_CONNECTION),
        ] {
            std::fs::write(bench.path(name), text).unwrap();
        }
        let tried = bench.lab(&["--", "true"]);
        let told = String::from_utf8_lossy(&tried.stderr);
        if tried.status.code() == Some(125) && told.contains("no private network") {
            eprintln!("SKIPPED: {told}");
            return None;
        }
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lab(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.arg("observe").args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// The words of a command that starts the server and `client`.
    fn served(&self, client: &[&str]) -> Vec<String> {
        let server = self.path("server.py").display().to_string();
        let words = ["python3".to_owned(), server];
        words.into_iter().chain(client.iter().map(|word| (*word).to_owned())).collect()
    }

    /// The report for programs on `command`, its stdout, and the exit code.
    fn observe(&self, flags: &[&str], command: &[String]) -> (Value, String, i32) {
        let report = self.path("report.json");
        let report_flag = report.display().to_string();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let all = [&["--format", "json", "-o", &report_flag], flags, &["--"], &command].concat();
        let output = self.lab(&all);
        let text = std::fs::read_to_string(&report).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        assert_eq!(value["disagreements"], serde_json::json!([]), "{value:#}");
        let code = output.status.code().unwrap();
        (value, String::from_utf8_lossy(&output.stdout).into_owned(), code)
    }

    fn script(&self, name: &str) -> Vec<String> {
        let path = self.path(name).display().to_string();
        self.served(&["python3", &path, "{u}"])
    }
}

fn number(report: &Value, name: &str) -> i64 {
    report["numbers"][name].as_i64().unwrap_or_else(|| panic!("{name}: {report:#}"))
}

fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["verdict"].as_array().unwrap();
    all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"))
}

#[test]
fn curl_uses_one_connection_for_two_urls_of_a_server() {
    let Some(bench) = Bench::set_up() else { return };
    let (report, out, code) = bench.observe(&[], &bench.served(&["curl", "-s", "{u}", "{u}"]));
    assert_eq!((number(&report, "opened"), number(&report, "exchanges")), (1, 2));
    assert_eq!((number(&report, "reused"), number(&report, "reuse")), (1, 100));
    assert_eq!((out.as_str(), code), ("hellohello", 0));
    finding(&report, "reused");
}

#[test]
fn a_connection_for_each_request_is_told_with_who_closes_it() {
    let Some(bench) = Bench::set_up() else { return };
    let (report, ..) = bench.observe(&[], &bench.script("each.py"));
    assert_eq!((number(&report, "opened"), number(&report, "reuse")), (5, 0));
    assert_eq!(number(&report, "closed_by.client"), 5);
    assert_eq!(number(&report, "time_wait.client"), 5);
    let evidence = finding(&report, "not_reused")["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("closed by the client, right behind a response"), "{evidence}");
}

#[test]
fn a_leak_is_told_as_connections_that_were_at_hand() {
    let Some(bench) = Bench::set_up() else { return };
    let (report, ..) = bench.observe(&[], &bench.script("leak.py"));
    assert_eq!((number(&report, "opened"), number(&report, "most_open")), (5, 5));
    let evidence = finding(&report, "not_reused")["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("still open when another was dialled"), "{evidence}");
}

/// How many `connect()` to an address of IP succeeded, or went on without waiting. A call that another
/// process interrupts stands on two lines.
fn connects(calls: &str) -> i64 {
    let mut unfinished = std::collections::HashSet::new();
    let succeeded = calls.lines().filter(|line| {
        let process = line.split_whitespace().next();
        if line.contains("connect(") && line.contains("AF_INET") {
            if line.ends_with("<unfinished ...>") {
                unfinished.insert(process);
                return false;
            }
        } else if !(line.contains("connect resumed") && unfinished.remove(&process)) {
            return false;
        }
        line.ends_with("= 0") || line.contains("EINPROGRESS")
    });
    succeeded.count() as i64
}

#[test]
fn the_connections_are_as_many_as_the_connects_that_strace_sees_succeed() {
    let Some(bench) = Bench::set_up() else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: there is no strace");
        return;
    }
    let log = bench.path("strace.log");
    for script in ["each.py", "leak.py", "one.py"] {
        let strace = ["strace", "-f", "-e", "trace=connect", "-o", log.to_str().unwrap()];
        let strace = strace.into_iter().map(ToOwned::to_owned);
        let command: Vec<String> = strace.chain(bench.script(script)).collect();
        let (report, _, code) = bench.observe(&[], &command);
        assert_eq!(code, 0, "{report:#}");
        let calls = std::fs::read_to_string(&log).unwrap();
        assert_eq!(number(&report, "opened"), connects(&calls), "{script}: {calls}");
    }
}

#[test]
fn a_program_does_the_same_with_and_without_being_observed() {
    let Some(bench) = Bench::set_up() else { return };
    let command = bench.script("one.py");
    let alone = Command::new(&command[0]).args(&command[1..]).output().unwrap();
    let (report, out, code) = bench.observe(&[], &command);
    assert_eq!(out.as_bytes(), alone.stdout);
    assert_eq!(Some(code), alone.status.code());
    assert_eq!((number(&report, "opened"), number(&report, "exchanges")), (1, 7));
    let who = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let alone = Command::new("id").arg("-u").output().unwrap();
    assert_eq!(who(&bench.lab(&["--", "id", "-u"])), who(&alone));
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)] {
        let output = bench.lab(&["--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}");
    }
}

#[test]
fn what_the_lab_itself_says_is_told_apart_by_its_exit_codes() {
    let Some(bench) = Bench::set_up() else { return };
    let file = bench.path("each.py").display().to_string();
    for (arguments, code) in [
        (&["--", "no-such-program-anywhere"][..], 127),
        (&["--", &file], 126),
        (&["--expect", "open = 1", "--", "true"], 125),
        (&["-o", "/no/such/directory/report", "--", "true"], 125),
        (&["--no-such-flag", "--", "true"], 125),
        (&["--expect", "opened = 0", "--", "true"], 0),
        (&["--expect", "opened = 1", "--", "true"], 1),
        (&["--expect", "opened = 1", "--", "sh", "-c", "exit 3"], 3),
    ] {
        let output = bench.lab(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_expectation_that_fails_tells_its_number() {
    let Some(bench) = Bench::set_up() else { return };
    let flags = ["--expect", "opened <= 2", "--expect", "resets = 0"];
    let (report, _, code) = bench.observe(&flags, &bench.script("each.py"));
    assert_eq!(code, 1);
    let all = &report["expectations"];
    assert_eq!((&all[0]["held"], &all[1]["held"]), (&false.into(), &true.into()));
    assert_eq!(all[0]["values"]["opened"], 5);
}

/// The processes that have `word` among their arguments.
fn processes(word: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
        String::from_utf8_lossy(&line.unwrap_or_default()).contains(word)
    };
    pids.filter(|pid| *pid != std::process::id() && has(pid)).collect()
}

#[test]
fn nothing_is_left_behind_of_a_program_that_goes_into_the_background() {
    let Some(bench) = Bench::set_up() else { return };
    // A number that no other process has among its arguments.
    let marks = ["98765.4321", "98765.4322"];
    let daemon = format!("(setsid sleep {} &) ; trap '' TERM; exit 0", marks[0]);
    let deaf = format!("(setsid sh -c \"trap '' TERM; while :; do sleep {}; done\" &)", marks[1]);
    for (script, mark) in [(daemon, marks[0]), (deaf, marks[1])] {
        let script = format!("{script}; sleep 0.2");
        let (report, _, code) = bench.observe(&[], &["sh", "-c", &script].map(ToOwned::to_owned));
        assert_eq!(code, 0);
        let left = report["program"]["left_processes"].as_array().unwrap();
        assert!(!left.is_empty(), "{report:#}");
        assert!(processes(mark).is_empty(), "{report:#}");
    }
}

#[test]
fn a_program_is_ended_when_its_time_is_over_also_if_it_ignores_signals() {
    let Some(bench) = Bench::set_up() else { return };
    let script = "trap '' TERM INT; while :; do sleep 0.1; done";
    let started = Instant::now();
    let (report, _, code) =
        bench.observe(&["--for", "300ms"], &["sh", "-c", script].map(ToOwned::to_owned));
    assert_eq!(code, 0, "that is what was asked for");
    assert_eq!(report["program"]["time_was_over"], true);
    assert_eq!(report["program"]["end"]["signal"], 9);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn with_a_time_what_is_in_the_background_is_observed_until_then() {
    let Some(bench) = Bench::set_up() else { return };
    let server = bench.served(&["sh", "-c", "sleep 0.3; curl -s {u}"]);
    let words: Vec<String> = server.iter().map(|word| format!("'{word}'")).collect();
    let script = format!("({} > /dev/null &) ; exit 0", words.join(" "));
    let command = ["sh", "-c", &script].map(ToOwned::to_owned);
    let (report, ..) = bench.observe(&["--for", "30s"], &command);
    assert_eq!(number(&report, "exchanges"), 1, "{report:#}");
    let ended = report["program"]["time_was_over"].as_bool();
    assert_eq!(ended, Some(false), "it is over when all are gone");
}

#[test]
fn a_refused_dial_and_one_that_no_way_leads_for_are_told_apart() {
    let Some(bench) = Bench::set_up() else { return };
    let curl = |url: &str| ["curl", "-s", url].map(ToOwned::to_owned);
    let (report, _, code) = bench.observe(&[], &curl("http://127.0.0.1:9/"));
    assert_eq!(code, 7, "curl's own");
    assert_eq!((number(&report, "dialled"), number(&report, "refused")), (1, 1));
    finding(&report, "refused");
    let (report, ..) = bench.observe(&[], &curl("http://192.0.2.1/"));
    assert_eq!(number(&report, "dialled"), 0);
    let evidence = finding(&report, "nothing")["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("no way to an address"), "{evidence}");
}

#[test]
fn the_packets_go_to_a_file_that_is_read_as_a_capture() {
    let Some(bench) = Bench::set_up() else { return };
    let file = bench.path("run.pcapng");
    let path = file.display().to_string();
    let flags = ["--pcap", &path];
    let (report, ..) = bench.observe(&flags, &bench.served(&["curl", "-s", "{u}"]));
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a], "a section header");
    assert!(report["packets"]["segments"].as_u64().unwrap() >= 10, "{report:#}");
}

#[test]
fn the_lab_s_own_server_answers_at_the_url_of_the_command() {
    let Some(bench) = Bench::set_up() else { return };
    let command = ["curl", "-s", "{url}", "{url}?bytes=5"].map(ToOwned::to_owned);
    let (report, out, code) = bench.observe(&["--bytes", "20000"], &command);
    assert_eq!((out.len(), code), (20_005, 0));
    assert_eq!((number(&report, "opened"), number(&report, "exchanges")), (1, 2));
    assert_eq!(report["connections"][0]["heard_on"], "cable");
}

#[test]
fn any_name_and_any_port_lead_to_the_lab_s_own_server() {
    let Some(bench) = Bench::set_up() else { return };
    let names = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let asked = names.lines().find_map(|line| line.strip_prefix("nameserver "));
    if asked.is_none_or(|asked| asked.contains(':')) {
        eprintln!("SKIPPED: no name server of IPv4 is asked here");
        return;
    }
    let urls = ["http://api.example.com/", "http://other.example.com:8081/", "http://192.0.2.7/"];
    let command: Vec<String> =
        ["curl", "-s"].into_iter().chain(urls).map(ToOwned::to_owned).collect();
    let (report, out, code) = bench.observe(&["--serve"], &command);
    assert_eq!((out.as_str(), code), (&*"Hello world".repeat(3), 0));
    assert_eq!((number(&report, "opened"), number(&report, "servers")), (3, 3));
    assert_eq!(report["connections"][2]["server"], "192.0.2.7:80");
}

/// Two requests with a pause between them; the second is sent again if it fails.
const RETRY: &str = r#"
import http.client, sys, time
from urllib.parse import urlparse
url = urlparse(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
for _ in range(2):
    try:
        connection.request("POST", "/echo", body="once")
        connection.getresponse().read()
    except Exception:
        connection.close()
        connection.request("POST", "/echo", body="once")
        connection.getresponse().read()
    time.sleep(0.7)
"#;

#[test]
fn a_request_on_a_connection_that_its_server_has_closed_is_told_and_so_is_its_second_sending() {
    let Some(bench) = Bench::set_up() else { return };
    let script = bench.path("retry.py");
    std::fs::write(&script, RETRY).unwrap();
    let command = ["python3", script.to_str().unwrap(), "{url}"].map(ToOwned::to_owned);
    let (report, ..) = bench.observe(&["--idle-timeout", "300ms"], &command);
    assert_eq!((number(&report, "stale"), number(&report, "sent_twice")), (1, 1), "{report:#}");
    assert_eq!(number(&report, "opened"), 2);
    let first = &report["connections"][0]["end"];
    assert_eq!(first["by"], "server");
    assert_eq!(first["reset_after_it_by"], "server");
    assert!(first["why"] == "idle_timeout" || first["why"] == "after_silence", "{first:#}");
    let evidence = finding(&report, "sent_twice")["evidence"].to_string();
    assert!(evidence.contains("has not read it"), "{evidence}");
}

#[test]
fn a_server_that_says_close_is_told_as_the_cause() {
    let Some(bench) = Bench::set_up() else { return };
    let command = ["curl", "-s", "{url}", "{url}", "{url}"].map(ToOwned::to_owned);
    let (report, ..) = bench.observe(&["--close"], &command);
    assert_eq!((number(&report, "opened"), number(&report, "reuse")), (3, 0));
    let evidence = finding(&report, "not_reused")["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("as the response had said (Connection: close)"), "{evidence}");
}

#[test]
fn flags_of_the_server_without_a_server_are_refused() {
    let Some(bench) = Bench::set_up() else { return };
    assert_eq!(bench.lab(&["--idle-timeout", "1s", "--", "true"]).status.code(), Some(125));
}

/// A program that tells how often it was interrupted, and ends at the second time.
const INTERRUPTED: &str = "trap 'n=$((n+1)); echo $n; [ $n -lt 2 ] || exit 9' INT; echo ready
    while :; do sleep 0.05; done";

#[test]
fn an_interrupt_is_passed_on_once_and_a_second_one_kills() {
    use std::io::{BufRead, BufReader};
    let Some(_bench) = Bench::set_up() else { return };
    let mut child = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_lab"), "observe", "--", "sh", "-c", INTERRUPTED])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let lab = processes("trap 'n=$((n+1))");
    let lab = lab.into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).starts_with(env!("CARGO_BIN_EXE_lab"))
    });
    let interrupt = || {
        let pid = rustix::process::Pid::from_raw(lab.unwrap() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    };
    interrupt();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    interrupt();
    assert_eq!(child.wait().unwrap().code(), Some(137), "it was killed");
    assert!(lines.next().is_none(), "of the second it has heard nothing");
}

#[test]
fn outside_connections_are_relayed_with_their_ends_and_their_refusals() {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    let Some(bench) = Bench::set_up() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Two exchanges on one connection, which the server then closes.
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let url = format!("http://host.lab.internal:{port}/");
    let resolver = "host.lab.internal:".to_owned() + &port.to_string() + ":10.127.0.1";
    let command = ["curl", "-s", "--resolve", &resolver, &url, &url].map(ToOwned::to_owned);
    let (report, out, code) = bench.observe(&["--outside"], &command);
    server.join().unwrap();
    assert_eq!((out.as_str(), code), ("okok", 0), "{report:#}");
    assert_eq!((number(&report, "opened"), number(&report, "exchanges")), (1, 2));
    // Nobody listens there any more.
    let (report, _, code) = bench.observe(&["--outside"], &command);
    assert_eq!((code, number(&report, "refused")), (7, 2), "{report:#}");
    assert_eq!(report["program"]["left_processes"], serde_json::json!([]));
}

#[test]
fn of_tls_the_name_and_the_protocols_are_told() {
    let Some(bench) = Bench::set_up() else { return };
    let resolver = "api.example.com:443:192.0.2.7";
    let url = "https://api.example.com/";
    let command = ["curl", "-s", "--resolve", resolver, url].map(ToOwned::to_owned);
    // The lab's server speaks none, but the client has said what it wants.
    let (report, ..) = bench.observe(&["--serve"], &command);
    let connection = &report["connections"][0];
    assert_eq!(connection["protocol"], "tls", "{report:#}");
    assert_eq!(connection["tls"]["server_name"], "api.example.com");
}

/// Three requests at once on a connection of HTTP/2, which the client then closes.
const STREAMS: &str = "
const session = require('http2').connect(process.argv[1]);
let open = 3;
for (let n = 0; n < 3; n++) {
    const request = session.request({ ':path': '/' });
    request.resume();
    request.on('end', () => { if (--open === 0) session.close(); });
}
";

#[test]
fn the_streams_of_http2_are_exchanges_on_one_connection() {
    let Some(bench) = Bench::set_up() else { return };
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no node");
        return;
    }
    let (report, _, code) =
        bench.observe(&[], &["node", "-e", STREAMS, "{url}"].map(ToOwned::to_owned));
    assert_eq!(code, 0);
    assert_eq!((number(&report, "opened"), number(&report, "exchanges")), (1, 3), "{report:#}");
    assert_eq!(number(&report, "answered"), 3);
    let connection = &report["connections"][0];
    assert_eq!(connection["protocol"], "http/2");
    assert_eq!(connection["http2"]["goaways"][0]["by"], "client", "{report:#}");
    assert_eq!(connection["end"]["why"], "goaway");
}

/// Two connections in turn: the second is dialled while the first is at rest, and both are used again.
const IN_TURN: &str = r#"
import http.client, sys
from urllib.parse import urlparse
url = urlparse(sys.argv[1])
pool = [http.client.HTTPConnection(url.hostname, url.port) for _ in range(2)]
for n in range(6):
    pool[n % 2].request("GET", "/")
    pool[n % 2].getresponse().read()
"#;

#[test]
fn a_connection_that_is_dialled_beside_one_at_rest_is_told_although_both_are_used_again() {
    let Some(bench) = Bench::set_up() else { return };
    let command = ["python3", "-c", IN_TURN, "{url}"].map(ToOwned::to_owned);
    let (report, ..) = bench.observe(&[], &command);
    assert_eq!((number(&report, "opened"), number(&report, "reused")), (2, 4), "{report:#}");
    assert_eq!((number(&report, "reusable"), number(&report, "most_at_once")), (5, 1));
    let evidence = finding(&report, "partly_reused")["evidence"][0].as_str().unwrap();
    assert!(evidence.starts_with("1 connection answered and still open"), "{evidence}");
}

#[test]
fn without_a_private_network_the_table_is_looked_at_and_said_to_be_less() {
    let Some(bench) = Bench::set_up() else { return };
    let held = "import http.client, sys, time\nfrom urllib.parse import urlparse\n\
        url = urlparse(sys.argv[1])\nkept = []\nfor _ in range(3):\n    \
        connection = http.client.HTTPConnection(url.hostname, url.port)\n    \
        connection.request('GET', '/')\n    kept.append(connection)\ntime.sleep(0.5)\n";
    let script = bench.path("held.py");
    std::fs::write(&script, held).unwrap();
    let file = bench.path("less.json").display().to_string();
    let server = bench.script("held.py");
    let command: Vec<&str> = server.iter().map(String::as_str).collect();
    let flags = ["--isolate", "never", "--format", "json", "-o", &file, "--"];
    let output = bench.lab(&[&flags[..], &command].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["sampled"], &report["at_least"]["opened"]), (&true.into(), &3.into()));
    assert_eq!(report["at_least"]["most_open"], 3, "{report:#}");
    let refused = bench.lab(&["--isolate", "never", "--expect", "opened = 1", "--", "true"]);
    assert_eq!(refused.status.code(), Some(125));
}
