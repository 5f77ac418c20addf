//! What a run of a task graph did, from the events that an executor or a simulation recorded.

use std::collections::BTreeMap;

use windlass::runtime::{Event, EventKind, trace::Trace};

/// A run of task graphs.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskRun {
    /// What ran.
    pub(crate) title: String,
    /// Names and values to show of it.
    pub(crate) facts: Vec<(String, String)>,
    /// What happened.
    pub(crate) trace: Trace,
    /// Tasks that could run at once, on all devices.
    pub(crate) workers: usize,
    /// Bytes of results that went to disk.
    pub(crate) spilled_bytes: u64,
}

/// The sums of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// When the first event began, in seconds of the events' clock.
    pub(crate) began: f64,
    /// Seconds from there to the end of the last.
    pub(crate) seconds: f64,
    /// The workers that did anything, by device and lane.
    pub(crate) lanes: Vec<LaneSummary>,
    /// The tasks by group, the one with most time first.
    pub(crate) groups: Vec<GroupSummary>,
}

/// What one worker did.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneSummary {
    /// Its device.
    pub(crate) device: String,
    /// Its number there.
    pub(crate) lane: u64,
    /// Tries that gave a result.
    pub(crate) tasks: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Seconds of all tries.
    pub(crate) busy: f64,
    /// Seconds of tries that failed.
    pub(crate) lost: f64,
    /// Seconds of copies.
    pub(crate) copying: f64,
    /// Bytes that were copied to it.
    pub(crate) copied: u64,
    /// When its last try ended.
    pub(crate) ended: f64,
}

/// What the tasks of a group took.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupSummary {
    /// Its name.
    pub(crate) name: String,
    /// Tries that gave a result.
    pub(crate) tasks: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Seconds of all tries.
    pub(crate) seconds: f64,
    /// Bytes of the results.
    pub(crate) bytes: u64,
    /// Seconds of the middle one of the tries that gave a result.
    pub(crate) median: f64,
    /// Seconds of the longest of these.
    pub(crate) longest: f64,
}

/// The group in a task's name, `load[3]`.
pub(crate) fn group(name: &str) -> &str {
    name.split_once('[').map_or(name, |(group, _)| group)
}

/// Begin and end of an event in seconds.
pub(crate) fn span(e: &Event) -> (f64, f64) {
    (e.at.as_secs_f64(), (e.at + e.duration).as_secs_f64())
}

impl TaskRun {
    /// The tries of tasks.
    pub(crate) fn tries(&self) -> impl Iterator<Item = &Event> {
        self.trace.events.iter().map(|e| &**e).filter(|e| e.kind.is_try())
    }

    /// The sums.
    pub(crate) fn summary(&self) -> Summary {
        let mut lanes: BTreeMap<(&str, u64), LaneSummary> = BTreeMap::new();
        let mut groups: BTreeMap<&str, (GroupSummary, Vec<f64>)> = BTreeMap::new();
        let (mut began, mut end) = (f64::INFINITY, 0.0_f64);
        for e in &self.trace.events {
            let (from, to) = span(e);
            if e.kind.is_try() || e.kind == EventKind::Transfer {
                (began, end) = (began.min(from), end.max(to));
                let lane = lanes.entry((&e.device, e.lane)).or_default();
                if e.kind == EventKind::Transfer {
                    lane.copying += to - from;
                    lane.copied += e.bytes;
                    continue;
                }
                let (group, times) = groups.entry(group(&e.name)).or_default();
                lane.busy += to - from;
                lane.ended = lane.ended.max(to);
                group.seconds += to - from;
                if e.kind == EventKind::Failed {
                    (lane.failed, group.failed) = (lane.failed + 1, group.failed + 1);
                    lane.lost += to - from;
                } else {
                    (lane.tasks, group.tasks) = (lane.tasks + 1, group.tasks + 1);
                    group.bytes += e.bytes;
                    times.push(to - from);
                }
            }
        }
        let began = if began.is_finite() { began } else { 0.0 };
        let named = |((device, lane), sums): ((&str, u64), LaneSummary)| LaneSummary {
            device: device.to_string(),
            lane,
            ended: (sums.ended - began).max(0.0),
            ..sums
        };
        let of_group = |(name, (sums, mut times)): (&str, (GroupSummary, Vec<f64>))| {
            times.sort_by(f64::total_cmp);
            GroupSummary {
                name: name.to_string(),
                median: times.get(times.len() / 2).copied().unwrap_or(0.0),
                longest: times.last().copied().unwrap_or(0.0),
                ..sums
            }
        };
        let mut groups: Vec<_> = groups.into_iter().map(of_group).collect();
        groups.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Summary {
            began,
            seconds: (end - began).max(0.0),
            lanes: lanes.into_iter().map(named).collect(),
            groups,
        }
    }
}

impl Summary {
    /// The sum of a figure over all workers.
    pub(crate) fn sum(&self, of: impl Fn(&LaneSummary) -> f64) -> f64 {
        self.lanes.iter().map(of).sum()
    }

    /// Tries that gave a result, and those that failed.
    pub(crate) fn tries(&self) -> (u64, u64) {
        let sum = |of: fn(&LaneSummary) -> u64| self.lanes.iter().map(of).sum();
        (sum(|l| l.tasks), sum(|l| l.failed))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    /// An event of a worker, in milliseconds.
    pub(crate) fn event(kind: EventKind, device: &str, name: &str, at: u64, ms: u64) -> Arc<Event> {
        Arc::new(Event {
            at: Duration::from_millis(at),
            duration: Duration::from_millis(ms),
            kind,
            device: device.into(),
            lane: 0,
            name: name.into(),
            rows: 0,
            bytes: 10,
        })
    }

    #[test]
    fn sums_are_by_worker_and_by_group() {
        use EventKind::{Failed, Memory, Task, Transfer};
        let events = vec![
            event(Memory, "a", "memory", 0, 0),
            event(Task, "a", "load[0]", 1000, 100),
            event(Failed, "b", "load[1]", 1000, 50),
            event(Transfer, "b", "load[1]", 1050, 10),
            event(Task, "b", "load[1]", 1060, 300),
            event(Task, "a", "sum[0]", 1400, 100),
        ];
        let run = TaskRun { trace: Trace { events, dropped: 0 }, workers: 2, ..TaskRun::default() };
        let s = run.summary();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(s.began, 1.0);
        near(s.seconds, 0.5);
        let [a, b] = &s.lanes[..] else { panic!("{s:?}") };
        assert_eq!((a.device.as_str(), a.tasks, b.tasks, b.failed, b.copied), ("a", 2, 1, 1, 10));
        near(b.lost, 0.05);
        near(b.copying, 0.01);
        near(b.ended, 0.36);
        let [load, sum] = &s.groups[..] else { panic!("{s:?}") };
        assert_eq!((load.name.as_str(), load.tasks, load.failed, load.bytes), ("load", 2, 1, 20));
        near(load.seconds, 0.45);
        near(load.longest, 0.3);
        assert_eq!((sum.name.as_str(), s.tries()), ("sum", (3, 1)));
        assert_eq!(TaskRun::default().summary().seconds, 0.0);
    }
}
