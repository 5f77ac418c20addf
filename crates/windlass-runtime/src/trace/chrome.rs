//! The trace event format of Chrome, which ui.perfetto.dev and chrome://tracing read.
//!
//! The slices of one thread must lie within one another or apart, or a viewer drops some. Here
//! they lie apart: those of one lane that overlap are spread over as many threads as it takes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A slice of time in a lane.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// What it is called.
    pub name: String,
    /// What sort of thing it is.
    pub category: String,
    /// When it began, in nanoseconds of the trace.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Anything else, as an object; shown when the slice is chosen.
    pub args: Value,
}

/// A trace in the making.
#[derive(Debug, Default)]
pub struct ChromeTrace {
    processes: Vec<Process>,
}

#[derive(Debug, Default)]
struct Process {
    name: String,
    /// Lanes by their place and name.
    lanes: BTreeMap<(u64, String), Lane>,
    /// Values over time, by name.
    counters: BTreeMap<String, Vec<(u64, Value)>>,
}

#[derive(Debug, Default)]
struct Lane {
    slices: Vec<Slice>,
    points: Vec<Slice>,
}

impl ChromeTrace {
    /// A process: what lies side by side in the viewer. They stand in the order in which they
    /// are first named.
    pub fn process(&mut self, name: &str) {
        self.of(name);
    }

    fn of(&mut self, name: &str) -> &mut Process {
        let at = self.processes.iter().position(|p| p.name == name).unwrap_or_else(|| {
            self.processes.push(Process { name: name.to_string(), ..Process::default() });
            self.processes.len() - 1
        });
        &mut self.processes[at]
    }

    fn lane(&mut self, process: &str, (place, name): (u64, &str)) -> &mut Lane {
        self.of(process).lanes.entry((place, name.to_string())).or_default()
    }

    /// Adds a slice to a lane, which stands by its number.
    pub fn slice(&mut self, process: &str, lane: (u64, &str), slice: Slice) {
        self.lane(process, lane).slices.push(slice);
    }

    /// Adds a point in time: the slice's begin counts.
    pub fn point(&mut self, process: &str, lane: (u64, &str), point: Slice) {
        self.lane(process, lane).points.push(point);
    }

    /// Adds the value of a counter from a time on.
    pub fn counter(&mut self, process: &str, name: &str, at: u64, value: impl Into<Value>) {
        let values = self.of(process).counters.entry(name.to_string()).or_default();
        values.push((at, value.into()));
    }

    /// The whole, with `other` beside the events. Slices of a thread are in the order of time.
    pub fn into_json(self, other: Value) -> Value {
        let mut out = Vec::new();
        for (at, process) in self.processes.into_iter().enumerate() {
            // Number 0 is the idle process to some viewers.
            let pid = at + 1;
            out.push(meta("process_name", pid, 0, "name", process.name.as_str()));
            out.push(meta("process_sort_index", pid, 0, "sort_index", pid));
            let mut tid = 0;
            for ((_, name), lane) in process.lanes {
                let rows = spread(lane.slices);
                let mut points = lane.points;
                points.sort_by_key(|p| p.start);
                for row in 0..rows.len().max(1) {
                    tid += 1;
                    let name = match row {
                        0 => name.clone(),
                        more => format!("{name} ({})", more + 1),
                    };
                    out.push(meta("thread_name", pid, tid, "name", name));
                    out.push(meta("thread_sort_index", pid, tid, "sort_index", tid));
                    for s in rows.get(row).into_iter().flatten() {
                        out.push(json!({
                            "name": s.name, "cat": s.category, "ph": "X", "pid": pid, "tid": tid,
                            "ts": micros(s.start), "dur": micros(s.end.saturating_sub(s.start)),
                            "args": s.args,
                        }));
                    }
                    for p in points.drain(..) {
                        out.push(json!({
                            "name": p.name, "cat": p.category, "ph": "i", "s": "t", "pid": pid,
                            "tid": tid, "ts": micros(p.start), "args": p.args,
                        }));
                    }
                }
            }
            for (name, mut values) in process.counters {
                values.sort_by_key(|(at, _)| *at);
                for (at, value) in values {
                    out.push(json!({
                        "name": name, "ph": "C", "pid": pid, "tid": 0, "ts": micros(at),
                        "args": {"value": value},
                    }));
                }
            }
        }
        json!({"displayTimeUnit": "ms", "traceEvents": out, "otherData": other})
    }
}

