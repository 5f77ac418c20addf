//! The scheduler under virtual time: the same code that runs tasks on threads, with devices,
//! links and faults that are only numbers. A run is the same for the same seed.
//!
//! A task takes the seconds that its options tell, over the device's speed, and the bytes of
//! its inputs over the link. Nothing is run, so a million tasks on a thousand devices take
//! seconds. What it cannot show is what tasks do to each other on a real machine: memory
//! bandwidth, caches, the operating system.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;

mod recording;

use self::recording::Recording;
use crate::{
    events::EventKind,
    graph::{DeviceKind, DeviceKinds, Graph, TaskId},
    schedule::{
        Cause, CostBased, DeviceProfile, Placement, RunError,
        core::{Assignment, Outcome, Scheduler},
        device::DeviceCounts,
        job::Job,
    },
    trace::Trace,
};

/// Idle devices of a class that are asked in vain before the class is left.
const IN_VAIN: usize = 4;

/// A simulated host.
#[derive(Debug)]
pub struct Simulation {
    /// The devices.
    pub devices: Vec<DeviceProfile>,
    /// Where tasks go.
    pub policy: Box<dyn Placement>,
    /// What all chance is drawn by.
    pub seed: u64,
    /// Share of the tries that fail at their end, by chance.
    pub failures: f64,
    /// How far a task's time is from the one told, at most, as a share of it.
    pub spread: f64,
    /// Devices that are lost, by index, with the second. An index of none is ignored.
    pub lost: Vec<(f64, usize)>,
}

impl Simulation {
    /// Devices with the policy by cost, and no faults.
    pub fn new(devices: Vec<DeviceProfile>) -> Self {
        Self {
            devices,
            policy: Box::new(CostBased::default()),
            seed: 0,
            failures: 0.0,
            spread: 0.0,
            lost: Vec::new(),
        }
    }
}

/// What a simulation came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SimulationReport {
    /// Virtual seconds from begin to end.
    pub makespan: f64,
    /// No schedule takes fewer seconds: the greater of all work over all speed, for each kind
    /// of device and for all together, and of the longest chain at the greatest speed. All
    /// tasks count, wanted or not. Faults, and times that differ from the ones told, are not in it.
    pub lower_bound: f64,
    /// Tries that gave a result.
    pub tasks: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Bytes that went from device to device.
    pub moved_bytes: u64,
    /// Bytes that went to disk.
    pub spilled_bytes: u64,
    /// Most bytes held by one device.
    pub peak_bytes: u64,
    /// Tries that gave a result, by device.
    pub tasks_by_device: Vec<u64>,
    /// Seconds in which each device's slots were taken, added up.
    pub busy_by_device: Vec<f64>,
}

/// What happens at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The running task of that number ends.
    Ends(usize),
    /// A device is lost.
    Lost(usize),
}

struct Run {
    scheduler: Scheduler,
    rng: StdRng,
    failures: f64,
    spread: f64,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, What)>>,
    serial: u64,
    running: Vec<Option<(Assignment, bool)>>,
    places: Vec<usize>,
    /// Devices with a free slot, by class.
    idle: Vec<BTreeSet<usize>>,
    classes: Vec<usize>,
    graph: Arc<Graph>,
    recording: Option<Recording>,
}

/// Runs a graph on simulated devices.
///
/// # Errors
/// As [`crate::execute::Executor::run`]: by chance a task may fail more often than its
/// options allow.
pub fn simulate(simulation: Simulation, graph: Graph) -> Result<SimulationReport, RunError> {
    run(simulation, graph, None).map(|(report, _)| report)
}

/// As [`simulate`], with what each device did when, as events under virtual time: copies and
/// tries of tasks, by slot, and the memory of each device whenever it changed.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_recorded(
    simulation: Simulation,
    graph: Graph,
) -> Result<(SimulationReport, Trace), RunError> {
    let recording = Recording::new(&simulation.devices);
    let (report, recording) = run(simulation, graph, Some(recording))?;
    Ok((report, recording.map(Recording::into_trace).unwrap_or_default()))
}

