//! `lab trace` against real servers on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

/// Runs `lab trace` with `arguments`, written as on a command line.
fn trace(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("trace")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one object of `--format json`, and the exit code.
fn json(arguments: &str) -> (Value, i32) {
    let output = trace(&format!("{arguments} --format json"));
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    (value, output.status.code().unwrap())
}

/// The names of the moments of an exchange, in their order.
fn moments(exchange: &Value) -> Vec<&str> {
    let events = exchange["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// `hello`, for as long as the test runs.
fn hello() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = server::Server::bind(any, server::Answer::default()).unwrap().start();
            sender.send(server.address().socket_addr()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

/// A server that answers each connection with what `answers` has for it, and then closes it. An
/// answer goes out when the head of a request has come.
fn raw(answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4096];
            while !read.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&buffer[..n]),
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

const CLOSE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn the_second_of_two_requests_has_the_first_one_s_connection() {
    let (session, code) = json(&format!("http://localhost:{}/", hello().port()));
    assert_eq!(code, 0, "{session:#}");
    let [first, second] = &session["exchanges"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!((&first["reused"], &second["reused"]), (&false.into(), &true.into()));
    assert_eq!((&first["connection"], &second["connection"]), (&1.into(), &1.into()));
    assert!(first["phases"]["dns_us"].is_u64() && first["phases"]["connect_us"].is_u64());
    assert!(second["phases"]["dns_us"].is_null() && second["phases"]["connect_us"].is_null());
    for phase in ["request_us", "wait_us", "body_us"] {
        assert!(second["phases"][phase].is_u64(), "{phase}");
    }
    assert_eq!(moments(first)[..3], ["GetConn", "DNSStart", "DNSDone"]);
    assert_eq!(moments(second)[..2], ["GetConn", "GotConn"]);
    assert_eq!(moments(second).last(), Some(&"PutIdleConn"));
    assert_eq!(session["connection_events"][0]["event"], "ConnectionClosed");
    let reuse = &session["reuse"];
    assert!(reuse["saved_us"].as_u64().unwrap() > 0 && reuse["dns_us"].is_u64(), "{reuse:#}");
    assert!(reuse["text"].as_str().unwrap().starts_with("Reuse saved request 2 what request 1"));
}

#[test]
fn who_has_no_url_at_hand_gets_a_server() {
    let (session, code) = json("--requests 3");
    assert_eq!((code, session["exchanges"].as_array().unwrap().len()), (0, 3));
    assert!(session["exchanges"][0]["url"].as_str().unwrap().starts_with("http://localhost:"));
}

#[test]
fn people_see_moments_phases_bars_and_what_reuse_saved() {
    let report = text(&trace(&format!("http://{}/", hello())).stdout);
    for line in [
        "1  GET http://127.0.0.1:",
        "GetConn              127.0.0.1:",
        "GotConn              reused=true was_idle=true idle_time=",
        "   HTTP/1.1 200 OK on #1, 11 B read",
        "Afterwards  the client closes",
        "  CONN  NO  CONNECT  REQUEST",
        "c connect  r request  w wait  b body  . other",
        "Reuse saved request 2 what request 1 paid for its connection,",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    let too_wide = report.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_wide, None);
}

#[test]
fn a_body_that_is_dropped_says_why_reuse_saved_nothing() {
    let (session, _) = json(&format!("http://{}/ --body drop", hello()));
    let reuse = &session["reuse"];
    assert!(reuse["saved_us"].is_null(), "{reuse:#}");
    assert_eq!(
        reuse["text"],
        "Request 2 could not use the connection of request 1 (body unread, 11 B left): it paid \
         for one of its own, #2, and reuse saved nothing."
    );
}

#[test]
fn jsonl_is_an_object_a_moment_with_its_facts_beside_it() {
    let output = trace(&format!("http://{}/ --format jsonl", hello()));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_second = lines.iter().filter(|event| event["exchange"] == 2);
    let got = of_second.clone().find(|event| event["event"] == "GotConn").unwrap();
    assert_eq!((&got["reused"], &got["was_idle"]), (&true.into(), &true.into()));
    assert!(got["idle_time_us"].is_u64() && got["at_us"].is_u64());
    assert!(
        of_second.clone().all(|event| event["connection"].is_null() || event["connection"] == 1)
    );
}

#[test]
fn har_has_minus_one_for_a_phase_that_did_not_happen() {
    let output = trace(&format!("http://{}/?a=b&c --format har --header X-Lab:1", hello()));
    let har: Value = serde_json::from_slice(&output.stdout).unwrap();
    let log = &har["log"];
    assert_eq!(log["version"], "1.2");
    let [first, second] = &log["entries"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!((&first["connection"], &second["connection"]), (&"1".into(), &"1".into()));
    assert_eq!(first["timings"]["dns"], -1.0, "an IP address needs no look-up");
    assert!(first["timings"]["connect"].as_f64().unwrap() > 0.0);
    assert_eq!(second["timings"]["connect"], -1.0);
    assert_eq!(first["serverIPAddress"], "127.0.0.1");
    assert_eq!(first["request"]["queryString"][0]["name"], "a");
    assert_eq!(first["response"]["content"]["size"], 11);
    for entry in [first, second] {
        let timings = entry["timings"].as_object().unwrap();
        let of = |phase: &str| timings[phase].as_f64().unwrap();
        let phases = ["blocked", "dns", "connect", "send", "wait", "receive"];
        let sum: f64 = phases.iter().map(|phase| of(phase)).filter(|time| *time >= 0.0).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 1e-6, "{entry:#}");
    }
}

#[test]
fn a_redirect_is_shown_and_followed_only_if_asked_to() {
    let target = raw(vec![CLOSE, CLOSE]);
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{target}/there\r\nContent-Length: 0\r\n\r\n"
    );
    let location: &'static str = Box::leak(location.into_boxed_str());
    let start = raw(vec![location, location]);
    let (session, _) = json(&format!("http://{start}/ --requests 1"));
    assert_eq!(session["exchanges"].as_array().unwrap().len(), 1);
    assert_eq!(session["exchanges"][0]["status"], 302);
    let (session, code) = json(&format!("http://{start}/ --requests 1 --follow"));
    let hops = session["exchanges"].as_array().unwrap();
    assert_eq!((code, hops.len(), &hops[1]["status"]), (0, 2, &200.into()));
    assert_eq!(hops[1]["redirected_from"], 1);
    assert!(hops[1]["url"].as_str().unwrap().ends_with("/there"));
}

/// Sends back the head of each request, and a cookie.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let head = &buffer[..read];
                let interim = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=s3cret\r\n\r\n";
                let answer = format!(
                    "{interim}HTTP/1.1 200 OK\r\nSet-Cookie: b=s3cret; Path=/\r\n\
                     Location: http://alice:s3cret@localhost/\r\nContent-Length: {read}\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).unwrap();
                stream.write_all(head).unwrap();
            }
        }
    });
    address
}

