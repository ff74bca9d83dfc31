//! The order of moments in `orders/*.txt`, played against a server of plain TCP.
//!
//! A line is a moment and the facts that matter to its order; under `exchange` those of an exchange,
//! under `connection` a connection's own. `+` stands before what a Go program would not be told.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{count, until, watched};
use evidence::{ExchangeId, Moment, NotPooled, Observed, Preset, TraceEvent};
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::{Config, Limits, Transport};

/// What the server does on a connection, one after the other.
#[derive(Clone, Copy)]
enum Step {
    /// Reads to the end of a head.
    Head,
    /// Reads so many bytes of a body.
    Body(usize),
    /// Lets so much time pass.
    Pause(Duration),
    Send(&'static str),
    /// Closes; without it the connection is held until the client closes it.
    Close,
}
use Step::{Body, Close, Head, Pause, Send};

const HELLO: Step = Send("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello world");
const HELLO_CLOSE: Step =
    Send("HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nHello world");
const HELLO_1_0: Step = Send("HTTP/1.0 200 OK\r\ncontent-length: 11\r\n\r\nHello world");
const NO_LENGTH: Step = Send("HTTP/1.1 200 OK\r\n\r\nHello world");
const CLOSE_HELLO: Step =
    Send("HTTP/1.1 417 Not Today\r\ncontent-length: 11\r\nconnection: close\r\n\r\nHello world");
const CLOSE_HEAD: Step =
    Send("HTTP/1.1 417 Not Today\r\ncontent-length: 11\r\nconnection: close\r\n\r\n");
const HINTS: Step = Send("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n");
const CONTINUE: Step = Send("HTTP/1.1 100 Continue\r\n\r\n");
/// Long enough for the client to have acted on what it read before.
const BREATH: Step = Pause(Duration::from_millis(20));

/// A client, and a server that plays `scripts`, one for each connection.
struct Scene {
    client: Transport,
    url: String,
    events: Arc<Mutex<Vec<TraceEvent>>>,
    /// What the server read in each step, over all connections.
    read: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scene {
    async fn new(config: Config, scripts: &'static [&'static [Step]]) -> Self {
        Self::at("127.0.0.1", config, scripts).await
    }

