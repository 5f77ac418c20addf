//! Admission by bytes: what a task needs, whether a device has it, and what is written to
//! disk where nothing else makes room.

use std::cmp::Reverse;

use super::{
    core::{From, Scheduler},
    error::RunError,
    job::State,
    queue::Ready,
};
use crate::graph::TaskId;

/// Share of a device's memory that is made free at once: a spill that makes room for one task
/// would be followed by one for the next. A guess.
const FREED: u64 = 4;

/// Ready tasks that are looked at for one that fits, where nothing runs and nothing can be
/// freed. A guess: beyond these it counts as not to be found.
const LAST_LOOK: usize = 1024;

/// Bytes that a task takes on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Need {
    /// Its result and what it works with.
    own: u64,
    /// Inputs that come from other devices, for as long as it runs.
    moved: u64,
    /// Inputs that come back from disk, and stay.
    loaded: u64,
}

impl Need {
    fn total(self) -> u64 {
        self.own.saturating_add(self.moved).saturating_add(self.loaded)
    }
}

impl Scheduler {
    fn need(&self, device: usize, r: &Ready) -> Need {
        let job = self.job(r.job);
        let working = job.graph.options(TaskId(r.task)).needs.working_bytes;
        let own_memory = self.devices[device].profile.link.is_some();
        let mut need =
            Need { own: job.output_bytes(r.task).saturating_add(working), ..Need::default() };
        if !own_memory && !self.any_spilled {
            return need;
        }
        // Each input once, however often it stands.
        let away = |i: &u32| {
            job.states[*i as usize] == State::Spilled
                || own_memory && job.homes[*i as usize] as usize != device
        };
        let inputs = job.graph.input_words(r.task);
        let mut away: Vec<u32> = inputs.iter().copied().filter(away).collect();
        away.sort_unstable();
        away.dedup();
        for i in away {
            match job.states[i as usize] {
                State::Spilled => need.loaded += job.bytes[i as usize],
                _ => need.moved += job.bytes[i as usize],
            }
        }
        need
    }

    /// Bytes that a task takes on a device, beside inputs that are there.
    pub(super) fn need_bytes(&self, device: usize, r: &Ready) -> u64 {
        self.need(device, r).total()
    }

    /// Whether a device has what a task needs.
    pub(super) fn fits(&self, device: usize, r: &Ready) -> bool {
        let d = &self.devices[device];
        d.profile
            .memory
            .is_none_or(|limit| d.used.saturating_add(self.need(device, r).total()) <= limit)
    }

    /// Whether less is held once a task is done: it is the last to use inputs of more bytes
    /// than its result has.
    pub(super) fn shrinks(&self, r: &Ready) -> bool {
        let job = self.job(r.job);
        let freed: u64 = job
            .graph
            .input_words(r.task)
            .iter()
            .filter(|&&i| job.uses[i as usize] == 1)
            .map(|&i| job.bytes[i as usize])
            .sum();
        freed >= job.output_bytes(r.task)
    }

    /// Takes what a task needs, which [`Scheduler::fits`] or was made room for: the bytes of
    /// inputs that move, and those that are held until it ends.
    pub(super) fn claim(&mut self, device: usize, r: &Ready) -> (u64, u64) {
        let need = self.need(device, r);
        if need.loaded > 0 {
            for at in self.job(r.job).graph.input_range(r.task) {
                let job = self.job_mut(r.job);
                let input = job.graph.all_inputs()[at];
                if job.states[input as usize] == State::Spilled {
                    job.states[input as usize] = State::Kept;
                    job.homes[input as usize] = device as u32;
                    if self.devices[device].profile.memory.is_some() {
                        self.keep(device, r.job, input);
                    }
                }
            }
        }
        let reserved = need.own.saturating_add(need.moved);
        let d = &mut self.devices[device];
        d.hold(reserved.saturating_add(need.loaded));
        d.reserved += reserved;
        (need.moved, reserved)
    }

    /// Notes a result among those of a device with a limit.
    pub(super) fn keep(&mut self, device: usize, id: u32, task: u32) {
        let d = &mut self.devices[device];
        d.kept += 1;
        if d.results.len() >= 2 * d.kept + 64 {
            let mut results = std::mem::take(&mut d.results);
            results.retain(|(id, task)| self.is_kept(device, *id, *task));
            results.sort_unstable();
            results.dedup();
            self.devices[device].results = results;
        }
        self.devices[device].results.push((id, task));
    }

    /// Whether a result is in a device's memory.
    fn is_kept(&self, device: usize, id: u32, task: u32) -> bool {
        let job = self.jobs[id as usize].as_ref();
        let t = task as usize;
        // Another job may have come into its place, with fewer tasks.
        job.is_some_and(|j| j.states.get(t) == Some(&State::Kept) && j.homes[t] as usize == device)
    }

