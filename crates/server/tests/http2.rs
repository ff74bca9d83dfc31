//! HTTP/2 with prior knowledge, on the port that speaks HTTP/1.1.
mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{DEADLINE, FOREVER, Site, answer, bind};
use evidence::ClosedBy;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use server::{Answer, ServerMoment};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// A client of HTTP/2 that answers pings and the like on a thread of its own.
struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Empty<Bytes>>,
}

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

type Pending = JoinHandle<hyper::Result<Reply>>;

impl Http2 {
    fn connect(site: &Site) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = site.address;
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let io = TokioIo::new(stream);
            let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn ask(&self, method: Method, target: &str) -> Pending {
        let request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://hello{target}"))
            .body(Empty::new())
            .unwrap();
        let mut sender = self.sender.clone();
        self.runtime.spawn(async move {
            let response = sender.send_request(request).await?;
            assert_eq!(response.version(), Version::HTTP_2);
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        })
    }

    fn reply(&self, pending: Pending) -> hyper::Result<Reply> {
        let in_time = async { tokio::time::timeout(DEADLINE, pending).await };
        self.runtime.block_on(in_time).expect("a reply in time").unwrap()
    }

    fn get(&self, target: &str) -> Reply {
        self.reply(self.ask(Method::GET, target)).unwrap()
    }
}

fn requests(site: &Site) -> usize {
    site.count(|moment| matches!(moment, ServerMoment::Request { .. }))
}

#[test]
fn one_port_speaks_both() {
    let site = Site::new(answer());
    let client = Http2::connect(&site);
    for _ in 0..3 {
        assert_eq!(client.get("/").body, "Hello world");
        assert_eq!(site.get("/").text(), "Hello world");
    }
    assert_eq!(site.accepted(), 4, "one for HTTP/2, three for HTTP/1.1");
}

