//! How much memory this process has.

/// The bytes of memory that are this process's alone and that really have a page behind them
/// (`RssAnon`): its heap and its stacks, without its program text. `None` where there is no
/// `/proc`.
#[must_use]
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn memory_that_is_touched_is_resident() {
        let before = super::resident().unwrap();
        let touched = vec![1_u8; 32 << 20];
        let after = super::resident().unwrap();
        // Other tests of this process come and go; most of 32 MiB is more than they need.
        assert!(after > before + (16 << 20), "{before} {after} {}", touched.len());
    }
}
