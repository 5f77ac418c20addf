//! The file of `--trace`: operators over time, what devices did, and memory, in the trace event
//! format that ui.perfetto.dev and chrome://tracing read.

use serde_json::{Value, json};
use windlass::runtime::trace::{ChromeTrace, Slice};

use crate::record::RunRecord;

/// The name of the statements' own process; devices follow.
const JOB: &str = "job";

/// The trace of a run. Each device is a process; in it are a lane for each operator of each
/// statement and partition, with one slice from its first to its last work, and a lane for each
/// stream of kernels and of copies. Memory is in counters.
pub(crate) fn events(run: &RunRecord) -> Value {
    let mut chrome = ChromeTrace::default();
    chrome.process(JOB);
    // Times are told from the first statement's begin.
    let zero = run.began_ms();
    let nanos = |ms: f64| ((ms - zero) * 1e6).round().max(0.0) as u64;
    let mut lane = 0;
    for (i, s) in run.statements.iter().enumerate() {
        let slice = Slice {
            name: s.text.clone(),
            category: "statement".into(),
            start: nanos(s.began_ms),
            end: nanos(s.began_ms + s.seconds * 1e3),
            args: json!({
                "line": s.line, "rows": s.stats.rows, "bytes_read": s.stats.bytes_read,
                "spilled_bytes": s.stats.spilled_bytes, "error": s.error,
            }),
        };
        chrome.slice(JOB, (0, "statements"), slice);
        for o in &s.stats.operators {
            for span in &o.spans {
                // Operators come before the streams, statement by statement as in the plan.
                lane += 1;
                let name = format!("{}.{} {}", i + 1, span.partition, o.name);
                let rows = o.partitions.iter().find(|p| p.partition == span.partition);
                let slice = Slice {
                    name: o.name.clone(),
                    category: "operator".into(),
                    start: nanos(span.start_ms),
                    end: nanos(span.end_ms),
                    args: json!({
                        "statement": i + 1, "partition": span.partition, "rows": o.rows,
                        "partition_rows": rows.map(|p| p.rows), "bytes": o.bytes,
                        "busy_ms": o.ms, "reason": o.reason,
                    }),
                };
                chrome.slice(&o.device, (STREAMS + lane, &name), slice);
            }
        }
    }
    for t in &run.traces {
        t.trace.add_to(&mut chrome, ((t.began_ms - zero) * 1e6) as i64);
    }
    for series in &run.memory {
        // A device's memory stands with the device.
        let device = series.name.strip_suffix(", in use");
        let process = device.unwrap_or(JOB);
        let name = device.map_or(series.name.as_str(), |_| "memory in use");
        for (at, bytes) in &series.points {
            chrome.counter(process, &format!("{name} (bytes)"), nanos(*at), *bytes);
        }
    }
    chrome.into_json(json!({"error": run.error, "dropped_events": run.dropped_events()}))
}

/// Streams have the first places among the lanes of a device.
const STREAMS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use windlass::{JobStats, OperatorStats, Span};

    use super::*;
    use crate::{record::StatementRecord, sample::Series};

    #[test]
    fn each_partition_of_an_operator_is_a_slice_on_its_device() {
        let span = |partition| Span { partition, start_ms: 1001.0, end_ms: 1003.5 };
        let operator = OperatorStats {
            name: "FilterExec".into(),
            device: "cpu".into(),
            spans: vec![span(0), span(1)],
            ..Default::default()
        };
        let series = |name: &str| Series { name: name.into(), points: vec![(1002.0, 77)] };
        let run = RunRecord {
            statements: vec![StatementRecord {
                text: "select 1".into(),
                line: 1,
                began_ms: 1000.0,
                seconds: 0.01,
                cpu_seconds: None,
                stats: JobStats { operators: vec![operator], ..Default::default() },
                error: None,
            }],
            memory: vec![series("process, resident"), series("cpu, in use")],
            ..Default::default()
        };
        let trace = events(&run);
        let all = trace["traceEvents"].as_array().unwrap();
        let slices: Vec<&Value> = all.iter().filter(|e| e["cat"] == "operator").collect();
        assert_eq!(slices.len(), 2);
        assert_eq!(
            (slices[0]["ts"].as_f64(), slices[0]["dur"].as_f64()),
            (Some(1000.0), Some(2500.0))
        );
        assert_ne!(slices[0]["tid"], slices[1]["tid"]);
        assert!(all.iter().any(|e| e["ph"] == "M" && e["args"]["name"] == "cpu"));
        let counters: Vec<&Value> = all.iter().filter(|e| e["ph"] == "C").collect();
        assert_eq!(counters.len(), 2);
        assert_eq!(counters[0]["name"], "process, resident (bytes)");
        assert_eq!(
            (&counters[1]["args"]["value"], &counters[1]["ts"]),
            (&json!(77), &json!(2000.0))
        );
        assert_eq!(counters[1]["pid"], slices[0]["pid"]);
    }
}
