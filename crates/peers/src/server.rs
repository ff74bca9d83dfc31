//! A server that does as it is told, connection by connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
    /// If the system does not let it listen, or there is no tokio runtime.
    pub fn bind(address: SocketAddr, scripts: Vec<ConnectionScript>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
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
        // A client that has given up before its turn leaves its script to nobody.
        let Ok((stream, client)) = accepted else { continue };
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
async fn accept_as(
    script: &ConnectionScript,
    listener: &TcpListener,
) -> io::Result<(TcpStream, SocketAddr)> {
    if let Some(after) = script.accept_after {
        tokio::time::sleep(after.0).await;
    }
    listener.accept().await
}

/// A connection, and how far its messages are read.
struct ScriptedConnection {
    stream: TcpStream,
    started: Instant,
    stories: Arc<Mutex<Vec<PeerStory>>>,
    place: usize,
    requests: MessageSplitter,
    /// Bytes that were read beyond what a step wanted.
    ahead: Vec<u8>,
    head: Vec<u8>,
}

/// The reason for which a script is over before its last step.
enum CutShort {
    ClientLeft(PeerLeft),
}

impl ScriptedConnection {
    fn new(
        stream: TcpStream,
        started: Instant,
        stories: Arc<Mutex<Vec<PeerStory>>>,
        place: usize,
    ) -> Self {
        let requests = MessageSplitter::new(Direction::Requests);
        Self { stream, started, stories, place, requests, ahead: Vec::new(), head: Vec::new() }
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
                Err(CutShort::ClientLeft(how)) => {
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
    async fn step(&mut self, step: &ServerStep) -> Result<Option<PeerEnd>, CutShort> {
        match step {
            ServerStep::ReadHead => self.read_head().await?,
            ServerStep::ReadBody(most) => self.read_body(*most).await?,
            ServerStep::Answer(text) => self.write(text.as_bytes()).await?,
            ServerStep::Fill(bytes) => {
                let mut left = *bytes;
                while left > 0 {
                    let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                    self.write(&[b'x'; PIECE][..piece]).await?;
                    left -= piece as u64;
                }
            }
            ServerStep::Wait(time) => tokio::time::sleep(time.0).await,
            ServerStep::AwaitUnread => self.await_unread().await?,
            ServerStep::AwaitClose => self.await_close().await,
            ServerStep::HalfClose => {
                // A client that is gone already is seen by whoever reads.
                let _ = self.stream.shutdown().await;
            }
            ServerStep::Close => return Ok(Some(PeerEnd::Closed)),
            ServerStep::Reset => {
                // Linger for no time at all is what makes a close a reset.
                let _ = SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
                return Ok(Some(PeerEnd::Reset));
            }
        }
        Ok(None)
    }

    /// Reads a piece, or takes what was read ahead.
    async fn piece(&mut self) -> Result<Vec<u8>, CutShort> {
        if !self.ahead.is_empty() {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let mut piece = vec![0; PIECE];
        let count = match self.stream.read(&mut piece).await {
            Ok(0) => return Err(CutShort::ClientLeft(PeerLeft::Closed)),
            Ok(count) => count,
            Err(_) => return Err(CutShort::ClientLeft(PeerLeft::Reset)),
        };
        piece.truncate(count);
        self.note(|story| story.read_bytes += count as u64);
        Ok(piece)
    }

    async fn read_head(&mut self) -> Result<(), CutShort> {
        loop {
            let piece = self.piece().await?;
            // Byte by byte up to the end of the head, so that what comes behind it waits.
            for (place, byte) in piece.iter().enumerate() {
                let mut is_whole = None;
                let head = &mut self.head;
                self.requests.feed(&[*byte], AnsweredMethod::default, |part| match part {
                    MessagePart::Line(line) => head.extend_from_slice(line.bytes),
                    MessagePart::Head(facts) => is_whole = Some(facts.bytes),
                    MessagePart::Body(_) | MessagePart::End(_) => {}
                });
                if let Some(bytes) = is_whole {
                    self.ahead = piece.get(place + 1..).unwrap_or_default().to_vec();
                    self.note_head(bytes);
                    return Ok(());
                }
                if self.requests.is_lost() {
                    // It is no HTTP: what has come is all that there will be of a head.
                    self.note_head(self.head.len() as u64);
                    return Ok(());
                }
            }
        }
    }

    fn note_head(&mut self, bytes: u64) {
        let head = std::mem::take(&mut self.head);
        let line = RequestLine::of(&head);
        let at_us = us(self.started.elapsed());
        self.note(|story| {
            let (method, target) = line.map(|line| (line.method, line.target)).unzip();
            story.heads.push(PeerHead { at_us, method, target, bytes });
        });
    }

    async fn read_body(&mut self, most: u64) -> Result<(), CutShort> {
        let mut content = 0;
        while content < most && self.requests.is_within_a_body() && !self.requests.is_lost() {
            let piece = self.piece().await?;
            for (place, byte) in piece.iter().enumerate() {
                let mut is_over = false;
                self.requests.feed(&[*byte], AnsweredMethod::default, |part| match part {
                    MessagePart::Body(bytes) => content += bytes.len() as u64,
                    MessagePart::End(_) => is_over = true,
                    MessagePart::Line(_) | MessagePart::Head(_) => {}
                });
                if is_over || content >= most {
                    self.ahead = piece.get(place + 1..).unwrap_or_default().to_vec();
                    break;
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), CutShort> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest).await {
                Ok(count) if count > 0 => {
                    rest = rest.get(count..).unwrap_or_default();
                    self.note(|story| story.written_bytes += count as u64);
                }
                Ok(_) => return Err(CutShort::ClientLeft(PeerLeft::Closed)),
                Err(_) => return Err(CutShort::ClientLeft(PeerLeft::Reset)),
            }
        }
        Ok(())
    }

    async fn await_unread(&mut self) -> Result<(), CutShort> {
        match self.stream.peek(&mut [0]).await {
            Ok(0) => Err(CutShort::ClientLeft(PeerLeft::Closed)),
            Ok(_) => Ok(()),
            Err(_) => Err(CutShort::ClientLeft(PeerLeft::Reset)),
        }
    }

    async fn await_close(&mut self) {
        self.ahead.clear();
        loop {
            if let Err(CutShort::ClientLeft(how)) = self.piece().await {
                return self.note(|story| story.client_left = Some(how));
            }
        }
    }
}
