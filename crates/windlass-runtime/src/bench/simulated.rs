//! The scheduler under virtual time: how near it comes to the shortest schedule, how many
//! bytes it moves, how unequal devices share.

use std::time::Instant;

use serde::Serialize;

use crate::{
    graph::{DeviceKind, DeviceKinds, Graph, GraphBuilder, TaskId, TaskOptions},
    schedule::{CostBased, DeviceProfile, LocalityFirst, Placement, Random, RunError},
    simulate::{Simulation, SimulationReport, simulate, simulate_recorded},
    trace::Trace,
};

/// A simulation and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// What was simulated.
    pub name: String,
    /// Number of devices.
    pub devices: usize,
    /// Number of tasks.
    pub tasks: usize,
    /// Seconds that the simulation took.
    pub real_seconds: f64,
    /// What it came to.
    pub report: SimulationReport,
}

/// Runs all of them: a million tasks on a thousand workers in about ten seconds.
///
/// # Errors
/// That of a simulated run.
pub fn all(tasks: usize, workers: usize, seed: u64) -> Result<Vec<Simulated>, RunError> {
    let cost = || Box::new(CostBased::new(seed)) as Box<dyn Placement>;
    let mut done = vec![run(
        "independent, 1% faults",
        mixed(workers),
        cost(),
        independent(tasks),
        (0.01, seed),
    )?];
    let policies: [(&str, Box<dyn Placement>); 3] = [
        ("chains, random placement", Box::new(Random::new(seed))),
        ("chains, locality first", Box::new(LocalityFirst)),
        ("chains, by cost", cost()),
    ];
    for (name, policy) in policies {
        done.push(run(name, alike(workers), policy, chains(tasks), (0.0, seed))?);
    }
    let unequal = [("cpu", 1.0), ("slow", 3.0), ("fast", 10.0)].map(|(name, speed)| {
        let kind = if name == "cpu" { DeviceKind::Cpu } else { DeviceKind::Gpu };
        DeviceProfile::new(name, kind).speed(speed)
    });
    let few = independent(tasks.min(100_000));
    done.push(run("speeds 1:3:10", unequal.to_vec(), cost(), few, (0.0, seed))?);
    Ok(done)
}

/// A job of several stages on the same mixed hosts, one try in a hundred failing, with what each
/// device did when: files are loaded, of which one in fifty is ten times as large as the others,
/// cleaned, scored on a GPU, and combined by eights into one. At least three tasks.
///
/// # Errors
/// That of the simulated run.
pub fn stages(tasks: usize, workers: usize, seed: u64) -> Result<(Simulated, Trace), RunError> {
    let graph = stages_graph(tasks);
    let (devices, tasks) = (mixed(workers), graph.len());
    let began = Instant::now();
    let simulation = Simulation {
        policy: Box::new(CostBased::new(seed)),
        failures: 0.01,
        spread: 0.3,
        seed,
        ..Simulation::new(devices)
    };
    let (report, trace) = simulate_recorded(simulation, graph)?;
    let real_seconds = began.elapsed().as_secs_f64();
    let name = "stages, 1% faults, recorded".to_string();
    Ok((Simulated { name, devices: workers, tasks, real_seconds, report }, trace))
}

/// See [`stages`].
fn stages_graph(tasks: usize) -> Graph {
    // Three tasks for each file, and a seventh of one where eights are combined; the levels of
    // eights, of which there are fewer than ten, may each have one that is not full.
    let files = (tasks.saturating_sub(10) * 7 / 22).max(1);
    let mut g = GraphBuilder::with_capacity(tasks, tasks);
    let of = |seconds, bytes| {
        TaskOptions::default()
            .kinds(DeviceKinds::Any)
            .seconds(seconds)
            .output_bytes(bytes)
            .retries(8)
    };
    let load = g.group("load", of(0.4, 8 << 20));
    let large = g.group("load-large", of(4.0, 80 << 20));
    let clean = g.group("clean", of(0.6, 6 << 20));
    let score = g.group("score", of(2.0, 1 << 20).kinds(DeviceKinds::Gpu));
    let combine = g.group("combine", of(0.2, 1 << 20));
    let check = g.group("check", of(0.1, 1 << 10));
    let mut level: Vec<TaskId> = (0..files)
        .map(|i| {
            let loaded = g.simulated(if i % 50 == 17 { large } else { load }, &[]);
            let cleaned = g.simulated(clean, &[loaded]);
            g.simulated(score, &[cleaned])
        })
        .collect();
    while level.len() > 1 {
        level = level.chunks(8).map(|eight| g.simulated(combine, eight)).collect();
    }
    // What is left of the number: each looks at the result.
    let last = level[0];
    let made = g.len();
    level.extend((made..tasks).map(|_| g.simulated(check, &[last])));
    g.build(&level)
}

