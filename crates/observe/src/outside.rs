//! The way out of a private network: a process that stays outside, dials there, and hands what it
//! has dialled in.
//!
//! A socket belongs to the network in which it was made, whoever holds it. So the process inside asks
//! over a Unix socket, and gets sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// The longest message.
const LONGEST: usize = 128 * 1024;
/// So long a name server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest answer of a name server.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What the process inside asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutsideRequest {
    /// A connection.
    Dial {
        /// The number by which the answer names it.
        id: u64,
        /// Where to.
        to: SocketAddr,
    },
    /// An answer to a question for a name.
    Ask {
        /// The number by which the answer names it.
        id: u64,
        /// The name server.
        to: SocketAddr,
        /// The question, as it was put.
        question: Vec<u8>,
    },
}

/// What the process outside says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutsideReply {
    /// Here is the connection: the socket comes with it.
    Dialled {
        /// The number of the request.
        id: u64,
    },
    /// There is none, for this reason (`errno`; 0 if the system gave none).
    Failed {
        /// The number of the request.
        id: u64,
        /// The system's number for it.
        errno: i32,
    },
    /// The name server's answer.
    Answered {
        /// The number of the request.
        id: u64,
        /// The answer, as it came.
        answer: Vec<u8>,
    },
}

/// One end of the way between inside and outside.
#[derive(Debug)]
pub struct OutsideChannel(OwnedFd);

impl OutsideChannel {
    /// Both ends: the first for the process inside, the other for the one outside.
    ///
    /// # Errors
    /// Those of `socketpair`.
    pub fn pair() -> io::Result<(Self, Self)> {
        let kind = SocketType::SEQPACKET;
        let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// The end that this process has got as `socket`.
    #[must_use]
    pub fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// The socket of this end.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.0
    }

    /// Sends a message, and with it a socket.
    ///
    /// # Errors
    /// Those of `sendmsg`.
    pub fn send<T: Serialize>(&self, message: &T, socket: Option<&OwnedFd>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut about = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.map(AsFd::as_fd);
        let sockets = sockets.as_slice();
        if !sockets.is_empty() {
            about.push(SendAncillaryMessage::ScmRights(sockets));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut about, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for the next message; `None` if the other end is gone.
    ///
    /// # Errors
    /// Those of `recvmsg`; `InvalidData` for what is no message.
    pub fn receive<T: for<'a> Deserialize<'a>>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut about = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let got = loop {
            match recvmsg(&self.0, into, &mut about, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        let socket = about.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        let message = bytes.get(..got.bytes).filter(|message| !message.is_empty());
        let message = message.map(serde_json::from_slice).transpose()?;
        Ok(message.map(|message| (message, socket)))
    }
}

/// Does what the process inside asks for, until that is gone. This process has to be outside.
///
/// # Errors
/// Those of the channel.
pub fn serve_outside(channel: OutsideChannel) -> io::Result<()> {
    let channel = Arc::new(channel);
    while let Some((request, _)) = channel.receive::<OutsideRequest>()? {
        let channel = Arc::clone(&channel);
        // A dial may take minutes, and others wait behind it.
        std::thread::Builder::new().name("outside".to_owned()).spawn(move || {
            let (reply, socket) = carried_out(request);
            // Who asked may be gone.
            let _ = channel.send(&reply, socket.as_ref());
        })?;
    }
    Ok(())
}

fn carried_out(request: OutsideRequest) -> (OutsideReply, Option<OwnedFd>) {
    let failed = |id, error: &io::Error| {
        (OutsideReply::Failed { id, errno: error.raw_os_error().unwrap_or(0) }, None)
    };
    match request {
        OutsideRequest::Dial { id, to } => match TcpStream::connect(to) {
            Ok(stream) => {
                // What is written goes on at once, as it came.
                let _ = stream.set_nodelay(true);
                (OutsideReply::Dialled { id }, Some(stream.into()))
            }
            Err(error) => failed(id, &error),
        },
        OutsideRequest::Ask { id, to, question } => match answer(to, &question) {
            Ok(answer) => (OutsideReply::Answered { id, answer }, None),
            Err(error) => failed(id, &error),
        },
    }
}

fn answer(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.send(question)?;
    let mut answer = vec![0; LONGEST_ANSWER];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_is_dialled_outside_and_handed_in() {
        let (inside, outside) = OutsideChannel::pair().unwrap();
        let serving = std::thread::spawn(move || serve_outside(outside));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        inside.send(&OutsideRequest::Dial { id: 7, to }, None).unwrap();
        let (reply, socket) = inside.receive::<OutsideReply>().unwrap().unwrap();
        assert_eq!(reply, OutsideReply::Dialled { id: 7 });
        let mut stream = TcpStream::from(socket.unwrap());
        let (mut accepted, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        drop(stream);
        let mut heard = String::new();
        accepted.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        drop(listener);
        inside.send(&OutsideRequest::Dial { id: 8, to }, None).unwrap();
        let (reply, socket) = inside.receive::<OutsideReply>().unwrap().unwrap();
        let refused = rustix::io::Errno::CONNREFUSED.raw_os_error();
        assert_eq!(reply, OutsideReply::Failed { id: 8, errno: refused });
        assert!(socket.is_none());
        drop(inside);
        serving.join().unwrap().unwrap();
    }
}
