//! What the doctor says, against what runs really do.
#![cfg(unix)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const NOBODY: u32 = 65_534;

fn json(mut command: Command) -> (Value, Option<i32>) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let value = serde_json::from_slice(&stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr)));
    (value, status.code())
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).current_dir("/");
    command
}

fn row<'a>(doctor: &'a Value, what: &str) -> &'a Value {
    let rows = doctor["rows"].as_array().unwrap();
    rows.iter().find(|row| row["what"] == what).unwrap()
}

/// What can be tried is either seen to work or refused with a reason, and the status says which.
fn is_sound(doctor: &Value, status: Option<i32>) {
    let rows = doctor["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8, "{doctor:#}");
    for row in rows {
        let because = row["because"].as_str().unwrap();
        assert!(!because.is_empty(), "{row}");
        assert!(row["state"] != "works" || row["cure"].is_null(), "{row}");
    }
    let all_work = rows.iter().all(|row| row["state"] == "works");
    assert_eq!(doctor["all_works"], all_work);
    assert_eq!(status, Some(i32::from(!all_work)), "{doctor:#}");
}

/// Runs these experiments, and holds what was skipped against the doctor's word.
fn holds(doctor: &Value, run: &Value) {
    for experiment in run["experiments"].as_array().unwrap() {
        let runs = experiment["runs"].as_array().unwrap();
        // Whether predictions hold is another question.
        let took_place =
            runs.iter().filter(|run| ["held", "not-held"].iter().any(|it| run["verdict"] == *it));
        let took_place = took_place.count();
        let skipped = runs.iter().filter(|run| run["verdict"] == "skipped").count();
        let said = doctor["experiments"].as_array().unwrap();
        let said = said.iter().find(|it| it["name"] == experiment["name"]).unwrap();
        let real = (&took_place.into(), &runs.len().into());
        assert_eq!((&said["can_run"], &said["runs"]), real, "{said}");
        assert_eq!(took_place + skipped, runs.len(), "{experiment:#}");
    }
}

const SOME: [&str; 7] = ["run", "1", "13", "26", "34", "--format", "json"];

#[test]
fn what_can_run_by_the_doctor_s_word_runs_and_the_rest_is_skipped() {
    let (doctor, status) = json(lab(&["doctor", "--format", "json"]));
    is_sound(&doctor, status);
    holds(&doctor, &json(lab(&SOME)).0);
}

/// A copy of the program that everybody may start.
fn copy() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = directory.path().join("lab");
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_lab")), &program).unwrap();
    (directory, program)
}

#[test]
fn an_ordinary_user_is_told_the_truth_too() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: the doctor as another user: only root may become one");
    }
    let (_directory, program) = copy();
    let of_nobody = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir("/").uid(NOBODY).gid(NOBODY);
        json(command)
    };
    let (doctor, status) = of_nobody(&["doctor", "--format", "json"]);
    is_sound(&doctor, status);
    assert_eq!(doctor["user"], NOBODY);
    let packets = row(&doctor, "packets, of machine");
    assert_eq!(packets["state"], "does_not", "nobody has CAP_NET_RAW: {packets}");
    assert!(packets["cure"].as_str().unwrap().contains("setcap cap_net_raw+ep"), "{packets}");
    holds(&doctor, &of_nobody(&SOME).0);
}

/// `strace` lets a system call fail as a guard would.
fn without(call: &str, error: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    let inject = format!("inject={call}:error={error}");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    command.arg(env!("CARGO_BIN_EXE_lab")).args(arguments).current_dir("/");
    command
}

#[test]
fn where_unshare_is_refused_nothing_is_said_of_what_was_not_tried() {
    if Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|it| it.status.success()) {
        let (doctor, status) = json(without("unshare", "EPERM", &["doctor", "--format", "json"]));
        is_sound(&doctor, status);
        let private = row(&doctor, "private network");
        assert_eq!(private["state"], "does_not");
        assert!(private["because"].as_str().unwrap().starts_with("unshare refused (EPERM) by "));
        for what in
            ["its settings", "second host, cable", "packets, in private", "observing a program"]
        {
            assert_eq!(row(&doctor, what)["state"], "not_tried");
        }
        let arguments = ["run", "1", "13", "--format", "json"];
        holds(&doctor, &json(without("unshare", "EPERM", &arguments)).0);
    } else {
        eprintln!("SKIPPED: a machine that refuses unshare: strace is not there, or may not trace");
    }
}

#[test]
fn a_profile_for_apparmor_names_this_very_program() {
    let output = lab(&["doctor", "--apparmor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let profile = String::from_utf8(output.stdout).unwrap();
    let program = std::fs::canonicalize(env!("CARGO_BIN_EXE_lab")).unwrap();
    assert!(
        profile.contains(&format!("\"{}\" flags=(unconfined)", program.display())),
        "{profile}"
    );
    assert!(profile.contains("\n  userns,\n"), "{profile}");
    let refused = lab(&["doctor", "--apparmor", "--format", "json"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
