//! reqwest, the blocking one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let client = reqwest::blocking::Client::new();
    fetch::each(|url, body| {
        let request = match body {
            Some(body) => client.post(url).body(body),
            None => client.get(url),
        };
        Ok(request.send()?.bytes()?.to_vec())
    })
}
