//! Each step of a script, as a client's socket meets it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use peers::{ConnectionScript, PeerEnd, PeerLeft, PeerStory, ScriptedServer, ServerStep};
use tokio::runtime::{Builder, Runtime};

/// How long a test waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server on a thread of its own.
struct Site {
    runtime: Runtime,
    server: ScriptedServer,
}

impl Site {
    fn new(scripts: Vec<ConnectionScript>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bind = async { ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), scripts) };
        let server = runtime.block_on(bind).unwrap();
        Self { runtime, server }
    }

    /// A server that does this with every connection.
    fn of<const N: usize>(steps: [ServerStep; N]) -> Self {
        Self::new(vec![ConnectionScript::of(steps)])
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address().socket_addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Waits until there is a first connection that is so, and tells of it.
    fn until(&self, is_so: impl Fn(&PeerStory) -> bool) -> PeerStory {
        let start = Instant::now();
        loop {
            let stories = self.server.stories();
            match stories.first() {
                Some(story) if is_so(story) => return story.clone(),
                _ => {}
            }
            assert!(start.elapsed() < DEADLINE, "{stories:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn stop(self) -> Vec<PeerStory> {
        self.runtime.block_on(self.server.stop())
    }
}

fn answer(text: &str) -> ServerStep {
    ServerStep::Answer(text.to_owned())
}

fn all(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut all = String::new();
    stream.read_to_string(&mut all).map(|_| all)
}

#[test]
fn a_close_is_seen_as_the_end_of_the_stream() {
    let site = Site::of([ServerStep::ReadHead, answer(OK), ServerStep::Close]);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    assert_eq!(all(&mut client).unwrap(), OK);
    let story = site.until(|story| story.end != PeerEnd::Stopped);
    assert_eq!((story.end, story.steps_done), (PeerEnd::Closed, 3));
    assert_eq!(story.heads[0].method.as_deref(), Some("GET"));
    assert_eq!(story.heads[0].target.as_deref(), Some("/a"));
    assert_eq!(story.heads[0].bytes, REQUEST.len() as u64);
    assert_eq!(story.written_bytes, OK.len() as u64);
    assert_eq!(story.client.socket_addr(), client.local_addr().unwrap());
}

#[test]
fn a_reset_is_seen_as_a_reset() {
    let site = Site::of([ServerStep::ReadHead, ServerStep::Reset]);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    assert_eq!(all(&mut client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(site.stop()[0].end, PeerEnd::Reset);
}

#[test]
fn a_close_over_unread_bytes_is_a_reset_though_the_script_says_close() {
    let steps = [ServerStep::ReadHead, answer("go"), ServerStep::AwaitUnread, ServerStep::Close];
    let site = Site::of(steps);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    client.read_exact(&mut [0; 2]).unwrap();
    client.write_all(REQUEST).unwrap();
    assert_eq!(all(&mut client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(site.stop()[0].end, PeerEnd::Closed);
}

#[test]
fn a_step_reads_no_byte_beyond_what_it_is_for() {
    let site = Site::of([ServerStep::ReadHead, ServerStep::ReadBody(3), ServerStep::Close]);
    let mut client = site.connect();
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nHello").unwrap();
    assert_eq!(all(&mut client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let story = site.stop().remove(0);
    assert_eq!((story.end, story.read_bytes), (PeerEnd::Closed, 41));
}

#[test]
fn a_client_that_resets_is_told_from_one_that_closes() {
    let site = Site::of([answer("go"), ServerStep::AwaitClose]);
    let mut client = site.connect();
    client.read_exact(&mut [0; 1]).unwrap();
    drop(client); // over an unread byte
    let story = site.until(|story| story.client_left.is_some());
    assert_eq!((story.client_left, story.end), (Some(PeerLeft::Reset), PeerEnd::Stopped));
}

#[test]
fn a_script_that_writes_behind_its_end_is_refused() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for (steps, is_refused) in [
        ([ServerStep::HalfClose, answer("late")], true),
        ([ServerStep::HalfClose, ServerStep::Fill(1)], true),
        ([answer("early"), ServerStep::HalfClose], false),
    ] {
        let scripts = vec![ConnectionScript::of(steps)];
        let bind = async { ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), scripts) };
        let refusal = runtime.block_on(bind).err().map(|error| error.kind());
        assert_eq!(refusal, is_refused.then_some(ErrorKind::InvalidInput));
    }
}

#[test]
fn behind_what_has_two_lengths_there_is_no_further_head() {
    let site = Site::of([ServerStep::ReadHead, ServerStep::ReadHead, answer("never")]);
    let mut client = site.connect();
    client
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    client.write_all(&[b"0\r\n\r\n", REQUEST].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&mut client).unwrap(), "");
    let story = site.stop().remove(0);
    assert_eq!((story.heads.len(), story.steps_done), (1, 1));
    assert_eq!(story.end, PeerEnd::ClientWasFirst);
}

#[test]
fn after_a_half_close_the_server_still_reads() {
    let site = Site::of([answer("early"), ServerStep::HalfClose, ServerStep::ReadHead]);
    let mut client = site.connect();
    assert_eq!(all(&mut client).unwrap(), "early", "answered before anything was asked");
    client.write_all(REQUEST).unwrap();
    let story = site.until(|story| story.steps_done == 3);
    assert_eq!(story.heads.len(), 1);
}

#[test]
fn a_server_that_never_answers_keeps_the_connection_until_it_is_stopped() {
    let site = Site::of([ServerStep::ReadHead]);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    site.until(|story| story.steps_done == 1);
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let nothing = client.read(&mut [0; 9]).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert_eq!(site.stop()[0].end, PeerEnd::Stopped);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
}

#[test]
fn a_server_without_a_script_accepts_nobody_and_refuses_nobody() {
    let site = Site::new(Vec::new());
    let _client = site.connect(); // the kernel answers for it
    assert_eq!(site.stop(), []);
}

#[test]
fn a_server_that_accepts_late_lets_its_client_wait_in_the_kernel() {
    let late = ConnectionScript {
        accept_after: Some(ms(60)),
        ..ConnectionScript::of([ServerStep::ReadHead, answer(OK), ServerStep::Close])
    };
    let site = Site::new(vec![late]);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    assert_eq!(all(&mut client).unwrap(), OK);
    assert!(site.stop()[0].accepted_us >= 60_000);
}

#[test]
fn each_connection_has_its_script_and_the_last_goes_on() {
    let close = |word| ConnectionScript::of([answer(word), ServerStep::Close]);
    let site = Site::new(vec![close("one"), close("two")]);
    for expected in ["one", "two", "two"] {
        assert_eq!(all(&mut site.connect()).unwrap(), expected);
    }
}

#[test]
fn pipelined_heads_are_read_one_by_one() {
    let site =
        Site::of([ServerStep::ReadHead, answer("1"), ServerStep::ReadHead, ServerStep::Close]);
    let mut client = site.connect();
    client.write_all(&[REQUEST, b"HEAD /b HTTP/1.0\r\n\r\n"].concat()).unwrap();
    assert_eq!(all(&mut client).unwrap(), "1");
    let methods: Vec<_> = site.stop()[0].heads.iter().map(|head| head.method.clone()).collect();
    assert_eq!(methods, [Some("GET".to_owned()), Some("HEAD".to_owned())]);
}

#[test]
fn a_body_is_read_as_far_as_the_script_says() {
    let site = Site::of([
        ServerStep::ReadHead,
        ServerStep::ReadBody(7),
        ServerStep::ReadBody(99),
        ServerStep::ReadHead,
    ]);
    let mut client = site.connect();
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\nHello world").unwrap();
    client.write_all(REQUEST).unwrap();
    let story = site.until(|story| story.steps_done == 4);
    assert_eq!(story.heads[1].method.as_deref(), Some("GET"));
}

#[test]
fn whoever_waits_to_be_asked_for_a_body_is_asked() {
    let site = Site::of([ServerStep::Serve(OK.to_owned())]);
    let mut stream = site.connect();
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hi").unwrap();
    stream.write_all(REQUEST).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&mut stream).unwrap(), OK.repeat(2));
    let story = site.until(|story| story.end == PeerEnd::ClientWasFirst);
    assert_eq!(
        story.heads.iter().map(|head| head.expects_continue).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn what_is_no_http_is_a_head_without_a_method() {
    let site = Site::of([ServerStep::ReadHead, ServerStep::Close]);
    let mut client = site.connect();
    client.write_all(b"\x16\x03\x01\r\n\r\n").unwrap();
    assert_eq!(all(&mut client).unwrap(), "");
    assert_eq!(site.stop()[0].heads[0].method, None);
}

#[test]
fn a_client_that_leaves_first_ends_its_script() {
    let site = Site::of([ServerStep::ReadHead, answer(OK)]);
    drop(site.connect());
    let story = site.until(|story| story.client_left.is_some());
    assert_eq!((story.client_left, story.end), (Some(PeerLeft::Closed), PeerEnd::ClientWasFirst));
    assert_eq!(story.steps_done, 0);
}

#[test]
fn a_server_may_wait_for_its_client_to_close_first() {
    let site =
        Site::of([ServerStep::ReadHead, answer(OK), ServerStep::AwaitClose, ServerStep::Close]);
    let mut client = site.connect();
    client.write_all(REQUEST).unwrap();
    client.read_exact(&mut [0; OK.len()]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&mut client).unwrap(), "");
    let story = site.stop().remove(0);
    assert_eq!((story.client_left, story.end), (Some(PeerLeft::Closed), PeerEnd::Closed));
}

#[test]
fn filler_is_as_long_as_asked_for() {
    let site = Site::of([ServerStep::Fill(100_003), ServerStep::Close]);
    assert_eq!(all(&mut site.connect()).unwrap().len(), 100_003);
}

fn ms(time: u64) -> peers::StepTime {
    peers::StepTime(Duration::from_millis(time))
}
