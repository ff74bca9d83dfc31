//! How far Go reads a response before anybody asks for its body, and what the kernel makes of it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{count, until, watched};
use evidence::{ExchangeId, Moment, NotPooled, Preset, TcpState, TraceEvent};
use http_body_util::{BodyExt, Full};
use peers::{ConnectionScript, PeerLeft, ScriptedServer, ServerStep, StepTime};
use transport::{Config, Transport};

/// A scripted server, and a client of Go's rules with everything it tells.
struct Site {
    server: ScriptedServer,
    client: Transport,
    events: Arc<Mutex<Vec<TraceEvent>>>,
}

impl Site {
    /// Every connection is treated as the script says.
    fn of(steps: impl IntoIterator<Item = ServerStep>) -> Self {
        let script = ConnectionScript::of(steps);
        let server = ScriptedServer::bind(([127, 0, 0, 1], 0).into(), vec![script; 10]).unwrap();
        let events = Arc::default();
        let client = watched(Config::of(Preset::Go), &events);
        Self { server, client, events }
    }

    async fn get(&self) -> http::Response<transport::Body> {
        self.client.get(&format!("http://{}/", self.server.address())).await.unwrap()
    }

    /// The reasons for which connections were not pooled; `None` where one was.
    fn put_idle(&self) -> Vec<Option<NotPooled>> {
        let events = self.events.lock().unwrap();
        let put = |event: &TraceEvent| match event.moment {
            Moment::PutIdleConn { refused } => Some(refused),
            _ => None,
        };
        events.iter().filter_map(put).collect()
    }

    fn opened(&self) -> usize {
        let is_open = |moment: &Moment| matches!(moment, Moment::ConnectDone { result: Ok(_), .. });
        count(&self.events.lock().unwrap(), is_open)
    }

    async fn until_closed(&self) {
        let is_end = |moment: &Moment| matches!(moment, Moment::ConnectionClosed { .. });
        let is_closed = || count(&self.events.lock().unwrap(), is_end) > 0;
        until(is_closed, "the connection to be closed").await;
    }

    /// How the client left its first connection, as the server saw it.
    async fn client_left(self) -> Option<PeerLeft> {
        self.until_closed().await;
        // The server reads what the client's kernel has sent by then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.server.stop().await[0].client_left
    }
}

/// A response of `size` bytes in all, head and body.
fn response_of(size: usize) -> ServerStep {
    let with = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length:06}\r\n\r\n");
    let length = size - with(0).len();
    ServerStep::Answer(with(length) + &"x".repeat(length))
}

#[tokio::test]
async fn a_body_let_go_of_is_a_fin_if_one_read_of_4096_bytes_brought_it_all_and_else_a_reset() {
    for (size, how) in [
        (4096, PeerLeft::Closed),
        // No FIN comes before the RST: the server would have read the end.
        (4097, PeerLeft::Reset),
        (16 * 1024, PeerLeft::Reset),
        (64 * 1024, PeerLeft::Reset),
        (96 * 1024, PeerLeft::Reset),
    ] {
        let site = Site::of([ServerStep::ReadHead, response_of(size), ServerStep::AwaitClose]);
        let response = site.get().await;
        // By then all of it has come to the client.
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(response);
        assert_eq!(site.client_left().await, Some(how), "{size}");
    }
}

#[tokio::test]
async fn a_body_that_comes_behind_its_head_and_is_let_go_of_ends_in_a_reset_however_small() {
    let site = Site::of([
        ServerStep::ReadHead,
        ServerStep::Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_owned()),
        ServerStep::Wait(StepTime(Duration::from_millis(30))),
        ServerStep::Answer("ok".to_owned()),
        ServerStep::AwaitClose,
    ]);
    let response = site.get().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(response);
    assert_eq!(site.client_left().await, Some(PeerLeft::Reset));
}

#[tokio::test]
async fn a_held_body_leaves_its_connection_in_close_wait_however_small_if_the_server_closes() {
    for size in [50, 4096, 20_000] {
        let site = Site::of([ServerStep::ReadHead, response_of(size), ServerStep::HalfClose]);
        let response = site.get().await;
        let ends = response.extensions().get::<transport::ConnectionInfo>().unwrap().ends;
        let state = || {
            let socket =
                socket_table::find(ends.client.socket_addr(), ends.server.socket_addr()).unwrap();
            socket.map_or(TcpState::Closed, |socket| socket.state)
        };
        until(|| state() != TcpState::Established, "the server's FIN").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(state(), TcpState::CloseWait, "{size}");
        drop(response);
    }
}

