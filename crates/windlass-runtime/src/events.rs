//! One bounded stream of events: progress displays, statistics and trace files read it.
//!
//! Publishing never waits for a reader. A reader that falls behind loses the oldest events
//! and is told how many.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

/// Events kept for slow readers. A guess: a minute of a busy job at one event for each
/// batch, copy and kernel, in about 2 MiB.
const CAPACITY: usize = 16_384;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A unit of work on the host.
    Task,
    /// A try of such a unit that failed.
    Failed,
    /// Kernels of one batch on a device, from launch to result.
    Kernel,
    /// A copy between host and device.
    Transfer,
    /// Where an operator was placed.
    Decision,
    /// The memory of a device.
    Memory,
    /// A device failed, and the work went to the CPU.
    Fallback,
    /// A worker process died before its task was done.
    Crash,
}

impl EventKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Failed => "failed",
            Self::Kernel => "kernel",
            Self::Transfer => "transfer",
            Self::Decision => "decision",
            Self::Memory => "memory",
            Self::Fallback => "fallback",
            Self::Crash => "crash",
        }
    }

    /// Whether it is a try of a task, with or without a result.
    pub fn is_try(self) -> bool {
        matches!(self, Self::Task | Self::Failed)
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When it began, since the stream was made.
    pub at: Duration,
    /// How long it took; zero for a point in time.
    pub duration: Duration,
    /// What it is about.
    pub kind: EventKind,
    /// The device's name; empty for the host's own work.
    pub device: String,
    /// The thread or stream of the device that did it; 0 where there is one, or it is not told.
    pub lane: u64,
    /// The operator, kernel, task or reason.
    pub name: String,
    /// Rows that it handled.
    pub rows: u64,
    /// Bytes that it moved or holds.
    pub bytes: u64,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Number of the event after the last one.
    next: u64,
    closed: bool,
}

struct Inner {
    started: Instant,
    ring: Mutex<Ring>,
    more: Condvar,
    readers: AtomicUsize,
}

/// The writing end; clones share the stream. With no reader an event costs one load.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readers = self.inner.readers.load(Ordering::Relaxed);
        f.debug_struct("Events").field("readers", &readers).finish_non_exhaustive()
    }
}

impl Events {
    /// An empty stream.
    pub fn new() -> Self {
        let (ring, more, readers) = (Mutex::default(), Condvar::new(), AtomicUsize::new(0));
        Self { inner: Arc::new(Inner { started: Instant::now(), ring, more, readers }) }
    }

    /// A reader of all events from now on.
    pub fn subscribe(&self) -> Subscriber {
        self.inner.readers.fetch_add(1, Ordering::SeqCst);
        let next = self.inner.ring.lock().next;
        Subscriber { inner: Arc::clone(&self.inner), next, dropped: 0 }
    }

    /// When the stream was made: events tell their times from then.
    pub fn started(&self) -> Instant {
        self.inner.started
    }

    /// Whether anyone reads: lets a caller skip the making of an event.
    pub fn wanted(&self) -> bool {
        self.inner.readers.load(Ordering::Relaxed) > 0
    }

    /// Publishes what began at `began` and ends now.
    pub fn span(
        &self,
        kind: EventKind,
        device: &dyn fmt::Display,
        name: &str,
        began: Instant,
        size: (u64, u64),
    ) {
        self.span_of_lane(kind, (device, 0), name, began, size);
    }

    /// As [`Events::span`], of one of a device's threads or streams.
    pub fn span_of_lane(
        &self,
        kind: EventKind,
        lane: (&dyn fmt::Display, u64),
        name: &str,
        began: Instant,
        size: (u64, u64),
    ) {
        if self.wanted() {
            self.span_between(kind, lane, name, (began, Instant::now()), size);
        }
    }