#[test]
fn no_format_shows_a_secret_unless_it_is_asked_for() {
    let url = format!("http://alice:s3cret@{}/", echo());
    let fields = "--header Cookie:c=s3cret --header Proxy-Authorization:Bearer=s3cret";
    for format in ["text", "json", "jsonl", "har"] {
        let arguments = format!("{url} {fields} --format {format}");
        let output = trace(&arguments);
        let shown = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        let basic = "YWxpY2U6czNjcmV0";
        assert!(!shown.contains("s3cret") && !shown.contains(basic), "{format}: {shown}");
        for part in ["Basic [not shown]", "a=[not shown]", "c=[not shown]"] {
            assert!(shown.contains(part) || format == "har", "{format}: `{part}` in {shown}");
        }
        let output = trace(&format!("{arguments} --show-secrets"));
        let shown = text(&output.stdout);
        for part in [basic, "c=s3cret"] {
            assert!(shown.contains(part), "{format}: `{part}` in {shown}");
        }
    }
    let report = text(&trace(&url).stdout);
    assert!(report.contains("are left out: --show-secrets shows them."), "{report}");
    assert!(report.contains(", to http://localhost/"), "{report}");
}

/// `lab trace` on a machine that trusts nobody.
fn trusts_nobody(arguments: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("trace")
        .args(arguments.split_whitespace())
        .env("SSL_CERT_FILE", "/nonexistent")
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_machine_without_certificates_traces_http_all_the_same() {
    let (code, told) = trusts_nobody(&format!("http://{}/", hello()));
    assert_eq!(code, Some(0), "{told}");
    let because = "cannot read a trusted certificate from this system's store";
    let (code, told) = trusts_nobody("https://localhost:1/");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains(because), "{told}");
    let to_https = "HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\n\r\n";
    let url = format!("http://{}/", raw(vec![to_https]));
    let (code, told) = trusts_nobody(&format!("{url} -L --requests 1 --format json"));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("cannot speak TLS with `localhost`: {because}")), "{told}");
}

