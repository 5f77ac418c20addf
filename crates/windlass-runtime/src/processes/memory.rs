//! What memory processes take, as the system tells. 0 stands for what it does not.

/// Bytes of memory that this process has now; where only the most it ever had is told, that.
pub(crate) fn own() -> u64 {
    #[cfg(target_os = "linux")]
    if let Some(bytes) = own_resident() {
        return bytes;
    }
    own_peak()
}

/// Most bytes of memory that this process ever had. Linux counts in what the process that
/// started it had then.
pub(crate) fn own_peak() -> u64 {
    #[cfg(unix)]
    {
        // SAFETY: all zero is a value of this struct of numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a whole struct, which the call fills.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } == 0 {
            return peak_bytes(&usage);
        }
    }
    0
}

/// The peak of a resource usage, in bytes.
#[cfg(unix)]
pub(crate) fn peak_bytes(usage: &libc::rusage) -> u64 {
    // Apple's systems count bytes, the others kibibytes.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).unwrap_or_default() * unit
}

/// The pages that are resident, from the file that the kernel writes anew for each reader.
#[cfg(target_os = "linux")]
fn own_resident() -> Option<u64> {
    use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};
    static FILE: OnceLock<Option<(File, u64)>> = OnceLock::new();
    let open = || {
        // SAFETY: the call only reads a constant of the system.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        Some((File::open("/proc/self/statm").ok()?, page))
    };
    let (file, page) = FILE.get_or_init(open).as_ref()?;
    let mut text = [0; 128];
    let n = file.read_at(&mut text, 0).ok()?;
    let text = str::from_utf8(&text[..n]).ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * page)
}

/// Where the system ends processes for want of memory, it takes this one before the executor,
/// which has all results.
pub(crate) fn be_first_to_go() {
    /// Half of the scale. A guess: the executor may have more memory than a worker.
    const SCORE: i32 = 500;
    const FILE: &str = "/proc/self/oom_score_adj";
    if cfg!(target_os = "linux")
        && let Ok(score) = std::fs::read_to_string(FILE)
        && score.trim().parse::<i32>().is_ok_and(|s| s < SCORE)
    {
        // Any process may raise it; where that is forbidden, it stays as it is.
        let _ = std::fs::write(FILE, SCORE.to_string());
    }
}

/// Most bytes of memory that another process, which runs, had.
pub(crate) fn peak_of(pid: u32) -> u64 {
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    // There is no such file on other systems.
    if cfg!(target_os = "linux") { peak().unwrap_or_default() * 1024 } else { 0 }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_is_counted() {
        let before = own_peak();
        let taken = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(own() >= 64 << 20 && own_peak() >= 64 << 20);
        assert!(before <= own_peak());
        if cfg!(target_os = "linux") {
            assert!(peak_of(std::process::id()) >= 64 << 20);
        }
        assert_eq!(peak_of(u32::MAX), 0);
        drop(taken);
    }
}