fn run(
    simulation: Simulation,
    graph: Graph,
    recording: Option<Recording>,
) -> Result<(SimulationReport, Option<Recording>), RunError> {
    let graph = Arc::new(graph);
    let policy = (simulation.devices.len() > 1).then_some(simulation.policy);
    let lower_bound = lower_bound(&graph, &simulation.devices);
    let mut scheduler = Scheduler::new(policy);
    let mut classes: Vec<(DeviceKind, f64)> = Vec::new();
    let mut class_of = Vec::new();
    for profile in simulation.devices {
        let class = (profile.kind, profile.speed);
        let found = classes.iter().position(|c| *c == class);
        class_of.push(found.unwrap_or_else(|| {
            classes.push(class);
            classes.len() - 1
        }));
        scheduler.add_device(profile);
    }
    // The fastest class is asked first.
    let mut by_speed: Vec<usize> = (0..classes.len()).collect();
    by_speed.sort_by(|&a, &b| classes[b].1.total_cmp(&classes[a].1));
    let rank: Vec<usize> =
        (0..classes.len()).map(|c| by_speed.iter().position(|&b| b == c).unwrap_or(0)).collect();
    let mut idle = vec![BTreeSet::new(); classes.len()];
    for (device, &class) in class_of.iter().enumerate() {
        idle[rank[class]].insert(device);
    }
    let id = scheduler.submit(Job::new(Arc::clone(&graph)));
    let mut run = Run {
        scheduler,
        rng: StdRng::seed_from_u64(simulation.seed),
        failures: simulation.failures,
        spread: simulation.spread,
        now: 0,
        events: BinaryHeap::new(),
        serial: 0,
        running: Vec::new(),
        places: Vec::new(),
        idle,
        classes: class_of.into_iter().map(|c| rank[c]).collect(),
        graph,
        recording,
    };
    let n = run.classes.len();
    for (seconds, device) in simulation.lost.into_iter().filter(|(_, d)| *d < n) {
        run.push((seconds * 1e9) as u64, What::Lost(device));
    }
    run.ask_idle();
    while run.scheduler.job(id).ended.is_none() {
        let Some(Reverse((at, _, what))) = run.events.pop() else { break };
        run.now = at;
        run.happens(what);
    }
    run.scheduler.job(id).ended.clone().unwrap_or(Err(RunError::ShutDown))?;
    Ok((run.report(lower_bound), run.recording))
}

impl Run {
    fn push(&mut self, at: u64, what: What) {
        self.serial += 1;
        self.events.push(Reverse((at, self.serial, what)));
    }

    fn happens(&mut self, what: What) {
        let device = match what {
            What::Ends(place) => {
                let Some((a, fails)) = self.running[place].take() else { return };
                self.places.push(place);
                if let Some(recording) = &mut self.recording {
                    let kind = if fails { EventKind::Failed } else { EventKind::Task };
                    recording.ends(place, kind, self.now);
                }
                let outcome = if fails {
                    Outcome::Failed(Cause::error("a simulated fault".into()))
                } else {
                    let job = self.scheduler.job(a.job);
                    Outcome::Done { bytes: job.output_bytes(a.task), spillable: true }
                };
                self.scheduler.finish(&a, outcome, self.now);
                self.record_memory(a.device as usize);
                a.device as usize
            }
            What::Lost(device) => {
                for place in 0..self.running.len() {
                    let here = |r: &(Assignment, bool)| r.0.device as usize == device;
                    if let Some((a, _)) = self.running[place].take_if(|r| here(r)) {
                        self.scheduler.finish(&a, Outcome::Lost, self.now);
                        if let Some(recording) = &mut self.recording {
                            recording.ends(place, EventKind::Failed, self.now);
                        }
                    }
                }
                self.idle[self.classes[device]].remove(&device);
                self.scheduler.device_lost(device);
                self.ask_idle();
                return;
            }
        };
        self.scheduler.effects.freed.clear();
        self.idle[self.classes[device]].insert(device);
        self.ask(device);
        self.ask_idle();
    }

    /// Begins what a device can begin; whether it was anything.
    fn ask(&mut self, device: usize) -> bool {
        let mut began = false;
        loop {
            let d = &self.scheduler.devices[device];
            if d.running >= d.profile.slots || !d.alive {
                self.idle[self.classes[device]].remove(&device);
                return began;
            }
            let Some(a) = self.scheduler.next(device, self.now) else { return began };
            began = true;
            self.begin(a);
        }
    }