#[test]
fn a_file_without_an_end_is_not_read_to_it() {
    let output = trace("https://localhost/ --cacert /dev/zero");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("/dev/zero: it has more than 16 MiB"), "{message}");
}

/// A server that redirects `/from` to `/to`, with `body` after `fields`; it keeps connections.
fn redirecting(fields: &str, body: &[u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: /to\r\n{fields}\r\n\r\n");
    let redirect = [redirect.as_bytes(), body].concat();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, redirect) = (stream.unwrap(), redirect.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let is_first = buffer[..read].starts_with(b"GET /from ");
                    let end = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    // A reset is no trouble here.
                    let _ = stream.write_all(if is_first { &redirect } else { end });
                }
            });
        }
    });
    address
}

#[test]
fn a_redirect_with_more_than_2_kib_costs_its_connection_as_in_go() {
    let sized = |size: usize| (format!("Content-Length: {size}"), vec![b'x'; size]);
    let chunked = |size: usize| {
        let body =
            [format!("{size:x}\r\n").into_bytes(), vec![b'x'; size], b"\r\n0\r\n\r\n".into()];
        ("Transfer-Encoding: chunked".to_owned(), body.concat())
    };
    for ((fields, body), connection) in [
        (sized(0), 1),
        (sized(2048), 1),
        (sized(2049), 2),
        (sized(1 << 20), 2),
        (chunked(11), 1),
        (chunked(2048), 1),
        (chunked(2500), 2),
        (chunked(1 << 20), 2),
    ] {
        let size = body.len();
        let url = format!("http://{}/from", redirecting(&fields, &body));
        let (session, code) = json(&format!("{url} --requests 1 -L"));
        let hops = session["exchanges"].as_array().unwrap();
        assert_eq!((code, hops.len()), (0, 2));
        assert_eq!(hops[1]["connection"], connection, "{size}");
        let (session, _) = json(&format!("{url} --requests 1 -L --transport hyper-util"));
        assert_eq!(session["exchanges"][1]["connection"], 1, "{size}");
    }
}

#[test]
fn a_request_that_fails_ends_with_1_and_its_moments_are_shown() {
    for (answer, expected) in [
        ("", "without answering the request"),
        ("HTTP/1.1 200", "the head of the response"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "ended after 2 B of 9 B"),
        ("no http\r\n\r\n", "does not answer in HTTP/1.1"),
    ] {
        let (session, code) = json(&format!("http://{}/ --requests 1", raw(vec![answer])));
        let exchange = &session["exchanges"][0];
        let error = exchange["error"].as_str().unwrap();
        assert!(code == 1 && error.contains(expected), "{code} {error}");
        assert!(moments(exchange).contains(&"WroteRequest"), "{exchange:#}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (session, code) = json(&format!("http://{nobody}/ --requests 1"));
    assert_eq!((code, moments(&session["exchanges"][0]).last()), (1, Some(&"ConnectDone")));
    let (session, code) = json("http://name.invalid/ --requests 1");
    assert_eq!((code, moments(&session["exchanges"][0]).last()), (1, Some(&"DNSDone")));
}

/// What a time-out says of a request to `url`, up to where the time went; and its phases.
fn gives_up(arguments: &str) -> (String, Value) {
    let (session, code) = json(&format!("{arguments} --timeout 200ms --requests 1"));
    let exchange = &session["exchanges"][0];
    let error = exchange["error"].as_str().unwrap_or_else(|| panic!("{session:#}"));
    assert_eq!(code, 1);
    let doing = error.strip_prefix("gave up after 200ms (--timeout) while ").unwrap();
    let (doing, spent) = doing.split_once(": ").unwrap_or((doing, ""));
    // The last phase it tells is the one in which it hung.
    let last = spent.rsplit(", ").next().unwrap().split(' ').next().unwrap();
    (format!("{doing}, in {last}"), exchange.clone())
}

#[test]
fn a_time_out_says_what_was_going_on_and_where_the_time_went() {
    let doing = |arguments: String| gives_up(&arguments).0;
    let slow = hello();
    assert_eq!(
        doing(format!("http://{slow}/?delay=1h")),
        "waiting for the response on #1, in wait"
    );
    let (told, exchange) = gives_up(&format!("http://{slow}/?pause_before_body=1h"));
    assert_eq!(told, "reading the body, 0 B so far on #1, in body");
    assert_eq!(exchange["status"], 200, "the head had come");
    let half = silent_after("HTTP/1.1 200 OK\r\nContent-Le");
    assert_eq!(doing(format!("http://{half}/")), "reading the head of the response on #1, in body");
    let silent = silent_after("");
    let told = doing(format!("https://{silent}/ --insecure"));
    assert_eq!(told, format!("in the TLS handshake with {silent}, in TLS"));
    let never = silent_after("");
    assert_eq!(
        doing(format!("http://{never}/ --data x --expect-continue")),
        "waiting for 100 Continue on #1, in expect"
    );
    let full = full_backlog();
    let (told, exchange) = gives_up(&format!("http://{}/", full.0));
    assert_eq!(told, format!("connecting to {}, in connect", full.0));
    assert_eq!(
        moments(&exchange).last(),
        Some(&"ConnectDone"),
        "given up at the end: {exchange:#}"
    );
}

#[test]
fn a_request_that_nobody_reads_is_still_being_sent_when_it_is_given_up() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 32 << 20]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, exchange) =
        gives_up(&format!("http://{address}/ --data @{}", file.path().display()));
    assert_eq!(told, "sending the body of the request on #1, in request");
    assert!(exchange["phases"]["wait_us"].is_null());
}

