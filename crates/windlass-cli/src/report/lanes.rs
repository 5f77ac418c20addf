//! The timelines of runs and statements, and the memory curve of a run.

use windlass::{OperatorStats, runtime::EventKind};

use super::{
    curve,
    timeline::{Bar, Lane, Timeline},
};
use crate::{
    record::{RunRecord, StatementRecord},
    sample::{RESERVED, SPILL_FILES},
    size::{format_bytes, format_count, format_seconds},
    sqltext,
};

/// Kinds of operators, by the colours of timelines.
const KINDS: [&str; 8] = [
    "scans",
    "filters and projections",
    "aggregates",
    "joins",
    "sorts and windows",
    "exchanges and unions",
    "uploads and downloads",
    "other",
];
const COPIES: usize = 6;
const OTHER: usize = 7;

/// The kind of an operator, by its name.
fn kind(o: &OperatorStats) -> usize {
    let is = |parts: &[&str]| parts.iter().any(|p| o.name.contains(p));
    if is(&["Upload", "Download"]) {
        COPIES
    } else if o.scanned_bytes.is_some() || is(&["DataSource", "Scan", "Memory"]) {
        0
    } else if is(&["Aggregate", "Group"]) {
        2
    } else if is(&["Join", "Probe"]) {
        3
    } else if is(&["Sort", "Window", "TopK"]) {
        4
    } else if is(&["Repartition", "Coalesce", "Union", "Exchange", "Interleave"]) {
        5
    } else if is(&["Filter", "Projection", "Pipeline", "Limit"]) {
        1
    } else {
        OTHER
    }
}

fn kinds() -> Vec<String> {
    KINDS.map(String::from).to_vec()
}

/// The operators of a statement, in the order of the plan: each from its first work to its last.
pub(super) fn of_statement(s: &StatementRecord) -> Timeline {
    let devices = s.stats.operators.iter().map(|o| &o.device);
    let one_device = devices.clone().all(|d| Some(d) == devices.clone().next());
    let mut lanes = Vec::new();
    for o in s.stats.operators.iter().filter(|o| !o.spans.is_empty()) {
        let bar = |span: &windlass::Span| {
            let rows = o.partitions.iter().find(|p| p.partition == span.partition).map(|p| p.rows);
            let rows = rows.map_or(String::new(), |r| format!(", {} rows", format_count(r)));
            Bar {
                start: ((span.start_ms - s.began_ms) / 1e3).max(0.0),
                end: ((span.end_ms - s.began_ms) / 1e3).max(0.0),
                kind: kind(o),
                title: format!("{} partition {}{rows}", o.name, span.partition),
            }
        };
        lanes.push(Lane {
            group: String::new(),
            label: match one_device {
                true => o.name.clone(),
                false => format!("{}, {}", o.name.trim_end_matches("Exec"), o.device),
            },
            depth: o.depth,
            note: format_seconds(o.ms / 1e3),
            bars: o.spans.iter().map(bar).collect(),
        });
    }
    let last = lanes.iter().flat_map(|l| &l.bars).map(|b| b.end).fold(s.seconds, f64::max);
    Timeline { seconds: last, kinds: kinds(), lanes }
}

/// The whole run: its statements, the operators of each device by their kind, and what devices
/// were told to do, by stream.
pub(super) fn of_run(run: &RunRecord) -> Timeline {
    let zero = run.began_ms();
    let at = |ms: f64| ((ms - zero) / 1e3).max(0.0);
    let mut lanes = Vec::new();
    let statement = |(i, s): (usize, &StatementRecord)| Bar {
        start: at(s.began_ms),
        end: at(s.began_ms) + s.seconds,
        kind: OTHER,
        title: format!("{}: {}", i + 1, sqltext::summary(&s.text, 60)),
    };
    lanes.push(Lane {
        group: "statements".into(),
        label: "one after the other".into(),
        depth: 1,
        note: format_seconds(run.seconds),
        bars: run.statements.iter().enumerate().map(statement).collect(),
    });
    for device in devices(run) {
        for (kind_of, name) in KINDS.iter().enumerate() {
            let those = || {
                let of_device = run.operators().filter(|(_, o)| o.device == device);
                of_device.filter(|(_, o)| kind(o) == kind_of)
            };
            let bar = |o: &OperatorStats, span: &windlass::Span| Bar {
                start: at(span.start_ms),
                end: at(span.end_ms),
                kind: kind_of,
                title: o.name.clone(),
            };
            let bars: Vec<Bar> =
                those().flat_map(|(_, o)| o.spans.iter().map(move |s| bar(o, s))).collect();
            if !bars.is_empty() {
                lanes.push(Lane {
                    group: device.clone(),
                    label: (*name).to_string(),
                    depth: 1,
                    note: format_seconds(those().map(|(_, o)| o.ms).sum::<f64>() / 1e3),
                    bars,
                });
            }
        }
        streams(run, &device, &mut lanes);
    }
    let last = lanes.iter().flat_map(|l| &l.bars).map(|b| b.end);
    Timeline { seconds: last.fold(run.seconds, f64::max), kinds: kinds(), lanes }
}

/// The devices on which anything was done, in the order of their first mention.
fn devices(run: &RunRecord) -> Vec<String> {
    let operators = run.operators().map(|(_, o)| &o.device);
    let events = run.traces.iter().flat_map(|t| t.trace.events.iter());
    let events = events.filter(|e| work(e.kind).is_some()).map(|e| &e.device);
    let mut out: Vec<String> = Vec::new();
    for device in operators.chain(events) {
        if !out.contains(device) {
            out.push(device.clone());
        }
    }
    out
}

