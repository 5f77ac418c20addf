//! Findings on statements and their operators.

use windlass::{JobStats, OperatorStats, runtime::EventKind};

use super::{
    Finding, by_weight, counted, dropped, percent,
    runs::{self, source},
};
use crate::{
    record::{DeviceTrace, RunRecord, StatementRecord},
    size::{format_bytes, format_count, format_seconds},
};

/// Share of the operators' time from which something is worth a word.
pub(super) const SHARE: f64 = 0.3;
/// Seconds of operators' time below which a run is too short to find anything in its times.
pub(super) const LEAST_SECONDS: f64 = 0.05;
/// Rows of an operator below which it does not matter how they are spread.
const LEAST_ROWS: u64 = 10_000;
/// How many times the fair share the largest partition must have.
const SKEW: f64 = 2.5;
/// Rows of a batch below which the batches, not the rows, cost the time; and how many batches
/// it takes for that to matter.
const SMALL_BATCH: u64 = 256;
const MANY_BATCHES: u64 = 1_000;
/// Share of a scan's rows that a filter above it must keep for the scan to have been worth it.
const KEPT: f64 = 0.05;
/// Share of a memory limit that is near it.
pub(super) const NEAR: f64 = 0.85;
/// Share of the threads that must have computed for none of it to be told.
const BUSY: f64 = 0.4;
/// Seconds of a statement from which its idle threads matter.
const LONG: f64 = 1.0;

/// All findings on a run, the heaviest first. `threads` is how many threads operators could
/// compute on.
pub(crate) fn findings(run: &RunRecord, threads: usize) -> Vec<Finding> {
    let mut found = Vec::new();
    let many = run.statements.len() > 1;
    for (i, s) in run.statements.iter().enumerate() {
        let name = if many { format!("Statement {}: ", i + 1) } else { String::new() };
        let of = Of { s, name, run_ms: runs::busy_ms(run) };
        found.extend(of.fallback());
        found.extend(of.failed_batches(&run.traces));
        found.extend(of.skew());
        found.extend(of.spilled(run.memory_limit));
        found.extend(of.small_batches());
        found.extend(of.scans());
        found.extend(of.idle_threads(threads, run.seconds));
        found.extend(of.near_limit(run.memory_limit));
        if run.devices.iter().any(|d| !d.host) {
            found.extend(of.kept_on_cpu());
        }
    }
    found.extend(runs::findings(run));
    found.extend(dropped(run.dropped_events()));
    by_weight(found)
}

/// A statement of a run.
struct Of<'a> {
    s: &'a StatementRecord,
    /// What its findings begin with.
    name: String,
    /// Operators' time of the whole run.
    run_ms: f64,
}