/// A server that says `start` to every connection when it has heard anything, and then nothing.
fn silent_after(start: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(start.as_bytes());
            held.push(stream);
        }
    });
    address
}

/// A server whose accept queue is full, so that no further connection is answered: Linux drops
/// the SYN.
fn full_backlog() -> (SocketAddr, Vec<socket2::Socket>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut kept = vec![socket];
    for _ in 0..2 {
        let client =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address.into());
        kept.push(client);
    }
    (address, kept)
}

#[test]
fn interim_responses_are_told_in_go_s_order_with_their_fields() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (session, code) = json(&format!("http://{}/ --requests 1", raw(vec![answer])));
    let exchange = &session["exchanges"][0];
    assert_eq!((code, &exchange["status"]), (0, &200.into()));
    assert_eq!(
        moments(exchange)[6..],
        ["WroteHeaders", "WroteRequest", "GotFirstResponseByte", "Got1xxResponse", "PutIdleConn"]
    );
    let early = &exchange["events"][9];
    assert_eq!(
        (&early["code"], &early["headers"][0]),
        (&103.into(), &json_of(["link", "</a.css>"]))
    );
    let report = trace(&format!("http://{}/ --requests 1", raw(vec![answer])));
    assert!(text(&report.stdout).contains("Got1xxResponse       103 link: </a.css>"));
}

fn json_of(pair: [&str; 2]) -> Value {
    serde_json::json!(pair)
}

#[test]
fn a_body_waits_for_100_continue() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = raw(vec![answer]);
    let (session, code) =
        json(&format!("http://{server}/ --data hello --expect-continue --requests 1"));
    let exchange = &session["exchanges"][0];
    assert_eq!((code, &exchange["method"]), (0, &"POST".into()));
    let names = moments(exchange);
    let place = |name: &str| names.iter().position(|it| *it == name).unwrap();
    assert!(place("WroteHeaders") < place("Wait100Continue"));
    assert!(place("Wait100Continue") < place("Got100Continue"));
    assert!(place("Got100Continue") < place("WroteRequest"));
    assert!(exchange["phases"]["expect_us"].is_u64(), "{exchange:#}");
}

#[test]
fn a_server_that_never_says_100_gets_the_body_after_a_second_as_from_go() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"hello") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(CLOSE.as_bytes()).unwrap();
    });
    let (session, code) =
        json(&format!("http://{address}/ --data hello --expect-continue --requests 1"));
    let exchange = &session["exchanges"][0];
    assert_eq!(code, 0, "{exchange:#}");
    // The second begins when the head is put together, and the phase when it is written.
    assert!(exchange["phases"]["expect_us"].as_u64().unwrap() >= 500_000);
    assert!(!moments(exchange).contains(&"Got100Continue"));
}

#[test]
fn connect_to_dials_another_address_and_asks_for_the_host_all_the_same() {
    let server = hello();
    let (session, code) = json(&format!(
        "http://a.example:81/ --requests 1 --connect-to a.example:81:127.0.0.1:{}",
        server.port()
    ));
    let exchange = &session["exchanges"][0];
    assert_eq!((code, &exchange["server"]), (0, &server.to_string().into()));
    let host = &exchange["events"].as_array().unwrap();
    let host = host.iter().find(|event| event["event"] == "WroteHeaderField").unwrap();
    assert_eq!((&host["name"], &host["value"]), (&"host".into(), &"a.example:81".into()));
}

