//! The scheduler over random graphs, devices and orders of completion: nothing runs before
//! its inputs are there, no limit is passed, and every job ends.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    core::{Assignment, Outcome, Scheduler},
    job::{Job, State},
    *,
};
use crate::{
    graph::{DeviceKind, DeviceKinds, Graph, GraphBuilder, TaskId, TaskOptions},
    simulate::{Simulation, simulate},
};

/// A graph of `n` tasks, each with up to `inputs` of the tasks before it, whose results have
/// up to `bytes` bytes.
fn random_graph(n: usize, inputs: usize, bytes: u64, kinds: &[DeviceKinds], seed: u64) -> Graph {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut g = GraphBuilder::new();
    let mut tasks: Vec<TaskId> = Vec::new();
    for i in 0..n {
        let options = TaskOptions::default()
            .output_bytes(rng.random_range(0..=bytes))
            .working_bytes(rng.random_range(0..=bytes / 4))
            .kinds(kinds[rng.random_range(0..kinds.len())])
            .priority(rng.random_range(-1..=1))
            .retries(3);
        let group = g.group(format!("g{i}"), options);
        let mut own = Vec::new();
        if i > 0 {
            // Mostly near ones, so that there are chains too.
            for _ in 0..rng.random_range(0..=inputs) {
                let back = if rng.random_bool(0.7) {
                    rng.random_range(1..=i.min(4))
                } else {
                    rng.random_range(1..=i)
                };
                own.push(tasks[i - back]);
            }
        }
        tasks.push(g.simulated(group, &own));
    }
    let wanted: Vec<TaskId> = (0..=n / 8).map(|_| tasks[rng.random_range(0..n)]).collect();
    g.build(&wanted)
}

/// Bytes that a task holds with all its inputs.
fn need(graph: &Graph, task: u32) -> u64 {
    let output = |t: u32| graph.options(TaskId(t)).needs.output_bytes.unwrap_or(0);
    let mut inputs = graph.input_words(task).to_vec();
    inputs.sort_unstable();
    inputs.dedup();
    output(task)
        + graph.options(TaskId(task)).needs.working_bytes
        + inputs.into_iter().map(output).sum::<u64>()
}

/// What one drive met.
#[derive(Debug, Default)]
struct Drive {
    runs: HashMap<u32, u32>,
    spilled: usize,
    error: Option<RunError>,
}

/// Runs a job, ending running tasks in random order; faults by chance; one device may be
/// lost on the way.
fn drive(
    mut s: Scheduler,
    graph: Graph,
    slots: usize,
    spillable: bool,
    faults: f64,
    lose: Option<usize>,
    seed: u64,
) -> Drive {
    let mut rng = StdRng::seed_from_u64(seed);
    s.deaths_allowed = 3;
    let graph = Arc::new(graph);
    let id = s.submit(Job::new(Arc::clone(&graph)));
    let mut running: Vec<Assignment> = Vec::new();
    let mut drive = Drive::default();
    let mut steps = 0_u64;
    while s.job(id).ended.is_none() {
        steps += 1;
        assert!(steps < 1_000_000, "no end");
        // Every device takes what it can.
        let (mut began, mut passes) = (true, 0);
        while began || !s.effects.wake.is_empty() {
            passes += 1;
            assert!(passes < 1000, "tasks go from device to device");
            began = false;
            s.effects.wake.clear();
            for d in 0..s.devices.len() {
                while running.iter().filter(|a| a.device as usize == d).count() < slots
                    && let Some(a) = s.next(d, steps)
                {
                    let job = s.job(id);
                    for &i in graph.input_words(a.task) {
                        assert_eq!(job.states[i as usize], State::Kept, "input of {}", a.task);
                    }
                    running.push(a);
                    began = true;
                }
            }
            for d in &s.devices {
                assert!(
                    d.profile.memory.is_none_or(|m| d.used <= m),
                    "{} of {:?}",
                    d.used,
                    d.profile
                );
            }
        }
        drive.spilled += std::mem::take(&mut s.effects.spill).len();
        s.effects.freed.clear();
        if s.job(id).ended.is_some() {
            break;
        }
        assert!(!running.is_empty(), "nothing runs and nothing ended");
        if let Some(device) = lose.filter(|_| steps == 5) {
            let (lost, kept): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|a| a.device as usize == device);
            running = kept;
            lost.iter().for_each(|a| s.finish(a, Outcome::Lost, steps));
            s.device_lost(device);
            continue;
        }
        let a = running.swap_remove(rng.random_range(0..running.len()));
        if rng.random_bool(faults) {
            let cause = match rng.random_bool(0.5) {
                true => Cause::Panicked("chance".into()),
                false => Cause::Crashed(vec![Arc::new(death::example())]),
            };
            s.finish(&a, Outcome::Failed(cause), steps);
        } else {
            *drive.runs.entry(a.task).or_default() += 1;
            let bytes = graph.options(TaskId(a.task)).needs.output_bytes.unwrap_or(0);
            s.finish(&a, Outcome::Done { bytes, spillable }, steps);
        }
    }
    drive.error = s.job(id).ended.clone().and_then(Result::err);
    if drive.error.is_none() {
        for w in graph.wanted() {
            let state = s.job(id).states[w.index()];
            assert!(matches!(state, State::Kept | State::Spilled), "a wanted result is {state:?}");
        }
    }
    while let Some(a) = running.pop() {
        s.finish(&a, Outcome::Lost, steps);
    }
    s.release(id);
    assert!(s.jobs[id as usize].is_none());
    for d in &s.devices {
        assert_eq!((d.used, d.reserved, d.running), (0, 0, 0), "something is still held");
        assert_eq!((d.running_seconds, d.kept), (0.0, 0), "something is still counted");
    }
    // What is left in queues is met and dropped.
    for d in 0..s.devices.len() {
        if s.devices[d].alive {
            assert!(s.next(d, steps).is_none(), "a task of a job that is gone");
            assert!(s.devices[d].queue.is_empty() && s.devices[d].queue_seconds == 0.0);
        }
    }
    let backlog: f64 = s.backlog.iter().sum();
    assert!(backlog.abs() < 1e-6, "{backlog} seconds of nothing are left");
    drive
}

