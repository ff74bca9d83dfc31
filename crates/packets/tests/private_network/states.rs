//! The states that packets tell are those of the kernel's table.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use evidence::{HeardAt, StateChange, TcpState, TcpStory};
use netlab::PrivateNetwork;
use packets::{Capture, Recording};
use socket2::{Domain, Socket, Type};

use crate::runner::Test;
use crate::scenes::{connection, hear, segments};
use crate::tests;

pub(crate) const ALL: &[Test] = tests![
    each_step_of_a_close_is_told_as_the_kernel_has_it,
    a_half_closed_connection_is_told_as_the_kernel_has_it,
    a_reset_connection_is_told_as_the_kernel_has_it,
    two_ends_that_close_at_once_are_told_as_the_kernel_has_them,
    a_socket_connected_to_itself_is_told_as_the_kernel_has_it,
    a_client_that_nobody_answers_is_told_as_the_kernel_has_it,
];

const V4: &str = "127.0.0.1:0";

/// What the packets tell of a connection, from the recording of all that it did.
fn told(recording: &Recording, ends: [SocketAddr; 2]) -> ([Option<TcpState>; 2], Vec<StateChange>) {
    let mut story = TcpStory::between(ends[0], ends[1]);
    let heard = segments(recording);
    let changes = heard.iter().flat_map(|segment| story.hear(segment, HeardAt::Both)).collect();
    (ends.map(|end| story.state(end)), changes)
}

/// What the kernel has of both ends. A socket that is not there is closed.
fn kernel([one, other]: [SocketAddr; 2]) -> [Option<TcpState>; 2] {
    [(one, other), (other, one)].map(|(own, peer)| {
        let socket = socket_table::find(own, peer).unwrap();
        Some(socket.map_or(TcpState::Closed, |socket| socket.state))
    })
}

/// Waits until the kernel has both ends in these states, ends the capture and asks the packets.
fn agree(capture: Capture, ends: [SocketAddr; 2], expected: [TcpState; 2]) -> Vec<StateChange> {
    let expected = expected.map(Some);
    let deadline = Instant::now() + Duration::from_secs(10);
    while kernel(ends) != expected && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(kernel(ends), expected, "the kernel's table");
    let (states, changes) = told(&capture.stop().unwrap(), ends);
    assert_eq!(states, expected, "the packets: {changes:?}");
    changes
}

fn ends(client: &TcpStream) -> [SocketAddr; 2] {
    [client.local_addr().unwrap(), client.peer_addr().unwrap()]
}

fn each_step_of_a_close_is_told_as_the_kernel_has_it(_: &PrivateNetwork) -> Result<(), String> {
    use TcpState::{CloseWait, Closed, Established, FinWait2, TimeWait};
    type Step = fn(&mut Option<TcpStream>, &mut Option<TcpStream>);
    let steps: [(Step, [TcpState; 2]); 5] = [
        (|_, _| (), [Established, Established]),
        (|client, _| *client = None, [FinWait2, CloseWait]),
        (|client, server| (*client, *server) = (None, None), [TimeWait, Closed]),
        (|_, server| *server = None, [CloseWait, FinWait2]),
        (
            |client, server| {
                *server = None;
                *client = None;
            },
            [Closed, TimeWait],
        ),
    ];
    for (step, expected) in steps {
        let capture = hear();
        let (_listener, client, server) = connection(V4);
        let ends = ends(&client);
        let (mut client, mut server) = (Some(client), Some(server));
        step(&mut client, &mut server);
        let changes = agree(capture, ends, expected);
        let server_s: Vec<_> = changes.iter().filter(|change| change.end == ends[1]).collect();
        assert_eq!(server_s[0].from, TcpState::Listen);
    }
    Ok(())
}

fn a_half_closed_connection_is_told_as_the_kernel_has_it(_: &PrivateNetwork) -> Result<(), String> {
    let capture = hear();
    let (_listener, client, mut server) = connection(V4);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    std::io::Write::write_all(&mut server, b"still here").unwrap();
    agree(capture, ends(&client), [TcpState::FinWait2, TcpState::CloseWait]);
    Ok(())
}

fn a_reset_connection_is_told_as_the_kernel_has_it(_: &PrivateNetwork) -> Result<(), String> {
    let capture = hear();
    let (_listener, mut client, server) = connection(V4);
    let ends = ends(&client);
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    agree(capture, ends, [TcpState::Closed, TcpState::Closed]);
    Ok(())
}

/// Whichever way it goes each time: one after the other, or both FINs cross.
fn two_ends_that_close_at_once_are_told_as_the_kernel_has_them(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let mut crossed = 0;
    for _ in 0..101 {
        let capture = hear();
        let (_listener, client, server) = connection(V4);
        let ends = ends(&client);
        let both = Barrier::new(2);
        thread::scope(|scope| {
            for end in [&client, &server] {
                scope.spawn(|| {
                    both.wait();
                    end.shutdown(Shutdown::Write).unwrap();
                });
            }
        });
        drop((client, server));
        let over =
            |state: Option<TcpState>| matches!(state, Some(TcpState::TimeWait | TcpState::Closed));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !kernel(ends).into_iter().all(over) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let (states, changes) = told(&capture.stop().unwrap(), ends);
        assert_eq!(states, kernel(ends), "{changes:?}");
        crossed += usize::from(changes.iter().any(|change| change.to == TcpState::Closing));
    }
    eprintln!("{crossed} of 101 crossed");
    Ok(())
}

fn a_socket_connected_to_itself_is_told_as_the_kernel_has_it(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let capture = hear();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&V4.parse::<SocketAddr>().unwrap().into()).unwrap();
    let own = socket.local_addr().unwrap();
    socket.connect(&own).unwrap();
    let address = own.as_socket().unwrap();
    let changes = agree(capture, [address, address], [TcpState::Established; 2]);
    assert!(changes.iter().any(|change| change.to == TcpState::SynReceived), "{changes:?}");
    Ok(())
}

fn a_client_that_nobody_answers_is_told_as_the_kernel_has_it(
    _: &PrivateNetwork,
) -> Result<(), String> {
    let free = TcpListener::bind(V4).unwrap().local_addr().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&V4.parse::<SocketAddr>().unwrap().into()).unwrap();
    let client = socket.local_addr().unwrap().as_socket().unwrap();
    let capture = hear();
    let refused = socket.connect(&free.into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let (states, changes) = told(&capture.stop().unwrap(), [client, free]);
    assert_eq!(states, [Some(TcpState::Closed), None]);
    assert_eq!(changes.len(), 2, "{changes:?}");
    Ok(())
}
