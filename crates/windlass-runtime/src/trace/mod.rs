//! Events as a file in the trace event format of Chrome, which ui.perfetto.dev and
//! chrome://tracing read: a process for each device, and in it a lane for each of its workers and
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

mod chrome;

use std::{
    collections::{BTreeMap, BTreeSet},
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

pub use self::chrome::{ChromeTrace, Slice};

use crate::{
    events::{Event, EventKind, Events},
    whole_file::write_whole,
};

/// How long the recorder waits for an event before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Events that are kept; more are counted only. A guess: some 200 MiB, and a file of as much,
/// which viewers still open.
const MOST: usize = 1 << 20;

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
    /// Events that were lost, because more came than could be kept, or kept up with.
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
                let mut beyond = 0;
                loop {
                    // What came before the end is kept: the flag is read first.
                    let ends = own.load(Ordering::Acquire);
                    while let Some(event) = reader.next(if ends { Duration::ZERO } else { LOOK }) {
                        if trace.events.len() < MOST {
                            trace.events.push(event);
                        } else {
                            beyond += 1;
                        }
                    }
                    if ends {
                        trace.dropped = reader.dropped() + beyond;
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
    /// The trace in Chrome's format: a process for each device, the host's own work first, and
    /// in it a lane for each worker and for each stream of kernels and of copies. Times are
    /// since the stream was made.
    pub fn to_chrome(&self) -> Value {
        let mut chrome = ChromeTrace::default();
        self.add_to(&mut chrome, 0);
        chrome.into_json(json!({"dropped_events": self.dropped}))
    }

    /// Adds the events to a trace in which the stream was made `offset` nanoseconds after its
    /// begin; what lies before that begin is left out.
    pub fn add_to(&self, chrome: &mut ChromeTrace, offset: i64) {
        let devices: BTreeSet<&str> = self.events.iter().map(|e| &*e.device).collect();
        let named = |device: &str| -> String {
            if device.is_empty() { "host".to_string() } else { device.to_string() }
        };
        devices.iter().for_each(|d| chrome.process(&named(d)));
        // Threads have numbers of the process; people count those of a device.
        let mut workers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for e in self.events.iter().filter(|e| e.kind.is_try()) {
            workers.entry(&e.device).or_default().insert(e.lane);
        }
        let worker = |e: &Event| {
            let known = workers.get(&*e.device);
            known.map_or(0, |lanes| lanes.range(..e.lane).count())
        };
        for e in &self.events {
            let Some(start) = (e.at.as_nanos() as u64).checked_add_signed(offset) else { continue };
            let process = named(&e.device);
            if e.kind == EventKind::Memory {
                chrome.counter(&process, &format!("{} (bytes)", e.name), start, e.bytes);
                continue;
            }
            let lane = match e.kind {
                EventKind::Task | EventKind::Failed => format!("worker {}", worker(e)),
                EventKind::Kernel => format!("kernels {}", e.lane),
                EventKind::Transfer => format!("copies {}", e.lane),
                EventKind::Memory
                | EventKind::Decision
                | EventKind::Fallback
                | EventKind::Crash => "placement and failures".to_string(),
            };
            let place = match e.kind {
                EventKind::Task | EventKind::Failed => 2 * worker(e) as u64,
                EventKind::Kernel => 2 * e.lane,
                EventKind::Transfer => 2 * e.lane + 1,
                EventKind::Memory
                | EventKind::Decision
                | EventKind::Fallback
                | EventKind::Crash => u64::MAX,
            };
            let slice = Slice {
                name: e.name.clone(),
                category: e.kind.name().to_string(),
                start,
                end: start + e.duration.as_nanos() as u64,
                args: json!({"rows": e.rows, "bytes": e.bytes}),
            };
            // A task may take no time that the clock can tell, and is a slice even so.
            match e.duration.is_zero() && !e.kind.is_try() {
                true => chrome.point(&process, (place, &lane), slice),
                false => chrome.slice(&process, (place, &lane), slice),
            }
        }
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
        let expected =
            ["worker 0", "worker 1", "worker 1 (2)", "kernels 0", "placement and failures"];
        assert_eq!(named("thread_name"), expected);
        let tasks: Vec<_> = all.iter().filter(|e| e["cat"] == "task").collect();
        assert_eq!(tasks.iter().map(|e| &e["tid"]).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(tasks[0]["dur"].as_f64().unwrap() >= 2000.0 && tasks[0]["ph"] == "X");
        assert!(all.iter().any(|e| e["ph"] == "i" && e["name"] == "it is near"));
    }
}
