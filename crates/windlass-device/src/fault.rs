//! Fault injection: makes the n-th allocation, launch or transfer of a device fail, so that
//! tests can show what the layers above do about it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{
    error::{DeviceError, Result},
    spec::DeviceName,
};

/// Which calls fail. Numbers count from 1; 0 means never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The n-th allocation fails with `OutOfMemory`.
    pub alloc: u64,
    /// Every allocation from the n-th on fails.
    pub alloc_from: u64,
    /// The n-th launch fails with `Launch`.
    pub launch: u64,
    /// The n-th upload or download fails with `Transfer`.
    pub transfer: u64,
    /// The device is lost at the n-th call of any kind, and stays lost.
    pub lost: u64,
}

impl FaultPlan {
    /// Parses `alloc=3,launch=1,lost=10,transfer=2,alloc_from=5`.
    ///
    /// # Errors
    /// [`DeviceError::InvalidArgument`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let mut plan = Self::default();
        for part in text.split(',').filter(|p| !p.trim().is_empty()) {
            let bad = || {
                DeviceError::InvalidArgument(format!(
                    "fault plan {part:?}: expected alloc=N, alloc_from=N, launch=N, transfer=N or lost=N"
                ))
            };
            let (key, value) = part.trim().split_once('=').ok_or_else(bad)?;
            let n = value.trim().parse().map_err(|_| bad())?;
            match key.trim() {
                "alloc" => plan.alloc = n,
                "alloc_from" => plan.alloc_from = n,
                "launch" => plan.launch = n,
                "transfer" => plan.transfer = n,
                "lost" => plan.lost = n,
                _ => return Err(bad()),
            }
        }
        Ok(plan)
    }
}

/// A device's fault counters. A backend calls the method named after what it is about to do.
#[derive(Debug, Default)]
pub struct Faults {
    plan: FaultPlan,
    calls: AtomicU64,
    allocs: AtomicU64,
    launches: AtomicU64,
    transfers: AtomicU64,
    lost: AtomicBool,
}

impl Faults {
    /// Counters at zero for `plan`.
    pub fn new(plan: FaultPlan) -> Self {
        Self { plan, ..Self::default() }
    }

    fn lost(&self, device: &DeviceName) -> Result<()> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if self.plan.lost != 0 && n >= self.plan.lost {
            self.lost.store(true, Ordering::SeqCst);
        }
        if self.lost.load(Ordering::SeqCst) {
            let reason = "injected fault".to_string();
            return Err(DeviceError::Lost { device: device.clone(), reason });
        }
        Ok(())
    }

    /// Before a call that only a lost device fails: a copy on the device, a fill, a wait.
    ///
    /// # Errors
    /// `Lost`, when it is planned or has happened.
    pub fn on_call(&self, device: &DeviceName) -> Result<()> {
        self.lost(device)
    }

    /// Before an allocation of `bytes`.
    ///
    /// # Errors
    /// The planned fault.
    pub fn on_alloc(&self, device: &DeviceName, bytes: usize) -> Result<()> {
        self.lost(device)?;
        let n = self.allocs.fetch_add(1, Ordering::SeqCst) + 1;
        if n == self.plan.alloc || (self.plan.alloc_from != 0 && n >= self.plan.alloc_from) {
            return Err(DeviceError::OutOfMemory {
                device: device.clone(),
                requested: bytes,
                in_use: 0,
                cap: 0,
            });
        }
        Ok(())
    }

    /// Before a launch of `kernel`.
    ///
    /// # Errors
    /// The planned fault.
    pub fn on_launch(&self, device: &DeviceName, kernel: &str) -> Result<()> {
        self.lost(device)?;
        if self.launches.fetch_add(1, Ordering::SeqCst) + 1 == self.plan.launch {
            let (kernel, reason) = (kernel.to_string(), "injected fault".to_string());
            return Err(DeviceError::Launch { device: device.clone(), kernel, reason });
        }
        Ok(())
    }

    /// Before an upload or download.
    ///
    /// # Errors
    /// The planned fault.
    pub fn on_transfer(&self, device: &DeviceName) -> Result<()> {
        self.lost(device)?;
        if self.transfers.fetch_add(1, Ordering::SeqCst) + 1 == self.plan.transfer {
            let reason = "injected fault".to_string();
            return Err(DeviceError::Transfer { device: device.clone(), reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_stays_lost() {
        let d: DeviceName = "cuda-emulated:0".parse().unwrap();
        let f = Faults::new(FaultPlan::parse("lost=2, alloc=9").unwrap());
        assert!(f.on_alloc(&d, 1).is_ok());
        assert!(matches!(f.on_launch(&d, "k"), Err(DeviceError::Lost { .. })));
        assert!(matches!(f.on_transfer(&d), Err(DeviceError::Lost { .. })));
        assert!(FaultPlan::parse("alloc=x").is_err() && FaultPlan::parse("foo=1").is_err());
    }
}
