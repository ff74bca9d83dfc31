//! Bodies of requests: when they count as written, and what becomes of those that are not.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{until, watched};
use evidence::{ExchangeId, FailureKind, Moment, NotPooled, Preset, TraceEvent};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::{Body, Config, Error, Transport};

const MIB: usize = 1024 * 1024;
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello";
const HELLO_CLOSE: &[u8] =
    b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nHello";

/// A client, and the socket of a server that has one connection.
struct Pair {
    client: Transport,
    url: String,
    listener: TcpListener,
    events: Arc<Mutex<Vec<TraceEvent>>>,
}

impl Pair {
    /// With a small buffer, so that the bytes on their way are fewer than those of the body.
    fn new(preset: Preset) -> Self {
        Self::with_buffer(preset, 16 * 1024)
    }

    fn with_buffer(preset: Preset, bytes: u32) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let events = Arc::default();
        Self { client: watched(Config::of(preset), &events), url, listener, events }
    }

    async fn send(&self, number: u64, bytes: usize) -> Result<Response<Body>, Error> {
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let request = Request::post(&self.url).body(body).unwrap();
        self.client.send(ExchangeId(number), request).await
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// The nth moment of this name, if it has been told.
    fn told(&self, name: &str, nth: usize) -> Option<TraceEvent> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| event.moment.name() == name).nth(nth).cloned()
    }

    async fn wait_for(&self, name: &str) -> TraceEvent {
        until(|| self.told(name, 0).is_some(), name).await;
        self.told(name, 0).unwrap()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_body(stream: &mut TcpStream, bytes: usize) {
    stream.read_exact(&mut vec![0; bytes]).await.unwrap();
}

async fn text(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_large_body_is_written_when_its_last_byte_has_met_the_socket() {
    for preset in Preset::ALL {
        let pair = Pair::new(preset);
        let server = async {
            let mut stream = pair.accept().await;
            assert!(head(&mut stream).await.contains("content-length: 16777216\r\n"));
            pair.wait_for("WroteHeaders").await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(pair.told("WroteRequest", 0), None, "nobody has read 16 MiB yet");
            // All but what the buffers on the way may hold.
            read_body(&mut stream, 4 * MIB).await;
            assert_eq!(pair.told("WroteRequest", 0), None, "nor now");
            let read_on = Instant::now();
            read_body(&mut stream, 12 * MIB).await;
            let wrote = pair.wait_for("WroteRequest").await;
            assert_eq!(wrote.moment, Moment::WroteRequest { result: Ok(()) });
            assert!(wrote.at > read_on);
            stream.write_all(HELLO).await.unwrap();
            head(&mut stream).await;
            read_body(&mut stream, 1).await;
            stream.write_all(HELLO).await.unwrap();
        };
        let client = async {
            assert_eq!(text(pair.send(1, 16 * MIB).await.unwrap()).await, "Hello");
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(text(pair.send(2, 1).await.unwrap()).await, "Hello");
        };
        tokio::join!(server, client);
        assert_eq!(pair.told("ConnectStart", 1), None, "{}: one connection", preset.name());
        let second = pair.told("WroteRequest", 1).unwrap();
        assert_eq!(second.exchange, Some(ExchangeId(2)));
    }
}

#[tokio::test]
async fn a_body_is_not_written_if_the_connection_breaks() {
    for preset in Preset::ALL {
        let pair = Pair::new(preset);
        let server = async {
            let mut stream = pair.accept().await;
            head(&mut stream).await;
            // What lies unread makes a reset of this close.
        };
        let (sent, ()) = tokio::join!(pair.send(1, 16 * MIB), server);
        assert_eq!(sent.map(drop).unwrap_err().kind(), FailureKind::Reset, "{}", preset.name());
        let wrote = pair.wait_for("WroteRequest").await;
        assert_eq!(wrote.exchange, Some(ExchangeId(1)));
        let result = Err("the server reset the connection".to_owned());
        assert_eq!(wrote.moment, Moment::WroteRequest { result });
        pair.wait_for("ConnectionClosed").await;
        assert_eq!(pair.told("WroteRequest", 1), None);
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_costs_the_connection_after_50_ms() {
    for (answer, because) in
        [(HELLO, NotPooled::ConnectionBroken), (HELLO_CLOSE, NotPooled::ServerSaidClose)]
    {
        let pair = Pair::new(Preset::Go);
        let server = async {
            let mut stream = pair.accept().await;
            head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            stream
        };
        let (response, stream) = tokio::join!(pair.send(1, 16 * MIB), server);
        assert_eq!(text(response.unwrap()).await, "Hello");
        let put = pair.wait_for("PutIdleConn").await;
        assert_eq!(put.moment, Moment::PutIdleConn { refused: Some(because) });
        let waited = put.at - pair.told("GotFirstResponseByte", 0).unwrap().at;
        let need_not_wait = because != NotPooled::ConnectionBroken;
        assert!(need_not_wait || waited >= Duration::from_millis(50), "{waited:?}");
        let result = Err("the client closed the connection".to_owned());
        let wrote = pair.wait_for("WroteRequest").await;
        assert_eq!(wrote.moment, Moment::WroteRequest { result });
        pair.wait_for("ConnectionClosed").await;
        drop(stream);
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_keeps_the_connection_if_that_is_soon() {
    let pair = Pair::with_buffer(Preset::Go, 1 << 20);
    let server = async {
        let mut stream = pair.accept().await;
        head(&mut stream).await;
        read_body(&mut stream, 8 * MIB).await;
        stream.write_all(HELLO).await.unwrap();
        pair.wait_for("GotFirstResponseByte").await;
        read_body(&mut stream, 8 * MIB).await;
        stream
    };
    let client = async { text(pair.send(1, 16 * MIB).await.unwrap()).await };
    let (answer, _stream) = tokio::join!(client, server);
    assert_eq!(answer, "Hello");
    let put = pair.wait_for("PutIdleConn").await;
    assert_eq!(put.moment, Moment::PutIdleConn { refused: None });
    let wrote = pair.wait_for("WroteRequest").await;
    assert_eq!(wrote.moment, Moment::WroteRequest { result: Ok(()) });
    assert!(pair.told("GotFirstResponseByte", 0).unwrap().at < wrote.at && wrote.at <= put.at);
}

#[tokio::test]
async fn a_request_given_up_amid_its_body_closes_the_connection_at_once() {
    let pair = Pair::new(Preset::Go);
    let server = async {
        let stream = pair.accept().await;
        pair.wait_for("WroteHeaders").await;
        stream
    };
    let _stream = tokio::select! {
        _ = pair.send(1, 16 * MIB) => panic!("nobody answers"),
        stream = server => stream,
    };
    pair.wait_for("ConnectionClosed").await;
    let result = Err("the client closed the connection".to_owned());
    assert_eq!(pair.told("WroteRequest", 0).unwrap().moment, Moment::WroteRequest { result });
}

#[tokio::test]
async fn how_a_body_is_framed_is_not_the_callers_choice() {
    for preset in Preset::ALL {
        for (method, bytes) in [(Method::POST, 0), (Method::POST, 3), (Method::GET, 0)] {
            let pair = Pair::new(preset);
            let request = Request::builder()
                .method(&method)
                .uri(&pair.url)
                .header("transfer-encoding", "chunked")
                .header("content-length", "17")
                .header("x", "y")
                .body(Full::new(Bytes::from(vec![b'x'; bytes])))
                .unwrap();
            let server = async {
                let mut stream = pair.accept().await;
                let head = head(&mut stream).await;
                read_body(&mut stream, bytes).await;
                stream.write_all(HELLO).await.unwrap();
                head
            };
            let sent = pair.client.send(ExchangeId(1), request);
            let (response, head) = tokio::join!(sent, server);
            assert_eq!(text(response.unwrap()).await, "Hello");
            let says_so = bytes > 0 || (preset != Preset::HyperUtil && method == Method::POST);
            let length = format!("content-length: {bytes}\r\n");
            assert_eq!(head.contains(&length), says_so, "{}: {head}", preset.name());
            assert!(!head.contains("chunked") && !head.contains("length: 17"), "{head}");
            if preset != Preset::HyperUtil {
                assert!(head.split("\r\n").nth(1).unwrap().starts_with("host: "), "{head}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_while_the_body_waits_for_its_word_never_gets_it() {
    for preset in [Preset::Go, Preset::Go127] {
        let pair = Pair::new(preset);
        let mut request = Request::post(&pair.url).body("data".into()).unwrap();
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let server = async {
            let mut stream = pair.accept().await;
            head(&mut stream).await;
            pair.wait_for("Wait100Continue").await;
        };
        let sent = pair.client.send(ExchangeId(1), request);
        let (sent, ()) = tokio::join!(sent, server);
        let kind = sent.map(drop).unwrap_err().kind();
        assert_eq!(kind, FailureKind::ClosedBeforeResponse, "{}", preset.name());
        let result = Err("the server closed the connection".to_owned());
        let wrote = pair.wait_for("WroteRequest").await;
        assert_eq!(wrote.moment, Moment::WroteRequest { result });
    }
}

#[tokio::test]
async fn a_request_given_up_while_its_body_waits_closes_its_connection() {
    for preset in [Preset::Go, Preset::Go127] {
        let pair = Pair::new(preset);
        let mut request = Request::post(&pair.url).body("data".into()).unwrap();
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let server = async {
            let stream = pair.accept().await;
            pair.wait_for("Wait100Continue").await;
            stream
        };
        let mut stream = tokio::select! {
            _ = pair.client.send(ExchangeId(1), request) => panic!("nobody answers"),
            stream = server => stream,
        };
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert!(read.ends_with(b"\r\n\r\n"), "{}: a head and no body", preset.name());
        pair.wait_for("ConnectionClosed").await;
    }
}