    /// At the first address of `host`, so that one dial is enough.
    async fn at(host: &str, config: Config, scripts: &'static [&'static [Step]]) -> Self {
        let address = tokio::net::lookup_host((host, 0)).await.unwrap().next().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{host}:{}/", listener.local_addr().unwrap().port());
        let read: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let reads = Arc::clone(&read);
        tokio::spawn(async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(play(stream, script, Arc::clone(&reads)));
            }
            std::future::pending::<()>().await;
        });
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        Self { client: watched(config, &events), url, events, read }
    }

    async fn get(&self, number: u64) {
        let response = self.client.get_as(ExchangeId(number), &self.url).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello world");
    }

    /// Sends a body of four bytes.
    async fn post(&self, expect: bool) {
        let mut request = Request::post(&self.url).body("data".into()).unwrap();
        if expect {
            request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        }
        let response = self.client.send(ExchangeId(1), request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello world");
    }

    /// Waits for the end of the first connection, which was not pooled for this reason.
    async fn why_is(&self, refused: NotPooled) {
        let closed = |m: &Moment| matches!(m, Moment::ConnectionClosed { .. });
        until(|| count(&self.events.lock().unwrap(), closed) == 1, "the close").await;
        let told = lines(&self.events.lock().unwrap());
        let has = |line: &str| told.iter().any(|told| told == line);
        assert!(has(&format!("+ PutIdleConn {refused}")), "{told:?}");
        let by = |who| format!("+ ConnectionClosed by {who}: {refused}");
        assert!(has(&by("client")) || has(&by("server")), "{told:?}");
    }

    /// Closes what is still open, and compares the moments with those of the file.
    async fn order_is(self, name: &str) {
        let of = |is: fn(&Moment) -> bool| count(&self.events.lock().unwrap(), is);
        let opened = || of(|m| matches!(m, Moment::ConnectDone { result: Ok(_), .. }));
        let closed = || of(|m| matches!(m, Moment::ConnectionClosed { .. }));
        // hyper-util's client gives a connection back a moment after the end of its body.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.client.close();
        until(|| closed() == opened(), "connections to be closed").await;
        let path = format!("{}/tests/orders/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read_to_string(path).unwrap();
        let expected: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
        let told = lines(&self.events.lock().unwrap());
        assert_eq!(told, expected, "{name}\n{}", told.join("\n"));
    }
}

async fn play(mut stream: TcpStream, script: &'static [Step], reads: Arc<Mutex<Vec<Vec<u8>>>>) {
    for step in script {
        let mut read = Vec::new();
        match step {
            Head => {
                while !read.ends_with(b"\r\n\r\n") {
                    read.push(stream.read_u8().await.unwrap());
                }
            }
            Body(bytes) => {
                read.resize(*bytes, 0);
                stream.read_exact(&mut read).await.unwrap();
            }
            Pause(time) => tokio::time::sleep(*time).await,
            Send(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Close => return,
        }
        reads.lock().unwrap().push(read);
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    reads.lock().unwrap().push(rest);
}

/// What the file has: every exchange's moments, then every connection's own.
fn lines(events: &[TraceEvent]) -> Vec<String> {
    let mut parts: BTreeMap<(bool, u64), Vec<&TraceEvent>> = BTreeMap::new();
    for event in events {
        let part = match (event.exchange, event.connection) {
            (Some(exchange), _) => (false, exchange.0),
            (None, connection) => (true, connection.unwrap().0),
        };
        parts.entry(part).or_default().push(event);
    }
    let mut lines = Vec::new();
    for ((of_connection, number), mut events) in parts {
        lines.push(if of_connection {
            format!("connection #{number}")
        } else {
            format!("exchange {number}")
        });
        events.sort_by_key(|event| event.at);
        lines.extend(events.iter().map(|event| line(&event.moment)));
    }
    lines
}

fn line(moment: &Moment) -> String {
    let facts = match moment {
        Moment::GotConn { reused, was_idle, .. } => {
            let was_idle = was_idle.known().map_or("?".into(), |was_idle| was_idle.to_string());
            format!("reused={reused} was_idle={was_idle}")
        }
        Moment::WroteHeaderField { name, .. } => name.clone(),
        Moment::WroteRequest { result: Err(cause) } => cause.clone(),
        Moment::Got1xxResponse { code, headers } => {
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            format!("{code} {}", names.join(" "))
        }
        Moment::PutIdleConn { refused } => {
            refused.map_or("ok".into(), |refused| refused.to_string())
        }
        Moment::ConnectionClosed { by, why, .. } => {
            let why = match why {
                Observed::Known(why) => why.to_string(),
                Observed::NotObservable => "why is not observable".into(),
            };
            format!("by {}: {why}", by.name())
        }
        _ => String::new(),
    };
    let mark = if go_tells(moment) { " " } else { "+" };
    format!("{mark} {} {facts}", moment.name()).trim_end().to_owned()
}

fn go_tells(moment: &Moment) -> bool {
    match moment {
        Moment::ConnectionClosed { .. } | Moment::WaitedForSlot { .. } => false,
        Moment::PutIdleConn { refused: Some(refused) } => refused.go_tells(),
        _ => true,
    }
}

fn go() -> Config {
    Config::of(Preset::Go)
}

fn limited(limits: Limits) -> Config {
    Config { limits, ..go() }
}

#[tokio::test]
async fn a_request_on_a_new_connection_and_one_on_the_same() {
    let scene = Scene::new(go(), &[&[Head, HELLO, Head, HELLO]]).await;
    scene.get(1).await;
    scene.get(2).await;
    scene.order_is("get").await;
}

#[tokio::test]
async fn a_name_that_is_looked_up() {
    let scene = Scene::at("localhost", go(), &[&[Head, HELLO]]).await;
    scene.get(1).await;
    scene.order_is("name_look_up").await;
}

#[tokio::test]
async fn interim_responses_that_nobody_asked_for() {
    let scene = Scene::new(go(), &[&[Head, HINTS, BREATH, CONTINUE, BREATH, HELLO]]).await;
    scene.get(1).await;
    scene.order_is("early_hints").await;
}

#[tokio::test]
async fn a_body_that_waits_for_100_continue() {
    let script: &[&[Step]] = &[&[Head, HINTS, BREATH, CONTINUE, Body(4), HELLO]];
    // Only the server's word lets the body go.
    let config = Config { expect_continue_timeout: Duration::MAX, ..go() };
    let scene = Scene::new(config, script).await;
    scene.post(true).await;
    assert_eq!(scene.read.lock().unwrap()[4], b"data");
    scene.order_is("expect_continue").await;
}

#[tokio::test]
async fn a_body_of_hyper_utils_client_does_not_wait_for_100_continue() {
    // The server says its word only once it has the body, so whoever waited would wait for ever.
    let script: &[&[Step]] = &[&[Head, Body(4), HINTS, BREATH, CONTINUE, BREATH, HELLO]];
    let expect_continue_timeout = Duration::MAX;
    let config = Config { expect_continue_timeout, ..Config::of(Preset::HyperUtil) };
    let scene = Scene::new(config, script).await;
    scene.post(true).await;
    scene.order_is("hyper_util_expect_continue").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_two_threads() {
    let config = Config { expect_continue_timeout: Duration::MAX, ..go() };
    for _ in 0..7 {
        let script: &[&[Step]] = &[&[Head, HINTS, CONTINUE, Body(4), HELLO]];
        let scene = Scene::new(config, script).await;
        scene.post(true).await;
        scene.order_is("expect_continue").await;
    }
    for _ in 0..7 {
        let scene = Scene::new(config, &[&[Head, HELLO, Body(4), Head, HELLO]]).await;
        scene.post(true).await;
        scene.get(2).await;
        scene.order_is("expect_final_status").await;
    }
}

#[tokio::test]
async fn a_body_that_waits_in_vain() {
    for preset in [Preset::Go, Preset::Go127] {
        let limit = Duration::from_millis(50);
        let config = Config { expect_continue_timeout: limit, ..Config::of(preset) };
        let scene = Scene::new(config, &[&[Head, Body(4), HELLO]]).await;
        scene.post(true).await;
        let events = scene.events.lock().unwrap().clone();
        let at = |name| events.iter().find(|e| e.moment.name() == name).unwrap().at;
        // A lower bound only: how late a timer fires is the machine's business.
        let waited = at("WroteRequest") - at("Wait100Continue");
        assert!(waited >= limit - Duration::from_millis(5), "{waited:?}");
        scene.order_is("expect_silence").await;
    }
}

#[tokio::test]
async fn a_final_status_instead_of_100_continue_on_a_connection_that_persists() {
    let config = Config { expect_continue_timeout: Duration::MAX, ..go() };
    let scene = Scene::new(config, &[&[Head, HELLO, Body(4), Head, HELLO]]).await;
    scene.post(true).await;
    scene.get(2).await;
    scene.order_is("expect_final_status").await;
}

#[tokio::test]
async fn a_final_status_instead_of_100_continue_on_a_connection_that_does_not() {
    let config = Config { expect_continue_timeout: Duration::MAX, ..go() };
    // The response can be read although the request is not written to its end.
    let script: &[&[Step]] = &[&[Head, CLOSE_HEAD, BREATH, Send("Hello "), BREATH, Send("world")]];
    let scene = Scene::new(config, script).await;
    let read = Arc::clone(&scene.read);
    scene.post(true).await;
    scene.order_is("expect_final_status_and_close").await;
    until(|| read.lock().unwrap().len() == 7, "the client's close").await;
    assert_eq!(read.lock().unwrap()[6], b"", "not a byte of the body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_right_behind_that_status_changes_nothing() {
    let config = Config { expect_continue_timeout: Duration::MAX, ..go() };
    for _ in 0..23 {
        let script: &[&[Step]] = &[&[Head, CLOSE_HELLO, Close]];
        let scene = Scene::new(config, script).await;
        scene.post(true).await;
        let events = Arc::clone(&scene.events);
        let closed = |m: &Moment| matches!(m, Moment::ConnectionClosed { .. });
        until(|| count(&events.lock().unwrap(), closed) == 1, "the close").await;
        let wrote: Vec<Moment> = events.lock().unwrap().iter().map(|e| e.moment.clone()).collect();
        let wrote: Vec<&Moment> = wrote.iter().filter(|m| m.name() == "WroteRequest").collect();
        assert_eq!(wrote, [&Moment::WroteRequest { result: Ok(()) }]);
    }
}

#[tokio::test]
async fn a_client_that_says_close_says_so_of_its_connection() {
    let scripts: [&'static [&'static [Step]]; 3] =
        [&[&[Head, HELLO]], &[&[Head, HELLO, Close]], &[&[Head, HELLO_CLOSE, Close]]];
    for script in scripts {
        let scene = Scene::new(go(), script).await;
        let request = Request::get(&scene.url).header("connection", "close");
        let request = request.body(http_body_util::Full::default()).unwrap();
        let response = scene.client.send(ExchangeId(1), request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello world");
        scene.why_is(NotPooled::ClientSaidClose).await;
    }
}

#[tokio::test]
async fn a_connection_that_cannot_persist_is_told_by_its_own_reason() {
    let scripts: [(&'static [&'static [Step]], NotPooled); 4] = [
        (&[&[Head, HELLO_1_0]], NotPooled::Http10),
        (&[&[Head, HELLO_1_0, Close]], NotPooled::Http10),
        (&[&[Head, NO_LENGTH, BREATH, Close]], NotPooled::BodyEndsWithConnection),
        (&[&[Head, NO_LENGTH, Close]], NotPooled::BodyEndsWithConnection),
    ];
    for (script, why) in scripts {
        let scene = Scene::new(go(), script).await;
        scene.get(1).await;
        scene.why_is(why).await;
    }
}

#[tokio::test]
async fn a_connection_that_changes_its_protocol_is_told_to_do_so() {
    let upgrade: &[&[Step]] =
        &[&[Head, Send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")]];
    let tunnel: &[&[Step]] = &[&[Head, Send("HTTP/1.1 200 OK\r\n\r\n")]];
    for (method, script) in [("GET", upgrade), ("CONNECT", tunnel)] {
        let scene = Scene::new(go(), script).await;
        let request = Request::builder().method(method).uri(&scene.url);
        let request = request.body(http_body_util::Full::default()).unwrap();
        drop(scene.client.send(ExchangeId(1), request).await.unwrap());
        scene.why_is(NotPooled::ProtocolSwitched).await;
    }
}

#[tokio::test]
async fn a_request_with_a_body() {
    let scene = Scene::new(go(), &[&[Head, Body(4), HELLO]]).await;
    scene.post(false).await;
    scene.order_is("post").await;
}

#[tokio::test]
async fn keep_alives_that_are_disabled() {
    let config = limited(Limits { keep_alives: false, ..Limits::GO });
    let scene = Scene::new(config, &[&[Head, HELLO]]).await;
    scene.get(1).await;
    scene.order_is("keep_alives_disabled").await;
}

#[tokio::test]
async fn a_server_that_says_close() {
    let scene = Scene::new(go(), &[&[Head, HELLO_CLOSE]]).await;
    scene.get(1).await;
    scene.order_is("server_says_close").await;
}

#[tokio::test]
async fn a_body_that_is_let_go_of() {
    for (preset, name) in [(Preset::Go, "body_dropped"), (Preset::Go127, "body_dropped_go1.27")] {
        let scene = Scene::new(Config::of(preset), &[&[Head, HELLO]]).await;
        drop(scene.client.get(&scene.url).await.unwrap());
        let put = |m: &Moment| matches!(m, Moment::PutIdleConn { .. });
        until(|| count(&scene.events.lock().unwrap(), put) == 1, "the connection's fate").await;
        scene.order_is(name).await;
    }
}

#[tokio::test]
async fn a_place_that_is_waited_for() {
    let config = limited(Limits { max_conns_per_host: Some(1), ..Limits::GO });
    let scene = Scene::new(config, &[&[Head, BREATH, HELLO, Head, HELLO]]).await;
    tokio::join!(scene.get(1), scene.get(2));
    let events = scene.events.lock().unwrap().clone();
    let waited = events.iter().find_map(|event| match event.moment {
        Moment::WaitedForSlot { waited } => Some(waited),
        _ => None,
    });
    assert!(waited.unwrap() >= Duration::from_millis(15), "{waited:?}");
    scene.order_is("slot_waited_for").await;

    let script: &[&[Step]] = &[&[Head, HELLO_CLOSE], &[Head, HELLO_CLOSE]];
    let scene = Scene::new(config, script).await;
    tokio::join!(scene.get(1), scene.get(2));
    scene.order_is("slot_and_dial_waited_for").await;
}

#[tokio::test]
async fn a_pooled_connection_that_turns_out_to_be_closed() {
    let script: &[&[Step]] = &[&[Head, HELLO, Head, Close], &[Head, HELLO]];
    let scene = Scene::new(go(), script).await;
    scene.get(1).await;
    scene.get(2).await;
    scene.order_is("silent_retry").await;
}

#[tokio::test]
async fn hyper_utils_client_tells_what_can_be_seen() {
    let scene = Scene::new(Config::of(Preset::HyperUtil), &[&[Head, HELLO, Head, HELLO]]).await;
    scene.get(1).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    scene.get(2).await;
    scene.order_is("hyper_util_get").await;
}
