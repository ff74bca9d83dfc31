//! Files that tests write.

/// An experiment of one's own, in a file that lasts as long as the directory.
pub(crate) fn own(directory: &tempfile::TempDir, source: &str) -> String {
    let path = directory.path().join("own.toml");
    std::fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}

/// How many experiments lie in the directory from which they are built in.
#[allow(dead_code, reason = "not every test counts them")]
pub(crate) fn built_in() -> usize {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments");
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).count()
}
