//! Two requests, and what the pool decides: run it, change a rule in `src/rules.rs`, run it again.
//!
//! ```text
//! cargo run -p transport --example pool
//! ```

use std::io::Write;
use std::sync::Arc;

use http_body_util::BodyExt;
use server::{Answer, Server};
use transport::{Config, Moment, Preset, TraceEvent, Transport};

fn tell(event: &TraceEvent) {
    let told = match &event.moment {
        Moment::GotConn { reused, .. } => format!("got it, reused: {reused}"),
        Moment::PutIdleConn { refused: None } => "is idle now".to_owned(),
        Moment::PutIdleConn { refused: Some(why) } => format!("is not pooled: {why}"),
        _ => return,
    };
    let connection = event.connection.map_or(String::new(), |id| id.to_string());
    // A reader that has seen enough is no concern of a listener's.
    let _ = writeln!(std::io::stdout(), "connection {connection} {told}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind("127.0.0.1:0".parse()?, Answer::default())?.start();
    let url = format!("http://{}/", server.address());
    let client = Transport::new(Config::of(Preset::Go), Some(Arc::new(|event| tell(&event))))?;
    for _ in 0..2 {
        client.get(&url).await?.into_body().collect().await?;
    }
    drop(client.get(&url).await?); // its body is let go of unread
    Ok(())
}
