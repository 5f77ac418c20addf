//! Rows a second of the CPU group-by: sum of an `I64` by one `I64` key, for several numbers
//! of groups, beside a `hashbrown` map on the same data. One thread. Prints one JSON object
//! a line.
//!
//! `cargo run --example group_by_rates -p windlass-device -p windlass-kernels -- [ROWS]`

use std::{hint::black_box, sync::Arc, time::Instant};

use windlass_device::{Device, DeviceBuffer, DeviceOptions, HostBytes, cpu::CpuDevice};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    aggregate::{Accumulator, AggregateCall, GroupByPlan},
    cpu::aggregate::{CpuGroupBy, merge_all},
    ir::Program,
};

struct Owner(Vec<i64>);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Rows of a batch, as a scan gives them.
const BATCH: usize = 65_536;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(10_000_000), |a| a.parse())?;
    let device = CpuDevice::new(&DeviceOptions::default());
    let mut p = Program::new();
    let (k, v) = (p.input(PhysType::I64, false), p.input(PhysType::I64, false));
    let call = |accumulator, argument| AggregateCall { accumulator, argument, filter: None };
    let calls =
        vec![call(Accumulator::Sum { wide: false }, Some(v)), call(Accumulator::CountRows, None)];
    let plan = GroupByPlan { program: p, filter: None, keys: vec![k], calls };
    for groups in [1usize, 10, 1_000, 100_000, 10_000_000] {
        for (spread, scale) in [("dense", 1i64), ("sparse", 0x1_0000_0001)] {
            let mut x = 1u64;
            let mut next = || {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                x >> 33
            };
            let keys: Vec<i64> =
                (0..rows).map(|_| (next() % groups as u64) as i64 * scale).collect();
            let values: Vec<i64> = (0..rows).map(|_| next() as i64).collect();

            let start = Instant::now();
            let mut map: hashbrown::HashMap<i64, (i64, i64)> = hashbrown::HashMap::new();
            for (k, v) in keys.iter().zip(&values) {
                let state = map.entry(*k).or_default();
                state.0 = state.0.wrapping_add(*v);
                state.1 += 1;
            }
            let baseline = start.elapsed().as_secs_f64();

            let batches: Vec<DeviceBatch> = keys
                .chunks(BATCH)
                .zip(values.chunks(BATCH))
                .map(|(k, v)| {
                    let columns = [k, v].map(|c| column(adopt(&device, c))).into();
                    DeviceBatch { rows: k.len(), columns }
                })
                .collect();
            let start = Instant::now();
            let mut g = CpuGroupBy::new(&plan, &device, 0)?;
            for b in &batches {
                g.update(b, &[])?;
            }
            let updated = start.elapsed().as_secs_f64();
            let bytes = g.groups().bytes();
            let result = black_box(g.into_groups().into_result());
            let one = start.elapsed().as_secs_f64();
            assert_eq!(result.groups, map.len());

            let start = Instant::now();
            let threads = rayon::current_num_threads();
            let parts: Result<Vec<_>, windlass_kernels::KernelError> = std::thread::scope(|s| {
                let work: Vec<_> = batches
                    .chunks(batches.len().div_ceil(threads))
                    .map(|part| {
                        let (plan, device) = (&plan, &device);
                        s.spawn(move || {
                            let mut g = CpuGroupBy::new(plan, device, 0)?;
                            for b in part {
                                g.update(b, &[])?;
                            }
                            Ok(g.into_groups())
                        })
                    })
                    .collect();
                work.into_iter().map(|t| t.join().expect("no panic")).collect()
            });
            let merged = black_box(merge_all(&plan, parts?)?);
            let all = start.elapsed().as_secs_f64();
            assert_eq!(merged.groups, map.len());
            let rate = |seconds: f64| rows as f64 / seconds / 1e6;
            println!(
                "{{\"bench\":\"group_by_sum_i64\",\"rows\":{rows},\"groups\":{groups},\
                 \"keys\":\"{spread}\",\"bytes_read\":{},\"device\":\"cpu\",\"class\":\"host\",\
                 \"mrows_s\":{:.1},\"mrows_s_update\":{:.1},\"mrows_s_hashbrown\":{:.1},\
                 \"threads\":{threads},\"mrows_s_parallel\":{:.1},\"state_bytes\":{bytes}}}",
                rows * 16,
                rate(one),
                rate(updated),
                rate(baseline),
                rate(all),
            );
        }
    }
    Ok(())
}

fn adopt(device: &CpuDevice, values: &[i64]) -> DeviceBuffer {
    device.adopt(Arc::new(Owner(values.to_vec()))).expect("the host adopts host memory")
}

fn column(values: DeviceBuffer) -> DeviceColumn {
    let (storage, validity) = (Storage::Packed, Validity::All);
    DeviceColumn { ty: PhysType::I64, storage, values, bit_offset: 0, validity }
}
