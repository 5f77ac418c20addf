//! Devices that are lost, and the results that only they had.

use super::{core::Scheduler, job::State};

impl Scheduler {
    /// Takes a device out of use. Its running tasks must have been [`Outcome::Lost`]. What
    /// waits for it goes to others, and results that only it had are made again.
    pub(crate) fn device_lost(&mut self, device: usize) {
        let d = &mut self.devices[device];
        d.alive = false;
        d.queue_seconds = 0.0;
        d.results.clear();
        let waiting = d.queue.take();
        self.classes[d.class].slots -= f64::from(d.profile.slots);
        self.queued -= waiting.len();
        for id in 0..self.jobs.len() as u32 {
            let open = self.jobs[id as usize].as_ref().is_some_and(|j| j.ended.is_none());
            if open {
                self.results_lost(id, device as u32);
            }
        }
        // What still is ready, its inputs being elsewhere, finds another place.
        for r in waiting {
            if self.is_ready(&r) {
                self.no_longer_ready(r.job, r.task);
                self.ready(r.job, r.task);
            }
        }
        for id in 0..self.jobs.len() as u32 {
            let open = self.jobs[id as usize].as_ref().is_some_and(|j| j.ended.is_none());
            if let Some(error) = open.then(|| self.cannot_run(id)).flatten() {
                self.end(id, Err(error));
            }
        }
    }

    fn results_lost(&mut self, id: u32, device: u32) {
        let job = self.job(id);
        let lost: Vec<u32> = (0..job.graph.len() as u32)
            .filter(|&t| job.states[t as usize] == State::Kept && job.homes[t as usize] == device)
            .collect();
        if lost.is_empty() {
            return;
        }
        for &task in &lost {
            self.drop_result(id, task);
            for at in self.job(id).dependent_range(task) {
                let job = self.job_mut(id);
                let dependent = job.dependent(at) as usize;
                match job.states[dependent] {
                    State::Waiting => job.waiting[dependent] += 1,
                    State::Ready => {
                        job.states[dependent] = State::Waiting;
                        job.waiting[dependent] = 1;
                        self.no_longer_ready(id, dependent as u32);
                    }
                    _ => {}
                }
            }
        }
        // Those that are still needed, and what they need in turn.
        let mut again: Vec<u32> =
            lost.into_iter().filter(|&t| self.job(id).uses[t as usize] > 0).collect();
        while let Some(task) = again.pop() {
            let job = self.job_mut(id);
            if job.states[task as usize] != State::Freed {
                continue;
            }
            job.states[task as usize] = State::Waiting;
            job.left += 1;
            let mut missing = 0;
            for at in job.graph.input_range(task) {
                let input = job.graph.all_inputs()[at];
                job.uses[input as usize] += 1;
                match job.states[input as usize] {
                    State::Kept | State::Spilled => {}
                    State::Freed => {
                        missing += 1;
                        again.push(input);
                    }
                    _ => missing += 1,
                }
            }
            job.waiting[task as usize] = missing;
            if missing == 0 {
                self.ready(id, task);
            }
        }
    }
}
