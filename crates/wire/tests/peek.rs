//! Looking at what has come without taking it, against real sockets.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{FirstClose, Tap, Wire};

async fn connected<T: Tap>(tap: T) -> (Wire<T>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (there, _) = listener.accept().await.unwrap();
    (Wire::new(here, tap), there)
}

/// Keeps how the connection ended.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<Option<FirstClose>>>);

impl Tap for Ended {
    fn closed(&mut self, ending: wire::Ending) {
        *self.0.lock().unwrap() = Some(ending.first);
    }
}

#[tokio::test]
async fn what_is_looked_at_is_read_all_the_same() {
    let (mut wire, mut there) = connected(()).await;
    there.write_all(b"seven b").await.unwrap();
    let mut seen = [0; 24];
    let count = wire.peek(&mut seen, 0).await.unwrap();
    assert_eq!(&seen[..count], b"seven b");
    let mut read = [0; 7];
    wire.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"seven b");
}

#[tokio::test]
async fn a_look_waits_for_more_than_is_known() {
    let (mut wire, mut there) = connected(()).await;
    let mut seen = [0; 24];
    let mut known = 0;
    for byte in b"thirteen byte" {
        there.write_all(&[*byte]).await.unwrap();
        let count = wire.peek(&mut seen, known).await.unwrap();
        assert_eq!(count, known + 1);
        known = count;
    }
    assert_eq!(&seen[..known], b"thirteen byte");
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn while_it_waits_nothing_is_done() {
    let (mut wire, mut there) = connected(()).await;
    there.write_all(b"P").await.unwrap();
    let mut seen = [0; 24];
    assert_eq!(wire.peek(&mut seen, 0).await.unwrap(), 1);
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    let mut look = pin!(wire.peek(&mut seen, 1));
    assert!(look.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // Time is the subject: who spins would be woken again and again meanwhile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    there.write_all(b"R").await.unwrap();
    assert_eq!(look.await.unwrap(), 2);
}

#[tokio::test]
async fn a_close_ends_the_wait_with_what_there_is() {
    let (mut wire, mut there) = connected(()).await;
    there.write_all(b"PRI").await.unwrap();
    let mut seen = [0; 24];
    assert_eq!(wire.peek(&mut seen, 0).await.unwrap(), 3);
    drop(there);
    assert_eq!(wire.peek(&mut seen, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_close_without_a_byte_is_told_as_the_peers() {
    let ended = Ended::default();
    let (mut wire, there) = connected(ended.clone()).await;
    drop(there);
    assert_eq!(wire.peek(&mut [0; 24], 0).await.unwrap(), 0);
    drop(wire);
    assert_eq!(*ended.0.lock().unwrap(), Some(FirstClose::There));
}

/// The system tells of a reset once, and the look took that.
#[tokio::test]
async fn a_reset_met_by_a_look_is_told_as_one() {
    let ended = Ended::default();
    let (mut wire, there) = connected(ended.clone()).await;
    socket2::SockRef::from(&there).set_linger(Some(Duration::ZERO)).unwrap();
    drop(there);
    assert!(wire.peek(&mut [0; 24], 0).await.is_err());
    drop(wire);
    assert_eq!(*ended.0.lock().unwrap(), Some(FirstClose::Reset));
}