#[tokio::test]
async fn a_body_is_read_to_its_end_whatever_its_length_and_framing() {
    let chunk = "1000\r\n".to_owned() + &"y".repeat(4096) + "\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &chunk.repeat(5)
        + "0\r\nT: 1\r\n\r\n";
    for (response, length) in [
        (response_of(50), 7),
        (response_of(4096), 4053),
        (response_of(100_000), 99_957),
        (ServerStep::Answer(chunked), 5 * 4096),
    ] {
        let twice = [ServerStep::ReadHead, response.clone(), ServerStep::ReadHead, response];
        let site = Site::of(twice);
        for _ in 0..2 {
            let body = site.get().await.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes().len(), length);
        }
        assert_eq!((site.put_idle(), site.opened()), (vec![None, None], 1));
    }
}

#[tokio::test]
async fn a_connection_is_pooled_though_bytes_lie_behind_the_response_and_is_closed_for_them_then() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".repeat(2);
    for (answer, length) in [
        (two, 2),
        ("HTTP/1.1 204 No Content\r\n\r\nbody".to_owned(), 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more".to_owned(), 2),
    ] {
        let site = Site::of([ServerStep::ReadHead, ServerStep::Answer(answer)]);
        let body = site.get().await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((body.len(), site.put_idle()), (length, vec![None]));
        site.until_closed().await;
        let body = site.get().await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((body.len(), site.opened()), (length, 2), "what lay behind answers nobody");
    }
}

#[tokio::test]
async fn a_fin_right_behind_the_response_does_not_keep_its_connection_out_of_the_pool() {
    let site = Site::of([ServerStep::ReadHead, response_of(50), ServerStep::Close]);
    for number in 1..=5 {
        let response = site.get().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        response.into_body().collect().await.unwrap();
        assert_eq!(site.put_idle(), vec![None; number]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(site.opened(), 5);
}

#[tokio::test]
async fn an_answer_that_is_quicker_than_its_upload_keeps_the_connection() {
    const SIZE: usize = 4 * 1024 * 1024;
    const FIRST: usize = 64 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut content = vec![0; SIZE];
        for _ in 0..8 {
            while stream.by_ref().lines().next().unwrap().unwrap() != "" {}
            stream.read_exact(&mut content[..FIRST]).unwrap();
            let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
            stream.get_mut().write_all(answer).unwrap();
            // The answer is read by then, and the client's kernel takes no more of the request.
            std::thread::sleep(Duration::from_millis(10));
            stream.read_exact(&mut content[FIRST..]).unwrap();
        }
    });
    let events = Arc::default();
    let client = watched(Config::of(Preset::Go), &events);
    for number in 1..=8 {
        let request = http::Request::post(&url);
        let request = request.body(Full::new(Bytes::from(vec![b'u'; SIZE]))).unwrap();
        let response = client.send(ExchangeId(number), request).await.unwrap();
        assert_eq!(response.status(), 413);
        response.into_body().collect().await.unwrap();
    }
    server.join().unwrap();
    let is_refused = |moment: &Moment| matches!(moment, Moment::PutIdleConn { refused: Some(_) });
    assert_eq!(count(&events.lock().unwrap(), is_refused), 0);
}

#[tokio::test]
async fn an_answer_in_http_1_0_changes_neither_the_next_request_nor_what_is_told_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut heads = Vec::new();
        for _ in 0..2 {
            let lines = stream.by_ref().lines().map(Result::unwrap);
            heads.push(lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>());
            let head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
            stream.get_mut().write_all(head).unwrap();
        }
        heads
    });
    let client = watched(Config::of(Preset::Go), &Arc::default());
    for _ in 0..2 {
        let response = client.get(&url).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_10);
        response.into_body().collect().await.unwrap();
    }
    let heads = server.join().unwrap();
    assert_eq!(heads[0][0], "GET / HTTP/1.1");
    assert_eq!(heads[0], heads[1]);
}
