//! Row hashes against MurmurHash64B over each value's bytes, written out here.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls},
    host::extend,
};
use windlass_kernels::{
    DeviceBatch, KernelError, PhysType,
    hash::{SEED, hash_rows},
};

conformance::everywhere!(all: types, several_columns, refusals);
conformance::everywhere!(wgpu_reversed: several_columns);

const M: u32 = 0x5bd1_e995;

/// MurmurHash64B of whole words.
fn murmur64b(words: &[u32], seed: u64) -> u64 {
    let (mut h1, mut h2) = (seed as u32 ^ (words.len() * 4) as u32, (seed >> 32) as u32);
    for (at, word) in words.iter().enumerate() {
        let k = word.wrapping_mul(M);
        let k = (k ^ (k >> 24)).wrapping_mul(M);
        let h = if at % 2 == 0 { &mut h1 } else { &mut h2 };
        *h = h.wrapping_mul(M) ^ k;
    }
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    u64::from(h1) << 32 | u64::from(h2)
}

/// The value that hashes as this one does.
fn canonical(ty: PhysType, bits: u128) -> u128 {
    match ty {
        PhysType::F32 => {
            let f = f32::from_bits(bits as u32);
            let f = if f.is_nan() { f32::from_bits(0x7fc0_0000) } else { f + 0.0 };
            u128::from(f.to_bits())
        }
        PhysType::F64 => {
            let f = f64::from_bits(bits as u64);
            let f = if f.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { f + 0.0 };
            u128::from(f.to_bits())
        }
        _ => bits,
    }
}

fn reference(columns: &[HostColumn], row: usize) -> u64 {
    columns.iter().fold(u64::from(SEED), |seed, column| {
        let words: Vec<u32> = match column.values[row] {
            None => vec![],
            Some(bits) => {
                let bits = canonical(column.ty, extend(column.ty, bits));
                (0..column.ty.words()).map(|w| (bits >> (32 * w)) as u32).collect()
            }
        };
        murmur64b(&words, seed)
    })
}

fn check(bench: &mut Bench, columns: &[HostColumn], how: Presented) {
    let rows = columns[0].rows();
    let device = bench.device_arc();
    let upload = |c: &HostColumn, b: &mut Bench| c.upload(&*device, b.queue(), how);
    let batch = DeviceBatch { rows, columns: columns.iter().map(|c| upload(c, bench)).collect() };
    let all: Vec<usize> = (0..columns.len()).collect();
    let mut r = device.pool().reserve(0).unwrap();
    let hashes = hash_rows(&*device, bench.queue(), &mut r, &batch, &all).unwrap();
    let mut words = vec![0u32; rows * 2];
    bench.queue().download(&hashes, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
    for (row, pair) in words.chunks_exact(2).enumerate() {
        let got = u64::from(pair[1]) << 32 | u64::from(pair[0]);
        let want = reference(columns, row);
        assert_eq!(got, want, "{how:?} row {row} of {rows}: {:?}", columns[0].ty);
    }
}

const WAYS: [Presented; 3] = [Presented::Packed(0), Presented::Packed(3), Presented::Wide];

fn types(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        for how in WAYS {
            for nulls in [Nulls::None, Nulls::OneIn(3), Nulls::All] {
                let [a, _] = data::pairs(ty, nulls, 300);
                check(&mut bench, &[a], how);
            }
            for rows in [0, 1, 31, 33, 257] {
                check(&mut bench, &[data::column(ty, rows, Nulls::OneIn(5), 9)], how);
            }
        }
    }
}

fn several_columns(target: Target) {
    let mut bench = Bench::new(target);
    for rows in [1, 255, 1025, 70_001] {
        let columns: Vec<_> = [PhysType::I64, PhysType::I16, PhysType::I128, PhysType::Bool]
            .into_iter()
            .enumerate()
            .map(|(k, ty)| data::column(ty, rows, Nulls::OneIn(4 + k), k as u64))
            .collect();
        for how in WAYS {
            check(&mut bench, &columns, how);
        }
    }
}

/// Small integers in pairs: a hash of 64 bits has no collision among a million of them.
#[test]
fn pairs_of_small_integers_do_not_collide() {
    let mut bench = Bench::new(Target::Cpu);
    let n = 1000u128;
    let column = |f: &dyn Fn(u128) -> u128| HostColumn {
        ty: PhysType::I64,
        values: (0..n * n).map(|i| Some(f(i))).collect(),
    };
    let columns = [column(&|i| i / n), column(&|i| i % n)];
    let device = bench.device_arc();
    let columns = columns.map(|c| c.upload(&*device, bench.queue(), Presented::Wide)).to_vec();
    let batch = DeviceBatch { rows: (n * n) as usize, columns };
    let mut r = device.pool().reserve(0).unwrap();
    let hashes = hash_rows(&*device, bench.queue(), &mut r, &batch, &[0, 1]).unwrap();
    let mut words = vec![0u32; batch.rows * 2];
    bench.queue().download(&hashes, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
    let mut all: Vec<u64> =
        words.chunks_exact(2).map(|w| u64::from(w[1]) << 32 | u64::from(w[0])).collect();
    // The low bits choose a partition, the high ones too: both spread evenly.
    for part in [|h: u64| h as usize & 63, |h: u64| (h >> 58) as usize] {
        let mut counts = [0usize; 64];
        all.iter().for_each(|h| counts[part(*h)] += 1);
        // Mean 15,625, standard deviation 124.
        assert!(counts.iter().all(|c| c.abs_diff(15_625) < 6 * 124), "{counts:?}");
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), batch.rows);
}

fn refusals(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let column = data::column(PhysType::I64, 40, Nulls::OneIn(4), 3);
    for how in WAYS {
        let column = column.upload(&*device, bench.queue(), how);
        let mut r = device.pool().reserve(0).unwrap();
        let batch = DeviceBatch { rows: 40, columns: vec![column.clone()] };
        let mut run = |batch: &DeviceBatch, columns: &[usize]| {
            let out = hash_rows(&*device, bench.queue(), &mut r, batch, columns);
            assert!(matches!(out, Err(KernelError::Invalid { .. })), "{columns:?}: {out:?}");
        };
        run(&batch, &[]);
        run(&batch, &[1]);
        run(&DeviceBatch { rows: 1000, ..batch.clone() }, &[0]);
        run(&DeviceBatch { rows: 1 << 31, ..batch }, &[0]);
    }
    let other = Target::Cpu.open();
    if other.info().name != device.info().name {
        let mut queue = other.queue().unwrap();
        let column = column.upload(&*other, &mut *queue, Presented::Wide);
        let batch = DeviceBatch { rows: 40, columns: vec![column] };
        let mut r = device.pool().reserve(0).unwrap();
        let out = hash_rows(&*device, bench.queue(), &mut r, &batch, &[0]);
        assert!(matches!(out, Err(KernelError::Invalid { .. })));
    }
}
