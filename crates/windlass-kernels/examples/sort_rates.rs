//! Rows a second of the CPU sorts beside Arrow's kernels and rayon's parallel sort, on the same
//! data: whole sorts of `u32`, `i64` and `f64` and of two keys, the first 100 rows, and a merge
//! of two runs. Best of three, by wall time. Prints one JSON object a line; `ratio` is ours over
//! the faster of the others, `ratio_all_cores` over Arrow's on every core at once.
//!
//! `cargo run -p windlass-kernels --example sort_rates -- [ROWS]`

use std::{hint::black_box, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray},
    compute::{SortColumn, SortOptions, lexsort_to_indices, sort_to_indices},
    datatypes::{Float64Type, Int64Type, UInt32Type},
};
use bytemuck::Pod;
use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, DeviceOptions, HostBytes, cpu::CpuDevice};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    sort::{self, SortKey},
};

/// Rows that a top-k asks for.
const K: usize = 100;

type Failure = Box<dyn std::error::Error>;

struct Owner<T>(Vec<T>);

impl<T: Pod + Send + Sync> HostBytes for Owner<T> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The least seconds of three runs.
fn best<R>(mut run: impl FnMut() -> R) -> f64 {
    let once = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (0..3).map(once).fold(f64::MAX, f64::min)
}

struct Bench {
    device: CpuDevice,
    rows: usize,
}

/// A column for both libraries.
struct Column {
    ours: DeviceColumn,
    theirs: ArrayRef,
}

impl Bench {
    fn column<T>(&self, ty: PhysType, values: Vec<T::Native>) -> Column
    where
        T: ArrowPrimitiveType<Native: Pod + Send + Sync>,
    {
        let owner = Arc::new(Owner(values.clone()));
        let values_on_device = self.device.adopt(owner).expect("the host adopts host memory");
        let ours = DeviceColumn {
            ty,
            storage: Storage::Packed,
            values: values_on_device,
            bit_offset: 0,
            validity: Validity::All,
        };
        Column { ours, theirs: Arc::new(PrimitiveArray::<T>::from_iter_values(values)) }
    }

    /// Runs one of our operations over the columns; seconds.
    fn ours(
        &self,
        columns: &[Column],
        run: impl Fn(&DeviceBatch, &[SortKey]) -> Result<DeviceBuffer, Failure>,
    ) -> Result<f64, Failure> {
        let batch = DeviceBatch {
            rows: self.rows,
            columns: columns.iter().map(|c| c.ours.clone()).collect(),
        };
        let key = |column| SortKey { column, descending: false, nulls_first: true };
        let keys: Vec<SortKey> = (0..columns.len()).map(key).collect();
        run(&batch, &keys)?;
        Ok(best(|| run(&batch, &keys).is_ok()))
    }

    fn sort(&self, columns: &[Column]) -> Result<f64, Failure> {
        self.ours(columns, |batch, keys| {
            let mut r = self.device.pool().reserve(0)?;
            let queue = &mut *self.device.queue()?;
            Ok(sort::sort_indices(&self.device, queue, &mut r, batch, keys)?)
        })
    }

    fn print(&self, name: &str, ours: f64, arrow: f64, rayon: Option<f64>) {
        let threads = rayon::current_num_threads();
        let rate = |seconds: f64| self.rows as f64 / seconds / 1e6;
        let other = rayon.map_or(arrow, |r| r.min(arrow));
        println!(
            "{{\"bench\":\"sort\",\"case\":\"{name}\",\"rows\":{},\"device\":\"cpu\",\
             \"class\":\"host\",\"threads\":{threads},\"mrows_s\":{:.1},\"mrows_s_arrow\":{:.1},\
             \"mrows_s_rayon\":{},\"ratio\":{:.2},\"ratio_all_cores\":{:.2}}}",
            self.rows,
            rate(ours),
            rate(arrow),
            rayon.map_or("null".to_string(), |r| format!("{:.1}", rate(r))),
            other / ours,
            arrow / threads as f64 / ours,
        );
    }
}

/// Arrow's sort of several columns.
fn lexsort(columns: &[Column], limit: Option<usize>) -> f64 {
    let columns: Vec<SortColumn> = columns
        .iter()
        .map(|c| SortColumn {
            values: Arc::clone(&c.theirs),
            options: Some(SortOptions::default()),
        })
        .collect();
    best(|| lexsort_to_indices(&columns, limit).is_ok())
}

