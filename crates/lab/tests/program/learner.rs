//! `--predict`: what a learner types, and what becomes of it.

use super::*;

/// Runs the lab, and types `lines`.
fn typed(arguments: &[&str], lines: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("run")
        .args(arguments)
        .arg("--predict")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who answers less than it is asked has gone before the end.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

fn report(arguments: &[&str], lines: &str) -> String {
    let output = typed(arguments, lines);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The part of `report` from the first line that contains `from` to the last before one with `to`.
fn part<'a>(report: &'a str, from: &str, to: &str) -> &'a str {
    let begin = report.find(from).unwrap_or_else(|| panic!("{from}\n{report}"));
    let begin = report[..begin].rfind('\n').map_or(0, |end| end + 1);
    let length = report[begin..].find(to).unwrap_or_else(|| panic!("{to}\n{report}"));
    report[begin..begin + length].trim_end()
}

#[test]
fn who_closes_first_is_asked_without_the_answer_and_scored_case_by_case() {
    let lines = "5\n5\n5\n5\n5\n\
                 client\nserver\nclient\n2\nreset\n\
                 5\n0\n0\n0\n0\n\
                 0\n5\n4..6\n2\n\n";
    let report = report(&["11", "--transport", "go"], lines);
    let questions = part(&report, "Your predictions", "asked of you");
    insta::assert_snapshot!(part(questions, "Which end", "How many TIME_WAIT"), @r"
      Which end closes them first?
        1) client, 2) server, 3) reset
        idle cap, go      > client
        server: close, go > server
        client: close, go > client
        server idle, go   > 2
        bytes unread, go  > reset
    ");
    assert!(!questions.contains("closed_by"), "{questions}");
    insta::assert_snapshot!(part(&report, "asked of you", "not asked of you"), @r"
    asked of you, through go
    RUN            WHAT                     YOURS  PREDICTED  OBSERVED  HIT  HELD
    idle cap       opened                       5          5         5  yes  yes
                   closes first            client     client    client  yes  yes
                   after.client.time_wait       5          5         5  yes  yes
                   after.server.time_wait       0          0         0  yes  yes
    server: close  opened                       5          5         5  yes  yes
                   closes first            server     server    server  yes  yes
                   after.client.time_wait       0          0         0  yes  yes
                   after.server.time_wait       5          5         5  yes  yes
    client: close  opened                       5          5         5  yes  yes
                   closes first            client     server    server  no   yes
                   after.client.time_wait       0          0         0  yes  yes
                   after.server.time_wait  4 to 6          5         5  yes  yes
    server idle    opened                       5          1         1  no   yes
                   closes first            server     server    server  yes  yes
                   after.client.time_wait       0          0         0  yes  yes
                   after.server.time_wait       2          1         1  no   yes
    bytes unread   opened                       5          5         5  yes  yes
                   closes first             reset      reset     reset  yes  yes
                   after.client.time_wait       0          0         0  yes  yes
                   after.server.time_wait       —          0         0  —    yes
    ");
    insta::assert_snapshot!(part(&report, "  you  ", "  look for"), @r"
    you       had 16 of 19, 1 without an answer.
    differs   server idle, go: How many connections are opened? You said 5, and 1
              was observed: all five used one connection, and the server was the
              first to tire of it
    differs   client: close, go: Which end closes them first? You said client, and
              server was observed: asked by the client for Connection: close, it
              is still the server that closes, right after its last byte
    differs   server idle, go: How many TIME_WAIT are at the server's end? You
              said 2, and 1 was observed
    ");
}

#[test]
fn a_learner_is_asked_only_about_runs_that_the_page_has_told_of() {
    let report = report(&["3"], "10\n1..2\n1\n2\n2\n3\n1\n");
    let questions = part(&report, "Your predictions", "03-sequential-dropped");
    for unmet in ["64 KiB", "hyper-util"] {
        assert!(!questions.contains(unmet), "{unmet}\n{questions}");
    }
    insta::assert_snapshot!(part(&report, "asked of you", "not asked of you"), @r"
    asked of you
    RUN           WHAT        YOURS  PREDICTED   OBSERVED  HIT  HELD
    11 B, go      opened         10         10         10  yes  yes
                  left    TIME_WAIT  TIME_WAIT  TIME_WAIT  yes  yes
    11 B, go1.27  opened          1          1          1  yes  yes
                  left     one open   one open   one open  yes  yes
    4 KiB, go     left    TIME_WAIT    nothing    nothing  no   yes
    1 MiB, go     opened     1 to 2         10         10  no   yes
                  left      nothing    nothing    nothing  yes  yes
    ");
    assert!(report.contains("1 MiB, go: How many connections are opened? You said 1 to 2,"));
    assert!(report.contains("you       had 5 of 7."), "{report}");
}

#[test]
fn what_is_no_answer_is_asked_again_and_an_empty_line_skips() {
    let report = report(&["2", "--transport", "go"], "many\n?\n\n3..\n1\n2\n");
    // What follows depends on the machine.
    insta::assert_snapshot!(part(&report, "  How many", "    keepalive_probes="), @r"
    How many connections are opened?
      11 B, go   > many
      `many` names `many`, which is unknown; it is a number such as 10, or a
      range: 2..5, 3.. (at least 3), ..5
      11 B, go   > ?
      a number such as 10, or a range: 2..5, 3.. (at least 3), ..5 (at most 5).
      A number is right if it is what is observed, a range if it holds it.
      Arithmetic, too, over bytes=11, delay=0, idle_timeout=90, interval=0.02,
    ");
    let after_help = &report[report.find("workers=1.").unwrap()..];
    insta::assert_snapshot!(part(after_help, "64 KiB, go > ", "02-sequential-held"), @r"
      64 KiB, go > 3..

    In which state are they while the client is alive?
      1) ESTABLISHED, 2) TIME_WAIT
      11 B, go   > 1
      64 KiB, go > 2
    ");
    assert!(report.contains("you       had 2 of 3, 1 without an answer."), "{report}");
}

#[test]
fn who_says_nothing_more_is_asked_nothing_more() {
    let report = report(&["1", "6", "--transport", "go"], "1\n");
    assert_eq!(report.matches("no more input: the rest is skipped").count(), 1, "{report}");
    assert!(report.contains("you       had 1 of 1, 4 without an answer."), "{report}");
    assert!(report.contains("you       answered none of 5."), "{report}");
    assert!(report.contains("You had 1 of 1, 9 without an answer."), "{report}");
}

#[test]
fn the_learner_s_answers_and_score_are_in_json_and_the_questions_beside_it() {
    let output = typed(&["4", "--format", "json", "--transport", "go"], "80..90\n");
    assert!(text(&output.stderr).contains("How many connections are opened in all?"));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["score"]["right"], 1, "{value:#}");
    let runs = value["experiments"][0]["runs"].as_array().unwrap();
    let asked = &runs.iter().find(|run| run["case"] == "in step").unwrap()["asked"][0];
    assert_eq!((&asked["what"], &asked["yours"]), (&"opened".into(), &"80 to 90".into()));
    assert_eq!((&asked["least"], &asked["most"]), (&80.0.into(), &90.0.into()));
    assert_eq!((&asked["predicted"], &asked["right"]), (&"82".into(), &true.into()));
    let (_, plain) = json(&["1", "--transport", "go"]);
    assert_eq!(plain["score"], Value::Null);
}

#[test]
fn the_time_of_the_runs_has_no_typing_in_it() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["run", "10", "--transport", "go", "--predict", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    stdin.write_all(b"4\n4\n0\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let all = begun.elapsed();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = std::time::Duration::from_micros(value["elapsed_us"].as_u64().unwrap());
    // Nothing ran before the answers came, so the two seconds are in the one and not in the other.
    assert!(runs + std::time::Duration::from_secs(1) < all, "{runs:?} of {all:?}");
    assert_eq!(value["score"]["right"], 3, "{value:#}");
}

#[test]
fn no_line_is_wider_than_eighty_columns_whatever_is_answered() {
    // A range for a number, and the first answer where it is no number; of all experiments.
    let lines = "1111 .. 22222\n1\n".repeat(200);
    let report = text(&typed(&["--transport", "go", "--transport", "hyper-util"], &lines).stdout);
    let wide: Vec<&str> = report.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert_eq!(report.matches("Your predictions").count(), super::files::built_in());
}

#[cfg(unix)]
#[test]
fn ctrl_c_at_a_question_ends_the_lab_and_what_has_run_is_told() {
    use std::io::Read;

    use rustix::process::{Pid, Signal, kill_process};

    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["run", "1", "6", "--transport", "go", "--predict"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1\n2\n\n\n\n").unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut report = Vec::new();
    // The first experiment has run once the second one asks.
    while !String::from_utf8_lossy(&report).contains("cap 0, go  > ") {
        let mut more = [0; 4096];
        let length = stdout.read(&mut more).unwrap();
        assert!(length > 0, "{}", text(&report));
        report.extend_from_slice(&more[..length]);
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stdout.read_to_end(&mut report).unwrap();
    let report = text(&report);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{report}");
    for line in [
        "you       had 1 of 2, 3 without an answer.",
        "cap 0, go  > \n1 experiment, 1 run in",
        "You ended it early, with 5 runs unfinished",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}
