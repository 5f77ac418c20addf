//! What a run did, kept for `--stats`, `--trace`, `--report` and the demo.

use serde::Serialize;
use windlass::{JobStats, OperatorStats, runtime::trace::Trace};

use crate::sample::Series;

/// One statement of a run.
#[derive(Debug, Clone)]
pub(crate) struct StatementRecord {
    /// Its text.
    pub(crate) text: String,
    /// The line of the job that it starts at.
    pub(crate) line: u64,
    /// When it began, in milliseconds since 1970 (UTC).
    pub(crate) began_ms: f64,
    /// Wall time of planning, running, and printing or writing, in seconds.
    pub(crate) seconds: f64,
    /// CPU time of the process meanwhile, in seconds, where the system tells.
    pub(crate) cpu_seconds: Option<f64>,
    /// Its figures; up to where it failed, if it did.
    pub(crate) stats: JobStats,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// A whole run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunRecord {
    /// What ran: the job's path or the command.
    pub(crate) title: String,
    /// The device spec.
    pub(crate) device: String,
    /// Wall time of its statements, in seconds.
    pub(crate) seconds: f64,
    /// The statements, in order.
    pub(crate) statements: Vec<StatementRecord>,
    /// Why the run failed.
    pub(crate) error: Option<String>,
    /// The limit of host memory that was asked for.
    pub(crate) memory_limit: Option<u64>,
    /// The devices that were opened.
    pub(crate) devices: Vec<DeviceRecord>,
    /// Memory over time; empty where nobody asked for it.
    pub(crate) memory: Vec<Series>,
    /// What the devices did when; one trace for each set of devices that the run had.
    pub(crate) traces: Vec<DeviceTrace>,
}

/// A device that a run opened.
#[derive(Debug, Clone)]
pub(crate) struct DeviceRecord {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is the host itself.
    pub(crate) host: bool,
    /// The cap of its memory, in bytes.
    pub(crate) cap: u64,
    /// Most of it that was in use at once.
    pub(crate) peak: u64,
}

/// Kernels, copies and failures of devices.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceTrace {
    /// When its times begin, in milliseconds since 1970 (UTC).
    pub(crate) began_ms: f64,
    /// The events.
    pub(crate) trace: Trace,
}

/// The object of `--stats json`. The names of its fields are a promise to scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Stats<'a> {
    /// Wall time of the statements: planning, running, and printing or writing the result.
    /// The start of the process and looking at the files of `--table` are not in it.
    pub(crate) seconds: f64,
    /// Rows returned and written by all statements.
    pub(crate) rows: u64,
    /// Bytes read from files and object stores.
    pub(crate) bytes_read: u64,
    /// Peak resident memory of the process; null where the system does not tell.
    pub(crate) peak_host_bytes: Option<u64>,
    /// Peak memory on devices other than the host.
    pub(crate) peak_device_bytes: u64,
    /// Bytes spilled to disk.
    pub(crate) spilled_bytes: u64,
    /// The operators of all statements, in order.
    pub(crate) operators: Vec<OperatorLine<'a>>,
    /// Why the run failed; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
}

/// One operator of [`Stats`].
#[derive(Debug, Serialize)]
pub(crate) struct OperatorLine<'a> {
    name: &'a str,
    device: &'a str,
    rows: u64,
    bytes: u64,
    ms: f64,
    reason: &'a str,
}

impl<'a> From<&'a OperatorStats> for OperatorLine<'a> {
    fn from(o: &'a OperatorStats) -> Self {
        Self {
            name: &o.name,
            device: &o.device,
            rows: o.rows,
            bytes: o.bytes,
            ms: o.ms,
            reason: &o.reason,
        }
    }
}

impl RunRecord {
    /// All operators with the statement they belong to.
    pub(crate) fn operators(&self) -> impl Iterator<Item = (&StatementRecord, &OperatorStats)> {
        self.statements.iter().flat_map(|s| s.stats.operators.iter().map(move |o| (s, o)))
    }

    /// When its first statement began, in milliseconds since 1970 (UTC).
    pub(crate) fn began_ms(&self) -> f64 {
        let samples = self.memory.iter().filter_map(|s| s.points.first().map(|p| p.0));
        let statement = self.statements.first().map(|s| s.began_ms);
        statement.unwrap_or_else(|| samples.fold(f64::INFINITY, f64::min).min(1e15))
    }

    /// When its last statement ended.
    pub(crate) fn ended_ms(&self) -> f64 {
        let ends = self.statements.iter().map(|s| s.began_ms + s.seconds * 1e3);
        ends.fold(self.began_ms(), f64::max)
    }

    /// Events that the traces lost.
    pub(crate) fn dropped_events(&self) -> u64 {
        self.traces.iter().map(|t| t.trace.dropped).sum()
    }

    /// The figures of the whole run.
    pub(crate) fn stats(&self) -> Stats<'_> {
        let sum = |f: fn(&JobStats) -> u64| self.statements.iter().map(|s| f(&s.stats)).sum();
        let max = |f: fn(&JobStats) -> u64| self.statements.iter().map(|s| f(&s.stats)).max();
        Stats {
            seconds: self.seconds,
            rows: sum(|s| s.rows),
            bytes_read: sum(|s| s.bytes_read),
            peak_host_bytes: peak_resident_bytes(),
            peak_device_bytes: max(|s| s.peak_device_bytes).unwrap_or(0),
            spilled_bytes: sum(|s| s.spilled_bytes),
            operators: self.operators().map(|(_, o)| o.into()).collect(),
            error: self.error.as_deref(),
        }
    }
}

/// The process's peak resident memory: `VmHWM` of Linux. `None` on other systems.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    process_status("VmHWM:")
}

/// The process's resident memory now: `VmRSS` of Linux. `None` on other systems.
pub(crate) fn resident_bytes() -> Option<u64> {
    process_status("VmRSS:")
}

fn process_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// CPU time of all threads of the process so far.
#[cfg(unix)]
pub(crate) fn processor_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which lives through it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    (failed == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Not known on other systems.
#[cfg(not(unix))]
pub(crate) fn processor_seconds() -> Option<f64> {
    None
}

/// Now, as records tell it.
pub(crate) fn milliseconds_since_1970() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_and_peaks_do_not() {
        let stats = |rows, peak| JobStats { rows, peak_device_bytes: peak, ..Default::default() };
        let statement = |s| StatementRecord {
            text: String::new(),
            line: 1,
            began_ms: 0.0,
            seconds: 0.5,
            cpu_seconds: None,
            stats: s,
            error: None,
        };
        let run = RunRecord {
            seconds: 1.0,
            statements: vec![statement(stats(3, 100)), statement(stats(4, 50))],
            ..Default::default()
        };
        let s = run.stats();
        assert_eq!((s.rows, s.peak_device_bytes), (7, 100));
        let json = serde_json::to_value(&s).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "bytes_read",
                "operators",
                "peak_device_bytes",
                "peak_host_bytes",
                "rows",
                "seconds",
                "spilled_bytes"
            ]
        );
    }
}