/// Rayon's stable sort of row numbers by their values.
fn by_rayon<T: Copy + Send + Sync>(
    values: &[T],
    compare: impl Fn(&T, &T) -> std::cmp::Ordering + Sync,
) -> f64 {
    best(|| {
        let mut pairs: Vec<(T, u32)> = values.iter().copied().zip(0..).collect();
        pairs.par_sort_by(|a, b| compare(&a.0, &b.0));
        pairs.par_iter().map(|p| p.1).collect::<Vec<u32>>()
    })
}

fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(10_000_000), |a| a.parse())?;
    let b = Bench { device: CpuDevice::new(&DeviceOptions::default()), rows };
    let mut x = 1u64;
    // Knuth's linear congruential generator (MMIX), upper bits.
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 32
    };

    let narrow: Vec<u32> = (0..rows).map(|_| next() as u32).collect();
    let wide: Vec<i64> = (0..rows).map(|_| (next() << 32 | next()) as i64).collect();
    let skewed: Vec<i64> = wide.iter().map(|v| if v % 10 < 9 { 7 } else { *v }).collect();
    let sorted: Vec<i64> = (0..rows as i64).collect();
    let floats: Vec<f64> = (0..rows).map(|_| next() as f64 / 4e9 - 0.3).collect();
    let few: Vec<u32> = (0..rows).map(|_| next() as u32 % 1000).collect();

    for (name, values) in [("u32", &narrow), ("u32_of_1000", &few)] {
        let c = [b.column::<UInt32Type>(PhysType::U32, values.clone())];
        let arrow = best(|| sort_to_indices(&c[0].theirs, None, None).is_ok());
        b.print(name, b.sort(&c)?, arrow, Some(by_rayon(values, u32::cmp)));
    }
    for (name, values) in [("i64", &wide), ("i64_skewed", &skewed), ("i64_sorted", &sorted)] {
        let c = [b.column::<Int64Type>(PhysType::I64, values.clone())];
        let arrow = best(|| sort_to_indices(&c[0].theirs, None, None).is_ok());
        b.print(name, b.sort(&c)?, arrow, Some(by_rayon(values, i64::cmp)));
    }
    let c = [b.column::<Float64Type>(PhysType::F64, floats.clone())];
    let arrow = best(|| sort_to_indices(&c[0].theirs, None, None).is_ok());
    b.print("f64", b.sort(&c)?, arrow, Some(by_rayon(&floats, f64::total_cmp)));

    let c = [
        b.column::<UInt32Type>(PhysType::U32, few.clone()),
        b.column::<Int64Type>(PhysType::I64, wide.clone()),
    ];
    let pairs: Vec<(u32, i64)> = few.iter().copied().zip(wide.iter().copied()).collect();
    b.print("u32_of_1000,i64", b.sort(&c)?, lexsort(&c, None), Some(by_rayon(&pairs, Ord::cmp)));
    let c = [
        b.column::<Int64Type>(PhysType::I64, skewed.clone()),
        b.column::<Float64Type>(PhysType::F64, floats.clone()),
    ];
    b.print("i64_skewed,f64", b.sort(&c)?, lexsort(&c, None), None);

    let c = [b.column::<Int64Type>(PhysType::I64, wide.clone())];
    let top = b.ours(&c, |batch, keys| {
        let mut r = b.device.pool().reserve(0)?;
        let queue = &mut *b.device.queue()?;
        Ok(sort::top_k(&b.device, queue, &mut r, batch, keys, K)?.0)
    })?;
    let arrow = best(|| sort_to_indices(&c[0].theirs, None, Some(K)).is_ok());
    b.print("i64_top_100", top, arrow, None);

    for count in [2, 4, 8] {
        let mut runs = wide.clone();
        let length = rows.div_ceil(count);
        runs.chunks_mut(length).for_each(<[i64]>::sort_unstable);
        let lengths: Vec<usize> = runs.chunks(length).map(<[i64]>::len).collect();
        let c = [b.column::<Int64Type>(PhysType::I64, runs.clone())];
        let merged = b.ours(&c, |batch, keys| {
            let mut r = b.device.pool().reserve(0)?;
            let queue = &mut *b.device.queue()?;
            Ok(sort::merge(&b.device, queue, &mut r, batch, &lengths, keys)?)
        })?;
        let arrow = best(|| sort_to_indices(&c[0].theirs, None, None).is_ok());
        let name = format!("i64_merge_{count}");
        b.print(&name, merged, arrow, Some(by_rayon(&runs, i64::cmp)));
        b.print(&format!("i64_sort_{count}_runs"), b.sort(&c)?, arrow, None);
    }
    Ok(())
}
