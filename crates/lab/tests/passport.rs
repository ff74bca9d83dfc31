//! Passports of clients whose ways are known.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One connection, `http.client`'s own: it opens another only when it has seen the old one close.
const HTTP_CLIENT: &str = "
import http.client, sys, time, urllib.parse
pause, failed, connection = float(sys.argv[1]), 0, None
for number, url in enumerate(sys.argv[2:]):
    if number:
        time.sleep(pause)
    parts = urllib.parse.urlsplit(url)
    connection = connection or http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request('GET', parts.path)
        sys.stdout.write(connection.getresponse().read().decode())
    except Exception as error:
        print('error:', error, file=sys.stderr)
        failed = 1
        connection.close()
sys.exit(failed)
";

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).arg("passport").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

/// What a client did, probe by probe; `None`, aloud, if it cannot be found out here.
fn passport(client: &[&str]) -> Option<Vec<(String, String)>> {
    let has = Command::new(client[0]).arg("--version").stdout(Stdio::null()).status();
    if has.is_err() {
        eprintln!("SKIPPED: there is no {} here", client[0]);
        return None;
    }
    let output = lab(&[&["--format", "json", "--"], client].concat());
    let passport: Value = serde_json::from_slice(&output.stdout).unwrap();
    let probes = passport["probes"].as_array().unwrap();
    if let Some(why) = probes.iter().find_map(|probe| probe["entry"]["unread"].as_str()) {
        eprintln!("SKIPPED: {why}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let entry = |probe: &Value| {
        let name = probe["name"].as_str().unwrap().to_owned();
        let entry = &probe["entry"];
        let did = entry["did"].as_str().or(entry["skipped"].as_str()).or(entry.as_str());
        (name, did.unwrap_or_else(|| panic!("{probe}")).to_owned())
    };
    Some(probes.iter().map(entry).collect())
}

fn holds(passport: &[(String, String)], probe: &str, did: &str) {
    let (_, found) = passport.iter().find(|(name, _)| name == probe).unwrap();
    assert_eq!(found, did, "{probe}");
}

#[test]
fn curl_repeats_what_a_used_connection_has_lost_and_nothing_else() {
    let Some(curl) = passport(&["curl", "-s", "{url}", "{url}"]) else { return };
    holds(&curl, "01-reuse", "uses the connection again");
    holds(&curl, "02-close-announced", "a new connection for the second");
    holds(&curl, "06-closed-meanwhile", "sent again on a new connection");
    holds(&curl, "08-no-answer-new", "gives up");
    holds(&curl, "09-no-answer-used", "sent again, and served twice");
    holds(&curl, "12-body-too-short", "reports an error");
    holds(&curl, "20-redirect", "does not follow it");
    holds(&curl, "27-idle-close", "needs {pause}");
    holds(&curl, "29-no-100", "needs a request with a body");
}

#[test]
fn http_client_repeats_nothing_and_says_so() {
    let client = ["python3", "-c", HTTP_CLIENT, "{pause}", "{url}", "{url}"];
    let Some(python) = passport(&client) else { return };
    holds(&python, "01-reuse", "uses the connection again");
    holds(&python, "06-closed-meanwhile", "gives up");
    holds(&python, "08-no-answer-new", "gives up");
    holds(&python, "09-no-answer-used", "gives up");
    holds(&python, "27-idle-close", "gives up");
    holds(&python, "28-keep-alive-timeout", "uses the connection again");
}

#[test]
fn what_has_changed_between_two_clients_is_told_and_is_the_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept.json");
    let only = ["--only", "1", "--only", "25"];
    let curl = ["--", "curl", "-s", "{url}", "{url}"];
    let first = lab(&[&only[..], &["--format", "json"], &curl].concat());
    if first.status.code() != Some(0) {
        eprintln!("SKIPPED: {}", text(&first.stderr));
        return;
    }
    std::fs::write(&kept, &first.stdout).unwrap();
    let against = ["--against", kept.to_str().unwrap()];
    let same = lab(&[&only[..], &against, &curl].concat());
    assert_eq!(same.status.code(), Some(0));
    assert!(text(&same.stdout).ends_with("Nothing has changed against: curl -s {url} {url}\n"));
    let two = ["--", "sh", "-c", "curl -s $0; curl -s $1", "{url}", "{url}"];
    let other = lab(&[&only[..], &against, &two].concat());
    let told = text(&other.stdout);
    assert_eq!(other.status.code(), Some(1), "{told}");
    assert!(told.contains("Changed against: curl -s {url} {url}\n"), "{told}");
    assert!(told.contains("01-reuse"), "{told}");
    let none = lab(&[&["--against", "/dev/null"], &curl[..]].concat());
    assert_eq!(text(&none.stderr).lines().count(), 1);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn a_command_that_no_probe_can_use_is_an_error_before_anything_runs() {
    let program = lab(&["--", "no-such-program", "{url}"]);
    assert_eq!(text(&program.stderr), "lab: there is no program no-such-program\n");
    let url = lab(&["--", "true"]);
    assert!(text(&url.stderr).contains("the command has no {url}"));
    let probe = lab(&["--only", "99", "--", "true", "{url}"]);
    assert!(text(&probe.stderr).starts_with("lab: there is no probe `99`"));
    for output in [program, url, probe] {
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
    let listed = lab(&[]);
    assert_eq!(listed.status.code(), Some(0));
    assert!(text(&listed.stdout).contains("16-unasked-answer"));
}

/// The kind and the words of the entry of one probe, how the standard has it, and the exit status.
fn entry(options: &[&str], client: &[&str]) -> Option<(String, String, String, Option<i32>)> {
    let output = lab(&[options, &["--format", "json", "--"], client].concat());
    let passport: Value = serde_json::from_slice(&output.stdout).unwrap();
    let probe = &passport["probes"][0];
    let (kind, words) = probe["entry"].as_object().unwrap().iter().next().unwrap();
    let words = words.as_str().unwrap().to_owned();
    if kind == "unread" && !words.starts_with("the client") {
        eprintln!("SKIPPED: {words}");
        return None;
    }
    let law = probe["law"].as_str().unwrap_or_default().to_owned();
    Some((kind.to_owned(), words, law, output.status.code()))
}

#[test]
fn a_client_that_quotes_in_an_error_what_it_has_thrown_away_has_not_taken_it() {
    let script = "curl -s $0; echo '\"unasked_answer\" came unasked' >&2; curl -s $1";
    let Some(entry) = entry(&["--only", "16"], &["sh", "-c", script, "{url}", "{url}"]) else {
        return;
    };
    assert_eq!(entry.1, "throws it away with the connection");
}

#[test]
fn of_a_client_that_writes_no_bodies_nobody_says_which_response_it_took() {
    let curl = ["curl", "-s", "-o", "/dev/null", "-o", "/dev/null", "{url}", "{url}"];
    let Some((kind, words, ..)) = entry(&["--only", "21"], &curl) else { return };
    assert_eq!((&*kind, &*words), ("skipped", "needs bodies in the client's output"));
}

#[test]
fn a_client_that_did_not_ask_is_accused_of_nothing() {
    for only in ["8", "17", "22"] {
        let Some(entry) = entry(&["--only", only], &["false", "{url}", "{url}"]) else { return };
        let (kind, words, law, status) = entry;
        assert_eq!((&*kind, &*words, &*law), ("unread", "the client did not connect", ""));
        assert_eq!(status, Some(2));
    }
    let http2 = ["curl", "-s", "--http2-prior-knowledge", "{url}", "{url}"];
    let Some((_, words, ..)) = entry(&["--only", "22"], &http2) else { return };
    assert_eq!(words, "the client spoke no HTTP/1");
}

#[test]
fn a_client_that_does_not_come_to_an_end_is_told_from_one_that_nobody_foresaw() {
    let client = ["sh", "-c", "curl -s $0; exec sleep 60", "{url}"];
    let Some((kind, words, law, _)) = entry(&["--only", "8", "--at-most", "2s"], &client) else {
        return;
    };
    let waits = "waits: still at it when its time was over";
    assert_eq!((&*kind, &*words, &*law), ("did", waits, ""));
}

#[test]
fn a_proxy_that_the_user_has_is_no_part_of_a_probe() {
    let client = ["sh", "-c", "curl -s $0", "{url}"];
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["passport", "--only", "18", "--"])
        .args(client)
        .envs([("http_proxy", "http://127.0.0.1:9"), ("ALL_PROXY", "http://127.0.0.1:9")])
        .output()
        .unwrap();
    if output.status.code() == Some(0) {
        assert!(text(&output.stdout).contains("hands it over"), "{}", text(&output.stdout));
    } else {
        assert!(!text(&output.stdout).contains("did not connect"), "{}", text(&output.stdout));
        eprintln!("SKIPPED: {}", text(&output.stderr));
    }
}

#[test]
fn a_request_that_nobody_read_is_sent_again_and_if_it_is_a_post_the_standard_discourages_it() {
    let get = ["curl", "-s", "{url}", "{url}"];
    let post = ["curl", "-s", "-d", "x=1", "{url}", "{url}"];
    for (client, expected) in [(&get[..], "allowed"), (&post[..], "discouraged")] {
        let Some((_, words, law, _)) = entry(&["--only", "6"], client) else { return };
        assert_eq!((&*words, &*law), ("sent again on a new connection", expected));
    }
}

/// The processes that have this word among their arguments.
fn with_argument(word: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap();
    let lines = all.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let has = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|it| it == word.as_bytes());
    lines.filter(has).count()
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_ends_the_clients_too() {
    use rustix::process::{Pid, Signal, kill_process};
    let mark = format!("mark-{}", std::process::id());
    let script = "sleep 60 & wait";
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["passport", "--only", "8", "--", "sh", "-c", script, &mark, "{url}"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // The lab has it in its own command line, and so has the client.
    while with_argument(&mark) < 2 {
        if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
            eprintln!("SKIPPED: the client did not start here");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(with_argument(&mark), 0, "the client lives on");
}
