//! Rows a second of the CPU twins of gather and concat beside arrow's `take` and `concat`, which
//! run on one thread. `mrows_s_one_thread` is the twin's rate on one thread too, `mrows_s` on all;
//! `mrows_s_arrow_all_cores` is arrow's rate times the cores: what it would reach if it ran on all
//! of them without loss. Prints one JSON object a line, each figure the best of [`RUNS`] runs.
//!
//! `cargo run --example gather_rates -p windlass-device -p windlass-kernels -p conformance -p
//! nvrtc-gate -- [ROWS]`
//!
//! `bytes` is what a gather must move: the indices, and each value once in and once out.

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, UInt32Array},
    buffer::Buffer,
    compute,
    datatypes::DataType,
};
use windlass_device::{Device, DeviceOptions, HostBytes, cpu::CpuDevice};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    gather::{concat, gather},
};

/// Timed runs of each benchmark.
const RUNS: usize = 3;

type Failure = Box<dyn Error + Send + Sync>;

/// An Arrow buffer as device memory.
struct Owner(Buffer);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(10_000_000), |a| a.parse())?;
    let device = CpuDevice::new(&DeviceOptions::default());
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut queue = device.queue()?;
    let mut x = 1u64;
    let mut next = || {
        // Knuth's MMIX generator; its high bits are even enough here.
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    };
    let nulls: Vec<bool> = (0..rows).map(|_| next() % 10 != 0).collect();
    let of = |i: usize| if nulls[i] { Some(i as i64) } else { None };
    let arrays: [(&str, ArrayRef); 5] = [
        ("i32", Arc::new(Int32Array::from_iter_values(0..rows as i32))),
        ("i64", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
        ("i64, one in ten null", Arc::new((0..rows).map(of).collect::<Int64Array>())),
        ("bool", Arc::new(BooleanArray::from(nulls.clone()))),
        ("decimal128", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
    ];
    let random: Vec<u32> = (0..rows).map(|_| (next() % rows as u64) as u32).collect();
    // About every second row, as a filter or the probe side of a join leaves them.
    let ascending: Vec<u32> = (0..rows as u32).filter(|_| next() % 2 == 0).collect();
    for (order, indices) in [("random", random), ("ascending", ascending)] {
        let taken = UInt32Array::from(indices);
        let buffer = adopt(&device, taken.values().inner())?;
        for (name, array) in &arrays {
            let array = match *name {
                "decimal128" => compute::cast(array, &DataType::Decimal128(38, 0))?,
                _ => Arc::clone(array),
            };
            let batch = DeviceBatch { rows, columns: vec![column(&device, &array)?] };
            let n = taken.len();
            let mut run = || {
                let mut r = device.pool().reserve(0)?;
                Ok(gather(&device, &mut *queue, &mut r, &batch, &buffer, n, false)?.rows)
            };
            let ours = best(&mut run)?;
            let one = best(|| single.install(&mut run))?;
            let arrow = best(|| Ok(compute::take(&array, &taken, None)?.len()))?;
            let width = array.data_type().primitive_width().map_or(1.0 / 8.0, |w| w as f64);
            let bits = if array.null_count() > 0 { 1.0 / 8.0 } else { 0.0 };
            let bytes = n as f64 * (4.0 + 2.0 * (width + bits));
            report("gather", &format!("{order} {name}"), n, bytes, [ours, one, arrow]);
        }
    }
    // Batches as a scan gives them.
    for (name, array) in &arrays[1..4] {
        let pieces: Vec<ArrayRef> = (0..rows)
            .step_by(65_536)
            .map(|start| array.slice(start, 65_536.min(rows - start)))
            .collect();
        let batches = pieces
            .iter()
            .map(|a| Ok(DeviceBatch { rows: a.len(), columns: vec![column(&device, a)?] }))
            .collect::<Result<Vec<_>, Failure>>()?;
        let mut run = || {
            let mut r = device.pool().reserve(0)?;
            Ok(concat(&device, &mut *queue, &mut r, &batches)?.rows)
        };
        let ours = best(&mut run)?;
        let one = best(|| single.install(&mut run))?;
        let views: Vec<&dyn Array> = pieces.iter().map(|a| &**a).collect();
        let arrow = best(|| Ok(compute::concat(&views)?.len()))?;
        let width = array.data_type().primitive_width().map_or(1.0 / 8.0, |w| w as f64);
        report("concat", name, rows, rows as f64 * 2.0 * width, [ours, one, arrow]);
    }
    Ok(())
}

/// Seconds of the fastest run after one that is not counted.
fn best(mut run: impl FnMut() -> Result<usize, Failure>) -> Result<f64, Failure> {
    black_box(run()?);
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn report(bench: &str, what: &str, rows: usize, bytes: f64, [ours, one, arrow]: [f64; 3]) {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let rate = |seconds: f64| rows as f64 / seconds / 1e6;
    println!(
        "{{\"bench\":{bench:?},\"what\":{what:?},\"rows\":{rows},\"device\":\"cpu\",\
         \"class\":\"host\",\"cores\":{cores},\"mrows_s\":{:.0},\"gb_s\":{:.2},\
         \"mrows_s_one_thread\":{:.0},\
         \"mrows_s_arrow\":{:.0},\"mrows_s_arrow_all_cores\":{:.0}}}",
        rate(ours),
        bytes / ours / 1e9,
        rate(one),
        rate(arrow),
        rate(arrow) * cores as f64,
    );
}

fn adopt(device: &CpuDevice, buffer: &Buffer) -> Result<windlass_device::DeviceBuffer, Failure> {
    let owner = Arc::new(Owner(buffer.clone()));
    Ok(device.adopt(owner).ok_or("the host adopts host memory")?)
}

/// An array where it lies.
fn column(device: &CpuDevice, array: &ArrayRef) -> Result<DeviceColumn, Failure> {
    let data = array.to_data();
    let ty = match data.data_type() {
        DataType::Boolean => PhysType::Bool,
        DataType::Int32 => PhysType::I32,
        DataType::Int64 => PhysType::I64,
        DataType::Decimal128(..) => PhysType::I128,
        other => return Err(format!("no column of {other}").into()),
    };
    let validity = match data.nulls() {
        None => Validity::All,
        Some(nulls) => {
            let whole = nulls.buffer().slice(nulls.offset() / 8);
            let bit_offset = (nulls.offset() % 8) as u32;
            Validity::Bits { bits: adopt(device, &whole)?, bit_offset }
        }
    };
    let (values, bit_offset) = match data.data_type().primitive_width() {
        Some(w) => (data.buffers()[0].slice_with_length(data.offset() * w, data.len() * w), 0),
        None => (data.buffers()[0].slice(data.offset() / 8), (data.offset() % 8) as u32),
    };
    let values = adopt(device, &values)?;
    Ok(DeviceColumn { ty, storage: Storage::Packed, values, bit_offset, validity })
}