fn run(
    name: &str,
    devices: Vec<DeviceProfile>,
    policy: Box<dyn Placement>,
    graph: Graph,
    (failures, seed): (f64, u64),
) -> Result<Simulated, RunError> {
    let (n, tasks) = (devices.len(), graph.len());
    let began = Instant::now();
    let simulation = Simulation { policy, failures, seed, ..Simulation::new(devices) };
    let report = simulate(simulation, graph)?;
    let real_seconds = began.elapsed().as_secs_f64();
    Ok(Simulated { name: name.to_string(), devices: n, tasks, real_seconds, report })
}

/// A quarter GPUs that are eight times as fast.
fn mixed(workers: usize) -> Vec<DeviceProfile> {
    let worker = |i: usize| match i % 4 {
        0 => DeviceProfile::new(format!("gpu{i}"), DeviceKind::Gpu).speed(8.0).link(1e10),
        _ => DeviceProfile::new(format!("cpu{i}"), DeviceKind::Cpu).link(1e10),
    };
    (0..workers).map(worker).collect()
}

fn alike(workers: usize) -> Vec<DeviceProfile> {
    (0..workers).map(|i| DeviceProfile::new(format!("cpu{i}"), DeviceKind::Cpu).link(1e9)).collect()
}

/// Tasks of a second, each tried again up to eight times.
fn independent(n: usize) -> Graph {
    let mut g = GraphBuilder::with_capacity(n, 0);
    let options = TaskOptions::default().kinds(DeviceKinds::Any).seconds(1.0).retries(8);
    let group = g.group("task", options.output_bytes(1 << 20));
    let tasks: Vec<_> = (0..n).map(|_| g.simulated(group, &[])).collect();
    g.build(&tasks)
}

/// Chains of ten tasks of 0.1 s, whose results are a megabyte each. Nothing goes from one
/// chain to another: no byte has to move.
fn chains(n: usize) -> Graph {
    let mut g = GraphBuilder::with_capacity(n, n);
    let options = TaskOptions::default().seconds(0.1).output_bytes(1 << 20);
    let group = g.group("link", options);
    let ends: Vec<_> = (0..n.div_ceil(10))
        .map(|_| (0..9).fold(g.simulated(group, &[]), |last, _| g.simulated(group, &[last])))
        .collect();
    g.build(&ends)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::events::EventKind;

    #[test]
    fn the_recording_has_every_try_and_no_device_does_two_things_at_once() {
        let (simulated, trace) = stages(2_000, 8, 3).unwrap();
        let of = |kind| trace.events.iter().filter(|e| e.kind == kind).count() as u64;
        let report = &simulated.report;
        assert!(simulated.tasks == 2_000, "{simulated:?}");
        assert_eq!((of(EventKind::Task), of(EventKind::Failed)), (report.tasks, report.failures));
        assert!(report.failures > 0 && of(EventKind::Transfer) > 0 && of(EventKind::Memory) > 0);
        // Every device has one slot.
        let mut by_device: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for e in trace.events.iter().filter(|e| e.kind != EventKind::Memory) {
            by_device.entry(&e.device).or_default().push((e.at, e.at + e.duration));
        }
        assert_eq!(by_device.len(), 8);
        let mut last = 0.0_f64;
        for spans in by_device.values_mut() {
            spans.sort();
            assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0));
            last = last.max(spans[spans.len() - 1].1.as_secs_f64());
        }
        assert!((last - report.makespan).abs() < 1e-6, "{last}, {report:?}");
        let peak = trace.events.iter().filter(|e| e.kind == EventKind::Memory).map(|e| e.bytes);
        assert_eq!(peak.max(), Some(report.peak_bytes));
        assert_eq!(stages(2_000, 8, 3).unwrap().1.events.len(), trace.events.len());
        assert_eq!(stages(1, 1, 3).unwrap().0.report.tasks, 3);
    }

    #[test]
    fn a_small_one_keeps_what_the_large_one_promises() {
        let all = all(20_000, 50, 1).unwrap();
        let [faults, random, local, cost, unequal] = &all[..] else { panic!("{all:?}") };
        assert!(faults.report.makespan <= 1.1 * faults.report.lower_bound, "{faults:?}");
        assert!(faults.report.failures > 100);
        for near in [local, cost] {
            assert!(near.report.moved_bytes * 5 <= random.report.moved_bytes, "{near:?}");
        }
        for (tasks, share) in unequal.report.tasks_by_device.iter().zip([1.0, 3.0, 10.0]) {
            let fair = unequal.tasks as f64 * share / 14.0;
            assert!((*tasks as f64 / fair - 1.0).abs() < 0.1, "{unequal:?}");
        }
    }
}
