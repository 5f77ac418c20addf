//! Tiles on devices: fused programs as generated kernels, reductions by kernels that fold an
//! axis. What a device cannot do, or has no memory for, the host's cores do in its place, from
//! the same inputs.
//!
//! | module | holds |
//! |---|---|
//! | [`tile`] | [`DeviceTile`]: elements in a device's memory |
//! | [`lower`] | a fused program as the program of a kernel |
//! | [`made`] | elements that a kernel makes of their positions |
//! | [`ops`] | what NumPy's operations are in a kernel's operations |
//! | [`bind`] | the elements that a program begins with, brought to a device |
//! | [`evaluate`] | the elements of a program's region, where they lie or by its kernel |
//! | [`run`] | maps, reductions and running sums of a region |
//! | [`parts`] | chunks of parts of other arrays |
//! | [`take`] | elements at listed positions |
//! | `mod` | [`Devices`]: what tasks may use |

pub(crate) mod bind;
pub(crate) mod evaluate;
pub(crate) mod lower;
pub(crate) mod made;
mod ops;
pub(crate) mod parts;
pub(crate) mod run;
mod take;
pub(crate) mod tile;

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;
use windlass_device::{Device, DeviceError, DeviceName, Queue};
use windlass_kernels::{KernelError, PhysType};
use windlass_runtime::{Inventory, delayed::RunGraph, graph::DeviceKinds};

use crate::{
    dtype::DType,
    error::ArrayError,
    execute::{program::Program, stage::ReduceStage},
    expr::parts::Parts,
};

pub(crate) use tile::DeviceTile;

/// The devices that the tasks of a computation may run on, beside the host's cores.
pub(crate) struct Devices {
    inventory: Arc<Inventory>,
    all: Vec<Arc<dyn Device>>,
    shared: Arc<Shared>,
}

/// What the computations on an inventory's devices share.
#[derive(Default)]
struct Shared {
    /// Queues that no task uses now. Making one takes longer than a small tile.
    queues: Mutex<HashMap<DeviceName, Vec<Box<dyn Queue>>>>,
    taken_over: Mutex<TakenOver>,
}

/// Work of devices that the host did in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Tiles, and parts of reductions.
    pub tiles: u64,
    /// Why, the last time.
    pub reason: Option<String>,
}

/// How much work of an executor's devices the host did in their place so far, because there
/// was no memory for it there, or the device failed.
pub fn taken_over(on: &dyn RunGraph) -> TakenOver {
    on.inventory().map_or_else(TakenOver::default, |inventory| {
        inventory.extension::<Shared>().taken_over.lock().clone()
    })
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Devices({self})")
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.all.iter().map(|d| d.info().name.to_string()).collect();
        f.write_str(&names.join(", "))
    }
}

/// Why a device did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot do it, or not now: the host can.
    Here(String),
    /// A tile on a device cannot be read any more.
    Lost(ArrayError),
}

/// The type that kernels compute with, or that there is none.
///
/// # Errors
/// For complex numbers.
pub(crate) fn kernel_type(dtype: DType) -> Result<PhysType, Failure> {
    tile::phys(dtype).ok_or_else(|| Failure::Here(format!("{dtype} has no kernels")))
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        Self::Here(error.to_string())
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Here(error.to_string())
    }
}

impl Devices {
    /// Those of an executor; `None` where it has none.
    ///
    /// # Errors
    /// If one that was named does not open.
    pub(crate) fn of(on: &dyn RunGraph) -> Result<Option<Arc<Self>>, ArrayError> {
        let Some(inventory) = on.inventory() else { return Ok(None) };
        let failed = |e: DeviceError| ArrayError::Device { reason: e.to_string() };
        let all = inventory.accelerators().map_err(failed)?;
        let shared = inventory.extension::<Shared>();
        let inventory = Arc::clone(inventory);
        Ok((!all.is_empty()).then(|| Arc::new(Self { inventory, all, shared })))
    }

    /// The device of a task, by the name that it sees; `None` on the host, and where the device
    /// was lost.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<dyn Device>> {
        let device = self.all.iter().find(|d| d.info().name.to_string() == name)?;
        self.inventory.lost(&device.info().name).is_none().then_some(device)
    }

    /// Whether any of them was lost. They are asked: who downloads a tile tells nobody.
    pub(crate) fn any_lost(&self) -> bool {
        for device in &self.all {
            if let Err(e) = device.queue().and_then(|mut queue| queue.synchronize()) {
                self.note(&e);
            }
        }
        self.all.iter().any(|d| self.inventory.lost(&d.info().name).is_some())
    }

    /// Bytes of the largest device's memory: no task that takes more runs on any of them.
    pub(crate) fn most_memory(&self) -> u64 {
        self.all.iter().map(|d| d.pool().stats().cap as u64).max().unwrap_or(0)
    }

    /// Notes that the host does a device's work.
    pub(crate) fn take_over(&self, reason: String) {
        let mut taken_over = self.shared.taken_over.lock();
        taken_over.tiles += 1;
        taken_over.reason = Some(reason);
    }

    /// Notes a lost device if that is what went wrong.
    fn note(&self, error: &DeviceError) {
        if let DeviceError::Lost { device, reason } = error {
            self.inventory.mark_lost(device, reason);
        }
    }

    /// Where the tasks of a program may run, and why not on devices where they may not. What the
    /// user named is used, whether it is quick or not.
    pub(crate) fn kinds(&self, program: &Program) -> (DeviceKinds, Option<String>) {
        self.allowed(lower::supported(program, &self.all))
    }

    /// As [`Devices::kinds`], of the parts of a reduction.
    pub(crate) fn kinds_of_fold(&self, reduce: &ReduceStage) -> (DeviceKinds, Option<String>) {
        let wide = |d: &Arc<dyn Device>| d.info().features.float64;
        match &reduce.narrow {
            Some(narrow) if !self.all.iter().all(wide) => self.kinds(narrow),
            _ => self.kinds(&reduce.program),
        }
    }

    /// As [`Devices::kinds`], of chunks of parts of several inputs.
    pub(crate) fn kinds_of_parts(
        &self,
        parts: &Parts,
        inputs: &[Program],
    ) -> (DeviceKinds, Option<String>) {
        let Some(there) = &parts.there else {
            return (DeviceKinds::Cpu, Some("it has no kernel".into()));
        };
        let mut supported = self.all.iter().try_for_each(|d| there.supported(&**d));
        for input in inputs {
            supported = supported.and_then(|()| lower::supported(input, &self.all));
        }
        self.allowed(supported)
    }

    fn allowed(&self, supported: Result<(), String>) -> (DeviceKinds, Option<String>) {
        match supported {
            Err(reason) => (DeviceKinds::Cpu, Some(reason)),
            Ok(()) if self.inventory.named() => (DeviceKinds::Gpu, None),
            Ok(()) => (DeviceKinds::Any, None),
        }
    }

    /// Runs work on a device with a queue, which is empty when it is done. A device that is
    /// found to be lost gets no more work.
    pub(crate) fn with<T>(
        &self,
        device: &Arc<dyn Device>,
        work: impl FnOnce(&mut dyn Queue) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let name = &device.info().name;
        let kept = self.shared.queues.lock().get_mut(name).and_then(Vec::pop);
        let found = match kept {
            Some(queue) => Ok(queue),
            None => device.queue(),
        };
        let mut queue = found.inspect_err(|e| self.note(e))?;
        let done = work(&mut *queue);
        queue.synchronize().inspect_err(|e| self.note(e))?;
        self.shared.queues.lock().entry(name.clone()).or_default().push(queue);
        done
    }
}
