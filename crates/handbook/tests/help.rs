//! Every help on a terminal of 80 columns.

use clap::Command;

/// Every command of every program that a user is shown, under the name that is typed.
fn all() -> Vec<(String, Command)> {
    fn below(name: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        all.push((name.to_owned(), command.clone()));
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            below(&format!("{name} {}", command.get_name()), command, all);
        }
    }
    let mut found = Vec::new();
    for mut command in handbook::commands() {
        command.build();
        below(command.get_name(), &command, &mut found);
    }
    found.retain(|(name, _)| !name.contains(" help"));
    found
}

#[test]
fn every_help_fits_80_columns() {
    for (name, command) in all() {
        for help in [
            command.clone().term_width(80).render_help(),
            command.clone().term_width(80).render_long_help(),
        ] {
            for line in help.to_string().lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }
}

/// clap would break a longer line, and not indent what goes on.
#[test]
fn no_example_is_broken() {
    for (name, command) in all() {
        let Some(end) = command.get_after_help() else { continue };
        for line in end.to_string().lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn every_help_has_examples_and_the_exit_status_under_the_same_words() {
    for (name, command) in all() {
        let end = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if name != "lab list" {
            assert!(end.contains("Exit status: 0 "), "{name}: {end}");
            assert!(end.contains("\nExamples"), "{name}: {end}");
        }
        assert!(!end.contains("Exit code"), "{name}");
    }
}

#[test]
fn the_help_of_lab_run_says_where_the_keys_of_set_are() {
    let commands = all();
    let (_, run) = commands.iter().find(|(name, _)| name == "lab run").unwrap();
    let end = run.get_after_help().unwrap().to_string();
    assert!(end.contains("--set") && end.contains("experiments/README.md"), "{end}");
}
