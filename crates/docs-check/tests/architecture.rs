//! Is the picture in ARCHITECTURE.md the house as it is built? Cargo is the judge.
//!
//! The first text block of the page is the picture: a floor a line, the crates of the floor by their
//! names. The table below it names for each crate what it uses. Tests and benches may use any crate;
//! what is shown is what a crate needs to be built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// The crates of the workspace, and which of them each is built from.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Asks cargo for the workspace as its manifests say.
fn uses() -> Uses {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let needs = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let built_from = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        built_from.map(name).filter(|name| members.contains(name)).collect()
    };
    packages.iter().map(|package| (name(package), needs(package))).collect()
}

/// The line of the picture on which each crate stands, counted from the roof down.
fn floors(members: &Uses) -> BTreeMap<String, usize> {
    let page = page();
    let picture = page.split("```text drawing\n").nth(1).unwrap().split("\n```").next().unwrap();
    let mut floors = BTreeMap::new();
    for (floor, line) in picture.lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        for word in words.filter(|word| members.contains_key(*word)) {
            let before = floors.insert(word.to_owned(), floor);
            assert_eq!(before, None, "{word} stands twice in the picture");
        }
    }
    floors
}

#[test]
fn every_crate_stands_on_one_floor_of_the_picture() {
    let uses = uses();
    let drawn = floors(&uses);
    let missing: Vec<_> = uses.keys().filter(|name| !drawn.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not in the picture: {missing:?}");
}

#[test]
fn no_crate_uses_one_of_its_own_floor_or_above() {
    let uses = uses();
    let floors = floors(&uses);
    let wrong: Vec<String> = uses
        .iter()
        .flat_map(|(user, used)| used.iter().map(move |used| (user, used)))
        .filter(|(user, used)| floors[*user] >= floors[*used])
        .map(|(user, used)| format!("{user} uses {used}"))
        .collect();
    assert!(wrong.is_empty(), "against the used-by law: {}", wrong.join(", "));
}

#[test]
fn the_table_says_what_each_crate_uses() {
    let page = page();
    let rows: BTreeMap<String, BTreeSet<String>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| {
            let used = rest.split(" | ").next().unwrap();
            let used = used.split(", ").map(|used| used.trim_matches('`').to_owned());
            (name.to_owned(), used.filter(|used| used != "–").collect())
        })
        .collect();
    for (name, used) in &uses() {
        assert_eq!(rows.get(name), Some(used), "the row of `{name}` says otherwise");
    }
    assert_eq!(rows.len(), uses().len(), "a row for a crate that there is not");
}