fn policy(which: usize) -> Box<dyn Placement> {
    match which {
        0 => Box::new(CostBased::new(1)),
        1 => Box::new(LocalityFirst),
        2 => Box::new(RoundRobin::default()),
        3 => Box::new(Random::new(1)),
        _ => {
            let pins = HashMap::from([("g1".to_string(), "d1".to_string())]);
            Box::new(Pinned::new(pins, Box::new(CostBased::new(1))))
        }
    }
}

const CPU: &[DeviceKinds] = &[DeviceKinds::Cpu];
const MIXED: &[DeviceKinds] = &[DeviceKinds::Cpu, DeviceKinds::Gpu, DeviceKinds::Any];

proptest! {
    /// One device, results that can spill, a limit that holds the greatest task alone: the
    /// job is done within the limit.
    #[test]
    fn with_disk_every_graph_fits_that_fits_task_by_task(
        seed: u64, n in 1_usize..60, inputs in 0_usize..5, slots in 1_usize..5,
    ) {
        let graph = random_graph(n, inputs, 100, CPU, seed);
        let limit = (0..n as u32).map(|t| need(&graph, t)).max().unwrap_or(0);
        let mut s = Scheduler::new(None);
        s.add_device(DeviceProfile::new("cpu", DeviceKind::Cpu).memory(limit));
        let drive = drive(s, graph, slots, true, 0.0, None, seed);
        prop_assert!(drive.error.is_none(), "{:?}", drive.error);
        prop_assert!(drive.runs.values().all(|&n| n == 1));
    }

    /// Without disk it is done, or says that it does not fit.
    #[test]
    fn without_disk_it_ends_with_results_or_says_why(
        seed: u64, n in 1_usize..60, slots in 1_usize..5, share in 0.2_f64..2.0,
    ) {
        let graph = random_graph(n, 4, 100, CPU, seed);
        let limit = (0..n as u32).map(|t| need(&graph, t)).max().unwrap_or(0) as f64 * share;
        let mut s = Scheduler::new(None);
        s.add_device(DeviceProfile::new("cpu", DeviceKind::Cpu).memory(limit as u64));
        let drive = drive(s, graph, slots, false, 0.0, None, seed);
        let memory = |e: &RunError| matches!(e, RunError::Memory { .. });
        prop_assert!(drive.error.as_ref().is_none_or(memory), "{:?}", drive.error);
        prop_assert_eq!(drive.spilled, 0);
    }

    /// Several devices, with memories of their own, under every policy, with faults and the
    /// loss of a device.
    #[test]
    fn many_devices_faults_and_losses(
        seed: u64, n in 1_usize..60, which in 0_usize..5, slots in 1_usize..3,
        lose in proptest::option::of(0_usize..4), limits in proptest::option::of(0_usize..4),
    ) {
        let graph = random_graph(n, 4, 100, MIXED, seed);
        let most = (0..n as u32).map(|t| need(&graph, t)).max().unwrap_or(0);
        let mut s = Scheduler::new(Some(policy(which)));
        for (i, kind) in
            [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Cpu, DeviceKind::Gpu].into_iter().enumerate()
        {
            let mut d = DeviceProfile::new(format!("d{i}"), kind).speed(1.0 + i as f64).link(1e6);
            // With limits, all devices of a kind but one may be too small for the greatest task.
            if let Some(large) = limits {
                d = d.memory(if i % 2 == large % 2 && i != large { most / 2 } else { most });
            }
            s.add_device(d);
        }
        let drive = drive(s, graph, slots, true, 0.02, lose, seed);
        match drive.error {
            // Four faults in a row are rare, and told as what they are.
            None | Some(RunError::Task(_)) => {}
            // The one device that is large enough may be the one that is lost.
            Some(RunError::Memory { .. }) if limits.is_some() && limits == lose => {}
            Some(e) => prop_assert!(false, "{e}"),
        }
    }
}

