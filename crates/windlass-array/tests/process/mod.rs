//! What the system says of this process's memory: for tests that have a process to themselves.

/// The most that this process had in memory so far, in bytes, where the system tells.
pub(crate) fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}

/// Has the allocator give large memory back as soon as it is free: else it keeps up to 64 MiB
/// for itself, which is neither the executor's nor the arrays'.
pub(crate) fn keep_nothing() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes a number of the allocator's.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
    }
}
