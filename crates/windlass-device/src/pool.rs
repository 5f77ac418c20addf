//! Accounting of a device's memory, with a hard cap.
//!
//! Work reserves first and allocates out of its reservation, so that a job is admitted or
//! refused as a whole and never stops half way because a neighbour took the last bytes.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    error::{DeviceError, Result},
    spec::DeviceName,
};

/// What a pool has given out, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PoolStats {
    /// The cap.
    pub cap: usize,
    /// Reserved or allocated now.
    pub in_use: usize,
    /// The most that was ever reserved or allocated at once.
    pub peak: usize,
    /// Allocations made.
    pub allocations: u64,
}

/// Memory that a pool shares with others who count theirs: what it gives out is taken there too.
pub trait Budget: Send + Sync + std::fmt::Debug {
    /// Takes `bytes`, all or nothing; whether they were there.
    fn take(&self, bytes: usize) -> bool;

    /// Gives back what was taken.
    fn give_back(&self, bytes: usize);
}

/// Memory that is given back when others need it.
pub trait Reclaim: Send + Sync + std::fmt::Debug {
    /// Frees about `bytes` of a device's memory, what was not used for longest first; whether
    /// anything was freed.
    fn reclaim(&self, device: &DeviceName, bytes: usize) -> bool;

    /// Bytes of a device's memory that could be freed.
    fn reclaimable(&self, device: &DeviceName) -> usize;
}

/// The accounting of one device's memory. Clones of its `Arc` share it.
#[derive(Debug)]
pub struct MemoryPool {
    device: DeviceName,
    stats: Mutex<PoolStats>,
    budget: Option<Arc<dyn Budget>>,
    reclaim: Mutex<Option<Weak<dyn Reclaim>>>,
}

impl MemoryPool {
    /// A pool of `cap` bytes for `device`.
    pub fn new(device: DeviceName, cap: usize) -> Arc<Self> {
        Self::within(device, cap, None)
    }

    /// A pool of at most `cap` bytes for `device`, which takes them from `budget` too.
    pub fn within(device: DeviceName, cap: usize, budget: Option<Arc<dyn Budget>>) -> Arc<Self> {
        let stats = Mutex::new(PoolStats { cap, ..PoolStats::default() });
        Arc::new(Self { device, stats, budget, reclaim: Mutex::new(None) })
    }

    /// Where memory is asked for when there is too little left under the cap.
    pub fn set_reclaim(&self, reclaim: Weak<dyn Reclaim>) {
        *self.reclaim.lock() = Some(reclaim);
    }

    /// Reserves `bytes`, all or nothing.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] when fewer bytes are left under the cap.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation> {
        self.take(bytes)?;
        Ok(Reservation { pool: Arc::clone(self), left: bytes })
    }

    /// The figures now.
    pub fn stats(&self) -> PoolStats {
        *self.stats.lock()
    }

    /// Lowers or raises the cap. Memory in use above a lowered cap stays in use; new
    /// reservations fail until it is freed.
    pub fn set_cap(&self, cap: usize) {
        self.stats.lock().cap = cap;
    }

    /// Bytes left under the cap, with those that are given back when they are needed.
    pub fn available(&self) -> usize {
        let reclaim = self.reclaim.lock().as_ref().and_then(Weak::upgrade);
        let more = reclaim.map_or(0, |r| r.reclaimable(&self.device));
        let s = self.stats.lock();
        s.cap.saturating_sub(s.in_use.saturating_sub(more))
    }

    /// Sets the peak to what is in use now, so that it tells of the next job.
    pub fn reset_peak(&self) {
        let mut s = self.stats.lock();
        s.peak = s.in_use;
    }

    fn take(&self, bytes: usize) -> Result<()> {
        loop {
            let error = match self.try_take(bytes) {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            let reclaim = self.reclaim.lock().as_ref().and_then(Weak::upgrade);
            // Nothing of this pool is locked: what is freed is given back to it.
            if !reclaim.is_some_and(|r| r.reclaim(&self.device, bytes)) {
                return Err(error);
            }
        }
    }

    fn try_take(&self, bytes: usize) -> Result<()> {
        let mut s = self.stats.lock();
        let within_cap = s.in_use.checked_add(bytes).is_some_and(|n| n <= s.cap);
        if !within_cap || !self.budget.as_ref().is_none_or(|b| b.take(bytes)) {
            return Err(DeviceError::OutOfMemory {
                device: self.device.clone(),
                requested: bytes,
                in_use: s.in_use,
                cap: s.cap,
            });
        }
        s.in_use += bytes;
        s.peak = s.peak.max(s.in_use);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        let mut s = self.stats.lock();
        debug_assert!(s.in_use >= bytes, "more given back than taken");
        s.in_use = s.in_use.saturating_sub(bytes);
        if let Some(budget) = &self.budget {
            budget.give_back(bytes);
        }
    }
}