/// `sources` tasks, each the input of one more, and one that takes all.
fn map_reduce(n: usize, kinds: DeviceKinds, seconds: f64, bytes: u64) -> Graph {
    let mut g = GraphBuilder::new();
    let options =
        TaskOptions::default().kinds(kinds).seconds(seconds).output_bytes(bytes).retries(8);
    let (load, map) = (g.group("load", options.clone()), g.group("map", options));
    let end = g.group("end", TaskOptions::default().kinds(kinds).output_bytes(1));
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            let l = g.simulated(load, &[]);
            g.simulated(map, &[l])
        })
        .collect();
    let last = g.simulated(end, &tasks);
    g.build(&[last])
}

fn independent(n: usize, seconds: f64) -> Graph {
    let mut g = GraphBuilder::new();
    let options = TaskOptions::default().kinds(DeviceKinds::Any).seconds(seconds).retries(8);
    let group = g.group("task", options);
    let tasks: Vec<_> = (0..n).map(|_| g.simulated(group, &[])).collect();
    g.build(&tasks)
}

fn speeds(speeds: &[f64]) -> Vec<DeviceProfile> {
    let device = |(i, s): (usize, &f64)| {
        let kind = if i == 0 { DeviceKind::Cpu } else { DeviceKind::Gpu };
        DeviceProfile::new(format!("d{i}"), kind).speed(*s)
    };
    speeds.iter().enumerate().map(device).collect()
}

#[test]
fn unequal_devices_share_in_proportion() {
    let report =
        simulate(Simulation::new(speeds(&[1.0, 10.0, 3.0])), independent(14_000, 0.01)).unwrap();
    for (tasks, share) in report.tasks_by_device.iter().zip([1.0, 10.0, 3.0]) {
        let fair = 14_000.0 * share / 14.0;
        assert!((*tasks as f64 / fair - 1.0).abs() < 0.1, "{:?}", report.tasks_by_device);
    }
    assert!(report.makespan <= report.lower_bound * 1.01, "{report:?}");
}

#[test]
fn another_device_never_makes_a_job_slower() {
    type Make = fn() -> Graph;
    let graphs: [(&str, Make); 5] = [
        ("3 tasks", || independent(3, 1.0)),
        ("20 tasks", || independent(20, 1.0)),
        ("1000 tasks", || independent(1000, 1.0)),
        ("map and reduce", || map_reduce(40, DeviceKinds::Any, 1.0, 1000)),
        ("a chain", || {
            let mut g = GraphBuilder::new();
            let options = TaskOptions::default().kinds(DeviceKinds::Any).seconds(1.0);
            let group = g.group("link", options.output_bytes(1000));
            let mut last = g.simulated(group, &[]);
            (0..50).for_each(|_| last = g.simulated(group, &[last]));
            g.build(&[last])
        }),
    ];
    for (name, graph) in graphs {
        let alone = simulate(Simulation::new(speeds(&[10.0])), graph()).unwrap();
        for slower in [10.0, 3.0, 1.0, 0.1] {
            let devices = speeds(&[10.0, slower]).into_iter().map(|d| d.link(1e6)).collect();
            let both = simulate(Simulation::new(devices), graph()).unwrap();
            let ratio = both.makespan / alone.makespan;
            assert!(ratio <= 1.05, "{name}: {slower} beside 10 takes {ratio} of 10 alone");
        }
    }
}

