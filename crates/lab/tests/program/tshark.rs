//! Another program's words about a capture.

use std::process::Command;

/// The words of tshark about a file; `None`, said aloud, if there is no such program here.
pub(crate) fn tshark(file: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark").args(["-r", file]).args(arguments).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("SKIPPED: tshark: {error}");
            None
        }
    }
}
