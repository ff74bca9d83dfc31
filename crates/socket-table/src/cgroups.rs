//! Which directory a control group's number stands for.
//!
//! The number of a control group (cgroup v2) is the inode of its directory, so that one walk
//! through the directories tells all of them. There are hundreds, not millions.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where the hierarchy of version 2 is mounted: alone, or beside version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// More directories than this are not searched.
const MOST_DIRECTORIES: usize = 10_000;

/// The paths, below the root of the hierarchy, of the control groups with the numbers `wanted`,
/// as far as they are found. The root itself is `/`.
pub(crate) fn paths(mut wanted: HashSet<u64>) -> HashMap<u64, String> {
    let root = ROOTS.map(Path::new).into_iter().find(|root| root.join("cgroup.procs").exists());
    let mut found = HashMap::new();
    let Some(root) = root else { return found };
    let mut ahead: Vec<PathBuf> = vec![root.to_owned()];
    for _ in 0..MOST_DIRECTORIES {
        let Some(directory) = ahead.pop().filter(|_| !wanted.is_empty()) else { break };
        let Ok(metadata) = fs::metadata(&directory) else { continue };
        if wanted.remove(&metadata.ino()) {
            let below = directory.strip_prefix(root).unwrap_or(&directory);
            found.insert(metadata.ino(), format!("/{}", below.display()));
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        ahead.extend(entries.filter(is_directory).map(|entry| entry.path()));
    }
    found
}
