//! Fetches URLs one after the other; a POST each if BODY is set.

use std::io::Write;
use std::process::ExitCode;
use std::{env, error::Error, io, thread, time::Duration};

/// Calls `fetch` with each URL of `PROGRAM PAUSE URL…`, and the body if there is one.
pub fn each(fetch: impl Fn(&str, Option<String>) -> Result<Vec<u8>, Box<dyn Error>>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    let pause = env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or_default();
    for (number, url) in env::args().skip(2).enumerate() {
        thread::sleep(Duration::from_secs_f64(if number > 0 { pause } else { 0.0 }));
        let written =
            fetch(&url, env::var("BODY").ok()).and_then(|body| Ok(io::stdout().write_all(&body)?));
        if let Err(error) = written {
            eprintln!("{error:?}");
            status = ExitCode::FAILURE;
        }
    }
    status
}
