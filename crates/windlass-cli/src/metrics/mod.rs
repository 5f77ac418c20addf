//! `--metrics`: what the process does, for Prometheus to scrape while it runs.
//!
//! | module | holds |
//! |---|---|
//! | here | what is told, and where it comes from |
//! | [`text`] | the format |
//! | [`server`] | the web server |

mod server;
mod text;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use windlass::{
    JobStats, Session,
    runtime::{EventKind, Subscriber, execute::Executor},
};

use self::text::{Kind, Labels, Text};
use crate::{
    engine::note,
    error::{Error, Result},
    record::{peak_resident_bytes, processor_seconds, resident_bytes},
};

/// How often the counting of a session's events looks whether the session is still there.
const LOOK: Duration = Duration::from_millis(500);

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    addresses: Vec<SocketAddr>,
}

/// Parses `HOST:PORT`.
///
/// # Errors
/// A sentence that says what would be an address.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    let hint = "write HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464; port 0 takes a free one";
    let addresses: Vec<SocketAddr> =
        text.to_socket_addrs().map_err(|e| format!("{e}; {hint}"))?.collect();
    match addresses.is_empty() {
        true => Err(format!("{text} has no address; {hint}")),
        false => Ok(Address { text: text.to_string(), addresses }),
    }
}

/// What is counted of this process; `None` where nobody asked for it.
static METRICS: OnceLock<Metrics> = OnceLock::new();

#[derive(Default)]
struct Metrics {
    counts: Mutex<Counts>,
    /// The session in use: its clone is let go when another takes its place.
    session: Mutex<Option<Session>>,
    executor: Mutex<Weak<Executor>>,
}

/// Sums since the process began.
#[derive(Debug, Clone, Default)]
struct Counts {
    running: u64,
    done: u64,
    failed: u64,
    seconds: f64,
    rows: u64,
    spilled_bytes: u64,
    fallbacks: u64,
    /// Bytes read by sessions that were replaced.
    read_before: u64,
    /// By device and kind of work.
    work: BTreeMap<(String, &'static str), Work>,
    dropped: u64,
}

/// What a device did of a kind of work.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    count: u64,
    seconds: f64,
    bytes: u64,
}

/// Listens, and counts from now on.
///
/// # Errors
/// An address that is taken, or not this machine's.
pub(crate) fn serve(address: &Address) -> Result<()> {
    let metrics = METRICS.get_or_init(Metrics::default);
    let local = server::serve(&address.addresses, || metrics.text()).map_err(|e| {
        Error::caused(format!("--metrics {}: cannot listen there", address.text), &e)
            .or_help("choose another port; 0 takes a free one")
    })?;
    if address.addresses.iter().any(|a| a.port() == 0) {
        // Nobody could know it otherwise.
        note(&format!("metrics at http://{local}/metrics"));
    }
    Ok(())
}

/// A statement that runs; dropped without its end it counts as failed.
pub(crate) struct Running {
    ended: bool,
}

/// A statement begins.
pub(crate) fn begin() -> Running {
    count(|c| c.running += 1);
    Running { ended: false }
}