/// The name and colour of what a stream of a device does.
fn work(kind: EventKind) -> Option<(&'static str, usize)> {
    match kind {
        EventKind::Kernel => Some(("kernels", 1)),
        EventKind::Transfer => Some(("copies", COPIES)),
        _ => None,
    }
}

/// A lane for each stream of kernels and of copies of a device.
fn streams(run: &RunRecord, device: &str, lanes: &mut Vec<Lane>) {
    let zero = run.began_ms();
    let from = lanes.len();
    for t in &run.traces {
        let base = (t.began_ms - zero) / 1e3;
        for e in t.trace.events.iter().filter(|e| e.device == device) {
            let Some((name, kind)) = work(e.kind) else { continue };
            // On the host nothing is copied: batches take the form that kernels read.
            let host = device == "cpu" && e.kind == EventKind::Transfer;
            let name = if host { "conversions" } else { name };
            let label = format!("{name}, stream {}", e.lane);
            let place = lanes[from..].iter().position(|l| l.label == label);
            let place = place.map(|p| p + from).unwrap_or_else(|| {
                let group = device.to_string();
                lanes.push(Lane { group, label, depth: 1, ..Lane::default() });
                lanes.len() - 1
            });
            let (start, end) = crate::task_run::span(e);
            let bytes =
                if e.bytes > 0 { format!(", {}", format_bytes(e.bytes)) } else { "".into() };
            let title = format!("{}, {} rows{bytes}", e.name, format_count(e.rows));
            let (start, end) = ((start + base).max(0.0), (end + base).max(0.0));
            lanes[place].bars.push(Bar { start, end, kind, title });
        }
    }
    lanes[from..].sort_by(|a, b| a.label.cmp(&b.label));
    for lane in &mut lanes[from..] {
        lane.note = format_seconds(lane.bars.iter().map(|b| b.end - b.start).sum());
    }
}

/// Memory over the time of the run.
pub(super) fn memory(out: &mut String, run: &RunRecord) {
    let zero = run.began_ms();
    let line = |s: &crate::sample::Series| curve::Line {
        name: s.name.clone(),
        points: s.points.iter().map(|(at, v)| (((at - zero) / 1e3).max(0.0), *v)).collect(),
        filled: s.name == RESERVED,
    };
    // What stayed empty is told by the figures above.
    let shown = |s: &&crate::sample::Series| s.peak() > 0 || s.name == SPILL_FILES;
    let lines: Vec<curve::Line> = run.memory.iter().filter(shown).map(line).collect();
    let last = lines.iter().filter_map(|l| l.points.last()).map(|p| p.0);
    let seconds = last.fold((run.ended_ms() - zero) / 1e3, f64::max).max(1e-3);
    let mut drawing = String::new();
    let limit = run.memory_limit.map(|bytes| ("--memory", bytes));
    curve::draw(&mut drawing, &lines, seconds, limit);
    if !drawing.is_empty() {
        out.push_str("<h2>Memory</h2>\n");
        out.push_str(&drawing);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use windlass::{
        JobStats, Span,
        runtime::{Event, trace::Trace},
    };

    use super::*;
    use crate::record::DeviceTrace;

    #[test]
    fn a_run_has_lanes_for_statements_kinds_of_operators_and_streams() {
        let operator = |name: &str, device: &str| OperatorStats {
            name: name.into(),
            device: device.into(),
            spans: vec![Span { partition: 0, start_ms: 2_000_100.0, end_ms: 2_000_200.0 }],
            ..Default::default()
        };
        let operators = vec![
            operator("SortExec", "cpu"),
            operator("DevicePipelineExec", "cuda:0"),
            operator("DeviceUploadExec", "cuda:0"),
            operator("DataSourceExec", "cpu"),
        ];
        let event = |kind, lane, at| {
            Arc::new(Event {
                at: Duration::from_millis(at),
                duration: Duration::from_millis(5),
                kind,
                device: "cuda:0".into(),
                lane,
                name: "k".into(),
                rows: 1,
                bytes: 2,
            })
        };
        let events = vec![
            event(EventKind::Transfer, 0, 1100),
            event(EventKind::Kernel, 1, 1110),
            event(EventKind::Kernel, 0, 1105),
            event(EventKind::Decision, 0, 1001),
        ];
        let run = RunRecord {
            seconds: 0.5,
            statements: vec![StatementRecord {
                text: "select 1".into(),
                line: 1,
                began_ms: 2_000_000.0,
                seconds: 0.5,
                cpu_seconds: None,
                stats: JobStats { operators, ..Default::default() },
                error: None,
            }],
            traces: vec![DeviceTrace {
                began_ms: 1_999_000.0,
                trace: Trace { events, dropped: 0 },
            }],
            ..Default::default()
        };
        let timeline = of_run(&run);
        let lanes: Vec<(&str, &str)> =
            timeline.lanes.iter().map(|l| (l.group.as_str(), l.label.as_str())).collect();
        assert_eq!(
            lanes,
            [
                ("statements", "one after the other"),
                ("cpu", "scans"),
                ("cpu", "sorts and windows"),
                ("cuda:0", "filters and projections"),
                ("cuda:0", "uploads and downloads"),
                ("cuda:0", "copies, stream 0"),
                ("cuda:0", "kernels, stream 0"),
                ("cuda:0", "kernels, stream 1"),
            ]
        );
        let copy = &timeline.lanes[5].bars[0];
        assert!((copy.start - 0.1).abs() < 1e-9 && (copy.end - 0.105).abs() < 1e-9, "{copy:?}");
        let own = of_statement(&run.statements[0]);
        assert_eq!(own.lanes.len(), 4);
        assert_eq!(own.lanes[1].label, "DevicePipeline, cuda:0");
        assert!((own.lanes[0].bars[0].start - 0.1).abs() < 1e-9);
    }
}
