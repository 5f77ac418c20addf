//! Runs of a bench, and what follows from their times.

use std::sync::Arc;

use rayon::prelude::*;
use windlass_device::{Device, DeviceClass};

use super::{
    Bench,
    case::{Time, timed},
    host::On,
};
use crate::error::Result;

/// Bytes that are copied to measure the copy rate: past the caches of GPUs and of most hosts.
const COPY_BYTES: usize = 256 << 20;
/// The same where the host plays the device: no figure depends on it.
const SMALL_COPY_BYTES: usize = 4 << 20;
/// Timed copies; the fastest counts.
const COPIES: usize = 5;
/// Bytes that a core copies at a time on the host.
const COPY_PIECE: usize = 1 << 20;

/// A device that benches run on.
pub struct Bencher {
    on: On,
}

impl std::fmt::Debug for Bencher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bencher({})", self.on.device.info().name)
    }
}

/// Times of a reference.
#[derive(Debug, Clone)]
pub struct MeasuredReference {
    /// Its name.
    pub name: &'static str,
    /// Whether it uses one core.
    pub serial: bool,
    /// Wall seconds of each run.
    pub seconds: Vec<f64>,
    /// Processor seconds of each run.
    pub cpu_seconds: Vec<f64>,
}

impl MeasuredReference {
    /// Wall seconds of the fastest run; of a serial one as if all cores shared it without loss.
    pub fn best(&self) -> Option<f64> {
        let cores = if self.serial { rayon::current_num_threads() } else { 1 };
        least(&self.seconds).map(|s| s / cores as f64)
    }
}

/// What was measured of a bench.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Rows.
    pub rows: usize,
    /// Bytes that the operation must read.
    pub read: u64,
    /// Bytes that it must write.
    pub written: u64,
    /// Wall seconds of each run.
    pub seconds: Vec<f64>,
    /// Processor seconds of each run, of all threads; none where the system does not tell. Of a
    /// GPU the host's alone.
    pub cpu_seconds: Vec<f64>,
    /// The references.
    pub references: Vec<MeasuredReference>,
    /// What is wrong with the result; there are no times then.
    pub wrong: Option<String>,
}

impl Measured {
    /// Wall seconds of the fastest run.
    pub fn best(&self) -> Option<f64> {
        least(&self.seconds)
    }

    /// Processor seconds of the run that used least.
    pub fn best_cpu(&self) -> Option<f64> {
        least(&self.cpu_seconds)
    }

    /// Wall seconds of the run in the middle.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// Bytes of the floor, where there is one, over the seconds of the fastest run.
    pub fn bytes_per_second(&self) -> Option<f64> {
        let bytes = self.read + self.written;
        self.best().filter(|_| bytes > 0).map(|s| bytes as f64 / s)
    }

    /// The fastest reference.
    pub fn fastest(&self) -> Option<&MeasuredReference> {
        let timed = self.references.iter().filter_map(|r| Some((r.best()?, r)));
        timed.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, r)| r)
    }

    /// Our wall time as a multiple of the fastest reference's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.best()? / self.fastest()?.best()?)
    }

    /// The same of processor time, of the reference that uses least.
    pub fn cpu_ratio(&self) -> Option<f64> {
        let theirs = self.references.iter().filter_map(|r| least(&r.cpu_seconds));
        Some(self.best_cpu()? / theirs.min_by(f64::total_cmp)?)
    }
}

fn least(seconds: &[f64]) -> Option<f64> {
    seconds.iter().copied().min_by(f64::total_cmp)
}

impl Bencher {
    /// A queue of the device.
    ///
    /// # Errors
    /// The device's.
    pub fn new(device: Arc<dyn Device>) -> Result<Self> {
        let (queue, reservation) = (device.queue()?, device.pool().reserve(0)?);
        Ok(Self { on: On { device, queue, reservation } })
    }

    /// Bytes read and written a second by a copy within the device, which all cores of the host
    /// share.
    ///
    /// # Errors
    /// The device's.
    pub fn copy_rate(&mut self) -> Result<f64> {
        let on = &mut self.on;
        let real = matches!(on.device.info().class, DeviceClass::Real | DeviceClass::Host);
        let bytes = if real { COPY_BYTES } else { SMALL_COPY_BYTES };
        let bytes = bytes.min(on.device.info().limits.max_buffer_bytes) / 4 * 4;
        let mut best = f64::INFINITY;
        if on.is_host() {
            let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
            for _ in 0..=COPIES {
                let pieces = to.par_chunks_mut(COPY_PIECE).zip(from.par_chunks(COPY_PIECE));
                let (time, ()) = timed(|| pieces.for_each(|(to, from)| to.copy_from_slice(from)));
                best = best.min(time.wall);
            }
            std::hint::black_box(to);
        } else {
            let mut reservation = on.device.pool().reserve(2 * bytes)?;
            let from = on.device.alloc(&mut reservation, bytes)?;
            let to = on.device.alloc(&mut reservation, bytes)?;
            on.queue.fill(&from, 1)?;
            for _ in 0..=COPIES {
                on.queue.synchronize()?;
                let (time, done) = timed(|| {
                    on.queue.copy(&from, 0, &to, 0, bytes)?;
                    on.queue.synchronize()
                });
                done?;
                best = best.min(time.wall);
            }
        }
        Ok(2.0 * bytes as f64 / best)
    }

