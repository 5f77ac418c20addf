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

/// Nanoseconds of one core per row of a group-by on numbers, by number of groups, without
/// what the aggregates cost: in DataFusion, and in the CPU's twin. From
/// `windlass-frame`'s example `operator_rates` (rows in memory, one to three keys, 4 * 10^6
/// rows, two cores). As both ran on the same cores their ratio carries over to others.
const GROUP_BY_NS: [(f64, f64, f64); 4] =
    [(1e2, 3.3, 3.0), (1e4, 12.0, 5.0), (1e6, 98.0, 52.0), (4e6, 126.0, 96.0)];

/// How much slower DataFusion's group-by is when a key is a string: between 1.6 and 3 times
/// in `operator_rates`.
const STRING_KEY: f64 = 2.0;

/// Nanoseconds of one core per row and column of short texts that the twin gives codes:
/// db-benchmark's first question at 10^7 rows by `perf`, half of 0.17 s.
const TEXT_NS: f64 = 8.0;

/// Nanoseconds of one core per row and SQL aggregate in DataFusion, and per row and
/// accumulator (an average has two) in the twin. From `operator_rates`.
const AGGREGATE_NS: (f64, f64) = (2.0, 1.2);

/// Nanoseconds of one core per row and operation of an expression, in DataFusion and in the
/// twin. From `operator_rates` (project, case).
const OPERATION_NS: (f64, f64) = (1.5, 0.35);

/// Nanoseconds of one core per row and column that a filter reads or passes on, in the twin.
/// TPC-H's questions 12 (nine operations, five columns: 7 for a row against 25 in DataFusion)
/// and 14 (three, four columns: 7 against 4.5), by processor time.
const FILTER_COLUMN_NS: f64 = 1.5;

/// How much slower DataFusion's expressions and aggregates are on decimals, which are 16
/// bytes wide there and 8 in the twin: twice, from `operator_rates` (decimal_groups, wide).
pub const DECIMALS: f64 = 2.0;

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

/// A group-by on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GroupBy {
    /// Rows that are grouped.
    pub rows: f64,
    /// Groups; 0 without keys.
    pub groups: f64,
    /// Whether a key is a string.
    pub string_key: bool,
    /// Columns of texts that are given codes row by row, in the twin.
    pub texts: usize,
    /// Whether decimals are read.
    pub decimals: bool,
    /// SQL aggregates.
    pub aggregates: usize,
    /// Accumulators: an average has two.
    pub accumulators: usize,
}

/// Nanoseconds of one core for each row of either side of a hash join on numbers, by rows
/// of the build side: in DataFusion, exchanges by key included, and in the CPU's twin, which
/// has none. From `operator_rates` (join_1e2, join_id6, join_rows; 4 * 10^6 probe rows, two
/// cores).
const JOIN_NS: [(f64, f64, f64); 3] = [(1e2, 19.0, 20.0), (1e5, 25.0, 20.0), (4e6, 43.0, 33.0)];

/// Nanoseconds of one core for each row and doubling of the rows that a sort orders, in
/// DataFusion. From `operator_rates` (sort_float; with two keys twice that).
const SORT_NS: f64 = 7.8;

/// Nanoseconds of one core for each row that a sort on numbers orders, in the CPU's twin.
/// From `operator_rates` (sort_float, sort_two).
const TWIN_SORT_NS: f64 = 100.0;

/// Nanoseconds of one core for each row that a scan tests against the keys of a build side: in
/// DataFusion, which hashes it and looks it up (6.3: an eighth of the 40 ms of TPC-H Q11, 800,000
/// rows), and in the CPU's twin, which has a bit for each key (a guess).
const TESTED_NS: (f64, f64) = (6.0, 1.0);

/// A hash join on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Join {
    /// Rows of the build side.
    pub build: f64,
    /// Rows of the probe side.
    pub probe: f64,
    /// Whether a key is a string.
    pub text_key: bool,
    /// Rows that scans test against the build side's keys; the probe side are those that pass.
    pub tested: f64,
}

/// A sort on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sort {
    /// Rows that come in.
    pub rows: f64,
    /// Rows that are wanted.
    pub kept: f64,
    /// Whether a key is a string.
    pub text_key: bool,
}

/// Nanoseconds of one core for each row and window function, in DataFusion and in the twin. From
/// `operator_rates`, less the sort of each: DataFusion 35 (lag), 125 (rank), 220 (average of 100
/// rows) and 430 (running sum); the twin no more than 30.
const WINDOW_NS: (f64, f64) = (125.0, 30.0);

/// Window functions on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// Rows, which are sorted already.
    pub rows: f64,
    /// Functions.
    pub functions: usize,
}

impl Window {
    /// Its cost in DataFusion, on `threads` cores.
    pub fn cpu(&self, threads: usize) -> Cost {
        on_cores(self.rows * self.functions as f64 * WINDOW_NS.0, threads)
    }

    /// Its cost in the CPU's twin, on `threads` cores. Only for keys that are numbers.
    pub fn twin(&self, threads: usize) -> Cost {
        on_cores(self.rows * self.functions as f64 * WINDOW_NS.1, threads)
    }
}

/// Nanoseconds of one core for each row of which the first of its group are found in the twin:
/// all of `operator_rates`' query `first_two`, which in DataFusion takes 334.
const FIRST_OF_GROUPS_NS: f64 = 31.0;

/// The first rows of each group, on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FirstOfGroups {
    /// Rows that come in.
    pub rows: f64,
}