#[test]
fn locality_moves_a_fifth_of_the_bytes_of_chance_or_less() {
    // 200 chains of ten: nothing that is shared between them.
    let chains = || {
        let mut g = GraphBuilder::new();
        let options = TaskOptions::default().seconds(0.1).output_bytes(1 << 20);
        let group = g.group("link", options);
        let ends: Vec<_> = (0..200)
            .map(|_| {
                let mut last = g.simulated(group, &[]);
                (0..9).for_each(|_| last = g.simulated(group, &[last]));
                last
            })
            .collect();
        g.build(&ends)
    };
    let devices = || {
        (0..20).map(|i| DeviceProfile::new(format!("d{i}"), DeviceKind::Cpu).link(1e9)).collect()
    };
    let moved = |policy: Box<dyn Placement>| {
        let simulation = Simulation { policy, ..Simulation::new(devices()) };
        simulate(simulation, chains()).unwrap()
    };
    let (random, local) = (moved(Box::new(Random::new(7))), moved(Box::new(LocalityFirst)));
    assert!(local.moved_bytes * 5 <= random.moved_bytes, "{local:?}, {random:?}");
    assert!(local.makespan <= random.makespan);
    let cost = moved(Box::new(CostBased::new(7)));
    assert!(cost.moved_bytes * 5 <= random.moved_bytes, "{cost:?}");
}

#[test]
fn a_thousand_workers_with_faults_are_near_the_bound() {
    let devices = (0..1000)
        .map(|i| match i % 4 {
            0 => DeviceProfile::new(format!("gpu{i}"), DeviceKind::Gpu).speed(8.0).link(1e10),
            _ => DeviceProfile::new(format!("cpu{i}"), DeviceKind::Cpu).link(1e10),
        })
        .collect::<Vec<_>>();
    let run = || {
        let simulation = Simulation { failures: 0.01, seed: 3, ..Simulation::new(devices.clone()) };
        simulate(simulation, independent(50_000, 1.0)).unwrap()
    };
    let report = run();
    assert_eq!(report.tasks, 50_000);
    assert!(report.failures > 300, "{}", report.failures);
    assert!(report.makespan <= report.lower_bound * 1.1, "{report:?}");
    assert_eq!(report, run(), "a run is the same for the same seed");
}

#[test]
fn sources_do_not_run_ahead_of_their_consumers() {
    // 1000 sources of a megabyte; all at once would take 20 times the limit.
    let devices = vec![DeviceProfile::new("cpu", DeviceKind::Cpu).slots(4).memory(50 << 20)];
    let graph = {
        let mut g = GraphBuilder::new();
        let large = TaskOptions::default().seconds(1.0).output_bytes(1 << 20);
        let small = TaskOptions::default().seconds(1.0).output_bytes(8);
        let (load, count, sum) =
            (g.group("load", large), g.group("count", small.clone()), g.group("sum", small));
        let loads: Vec<_> = (0..1000).map(|_| g.simulated(load, &[])).collect();
        let counts: Vec<_> = loads.iter().map(|&l| g.simulated(count, &[l])).collect();
        let last = g.simulated(sum, &counts);
        g.build(&[last])
    };
    let report = simulate(Simulation::new(devices), graph).unwrap();
    assert_eq!(report.spilled_bytes, 0);
    // Four that run, and what each leaves.
    assert!(report.peak_bytes <= 9 << 20, "{}", report.peak_bytes);
}

#[test]
fn a_lost_device_costs_only_its_own_results() {
    let devices =
        || (0..4).map(|i| DeviceProfile::new(format!("d{i}"), DeviceKind::Cpu).link(1e9)).collect();
    let graph = || map_reduce(200, DeviceKinds::Cpu, 1.0, 1000);
    let whole = simulate(Simulation::new(devices()), graph()).unwrap();
    let lost = Simulation { lost: vec![(60.5, 2)], ..Simulation::new(devices()) };
    let lost = simulate(lost, graph()).unwrap();
    assert!(lost.tasks > whole.tasks && lost.tasks <= whole.tasks + 70, "{lost:?}");
    let all = Simulation { lost: (0..4).map(|d| (9.5, d)).collect(), ..Simulation::new(devices()) };
    assert!(matches!(simulate(all, graph()), Err(RunError::NoDevice { .. })));
}

