//! How long tasks take: measured, told, or guessed by the speed of a device.

use super::{
    core::Scheduler,
    job::Job,
    policy::{TaskView, View},
};
use crate::graph::DeviceKinds;

impl Scheduler {
    /// Seconds of a group's task on a class of device: measured there, else scaled from
    /// where it was measured, else told, else by the speed alone.
    pub(super) fn seconds(&self, job: &Job, group: u32, class: usize) -> f64 {
        let state = &job.groups[group as usize];
        let speed = self.classes[class].speed;
        if let Some(seconds) = state.seconds(class) {
            return seconds;
        }
        if let Some((other, seconds)) = state.any() {
            return seconds * self.classes[other].speed / speed;
        }
        job.graph.groups()[group as usize].options.needs.seconds.unwrap_or(1.0) / speed
    }

    /// Seconds that a task's group was measured to take on a device.
    pub(crate) fn measured_seconds(&self, id: u32, task: u32, device: usize) -> Option<f64> {
        let job = self.job(id);
        let group = &job.groups[job.graph.group_of(task) as usize];
        group.seconds(self.devices[device].class)
    }

    /// See [`View::sooner_elsewhere`].
    pub(super) fn sooner_elsewhere(&self, task: &TaskView<'_>, device: usize) -> bool {
        let view = View { scheduler: self };
        let own = self.devices[device].class;
        let mine = view.run_seconds(task, device) + view.move_seconds(task, device);
        let group = task.job.graph.group_of(task.ready.task);
        let kinds = task.kinds();
        let need = self.need_bytes(device, &task.ready);
        // Tasks like this one a second that faster devices do, and the fastest one's time.
        let (mut rate, mut fastest) = (0.0, f64::INFINITY);
        for (c, class) in self.classes.iter().enumerate() {
            let fits = class.memory >= need;
            if c == own || class.slots == 0.0 || !fits || !kinds.contains(class.kind) {
                continue;
            }
            let seconds = self.seconds(task.job, group, c);
            if seconds < mine * 0.999 {
                rate += class.slots / seconds.max(1e-9);
                fastest = seconds.min(fastest);
            }
        }
        if rate == 0.0 {
            return false;
        }
        let backlog: f64 = match kinds {
            DeviceKinds::Any => self.backlog.iter().sum(),
            _ => self.backlog[kinds.index()] + self.backlog[DeviceKinds::Any.index()],
        };
        let work = task.job.groups[group as usize].work.max(1e-9);
        let before = (backlog / work - 1.0).max(0.0);
        before / rate + fastest < mine
    }
}
