//! Findings on a whole run of statements.

use std::collections::BTreeSet;

use windlass::OperatorStats;

use super::{
    Finding, percent,
    queries::{LEAST_SECONDS, NEAR, SHARE},
};
use crate::{
    record::{RunRecord, StatementRecord},
    size::{format_bytes, format_seconds},
};

/// Statements that read the same file from which it is worth keeping.
const READERS: usize = 3;

/// All findings that are of no single statement.
pub(super) fn findings(run: &RunRecord) -> Vec<Finding> {
    let mut found = near_device_limits(run);
    found.extend([transfers(run), dominant(run), read_again(run)].into_iter().flatten());
    found
}

/// The operators' time, in milliseconds.
pub(super) fn busy_ms(run: &RunRecord) -> f64 {
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
    let file = source(s, o).filter(|_| o.scanned_bytes.is_some());
    let of = file.as_ref().map_or(String::new(), |f| format!(" ({})", f.name));
    let advice = if o.scanned_bytes.is_some() {
        match &file {
            Some(f) if f.text => {
                "Text is parsed anew by each query: write the table once as Parquet (COPY … TO \
                 … STORED AS PARQUET), or keep it in memory (CREATE TABLE … AS, or \
                 DataFrame::persist)."
            }
            _ => {
                "Fewer columns, or a filter on what the files are sorted or partitioned by, read \
                 less; if several queries read the table, keep it in memory (CREATE TABLE … AS, \
                 or DataFrame::persist)."
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
            "{}{of}{place} took {} of the operators' time: {} over all threads.",
            o.name,
            percent(share),
            format_seconds(o.ms / 1e3)
        ),
        advice,
    ))
}

/// Files that statement after statement reads anew.
fn read_again(run: &RunRecord) -> Option<Finding> {
    let busy = busy_ms(run);
    let mut files: Vec<(String, BTreeSet<usize>, f64, u64)> = Vec::new();
    for (i, s) in run.statements.iter().enumerate() {
        for o in &s.stats.operators {
            let Some(bytes) = o.scanned_bytes else { continue };
            let Some(file) = source(s, o) else { continue };
            let at = files.iter().position(|f| f.0 == file.name).unwrap_or_else(|| {
                files.push((file.name, BTreeSet::new(), 0.0, 0));
                files.len() - 1
            });
            files[at].1.insert(i);
            (files[at].2, files[at].3) = (files[at].2 + o.ms, files[at].3 + bytes);
        }
    }
    let again = files.into_iter().filter(|(_, by, ..)| by.len() >= READERS);
    let (name, by, ms, bytes) = again.max_by(|a, b| a.2.total_cmp(&b.2))?;
    let share = ms / busy;
    (share >= SHARE && busy >= LEAST_SECONDS * 1e3).then(|| {
        Finding::new(
            share * 0.9,
            format!(
                "{} of the operators' time was reading {name}, which {} statements did: {}.",
                percent(share),
                by.len(),
                format_bytes(bytes)
            ),
            "Keep the columns that they use in memory, if there is room: CREATE TABLE … AS \
             SELECT …, or DataFrame::persist.",
        )
    })
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

/// The files of a scan.
pub(super) struct SourceFile {
    /// The first one's name.
    pub(super) name: String,
    /// Whether they are text.
    pub(super) text: bool,
}

/// What a scan reads, from its line of the plan: the operators are listed in the same order.
pub(super) fn source(s: &StatementRecord, scan: &OperatorStats) -> Option<SourceFile> {
    let at = s.stats.operators.iter().position(|o| std::ptr::eq(o, scan))?;
    let lines: Vec<&str> = s.stats.plan.lines().filter(|l| !l.trim().is_empty()).collect();
    let line = lines.get(at).filter(|_| lines.len() == s.stats.operators.len())?;
    let path = line.split_once("[[")?.1.split([',', ']', ':']).next()?;
    let kind = line.split_once("file_type=")?.1.split([',', ' ']).next()?;
    let name = path.rsplit('/').next()?.to_string();
    (!name.is_empty()).then_some(SourceFile { name, text: matches!(kind, "csv" | "json") })
}