    /// Sets a bench up, checks its result, and times `runs` runs of it and of its references.
    /// `None` where `cancelled` was true between two of them.
    ///
    /// # Errors
    /// `Unsupported` where the device cannot run it; the operation's errors.
    pub fn measure(
        &mut self,
        bench: &Bench,
        rows: usize,
        runs: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Measured>> {
        let on = &mut self.on;
        // The memory of the bench before is free again.
        on.reservation = on.device.pool().reserve(0)?;
        let mut case = (bench.set_up)(on, rows)?;
        if !on.is_host() {
            case.references.clear();
        }
        let reference = |r: &super::case::Reference| MeasuredReference {
            name: r.name,
            serial: r.serial,
            seconds: Vec::new(),
            cpu_seconds: Vec::new(),
        };
        let mut out = Measured {
            rows: case.rows,
            read: case.read,
            written: case.written,
            seconds: Vec::new(),
            cpu_seconds: Vec::new(),
            references: case.references.iter().map(reference).collect(),
            wrong: None,
        };
        if cancelled() {
            return Ok(None);
        }
        (_, out.wrong) = (case.run)(on, true)?;
        if out.wrong.is_some() {
            return Ok(Some(out));
        }
        for run in 0..=runs {
            // The first turn warms the references up; ours is warm from the check.
            if run > 0 {
                let (time, _) = (case.run)(on, false)?;
                note(&mut out.seconds, &mut out.cpu_seconds, time);
            }
            for (theirs, kept) in case.references.iter_mut().zip(&mut out.references) {
                if cancelled() {
                    return Ok(None);
                }
                let (time, ()) = timed(|| (theirs.run)());
                if run > 0 {
                    note(&mut kept.seconds, &mut kept.cpu_seconds, time);
                }
            }
            if cancelled() {
                return Ok(None);
            }
        }
        Ok(Some(out))
    }
}

fn note(seconds: &mut Vec<f64>, cpu_seconds: &mut Vec<f64>, time: Time) {
    seconds.push(time.wall);
    cpu_seconds.extend(time.cpu);
}

#[cfg(test)]
mod tests {
    use windlass_device::{DeviceOptions, cpu::CpuDevice};

    use super::{
        super::case::{Case, unequal},
        *,
    };

    fn bencher() -> Bencher {
        Bencher::new(Arc::new(CpuDevice::new(&DeviceOptions::default()))).unwrap()
    }

    /// A bench whose result is `result` and whose right one is 1.
    fn bench(result: u32) -> Bench {
        Bench::new("test/one", "floor: nothing", move |_, rows| {
            let check = |_: &mut On, got| Ok(unequal(got, 1u32));
            Ok(Case::new(rows, [8, 4], move |_| Ok(result), check).beside_serial(
                "one core",
                || {
                    std::hint::black_box((0..1000u64).map(std::hint::black_box).sum::<u64>());
                },
            ))
        })
    }

    #[test]
    fn a_wrong_result_has_no_figures() {
        let wrong = bencher().measure(&bench(2), 3, 4, &|| false).unwrap().unwrap();
        assert!(wrong.wrong.as_ref().is_some_and(|w| w.contains("expected 1")), "{wrong:?}");
        assert_eq!((wrong.best(), wrong.ratio()), (None, None));
    }

    #[test]
    fn runs_are_counted_and_cancelled() {
        let m = bencher().measure(&bench(1), 3, 4, &|| false).unwrap().unwrap();
        assert_eq!((m.seconds.len(), m.references[0].seconds.len(), m.rows), (4, 4, 3));
        assert!(m.wrong.is_none() && m.ratio().is_some() && m.best() <= m.median());
        let turns = std::cell::Cell::new(0);
        let third = || turns.replace(turns.get() + 1) == 2;
        assert!(bencher().measure(&bench(1), 3, 4, &third).unwrap().is_none());
    }

    #[test]
    fn a_serial_reference_counts_as_if_shared() {
        let r = |serial| MeasuredReference {
            name: "r",
            serial,
            seconds: vec![3.0, 2.0],
            cpu_seconds: vec![2.0],
        };
        assert_eq!(r(false).best(), Some(2.0));
        assert_eq!(r(true).best(), Some(2.0 / rayon::current_num_threads() as f64));
    }
}
