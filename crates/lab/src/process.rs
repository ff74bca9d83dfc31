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

/// The processor time that this process has taken so far, all its threads together, those that have
/// ended included. `None` on a system that is not Linux.
#[must_use]
pub(crate) fn processor_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        // Asked of the kernel in one piece: of threads that are listed one may have ended when it
        // is read.
        Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
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
