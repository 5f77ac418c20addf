//! Rows a second of the CPU group-by: sum of an `I64` by one `I64` key, for several numbers
//! of groups, beside a `hashbrown` map on the same data: on one thread by its own time, and
//! on all threads with the merge, by wall time. Prints one JSON object a line.
//!
//! `cargo run -p windlass-kernels --example group_by_rates -- [ROWS [GROUPS | steps | kinds]]`
//!
//! With `steps` it looks for cliffs: 2^0, 2^1 … 2^23 groups, uniform and with half of the
//! rows in one group. Seconds are those of all threads together, which other work on the
//! machine disturbs less than wall time; of the three runs the best. The last line has the
//! worst ratio of a step to the one before it, and the worst cost of the skew. With `kinds`
//! it has one accumulator a line, over 10^4 groups.

use std::{hint::black_box, sync::Arc, time::Instant};

use windlass_device::{Device, DeviceBuffer, DeviceOptions, HostBytes, cpu::CpuDevice};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    aggregate::{Accumulator, AggregateCall, BitOp, GroupByPlan, Share},
    cpu::aggregate::{CpuGroupBy, merge_all},
    ir::Program,
};

/// Seconds that this thread has run: what counts where other work shares the cores. Wall
/// time where the system does not tell.
fn thread_seconds(start: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|t| t.parse::<u64>().ok());
    ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

/// Seconds that all threads of this process have run, to 10 ms; `None` where the system
/// does not tell.
fn process_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

