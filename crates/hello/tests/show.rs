//! What the program shows, as it is read: over real connections, from a real pipe.

mod common;
#[path = "common/program.rs"]
mod program;

use program::Hello;

/// What a line says beyond its time, ports and what the kernel says at which time.
fn step(line: &str) -> Option<&str> {
    let step = line.get(11..)?;
    (line.as_bytes()[6] == b'.').then(|| step.split(" (").next().unwrap())
}

#[test]
fn the_life_of_a_connection_is_told_step_by_step() {
    let mut hello = Hello::start(&["--show", "connections"]);
    let mut client = hello.connect();
    client.get("/");
    client.get("/?close");
    client.sees_the_close().unwrap();
    let lines = hello.lines_until(|line| line.contains("-> Closed"));
    let steps: Vec<&str> = lines.iter().filter_map(|line| step(line)).collect();
    let told = steps.join("\n").replace(&client.stream().local_addr().unwrap().to_string(), "PEER");
    insta::assert_snapshot!(told, @r"
    #1                    accepted from PEER
    #1   -> New           no byte has come yet
    #1   New -> Active    a request comes
    #1                    request 1: GET / HTTP/1.1, head 31 bytes
    #1                    request 1: answer begun
    #1                    response 1: decided, 200 OK
    #1                    response 1: handed over whole
    #1                    response 1: head written, 117 bytes
    #1                    response 1: written, 117 + 11 = 128 bytes
    #1   Active -> Idle   waits for the next request
    #1   Idle -> Active   a request comes
    #1                    request 2: GET /?close HTTP/1.1, head 37 bytes
    #1                    request 2: answer begun
    #1                    response 2: decided, 200 OK
    #1                    response 2: handed over whole
    #1                    response 2: head written, 136 bytes
    #1                    response 2: written, 136 + 11 = 147 bytes
    #1   Active -> Closed closed, the server first
    ");
    let states: Vec<&String> = lines[1..].iter().filter(|line| line.contains("(TCP ")).collect();
    assert_eq!(states.len(), 4, "one for each change of state but the close");
    assert!(states.iter().all(|line| line.ends_with("(TCP ESTABLISHED)")), "{states:#?}");
    let narrow = lines.iter().all(|line| line.chars().count() <= 100);
    assert!(narrow, "{lines:#?}");
}

#[test]
fn the_lengths_are_those_on_the_wire_and_add_up() {
    let mut hello = Hello::start(&["--show", "connections,bytes", "--format", "jsonl"]);
    let mut client = hello.connect();
    client.send(
        "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\
         User-Agent: curl/7.68.0\r\nAccept: */*\r\n\r\n",
    );
    client.response();
    client.ask("GET", "/?bytes=23&chunked");
    client.response();
    drop(client);
    let objects = hello.objects_until("closed");
    let of = |event: &str| objects.iter().filter(|o| o["event"] == event).collect::<Vec<_>>();
    let requests = of("request");
    let parts: Vec<u64> = requests[0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(parts, [21, 22, 25, 13, 2]);
    assert_eq!(requests[0]["head_bytes"], 83);
    let written = of("response_written");
    assert_eq!(written[0]["body_bytes"], 11);
    // Two digits of hexadecimal, 23 bytes, an empty last chunk, and four line ends.
    assert_eq!(written[1]["body_bytes"], 2 + 23 + 1 + 4 * 2);
    assert_eq!(written[1]["body_content_bytes"], 23);
    let sum = |objects: &[&serde_json::Value]| {
        let bytes = |o: &serde_json::Value| {
            o["head_bytes"].as_u64().unwrap() + o["body_bytes"].as_u64().unwrap_or(0)
        };
        objects.iter().map(|o| bytes(o)).sum::<u64>()
    };
    let closed = objects.last().unwrap();
    assert_eq!(closed["received_bytes"], sum(&requests));
    assert_eq!(closed["sent_bytes"], sum(&written));
    assert_eq!(closed["by"], "client");
}

#[test]
fn a_client_cannot_paint_the_terminal() {
    let mut hello = Hello::start(&["--show", "connections,bytes"]);
    let mut client = hello.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: \u{9b}31mred\r\n\r\n");
    client.response();
    drop(client);
    let lines = hello.lines_until(|line| line.contains("-> Closed"));
    let is_plain = |line: &String| !line.chars().any(char::is_control);
    assert!(lines.iter().all(is_plain), "{lines:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_upload_is_told_while_it_comes() {
    let mut hello = Hello::start(&["--show", "connections", "--format", "jsonl"]);
    let mut client = hello.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: hello\r\nContent-Length: 200000\r\n\r\n");
    client.send(&"x".repeat(100_000));
    let begun = hello.objects_until("upload").pop().unwrap();
    assert_eq!(
        (&begun["state"], &begun["announced_bytes"]),
        (&"receiving".into(), &200_000.into())
    );
    client.send(&"x".repeat(100_000));
    let told = hello.objects_until("response_written");
    let last = told.iter().rfind(|object| object["event"] == "upload").unwrap();
    assert_eq!((&last["state"], &last["received_bytes"]), (&"complete".into(), &200_000.into()));
}

#[test]
fn what_is_no_request_is_answered_as_the_first() {
    let mut hello = Hello::start(&["--show", "connections"]);
    let mut client = hello.connect();
    client.send("GARBAGE\r\n\r\n");
    let lines = hello.lines_until(|line| line.contains("head written"));
    assert!(lines.last().unwrap().contains("response 1: head written"), "{lines:#?}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_stopped_reading_does_not_hold_up_the_end() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut hello = Hello::start(&["--show", "connections,bytes"]);
    let mut client = hello.connect();
    for _ in 0..300 {
        client.get("/"); // far more than a pipe holds
    }
    let pid = Pid::from_raw(i32::try_from(hello.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    common::until("the end of the program", || hello.child.try_wait().unwrap().is_some());
}

#[test]
fn the_start_is_told_as_it_was_measured() {
    let mut hello = Hello::start(&["--show", "startup", "--format", "jsonl"]);
    let wanted = "\"phase\":\"memory\"";
    let lines = hello.lines_until(|line| line.contains(wanted));
    let objects: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let phases: Vec<&str> = objects.iter().map(|o| o["phase"].as_str().unwrap()).collect();
    assert_eq!(
        phases,
        [
            "process", "main", "runtime", "socket", "options", "bind", "listen", "backlog",
            "ready", "memory"
        ]
    );
    let times: Vec<u64> = objects.iter().filter_map(|o| o["at_us"].as_u64()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let of = |phase: &str| objects.iter().find(|o| o["phase"] == phase).unwrap();
    let (asked, most) = (&of("listen")["asked_backlog"], &of("listen")["somaxconn"]);
    let granted = asked.as_u64().unwrap().min(most.as_u64().unwrap());
    assert_eq!(of("backlog")["backlog"], granted, "the kernel's own word");
    assert_eq!(of("options")["so_reuseaddr"], true);
    assert_eq!(of("ready")["url"], format!("http://{}", hello.address));
}

#[test]
fn an_access_log_has_a_line_for_each_exchange() {
    let mut hello = Hello::start(&["--log", "combined"]);
    let mut client = hello.connect();
    client.get("/a?b");
    client.ask("HEAD", "/");
    client.head();
    let lines = hello.lines_until(|line| line.contains("HEAD"));
    let without_time: Vec<String> = lines
        .iter()
        .map(|line| {
            let (before, rest) = line.split_once('[').unwrap();
            format!("{before}[]{}", rest.split_once(']').unwrap().1)
        })
        .collect();
    assert_eq!(
        without_time,
        [
            r#"127.0.0.1 - - [] "GET /a?b HTTP/1.1" 200 11 "-" "-""#,
            r#"127.0.0.1 - - [] "HEAD / HTTP/1.1" 200 - "-" "-""#,
        ]
    );
}

#[test]
fn a_reader_that_has_gone_does_not_stop_the_server() {
    let mut hello = Hello::start(&["--show", "connections", "--log", "json"]);
    drop(hello.shown.take());
    for _ in 0..23 {
        assert_eq!(hello.connect().get("/").text(), "Hello world");
    }
}

#[test]
fn the_counts_are_right_after_a_known_load() {
    let hello = Hello::start(&["--metrics"]);
    for _ in 0..7 {
        let mut client = hello.connect();
        client.get("/");
        client.get("/?bytes=many");
    }
    let mut client = hello.connect();
    for _ in 0..23 {
        client.get("/");
    }
    let text = || String::from_utf8(hello.connect().get("/metrics").body).unwrap();
    common::until("seven closes", || text().contains("hello_connections_open 2\n"));
    let text = text();
    let count = |status: u16| {
        format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"GET\",\
             http_response_status_code=\"{status}\",network_protocol_version=\"1.1\",url_scheme=\"http\"}} "
        )
    };
    let value = |start: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start} in {text}")).parse().unwrap()
    };
    assert_eq!(value(&count(400)), 7);
    let fetched = value("hello_connections_accepted_total ") - 8; // for the counts themselves
    assert_eq!(value(&count(200)), 7 + 23 + fetched - 1);
    assert_eq!(value("hello_connections_idle "), 1);
    assert_eq!(
        value("http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} "),
        1
    );
    assert!(text.ends_with("# EOF\n"));
}

/// As everywhere: HEAD is GET without the body (RFC 9110 section 9.3.2).
#[test]
fn the_counts_are_answered_to_head_too() {
    let hello = Hello::start(&["--metrics"]);
    let mut client = hello.connect();
    client.ask("HEAD", "/metrics");
    let head = client.head();
    assert_eq!(head.status, 200);
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 100);
    assert_eq!(client.get("/").text(), "Hello world", "there was no body");
    client.ask("POST", "/metrics");
    let refused = client.response();
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}