/// Slices in as few rows as it takes for none to overlap another of its row: each goes to the
/// first row that is free when it begins.
fn spread(mut slices: Vec<Slice>) -> Vec<Vec<Slice>> {
    slices.sort_by_key(|s| (s.start, s.end));
    let mut rows: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        let free = |row: &Vec<Slice>| row.last().is_none_or(|last| last.end <= slice.start);
        match rows.iter().position(free) {
            Some(row) => rows[row].push(slice),
            None => rows.push(vec![slice]),
        }
    }
    rows
}

/// Microseconds, exact to the nanosecond for traces of up to a hundred days.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn meta(what: &str, pid: usize, tid: usize, key: &str, value: impl Into<Value>) -> Value {
    json!({"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {key: value.into()}})
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// The slices of each thread, in the order of the file.
    fn by_thread(trace: &Value) -> BTreeMap<(u64, u64), Vec<(f64, f64)>> {
        let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for e in trace["traceEvents"].as_array().unwrap() {
            let number = |key: &str| e[key].as_f64().unwrap();
            if e["ph"] == "X" {
                let thread = (number("pid") as u64, number("tid") as u64);
                out.entry(thread).or_default().push((number("ts"), number("dur")));
            }
        }
        out
    }

    #[test]
    fn slices_of_a_thread_are_sorted_and_apart() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut trace = ChromeTrace::default();
        for i in 0..3000_u64 {
            let start = rng.random_range(0..1_000_000_000);
            let slice = Slice {
                name: format!("s{i}"),
                start,
                end: start + rng.random_range(0..3_000_001),
                ..Slice::default()
            };
            trace.slice(&format!("p{}", i % 2), (i % 5, "lane"), slice);
        }
        let json = trace.into_json(Value::Null);
        let threads = by_thread(&json);
        assert_eq!(threads.values().map(Vec::len).sum::<usize>(), 3000);
        // 300 slices a lane that take 4.5 times its time: about a dozen rows at most.
        assert!((10..150).contains(&threads.len()), "{}", threads.len());
        for slices in threads.values() {
            for two in slices.windows(2) {
                // The sum in floats may be off by a fraction of a nanosecond.
                assert!(two[0].0 + two[0].1 <= two[1].0 + 1e-6, "{two:?}");
            }
        }
    }

    #[test]
    fn processes_lanes_and_counters_have_names_and_an_order() {
        let mut trace = ChromeTrace::default();
        trace.process("late");
        let slice = |start, end| Slice { start, end, ..Slice::default() };
        trace.slice("early", (2, "worker 2"), slice(0, 10));
        trace.slice("early", (1, "worker 1"), slice(0, 10));
        trace.slice("early", (1, "worker 1"), slice(5, 15));
        trace.point("early", (3, "placed"), slice(4, 4));
        trace.counter("late", "memory", 9, 2);
        trace.counter("late", "memory", 3, 1);
        let json = trace.into_json(json!({"dropped": 1}));
        let all = json["traceEvents"].as_array().unwrap();
        let named = |what: &str| -> Vec<&str> {
            let those = all.iter().filter(|e| e["name"] == what);
            those.map(|e| e["args"]["name"].as_str().unwrap()).collect()
        };
        assert_eq!(named("process_name"), ["late", "early"]);
        assert_eq!(named("thread_name"), ["worker 1", "worker 1 (2)", "worker 2", "placed"]);
        let counters: Vec<_> = all.iter().filter(|e| e["ph"] == "C").collect();
        assert_eq!(counters.iter().map(|e| &e["ts"]).collect::<Vec<_>>(), [0.003, 0.009]);
        assert_eq!(counters[1]["args"]["value"], 2);
        assert!(all.iter().any(|e| e["ph"] == "i" && e["ts"] == 0.004));
        assert_eq!(json["otherData"]["dropped"], 1);
    }
}
