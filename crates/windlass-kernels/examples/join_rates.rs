//! Rates of the join's CPU twin: build, and build and probe to pairs of row numbers, for build
//! sides of 10^4, 10^6 and 10^7 rows and 10^7 probe rows.
//!
//! Keys: `dense` are 0, 1, … in random order; `sparse` are those spread over 64 bits, so that
//! they are hashed; `twice` are sparse with each key on two build rows; `skewed` are sparse, and
//! half of the probe rows have one key; `build_skewed` have one key on half of the build rows,
//! which one probe row in a million has too. `baseline` is a plain hashbrown map from key to
//! first row with a chain, built and probed by one thread.
//!
//! Usage: `join_rates [PROBE_ROWS [BUILD_ROWS]]`. One JSON object a line, of the best of three
//! runs: rates in millions of rows a second of wall time, and the processor time of all threads,
//! which tells more on a busy machine.

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use windlass_device::{Device, DeviceOptions, HostBytes, cpu::CpuDevice};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType, Storage, Validity,
    join::{JoinOptions, JoinTable},
};

struct Owner(Vec<i64>);

impl HostBytes for Owner {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Rows of a probe batch.
const BATCH: usize = 1 << 20;

/// Runs of each case.
const RUNS: usize = 3;

/// Processor time of all threads so far, where the system tells it (in steps of 10 ms).
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, f)| f).split_ascii_whitespace();
    fields.skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The smaller of two values, kept in the first.
fn keep_least(least: &mut f64, value: f64) {
    *least = least.min(value);
}

fn mix(i: u64) -> u64 {
    let z = (i ^ (i >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Keys of the build and of the probe side.
fn keys(form: &str, build: usize, probe: usize) -> [Vec<i64>; 2] {
    let spread = |k: u64| k.wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64;
    // A bijection of the row numbers stands for a shuffle.
    let bits = usize::BITS - (build.max(2) - 1).leading_zeros();
    let shuffled = |i: usize| -> u64 {
        let mask = (1u64 << bits) - 1;
        let mut k = i as u64;
        loop {
            k = (k.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5555) & mask;
            k = (k ^ (k >> (bits / 2).max(1))) & mask;
            if k < build as u64 {
                return k;
            }
        }
    };
    let any = |i: usize| mix(i as u64) % build as u64;
    match form {
        "dense" => [
            (0..build).map(|i| shuffled(i) as i64).collect(),
            (0..probe).map(|i| any(i) as i64).collect(),
        ],
        "twice" => [
            (0..build).map(|i| spread(shuffled(i) / 2)).collect(),
            (0..probe).map(|i| spread(any(i) / 2)).collect(),
        ],
        "skewed" => [
            (0..build).map(|i| spread(shuffled(i))).collect(),
            (0..probe).map(|i| spread(if i % 2 == 0 { 7 } else { any(i) })).collect(),
        ],
        "build_skewed" => [
            (0..build).map(|i| spread(if i % 2 == 0 { 7 } else { shuffled(i) })).collect(),
            (0..probe)
                .map(|i| spread(if i % 1_000_000 == 0 { 7 } else { any(i).max(8) }))
                .collect(),
        ],
        _ => [
            (0..build).map(|i| spread(shuffled(i))).collect(),
            (0..probe).map(|i| spread(any(i))).collect(),
        ],
    }
}

fn batch(device: &dyn Device, keys: &[i64]) -> Result<DeviceBatch, Box<dyn Error>> {
    let values = device.adopt(Arc::new(Owner(keys.to_vec()))).ok_or("cpu adopts host memory")?;
    let (storage, validity) = (Storage::Packed, Validity::All);
    let column = DeviceColumn { ty: PhysType::I64, storage, values, bit_offset: 0, validity };
    Ok(DeviceBatch { rows: keys.len(), columns: vec![column] })
}

/// Pairs, and processor seconds of the build and of the probe.
fn baseline(build: &[i64], probe: &[i64]) -> (usize, f64, f64) {
    let start = processor_seconds();
    let mut first: hashbrown::HashMap<i64, u32> = hashbrown::HashMap::with_capacity(build.len());
    let mut next = vec![u32::MAX; build.len()];
    for (row, key) in build.iter().enumerate() {
        if let Some(other) = first.insert(*key, row as u32) {
            next[row] = other;
        }
    }
    let built = processor_seconds();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (row, key) in probe.iter().enumerate() {
        let mut at = first.get(key).copied().unwrap_or(u32::MAX);
        while at != u32::MAX {
            left.push(row as u32);
            right.push(at);
            at = next[at as usize];
        }
    }
    black_box((&left, &right));
    (left.len(), built - start, processor_seconds() - built)
}

fn main() -> Result<(), Box<dyn Error>> {
    let probe_rows: usize = std::env::args().nth(1).map_or(Ok(10_000_000), |a| a.parse())?;
    let only: Option<usize> = std::env::args().nth(2).map(|a| a.parse()).transpose()?;
    let device: Arc<dyn Device> = Arc::new(CpuDevice::new(&DeviceOptions::default()));
    let mut queue = device.queue()?;
    let mut r = device.pool().reserve(0)?;
    for build_rows in only.map_or(vec![10_000usize, 1_000_000, 10_000_000], |n| vec![n]) {
        for form in ["dense", "sparse", "twice", "skewed", "build_skewed"] {
            let [build, probe] = keys(form, build_rows, probe_rows);
            let (pairs, base_build, base_probe) = baseline(&build, &probe);
            let build = batch(&*device, &build)?;
            let batches: Vec<DeviceBatch> =
                probe.chunks(BATCH).map(|k| batch(&*device, k)).collect::<Result<_, _>>()?;
            drop(probe);
            let [mut best_build, mut best, mut cpu_build, mut cpu_probe] = [f64::INFINITY; 4];
            let mut bytes = 0;
            for _ in 0..RUNS {
                let (start, cpu) = (Instant::now(), processor_seconds());
                let options = JoinOptions::default();
                let table = JoinTable::build(&device, &mut *queue, &mut r, &build, &[0], options)?;
                keep_least(&mut best_build, start.elapsed().as_secs_f64());
                let built = processor_seconds();
                keep_least(&mut cpu_build, built - cpu);
                bytes = table.bytes();
                let mut found = 0;
                for b in &batches {
                    let mut probing = table.probe(&mut *queue, &mut r, b, &[0], false)?;
                    while let Some(piece) = probing.next(&mut *queue, &mut r)? {
                        found += black_box(piece).n;
                    }
                }
                keep_least(&mut best, start.elapsed().as_secs_f64());
                keep_least(&mut cpu_probe, processor_seconds() - built);
                assert_eq!(found, pairs);
            }
            println!(
                "{{\"bench\":\"join_i64\",\"device\":\"cpu\",\"class\":\"host\",\"threads\":{},\
                 \"keys\":\"{form}\",\"build_rows\":{build_rows},\"probe_rows\":{probe_rows},\
                 \"pairs\":{pairs},\"bytes_read\":{},\"table_bytes\":{bytes},\
                 \"mrows_s_build\":{:.1},\"mrows_s_probe\":{:.1},\"seconds\":{best:.3},\
                 \"cpu_s_build\":{cpu_build:.2},\"cpu_s_probe\":{cpu_probe:.2},\
                 \"cpu_s_build_baseline\":{base_build:.2},\"cpu_s_probe_baseline\":{base_probe:.2}}}",
                rayon::current_num_threads(),
                (build_rows + probe_rows) * 8,
                build_rows as f64 / best_build / 1e6,
                probe_rows as f64 / (best - best_build) / 1e6,
            );
        }
    }
    Ok(())
}