#[test]
fn a_later_job_gets_its_turn() {
    let mut s = Scheduler::new(None);
    let d = s.add_device(DeviceProfile::new("cpu", DeviceKind::Cpu));
    let long = s.submit(Job::new(Arc::new(independent_on_cpu(1000))));
    let mut order = Vec::new();
    let step = |s: &mut Scheduler, order: &mut Vec<u32>| {
        let a = s.next(d, 0).unwrap();
        order.push(a.job);
        s.finish(&a, Outcome::Done { bytes: 0, spillable: false }, 0);
    };
    for _ in 0..500 {
        step(&mut s, &mut order);
    }
    let short = s.submit(Job::new(Arc::new(independent_on_cpu(100))));
    for _ in 0..210 {
        step(&mut s, &mut order);
    }
    assert!(s.job(short).ended.is_some(), "it had every second turn");
    let turns = order[500..600].iter().filter(|&&j| j == long).count();
    assert!((45..=55).contains(&turns), "{turns} of 100");
}

fn independent_on_cpu(n: usize) -> Graph {
    let mut g = GraphBuilder::new();
    let group = g.group("task", TaskOptions::default());
    let tasks: Vec<_> = (0..n).map(|_| g.simulated(group, &[])).collect();
    g.build(&tasks)
}

#[test]
fn a_task_too_large_for_the_fast_device_runs_on_the_slow_one() {
    for policy in [0, 2, 3] {
        let mut g = GraphBuilder::new();
        let options = TaskOptions::default().kinds(DeviceKinds::Any).seconds(1.0);
        let (large, small) = (
            g.group("large", options.clone().output_bytes(10)),
            g.group("small", options.output_bytes(1)),
        );
        let tasks: Vec<_> =
            (0..20).map(|i| g.simulated(if i % 5 == 0 { large } else { small }, &[])).collect();
        let devices = vec![
            DeviceProfile::new("cpu", DeviceKind::Cpu),
            DeviceProfile::new("gpu", DeviceKind::Gpu).speed(10.0).memory(8).link(1e9),
        ];
        let ends: Vec<_> = tasks.iter().map(|&t| g.simulated(small, &[t])).collect();
        let simulation = Simulation { policy: self::policy(policy), ..Simulation::new(devices) };
        let report = simulate(simulation, g.build(&ends[..4])).unwrap();
        assert_eq!(report.tasks, 8, "{report:?}");
        assert!(report.tasks_by_device[0] >= 1, "{report:?}");
    }
}

#[test]
fn the_place_of_a_cancelled_job_can_be_taken() {
    let mut s = Scheduler::new(None);
    let d = s.add_device(DeviceProfile::new("cpu", DeviceKind::Cpu));
    let first = s.submit(Job::new(Arc::new(independent_on_cpu(10))));
    // One of its tasks was looked at and put back, so it waits among those of all jobs.
    let a = s.next(d, 0).unwrap();
    s.finish(&a, Outcome::Failed(Cause::Panicked("once".into())), 0);
    s.cancel(first, RunError::Cancelled);
    s.release(first);
    let second = s.submit(Job::new(Arc::new(independent_on_cpu(3))));
    assert_eq!(second, first);
    let mut tasks = Vec::new();
    while let Some(a) = s.next(d, 0) {
        tasks.push(a.task);
        s.finish(&a, Outcome::Done { bytes: 0, spillable: false }, 0);
    }
    tasks.sort_unstable();
    assert_eq!(tasks, [0, 1, 2]);
}

#[test]
fn what_no_device_can_run_is_refused_at_once() {
    let mut g = GraphBuilder::new();
    let group = g.group("train", TaskOptions::default().kinds(DeviceKinds::Gpu));
    let task = g.simulated(group, &[]);
    let error = simulate(
        Simulation::new(vec![DeviceProfile::new("cpu", DeviceKind::Cpu)]),
        g.build(&[task]),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "task train[0] needs a GPU, and there is none: cpu");
}
