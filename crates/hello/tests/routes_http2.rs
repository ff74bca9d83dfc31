//! The same routes in HTTP/2, as far as it is different there.

mod common;

use bytes::Bytes;
use common::{DEADLINE, Site, answer, bind_with_uploads};
use hello::{UploadState, Uploads};
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Http2 {
    fn connect(site: &Site) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let io = TokioIo::new(TcpStream::connect(site.address).await.unwrap());
            let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn send(&mut self, method: &str, target: &str, content_type: &str, body: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://hello{target}"))
            .header("content-type", content_type)
            .body(Full::from(body.to_owned()))
            .unwrap();
        let reply = async {
            let response = self.sender.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Reply { status: head.status.as_u16(), headers: head.headers, body }
        };
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, reply).await }).unwrap()
    }

    fn get(&mut self, target: &str) -> Reply {
        self.send("GET", target, "text/plain", "")
    }
}

#[test]
fn routes_answer_in_http_2_too() {
    let site = common::site(answer());
    let mut client = Http2::connect(&site);
    let created = client.send("POST", "/json", "application/json", "[2, 3]");
    let told: Value = serde_json::from_slice(&created.body).unwrap();
    assert_eq!((created.status, &told["understood"][1]), (201, &3.into()));
    assert_eq!(client.send("POST", "/json", "application/json", "[2,").status, 400);
    assert_eq!(client.get("/bytes/1MiB").body.len(), 1 << 20);
    assert_eq!(client.get("/chunks?count=3&size=2KiB&every=1ms").body.len(), 6144);
    assert_eq!(client.get("/status/404").status, 404);
    assert_eq!(client.send("POST", "/echo", "text/x", "there and back").body, "there and back");
    assert_eq!(site.accepted(), 1);
}

#[test]
fn what_closes_in_http_1_closes_nothing_here() {
    let site = common::site(answer());
    let mut client = Http2::connect(&site);
    let closing = client.get("/status/200?close");
    assert!(!closing.headers.contains_key("connection"));
    let too_long = client.send("POST", "/json", "application/json", &" ".repeat((1 << 20) + 1));
    assert_eq!(too_long.status, 413);
    assert_eq!(client.get("/status/200").status, 200);
    assert_eq!(site.accepted(), 1);
}

#[test]
fn a_head_has_the_length_and_not_the_body() {
    let site = common::site(answer());
    let mut client = Http2::connect(&site);
    let head = client.send("HEAD", "/bytes/64KiB", "text/plain", "");
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-length"], "65536");
    assert!(head.body.is_empty());
}

#[test]
fn early_hints_cannot_be_had_and_the_answer_says_so() {
    let site = common::site(answer());
    let reply = Http2::connect(&site).get("/early-hints?for=1ms");
    assert_eq!((reply.status, reply.headers.get_all("link").iter().count()), (200, 2));
    assert_eq!(reply.body, "no 103 Early Hints: hyper's HTTP/2 server cannot send them\n");
}

#[test]
fn an_upload_over_its_limit_is_refused_and_the_connection_lives() {
    let uploads = Uploads::default().limited_to(100_000);
    let (told, listener) = std::sync::mpsc::channel();
    let uploads = uploads.progress_told_to(move |progress| told.send(progress.state).unwrap());
    let site = Site::of(bind_with_uploads(uploads));
    let mut client = Http2::connect(&site);
    assert_eq!(client.send("POST", "/upload", "text/x", &"x".repeat(100_001)).status, 413);
    let taken = client.send("PUT", "/upload", "text/x", &"x".repeat(100_000));
    assert_eq!(taken.status, 200);
    let told: Vec<UploadState> = listener.try_iter().collect();
    assert_eq!(told.last(), Some(&UploadState::Complete));
    assert!(!told.contains(&UploadState::GivenUp), "what was announced too long was not begun");
}
