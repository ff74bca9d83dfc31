//! What this process has taken of the machine.

use std::fs;
use std::time::Duration;

/// The bytes of memory that are this process's alone and that really have a page behind them
/// (`RssAnon`): its heap and its stacks, without its program text. `None` where there is no
/// `/proc`.
#[must_use]
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The processor time that the threads of this process have taken so far, those that have ended
/// not included. `None` where there is no `/proc`, or a kernel that does not count it.
#[must_use]
pub(crate) fn processor_time() -> Option<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += schedstat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
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

    #[test]
    fn work_takes_processor_time() {
        let before = super::processor_time().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while super::processor_time().unwrap() == before {
            assert!(std::time::Instant::now() < deadline);
        }
    }
}
