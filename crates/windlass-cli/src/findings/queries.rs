//! Findings on statements and their operators.

use windlass::{JobStats, OperatorStats, runtime::EventKind};

use super::{Finding, by_weight, counted, dropped, percent};
use crate::{
    record::{DeviceTrace, RunRecord, StatementRecord},
    size::{format_bytes, format_count, format_seconds},
};

/// Share of the operators' time from which something is worth a word.
const SHARE: f64 = 0.3;
/// Seconds of operators' time below which a run is too short to find anything in its times.
const LEAST_SECONDS: f64 = 0.05;
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
const NEAR: f64 = 0.85;
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
        let of = Of { s, name, run_ms: busy_ms(run) };
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
    found.extend(transfers(run));
    found.extend(dominant(run));
    found.extend(near_device_limits(run));
    found.extend(dropped(run.dropped_events()));
    by_weight(found)
}

fn busy_ms(run: &RunRecord) -> f64 {
    run.operators().map(|(_, o)| o.ms).sum()
}

/// Copies to and from devices other than the host, against all that operators did.
fn transfers(run: &RunRecord) -> Option<Finding> {
    let busy = busy_ms(run);
    let there = || run.operators().map(|(_, o)| o).filter(|o| o.device != "cpu");
    let of = |name: &str| -> (f64, u64) {
        let those = || there().filter(|o| o.name == name);
        (those().map(|o| o.transfer_ms).sum(), those().map(|o| o.bytes).sum())
    };
    let all: f64 = there().map(|o| o.transfer_ms).sum();
    let share = all / busy;
    if busy < LEAST_SECONDS * 1e3 || share < SHARE {
        return None;
    }
    let ((up, up_bytes), (down, down_bytes)) = (of("DeviceUploadExec"), of("DeviceDownloadExec"));
    let (word, ms, bytes) = match (up >= 0.7 * all, down >= 0.7 * all) {
        (true, _) => ("upload", up, up_bytes),
        (_, true) => ("download", down, down_bytes),
        _ => ("copies to and from devices", all, up_bytes + down_bytes),
    };
    let advice = match word {
        "download" => {
            "Aggregate, filter or limit on the device, so that fewer rows come back; or run the \
             job with --device cpu."
        }
        _ => {
            "The device does too little with what it gets, and rows are not kept there between \
             queries. Read fewer columns, filter before, do more in one query; or leave the \
             choice to --device auto, which counts the copies."
        }
    };
    Some(Finding::new(
        ms / busy,
        format!("{} of the time was {word}: {}.", percent(ms / busy), format_bytes(bytes)),
        advice,
    ))
}

/// One operator that has most of the time.
fn dominant(run: &RunRecord) -> Option<Finding> {
    let busy = busy_ms(run);
    let (s, o) = run.operators().max_by(|a, b| a.1.ms.total_cmp(&b.1.ms))?;
    let share = o.ms / busy;
    if busy < LEAST_SECONDS * 1e3 || share < 0.5 || run.operators().count() < 3 {
        return None;
    }
    let which = run.statements.iter().position(|x| std::ptr::eq(x, s)).unwrap_or(0) + 1;
    let place = if run.statements.len() > 1 { format!(" of statement {which}") } else { "".into() };
    let read = o.scanned_bytes.is_some();
    let advice = if read {
        match source(s, o) {
            Some(f) if f.text => {
                "Text is parsed anew by each query: write the table once as Parquet (COPY … TO \
                 … STORED AS PARQUET), or keep it in memory (CREATE TABLE … AS, or \
                 DataFrame::persist)."
            }
            _ => {
                "Name the columns that are needed instead of *; if several queries read the \
                 table, keep it in memory (CREATE TABLE … AS, or DataFrame::persist)."
            }
        }
    } else if o.name == "DeviceUploadExec" && o.device == "cpu" {
        "Nothing is copied there: texts are given codes, one for each different text. Columns of \
         few different texts, numbers, and Parquet files whose texts are codes already take less."
    } else if o.name.contains("Sort") && !o.name.contains("Merge") {
        "If only the first rows are wanted, say so with LIMIT: a top-k does not sort the rest."
    } else if o.name.contains("Join") {
        "Filter both sides before the join, and join on equal keys where it can be."
    } else if o.name.contains("Aggregate") {
        "Fewer or narrower group keys make the table of groups smaller; filter before grouping."
    } else {
        "`windlass explain --placement` tells where it could run, and at what cost."
    };
    Some(Finding::new(
        share * 0.8,
        format!(
            "{}{place} took {} of the operators' time: {} over all threads.",
            o.name,
            percent(share),
            format_seconds(o.ms / 1e3)
        ),
        advice,
    ))
}

fn near_device_limits(run: &RunRecord) -> Vec<Finding> {
    let near = |share: f64| share >= NEAR;
    let devices = run.devices.iter().filter(|d| !d.host && d.cap > 0);
    let shares = devices.map(|d| (d, d.peak as f64 / d.cap as f64)).filter(|(_, s)| near(*s));
    shares
        .map(|(d, share)| {
            Finding::new(
                0.5 * share,
                format!(
                    "{} held up to {} of its {} of memory ({}).",
                    d.name,
                    format_bytes(d.peak),
                    format_bytes(d.cap),
                    percent(share)
                ),
                "A little more data goes to the CPU instead. Raise --device-memory if the device \
                 has more, or read fewer columns.",
            )
        })
        .collect()
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

    /// The whole statement ran again on the CPU.
    fn fallback(&self) -> Option<Finding> {
        let reason = self.stats().fallback.as_ref()?;
        Some(self.find(
            0.95,
            format!("a device failed, and the statement ran again on the CPU: {reason}."),
            "The time of both runs counts. `windlass devices` tells whether the device is still \
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
        let slow = |o: &&OperatorStats| o.ms / 1e3 >= 0.3 * self.s.seconds;
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
                        "The rest of the time went to waiting for files, disks or the network, \
                         or to steps that one thread does."
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

/// The files of a scan.
struct SourceFile {
    /// The first one's name.
    name: String,
    /// Whether they are text.
    text: bool,
}

/// What a scan reads, from its line of the plan: the operators are listed in the same order.
fn source(s: &StatementRecord, scan: &OperatorStats) -> Option<SourceFile> {
    let at = s.stats.operators.iter().position(|o| std::ptr::eq(o, scan))?;
    let lines: Vec<&str> = s.stats.plan.lines().filter(|l| !l.trim().is_empty()).collect();
    let line = lines.get(at).filter(|_| lines.len() == s.stats.operators.len())?;
    let path = line.split_once("[[")?.1.split([',', ']', ':']).next()?;
    let kind = line.split_once("file_type=")?.1.split([',', ' ']).next()?;
    let name = path.rsplit('/').next()?.to_string();
    (!name.is_empty()).then(|| SourceFile { name, text: matches!(kind, "csv" | "json") })
}

#[cfg(test)]
#[path = "queries_tests.rs"]
mod tests;
