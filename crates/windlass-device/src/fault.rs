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
    /// So many of a million allocations fail, drawn by `seed`.
    pub alloc_rate: u32,
    /// Which of them.
    pub seed: u64,
    /// The number in its family of the only device that fails; without it, all do.
    pub only: Option<u32>,
}

impl FaultPlan {
    /// Parses `alloc=3,launch=1,lost=10,transfer=2,alloc_from=5,alloc_rate=0.01,seed=7,only=1`;
    /// a rate is a share of the calls.
    ///
    /// # Errors
    /// [`DeviceError::InvalidArgument`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let mut plan = Self::default();
        for part in text.split(',').filter(|p| !p.trim().is_empty()) {
            let bad = || {
                DeviceError::InvalidArgument(format!(
                    "fault plan {part:?}: expected alloc=N, alloc_from=N, launch=N, transfer=N, \
                     lost=N, alloc_rate=SHARE, seed=N or only=N"
                ))
            };
            let (key, value) = part.trim().split_once('=').ok_or_else(bad)?;
            if key.trim() == "alloc_rate" {
                let share: f64 = value.trim().parse().map_err(|_| bad())?;
                if !(0.0..=1.0).contains(&share) {
                    return Err(bad());
                }
                plan.alloc_rate = (share * MILLION as f64).round() as u32;
                continue;
            }
            let n = value.trim().parse().map_err(|_| bad())?;
            match key.trim() {
                "seed" => plan.seed = n,
                "only" => plan.only = Some(u32::try_from(n).map_err(|_| bad())?),
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

/// What a rate is a share of.
const MILLION: u64 = 1_000_000;

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

    /// Whether the plan is for another device.
    fn spares(&self, device: &DeviceName) -> bool {
        self.plan.only.is_some_and(|only| only != device.index())
    }

    /// Whether the n-th allocation is one of those drawn: by the finaliser of SplitMix64
    /// (Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
    fn drawn(&self, n: u64) -> bool {
        let mut x = self.plan.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % MILLION < u64::from(self.plan.alloc_rate)
    }

    fn lost(&self, device: &DeviceName) -> Result<()> {
        if self.spares(device) {
            return Ok(());
        }
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
        if self.spares(device) {
            return Ok(());
        }
        let n = self.allocs.fetch_add(1, Ordering::SeqCst) + 1;
        let from = self.plan.alloc_from != 0 && n >= self.plan.alloc_from;
        if n == self.plan.alloc || from || self.drawn(n) {
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
        if self.spares(device) {
            return Ok(());
        }
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
        if self.spares(device) {
            return Ok(());
        }
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
        for wrong in ["alloc=x", "foo=1", "alloc_rate=2", "only=-1"] {
            assert!(FaultPlan::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_device_is_spared() {
        let [first, second]: [DeviceName; 2] =
            ["cuda-emulated:0", "cuda-emulated:1"].map(|name| name.parse().unwrap());
        let plan = FaultPlan::parse("lost=1,only=1").unwrap();
        assert!(Faults::new(plan).on_launch(&first, "k").is_ok());
        assert!(Faults::new(plan).on_launch(&second, "k").is_err());
    }

    #[test]
    fn a_rate_is_met_and_drawn_by_the_seed() {
        let device: DeviceName = "cuda-emulated:0".parse().unwrap();
        let failed = |seed: u64| {
            let faults =
                Faults::new(FaultPlan { seed, ..FaultPlan::parse("alloc_rate=0.01").unwrap() });
            (0..100_000).filter(|_| faults.on_alloc(&device, 1).is_err()).collect::<Vec<_>>()
        };
        let (one, two) = (failed(1), failed(2));
        assert!((900..1100).contains(&one.len()), "{}", one.len());
        assert!(one == failed(1) && one != two);
    }
}
