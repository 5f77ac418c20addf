//! Rows a second of filter + sum and of group-by at 10^2, 10^5 and 10^7 groups on a device,
//! with the columns already in its memory. Prints one JSON object a line, with the device's
//! class: only figures of class `real` or `host` are performance figures.
//!
//! `cargo run --example device_rates -p windlass-device -p windlass-kernels -- DEVICE [ROWS]`
//!
//! `bytes` is what the inputs take, so `share_of_copy` is the share of the device's copy
//! bandwidth (read and write, measured in the same run) at which the inputs were read.
//! Each figure is the best of [`RUNS`] runs after one that is not counted, which compiles.

use std::{error::Error, sync::Arc, time::Instant};

use windlass_device::{Device, DeviceBuffer, DeviceOptions, Queue, open_device};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Scalar, Storage, Validity,
    aggregate::{Accumulator, AggregateCall, GroupByPlan},
    ir::{BinaryOp, Program},
};

/// Timed runs of each benchmark.
const RUNS: usize = 3;

/// Rows of a batch: what coalescing gives a GPU at a time.
const BATCH: usize = 1 << 24;

/// Bytes that are copied to measure the copy bandwidth, where a buffer may be that large.
const COPY_BYTES: usize = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: device_rates DEVICE [ROWS]")?;
    let rows: usize = arguments.next().map_or(Ok(10_000_000), |a| a.parse())?;
    let device = open_device(&name.parse()?, &DeviceOptions::default())?;
    let mut bench = Bench { queue: device.queue()?, device, rows, copy: 0.0 };
    bench.copy = bench.copy_rate()?;

    let batches = bench.upload(1000)?;
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I32, false), p.input(PhysType::I64, false));
    let half = p.constant(Scalar::Int(PhysType::I32, 500));
    let filter = Some(p.binary(BinaryOp::Lt, k, half, None)?);
    let sum = AggregateCall {
        accumulator: Accumulator::Sum { wide: false },
        argument: Some(v),
        filter: None,
    };
    let plan = GroupByPlan { program: p, filter, keys: vec![], calls: vec![sum] };
    bench.run("filter_sum", 1, &plan, &batches)?;
    drop(batches);

    let count = AggregateCall { accumulator: Accumulator::CountRows, argument: None, filter: None };
    let plan = GroupByPlan { filter: None, keys: vec![k], calls: vec![sum, count], ..plan };
    for groups in [100, 100_000, 10_000_000] {
        let batches = bench.upload(groups)?;
        bench.run("group_by", groups, &plan, &batches)?;
    }
    Ok(())
}

struct Bench {
    device: Arc<dyn Device>,
    queue: Box<dyn Queue>,
    rows: usize,
    /// Bytes read and written a second by a copy.
    copy: f64,
}

impl Bench {
    fn alloc(&mut self, bytes: &[u8]) -> Result<DeviceBuffer, Box<dyn Error>> {
        let mut reservation = self.device.pool().reserve(bytes.len())?;
        let buffer = self.device.alloc(&mut reservation, bytes.len())?;
        self.queue.upload(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    fn copy_rate(&mut self) -> Result<f64, Box<dyn Error>> {
        let bytes = COPY_BYTES.min(self.device.info().limits.max_buffer_bytes);
        let zeros = vec![0; bytes];
        let (from, to) = (self.alloc(&zeros)?, self.alloc(&zeros)?);
        let mut best = f64::INFINITY;
        for _ in 0..=RUNS {
            self.queue.synchronize()?;
            let start = Instant::now();
            self.queue.copy(&from, 0, &to, 0, bytes)?;
            self.queue.synchronize()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * bytes as f64 / best)
    }

    /// Keys below `groups`, evenly drawn, and 64-bit values, in batches.
    fn upload(&mut self, groups: usize) -> Result<Vec<DeviceBatch>, Box<dyn Error>> {
        let most = BATCH.min(self.device.info().limits.max_buffer_bytes / 8);
        let mut x = 1u64;
        let mut next = || {
            // Knuth's MMIX generator; its high bits are even enough here.
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x >> 33
        };
        let mut batches = Vec::new();
        let mut left = self.rows;
        while left > 0 {
            let rows = left.min(most);
            let keys: Vec<i32> = (0..rows).map(|_| (next() % groups as u64) as i32).collect();
            let values: Vec<i64> = (0..rows).map(|_| next() as i64).collect();
            let column = |ty, values| DeviceColumn {
                ty,
                storage: Storage::Packed,
                values,
                bit_offset: 0,
                validity: Validity::All,
            };
            let columns = vec![
                column(PhysType::I32, self.alloc(bytemuck::cast_slice(&keys))?),
                column(PhysType::I64, self.alloc(bytemuck::cast_slice(&values))?),
            ];
            batches.push(DeviceBatch { rows, columns });
            left -= rows;
        }
        Ok(batches)
    }

    fn run(
        &mut self,
        name: &str,
        groups: usize,
        plan: &GroupByPlan,
        batches: &[DeviceBatch],
    ) -> Result<(), Box<dyn Error>> {
        let (mut best, mut found) = (f64::INFINITY, 0);
        for run in 0..=RUNS {
            self.queue.synchronize()?;
            let start = Instant::now();
            let mut group_by = plan.start(&self.device, groups)?;
            for batch in batches {
                group_by.update(&mut *self.queue, batch, &[])?;
            }
            self.queue.synchronize()?;
            let seconds = start.elapsed().as_secs_f64();
            found = group_by.groups();
            if run > 0 {
                best = best.min(seconds);
            }
        }
        let info = self.device.info();
        let bytes = self.rows * 12;
        println!(
            "{{\"bench\":{name:?},\"groups\":{found},\"rows\":{},\"seconds\":{best:.6},\
             \"rows_per_second\":{:.0},\"bytes\":{bytes},\"bytes_per_second\":{:.0},\
             \"copy_bytes_per_second\":{:.0},\"share_of_copy\":{:.4},\"device\":\"{}\",\
             \"class\":\"{}\",\"model\":{:?},\"commit\":{:?}}}",
            self.rows,
            self.rows as f64 / best,
            bytes as f64 / best,
            self.copy,
            bytes as f64 / best / self.copy,
            info.name,
            format!("{:?}", info.class).to_lowercase(),
            info.model,
            commit(),
        );
        Ok(())
    }
}

/// The commit that is checked out, or `unknown`.
fn commit() -> String {
    let git = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = git.ok().and_then(|o| String::from_utf8(o.stdout).ok()).unwrap_or_default();
    match text.trim() {
        "" => "unknown".to_string(),
        commit => commit.to_string(),
    }
}
