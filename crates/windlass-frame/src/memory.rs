//! The host's memory pool: one limit for the operators and the `cpu` device, and the peak that
//! was reserved.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use datafusion::{
    error::{DataFusionError, Result},
    execution::memory_pool::{
        MemoryLimit, MemoryPool, MemoryReservation, human_readable_size as size,
    },
};
use windlass_device::Budget;

/// The part of a limit that is left to what nobody counts: scans, batches on their way, and tables
/// while they grow. A guess, which held for TPC-H at scale 10 under 2 GB.
const UNCOUNTED: usize = 8;

/// What an operator that can spill may always hold if it is free, as a part of the limit.
const ALWAYS: usize = 32;

/// A memory pool with a limit, which remembers its peak.
///
/// An operator that can spill may hold up to twice of what is free once it has it: alone two
/// thirds of the limit, and `n` of them that grow alike 2/(2n + 1) of it each, so that others
/// always find something free, and one that is idle takes nothing from those at work. (The
/// dynamic thresholds of Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.)
/// Operators that cannot spill, and the `cpu` device, may take all that is left.
#[derive(Debug)]
pub(crate) struct PeakPool {
    /// What may be counted at most; `usize::MAX`: anything.
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl PeakPool {
    /// A pool for a process that may take `limit` bytes.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let limit = limit.map_or(usize::MAX, |limit| limit - limit / UNCOUNTED);
        Self { limit, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// The peak in bytes since the last reset.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// Starts a new peak at what is reserved now.
    pub(crate) fn reset_peak(&self) {
        self.peak.store(self.used.load(Relaxed), Relaxed);
    }

    /// Takes `bytes` for one who holds `held`, or who cannot spill; else what is free.
    fn count(&self, bytes: usize, held: Option<usize>) -> Result<(), usize> {
        let update = |used: usize| {
            let after = used.checked_add(bytes).filter(|after| *after <= self.limit)?;
            let fair = held.is_none_or(|held| {
                let held = held.saturating_add(bytes);
                held <= (self.limit - after).saturating_mul(2) || held <= self.limit / ALWAYS
            });
            fair.then_some(after)
        };
        match self.used.fetch_update(Relaxed, Relaxed, update) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Relaxed);
                Ok(())
            }
            Err(used) => Err(self.limit.saturating_sub(used)),
        }
    }

    fn release(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "more given back than taken");
    }
}

impl fmt::Display for PeakPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            usize::MAX => f.write_str("host memory without a limit"),
            limit => write!(f, "host memory of {}", size(limit)),
        }
    }
}

impl Budget for PeakPool {
    fn take(&self, bytes: usize) -> bool {
        self.count(bytes, None).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.release(bytes);
    }
}

impl MemoryPool for PeakPool {
    fn name(&self) -> &str {
        "host"
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        let before = self.used.fetch_add(additional, Relaxed);
        self.peak.fetch_max(before + additional, Relaxed);
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.release(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let held = consumer.can_spill().then(|| reservation.size());
        self.count(additional, held).map_err(|free| {
            DataFusionError::ResourcesExhausted(format!(
                "{} holds {} and asked for {} more; of the {} that the memory limit leaves to \
                 operators are {} free",
                consumer.name(),
                size(reservation.size()),
                size(additional),
                size(self.limit),
                size(free),
            ))
        })
    }

    fn reserved(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        match self.limit {
            usize::MAX => MemoryLimit::Infinite,
            limit => MemoryLimit::Finite(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    fn reservation(pool: &Arc<PeakPool>, spills: bool) -> MemoryReservation {
        let pool = Arc::clone(pool) as Arc<dyn MemoryPool>;
        MemoryConsumer::new("test").with_can_spill(spills).register(&pool)
    }

    /// Takes single bytes until no more are given.
    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1).is_ok() {}
        reservation.size()
    }

    #[test]
    fn those_that_spill_leave_something_to_the_others() {
        let pool = Arc::new(PeakPool::new(Some(10286)));
        let (a, b, c) =
            (reservation(&pool, true), reservation(&pool, true), reservation(&pool, false));
        assert_eq!(pool.limit, 9001);
        assert_eq!(fill(&a), 6000);
        assert_eq!(fill(&b), 2000);
        assert_eq!(fill(&c), 1001);
        let error = c.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("test holds 1001"), "{error}");
        drop(c);
        // A little is always there for one that spills, if it is free.
        let d = reservation(&pool, true);
        assert_eq!(fill(&d), 667);
        drop((a, b, d));
        assert_eq!((pool.reserved(), pool.peak()), (0, 9001));
        pool.reset_peak();
        assert_eq!(pool.peak(), 0);
    }

    #[test]
    fn those_that_grow_alike_get_alike() {
        let pool = Arc::new(PeakPool::new(Some(8000)));
        let all: Vec<_> = (0..3).map(|_| reservation(&pool, true)).collect();
        for _ in 0..pool.limit {
            all.iter().for_each(|r| drop(r.try_grow(1)));
        }
        let sizes: Vec<_> = all.iter().map(MemoryReservation::size).collect();
        assert!(sizes.iter().all(|s| s.abs_diff(2000) <= 2), "{sizes:?}");
    }

    #[test]
    fn the_device_takes_from_the_same_limit() {
        let pool = Arc::new(PeakPool::new(Some(114)));
        let held = reservation(&pool, false);
        held.try_grow(60).unwrap();
        assert!(!pool.take(41));
        assert!(pool.take(40));
        assert!(held.try_grow(1).is_err());
        pool.give_back(40);
        assert!(held.try_grow(1).is_ok());
    }

    #[test]
    fn without_a_limit_all_is_given() {
        let pool = Arc::new(PeakPool::new(None));
        let held = reservation(&pool, true);
        held.try_grow(1 << 50).unwrap();
        assert_eq!(pool.peak(), 1 << 50);
        assert!(matches!(pool.memory_limit(), MemoryLimit::Infinite));
    }
}