impl Of<'_> {
    fn stats(&self) -> &JobStats {
        &self.s.stats
    }

    fn operators(&self) -> &[OperatorStats] {
        &self.s.stats.operators
    }

    /// Share of the run's time; 0 in a run that is too short to tell.
    fn share(&self, ms: f64) -> f64 {
        if self.run_ms < LEAST_SECONDS * 1e3 { 0.0 } else { ms / self.run_ms }
    }

    fn find(&self, weight: f64, what: String, advice: impl Into<String>) -> Finding {
        Finding::new(weight, format!("{}{what}", self.name), advice)
    }

    /// The whole statement ran again.
    fn fallback(&self) -> Option<Finding> {
        let reason = self.stats().fallback.as_ref()?;
        Some(self.find(
            0.95,
            format!("the statement was begun more than once: {reason}."),
            "The time of all runs counts. `windlass devices` tells whether the device is still \
             there; --device cpu leaves it out.",
        ))
    }

    /// Single batches that a device failed on. `events` are what the devices told.
    fn failed_batches(&self, events: &[DeviceTrace]) -> Option<Finding> {
        let o = self.operators().iter().max_by_key(|o| o.fallback_batches)?;
        if o.fallback_batches == 0 {
            return None;
        }
        let told = events.iter().flat_map(|t| t.trace.events.iter());
        let mut told = told.filter(|e| e.kind == EventKind::Fallback && e.device == o.device);
        let reason = told.find_map(|e| e.name.strip_prefix(&o.name)?.strip_prefix(": "));
        let reason = reason.map_or(String::new(), |r| format!(": {}", r.trim_end_matches('.')));
        let batches = counted(o.fallback_batches, "batch", "batches");
        Some(match o.device.as_str() {
            "cpu" => self.find(
                0.5,
                format!("{} began again with operators that can spill{reason}.", o.name),
                "The time of both counts. Raise --memory, or group by fewer or narrower keys.",
            ),
            device => self.find(
                0.7,
                format!(
                    "the CPU took over {batches} of {} that {device} failed on{reason}.",
                    o.name
                ),
                "A limit of a device's memory is raised by --device-memory; `windlass devices` \
                 tells what is left of it.",
            ),
        })
    }

    /// The operator whose rows lie in too few of its partitions.
    fn skew(&self) -> Option<Finding> {
        let skewed = |o: &OperatorStats| -> Option<(f64, usize, f64)> {
            let total: u64 = o.partitions.iter().map(|p| p.rows).sum();
            let parts = o.partitions.len();
            let most = o.partitions.iter().max_by_key(|p| p.rows)?;
            let share = most.rows as f64 / total.max(1) as f64;
            // Of two partitions, one must have nearly all.
            let limit = (SKEW / parts as f64).min(0.9);
            (parts > 1 && total >= LEAST_ROWS && share >= limit).then_some((
                share,
                most.partition,
                o.ms,
            ))
        };
        let all = self.operators().iter().filter_map(|o| Some((o, skewed(o)?)));
        let (o, (share, partition, ms)) = all.max_by(|a, b| a.1.2.total_cmp(&b.1.2))?;
        let weight = self.share(ms);
        (weight >= 0.05).then(|| {
            self.find(
                weight.max(0.25),
                format!(
                    "partition {partition} held {} of the {} rows of {} ({} partitions): the \
                     other threads waited for it.",
                    percent(share),
                    format_count(o.partitions.iter().map(|p| p.rows).sum()),
                    o.name,
                    o.partitions.len()
                ),
                match (o.name.contains("Join"), o.scanned_bytes.is_some()) {
                    (_, true) => "Several files of like size are read evenly.",
                    (true, _) => {
                        "One key has most rows: filter it out before the join if it can match \
                         nothing (such as an empty text), or join it apart."
                    }
                    _ => {
                        "One key or one file has most of the rows: group or exchange by a key \
                         that is spread more evenly, or split the file."
                    }
                },
            )
        })
    }

    fn spilled(&self, limit: Option<u64>) -> Option<Finding> {
        let bytes = self.stats().spilled_bytes;
        let o = self.operators().iter().max_by_key(|o| o.spilled_bytes)?;
        (bytes > 0).then(|| {
            let limit =
                limit.map_or(String::new(), |l| format!(" under a limit of {}", format_bytes(l)));
            let peak = self.stats().peak_host_bytes;
            self.find(
                0.4 + 0.5 * self.share(o.ms),
                format!(
                    "{} were written to disk and read again{limit}, most of it by {} ({}).",
                    format_bytes(bytes),
                    o.name,
                    format_bytes(o.spilled_bytes)
                ),
                format!(
                    "Raise --memory: operators held {} at most. Fewer columns or an earlier \
                     filter need less.",
                    format_bytes(peak)
                ),
            )
        })
    }

    /// Memory that came near its limit, with nothing spilled yet.
    fn near_limit(&self, limit: Option<u64>) -> Option<Finding> {
        let (limit, peak) = (limit?, self.stats().peak_host_bytes);
        let share = peak as f64 / limit as f64;
        (share >= NEAR && self.stats().spilled_bytes == 0).then(|| {
            self.find(
                0.3 * share,
                format!(
                    "operators held up to {} of the {} that --memory allows ({}).",
                    format_bytes(peak),
                    format_bytes(limit),
                    percent(share)
                ),
                "With a little more data they write to disk: raise --memory before that.",
            )
        })
    }

    /// Operators that could not go to a device, for another reason than what it would cost.
    fn kept_on_cpu(&self) -> Option<Finding> {
        let refused = |o: &&OperatorStats| {
            let by_cost = |d: &windlass::Decision| d.estimates.iter().any(|e| e.device != "cpu");
            let mut own = self.stats().decisions.iter();
            let own = own.find(|d| !d.placed && d.operator.starts_with(&o.name));
            o.device == "cpu"
                && o.scanned_bytes.is_none()
                && !o.reason.is_empty()
                && own.is_some_and(|d| !by_cost(d))
        };
        let those = self.operators().iter().filter(refused);
        let o = those.max_by(|a, b| a.ms.total_cmp(&b.ms))?;
        let share = self.share(o.ms);
        (share >= SHARE).then(|| {
            self.find(
                share * 0.9,
                format!(
                    "{} had to stay on the CPU and took {} of the time: {}.",
                    o.name,
                    percent(share),
                    o.reason.trim_end_matches('.')
                ),
                "`windlass explain --placement` tells what each operator lacks for a device.",
            )
        })
    }

    fn small_batches(&self) -> Option<Finding> {
        let small =
            |o: &&OperatorStats| o.batches >= MANY_BATCHES && o.rows / o.batches < SMALL_BATCH;
        let o = self.operators().iter().filter(small).max_by_key(|o| o.batches)?;
        let share = self.share(o.ms);
        (share >= 0.05).then(|| {
            self.find(
                share.max(0.2),
                format!(
                    "{} gave {} rows in {} batches, {} rows each: work is done by batch, not by \
                     row.",
                    o.name,
                    format_count(o.rows),
                    format_count(o.batches),
                    o.rows / o.batches
                ),
                "Many small files or many partitions do that: write them as fewer and larger \
                 files, or read them once and keep the rows (CREATE TABLE … AS).",
            )
        })
    }

    /// Scans of which a filter threw nearly all away.
    fn scans(&self) -> Vec<Finding> {
        let ops = self.operators();
        let mut found = Vec::new();
        for (i, scan) in ops.iter().enumerate() {
            let Some(bytes) = scan.scanned_bytes.filter(|_| scan.rows >= LEAST_ROWS) else {
                continue;
            };
            let Some(filter) = filter_above(ops, i) else { continue };
            let kept = filter.rows as f64 / scan.rows as f64;
            let share = self.share(scan.ms + filter.ms);
            if kept > KEPT || share < 0.1 {
                continue;
            }
            let source = source(self.s, scan);
            let of = source.as_ref().map_or(String::new(), |f| format!(" of {}", f.name));
            let advice = match source {
                Some(f) if f.text => {
                    "All of a text file is parsed to find them. Parquet has the bounds of each \
                     part of each column, and parts that cannot match are not read: COPY … TO \
                     … STORED AS PARQUET."
                }
                _ => {
                    "Files that are sorted or partitioned by what the filter tests let a query \
                     skip the rest: COPY (SELECT … ORDER BY …), or PARTITIONED BY."
                }
            };
            found.push(self.find(
                share * 0.9,
                format!(
                    "the scan{of} read {} and {} rows, of which {} were kept ({}).",
                    format_bytes(bytes),
                    format_count(scan.rows),
                    format_count(filter.rows),
                    percent(kept)
                ),
                advice,
            ));
        }
        found
    }

    /// Threads that had nothing to compute.
    fn idle_threads(&self, threads: usize, run_seconds: f64) -> Option<Finding> {
        let on = self.s.cpu_seconds? / self.s.seconds;
        let there = self.operators().iter().any(|o| o.device != "cpu");
        if threads < 2 || self.s.seconds < LONG || on >= BUSY * threads as f64 || there {
            return None;
        }
        // An operator that has more time than there was ran on several threads.
        let slow = |o: &&OperatorStats| {
            (0.3 * self.s.seconds..=1.05 * self.s.seconds).contains(&(o.ms / 1e3))
        };
        let alone = self.operators().iter().filter(slow).find(|o| o.partitions.len() == 1);
        Some(
            self.find(
                (1.0 - on / threads as f64) * 0.6 * self.s.seconds
                    / run_seconds.max(self.s.seconds),
                format!(
                    "it computed on {on:.1} of {threads} threads on average, over {}.",
                    format_seconds(self.s.seconds)
                ),
                match alone {
                    Some(o) if o.scanned_bytes.is_some() => {
                        "One thread reads a file that is compressed as a whole: several files, or \
                     Parquet, are read by all threads."
                            .to_string()
                    }
                    Some(o) => format!(
                        "{} ran in one partition, for {}: what is above it waited.",
                        o.name,
                        format_seconds(o.ms / 1e3)
                    ),
                    None => {
                        "The rest of the time went to waiting for files, disks, the network or \
                         other processes, or to steps that one thread does."
                            .to_string()
                    }
                },
            ),
        )
    }
}

/// The filter that a scan's rows go through next, over operators that give all rows on.
fn filter_above(ops: &[OperatorStats], scan: usize) -> Option<&OperatorStats> {
    let mut at = scan;
    loop {
        let parent = ops[..at].iter().rposition(|o| o.depth + 1 == ops[at].depth)?;
        let o = &ops[parent];
        if o.name.contains("Filter") || o.name == "DevicePipelineExec" {
            return Some(o);
        }
        let passes =
            ["CoalesceBatches", "Repartition", "DeviceUpload", "Cooperative", "Projection"];
        if !passes.iter().any(|p| o.name.contains(p)) {
            return None;
        }
        at = parent;
    }
}

#[cfg(test)]
#[path = "queries_tests.rs"]
mod tests;
