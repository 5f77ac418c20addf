//! Admission by bytes: what a task needs, whether a device has it, and what is written to
//! disk where nothing else makes room.

use std::cmp::Reverse;

use super::{
    core::{From, Scheduler},
    error::RunError,
    job::{Job, State},
    queue::Ready,
};
use crate::graph::TaskId;

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
        for (at, &input) in job.graph.input_words(r.task).iter().enumerate() {
            let i = input as usize;
            if job.graph.input_words(r.task)[..at.min(32)].contains(&input) {
                continue;
            }
            if job.states[i] == State::Spilled {
                need.loaded += job.bytes[i];
            } else if own_memory && job.homes[i] as usize != device {
                need.moved += job.bytes[i];
            }
        }
        need
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
            let job = self.jobs[r.job as usize].as_mut().expect("a job that is there");
            for at in job.graph.input_range(r.task) {
                let input = job.graph.all_inputs()[at];
                if job.states[input as usize] == State::Spilled {
                    job.states[input as usize] = State::Kept;
                    job.homes[input as usize] = device as u32;
                    self.devices[device].results.push((r.job, input));
                }
            }
        }
        let reserved = need.own.saturating_add(need.moved);
        self.devices[device].hold(reserved.saturating_add(need.loaded));
        (need.moved, reserved)
    }

    /// Makes room on a device that runs nothing for the first task that did not fit: results
    /// go to disk, the one that is needed last first. Where that does not help, and nothing
    /// runs anywhere, another task that fits; where none does, the job fails. `aside` has
    /// the tasks that were looked at.
    pub(super) fn make_room(
        &mut self,
        device: usize,
        first: &Ready,
        aside: &mut Vec<(Ready, From)>,
    ) -> Option<Ready> {
        if self.devices[device].running > 0 {
            return None;
        }
        let limit = self.devices[device].profile.memory?;
        let need = self.need(device, first).total();
        if need <= limit && self.spill(device, first, limit - need) {
            return Some(*first);
        }
        if self.running > 0 {
            return None;
        }
        // Nothing runs, so nothing will be freed: some other task, or another device.
        while let Some(found) = self.pop(device) {
            aside.push(found);
        }
        aside.sort_unstable_by_key(|(r, _)| Reverse(*r));
        if let Some((other, _)) = aside.iter().find(|(r, _)| self.fits(device, r)) {
            return Some(*other);
        }
        let kinds = self.job(first.job).graph.options(TaskId(first.task)).needs.kinds;
        for other in (0..self.devices.len()).filter(|&d| d != device) {
            let d = &self.devices[other];
            let free = d.profile.memory.is_none_or(|limit| {
                let spillable: u64 = self.victims(other, first).map(|(_, b)| b).sum();
                d.used - spillable.min(d.used) + self.need(other, first).total() <= limit
            });
            if d.alive && kinds.contains(d.profile.kind) && free {
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

    /// The results on a device that can go to disk, with their bytes; not a task's own
    /// inputs.
    fn victims<'a>(
        &'a self,
        device: usize,
        r: &'a Ready,
    ) -> impl Iterator<Item = ((u32, u32), u64)> + 'a {
        let inputs = self.job(r.job).graph.input_words(r.task);
        self.devices[device].results.iter().filter_map(move |&(id, task)| {
            let job: &Job = self.jobs[id as usize].as_ref()?;
            let t = task as usize;
            let here = job.states[t] == State::Kept && job.homes[t] as usize == device;
            let input = id == r.job && inputs.contains(&task);
            (here && job.spillable[t] && job.bytes[t] > 0 && !input)
                .then_some(((id, task), job.bytes[t]))
        })
    }

    /// Sends results to disk until at most `most` bytes are used; none if that cannot be
    /// reached.
    fn spill(&mut self, device: usize, first: &Ready, most: u64) -> bool {
        // A result may stand twice, if it came back from disk.
        let mut victims: Vec<_> = self.victims(device, first).collect();
        victims.sort_unstable();
        victims.dedup();
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
        for ((id, task), bytes) in victims {
            if self.devices[device].used <= most {
                break;
            }
            self.job_mut(id).states[task as usize] = State::Spilled;
            let d = &mut self.devices[device];
            d.used -= bytes;
            d.counts.spilled_bytes += bytes;
            d.results.retain(|r| *r != (id, task));
            self.any_spilled = true;
            self.effects.spill.push((id, task));
        }
        true
    }
}
