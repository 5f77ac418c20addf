//! Findings on task graphs.

use windlass::runtime::EventKind;

use super::{Finding, by_weight, counted, dropped, percent};
use crate::{
    size::{format_bytes, format_seconds},
    task_run::{Summary, TaskRun, group, span},
};

/// Share of the workers' time below which they had too little to do.
const BUSY: f64 = 0.6;
/// Share of the run from which one worker alone at its end is worth a word.
const ALONE: f64 = 0.08;
/// Share of the workers' time from which copies, or tries that failed, are worth one.
const SHARE: f64 = 0.1;
/// Seconds of a task below which handing it out costs as much; and how many tasks it takes for
/// that to matter.
const TINY: f64 = 20e-6;
const MANY: u64 = 1_000;

/// All findings on a run, the heaviest first.
pub(crate) fn findings(run: &TaskRun, s: &Summary) -> Vec<Finding> {
    let tiny = tiny(s);
    // Workers wait for tasks because these are short: one cause is enough.
    let idle = if tiny.is_none() { idle(run, s) } else { None };
    let all = [
        tiny,
        idle,
        straggler(run, s),
        failed(s),
        copies(s),
        longest_group(s),
        spilled(run),
        dropped(run.trace.dropped),
    ];
    by_weight(all.into_iter().flatten().collect())
}

/// Tasks too short for what it takes to hand them out.
fn tiny(s: &Summary) -> Option<Finding> {
    let (tasks, _) = s.tries();
    let short = s.groups.iter().filter(|g| g.median < TINY);
    let in_short: u64 = short.map(|g| g.tasks).sum();
    let mean = s.sum(|l| l.busy) / tasks.max(1) as f64;
    (tasks >= MANY && in_short * 2 > tasks && mean < TINY).then(|| {
        Finding::new(
            0.8,
            format!(
                "{} ran {} each on average: to hand one out takes about as long.",
                counted(tasks, "task", "tasks"),
                micros(mean)
            ),
            "Let each task do more: larger partitions, or several items a task.",
        )
    })
}

fn micros(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} µs", seconds * 1e6) } else { format_seconds(seconds) }
}

/// Workers with nothing to do.
fn idle(run: &TaskRun, s: &Summary) -> Option<Finding> {
    if run.workers < 2 || s.seconds <= 0.0 {
        return None;
    }
    let all = s.seconds * run.workers as f64;
    let busy = s.sum(|l| l.busy + l.copying) / all;
    if busy >= BUSY {
        return None;
    }
    let share = |l: &crate::task_run::LaneSummary| (l.busy + l.copying) / s.seconds;
    let least = s.lanes.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
    let most = s.lanes.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
    let uneven = least.zip(most).filter(|(l, m)| share(m) > 0.8 && share(l) < 0.5);
    let detail = match (uneven, run.workers > s.lanes.len()) {
        (_, true) => format!(" {} of them did nothing.", run.workers - s.lanes.len()),
        (Some((least, most)), _) => format!(
            " {} was busy for {}, {} for {}.",
            most.device,
            percent(share(most)),
            least.device,
            percent(share(least))
        ),
        _ => String::new(),
    };
    let advice = if uneven.is_some() {
        "Some tasks can run on few of the devices only, and the others wait for them: allow more \
         kinds of device, or give the busy kind less to do."
    } else {
        "There were too few tasks that did not wait for another: split the work into more \
         partitions, or use fewer workers."
    };
    Some(Finding::new(
        0.9 * (1.0 - busy),
        format!("{} workers were busy for {} of the time.{detail}", run.workers, percent(busy)),
        advice,
    ))
}

/// One worker that the others waited for at the end.
fn straggler(run: &TaskRun, s: &Summary) -> Option<Finding> {
    let mut ends: Vec<f64> = s.lanes.iter().map(|l| l.ended).collect();
    ends.sort_by(|a, b| b.total_cmp(a));
    let (last, before) = (*ends.first()?, *ends.get(1)?);
    let alone = last - before;
    if alone < ALONE * s.seconds {
        return None;
    }
    // The longest try of that time.
    let since = s.began + before;
    let late = run.tries().filter(|e| span(e).1 > since + 1e-9);
    let task = late.max_by_key(|e| e.duration)?;
    let seconds = task.duration.as_secs_f64();
    let median = s.groups.iter().find(|g| g.name == group(&task.name)).map_or(0.0, |g| g.median);
    let times = if median > 0.0 && seconds >= 2.0 * median {
        format!(", {:.0} times the middle one of its group", seconds / median)
    } else {
        String::new()
    };
    let retried =
        run.tries().filter(|e| e.kind == EventKind::Failed && e.name == task.name).count();
    let again = match retried {
        0 => String::new(),
        n => format!(", after {} that failed", counted(n as u64, "try", "tries")),
    };
    Some(Finding::new(
        (alone / s.seconds).max(0.3),
        format!(
            "for the last {} ({} of the run) one worker was busy and the others waited: {} on {} \
             ran {}{times}{again}.",
            format_seconds(alone),
            percent(alone / s.seconds),
            task.name,
            task.device,
            format_seconds(seconds)
        ),
        "Split what it does, or begin it earlier: a higher priority does that.",
    ))
}

/// Tries that failed.
fn failed(s: &Summary) -> Option<Finding> {
    let (tasks, failed) = s.tries();
    let lost = s.sum(|l| l.lost);
    let share = lost / s.sum(|l| l.busy).max(f64::MIN_POSITIVE);
    let worst = s.groups.iter().max_by_key(|g| g.failed)?;
    (failed > 0).then(|| {
        let of = if s.groups.len() > 1 {
            format!(", {} of them of {}", crate::size::format_count(worst.failed), worst.name)
        } else {
            String::new()
        };
        Finding::new(
            if share >= SHARE { share } else { 0.15 },
            format!(
                "{} of {} failed and were made again{of}: {} of the workers' time, {}.",
                counted(failed, "try", "tries"),
                crate::size::format_count(tasks + failed),
                percent(share),
                format_seconds(lost)
            ),
            "The trace has each of them with its device and time.",
        )
    })
}

