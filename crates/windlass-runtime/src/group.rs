//! Several devices of a host that share the batches of an operator.
//!
//! ```text
//!    batch 5 ─► │ batch 4 │ batch 3 │ ─┬─► cuda:0   │ batch 0 │ batch 2 │
//!               tasks of the executor  └─► cuda:1   │ batch 1 │
//! ```
//!
//! A batch is a task of an [`Executor`] whose devices are the group's: the first device with a
//! slot to spare takes it, unless the others would be through with it sooner, so that devices of
//! unequal speed get work in proportion to what they do, and a slow one does not hold up the end.
//! A device that is lost gets no more.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use windlass_device::{Device, DeviceName, DeviceSpec, spec::SpecItem};

use crate::{
    events::Events,
    execute::{Executor, ExecutorOptions},
    graph::{DeviceKind, DeviceKinds, TaskOptions},
    schedule::{
        Choice, CostBased, DeviceCounts, DeviceProfile, Placement, RunError, TaskView, View,
    },
};

/// Batches that a device has before it at once: one is uploaded while another is computed on.
const SLOTS: u32 = 2;

/// Between the name of an operator and that of the device that has a batch's rows.
const AT: char = '@';

/// Each batch where its rows are, and others where they are done first.
#[derive(Debug, Default)]
struct Near(CostBased);

impl Near {
    fn home(task: &TaskView<'_>, view: &View<'_>) -> Option<usize> {
        let (_, home) = task.group().split_once(AT)?;
        let named = |d: &usize| *view.profile(*d).name == *home && view.may_run(task, *d);
        (0..view.devices()).find(named)
    }
}

impl Placement for Near {
    fn name(&self) -> &str {
        "near"
    }

    fn place(&self, task: &TaskView<'_>, asking: Option<usize>, view: &View<'_>) -> Choice {
        match Self::home(task, view) {
            Some(home) if asking.is_none_or(|d| d == home) => {
                Choice::On(home, "its rows are there".into())
            }
            Some(home) if view.queued_seconds(home) < view.run_seconds(task, home) => {
                Choice::On(home, "its rows are there, and soon its turn".into())
            }
            _ => self.0.place(task, asking, view),
        }
    }

    fn accept(&self, task: &TaskView<'_>, device: usize, view: &View<'_>) -> bool {
        self.0.accept(task, device, view)
    }

    fn may_move(&self, task: &TaskView<'_>, from: usize, to: usize, view: &View<'_>) -> bool {
        Self::home(task, view).is_none() && self.0.may_move(task, from, to, view)
    }
}

/// Share of the newest batch in the pace of an operator: a guess between what follows a change
/// and what is steady.
const NEWEST: f64 = 0.3;

/// The devices.
pub struct DeviceGroup {
    devices: Vec<(Arc<dyn Device>, f64)>,
    executor: Arc<Executor>,
}

impl fmt::Debug for DeviceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceGroup").field(&self.names()).finish()
    }
}

/// Seconds that a row of an operator takes on a device of speed 1, as it was measured so far.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    fn seconds(&self) -> Option<f64> {
        let seconds = f64::from_bits(self.0.load(Relaxed));
        (seconds > 0.0).then_some(seconds)
    }

    /// Takes note of a batch. Of two at the same time one may be overlooked.
    fn measured(&self, seconds: f64) {
        let new = match self.seconds() {
            Some(old) => old + NEWEST * (seconds - old),
            None => seconds,
        };
        self.0.store(new.to_bits(), Relaxed);
    }
}

impl DeviceGroup {
    /// The devices, each with its speed against one of speed 1.
    ///
    /// # Errors
    /// For no devices, and when the system gives no threads.
    pub fn new(devices: Vec<(Arc<dyn Device>, f64)>) -> io::Result<Self> {
        let profile = |(device, speed): &(Arc<dyn Device>, f64)| {
            let name = device.info().name.to_string();
            DeviceProfile::new(name, DeviceKind::Gpu).slots(SLOTS).speed(*speed)
        };
        let options = ExecutorOptions {
            devices: devices.iter().map(profile).collect(),
            policy: Box::<Near>::default(),
            spill: None,
            // The operators tell of their kernels and copies themselves.
            events: Events::new(),
        };
        Ok(Self { devices, executor: Arc::new(Executor::new(options)?) })
    }

    /// The devices.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Arc<dyn Device>> {
        self.devices.iter().map(|(device, _)| device)
    }

    /// Their names as a device spec: `cuda*4` for the first four of a family, else a list.
    pub fn names(&self) -> String {
        let names: Vec<&DeviceName> = self.devices().map(|d| &d.info().name).collect();
        let backend = names[0].backend();
        let mut all = names.iter().enumerate();
        if all.all(|(at, n)| n.backend() == backend && n.index() as usize == at) {
            let first = SpecItem::First(backend, names.len() as u32);
            return DeviceSpec::List(vec![first]).to_string();
        }
        let names: Vec<_> = names.into_iter().map(ToString::to_string).collect();
        names.join(",")
    }

    /// Tasks that run at once.
    pub fn slots(&self) -> usize {
        self.devices.len() * SLOTS as usize
    }

    /// Runs blocking work for so many rows on the device that is through with it first. Where a
    /// home is named, that device has them: others take them only when it has much before it.
    ///
    /// # Errors
    /// When the work panics, or every device was lost.
    pub async fn run<T: Send + 'static>(
        &self,
        operator: &'static str,
        pace: &Arc<Pace>,
        (rows, home): (usize, Option<DeviceName>),
        work: impl FnOnce(&Arc<dyn Device>) -> T + Send + 'static,
    ) -> Result<T, RunError> {
        let mut options = TaskOptions::default().kinds(DeviceKinds::Gpu);
        options.needs.seconds = pace.seconds().map(|s| s * rows.max(1) as f64);
        let (pace, devices) = (Arc::clone(pace), self.devices.clone());
        let name: Arc<str> = match home {
            Some(home) => format!("{operator}{AT}{home}").into(),
            None => operator.into(),
        };
        let spawned = self.executor.spawn(name, options, move |context| {
            let mut found = devices.iter();
            let (device, speed) = found
                .find(|(device, _)| device.info().name.to_string() == context.device())
                .expect("the executor's devices are the group's");
            let began = Instant::now();
            let result = work(device);
            pace.measured(began.elapsed().as_secs_f64() * speed / rows.max(1) as f64);
            result
        });
        spawned.await
    }

    /// Takes a device out of use.
    pub(crate) fn lost(&self, name: &str) {
        self.executor.device_lost(name);
    }

    /// What each device did so far, by its name.
    pub fn counts(&self) -> Vec<(String, DeviceCounts)> {
        self.executor.counts()
    }
}
