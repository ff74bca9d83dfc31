//! A server that does as it is told, connection by connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evidence::{ClientAddr, ServerAddr};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use wire::http1::{AnsweredMethod, Direction, MessagePart, MessageSplitter, RequestLine};

use crate::script::{ConnectionScript, ServerStep};
use crate::story::{PeerEnd, PeerHead, PeerLeft, PeerStory, us};

/// As many bytes are read, and written as filler, at a time.
const PIECE: usize = 16 * 1024;

/// After so long it is tried again to accept.
const RETRY: Duration = Duration::from_millis(10);

/// A server that listens, accepts, and does with each connection what its script says. Without a
/// script it listens alone: connections wait in its backlog.
#[derive(Debug)]
pub struct ScriptedServer {
    address: ServerAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<JoinSet<()>>,
    stories: Arc<Mutex<Vec<PeerStory>>>,
}

impl ScriptedServer {
    /// Listens on `address` (port 0: any free one), and accepts from now on. The first connection
    /// gets the first script, and so on; all further ones get the last. With no script at all
    /// nothing is ever accepted.
    ///
    /// # Errors
    /// If a script writes behind a half-close, which no socket can; if the system does not let it
    /// listen.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(address: SocketAddr, scripts: Vec<ConnectionScript>) -> io::Result<Self> {
        Self::on(std::net::TcpListener::bind(address)?, scripts)
    }

    /// Does what [`Self::bind`] does with a socket that listens already, perhaps on another host.
    ///
    /// # Errors
    /// If a script writes behind a half-close, which no socket can; if the runtime does not take the
    /// socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on(listener: std::net::TcpListener, scripts: Vec<ConnectionScript>) -> io::Result<Self> {
        if scripts.iter().any(ConnectionScript::writes_behind_its_end) {
            let refusal = "a script writes after it has closed its own side (half_close)";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refusal));
        }
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = ServerAddr::new(listener.local_addr()?);
        let (stop, stopped) = watch::channel(false);
        let stories: Arc<Mutex<Vec<PeerStory>>> = Arc::default();
        let task = tokio::spawn(accept(listener, scripts, Arc::clone(&stories), stopped));
        Ok(Self { address, stop, task, stories })
    }

    /// The address it really has.
    #[must_use]
    pub fn address(&self) -> ServerAddr {
        self.address
    }

    /// Returns what has become so far of each connection, in the order in which they were accepted.
    #[must_use]
    pub fn stories(&self) -> Vec<PeerStory> {
        lock(&self.stories).clone()
    }

    /// Closes all that is open, and tells what became of each connection.
    pub async fn stop(self) -> Vec<PeerStory> {
        self.stop.send_replace(true);
        if let Ok(mut connections) = self.task.await {
            while connections.join_next().await.is_some() {}
        }
        std::mem::take(&mut *lock(&self.stories))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    scripts: Vec<ConnectionScript>,
    stories: Arc<Mutex<Vec<PeerStory>>>,
    mut stop: watch::Receiver<bool>,
) -> JoinSet<()> {
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0.. {
        let script = scripts.get(number).or(scripts.last()).cloned();
        let Some(script) = script else {
            // Keeps the listener, so that the kernel goes on answering.
            let _ = stop.wait_for(|stop| *stop).await;
            break;
        };
        let accepted = tokio::select! {
            accepted = accept_as(&script, &listener) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, client) = accepted;
        let story = PeerStory {
            client: ClientAddr::new(client),
            accepted_us: us(started.elapsed()),
            heads: Vec::new(),
            read_bytes: 0,
            written_bytes: 0,
            client_left: None,
            end: PeerEnd::Stopped,
            steps_done: 0,
        };
        let place = {
            let mut stories = lock(&stories);
            stories.push(story);
            stories.len() - 1
        };
        let connection = ScriptedConnection::new(stream, started, Arc::clone(&stories), place);
        connections.spawn(connection.carry_out(script, stop.clone()));
    }
    connections
}

