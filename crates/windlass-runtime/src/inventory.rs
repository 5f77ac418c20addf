//! The devices of a session, opened when they are first needed.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use windlass_device::{
    Device, DeviceClass, DeviceError, DeviceName, DeviceOptions, DeviceSpec, open_device, open_spec,
};

use crate::{
    calibration::CalibrationStore, events::Events, graph::DeviceKind, group::DeviceGroup,
    schedule::DeviceProfile,
};

/// Bytes a second that a core copies within the host's memory (a stated guess), against which
/// devices are told apart before anything was measured.
const HOST_MEMORY: f64 = 1e10;

/// Tasks of a device at once: one is uploaded while another is computed on.
const SLOTS: u32 = 2;

/// The devices of one spec. Nothing is opened before it is asked for: a job that places no
/// operator pays nothing for a GPU driver.
///
/// A device that was lost stays in the list but is out of use: see [`Inventory::usable`].
pub struct Inventory {
    spec: DeviceSpec,
    options: DeviceOptions,
    cpu: OnceLock<Result<Arc<dyn Device>, DeviceError>>,
    devices: OnceLock<Result<Vec<Arc<dyn Device>>, DeviceError>>,
    lost: Mutex<HashMap<DeviceName, String>>,
    calibrations: CalibrationStore,
    events: Events,
    group: OnceLock<Option<Arc<DeviceGroup>>>,
    extensions: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Inventory {
    /// The devices of `spec`, not opened yet.
    pub fn new(spec: DeviceSpec, options: DeviceOptions) -> Arc<Self> {
        Arc::new(Self {
            spec,
            options,
            cpu: OnceLock::new(),
            devices: OnceLock::new(),
            lost: Mutex::default(),
            calibrations: CalibrationStore::default(),
            events: Events::new(),
            group: OnceLock::new(),
            extensions: Mutex::default(),
        })
    }

    /// Devices that are open already, `cpu` first.
    pub fn of(devices: Vec<Arc<dyn Device>>, spec: DeviceSpec) -> Arc<Self> {
        let this = Self::new(spec, DeviceOptions::default());
        if let Some(cpu) = devices.iter().find(|d| d.info().class == DeviceClass::Host) {
            let _ = this.cpu.set(Ok(Arc::clone(cpu)));
        }
        let _ = this.devices.set(Ok(devices));
        this
    }

    /// The spec.
    pub fn spec(&self) -> &DeviceSpec {
        &self.spec
    }

    /// How devices are opened.
    pub fn options(&self) -> &DeviceOptions {
        &self.options
    }

    /// The measured rates of its devices.
    pub fn calibrations(&self) -> &CalibrationStore {
        &self.calibrations
    }

    /// What others keep with these devices: one value of each type, made when it is first asked
    /// for.
    pub fn extension<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut all = self.extensions.lock();
        if let Some(found) = all.iter().find_map(|e| Arc::clone(e).downcast().ok()) {
            return found;
        }
        let new = Arc::new(T::default());
        all.push(Arc::clone(&new) as _);
        new
    }

    /// What happens on its devices.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The host as a device. Opens nothing else.
    ///
    /// # Errors
    /// That of opening it.
    pub fn cpu(&self) -> Result<Arc<dyn Device>, DeviceError> {
        self.cpu.get_or_init(|| open_device(&DeviceName::cpu(), &self.options)).clone()
    }

    /// All devices of the spec, `cpu` first, opened at the first call.
    ///
    /// # Errors
    /// For a spec that lists devices, that of the first that does not open; the same error
    /// at every call.
    pub fn devices(&self) -> Result<&[Arc<dyn Device>], DeviceError> {
        let opened = self.devices.get_or_init(|| {
            let mut devices = open_spec(&self.spec, &self.options)?;
            devices[0] = self.cpu()?;
            Ok(devices)
        });
        opened.as_deref().map_err(Clone::clone)
    }

    /// The devices that were opened so far; opens nothing.
    pub fn opened(&self) -> Vec<Arc<dyn Device>> {
        if let Some(Ok(devices)) = self.devices.get() {
            return devices.clone();
        }
        self.cpu.get().and_then(|c| c.clone().ok()).into_iter().collect()
    }

    /// The devices of the spec without those that were lost; opens them.
    ///
    /// # Errors
    /// As [`Inventory::devices`].
    pub fn usable(&self) -> Result<Vec<Arc<dyn Device>>, DeviceError> {
        let lost = self.lost.lock();
        let usable = self.devices()?.iter().filter(|d| !lost.contains_key(&d.info().name));
        Ok(usable.cloned().collect())
    }

