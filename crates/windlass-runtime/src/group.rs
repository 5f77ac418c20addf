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

use windlass_device::Device;

use crate::{
    events::Events,
    execute::{Executor, ExecutorOptions},
    graph::{DeviceKind, DeviceKinds, TaskOptions},
    schedule::{CostBased, DeviceCounts, DeviceProfile, RunError},
};

/// Batches that a device has before it at once: one is uploaded while another is computed on.
const SLOTS: u32 = 2;

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
            policy: Box::new(CostBased::default()),
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

    /// Their names, as a device spec lists them.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.devices().map(|d| d.info().name.to_string()).collect();
        names.join(",")
    }

    /// Tasks that run at once.
    pub fn slots(&self) -> usize {
        self.devices.len() * SLOTS as usize
    }

    /// Runs blocking work for so many rows on the device that is through with it first.
    ///
    /// # Errors
    /// When the work panics, or every device was lost.
    pub async fn run<T: Send + 'static>(
        &self,
        operator: &'static str,
        pace: &Arc<Pace>,
        rows: usize,
        work: impl FnOnce(&Arc<dyn Device>) -> T + Send + 'static,
    ) -> Result<T, RunError> {
        let mut options = TaskOptions::default().kinds(DeviceKinds::Gpu);
        options.needs.seconds = pace.seconds().map(|s| s * rows.max(1) as f64);
        let (pace, devices) = (Arc::clone(pace), self.devices.clone());
        let spawned = self.executor.spawn(operator, options, move |context| {
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
