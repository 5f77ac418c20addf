//! Progress of a running query, told from a thread of its own: those of the runtime may all
//! be inside one long step of an operator.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use datafusion::physical_plan::ExecutionPlan;
use parking_lot::{Condvar, Mutex};

use crate::{
    session::Session,
    stats::{Progress, ProgressSink, leaves, operators},
};

/// How often a sink is called: often enough to look alive, rarely enough to cost nothing (a
/// guess).
const INTERVAL: Duration = Duration::from_millis(100);

/// Tells a sink of a query until it is dropped.
pub(crate) struct Watch {
    query: Arc<Query>,
    thread: Option<JoinHandle<()>>,
}

/// What is told about.
struct Query {
    sink: Arc<dyn ProgressSink>,
    session: Session,
    physical: Arc<dyn ExecutionPlan>,
    began: Instant,
    bytes_before: u64,
    rows: AtomicU64,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Watch {
    /// Starts. `bytes_before` is what the session had read when the query began.
    pub(crate) fn new(
        sink: Arc<dyn ProgressSink>,
        session: &Session,
        physical: &Arc<dyn ExecutionPlan>,
        began: Instant,
        bytes_before: u64,
    ) -> Self {
        let query = Arc::new(Query {
            sink,
            session: session.clone(),
            physical: Arc::clone(physical),
            began,
            bytes_before,
            rows: AtomicU64::new(0),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        });
        let watched = Arc::clone(&query);
        let thread = std::thread::Builder::new().name("windlass-progress".to_string());
        // Where no thread can be had, the end alone is told.
        let thread = thread.spawn(move || watched.tell_until_ended()).ok();
        Self { query, thread }
    }

    /// Sets the number of rows that the query returned so far.
    pub(crate) fn set_rows(&self, rows: u64) {
        self.query.rows.store(rows, Ordering::Relaxed);
    }

    /// Ends with the last figures.
    pub(crate) fn finish(mut self) {
        self.stop();
        self.query.tell();
    }

    fn stop(&mut self) {
        *self.query.ended.lock() = true;
        self.query.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A sink that panicked has told so; the query goes on.
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Query {
    fn tell_until_ended(&self) {
        loop {
            {
                let mut ended = self.ended.lock();
                if !*ended {
                    self.wake.wait_for(&mut ended, INTERVAL);
                }
                if *ended {
                    return;
                }
            }
            self.tell();
        }
    }

    fn tell(&self) {
        let operators = operators(&self.physical);
        let rows_read = leaves(&operators).map(|o| o.rows).sum();
        // A local file counts as read when it is opened; scans know better.
        let scans = leaves(&operators).filter(|o| o.name == "DataSourceExec");
        let scanned = scans.map(|o| o.scanned_bytes).sum::<Option<u64>>().filter(|n| *n > 0);
        let opened = self.session.bytes_read() - self.bytes_before;
        self.sink.update(&Progress {
            seconds: self.began.elapsed().as_secs_f64(),
            rows_read,
            bytes_read: scanned.unwrap_or(opened),
            bytes_total: crate::read::total_bytes(&self.physical),
            rows: self.rows.load(Ordering::Relaxed),
            operators,
        });
    }
}