/// Bytes set aside in a pool. What is not allocated is given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<MemoryPool>,
    left: usize,
}

impl Reservation {
    /// Bytes reserved and not allocated yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The pool that it draws on.
    pub fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`]; the reservation stays as it was.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        self.pool.take(bytes)?;
        self.left += bytes;
        Ok(())
    }

    /// Moves `bytes` from the reservation to an allocation, growing it when it holds too
    /// little. For backends; the token gives the bytes back when it is dropped.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`]; the reservation stays as it was.
    pub fn allocate(&mut self, bytes: usize) -> Result<Allocation> {
        if self.left < bytes {
            self.grow(bytes - self.left)?;
        }
        self.left -= bytes;
        self.pool.stats.lock().allocations += 1;
        Ok(Allocation { pool: Arc::clone(&self.pool), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.give_back(self.left);
    }
}

/// The pool's share of one buffer; kept beside the memory, given back when dropped.
#[derive(Debug)]
pub struct Allocation {
    pool: Arc<MemoryPool>,
    bytes: usize,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_and_allocations_are_counted_once() {
        let pool = MemoryPool::new("cpu".parse().unwrap(), 100);
        let mut r = pool.reserve(60).unwrap();
        let a = r.allocate(50).unwrap();
        assert_eq!((pool.stats().in_use, r.left()), (60, 10));
        let b = r.allocate(30).unwrap();
        assert_eq!((pool.stats().in_use, r.left()), (80, 0));
        assert!(matches!(r.allocate(30), Err(DeviceError::OutOfMemory { requested: 30, .. })));
        drop((a, r));
        assert_eq!(pool.stats().in_use, 30);
        drop(b);
        let s = pool.stats();
        assert_eq!((s.in_use, s.peak, s.allocations), (0, 80, 2));
    }

    #[test]
    fn memory_is_given_back_when_it_is_needed() {
        /// Allocations that can go, oldest first.
        #[derive(Debug, Default)]
        struct Kept(Mutex<Vec<Allocation>>);
        impl Reclaim for Kept {
            fn reclaim(&self, _device: &DeviceName, _bytes: usize) -> bool {
                let mut kept = self.0.lock();
                let oldest = (!kept.is_empty()).then(|| kept.remove(0));
                drop(kept);
                oldest.is_some()
            }

            fn reclaimable(&self, _device: &DeviceName) -> usize {
                self.0.lock().iter().map(|a| a.bytes).sum()
            }
        }
        let pool = MemoryPool::new("cpu".parse().unwrap(), 100);
        let kept = Arc::new(Kept::default());
        let reclaim: Weak<Kept> = Arc::downgrade(&kept);
        pool.set_reclaim(reclaim);
        for _ in 0..3 {
            let mut r = pool.reserve(30).unwrap();
            kept.0.lock().push(r.allocate(30).unwrap());
        }
        assert_eq!((pool.stats().in_use, pool.available()), (90, 100));
        let r = pool.reserve(50).unwrap();
        assert_eq!((kept.0.lock().len(), pool.stats().in_use), (1, 80));
        assert!(pool.reserve(51).is_err(), "more than is there in all");
        assert!(kept.0.lock().is_empty());
        drop(r);
        drop(kept);
        assert_eq!((pool.available(), pool.stats().in_use), (100, 0));
    }

    #[test]
    fn what_is_given_out_is_taken_from_the_budget_too() {
        #[derive(Debug)]
        struct Left(Mutex<usize>);
        impl Budget for Left {
            fn take(&self, bytes: usize) -> bool {
                let mut left = self.0.lock();
                let enough = bytes <= *left;
                *left -= if enough { bytes } else { 0 };
                enough
            }

            fn give_back(&self, bytes: usize) {
                *self.0.lock() += bytes;
            }
        }
        let budget = Arc::new(Left(Mutex::new(50)));
        let pool = MemoryPool::within("cpu".parse().unwrap(), 100, Some(Arc::clone(&budget) as _));
        let mut r = pool.reserve(40).unwrap();
        assert!(matches!(r.grow(20), Err(DeviceError::OutOfMemory { requested: 20, .. })));
        let a = r.allocate(45).unwrap();
        assert!(pool.reserve(60).is_err());
        assert_eq!((*budget.0.lock(), pool.stats().in_use), (5, 45));
        drop((a, r));
        assert_eq!((*budget.0.lock(), pool.stats().in_use), (50, 0));
    }

    #[test]
    fn a_reservation_past_the_cap_is_refused_whole() {
        let pool = MemoryPool::new("cpu".parse().unwrap(), 10);
        assert!(pool.reserve(11).is_err());
        assert!(pool.reserve(usize::MAX).is_err());
        assert_eq!(pool.stats().in_use, 0);
    }
}