    /// As [`Events::span_of_lane`], of what ended earlier than now.
    pub fn span_between(
        &self,
        kind: EventKind,
        (device, lane): (&dyn fmt::Display, u64),
        name: &str,
        (began, ended): (Instant, Instant),
        (rows, bytes): (u64, u64),
    ) {
        if self.wanted() {
            self.publish(Event {
                at: began.saturating_duration_since(self.inner.started),
                duration: ended.saturating_duration_since(began),
                kind,
                device: device.to_string(),
                lane,
                name: name.to_string(),
                rows,
                bytes,
            });
        }
    }

    /// Publishes a point in time.
    pub fn point(&self, kind: EventKind, device: &dyn fmt::Display, name: &str) {
        if self.wanted() {
            self.publish(self.now(kind, device, name));
        }
    }

    /// An event that happens now, to be published.
    pub(crate) fn now(&self, kind: EventKind, device: &dyn fmt::Display, name: &str) -> Event {
        Event {
            at: self.inner.started.elapsed(),
            duration: Duration::ZERO,
            kind,
            device: device.to_string(),
            lane: 0,
            name: name.to_string(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Publishes an event.
    pub fn publish(&self, event: Event) {
        let mut ring = self.inner.ring.lock();
        if ring.events.len() == CAPACITY {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(event));
        ring.next += 1;
        drop(ring);
        self.inner.more.notify_all();
    }

    /// Ends the stream: readers get what is left, then nothing.
    pub fn close(&self) {
        self.inner.ring.lock().closed = true;
        self.inner.more.notify_all();
    }
}

/// The reading end.
pub struct Subscriber {
    inner: Arc<Inner>,
    next: u64,
    dropped: u64,
}

impl Subscriber {
    /// The next event. Waits at most `timeout`; `None` when it passes, or at the end.
    pub fn next(&mut self, timeout: Duration) -> Option<Arc<Event>> {
        let deadline = Instant::now() + timeout;
        let mut ring = self.inner.ring.lock();
        while ring.next == self.next && !ring.closed {
            if self.inner.more.wait_until(&mut ring, deadline).timed_out() {
                break;
            }
        }
        let oldest = ring.next - ring.events.len() as u64;
        if self.next < oldest {
            self.dropped += oldest - self.next;
            self.next = oldest;
        }
        let event = ring.events.get((self.next - oldest) as usize).map(Arc::clone)?;
        self.next += 1;
        Some(event)
    }

    /// Events that this reader lost because it was slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.inner.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.inner.ring.lock().events.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_the_oldest_and_is_told() {
        let events = Events::new();
        let mut reader = events.subscribe();
        for i in 0..CAPACITY + 10 {
            events.point(EventKind::Task, &"cpu", &i.to_string());
        }
        assert_eq!(reader.next(Duration::ZERO).unwrap().name, "10");
        assert_eq!(reader.dropped(), 10);
        assert_eq!(reader.next(Duration::ZERO).unwrap().name, "11");
    }

    #[test]
    fn nothing_is_kept_without_a_reader_and_every_reader_gets_all() {
        let events = Events::new();
        events.point(EventKind::Task, &"", "before");
        let (mut a, mut b) = (events.subscribe(), events.subscribe());
        events.span(EventKind::Kernel, &"wgpu:0", "k", Instant::now(), (3, 24));
        for reader in [&mut a, &mut b] {
            let event = reader.next(Duration::from_secs(1)).unwrap();
            assert_eq!((event.name.as_str(), event.rows, event.bytes), ("k", 3, 24));
            assert!(reader.next(Duration::ZERO).is_none());
        }
        events.close();
        assert!(a.next(Duration::from_secs(60)).is_none());
    }

    #[test]
    fn a_reader_wakes_when_an_event_comes() {
        let events = Events::new();
        let mut reader = events.subscribe();
        let thread = std::thread::spawn(move || reader.next(Duration::from_secs(60)));
        events.point(EventKind::Memory, &"cpu", "late");
        assert_eq!(thread.join().unwrap().unwrap().name, "late");
    }
}
