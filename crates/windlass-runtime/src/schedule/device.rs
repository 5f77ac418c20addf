//! What the scheduler knows of a device.

use std::{borrow::Cow, sync::Arc};

use super::queue::Queue;
use crate::graph::DeviceKind;

/// A device as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProfile {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: DeviceKind,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// How fast it runs a task, against a device of speed 1. What is measured while tasks
    /// run goes before it.
    pub speed: f64,
    /// Bytes that results and running tasks may take there; without it, any.
    pub memory: Option<u64>,
    /// Bytes a second from another device's memory; without it, devices share their memory.
    pub link: Option<f64>,
}

impl DeviceProfile {
    /// A device of speed 1, with one slot and no limit, that shares its memory.
    pub fn new(name: impl Into<Arc<str>>, kind: DeviceKind) -> Self {
        Self { name: name.into(), kind, slots: 1, speed: 1.0, memory: None, link: None }
    }

    /// The same with a number of slots.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// The same with a speed.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// The same with a limit of bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The same with a memory of its own, that this many bytes a second reach.
    #[must_use]
    pub fn link(mut self, bytes_per_second: f64) -> Self {
        self.link = Some(bytes_per_second);
        self
    }
}

/// What a device did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceCounts {
    /// Tasks that were done there.
    pub tasks: u64,
    /// Tries that failed there.
    pub failures: u64,
    /// Nanoseconds in which slots were taken, over all slots.
    pub busy_nanos: u64,
    /// Bytes of inputs that came from other devices.
    pub moved_bytes: u64,
    /// Most bytes that results and running tasks held at once.
    pub peak_bytes: u64,
    /// Bytes of results that were written to disk.
    pub spilled_bytes: u64,
    /// Why tasks were placed here, and how many for each reason.
    pub reasons: Vec<(Cow<'static, str>, u64)>,
}

/// A device and what goes on there.
#[derive(Debug)]
pub(crate) struct DeviceState {
    pub(crate) profile: DeviceProfile,
    /// The devices of a class are alike: times are measured for each class.
    pub(crate) class: usize,
    pub(crate) alive: bool,
    pub(crate) running: u32,
    /// Bytes that results and running tasks hold.
    pub(crate) used: u64,
    /// Tasks placed here that wait for a slot.
    pub(crate) queue: Queue,
    /// Seconds of one slot that they will take.
    pub(crate) queue_seconds: f64,
    /// Seconds of one slot that running tasks were expected to take.
    pub(crate) running_seconds: f64,
    /// Bytes that are held for running tasks.
    pub(crate) reserved: u64,
    /// Number of results that are here.
    pub(crate) kept: usize,
    /// Results that are, or were, here, as (job, task); at most about twice those that are.
    /// Only kept where there is a limit.
    pub(crate) results: Vec<(u32, u32)>,
    pub(crate) counts: DeviceCounts,
}

impl DeviceState {
    pub(crate) fn new(profile: DeviceProfile, class: usize) -> Self {
        Self {
            profile,
            class,
            alive: true,
            running: 0,
            used: 0,
            queue: Queue::default(),
            queue_seconds: 0.0,
            running_seconds: 0.0,
            reserved: 0,
            kept: 0,
            results: Vec::new(),
            counts: DeviceCounts::default(),
        }
    }

    pub(crate) fn hold(&mut self, bytes: u64) {
        self.used += bytes;
        self.counts.peak_bytes = self.counts.peak_bytes.max(self.used);
    }

    pub(crate) fn count_reason(&mut self, reason: Cow<'static, str>) {
        match self.counts.reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, n)) => *n += 1,
            None => self.counts.reasons.push((reason, 1)),
        }
    }
}
