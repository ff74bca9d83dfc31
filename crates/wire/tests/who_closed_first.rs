//! The wire's testimony on who closed first, against real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{Ending, FirstClose, Tap, Wire};

/// Keeps everything it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    received: Vec<u8>,
    sent: Vec<u8>,
    flushes: usize,
    left: Vec<FirstClose>,
    ending: Option<Ending>,
}

impl Tap for Notes {
    fn received(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().received.extend_from_slice(bytes);
    }
    fn sent(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().sent.extend_from_slice(bytes);
    }
    fn flushed(&mut self) {
        self.0.lock().unwrap().flushes += 1;
    }
    fn peer_left(&mut self, how: FirstClose) {
        self.0.lock().unwrap().left.push(how);
    }
    fn closed(&mut self, ending: Ending) {
        self.0.lock().unwrap().ending = Some(ending);
    }
}

async fn connected() -> (Wire<Notes>, Notes, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (there, _) = listener.accept().await.unwrap();
    let notes = Notes::default();
    (Wire::new(here, notes.clone()), notes, there)
}

fn ending(notes: &Notes) -> Ending {
    notes.0.lock().unwrap().ending.expect("closed was told")
}

/// Waits until the kernel has something for the reader of `wire`'s socket: data, FIN or reset.
async fn until_something_came() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_drop_without_the_peers_fin_is_a_close_here() {
    let (wire, notes, _there) = connected().await;
    drop(wire);
    assert_eq!(ending(&notes), Ending { first: FirstClose::Here, unread: 0 });
}

#[tokio::test]
async fn an_end_of_file_read_is_a_close_there() {
    let (mut wire, notes, there) = connected().await;
    drop(there);
    assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(notes.0.lock().unwrap().left, [FirstClose::There]);
    drop(wire);
    assert_eq!(ending(&notes).first, FirstClose::There);
}

#[tokio::test]
async fn a_fin_that_nobody_read_is_still_a_close_there() {
    let (wire, notes, there) = connected().await;
    drop(there);
    until_something_came().await;
    drop(wire);
    assert_eq!(ending(&notes).first, FirstClose::There);
}

#[tokio::test]
async fn bytes_left_in_the_kernel_are_counted_at_the_close() {
    let (wire, notes, mut there) = connected().await;
    there.write_all(b"thirteen byte").await.unwrap();
    until_something_came().await;
    drop(wire);
    assert_eq!(ending(&notes), Ending { first: FirstClose::Here, unread: 13 });
}

#[tokio::test]
async fn a_reset_is_told_apart_from_a_close() {
    let (mut wire, notes, there) = connected().await;
    socket2::SockRef::from(&there).set_linger(Some(Duration::ZERO)).unwrap();
    drop(there);
    assert!(wire.read(&mut [0; 8]).await.is_err());
    assert_eq!(notes.0.lock().unwrap().left, [FirstClose::Reset]);
    drop(wire);
    assert_eq!(ending(&notes).first, FirstClose::Reset);
}

#[tokio::test]
async fn a_reset_that_answers_a_close_here_does_not_undo_it() {
    let (mut wire, notes, peer) = connected().await;
    wire.shutdown().await.unwrap();
    socket2::SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(peer);
    assert!(wire.read(&mut [0]).await.is_err());
    drop(wire);
    assert_eq!(notes.0.lock().unwrap().left, [FirstClose::Reset]);
    assert_eq!(ending(&notes).first, FirstClose::Here);
}

#[tokio::test]
async fn a_reset_that_nobody_read_is_told_too() {
    let (wire, notes, there) = connected().await;
    socket2::SockRef::from(&there).set_linger(Some(Duration::ZERO)).unwrap();
    drop(there);
    until_something_came().await;
    drop(wire);
    assert_eq!(ending(&notes).first, FirstClose::Reset);
}

#[tokio::test]
async fn every_byte_is_told_once_and_passed_on_unchanged() {
    let (mut wire, notes, mut there) = connected().await;
    wire.write_all(b"over ").await.unwrap();
    let sent = wire
        .write_vectored(&[std::io::IoSlice::new(b"and "), std::io::IoSlice::new(b"out")])
        .await
        .unwrap();
    wire.flush().await.unwrap();
    assert_eq!(sent, 7);
    let mut heard = [0; 12];
    there.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"over and out");
    there.write_all(&heard).await.unwrap();
    let mut echo = [0; 12];
    wire.read_exact(&mut echo).await.unwrap();
    let seen = notes.0.lock().unwrap();
    assert_eq!(seen.sent, b"over and out");
    assert_eq!(seen.received, b"over and out");
    assert_eq!(seen.flushes, 1);
}
