//! Running sums, minima, maxima and ranks against plain loops over host columns.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
    host::extend,
};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    DeviceColumn, KernelError, PhysType, Storage, Validity,
    scan::{self, Scan, ScanOp},
};

conformance::everywhere!(sums, minima_and_maxima, rounded_sums, many_rows, ranks, refuses);
conformance::everywhere!(emulated_checked: sums, ranks);

/// Sizes around a warp, a block, a tile and two tiles.
const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 65, 255, 257, 2047, 2048, 2049, 5000];
/// Rows that take two levels on a GPU and more than two pieces of the twin.
const MANY: usize = 140_003;
const TYPES: [PhysType; 6] =
    [PhysType::I32, PhysType::I64, PhysType::U32, PhysType::U64, PhysType::F32, PhysType::F64];
const WAYS: [(Nulls, Presented); 4] = [
    (Nulls::OneIn(3), Presented::Packed(6)),
    (Nulls::None, Presented::Wide),
    (Nulls::All, Presented::Packed(1)),
    (Nulls::OneIn(40), Presented::Wide),
];

fn words(bench: &mut Bench, words: &[u32]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(words.len() * 4).unwrap();
    let b = device.alloc(&mut r, words.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    b
}

/// Random starts of segments of about `mean` rows.
fn starts(rows: usize, mean: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    (0..rows)
        .map(|_| if random.below(mean) == 0 { 1 + random.below(9) as u32 } else { 0 })
        .collect()
}

/// A signed number in the order of the values.
fn key(ty: PhysType, bits: u128) -> i128 {
    let signed = extend(ty, bits) as i128;
    match ty {
        PhysType::F32 => {
            let b = bits as u32 as i32;
            i128::from(b ^ ((b >> 31) as u32 >> 1) as i32)
        }
        PhysType::F64 => {
            let b = bits as u64 as i64;
            i128::from(b ^ ((b >> 63) as u64 >> 1) as i64)
        }
        _ => signed,
    }
}

fn add(ty: PhysType, a: u128, b: u128) -> u128 {
    match ty {
        PhysType::F32 => {
            u128::from((f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits())
        }
        PhysType::F64 => {
            u128::from((f64::from_bits(a as u64) + f64::from_bits(b as u64)).to_bits())
        }
        _ => extend(ty, a.wrapping_add(b)),
    }
}

/// The loop that everything is compared with.
fn reference(c: &HostColumn, starts: Option<&[u32]>, scan: Scan) -> HostColumn {
    let mut at: Option<u128> = None;
    let step = |(row, v): (usize, &Option<u128>)| {
        if starts.is_some_and(|s| s[row] != 0) {
            at = None;
        }
        let before = at;
        if let Some(v) = v {
            at = Some(match (at, scan.op) {
                // A sum begins with 0, which makes -0.0 a 0.0.
                (None, ScanOp::Sum) => add(c.ty, 0, *v),
                (None, _) => *v,
                (Some(a), ScanOp::Sum) => add(c.ty, a, *v),
                (Some(a), ScanOp::Min) => {
                    if key(c.ty, *v) < key(c.ty, a) {
                        *v
                    } else {
                        a
                    }
                }
                (Some(a), ScanOp::Max) => {
                    if key(c.ty, *v) > key(c.ty, a) {
                        *v
                    } else {
                        a
                    }
                }
            });
        }
        if scan.exclusive { before } else { at }
    };
    HostColumn { ty: c.ty, values: c.values.iter().enumerate().map(step).collect() }
}

fn run(
    bench: &mut Bench,
    c: &DeviceColumn,
    rows: usize,
    starts: Option<&DeviceBuffer>,
    s: Scan,
) -> Result<DeviceColumn, KernelError> {
    let device = bench.device_arc();
    let (d, q) = (&*device, bench.queue());
    let mut r = d.pool().reserve(0)?;
    match (starts, s.exclusive) {
        (Some(starts), _) => scan::segmented(d, q, &mut r, c, rows, starts, s),
        (None, false) => scan::inclusive(d, q, &mut r, c, rows, s.op),
        (None, true) => scan::exclusive(d, q, &mut r, c, rows, s.op),
    }
}

fn check(bench: &mut Bench, c: &HostColumn, how: Presented, starts: Option<&[u32]>, op: ScanOp) {
    let device = bench.device_arc();
    let column = c.upload(&*device, bench.queue(), how);
    let buffer = starts.map(|s| words(bench, s));
    let cpu = device.info().backend == Backend::Cpu;
    for exclusive in [false, true] {
        let scan = Scan { op, exclusive };
        let got = run(bench, &column, c.rows(), buffer.as_ref(), scan).unwrap();
        assert_eq!(got.storage, if cpu { Storage::Packed } else { Storage::Wide });
        assert_eq!(got.nullable(), exclusive || column.nullable());
        // Values of nulls are 0, so that the values of a sum are offsets.
        let plain = DeviceColumn { validity: Validity::All, ..got.clone() };
        let plain = HostColumn::download(bench.queue(), &plain, c.rows());
        let got = HostColumn::download(bench.queue(), &got, c.rows());
        let want = reference(c, starts, scan);
        for (row, (g, w)) in got.values.iter().zip(&want.values).enumerate() {
            let segments = starts.is_some();
            assert_eq!(g, w, "{scan:?} of {} {}, row {row}, segments {segments}", c.rows(), c.ty);
            assert_eq!(plain.values[row], Some(w.unwrap_or(0)));
        }
    }
}

fn column(ty: PhysType, rows: usize, nulls: Nulls, seed: u64) -> HostColumn {
    let mut c = data::column(ty, rows, nulls, seed);
    c.values.iter_mut().flatten().for_each(|v| *v = extend(ty, *v));
    c
}

fn can(bench: &Bench, ty: PhysType, op: ScanOp) -> bool {
    let info = bench.device().info();
    let can = op != ScanOp::Sum || ty != PhysType::F64 || info.features.float64;
    match scan::supported(bench.device(), ty, op) {
        Ok(()) => assert!(can),
        Err(KernelError::Unsupported { reason, .. }) => {
            assert!(!can && info.backend == Backend::Wgpu && reason.contains("f64"));
        }
        Err(e) => panic!("{e}"),
    }
    can
}

fn all_sizes(target: Target, ops: &[ScanOp], make: impl Fn(PhysType, usize, Nulls) -> HostColumn) {
    let mut bench = Bench::new(target);
    for ty in TYPES {
        for op in ops.iter().copied() {
            if !can(&bench, ty, op) {
                continue;
            }
            for (nulls, how) in WAYS {
                for rows in SIZES {
                    let c = make(ty, rows, nulls);
                    check(&mut bench, &c, how, None, op);
                    check(&mut bench, &c, how, Some(&starts(rows, 7, rows as u64)), op);
                }
            }
            let c = make(ty, 9000, Nulls::OneIn(5));
            check(&mut bench, &c, Presented::Wide, Some(&starts(9000, 3000, 1)), op);
        }
    }
}

fn sums(target: Target) {
    all_sizes(target, &[ScanOp::Sum], |ty, rows, nulls| {
        let mut c = column(ty, rows, nulls, 1);
        if ty.is_float() {
            // Whole numbers, which add up exactly in any order.
            let whole = |v: u128| (v as i32 % 1000) as f32;
            c.values.iter_mut().flatten().for_each(|v| {
                *v = match ty {
                    PhysType::F32 => u128::from(whole(*v).to_bits()),
                    _ => u128::from(f64::from(whole(*v)).to_bits()),
                };
            });
        }
        c
    });
}

fn minima_and_maxima(target: Target) {
    all_sizes(target, &[ScanOp::Min, ScanOp::Max], |ty, rows, nulls| column(ty, rows, nulls, 2));
}

/// Sums of fractions, within the bound of recursive summation: n times half the unit in the
/// last place of the sum of magnitudes (Higham, "Accuracy and Stability of Numerical
/// Algorithms", section 4.2), since every order of additions keeps to it.
fn rounded_sums(target: Target) {
    let mut bench = Bench::new(target);
    let rows = 9001;
    for ty in [PhysType::F32, PhysType::F64] {
        if !can(&bench, ty, ScanOp::Sum) {
            continue;
        }
        let mut random = Random(4);
        let values: Vec<f64> =
            (0..rows).map(|_| f64::from((random.bits() as i32) as f32 / 1e7f32 * 1.1f32)).collect();
        let bits = |v: &f64| match ty {
            PhysType::F32 => u128::from((*v as f32).to_bits()),
            _ => u128::from(v.to_bits()),
        };
        let c = HostColumn { ty, values: values.iter().map(|v| Some(bits(v))).collect() };
        let device = bench.device_arc();
        let column = c.upload(&*device, bench.queue(), Presented::Wide);
        let scan = Scan { op: ScanOp::Sum, exclusive: false };
        let runs: Vec<HostColumn> = (0..2)
            .map(|_| {
                let got = run(&mut bench, &column, rows, None, scan).unwrap();
                HostColumn::download(bench.queue(), &got, rows)
            })
            .collect();
        assert_eq!(runs[0], runs[1], "the same bits in every run");
        let unit = if ty == PhysType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let (mut sum, mut magnitudes) = (0.0, 0.0);
        for (row, v) in values.iter().enumerate() {
            (sum, magnitudes) = (sum + v, magnitudes + v.abs());
            let got = runs[0].values[row].unwrap();
            let got = match ty {
                PhysType::F32 => f64::from(f32::from_bits(got as u32)),
                _ => f64::from_bits(got as u64),
            };
            let bound = (row + 1) as f64 * unit * magnitudes;
            assert!((got - sum).abs() <= bound, "{ty} row {row}: {got}, expected {sum}");
        }
    }
}

/// Two levels with nulls and segments, then three levels of plain sums.
fn many_rows(target: Target) {
    let mut bench = Bench::new(target);
    let c = column(PhysType::I64, MANY, Nulls::OneIn(3), 1);
    for (starts, op) in [
        (None, ScanOp::Sum),
        (Some(starts(MANY, 50, 1)), ScanOp::Sum),
        (Some(starts(MANY, 40_000, 2)), ScanOp::Max),
    ] {
        check(&mut bench, &c, Presented::Wide, starts.as_deref(), op);
    }
    let rows = 2048 * 2048 + 5;
    let values: Vec<u32> = (0..rows as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
    let mut segments = starts(rows, 1_000_000, 3);
    segments[2048 * 2048] = 1;
    let buffer = words(&mut bench, &segments);
    let column = DeviceColumn {
        ty: PhysType::U32,
        storage: Storage::Packed,
        values: words(&mut bench, &values),
        bit_offset: 0,
        validity: Validity::All,
    };
    for starts in [None, Some(&buffer)] {
        let scan = Scan { op: ScanOp::Sum, exclusive: false };
        let got = run(&mut bench, &column, rows, starts, scan).unwrap();
        let mut read = vec![0u32; rows];
        bench.queue().download(&got.values, 0, bytemuck::cast_slice_mut(&mut read)).unwrap();
        let mut sum = 0u32;
        for (row, got) in read.iter().enumerate() {
            if starts.is_some() && segments[row] != 0 {
                sum = 0;
            }
            sum = sum.wrapping_add(values[row]);
            assert_eq!(*got, sum, "row {row}");
        }
    }
}

fn ranks(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for rows in [0, 1, 33, 257, 2048, 4096, MANY] {
        let partitions = starts(rows, 30, 5);
        let mut random = Random(6);
        let peers: Vec<u32> = (0..rows)
            .map(|row| u32::from(row == 0 || partitions[row] != 0 || random.below(3) == 0))
            .collect();
        let (mut number, mut rank, mut dense) = (0, 0, 0);
        let want: Vec<[u32; 3]> = (0..rows)
            .map(|row| {
                if partitions[row] != 0 {
                    (number, dense) = (0, 0);
                }
                number += 1;
                if peers[row] == 1 {
                    (rank, dense) = (number, dense + 1);
                }
                [number, rank, dense]
            })
            .collect();
        let (partitions, peers) = (words(&mut bench, &partitions), words(&mut bench, &peers));
        let (d, q) = (&*device, bench.queue());
        let mut r = d.pool().reserve(0).unwrap();
        let got = [
            scan::row_number(d, q, &mut r, &partitions, rows).unwrap(),
            scan::rank(d, q, &mut r, &partitions, &peers, rows).unwrap(),
            scan::dense_rank(d, q, &mut r, &partitions, &peers, rows).unwrap(),
        ];
        for (k, c) in got.iter().enumerate() {
            assert!(c.ty == PhysType::U32 && !c.nullable());
            let got = HostColumn::download(bench.queue(), c, rows);
            for (row, want) in want.iter().enumerate() {
                assert_eq!(got.values[row], Some(u128::from(want[k])), "{k} row {row} of {rows}");
            }
        }
    }
}

fn refuses(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let c = column(PhysType::I32, 9, Nulls::OneIn(2), 1);
    let c = c.upload(&*device, bench.queue(), Presented::Packed(0));
    let short = words(&mut bench, &[0; 4]);
    let scan = Scan { op: ScanOp::Sum, exclusive: false };
    let invalid = |r: Result<DeviceColumn, KernelError>| {
        assert!(matches!(r, Err(KernelError::Invalid { .. })), "{r:?}");
    };
    invalid(run(&mut bench, &c, 10, None, scan));
    invalid(run(&mut bench, &c, 9, Some(&short), scan));
    for ty in [PhysType::Bool, PhysType::I8, PhysType::I128] {
        let c = column(ty, 9, Nulls::None, 1);
        let c = c.upload(&*device, bench.queue(), Presented::Wide);
        invalid(run(&mut bench, &c, 9, None, scan));
    }
    let mut r = device.pool().reserve(0).unwrap();
    let q = bench.queue();
    invalid(scan::row_number(&*device, q, &mut r, &short, 5));
    invalid(scan::rank(&*device, q, &mut r, &short, &short, 5));
    invalid(scan::dense_rank(&*device, q, &mut r, &short, &short, 5));
}
