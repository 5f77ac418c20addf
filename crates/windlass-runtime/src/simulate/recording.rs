//! What simulated devices do when, as events.

use std::{sync::Arc, time::Duration};

use crate::{
    events::{Event, EventKind},
    schedule::DeviceProfile,
    trace::Trace,
};

/// A try that runs.
struct Begun {
    device: usize,
    slot: usize,
    name: String,
    began: u64,
    /// When its inputs were there.
    runs_from: u64,
    moved: u64,
    bytes: u64,
}

/// Events in the making.
pub(super) struct Recording {
    names: Vec<Arc<str>>,
    /// Which slots of each device are taken.
    taken: Vec<Vec<bool>>,
    /// The bytes last told of each device.
    used: Vec<u64>,
    /// By the run's own place of a running try.
    begun: Vec<Option<Begun>>,
    trace: Trace,
}

impl Recording {
    pub(super) fn new(devices: &[DeviceProfile]) -> Self {
        Self {
            names: devices.iter().map(|d| Arc::clone(&d.name)).collect(),
            taken: devices.iter().map(|_| Vec::new()).collect(),
            used: vec![0; devices.len()],
            begun: Vec::new(),
            trace: Trace::default(),
        }
    }

    /// A try begins: its inputs of `moved` bytes come over the link, then it runs.
    pub(super) fn begins(
        &mut self,
        place: usize,
        device: usize,
        name: String,
        (began, runs_from): (u64, u64),
        (moved, bytes): (u64, u64),
    ) {
        let taken = &mut self.taken[device];
        let slot = taken.iter().position(|t| !t).unwrap_or_else(|| {
            taken.push(false);
            taken.len() - 1
        });
        taken[slot] = true;
        if self.begun.len() <= place {
            self.begun.resize_with(place + 1, || None);
        }
        self.begun[place] = Some(Begun { device, slot, name, began, runs_from, moved, bytes });
    }

    /// The try at a place ends.
    pub(super) fn ends(&mut self, place: usize, kind: EventKind, now: u64) {
        let Some(b) = self.begun.get_mut(place).and_then(Option::take) else { return };
        self.taken[b.device][b.slot] = false;
        // A device may be lost while the inputs are on their way.
        let runs_from = b.runs_from.min(now);
        if runs_from > b.began {
            let size = (0, b.moved);
            self.event(EventKind::Transfer, &b, (b.began, runs_from), size);
        }
        self.event(kind, &b, (runs_from, now), (0, b.bytes));
    }

    fn event(
        &mut self,
        kind: EventKind,
        b: &Begun,
        (from, to): (u64, u64),
        (rows, bytes): (u64, u64),
    ) {
        self.trace.events.push(Arc::new(Event {
            at: Duration::from_nanos(from),
            duration: Duration::from_nanos(to - from),
            kind,
            device: self.names[b.device].to_string(),
            lane: b.slot as u64,
            name: b.name.clone(),
            rows,
            bytes,
        }));
    }

    /// A device holds this many bytes.
    pub(super) fn memory(&mut self, device: usize, now: u64, bytes: u64) {
        if std::mem::replace(&mut self.used[device], bytes) != bytes {
            self.trace.events.push(Arc::new(Event {
                at: Duration::from_nanos(now),
                duration: Duration::ZERO,
                kind: EventKind::Memory,
                device: self.names[device].to_string(),
                lane: 0,
                name: "memory".into(),
                rows: 0,
                bytes,
            }));
        }
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }
}
