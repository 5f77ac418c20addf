//! Events as a file in the trace event format of Chrome, which ui.perfetto.dev and
//! chrome://tracing read: a process for each device, and in it a lane for each of its threads or
//! streams.
//!
//! ```
//! use windlass_runtime::{
//!     delayed::delayed,
//!     execute::{Executor, ExecutorOptions},
//!     trace::Recorder,
//! };
//!
//! let options = ExecutorOptions::default();
//! let recorder = Recorder::start(&options.events)?;
//! let executor = Executor::new(options)?;
//! delayed(|| 1 + 1).named("add").call(()).compute_on(&executor)?;
//! let path = std::env::temp_dir().join(format!("windlass-doc-{}.json", std::process::id()));
//! recorder.finish().write(&path)?;
//! # assert!(std::fs::read_to_string(&path)?.contains("add[0]"));
//! # std::fs::remove_file(&path)?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    events::{Event, EventKind, Events},
    whole_file::write_whole,
};

/// How long the recorder waits for an event before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps the events of a stream, on a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Trace>,
}

/// Events that were kept.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The events, in the order in which they ended.
    pub events: Vec<Arc<Event>>,
    /// Events that were lost, because more came than could be kept up with.
    pub dropped: u64,
}

impl Recorder {
    /// Keeps all events from now on.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(events: &Events) -> io::Result<Self> {
        let mut reader = events.subscribe();
        let end = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&end);
        let thread =
            std::thread::Builder::new().name("windlass-trace".into()).spawn(move || {
                let mut trace = Trace::default();
                loop {
                    // What came before the end is kept: the flag is read first.
                    let ends = own.load(Ordering::Acquire);
                    while let Some(event) = reader.next(if ends { Duration::ZERO } else { LOOK }) {
                        trace.events.push(event);
                    }
                    if ends {
                        trace.dropped = reader.dropped();
                        return trace;
                    }
                }
            })?;
        Ok(Self { end, thread })
    }

    /// Ends the recording.
    pub fn finish(self) -> Trace {
        self.end.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

impl Trace {
    /// The trace in Chrome's format. Times are microseconds since the stream was made.
    pub fn to_chrome(&self) -> Value {
        // Devices in the order of their names, the host's own work first.
        let mut lanes: BTreeMap<&str, BTreeMap<u64, usize>> = BTreeMap::new();
        for e in &self.events {
            lanes.entry(&e.device).or_default().entry(e.lane).or_default();
        }
        let mut out = Vec::new();
        for (process, (device, lanes)) in lanes.iter_mut().enumerate() {
            let name = if device.is_empty() { "host" } else { device };
            out.push(meta("process_name", process, 0, name));
            for (i, (_, thread)) in lanes.iter_mut().enumerate() {
                *thread = i;
                out.push(meta("thread_name", process, i, &format!("{name} lane {i}")));
            }
        }
        let micros = |d: Duration| d.as_nanos() as f64 / 1e3;
        for e in &self.events {
            let process = lanes.keys().position(|d| *d == e.device).unwrap_or_default();
            let thread = lanes[&*e.device][&e.lane];
            let mut event = json!({
                "name": e.name, "cat": e.kind, "pid": process, "tid": thread, "ts": micros(e.at),
            });
            let fields = if e.kind == EventKind::Memory {
                json!({"ph": "C", "args": {"bytes": e.bytes}})
            } else if e.duration.is_zero() {
                json!({"ph": "i", "s": "t"})
            } else {
                json!({
                    "ph": "X", "dur": micros(e.duration),
                    "args": {"rows": e.rows, "bytes": e.bytes},
                })
            };
            if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
                event.extend(fields);
            }
            out.push(event);
        }
        json!({
            "displayTimeUnit": "ms", "traceEvents": out,
            "otherData": {"dropped_events": self.dropped},
        })
    }

    /// Writes the trace to a file, which has its name only when it is whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, |file| {
            let mut to = BufWriter::new(file);
            serde_json::to_writer(&mut to, &self.to_chrome())?;
            to.flush()
        })
    }
}

fn meta(what: &str, process: usize, thread: usize, name: &str) -> Value {
    json!({"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}})
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn devices_are_processes_and_lanes_threads() {
        let events = Events::new();
        let recorder = Recorder::start(&events).unwrap();
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        for lane in [7, 3, 7] {
            let name = format!("load[{lane}]");
            events.span_of_lane(EventKind::Task, (&"cpu", lane), &name, began, (0, 10));
        }
        events.span(EventKind::Kernel, &"cuda:0", "sum", began, (5, 40));
        events.point(EventKind::Decision, &"cuda:0", "it is near");
        let trace = recorder.finish();
        assert_eq!((trace.events.len(), trace.dropped), (5, 0));
        let chrome = trace.to_chrome();
        let all = chrome["traceEvents"].as_array().unwrap();
        let named = |what: &str| -> Vec<&str> {
            let those = all.iter().filter(|e| e["name"] == what);
            those.map(|e| e["args"]["name"].as_str().unwrap()).collect()
        };
        assert_eq!(named("process_name"), ["cpu", "cuda:0"]);
        assert_eq!(named("thread_name"), ["cpu lane 0", "cpu lane 1", "cuda:0 lane 0"]);
        let tasks: Vec<_> = all.iter().filter(|e| e["cat"] == "task").collect();
        assert_eq!(tasks.iter().map(|e| &e["tid"]).collect::<Vec<_>>(), [1, 0, 1]);
        assert!(tasks[0]["dur"].as_f64().unwrap() >= 2000.0 && tasks[0]["ph"] == "X");
        assert!(all.iter().any(|e| e["ph"] == "i" && e["name"] == "it is near"));
    }
}
