//! Prints every moment of two requests, one after the other.
//!
//! ```text
//! cargo run -p transport --example trace -- http://127.0.0.1:8080/
//! ```
//!
//! Without a URL it starts hello itself.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use transport::{Config, Preset, TraceEvent, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (url, _server) = if let Some(url) = std::env::args().nth(1) {
        (url, None)
    } else {
        let hello =
            server::Server::bind("127.0.0.1:0".parse()?, server::Answer::default())?.start();
        (format!("http://{}/", hello.address()), Some(hello))
    };
    let start = Instant::now();
    let print = move |TraceEvent { at, exchange, connection, moment }: TraceEvent| {
        let at = at.duration_since(start).as_micros();
        let exchange = exchange.map_or("-".into(), |exchange| exchange.to_string());
        let connection = connection.map_or("-".into(), |connection| connection.to_string());
        println!("{at:>7} us  {exchange} {connection:<2} {moment:?}");
    };
    let client = Transport::new(Config::of(Preset::Go), Some(Arc::new(print)))?;
    for _ in 0..2 {
        client.get(&url).await?.into_body().collect().await?;
    }
    Ok(())
}