impl Running {
    /// It ended, with these figures.
    pub(crate) fn end(mut self, stats: &JobStats, seconds: f64, failed: bool) {
        self.ended = true;
        count(|c| {
            c.running -= 1;
            *if failed { &mut c.failed } else { &mut c.done } += 1;
            c.seconds += seconds;
            c.rows += stats.rows;
            c.spilled_bytes += stats.spilled_bytes;
            c.fallbacks += u64::from(stats.fallback.is_some());
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            count(|c| (c.running, c.failed) = (c.running - 1, c.failed + 1));
        }
    }
}

fn count(add: impl FnOnce(&mut Counts)) {
    if let Some(metrics) = METRICS.get() {
        add(&mut metrics.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tells of this session from now on.
pub(crate) fn watch_session(session: &Session) {
    let Some(metrics) = METRICS.get() else { return };
    forget_session();
    *metrics.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
    let inventory = session.devices().inventory();
    let (reader, there) = (inventory.events().subscribe(), Arc::downgrade(inventory));
    let thread = std::thread::Builder::new().name("windlass-count".into());
    // Where no thread can be had, devices' work is not told.
    let _ = thread.spawn(move || count_events(reader, || there.strong_count() > 0));
}

/// Lets the session go, so that what it has on disk goes with its last user. Its sums stay.
pub(crate) fn forget_session() {
    let Some(metrics) = METRICS.get() else { return };
    let old = metrics.session.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(old) = old {
        count(|c| c.read_before += old.bytes_read());
    }
}

/// Tells of the tasks of this executor from now on.
pub(crate) fn watch_executor(executor: &Arc<Executor>) {
    if let Some(metrics) = METRICS.get() {
        *metrics.executor.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(executor);
    }
}

/// Counts what devices do.
fn count_events(mut reader: Subscriber, there: impl Fn() -> bool) {
    let mut dropped = 0;
    while there() {
        while let Some(event) = reader.next(LOOK) {
            let more = reader.dropped() - dropped;
            dropped += more;
            count(|c| {
                c.dropped += more;
                if matches!(
                    event.kind,
                    EventKind::Kernel | EventKind::Transfer | EventKind::Fallback
                ) {
                    let key = (event.device.clone(), event.kind.name());
                    let work = c.work.entry(key).or_default();
                    work.count += 1;
                    work.seconds += event.duration.as_secs_f64();
                    work.bytes += event.bytes;
                }
            });
        }
    }
}

impl Metrics {
    /// Everything, as it is now.
    fn text(&self) -> String {
        let mut text = Text::default();
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        build(&mut text);
        statements(&mut text, &counts, session.as_ref());
        memory(&mut text, session.as_ref());
        devices(&mut text, &counts, session.as_ref());
        let executor = self.executor.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(executor) = executor {
            tasks(&mut text, &executor);
        }
        text.finish()
    }
}

fn build(text: &mut Text) {
    let version: Labels<'_> = &[("version", env!("CARGO_PKG_VERSION"))];
    text.family(Kind::Gauge, "windlass_build_info", "The version that runs.", &[(version, 1.0)]);
    if let Some(seconds) = processor_seconds() {
        let name = "process_cpu_seconds_total";
        text.one(Kind::Counter, name, "Processor time of all threads.", seconds);
    }
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        text.one(Kind::Gauge, name, "Memory that the system gave the process.", bytes as f64);
    }
    if let Some(bytes) = peak_resident_bytes() {
        let name = "windlass_resident_memory_peak_bytes";
        text.one(Kind::Gauge, name, "Most memory that the process had.", bytes as f64);
    }
}

fn statements(text: &mut Text, c: &Counts, session: Option<&Session>) {
    use Kind::{Counter, Gauge};
    text.one(Gauge, "windlass_queries_running", "Statements that run now.", c.running as f64);
    let results: [(Labels<'_>, f64); 2] =
        [(&[("result", "done")], c.done as f64), (&[("result", "failed")], c.failed as f64)];
    let name = "windlass_queries_total";
    text.family(Counter, name, "Statements that ended, by what became of them.", &results);
    let name = "windlass_query_seconds_total";
    text.one(Counter, name, "Time of statements that ended.", c.seconds);
    let name = "windlass_rows_total";
    text.one(Counter, name, "Rows that statements returned and wrote.", c.rows as f64);
    let read = c.read_before + session.map_or(0, Session::bytes_read);
    let name = "windlass_read_bytes_total";
    text.one(Counter, name, "Bytes read from files and object stores.", read as f64);
    let name = "windlass_spilled_bytes_total";
    let help = "Bytes that statements which ended wrote to disk for lack of memory.";
    text.one(Counter, name, help, c.spilled_bytes as f64);
    let name = "windlass_fallbacks_total";
    let help = "Statements that ran again, since a device failed or memory ended.";
    text.one(Counter, name, help, c.fallbacks as f64);
    let name = "windlass_events_dropped_total";
    let help = "Events of devices that came faster than they could be counted.";
    text.one(Counter, name, help, c.dropped as f64);
}

fn memory(text: &mut Text, session: Option<&Session>) {
    let Some(session) = session else { return };
    let host = session.host_use();
    let mut gauge = |name: &str, help: &str, bytes: u64| {
        text.one(Kind::Gauge, name, help, bytes as f64);
    };
    gauge("windlass_pool_reserved_bytes", "Host memory that operators reserved.", host.reserved);
    let help = "Most host memory that operators of the last statement reserved.";
    gauge("windlass_pool_peak_bytes", help, host.peak);
    if let Some(limit) = host.limit {
        let help = "Host memory that operators may reserve (--memory).";
        gauge("windlass_pool_limit_bytes", help, limit);
    }
    gauge("windlass_spill_file_bytes", "Bytes of spilled rows on disk.", host.spill_files);
}

fn devices(text: &mut Text, c: &Counts, session: Option<&Session>) {
    let opened = session.map(|s| s.devices().opened()).unwrap_or_default();
    let stats: Vec<_> =
        opened.iter().map(|d| (d.info().name.to_string(), d.pool().stats())).collect();
    let labels: Vec<[(&str, &str); 1]> =
        stats.iter().map(|(name, _)| [("device", name.as_str())]).collect();
    let values = |of: &dyn Fn(usize) -> usize| -> Vec<(Labels<'_>, f64)> {
        labels.iter().enumerate().map(|(i, l)| (l.as_slice(), of(i) as f64)).collect()
    };
    let mut gauge = |name: &str, help: &str, of: &dyn Fn(usize) -> usize| {
        text.family(Kind::Gauge, name, help, &values(of));
    };
    let name = "windlass_device_memory_used_bytes";
    gauge(name, "Memory of a device that is in use.", &|i| stats[i].1.in_use);
    let name = "windlass_device_memory_limit_bytes";
    gauge(name, "Memory of a device that may be used.", &|i| stats[i].1.cap);
    let name = "windlass_device_memory_peak_bytes";
    gauge(name, "Most memory of a device that was in use at once.", &|i| stats[i].1.peak);
    let labels: Vec<[(&str, &str); 2]> = c
        .work
        .keys()
        .map(|(device, kind)| [("device", device.as_str()), ("kind", *kind)])
        .collect();
    let mut counter = |name: &str, help: &str, of: &dyn Fn(&Work) -> f64| {
        let values: Vec<(Labels<'_>, f64)> =
            labels.iter().map(|l| l.as_slice()).zip(c.work.values().map(of)).collect();
        text.family(Kind::Counter, name, help, &values);
    };
    let name = "windlass_device_operations_total";
    counter(name, "Batches that kernels ran on, copies, and failures.", &|w| w.count as f64);
    let name = "windlass_device_seconds_total";
    counter(name, "Time of these, from launch to result.", &|w| w.seconds);
    let name = "windlass_device_copied_bytes_total";
    counter(name, "Bytes that copies moved.", &|w| w.bytes as f64);
}

fn tasks(text: &mut Text, executor: &Executor) {
    let (gauges, counts) = (executor.gauges(), executor.counts());
    let states: [(Labels<'_>, f64); 2] = [
        (&[("state", "running")], gauges.running as f64),
        (&[("state", "waiting")], gauges.waiting as f64),
    ];
    text.family(Kind::Gauge, "windlass_tasks", "Tasks of graphs that go on.", &states);
    let by_result = |result: &'static str| {
        let label = move |(device, _): &(String, _)| {
            [("device".to_string(), device.clone()), ("result".to_string(), result.to_string())]
        };
        counts.iter().map(label).collect::<Vec<_>>()
    };
    let (done, failed) = (by_result("done"), by_result("failed"));
    let borrowed: Vec<[(&str, &str); 2]> = done
        .iter()
        .chain(&failed)
        .map(|[a, b]| [(a.0.as_str(), a.1.as_str()), (b.0.as_str(), b.1.as_str())])
        .collect();
    let numbers = counts.iter().map(|c| c.1.tasks).chain(counts.iter().map(|c| c.1.failures));
    let values: Vec<(Labels<'_>, f64)> =
        borrowed.iter().map(|l| l.as_slice()).zip(numbers.map(|n| n as f64)).collect();
    text.family(Kind::Counter, "windlass_task_tries_total", "Tries of tasks that ended.", &values);
    let labels: Vec<[(&str, &str); 1]> =
        counts.iter().map(|(device, _)| [("device", device.as_str())]).collect();
    let labelled = |of: &dyn Fn(usize) -> f64| -> Vec<(Labels<'_>, f64)> {
        labels.iter().enumerate().map(|(i, l)| (l.as_slice(), of(i))).collect()
    };
    let name = "windlass_task_busy_seconds_total";
    let help = "Time in which workers ran tasks.";
    let busy = labelled(&|i| counts[i].1.busy_nanos as f64 * 1e-9);
    text.family(Kind::Counter, name, help, &busy);
    let name = "windlass_task_spilled_bytes_total";
    let spilled = labelled(&|i| counts[i].1.spilled_bytes as f64);
    text.family(Kind::Counter, name, "Bytes of results that went to disk.", &spilled);
    let name = "windlass_task_memory_bytes";
    let help = "Memory of results and running tasks.";
    let used = labelled(&|i| gauges.used.get(i).map_or(0, |u| u.1) as f64);
    text.family(Kind::Gauge, name, help, &used);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        assert_eq!(parse_address("127.0.0.1:9464").unwrap().addresses[0].port(), 9464);
        assert!(parse_address("[::1]:1").unwrap().addresses[0].is_ipv6());
        for wrong in ["", "9464", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:port", "http://x:1"] {
            let e = parse_address(wrong).unwrap_err();
            assert!(e.contains("HOST:PORT"), "{wrong}: {e}");
        }
    }

    #[test]
    fn every_family_says_what_it_is() {
        let counts = Counts {
            done: 3,
            work: [(("wgpu:0".to_string(), "kernel"), Work { count: 2, seconds: 0.5, bytes: 0 })]
                .into(),
            ..Counts::default()
        };
        let session = Session::new().unwrap();
        let executor = Arc::new(Executor::new(Default::default()).unwrap());
        let metrics = Metrics {
            counts: Mutex::new(counts),
            session: Mutex::new(Some(session)),
            executor: Mutex::new(Arc::downgrade(&executor)),
        };
        let text = metrics.text();
        for part in [
            "windlass_queries_total{result=\"done\"} 3\n",
            "windlass_device_operations_total{device=\"wgpu:0\",kind=\"kernel\"} 2\n",
            "windlass_tasks{state=\"waiting\"} 0\n",
            "windlass_task_tries_total{device=\"cpu\",result=\"failed\"} 0\n",
            "# TYPE windlass_pool_reserved_bytes gauge\n",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(text.contains(&format!("# TYPE {name} ")), "{line} has no type");
            assert!(text.contains(&format!("# HELP {name} ")), "{line} has no help");
        }
    }
}