#[test]
fn answers_are_those_of_http_1_but_for_what_http_2_does_not_have() {
    let site = Site::new(answer());
    let client = Http2::connect(&site);
    let reply = client.get("/?bytes=1MiB&pause_before_body=10ms");
    assert_eq!((reply.body.len(), reply.header("content-length")), (1 << 20, "1048576"));
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    let reply = client.get("/?bytes=100000&chunked&close");
    assert_eq!(reply.body.len(), 100_000);
    for header in ["content-length", "transfer-encoding", "connection"] {
        assert!(!reply.headers.contains_key(header), "{header}");
    }
    let head = client.reply(client.ask(Method::HEAD, "/?bytes=1MiB")).unwrap();
    assert_eq!((head.body.len(), head.header("content-length")), (0, "1048576"));
    let post = client.reply(client.ask(Method::POST, "/")).unwrap();
    assert_eq!((post.status, post.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    assert_eq!(client.get("/?bytes=many").status, StatusCode::BAD_REQUEST);
    assert_eq!(site.accepted(), 1);
    let done =
        |moment: &ServerMoment| matches!(moment, ServerMoment::ResponseDone { complete: true, .. });
    common::until("the last response", || site.count(done) == 5);
}

#[test]
fn overlapping_exchanges_are_told_apart_by_their_numbers() {
    let site = Site::new(answer());
    let client = Http2::connect(&site);
    let slow = client.ask(Method::GET, "/?delay=500ms");
    site.until_requests(1);
    let fast: Vec<Pending> = (0..7).map(|_| client.ask(Method::GET, "/")).collect();
    for pending in fast {
        assert_eq!(client.reply(pending).unwrap().body, "Hello world");
    }
    assert_eq!(client.reply(slow).unwrap().body, "Hello world");
    drop(client);
    let story = site.story();
    let asked: Vec<u64> = story
        .iter()
        .filter_map(|moment| match moment {
            ServerMoment::Request { number } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [1, 2, 3, 4, 5, 6, 7, 8]);
    let mut done: Vec<u64> = story
        .iter()
        .filter_map(|moment| match moment {
            ServerMoment::ResponseDone { number, complete: true } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(done.last(), Some(&1), "the slow one: {story:?}");
    done.sort_unstable();
    assert_eq!(done, asked);
    let ServerMoment::Closed { by: ClosedBy::Client, requests: 8, .. } = story.last().unwrap()
    else {
        panic!("{story:?}")
    };
}

#[test]
fn exchanges_cut_off_are_each_given_up_once_before_the_close() {
    let mut site = Site::new(Answer { delay: FOREVER, ..answer() });
    let client = Http2::connect(&site);
    let pending: Vec<Pending> = (0..7).map(|_| client.ask(Method::GET, "/")).collect();
    site.until_requests(7);
    assert_eq!(site.stop(Duration::from_millis(50)), 1, "one connection");
    for pending in pending {
        assert!(client.reply(pending).is_err());
    }
    let story = site.story();
    let (end, before) = story.split_last().unwrap();
    assert!(
        matches!(end, ServerMoment::Closed { by: ClosedBy::Server, requests: 7, .. }),
        "{end:?}"
    );
    let mut given_up: Vec<u64> = before[8..] // after the accept and seven requests
        .iter()
        .map(|moment| match moment {
            ServerMoment::ResponseDone { number, complete: false } => *number,
            _ => panic!("{story:?}"),
        })
        .collect();
    given_up.sort_unstable();
    assert_eq!(given_up, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_request_that_its_client_gives_up_is_given_up() {
    let site = Site::new(answer());
    let client = Http2::connect(&site);
    let pending = client.ask(Method::GET, "/?delay=1h");
    site.until_requests(1);
    pending.abort();
    let given_up = ServerMoment::ResponseDone { number: 1, complete: false };
    common::until("the end of the request", || site.count(|moment| *moment == given_up) == 1);
    assert_eq!(client.get("/").body, "Hello world", "the connection is still good");
}

#[test]
fn a_stop_finishes_the_exchanges_in_flight() {
    let mut site = Site::new(answer());
    let client = Http2::connect(&site);
    let targets = ["/?delay=200ms", "/?pause_before_body=300ms", "/?bytes=10MiB"];
    let pending: Vec<Pending> =
        targets.iter().map(|target| client.ask(Method::GET, target)).collect();
    site.until_requests(3);
    assert_eq!(site.stop(DEADLINE), 0);
    let sizes: Vec<usize> =
        pending.into_iter().map(|pending| client.reply(pending).unwrap().body.len()).collect();
    assert_eq!(sizes, [11, 11, 10 << 20]);
    assert!(client.reply(client.ask(Method::GET, "/")).is_err());
}

#[test]
fn a_stop_closes_idle_connections_at_once() {
    let mut site = Site::new(answer());
    let clients: Vec<Http2> = (0..5).map(|_| Http2::connect(&site)).collect();
    for client in &clients {
        client.get("/");
    }
    assert_eq!(site.stop(FOREVER), 0); // who waits for the grace misses the deadline
    assert_eq!(site.closed(), 5);
}

#[test]
fn a_connection_without_an_open_stream_is_closed_after_its_idle_time() {
    let limit = Duration::from_millis(200);
    let site = Site::of(bind(answer()).1.map(|server| server.idle_timeout(Some(limit))));
    let client = Http2::connect(&site);
    std::thread::sleep(limit * 2); // before its first request it is not idle
    let slow = client.ask(Method::GET, "/?delay=600ms");
    client.get("/"); // a stream that ends while another is open
    assert_eq!(client.reply(slow).unwrap().body, "Hello world");
    let start = Instant::now();
    site.until_closed(1);
    assert!(start.elapsed() >= limit - Duration::from_millis(50), "{:?}", start.elapsed());
    // The server said GOAWAY; which end then closes first is a race that the client mostly wins.
    assert!(client.reply(client.ask(Method::GET, "/")).is_err());
}

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// `GET http://…/` on stream 1, in the words of HPACK's static table.
const GET: [u8; 12] = [0, 0, 3, 1, 0x5, 0, 0, 0, 1, 0x82, 0x86, 0x84];

#[test]
fn a_preface_may_come_byte_by_byte() {
    let site = Site::new(answer());
    let mut client = site.connect();
    for byte in PREFACE.as_bytes() {
        client.send_bytes(&[*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    client.send_bytes(&SETTINGS);
    let mut frame = [0; 9];
    client.stream().read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "SETTINGS: {frame:?}");
}

#[test]
fn a_request_that_begins_like_the_preface_is_none() {
    let site = Site::new(answer());
    for (beginning, rest, status) in [
        ("P", "OST / HTTP/1.1", 405),
        ("PR", "OPFIND / HTTP/1.1", 405),
        ("PRI * HTTP/2.", "1", 400),
    ] {
        let mut client = site.connect();
        client.send(beginning);
        std::thread::sleep(Duration::from_millis(20));
        client.send(&format!("{rest}\r\nHost: hello\r\n\r\n"));
        assert_eq!(client.response().status, status, "{beginning}{rest}");
    }
}

#[test]
fn a_client_that_closes_inside_the_preface_is_let_go() {
    let site = Site::new(answer());
    for (number, beginning) in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"].iter().enumerate() {
        let mut client = site.connect();
        client.send(beginning);
        drop(client);
        site.until_closed(number + 1);
        let story = site.moments(number as u64 + 1);
        let [ServerMoment::Accepted, ServerMoment::Closed { by, requests: 0, .. }] = story[..]
        else {
            panic!("{story:?}")
        };
        assert_eq!(by, ClosedBy::Client, "{beginning:?}");
    }
}

#[test]
fn a_client_that_resets_before_its_first_byte_is_told_to_have_reset() {
    let site = Site::new(answer());
    let client = site.connect();
    common::until("the accept", || site.accepted() == 1);
    client.reset();
    let story = site.story();
    assert!(matches!(story[1], ServerMoment::Closed { by: ClosedBy::Reset, .. }), "{story:?}");
}

#[test]
fn a_stop_does_not_wait_for_the_rest_of_a_preface() {
    let mut site = Site::new(answer());
    let mut clients: Vec<_> = (0..5).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send("PRI * HTTP/2.0\r\n");
    }
    common::until("the last accept", || site.accepted() == 5);
    assert_eq!(site.stop(FOREVER), 0); // who waits for the grace misses the deadline
    assert_eq!((site.closed(), requests(&site)), (5, 0));
}

/// A client that is stopped, say, acknowledges nothing.
#[test]
fn a_client_that_does_not_answer_to_goaway_is_closed_all_the_same() {
    let limit = Duration::from_millis(100);
    let site = Site::of(bind(answer()).1.map(|server| server.idle_timeout(Some(limit))));
    let mut client = site.connect();
    client.send(PREFACE);
    client.send_bytes(&SETTINGS);
    client.send_bytes(&GET);
    let story = site.story();
    let end = story.last().unwrap();
    assert!(
        matches!(end, ServerMoment::Closed { by: ClosedBy::Server, requests: 1, .. }),
        "{end:?}"
    );
}