    /// Notes that a device was lost, with the reason; it is out of use from then on.
    pub fn mark_lost(&self, device: &DeviceName, reason: &str) {
        if self.lost.lock().insert(device.clone(), reason.to_string()).is_none() {
            tracing::warn!(%device, reason, "the device was lost, and is out of use");
        }
        if let Some(Some(group)) = self.group.get() {
            group.lost(&device.to_string());
        }
    }

    /// The devices other than the host that can share the batches of an operator, where there
    /// are at least two in use and all are of one class: GPUs, or what was named to stand in for
    /// them. Opens and, for GPUs, measures them at the first call.
    ///
    /// # Errors
    /// As [`Inventory::devices`].
    pub fn group(&self) -> Result<Option<Arc<DeviceGroup>>, DeviceError> {
        let usable = self.usable()?;
        let others = || usable.iter().filter(|d| d.info().class != DeviceClass::Host);
        let Some(class) = others().next().map(|d| d.info().class) else { return Ok(None) };
        let alike = others().all(|d| d.info().class == class);
        if others().count() < 2 || !alike {
            return Ok(None);
        }
        let group = self.group.get_or_init(|| {
            let rates = others().map(|d| match class {
                // Kernels move their rows: the rate of copies within a device is its speed.
                DeviceClass::Real => self.calibrations.get(&**d).map_or(1.0, |rates| rates.memory),
                _ => 1.0,
            });
            let rates: Vec<f64> = rates.collect();
            let most = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            let devices = others().cloned().zip(rates.iter().map(|rate| rate / most));
            match DeviceGroup::new(devices.collect()) {
                Ok(group) => Some(Arc::new(group)),
                Err(error) => {
                    tracing::warn!(%error, "no threads for several devices; operators use one");
                    None
                }
            }
        });
        Ok(group.clone())
    }

    /// The devices beside the host that work is put on: real GPUs, and software adapters and
    /// emulators that the spec names; without those that were lost.
    ///
    /// # Errors
    /// As [`Inventory::devices`].
    pub fn accelerators(&self) -> Result<Vec<Arc<dyn Device>>, DeviceError> {
        let mut usable = self.usable()?;
        usable.retain(|d| d.info().class == DeviceClass::Real || self.wants(&**d));
        Ok(usable)
    }

    /// [`Inventory::accelerators`] as an executor's scheduler sees them: with their memory and
    /// the rate of their links, as far as that was measured.
    pub(crate) fn profiles(&self) -> Result<Vec<DeviceProfile>, DeviceError> {
        let profile = |device: Arc<dyn Device>| {
            let real = device.info().class == DeviceClass::Real;
            let rates = real.then(|| self.calibrations.get(&*device).ok()).flatten();
            // What is measured while tasks run takes the place of this first guess.
            let speed = rates.as_ref().map_or(1.0, |r| (r.memory / HOST_MEMORY).max(1.0));
            DeviceProfile::new(device.info().name.to_string(), DeviceKind::Gpu)
                .slots(SLOTS)
                .speed(speed)
                .memory(device.pool().stats().cap as u64)
                .link(rates.as_ref().map_or(HOST_MEMORY, |r| r.upload))
        };
        Ok(self.accelerators()?.into_iter().map(profile).collect())
    }

    /// Why a device is out of use; `None` when it is not.
    pub fn lost(&self, device: &DeviceName) -> Option<String> {
        self.lost.lock().get(device).cloned()
    }

    /// Whether the spec lists its devices, rather than leaving the choice open.
    pub fn named(&self) -> bool {
        matches!(self.spec, DeviceSpec::List(_))
    }

    /// Whether the user named this software adapter or emulator, and so wants it used
    /// although it is slower than the host.
    pub fn wants(&self, device: &dyn Device) -> bool {
        let class = device.info().class;
        self.named() && matches!(class, DeviceClass::Software | DeviceClass::Emulated)
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened: Vec<_> = self.opened().iter().map(|d| d.info().name.to_string()).collect();
        f.debug_struct("Inventory")
            .field("spec", &self.spec.to_string())
            .field("opened", &opened)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_before_it_is_asked_for() {
        let i = Inventory::new("auto".parse().unwrap(), DeviceOptions::default());
        assert!(i.opened().is_empty() && !i.named());
        let cpu = i.cpu().unwrap();
        assert_eq!(i.opened().len(), 1);
        assert!(Arc::ptr_eq(&cpu, &i.devices().unwrap()[0]));
    }

    #[test]
    fn a_lost_device_is_out_of_use() {
        let i = Inventory::new("cpu".parse().unwrap(), DeviceOptions::default());
        assert_eq!(i.usable().unwrap().len(), 1);
        i.mark_lost(&DeviceName::cpu(), "test");
        assert!(i.usable().unwrap().is_empty());
        assert_eq!(i.lost(&DeviceName::cpu()).as_deref(), Some("test"));
    }
}