#[test]
fn a_circle_of_redirects_fails_at_the_eleventh_and_loses_nothing() {
    let circle = "HTTP/1.1 302 Moved Temporarily\r\nLocation: /\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let server = raw(vec![circle; 20]);
    let (session, code) =
        json(&format!("http://{server}/ http://{}/ --follow --requests 1", hello()));
    let exchanges = session["exchanges"].as_array().unwrap();
    assert_eq!((code, exchanges.len()), (1, 12), "eleven hops and the next URL");
    assert!(exchanges[10]["error"].as_str().unwrap().starts_with("more than 10 redirects, now to"));
    assert_eq!((&exchanges[10]["status"], &exchanges[11]["status"]), (&302.into(), &200.into()));
    assert_eq!(exchanges[0]["reason"], "Moved Temporarily", "the server's own words");
}

#[test]
fn a_connection_that_broke_is_told_as_a_first_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let mut buffer = [0; 4096];
        let (mut first, _) = listener.accept().unwrap();
        assert!(first.read(&mut buffer).unwrap() > 0);
        first.write_all(ok).unwrap();
        assert!(first.read(&mut buffer).unwrap() > 0); // the second request, which is never answered
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        assert!(second.read(&mut buffer).unwrap() > 0);
        second.write_all(ok).unwrap();
        assert_eq!(second.read(&mut buffer).unwrap(), 0);
    });
    let (session, code) = json(&format!("http://{address}/"));
    assert_eq!(code, 0, "{session:#}");
    let second = &session["exchanges"][1];
    assert!(second["phases"]["retry_us"].is_u64(), "{second:#}");
    let reuse = session["reuse"]["text"].as_str().unwrap();
    assert!(
        reuse.contains("took the connection of request 1, but the server had closed"),
        "{reuse}"
    );
}

#[test]
fn what_a_server_sends_cannot_paint_the_terminal() {
    let answer = "HTTP/1.1 302 f\u{9b}31m\r\nLocation: /\u{9b}31m\u{202e}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let server = raw(vec![answer]);
    let report = text(&trace(&format!("http://{server}/ --requests 1")).stdout);
    assert!(report.contains("\\u{9b}31m\\u{202e}"), "{report}");
    assert!(!report.contains(['\u{9b}', '\u{202e}']), "{report}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_shows_the_request_it_interrupts() {
    let child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["trace", "--format", "jsonl", "--requests", "1"])
        .arg(format!("http://{}/?delay=1h", hello()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    // Its moments are told while it waits.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("\"WroteRequest\"")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted by Ctrl-C after"), "{told}");
    assert!(told.contains("while waiting for the response on #1: connect"), "{told}");
}

#[test]
fn what_cannot_be_asked_for_ends_with_2() {
    for (arguments, expected) in [
        ("nonsense", "cannot fetch `nonsense`: it does not start with http:// or https://"),
        ("http://localhost/ --timeout 0s", "--timeout 0s leaves no time"),
        ("ftp://localhost/", "the scheme is neither http nor https"),
        ("file:///x", "the scheme is neither http nor https"),
        ("http://localhost:99999/", "invalid port number"),
        ("http://localhost:0/", "a number from 1 to 65535"),
        ("http://localhost:/", "a number from 1 to 65535"),
        ("http:/localhost/", "expected //"),
        ("http://localhost\\a", "backslash"),
        ("http://[local]/", "invalid IPv6 address"),
        ("http://localhost/ --connect-to ::localhost:0", "a number from 1 to 65535"),
        ("http://localhost/ --timeout 25h", "longer than a day"),
        ("http://localhost/ --header nonsense", "is not of the form NAME: VALUE"),
        ("http://localhost/ --header Content-Length:5", "would not be sent"),
        ("http://localhost/ --header transfer-encoding:chunked -d x", "would not be sent"),
        ("http://localhost/ --header Host:a --header host:b", "a request has one host"),
        ("http://localhost/ --expect-continue", "--expect-continue needs a body"),
        ("http://localhost/ --cacert /nowhere", "cannot read --cacert /nowhere"),
        ("http://localhost/ --data @/nowhere", "cannot read --data @/nowhere"),
        ("http://localhost/ --http1 --http2", "cannot be used with"),
    ] {
        let output = trace(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {message}");
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}
