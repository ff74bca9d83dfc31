//! What is written, before those who read it: bash, zsh, fish, man.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 5] = ["sequential", "concurrent", "hello", "socket-inspector", "lab"];

fn written() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let files = handbook::write(directory.path()).unwrap();
    (directory, files)
}

/// Runs `shell` over files, if it is installed; else says that nothing was held against it.
fn accepts(shell: &str, arguments: &[&str], files: &[PathBuf]) {
    for file in files {
        let Ok(output) = Command::new(shell).args(arguments).arg(file).output() else {
            println!("SKIPPED: {shell} is not installed: its files are not held against it");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", file.display());
    }
}

fn below(files: &[PathBuf], place: &str) -> Vec<PathBuf> {
    let found: Vec<PathBuf> =
        files.iter().filter(|file| file.to_string_lossy().contains(place)).cloned().collect();
    assert!(!found.is_empty(), "nothing below {place}");
    found
}

#[test]
fn every_shell_takes_its_completions() {
    let (_directory, files) = written();
    accepts("bash", &["-n"], &below(&files, "share/bash-completion/completions/"));
    accepts("zsh", &["-n"], &below(&files, "share/zsh/site-functions/"));
    accepts("fish", &["--no-execute"], &below(&files, "share/fish/vendor_completions.d/"));
    for program in PROGRAMS {
        for place in ["completions/NAME", "site-functions/_NAME", "completions.d/NAME.fish"] {
            below(&files, &place.replace("NAME", program));
        }
    }
}

/// What bash offers for the last of `words`.
fn offered(completions: &Path, program: &str, words: &[&str]) -> Option<Vec<String>> {
    let function = format!("_{program}");
    let last = words.last().copied().unwrap_or_default();
    let before = words.len().checked_sub(2).map_or(program, |n| words[n]);
    let script = "source \"$1\"; function=$2 program=$3 last=$4 before=$5; shift 5
        COMP_WORDS=(\"$program\" \"$@\"); COMP_CWORD=$#
        \"$function\" \"$program\" \"$last\" \"$before\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(completions.join(program))
        .args([&function, program, last, before])
        .args(words)
        .output()
        .map_err(|_| println!("SKIPPED: bash is not installed"))
        .ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    Some(said.lines().map(str::to_owned).collect())
}

#[test]
fn bash_offers_the_transports_after_transport() {
    let (directory, _) = written();
    let completions = directory.path().join("share/bash-completion/completions");
    let transports = ["go", "go1.27", "hyper-util"];
    for (program, words) in
        [("sequential", &["--transport", ""][..]), ("lab", &["trace", "--transport", ""])]
    {
        let Some(offered) = offered(&completions, program, words) else { return };
        assert_eq!(offered, transports, "{program}");
    }
    let Some(of_run) = offered(&completions, "lab", &["run", "--transport", ""]) else { return };
    assert_eq!(of_run, ["go", "go1.27", "hyper-util", "real-go"]);
    let Some(of_lab) = offered(&completions, "lab", &["tr"]) else { return };
    assert_eq!(of_lab, ["trace"], "what the lab starts itself is not offered");
}

#[test]
fn every_command_has_a_man_page() {
    let (directory, _) = written();
    let pages = directory.path().join("share/man/man1");
    let read = |name: &str| fs::read_to_string(pages.join(name)).expect(name);
    for program in PROGRAMS {
        assert!(read(&format!("{program}.1")).contains("EXIT STATUS"), "{program}");
    }
    for name in ["lab-doctor", "lab-list", "lab-run", "lab-show", "lab-trace"] {
        read(&format!("{name}.1"));
        assert!(read("lab.1").contains(&name.replace('-', "\\-")), "{name}");
    }
    for name in ["list", "watch", "ports", "pool", "trace"] {
        read(&format!("socket-inspector-{name}.1"));
    }
    let hidden = fs::read_dir(&pages)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let hidden: Vec<String> =
        hidden.filter(|name| name.contains("watchdog") || name.contains("trial")).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// An example has one line in the page, as in the help, and no page says that cargo has built it.
#[test]
fn a_man_page_keeps_the_lines_of_its_examples() {
    let (directory, _) = written();
    let page = fs::read_to_string(directory.path().join("share/man/man1/sequential.1")).unwrap();
    let examples = page.split(".SH EXAMPLES").nth(1).unwrap();
    assert!(examples.trim_start().starts_with(".nf\n"), "{examples}");
    assert!(examples.contains("\nsequential \\-\\-body drop \\-\\-interval 100ms"), "{examples}");
    assert!(!page.contains("cargo"), "{page}");
}

#[test]
fn man_and_mandoc_have_nothing_to_complain_of() {
    let (_directory, files) = written();
    let pages = below(&files, "share/man/man1/");
    for page in &pages {
        let Ok(output) = Command::new("man")
            .args(["--warnings", "--encoding=UTF-8", "--local-file", "--pager=cat"])
            .arg(page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
        else {
            println!("SKIPPED: man is not installed: its pages are not held against it");
            break;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
    }
    let Ok(output) =
        Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output()
    else {
        println!("SKIPPED: mandoc is not installed: the pages are not held against it");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    // The pages have no date, and clap_mangen leaves more room than mandoc thinks right.
    let is_known =
        |line: &&str| line.contains("missing date") || line.contains("skipping paragraph macro");
    let said: Vec<&str> = said.lines().filter(|line| !is_known(line)).collect();
    assert!(said.is_empty(), "{said:#?}");
}
