//! Clients that are none, against a server that does as a script says.

use std::time::Duration;

use bytes::Bytes;
use peers::{ConnectionScript, RawOrder, RawSeen, RawWait, ScriptedServer, ServerStep, carry_out};

/// What five clients see that send `send` and wait for `wait`.
async fn seen(send: &'static str, wait: RawWait, steps: &[ServerStep]) -> RawSeen {
    let script = ConnectionScript::of(steps.iter().cloned());
    let server = ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), vec![script]).unwrap();
    let order = RawOrder {
        times: 5,
        send: Bytes::from_static(send.as_bytes()),
        wait,
        at_most: Duration::from_secs(20),
    };
    let mut clients = carry_out(&order, server.address()).await.unwrap();
    RawSeen::of(&mut clients)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn answer(text: &str) -> ServerStep {
    ServerStep::Answer(text.to_owned())
}

#[tokio::test]
async fn an_answer_is_waited_for_to_its_last_byte() {
    let halves = [
        ServerStep::ReadHead,
        answer("HTTP/1.1 408 Request Timeout\r\ncontent-length: 3\r\n\r\na"),
        ServerStep::Wait(peers::StepTime(Duration::from_millis(20))),
        answer("bc"),
    ];
    let seen = seen(GET, RawWait::Answer, &halves).await;
    assert_eq!((seen.statuses, seen.closed, seen.reset), (vec![408; 5], 0, 0));
}

#[tokio::test]
async fn an_answer_to_head_is_whole_without_a_body() {
    let head_alone = [ServerStep::ReadHead, answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")];
    let request = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    // Whoever waits for a body waits longer than the test lasts.
    let seen =
        tokio::time::timeout(Duration::from_secs(10), seen(request, RawWait::Answer, &head_alone));
    assert_eq!(seen.await.unwrap().statuses, [200; 5]);
}

#[tokio::test]
async fn a_close_and_a_reset_are_told_apart() {
    let closed = seen(GET, RawWait::Close, &[ServerStep::ReadHead, ServerStep::Close]).await;
    assert_eq!((closed.closed, closed.reset, closed.connections), (5, 0, 5));
    let reset = seen(GET, RawWait::Close, &[ServerStep::ReadHead, ServerStep::Reset]).await;
    assert_eq!((reset.closed, reset.reset), (0, 5));
}

#[tokio::test]
async fn a_client_that_never_reads_sees_nothing() {
    let seen = seen(GET, RawWait::Nothing, &[ServerStep::ReadHead]).await;
    assert_eq!(seen, RawSeen { connections: 5, ..RawSeen::default() });
}