/// Accepts the next connection, not before its time.
async fn accept_as(script: &ConnectionScript, listener: &TcpListener) -> (TcpStream, SocketAddr) {
    if let Some(after) = script.accept_after {
        tokio::time::sleep(after.0).await;
    }
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // A client has given up before its turn, or there are too many open files just now: the
            // script is for the next one.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// A connection, and how far its messages are read.
struct ScriptedConnection {
    stream: TcpStream,
    started: Instant,
    stories: Arc<Mutex<Vec<PeerStory>>>,
    place: usize,
    requests: MessageSplitter,
}

impl ScriptedConnection {
    fn new(
        stream: TcpStream,
        started: Instant,
        stories: Arc<Mutex<Vec<PeerStory>>>,
        place: usize,
    ) -> Self {
        let requests = MessageSplitter::new(Direction::Requests);
        Self { stream, started, stories, place, requests }
    }

    fn note(&self, note: impl FnOnce(&mut PeerStory)) {
        if let Some(story) = lock(&self.stories).get_mut(self.place) {
            note(story);
        }
    }

    async fn carry_out(mut self, script: ConnectionScript, mut stop: watch::Receiver<bool>) {
        for step in &script.steps {
            let done = tokio::select! {
                done = self.step(step) => done,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match done {
                Ok(None) => self.note(|story| story.steps_done += 1),
                Ok(Some(end)) => {
                    return self.note(|story| {
                        story.steps_done += 1;
                        story.end = end;
                    });
                }
                Err(how) => {
                    return self.note(|story| {
                        story.client_left = Some(how);
                        story.end = PeerEnd::ClientWasFirst;
                    });
                }
            }
        }
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Carries out a step. `Some` if the connection is to be let go of with it, and how.
    async fn step(&mut self, step: &ServerStep) -> Result<Option<PeerEnd>, PeerLeft> {
        match step {
            ServerStep::ReadHead => drop(self.read_head().await?),
            ServerStep::ReadBody(most) => self.read_body(*most).await?,
            ServerStep::ReadRequest => self.read_request().await?,
            ServerStep::Answer(text) => self.write(text.as_bytes()).await?,
            ServerStep::Serve(text) => loop {
                self.read_request().await?;
                self.write(text.as_bytes()).await?;
            },
            ServerStep::Fill(bytes) => {
                let mut left = *bytes;
                while left > 0 {
                    let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                    self.write(&[b'x'; PIECE][..piece]).await?;
                    left -= piece as u64;
                }
            }
            ServerStep::Wait(time) => tokio::time::sleep(time.0).await,
            ServerStep::AwaitUnread => {
                peer_left(self.stream.peek(&mut [0]).await)?;
            }
            ServerStep::AwaitClose => {
                let how = self.until_client_leaves().await;
                self.note(|story| story.client_left = Some(how));
            }
            ServerStep::HalfClose => {
                // A client that is gone already is seen by whoever reads.
                let _ = self.stream.shutdown().await;
            }
            ServerStep::Close => return Ok(Some(PeerEnd::Closed)),
            ServerStep::Reset => {
                // Linger for no time at all is what makes a close a reset.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return Ok(Some(PeerEnd::Reset));
            }
        }
        Ok(None)
    }

    /// Takes the client's bytes, one after the other, up to the one that `is_last` says is the
    /// last: what comes behind it stays unread in the kernel.
    async fn take_until(
        &mut self,
        mut is_last: impl FnMut(&mut MessageSplitter, u8) -> bool,
    ) -> Result<(), PeerLeft> {
        let mut piece = vec![0; PIECE];
        loop {
            let count = peer_left(self.stream.peek(&mut piece).await)?;
            let there = piece.get_mut(..count).unwrap_or_default();
            let last = there.iter().position(|byte| is_last(&mut self.requests, *byte));
            let taken = there.get_mut(..last.map_or(count, |last| last + 1)).unwrap_or_default();
            let taken = peer_left(self.stream.read_exact(taken).await)?;
            self.note(|story| story.read_bytes += taken as u64);
            if last.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns true if the client waits to be asked for the body.
    async fn read_head(&mut self) -> Result<bool, PeerLeft> {
        if self.requests.is_lost() {
            return Err(self.until_client_leaves().await);
        }
        let (mut head, mut facts) = (Vec::new(), None);
        self.take_until(|requests, byte| {
            requests.feed(&[byte], AnsweredMethod::default, |part| match part {
                MessagePart::Line(line) => head.extend_from_slice(line.bytes),
                MessagePart::Head(whole) => facts = Some(whole),
                MessagePart::Body(_) | MessagePart::End(_) => {}
            });
            facts.is_some() || requests.is_lost()
        })
        .await?;
        // If it is no HTTP, what has come is all that there will be of a head.
        let bytes = facts.as_ref().map_or(head.len() as u64, |facts| facts.bytes);
        let expects_continue = facts.is_some_and(|facts| facts.expects_continue);
        let at_us = us(self.started.elapsed());
        let (method, target) =
            RequestLine::of(&head).map(|line| (line.method, line.target)).unzip();
        self.note(|story| {
            story.heads.push(PeerHead { at_us, method, target, bytes, expects_continue });
        });
        Ok(expects_continue)
    }

    async fn read_request(&mut self) -> Result<(), PeerLeft> {
        if self.read_head().await? {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.read_body(u64::MAX).await
    }

    async fn read_body(&mut self, most: u64) -> Result<(), PeerLeft> {
        if most == 0 || !self.requests.is_within_a_body() || self.requests.is_lost() {
            return Ok(());
        }
        let mut read = 0;
        self.take_until(|requests, byte| {
            requests.feed(&[byte], AnsweredMethod::default, |_| {});
            read += 1;
            read == most || !requests.is_within_a_body() || requests.is_lost()
        })
        .await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), PeerLeft> {
        while !bytes.is_empty() {
            let count = peer_left(self.stream.write(bytes).await)?;
            bytes = bytes.get(count..).unwrap_or_default();
            self.note(|story| story.written_bytes += count as u64);
        }
        Ok(())
    }

    /// Reads what comes, and throws it away.
    async fn until_client_leaves(&mut self) -> PeerLeft {
        loop {
            if let Err(how) = self.take_until(|_, _| false).await {
                return how;
            }
        }
    }
}

/// Takes "nothing more" for the client's FIN, and every error for its reset.
fn peer_left(count: io::Result<usize>) -> Result<usize, PeerLeft> {
    let count = count.map_err(|_| PeerLeft::Reset)?;
    if count == 0 { Err(PeerLeft::Closed) } else { Ok(count) }
}