    /// Makes room for the first task that did not fit: results go to disk, the one that is
    /// needed last first. Where that does not help, and nothing runs anywhere, another task
    /// or another device that fits; where there is none, the job fails. `aside` has the tasks
    /// that were looked at.
    pub(super) fn make_room(
        &mut self,
        device: usize,
        first: &Ready,
        aside: &mut Vec<(Ready, From)>,
    ) -> Option<Ready> {
        let limit = self.devices[device].profile.memory?;
        let need = self.need(device, first).total();
        let d = &self.devices[device];
        // While most of the memory is that of running tasks, it comes back by itself.
        let results = d.used - d.reserved.min(d.used);
        if d.running > 0 && results < limit / 2 {
            return None;
        }
        if need <= limit && self.spill(device, first, limit - need) {
            return Some(*first);
        }
        if self.running > 0 {
            return None;
        }
        // Nothing runs, so nothing will be freed: some other task, or another device.
        while aside.len() < LAST_LOOK
            && let Some(found) = self.pop(device)
        {
            aside.push(found);
        }
        aside.sort_unstable_by_key(|(r, _)| Reverse(*r));
        if let Some((other, _)) = aside.iter().find(|(r, _)| self.fits(device, r)) {
            return Some(*other);
        }
        let kinds = self.job(first.job).graph.options(TaskId(first.task)).needs.kinds;
        for other in (0..self.devices.len()).filter(|&d| d != device) {
            let d = &self.devices[other];
            let fits = d.profile.memory.is_none_or(|limit| {
                let spillable: u64 = self.victims(other, first).iter().map(|(_, b)| b).sum();
                let used = d.used - spillable.min(d.used);
                used.saturating_add(self.need(other, first).total()) <= limit
            });
            if d.alive && kinds.contains(d.profile.kind) && fits {
                // It is given the task: its policy might leave it to this device again.
                aside.retain(|(r, _)| r != first);
                self.queue_on(other, *first);
                self.effects.wake.push(other as u32);
                return None;
            }
        }
        let job = self.job(first.job);
        let d = &self.devices[device];
        let error = RunError::Memory {
            task: job.graph.name(TaskId(first.task)),
            device: d.profile.name.to_string(),
            needed: need,
            held: d.used,
            limit,
        };
        let id = first.job;
        aside.retain(|(r, _)| r.job != id);
        self.cancel(id, error);
        None
    }

    /// The results on a device that can go to disk, with their bytes: not a task's own
    /// inputs, and none that a running task has.
    fn victims(&self, device: usize, r: &Ready) -> Vec<((u32, u32), u64)> {
        let mut inputs = self.job(r.job).graph.input_words(r.task).to_vec();
        inputs.sort_unstable();
        let mut victims = Vec::new();
        for &(id, task) in &self.devices[device].results {
            if !self.is_kept(device, id, task) {
                continue;
            }
            let (job, t) = (self.job(id), task as usize);
            let input = id == r.job && inputs.binary_search(&task).is_ok();
            if input || !job.spillable[t] || job.bytes[t] == 0 || job.ended.is_some() {
                continue;
            }
            let runs = |d: &u32| job.states[*d as usize] == State::Running;
            if job.running == 0 || !job.dependents(task).iter().any(runs) {
                victims.push(((id, task), job.bytes[t]));
            }
        }
        victims.sort_unstable();
        // One that came back from disk may stand twice.
        victims.dedup();
        victims
    }

    /// Sends results to disk until at most `most` bytes are used, and some more; none if that
    /// cannot be reached.
    fn spill(&mut self, device: usize, first: &Ready, most: u64) -> bool {
        let mut victims = self.victims(device, first);
        let used = self.devices[device].used;
        let all: u64 = victims.iter().map(|(_, bytes)| bytes).sum();
        if used - all.min(used) > most {
            return false;
        }
        // The next task to need each, by rank.
        let next_use = |(id, task): (u32, u32)| {
            let job = self.job(id);
            let open = job
                .dependents(task)
                .iter()
                .filter(|&&d| matches!(job.states[d as usize], State::Waiting | State::Ready));
            open.map(|&d| job.base + u64::from(job.rank(d))).min().unwrap_or(u64::MAX)
        };
        victims.sort_by_cached_key(|(v, _)| Reverse(next_use(*v)));
        let limit = self.devices[device].profile.memory.unwrap_or(u64::MAX);
        let aim = most.min(limit - limit / FREED);
        for ((id, task), bytes) in victims {
            if self.devices[device].used <= aim {
                break;
            }
            self.job_mut(id).states[task as usize] = State::Spilled;
            let d = &mut self.devices[device];
            d.used -= bytes;
            d.kept -= 1;
            d.counts.spilled_bytes += bytes;
            self.any_spilled = true;
            self.effects.spill.push((id, task));
        }
        true
    }
}