struct Owner(Vec<i64>);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Numbers from a linear congruential generator (Knuth's MMIX), by their upper bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// The group-by on all threads, a part each, and the merge: wall seconds, seconds of all
/// threads together, and groups.
fn parallel(
    plan: &GroupByPlan,
    device: &CpuDevice,
    batches: &[DeviceBatch],
) -> Result<(f64, f64, usize), Box<dyn std::error::Error>> {
    let (start, cpu) = (Instant::now(), process_seconds());
    let threads = rayon::current_num_threads();
    let parts: Result<Vec<_>, windlass_kernels::KernelError> = std::thread::scope(|s| {
        let work: Vec<_> = batches
            .chunks(batches.len().div_ceil(threads))
            .map(|part| {
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
    let merged = black_box(merge_all(plan, parts?)?);
    let wall = start.elapsed().as_secs_f64();
    let cpu = process_seconds().zip(cpu).map_or(wall, |(after, before)| after - before);
    Ok((wall, cpu, merged.groups))
}

fn batches(device: &CpuDevice, keys: &[i64], values: &[i64]) -> Vec<DeviceBatch> {
    keys.chunks(BATCH)
        .zip(values.chunks(BATCH))
        .map(|(k, v)| {
            let columns = [k, v].map(|c| column(adopt(device, c))).into();
            DeviceBatch { rows: k.len(), columns }
        })
        .collect()
}

/// Each accumulator of a float (bits: of an integer) over 10^4 groups, best of three.
fn kinds(rows: usize, device: &CpuDevice) -> Result<(), Box<dyn std::error::Error>> {
    let mut program = Program::new();
    let key = program.input(PhysType::I64, false);
    let float = program.input(PhysType::F64, false);
    let integer = program.input(PhysType::I64, false);
    let mut random = Random(1);
    let keys: Vec<i64> = (0..rows).map(|_| (random.next() % 10_000) as i64).collect();
    let floats: Vec<i64> =
        (0..rows).map(|_| (random.next() as f64 / 1e6).to_bits() as i64).collect();
    let integers: Vec<i64> = (0..rows).map(|_| (random.next() % 100) as i64).collect();
    let input: Vec<_> = keys
        .chunks(BATCH)
        .zip(floats.chunks(BATCH).zip(integers.chunks(BATCH)))
        .map(|(k, (f, i))| {
            let mut columns = Vec::from([k, f, i].map(|c| column(adopt(device, c))));
            columns[1].ty = PhysType::F64;
            DeviceBatch { rows: k.len(), columns }
        })
        .collect();
    for (accumulator, argument) in [
        (Accumulator::Sum { wide: false }, float),
        (Accumulator::Moments, float),
        (Accumulator::CoMoments { other: float }, float),
        (Accumulator::Bits(BitOp::Xor), integer),
        (Accumulator::Quantile(Share::HALF), float),
        (Accumulator::Distinct, integer),
        (Accumulator::Distinct, float),
    ] {
        let call = AggregateCall { accumulator, argument: Some(argument), filter: None };
        let program = program.clone();
        let plan = GroupByPlan { program, filter: None, keys: vec![key], calls: vec![call] };
        let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
        for _ in 0..3 {
            let run = parallel(&plan, device, &input)?;
            (wall, cpu) = (wall.min(run.0), cpu.min(run.1));
        }
        println!(
            "{{\"bench\":\"group_by_kinds\",\"rows\":{rows},\"groups\":10000,\"call\":\"{accumulator:?} of \
             value {}\",\"threads\":{},\"wall\":{wall:.4},\"cpu_s\":{cpu:.2},\"mrows_s\":{:.1}}}",
            argument.0,
            rayon::current_num_threads(),
            rows as f64 / wall / 1e6,
        );
    }
    Ok(())
}

/// 2^0 to 2^23 groups, uniform and skewed, best of three.
fn steps(
    rows: usize,
    plan: &GroupByPlan,
    device: &CpuDevice,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut before, mut worst_step, mut worst_skew) = (None::<f64>, 0f64, 0f64);
    let mut random = Random(1);
    let values: Vec<i64> = (0..rows).map(|_| random.next() as i64).collect();
    for power in 0..24 {
        let groups = 1u64 << power;
        let mut seconds = [0.0; 2];
        let mut walls = [0.0; 2];
        for (i, skewed) in [false, true].into_iter().enumerate() {
            // Neither dense nor in order, so that no key is its own index.
            let key = |r: &mut Random| match skewed && r.next().is_multiple_of(2) {
                true => 0,
                false => (r.next() % groups).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64,
            };
            let keys: Vec<i64> = (0..rows).map(|_| key(&mut random)).collect();
            let input = batches(device, &keys, &values);
            (walls[i], seconds[i]) = (f64::MAX, f64::MAX);
            for _ in 0..3 {
                let (wall, cpu, _) = parallel(plan, device, &input)?;
                (walls[i], seconds[i]) = (walls[i].min(wall), seconds[i].min(cpu));
            }
        }
        let [uniform, skewed] = seconds;
        let step = before.map_or(1.0, |b| uniform / b);
        before = Some(uniform);
        worst_step = worst_step.max(step).max(1.0 / step);
        worst_skew = worst_skew.max(skewed / uniform);
        println!(
            "{{\"bench\":\"group_by_steps\",\"rows\":{rows},\"groups\":{groups},\"threads\":{},\
             \"seconds\":{uniform:.4},\"seconds_skewed\":{skewed:.4},\"step\":{step:.2},\
             \"skew\":{:.2},\"wall\":{:.4},\"wall_skewed\":{:.4}}}",
            rayon::current_num_threads(),
            skewed / uniform,
            walls[0],
            walls[1],
        );
    }
    println!("{{\"worst_step\":{worst_step:.2},\"worst_skew\":{worst_skew:.2}}}");
    Ok(())
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
    if std::env::args().nth(2).is_some_and(|a| a == "steps") {
        return steps(rows, &plan, &device);
    }
    if std::env::args().nth(2).is_some_and(|a| a == "kinds") {
        return kinds(rows, &device);
    }
    let groups = std::env::args().nth(2).map(|a| a.parse()).transpose()?;
    for groups in groups.map_or(vec![1usize, 10, 1_000, 100_000, 10_000_000], |g| vec![g]) {
        for (spread, scale) in [("dense", 1i64), ("sparse", 0x1_0000_0001)] {
            let mut random = Random(1);
            let mut next = || random.next();
            let keys: Vec<i64> =
                (0..rows).map(|_| (next() % groups as u64) as i64 * scale).collect();
            let values: Vec<i64> = (0..rows).map(|_| next() as i64).collect();

            let clock = Instant::now();
            let start = thread_seconds(clock);
            let mut map: hashbrown::HashMap<i64, (i64, i64)> = hashbrown::HashMap::new();
            for (k, v) in keys.iter().zip(&values) {
                let state = map.entry(*k).or_default();
                state.0 = state.0.wrapping_add(*v);
                state.1 += 1;
            }
            let baseline = thread_seconds(clock) - start;

            let batches = batches(&device, &keys, &values);
            let (start, cpu) = (thread_seconds(clock), process_seconds());
            let mut g = CpuGroupBy::new(&plan, &device, 0)?;
            for b in &batches {
                g.update(b, &[])?;
            }
            let updated = thread_seconds(clock) - start;
            let bytes = g.bytes();
            let result = black_box(g.finish()?);
            let one = thread_seconds(clock) - start;
            let total = process_seconds().zip(cpu).map_or(one, |(after, before)| after - before);
            assert_eq!(result.groups, map.len());

            let threads = rayon::current_num_threads();
            let (all, cpu, merged) = parallel(&plan, &device, &batches)?;
            assert_eq!(merged, map.len());
            let rate = |seconds: f64| rows as f64 / seconds / 1e6;
            println!(
                "{{\"bench\":\"group_by_sum_i64\",\"rows\":{rows},\"groups\":{groups},\
                 \"keys\":\"{spread}\",\"bytes_read\":{},\"device\":\"cpu\",\"class\":\"host\",\
                 \"mrows_s\":{:.1},\"mrows_s_update\":{:.1},\"cpu_s\":{total:.2},\"mrows_s_hashbrown\":{:.1},\
                 \"threads\":{threads},\"mrows_s_parallel\":{:.1},\
                 \"cpu_s_parallel\":{cpu:.2},\"state_bytes\":{bytes}}}",
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
