//! Files that tests write.

/// An experiment of one's own, in a file that lasts as long as the directory.
pub(crate) fn own(directory: &tempfile::TempDir, source: &str) -> String {
    let path = directory.path().join("own.toml");
    std::fs::write(&path, source).unwrap();
    path.to_str().unwrap().to_owned()
}
