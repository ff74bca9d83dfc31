//! A command as it is typed into a shell.

/// A command in lines of at most `width` characters, where its words let it: a flag stays on the
/// line of its value, and all lines but the last end in a backslash, behind which a shell reads on.
pub(super) fn lines(words: &[String], width: usize) -> Vec<String> {
    const INDENT: &str = "  ";
    let mut pieces: Vec<String> = Vec::new();
    let mut is_after_flag = false;
    for word in words {
        let quoted = quoted(word);
        match pieces.last_mut() {
            Some(piece) if is_after_flag && !word.starts_with("--") => {
                piece.push(' ');
                piece.push_str(&quoted);
                is_after_flag = false;
            }
            _ => {
                pieces.push(quoted);
                is_after_flag = word.len() > 2 && word.starts_with("--");
            }
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        // A line that goes on needs room for the sign of that.
        let room = if n + 1 == pieces.len() { width } else { width - 2 };
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + piece.chars().count() <= room => {
                line.push(' ');
                line.push_str(piece);
            }
            Some(line) => {
                line.push_str(" \\");
                lines.push(format!("{INDENT}{piece}"));
            }
            None => lines.push(piece.clone()),
        }
    }
    lines
}

/// A word as it stands, or in quotes if a shell would see more in it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &[&str]) -> Vec<String> {
        command.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_command_is_broken_between_flags_and_goes_on_behind_a_backslash() {
        let target = "http://localhost:8080/a/path/that/is/rather/long?with=a&query=too";
        let command = words(&[
            "cargo",
            "run",
            "-p",
            "sequential",
            "--",
            "--body",
            "hold",
            "--target",
            target,
        ]);
        assert_eq!(
            lines(&command, 68),
            [
                "cargo run -p sequential -- --body hold \\".to_owned(),
                format!("  --target '{target}'"),
            ]
        );
        let short = words(&["cargo", "run", "-p", "lab", "--", "trace", "http://h/", "--requests"]);
        assert_eq!(lines(&short, 68).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_the_words_that_were_meant() {
        for target in ["http://h/", "http://h/?a=1&b='2'", "http://h/$(echo)`x`\"*;#\\", ""] {
            for width in [10, 40, 68] {
                let meant = words(&["--trace", "--target", target, "--requests", "3"]);
                let command = format!("printf '%s\\n' {}", lines(&meant, width).join("\n"));
                let read = std::process::Command::new("sh").args(["-c", &command]).output();
                let read = String::from_utf8(read.unwrap().stdout).unwrap();
                assert_eq!(read, meant.join("\n") + "\n", "{command}");
            }
        }
    }
}