/// Copies between devices.
fn copies(s: &Summary) -> Option<Finding> {
    let (copying, busy) = (s.sum(|l| l.copying), s.sum(|l| l.busy));
    let share = copying / (copying + busy);
    let bytes: u64 = s.lanes.iter().map(|l| l.copied).sum();
    (share >= SHARE).then(|| {
        Finding::new(
            share,
            format!(
                "workers waited for copies between devices for {} of their time: {}.",
                percent(share),
                format_bytes(bytes)
            ),
            "Tasks that follow one another belong on one device: the policies by cost and by \
             locality do that, chance and turns do not.",
        )
    })
}

/// A group of few long tasks that has most of the time.
fn longest_group(s: &Summary) -> Option<Finding> {
    let all = s.sum(|l| l.busy);
    let g = s.groups.first().filter(|_| s.groups.len() > 1)?;
    let share = g.seconds / all.max(f64::MIN_POSITIVE);
    (share >= 0.6).then(|| {
        Finding::new(
            0.6 * share,
            format!(
                "tasks of {} took {} of the workers' time: {}, {} each.",
                g.name,
                percent(share),
                crate::size::format_count(g.tasks),
                micros(g.median)
            ),
            "What makes these faster makes the run faster; the rest does not matter as much.",
        )
    })
}

fn spilled(run: &TaskRun) -> Option<Finding> {
    (run.spilled_bytes > 0).then(|| {
        Finding::new(
            0.4,
            format!("{} of results were written to disk.", format_bytes(run.spilled_bytes)),
            "Raise the limit of the executor's memory, or combine results earlier so that fewer \
             are kept.",
        )
    })
}

#[cfg(test)]
mod unit {
    use windlass::runtime::{EventKind::*, trace::Trace};

    use super::*;
    use crate::task_run::tests::event;

    fn run(workers: usize, events: &[(EventKind, &str, &str, u64, u64)]) -> TaskRun {
        let events = events.iter().map(|(k, d, n, at, ms)| event(*k, d, n, *at, *ms)).collect();
        TaskRun { trace: Trace { events, dropped: 0 }, workers, ..TaskRun::default() }
    }

    fn said(run: &TaskRun) -> Vec<String> {
        findings(run, &run.summary()).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn nothing_is_said_of_workers_that_are_busy_to_the_end() {
        assert_eq!(said(&TaskRun::default()), [""; 0]);
        let even = [(Task, "a", "x[0]", 0, 100), (Task, "b", "x[1]", 0, 97)];
        assert_eq!(said(&run(2, &even)), [""; 0]);
    }

    #[test]
    fn a_task_that_others_wait_for_is_named() {
        let mut events = vec![
            (Task, "a", "load[0]", 0, 400),
            (Task, "b", "load[1]", 0, 390),
            (Failed, "a", "load[9]", 400, 10),
            (Task, "a", "load[9]", 410, 590),
        ];
        let short = ["load[2]", "load[3]", "load[4]", "load[5]"];
        events.extend(short.iter().zip(0..).map(|(n, i)| (Task, "b", *n, 390 + 60 * i, 60)));
        let all = said(&run(2, &events));
        assert_eq!(
            all[0],
            "for the last 370 ms (37% of the run) one worker was busy and the others waited: \
             load[9] on a ran 590 ms, 10 times the middle one of its group, after 1 try that \
             failed."
        );
        assert!(
            all.iter().any(|s| s.starts_with("1 try of 8 failed and were made again")),
            "{all:?}"
        );
    }

    #[test]
    fn idle_workers_and_those_that_did_nothing_are_counted() {
        let one = said(&run(8, &[(Task, "a", "x[0]", 0, 100), (Task, "b", "x[1]", 0, 97)]));
        assert_eq!(one, ["8 workers were busy for 25% of the time. 6 of them did nothing."]);
        let waits = [
            (Task, "gpu", "x[0]", 0, 100),
            (Task, "cpu", "x[1]", 0, 5),
            (Task, "cpu", "x[2]", 93, 5),
        ];
        let all = said(&run(2, &waits));
        assert_eq!(
            all,
            ["2 workers were busy for 55% of the time. gpu was busy for 100%, cpu for 10%."]
        );
    }

    #[test]
    fn copies_spills_and_a_group_with_most_of_the_time_are_told() {
        let copied = [
            (Transfer, "a", "x[0]", 0, 30),
            (Task, "a", "x[0]", 30, 70),
            (Task, "b", "y[0]", 0, 5),
            (Task, "b", "x[1]", 5, 95),
        ];
        let mut run = run(2, &copied);
        run.spilled_bytes = 1 << 20;
        let all = said(&run);
        assert_eq!(
            all,
            [
                "tasks of x took 97% of the workers' time: 2, 95.0 ms each.",
                "1.0 MiB of results were written to disk.",
                "workers waited for copies between devices for 15% of their time: 10 B."
            ]
        );
    }

    #[test]
    fn tasks_that_take_no_time_are_told_instead_of_idle_workers() {
        let events: Vec<_> = (0..2000).map(|i| (Task, "a", "x[0]", i, 0)).collect();
        let all = said(&run(2, &events));
        assert!(all[0].starts_with("2,000 tasks ran 0.0 µs each"), "{all:?}");
        assert!(!all.iter().any(|s| s.contains("busy")), "{all:?}");
    }
}
