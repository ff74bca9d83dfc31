//! ureq.

use std::process::ExitCode;

fn main() -> ExitCode {
    let agent = ureq::agent();
    fetch::each(|url, body| {
        let mut response = match body {
            Some(body) => agent.post(url).send(body)?,
            None => agent.get(url).call()?,
        };
        Ok(response.body_mut().read_to_vec()?)
    })
}
