//! Clients that are none: they send what no client of HTTP would, and read as they please.
//!
//! Nobody traces them. What they see is what meets their sockets, and they are not among the run's
//! connections.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use evidence::{ClientAddr, ServerAddr};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use wire::http1::{AnsweredMethod, Direction, MessagePart, MessageSplitter};

/// The event that a client that is none waits for, before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawWait {
    /// Nothing, and it never reads.
    Nothing,
    /// A whole response.
    Answer,
    /// The end of the connection.
    Close,
}

/// The order for clients that are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOrder {
    /// How many of them, side by side.
    pub times: usize,
    /// The bytes that each of them sends when it is connected.
    pub send: Bytes,
    /// The event that it then waits for. After that it stays as it is, until the run is over.
    pub wait: RawWait,
    /// How long it waits at most.
    pub at_most: Duration,
}

/// One of them.
#[derive(Debug)]
pub struct RawClient {
    /// Its address.
    pub address: ClientAddr,
    /// Closed as soon as the server has closed its side: nobody waits for more.
    stream: Option<TcpStream>,
    responses: MessageSplitter,
    /// The methods that are not answered yet, as far as what was sent is HTTP.
    methods: VecDeque<AnsweredMethod>,
    /// The status code of the first response, and whether that is whole.
    status: Option<u16>,
    is_answered: bool,
    ended: Option<RawEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RawEnd {
    Closed,
    Reset,
}

/// The sights of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawSeen {
    /// How many there are.
    pub connections: usize,
    /// The status code of the first response of each that got one.
    pub statuses: Vec<u16>,
    /// How many were closed by the server.
    pub closed: usize,
    /// How many were reset by it.
    pub reset: usize,
}

impl RawSeen {
    /// Looks at each of them once more: an end that nobody waited for is seen if nothing unread
    /// lies before it.
    #[must_use]
    pub fn of(clients: &mut [RawClient]) -> Self {
        let mut seen = Self { connections: clients.len(), ..Self::default() };
        for client in clients {
            client.look();
            seen.statuses.extend(client.status);
            match client.ended {
                Some(RawEnd::Closed) => seen.closed += 1,
                Some(RawEnd::Reset) => seen.reset += 1,
                None => {}
            }
        }
        seen
    }
}

/// Lets as many clients as are asked for do what they are asked for.
///
/// # Errors
/// If one of them cannot connect.
pub async fn carry_out(ask: &RawOrder, server: ServerAddr) -> io::Result<Vec<RawClient>> {
    try_join_all((0..ask.times).map(|_| RawClient::start(ask, server))).await
}

impl RawClient {
    async fn start(ask: &RawOrder, server: ServerAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server.socket_addr()).await?;
        let address = ClientAddr::new(stream.local_addr()?);
        let deadline = Instant::now() + ask.at_most;
        // A server that does not read, or that has closed already, is seen below.
        let _ = timeout_at(deadline, stream.write_all(&ask.send)).await;
        let mut client = Self {
            address,
            stream: Some(stream),
            responses: MessageSplitter::new(Direction::Responses),
            methods: methods_in(&ask.send),
            status: None,
            is_answered: false,
            ended: None,
        };
        // Whether it came to what it waits for is for what was seen to say.
        let _ = timeout_at(deadline, client.wait_for(ask.wait)).await;
        Ok(client)
    }

    async fn wait_for(&mut self, wait: RawWait) {
        while !self.has_what_it_waits_for(wait) {
            let Some(stream) = &self.stream else { return };
            if stream.readable().await.is_err() {
                return;
            }
            self.read_while(|client| !client.has_what_it_waits_for(wait));
        }
    }

    fn has_what_it_waits_for(&self, wait: RawWait) -> bool {
        match wait {
            RawWait::Nothing => true,
            RawWait::Close => false,
            RawWait::Answer => self.is_answered,
        }
    }

    fn end(&mut self, how: RawEnd) {
        self.ended = Some(how);
        self.stream = None;
    }

    /// Notes an end that has come, if nothing unread lies before it.
    fn look(&mut self) {
        let looked = self.stream.as_ref().and_then(|stream| stream.peek(&mut [0]).now_or_never());
        match looked {
            Some(Ok(0)) => self.end(RawEnd::Closed),
            Some(Err(_)) => self.end(RawEnd::Reset),
            Some(Ok(_)) | None => {}
        }
    }

    /// Reads along. Interim responses (1xx) count as answers: who is let in by 100 was answered.
    fn take(&mut self, bytes: &[u8]) {
        let Self { responses, methods, status, is_answered, .. } = self;
        let answers = || methods.pop_front().unwrap_or_default();
        responses.feed(bytes, answers, |part| match part {
            MessagePart::Head(facts) if status.is_none() => {
                *status = facts.status;
                *is_answered |= facts.status.is_some_and(|status| status < 200);
            }
            MessagePart::End(_) => *is_answered = true,
            _ => {}
        });
        // In a tunnel, or behind what makes no sense, there is nothing more to wait for.
        *is_answered |= responses.is_lost();
    }

    /// Reads what is there, as long as more is wanted.
    fn read_while(&mut self, wants_more: impl Fn(&Self) -> bool) {
        let mut buffer = [0; 4096];
        while wants_more(self) {
            let Some(stream) = &self.stream else { break };
            match stream.try_read(&mut buffer) {
                Ok(0) => self.end(RawEnd::Closed),
                Ok(count) => self.take(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.end(RawEnd::Reset),
            }
        }
    }
}

/// The methods of the requests in these bytes, on which the length of their responses depends.
fn methods_in(bytes: &[u8]) -> VecDeque<AnsweredMethod> {
    let mut methods = VecDeque::new();
    MessageSplitter::new(Direction::Requests).feed(bytes, AnsweredMethod::default, |part| {
        if let MessagePart::Head(facts) = part {
            methods.push_back(facts.method);
        }
    });
    methods
}