    fn begin(&mut self, a: Assignment) {
        let d = &self.scheduler.devices[a.device as usize];
        let needs = self.graph.options(TaskId(a.task)).needs;
        let run = needs.seconds.unwrap_or(0.0) / d.profile.speed;
        let way = d.profile.link.map_or(0.0, |rate| a.moved as f64 / rate);
        let spread = match self.spread {
            s if s > 0.0 => self.rng.random_range(1.0 - s..1.0 + s),
            _ => 1.0,
        };
        let fails = self.failures > 0.0 && self.rng.random_bool(self.failures.min(1.0));
        let at = self.now + ((run * spread + way) * 1e9) as u64;
        let place = self.places.pop().unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        if let Some(recording) = &mut self.recording {
            let name = self.graph.name(TaskId(a.task));
            let bytes = needs.output_bytes.unwrap_or(0);
            let runs_from = self.now + (way * 1e9) as u64;
            recording.begins(
                place,
                a.device as usize,
                name,
                (self.now, runs_from),
                (a.moved, bytes),
            );
        }
        let device = a.device as usize;
        self.running[place] = Some((a, fails));
        self.record_memory(device);
        self.push(at, What::Ends(place));
    }

    fn record_memory(&mut self, device: usize) {
        if let Some(recording) = &mut self.recording {
            recording.memory(device, self.now, self.scheduler.devices[device].used);
        }
    }

    /// Asks idle devices as long as some of them begin something.
    fn ask_idle(&mut self) {
        let woken = std::mem::take(&mut self.scheduler.effects.wake);
        let mut news = std::mem::take(&mut self.scheduler.effects.ready);
        for device in woken {
            if !self.ask(device as usize) {
                news += 1;
            }
        }
        for class in 0..self.idle.len() {
            let mut vain = 0;
            let mut from = 0;
            while news > 0
                && vain < IN_VAIN
                && let Some(&device) = self.idle[class].range(from..).next()
            {
                from = device + 1;
                if self.ask(device) {
                    news -= 1;
                } else {
                    vain += 1;
                }
            }
        }
        // What asking made ready elsewhere.
        while !self.scheduler.effects.wake.is_empty() {
            let mut woken = std::mem::take(&mut self.scheduler.effects.wake);
            woken.sort_unstable();
            woken.dedup();
            for device in woken {
                self.ask(device as usize);
            }
        }
        self.scheduler.effects.ready = 0;
    }

    fn report(&self, lower_bound: f64) -> SimulationReport {
        let devices = &self.scheduler.devices;
        let sum = |f: fn(&DeviceCounts) -> u64| devices.iter().map(|d| f(&d.counts)).sum();
        SimulationReport {
            makespan: self.now as f64 * 1e-9,
            lower_bound,
            tasks: sum(|c| c.tasks),
            failures: sum(|c| c.failures),
            moved_bytes: sum(|c| c.moved_bytes),
            spilled_bytes: sum(|c| c.spilled_bytes),
            peak_bytes: devices.iter().map(|d| d.counts.peak_bytes).max().unwrap_or(0),
            tasks_by_device: devices.iter().map(|d| d.counts.tasks).collect(),
            busy_by_device: devices.iter().map(|d| d.counts.busy_nanos as f64 * 1e-9).collect(),
        }
    }
}

/// See [`SimulationReport::lower_bound`].
fn lower_bound(graph: &Graph, devices: &[DeviceProfile]) -> f64 {
    let mut work = [0.0; DeviceKinds::COUNT];
    let fastest = devices.iter().map(|d| d.speed).fold(0.0, f64::max);
    let mut chains = vec![0.0_f64; graph.len()];
    for task in 0..graph.len() as u32 {
        let needs = graph.options(TaskId(task)).needs;
        let seconds = needs.seconds.unwrap_or(0.0);
        work[needs.kinds.index()] += seconds;
        let before = graph.input_words(task).iter().map(|&i| chains[i as usize]);
        chains[task as usize] = before.fold(0.0, f64::max) + seconds;
    }
    let speed = |kinds: DeviceKinds| -> f64 {
        let those = devices.iter().filter(|d| kinds.contains(d.kind));
        those.map(|d| d.speed * f64::from(d.slots)).sum()
    };
    let bound = |work: f64, kinds| if work > 0.0 { work / speed(kinds) } else { 0.0 };
    let chain = chains.into_iter().fold(0.0, f64::max) / fastest;
    bound(work[DeviceKinds::Cpu.index()], DeviceKinds::Cpu)
        .max(bound(work[DeviceKinds::Gpu.index()], DeviceKinds::Gpu))
        .max(bound(work.iter().sum(), DeviceKinds::Any))
        .max(chain)
}
