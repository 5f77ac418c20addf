//! What work costs on a calibrated device, and on the CPU by DataFusion's operators.
//!
//! The model is a sum of terms, each a quantity over a rate: bytes over the link, bytes
//! over the device's memory, launches over the launch time. It is meant to be right within
//! a factor of two, which is enough where the choices differ by more.

use serde::Serialize;
use windlass_device::DeviceClass;

use crate::calibration::Calibration;

/// Memory traffic of one probe of a hash table, in bytes: a sector of the slot's key and
/// one of its state, both read and written. Sectors are 32 bytes on current GPUs.
const PROBE_BYTES: f64 = 128.0;

/// Share of the copy rate that scattered sectors reach: WarpCore's 1.6 G inserts a second
/// on a GV100 (870 GB/s) move about 205 GB/s by the line above.
const SCATTERED: f64 = 0.24;

/// Groups up to which DataFusion's table stays in the core's caches, and nanoseconds of one
/// core per row there and further out. From db-benchmark's 10^7 rows on two cores, group-by
/// questions 1, 3 and 10 (0.042 s, 0.262 s and 1.38 s; the scan is part of them).
const CPU_GROUP_BY: [(f64, f64); 3] = [(1e2, 8.4), (1e5, 52.0), (1e7, 276.0)];

/// Nanoseconds of one core per row and operation of an expression in DataFusion: Arrow's
/// kernels run at about 1 ns a value on 8-byte values; a guess that counts the batch's
/// share of allocation in.
const CPU_OPERATION_NS: f64 = 1.5;

/// Work of one operator, or of a fused chain of them, on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Bytes uploaded.
    pub upload_bytes: f64,
    /// Bytes downloaded.
    pub download_bytes: f64,
    /// Bytes that kernels read and write in order.
    pub kernel_bytes: f64,
    /// Probes of a hash table.
    pub probes: f64,
    /// Launches and waits.
    pub launches: f64,
}

/// The cost of work, in milliseconds, by its terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Copies to and from the device.
    pub transfer_ms: f64,
    /// Kernels, or the CPU's operators.
    pub compute_ms: f64,
    /// Launches and waits.
    pub launch_ms: f64,
}

impl Cost {
    /// The sum. Uploads overlap kernels, so the longer of the two counts, and the launches.
    pub fn total_ms(&self) -> f64 {
        self.transfer_ms.max(self.compute_ms) + self.launch_ms
    }
}

impl Work {
    /// Its cost on a device of these rates. A device whose memory is the host's has no
    /// copies to pay.
    pub fn cost(&self, rates: &Calibration, class: DeviceClass) -> Cost {
        let transfer = match class {
            DeviceClass::Host => 0.0,
            _ => self.upload_bytes / rates.upload + self.download_bytes / rates.download,
        };
        let probes = self.probes * PROBE_BYTES / SCATTERED;
        Cost {
            transfer_ms: transfer * 1e3,
            compute_ms: (self.kernel_bytes + probes) / rates.memory * 1e3,
            launch_ms: self.launches * rates.launch * 1e3,
        }
    }
}

/// The cost of `rows` through `operations` expression operations in DataFusion, on
/// `threads` cores.
pub fn cpu_expressions(rows: f64, operations: usize, threads: usize) -> Cost {
    let ns = rows * operations.max(1) as f64 * CPU_OPERATION_NS;
    Cost { compute_ms: ns / threads.max(1) as f64 / 1e6, ..Cost::default() }
}

/// The cost of grouping `rows` into `groups` in DataFusion, on `threads` cores.
pub fn cpu_group_by(rows: f64, groups: f64, threads: usize) -> Cost {
    let ns = rows * group_by_ns(groups);
    Cost { compute_ms: ns / threads.max(1) as f64 / 1e6, ..Cost::default() }
}

/// Nanoseconds per row for a number of groups, between the measured points linear in the
/// logarithm of the groups.
fn group_by_ns(groups: f64) -> f64 {
    let [(first, ns), .., (last, most)] = CPU_GROUP_BY;
    if groups <= first {
        return ns;
    }
    if groups >= last {
        return most;
    }
    let x = groups.ln();
    let pair = CPU_GROUP_BY.windows(2).find(|w| groups <= w[1].0).expect("inside the points");
    let (a, b) = (pair[0].0.ln(), pair[1].0.ln());
    pair[0].1 + (pair[1].1 - pair[0].1) * (x - a) / (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> Calibration {
        Calibration { upload: 16e9, download: 16e9, memory: 2e12, launch: 1e-5 }
    }

    #[test]
    fn few_rows_stay_and_many_groups_go() {
        let work = |rows: f64| Work {
            upload_bytes: rows * 16.0,
            download_bytes: 0.0,
            kernel_bytes: rows * 16.0,
            probes: rows,
            launches: 10.0,
        };
        let on_gpu = |rows| work(rows).cost(&gpu(), DeviceClass::Real).total_ms();
        let on_cpu = |rows, groups| cpu_group_by(rows, groups, 2).total_ms();
        assert!(on_gpu(1e3) > on_cpu(1e3, 1e2));
        assert!(on_gpu(1e8) < on_cpu(1e8, 1e7));
    }

    #[test]
    fn the_host_pays_no_copies() {
        let work = Work { upload_bytes: 1e9, kernel_bytes: 2e9, ..Work::default() };
        let cost = work.cost(&gpu(), DeviceClass::Host);
        assert_eq!((cost.transfer_ms, cost.compute_ms), (0.0, 1.0));
    }

    #[test]
    fn group_by_meets_its_points_and_grows_between_them() {
        for (groups, ns) in CPU_GROUP_BY {
            assert!((group_by_ns(groups) - ns).abs() < 1e-9);
        }
        let steps = [1.0, 1e2, 1e3, 1e5, 1e6, 1e7, 1e9].map(group_by_ns);
        assert!(steps.is_sorted() && steps[2] > steps[1] && steps[6] == steps[5]);
    }
}