impl FirstOfGroups {
    /// Its cost in the CPU's twin, on `threads` cores. Only for keys that are numbers.
    pub fn twin(&self, threads: usize) -> Cost {
        on_cores(self.rows * FIRST_OF_GROUPS_NS, threads)
    }
}

fn on_cores(ns: f64, threads: usize) -> Cost {
    Cost { compute_ms: ns / threads.max(1) as f64 / 1e6, ..Cost::default() }
}

/// The cost of `rows` through `operations` expression operations in DataFusion, on
/// `threads` cores.
pub fn cpu_expressions(rows: f64, operations: usize, threads: usize) -> Cost {
    on_cores(rows * operations.max(1) as f64 * OPERATION_NS.0, threads)
}

/// As [`cpu_expressions`], in the CPU's twin.
pub fn twin_expressions(rows: f64, operations: usize, threads: usize) -> Cost {
    on_cores(rows * operations as f64 * OPERATION_NS.1, threads)
}

/// The cost of a filter of `operations` over `columns`, in the CPU's twin.
pub fn twin_filter(rows: f64, operations: usize, columns: usize, threads: usize) -> Cost {
    let moved = on_cores(rows * columns as f64 * FILTER_COLUMN_NS, threads).compute_ms;
    let mut cost = twin_expressions(rows, operations, threads);
    cost.compute_ms += moved;
    cost
}

impl GroupBy {
    /// Its cost in DataFusion, on `threads` cores.
    pub fn cpu(&self, threads: usize) -> Cost {
        let strings = if self.string_key { STRING_KEY } else { 1.0 };
        let decimals = if self.decimals { DECIMALS } else { 1.0 };
        let aggregates = self.aggregates as f64 * AGGREGATE_NS.0 * decimals;
        on_cores(self.rows * (self.per_row().0 * strings + aggregates), threads)
    }

    /// Its cost in the CPU's twin, on `threads` cores.
    pub fn twin(&self, threads: usize) -> Cost {
        let texts = self.texts as f64 * TEXT_NS;
        let per_row = self.per_row().1 + self.accumulators as f64 * AGGREGATE_NS.1 + texts;
        on_cores(self.rows * per_row, threads)
    }

    /// Nanoseconds per row for the number of groups, in DataFusion and in the twin; between
    /// the measured points linear in the logarithm of the groups.
    fn per_row(&self) -> (f64, f64) {
        if self.groups < 1.0 {
            return (0.0, 0.0);
        }
        between(&GROUP_BY_NS, self.groups)
    }
}

impl Join {
    /// Its cost in DataFusion, on `threads` cores.
    pub fn cpu(&self, threads: usize) -> Cost {
        let strings = if self.text_key { STRING_KEY } else { 1.0 };
        let rows = (self.build + self.probe) * self.per_row().0 + self.tested * TESTED_NS.0;
        on_cores(rows * strings, threads)
    }

    /// Its cost in the CPU's twin, on `threads` cores. Only for keys that are numbers.
    pub fn twin(&self, threads: usize) -> Cost {
        let rows = (self.build + self.probe) * self.per_row().1 + self.tested * TESTED_NS.1;
        on_cores(rows, threads)
    }

    fn per_row(&self) -> (f64, f64) {
        between(&JOIN_NS, self.build)
    }
}

impl Sort {
    /// Its cost in DataFusion, on `threads` cores.
    pub fn cpu(&self, threads: usize) -> Cost {
        let strings = if self.text_key { STRING_KEY } else { 1.0 };
        on_cores(self.rows * self.kept.max(2.0).log2() * SORT_NS * strings, threads)
    }

    /// Its cost in the CPU's twin, on `threads` cores; `None` for the first rows of an
    /// order, which DataFusion finds in half the time (top_100). Only for keys that are
    /// numbers.
    pub fn twin(&self, threads: usize) -> Option<Cost> {
        (self.kept >= self.rows).then(|| on_cores(self.rows * TWIN_SORT_NS, threads))
    }
}

/// The figures at `x`, linear in its logarithm between the points, constant outside.
fn between(points: &[(f64, f64, f64)], x: f64) -> (f64, f64) {
    let (first, last) = (points[0], points[points.len() - 1]);
    if x <= first.0 {
        return (first.1, first.2);
    }
    if x >= last.0 {
        return (last.1, last.2);
    }
    let inside = |w: &&[(f64, f64, f64)]| x <= w[1].0;
    let pair = points.windows(2).find(inside).expect("between the first and the last");
    let (low, high) = (pair[0], pair[1]);
    let t = (x / low.0).ln() / (high.0 / low.0).ln();
    (low.1 + (high.1 - low.1) * t, low.2 + (high.2 - low.2) * t)
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
        let on_cpu =
            |rows, groups| GroupBy { rows, groups, ..Default::default() }.cpu(2).total_ms();
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
        let by = |groups| GroupBy { rows: 1e6, groups, ..Default::default() };
        for (groups, cpu, twin) in GROUP_BY_NS {
            assert!((by(groups).cpu(1).total_ms() - cpu).abs() < 1e-9);
            assert!((by(groups).twin(1).total_ms() - twin).abs() < 1e-9);
        }
        let steps = [0.0, 1.0, 1e2, 1e3, 1e5, 1e6, 1e7, 1e9].map(|g| by(g).cpu(1).total_ms());
        assert!(steps.is_sorted() && steps[0] == 0.0 && steps[3] > steps[2], "{steps:?}");
        assert_eq!(steps[7], steps[6]);
        let strings = GroupBy { string_key: true, ..by(1e5) };
        assert!(strings.cpu(1).total_ms() > 1.9 * by(1e5).cpu(1).total_ms());
    }
}
