//! A server that answers once and then closes an idle connection: what a client meets whose pool
//! trusts it for longer.
//!
//! ```text
//! cargo run -p peers --example stale    # then, twice on one connection: curl URL URL
//! ```

use std::io::Write;
use std::time::Duration;

use peers::{ConnectionScript, ScriptedServer, ServerStep, StepTime};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    let script = ConnectionScript::of([
        ServerStep::ReadHead,
        ServerStep::Answer(answer.to_owned()),
        ServerStep::Wait(StepTime(Duration::from_millis(500))),
        ServerStep::Close,
    ]);
    let server = ScriptedServer::bind(([127, 0, 0, 1], 0).into(), vec![script])?;
    let mut out = std::io::stdout();
    writeln!(out, "listens for ten seconds on http://{}/", server.address())?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    for story in server.stop().await {
        let requests = story.heads.len();
        writeln!(out, "{}: {requests} request(s), then {:?}", story.client, story.end)?;
    }
    Ok(())
}
