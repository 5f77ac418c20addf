//! The file of `--trace`: operators over time, in the trace event format that
//! ui.perfetto.dev and chrome://tracing read.

use serde_json::{Value, json};

use crate::record::RunRecord;

/// The process number of the statements' own track; devices follow.
const JOB: usize = 1;

/// The trace of a run. Each device is a process, each operator of each statement and
/// partition a track with one slice from its first to its last work.
pub(crate) fn events(run: &RunRecord) -> Value {
    let mut out = vec![name_of("process_name", JOB, 0, "job")];
    let mut devices: Vec<&str> = Vec::new();
    let mut track = 0;
    // Times are told from the first statement's begin.
    let zero = run.statements.first().map_or(0.0, |s| s.began_ms);
    for (i, s) in run.statements.iter().enumerate() {
        out.push(json!({
            "name": s.text, "cat": "statement", "ph": "X", "pid": JOB, "tid": 1,
            "ts": micros(s.began_ms - zero), "dur": micros(s.seconds * 1e3),
            "args": {
                "line": s.line, "rows": s.stats.rows, "bytes_read": s.stats.bytes_read,
                "error": s.error,
            },
        }));
        for o in &s.stats.operators {
            let device = devices.iter().position(|d| *d == o.device).unwrap_or_else(|| {
                devices.push(&o.device);
                out.push(name_of("process_name", JOB + devices.len(), 0, &o.device));
                devices.len() - 1
            });
            let pid = JOB + 1 + device;
            for span in &o.spans {
                track += 1;
                let name = format!("{}.{} {}", i + 1, span.partition, o.name);
                out.push(name_of("thread_name", pid, track, &name));
                out.push(json!({
                    "name": o.name, "cat": "operator", "ph": "X", "pid": pid, "tid": track,
                    "ts": micros(span.start_ms - zero),
                    "dur": micros(span.end_ms - span.start_ms),
                    "args": {
                        "statement": i + 1, "partition": span.partition, "rows": o.rows,
                        "bytes": o.bytes, "busy_ms": o.ms, "reason": o.reason,
                    },
                }));
            }
        }
    }
    json!({"displayTimeUnit": "ms", "traceEvents": out, "otherData": {"error": run.error}})
}

fn name_of(what: &str, pid: usize, tid: usize, name: &str) -> Value {
    json!({"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}})
}

fn micros(ms: f64) -> f64 {
    (ms * 1e3).round().max(0.0)
}

#[cfg(test)]
mod tests {
    use windlass::{JobStats, OperatorStats, Span};

    use super::*;
    use crate::record::StatementRecord;

    #[test]
    fn each_partition_of_an_operator_is_a_slice_on_its_device() {
        let span = |partition| Span { partition, start_ms: 1001.0, end_ms: 1003.5 };
        let operator = OperatorStats {
            name: "FilterExec".into(),
            device: "cpu".into(),
            spans: vec![span(0), span(1)],
            ..Default::default()
        };
        let run = RunRecord {
            statements: vec![StatementRecord {
                text: "select 1".into(),
                line: 1,
                began_ms: 1000.0,
                seconds: 0.01,
                stats: JobStats { operators: vec![operator], ..Default::default() },
                error: None,
            }],
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
    }
}
