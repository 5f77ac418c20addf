//! Window frames and what is made of them, against plain loops over host columns.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
    host::{extend, truncate},
};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, PhysType, Storage, Validity, gather,
    window::{self, Bound, Frame, FrameOp, Frames, Pick},
};

mod by_key;

use by_key::{distances, rows_that_are_not_null, spreads};

conformance::everywhere!(
    rows_of_frames,
    sums,
    extremes,
    rounded_sums,
    values_outside_a_frame_do_not_matter,
    many_rows,
    refuses,
    distances,
    rows_that_are_not_null,
    spreads,
);
conformance::everywhere!(emulated_checked: rows_of_frames, extremes, distances);

const SIZES: [usize; 10] = [0, 1, 2, 31, 33, 64, 255, 257, 1000, 2049];

/// Ends of frames, in all pairs.
const STARTS: [Bound; 7] = [
    Bound::Partition,
    Bound::Peers,
    Bound::Before(u32::MAX),
    Bound::Before(3),
    Bound::After(0),
    Bound::After(2),
    Bound::After(u32::MAX),
];
const ENDS: [Bound; 7] = [
    Bound::Partition,
    Bound::Peers,
    Bound::Before(4),
    Bound::Before(0),
    Bound::After(0),
    Bound::After(3),
    Bound::After(u32::MAX),
];

/// Frames of which sums and extremes are made: running, sliding, whole, behind, and ahead.
const FRAMES: [Frame; 7] = [
    Frame { start: Bound::Partition, end: Bound::Peers },
    Frame { start: Bound::Before(2), end: Bound::After(1) },
    Frame::PARTITION,
    Frame { start: Bound::Before(100), end: Bound::After(0) },
    Frame { start: Bound::Before(9), end: Bound::Before(4) },
    Frame { start: Bound::Before(100), end: Bound::Before(60) },
    Frame { start: Bound::After(1), end: Bound::Partition },
];

/// Rows of partitions and peers.
struct Sorted {
    starts: Vec<u32>,
    peers: Vec<u32>,
}

impl Sorted {
    /// Partitions of about `mean` rows; some rows are peers.
    fn new(rows: usize, mean: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let starts: Vec<u32> = (0..rows).map(|_| u32::from(random.below(mean) == 0) * 7).collect();
        let peers = starts.iter().map(|s| *s | u32::from(random.below(3) == 0)).collect();
        Self { starts, peers }
    }

    /// The frame of each row: first row, and the row after it.
    fn frames(&self, frame: Frame) -> Vec<(i64, i64)> {
        let n = self.starts.len();
        let first = |words: &[u32], i: usize| (0..=i).rev().find(|r| words[*r] != 0).unwrap_or(0);
        let after = |words: &[u32], i: usize| (i + 1..n).find(|r| words[*r] != 0).unwrap_or(n);
        let row = |i: usize| {
            let (from, to) = (first(&self.starts, i) as i64, after(&self.starts, i) as i64);
            let low = match frame.start {
                Bound::Partition => from,
                Bound::Peers => first(&self.peers, i) as i64,
                Bound::Before(n) => i as i64 - i64::from(n),
                Bound::After(n) => i as i64 + i64::from(n),
            };
            let high = match frame.end {
                Bound::Partition => to,
                Bound::Peers => after(&self.peers, i) as i64,
                Bound::Before(n) => i as i64 - i64::from(n) + 1,
                Bound::After(n) => i as i64 + i64::from(n) + 1,
            };
            let low = low.clamp(from, to);
            (low, high.clamp(from, to).max(low))
        };
        (0..n).map(row).collect()
    }

    fn upload(&self, bench: &mut Bench) -> (DeviceBuffer, DeviceBuffer) {
        (upload(bench, &self.starts), upload(bench, &self.peers))
    }
}

fn upload(bench: &mut Bench, words: &[u32]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(words.len() * 4).unwrap();
    let b = device.alloc(&mut r, words.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    b
}

fn download(bench: &mut Bench, buffer: &DeviceBuffer, n: usize) -> Vec<u32> {
    let mut words = vec![0u32; n];
    bench.queue().download(buffer, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
    words
}

fn frames(
    bench: &mut Bench,
    words: &(DeviceBuffer, DeviceBuffer),
    rows: usize,
    frame: Frame,
) -> Frames {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(0).unwrap();
    window::frames(&*device, bench.queue(), &mut r, (&words.0, &words.1), rows, frame).unwrap()
}

fn rows_of_frames(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for rows in [0, 1, 33, 300, 2049] {
        let sorted = Sorted::new(rows, 40, rows as u64);
        let words = sorted.upload(&mut bench);
        for start in STARTS {
            for end in ENDS {
                let frame = Frame { start, end };
                let want = sorted.frames(frame);
                let got = frames(&mut bench, &words, rows, frame);
                let low = download(&mut bench, got.bounds().0, rows);
                let high = download(&mut bench, got.bounds().1, rows);
                let pairs = low.iter().zip(&high).map(|(l, h)| (i64::from(*l), i64::from(*h)));
                assert!(pairs.eq(want.iter().copied()), "{frame:?} of {rows} rows");
                for which in [Pick::FromFirst(0), Pick::FromFirst(2), Pick::FromLast(0)] {
                    let mut r = device.pool().reserve(0).unwrap();
                    let picked =
                        window::pick(&*device, bench.queue(), &mut r, &got, which).unwrap();
                    let picked = download(&mut bench, &picked, rows);
                    let want = want.iter().map(|(low, high)| {
                        let row = match which {
                            Pick::FromFirst(k) => low + i64::from(k),
                            Pick::FromLast(k) => high - 1 - i64::from(k),
                        };
                        if (*low..*high).contains(&row) { row as u32 } else { u32::MAX }
                    });
                    assert!(picked.into_iter().eq(want), "{which:?} {frame:?} of {rows} rows");
                }
            }
        }
    }
}

/// A signed number in the order of the values.
fn key(ty: PhysType, bits: u128) -> i128 {
    match ty {
        PhysType::F32 => {
            let b = bits as u32 as i32;
            i128::from(b ^ ((b >> 31) as u32 >> 1) as i32)
        }
        PhysType::F64 => {
            let b = bits as u64 as i64;
            i128::from(b ^ ((b >> 63) as u64 >> 1) as i64)
        }
        _ => extend(ty, bits) as i128,
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
fn reference(c: &HostColumn, frames: &[(i64, i64)], op: FrameOp) -> Vec<Option<u128>> {
    let of = |(low, high): &(i64, i64)| {
        let values = c.values[*low as usize..*high as usize].iter().flatten().copied();
        values.reduce(|a, b| match op {
            FrameOp::Sum => add(c.ty, a, b),
            FrameOp::Min if key(c.ty, b) < key(c.ty, a) => b,
            FrameOp::Max if key(c.ty, b) > key(c.ty, a) => b,
            _ => a,
        })
    };
    frames.iter().map(of).collect()
}

fn aggregate(
    bench: &mut Bench,
    column: &DeviceColumn,
    frames: &Frames,
    op: FrameOp,
) -> Result<DeviceColumn, KernelError> {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(0)?;
    window::aggregate(&*device, bench.queue(), &mut r, column, frames, op)
}

fn check(bench: &mut Bench, c: &HostColumn, how: Presented, sorted: &Sorted, ops: &[FrameOp]) {
    let device = bench.device_arc();
    let cpu = device.info().backend == Backend::Cpu;
    let rows = c.rows();
    let column = c.upload(&*device, bench.queue(), how);
    let words = sorted.upload(bench);
    for frame in FRAMES {
        let bounds = sorted.frames(frame);
        let on_device = frames(bench, &words, rows, frame);
        for op in ops {
            let got = aggregate(bench, &column, &on_device, *op).unwrap();
            assert_eq!(got.storage, if cpu { Storage::Packed } else { Storage::Wide });
            let plain = DeviceColumn { validity: Validity::All, ..got.clone() };
            let plain = HostColumn::download(bench.queue(), &plain, rows);
            let got = HostColumn::download(bench.queue(), &got, rows);
            let want = reference(c, &bounds, *op);
            for (row, (g, w)) in got.values.iter().zip(&want).enumerate() {
                // What no row gives a value has the value 0.
                assert!(cpu || w.is_some() || plain.values[row] == Some(0), "row {row}");
                let (g, w) = (g.map(|g| truncate(c.ty, g)), w.map(|w| truncate(c.ty, w)));
                assert_eq!(g, w, "{op:?} of {frame:?}, {rows} {}, row {row}", c.ty);
            }
        }
        let mut r = device.pool().reserve(0).unwrap();
        let counts = window::count(&*device, bench.queue(), &mut r, &column, &on_device).unwrap();
        let counts = HostColumn::download(bench.queue(), &counts, rows);
        for (got, (low, high)) in counts.values.iter().zip(&bounds) {
            let n = c.values[*low as usize..*high as usize].iter().flatten().count();
            assert_eq!(*got, Some(n as u128), "values of {frame:?}");
        }
    }
}

fn can(bench: &Bench, ty: PhysType, op: FrameOp) -> bool {
    let info = bench.device().info();
    let floats = matches!(op, FrameOp::Sum | FrameOp::Spread) && ty == PhysType::F64;
    let can = !floats || info.features.float64;
    match window::aggregate_supported(bench.device(), ty, op) {
        Ok(()) => assert!(can),
        Err(KernelError::Unsupported { reason, .. }) => {
            assert!(!can && info.backend == Backend::Wgpu && reason.contains("f64"));
        }
        Err(e) => panic!("{e}"),
    }
    can
}

const WAYS: [(Nulls, Presented); 4] = [
    (Nulls::OneIn(3), Presented::Packed(6)),
    (Nulls::None, Presented::Wide),
    (Nulls::All, Presented::Packed(1)),
    (Nulls::OneIn(40), Presented::Wide),
];

fn sums(target: Target) {
    use PhysType as T;
    let mut bench = Bench::new(target);
    for ty in [T::I32, T::U32, T::I64, T::U64, T::I128, T::F32, T::F64] {
        if !can(&bench, ty, FrameOp::Sum) {
            continue;
        }
        for (way, rows) in SIZES.into_iter().enumerate() {
            let (nulls, how) = WAYS[way % 4];
            let mut c = data::column(ty, rows, nulls, rows as u64);
            // Whole numbers, which add up exactly in any order.
            let whole = |v: u128| (v as i32 % 1000) as f32;
            c.values.iter_mut().flatten().for_each(|v| match ty {
                T::F32 => *v = u128::from(whole(*v).to_bits()),
                T::F64 => *v = u128::from(f64::from(whole(*v)).to_bits()),
                _ => {}
            });
            let sorted = Sorted::new(rows, [10, 300][way / 2 % 2], way as u64);
            check(&mut bench, &c, how, &sorted, &[FrameOp::Sum]);
        }
    }
}

fn extremes(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL.into_iter().filter(|ty| *ty != PhysType::Bool) {
        for (way, rows) in [0, 1, 33, 257, 1000].into_iter().enumerate() {
            let (nulls, how) = WAYS[way % 4];
            let c = data::column(ty, rows, nulls, 3 + rows as u64);
            let sorted = Sorted::new(rows, 60, way as u64);
            check(&mut bench, &c, how, &sorted, &[FrameOp::Min, FrameOp::Max]);
        }
    }
}

/// Sums of fractions, within the bound of additions in any order: the number of additions times
/// half a unit in the last place of the sum of absolute values (Higham, 1993).
fn rounded_sums(target: Target) {
    let mut bench = Bench::new(target);
    if !can(&bench, PhysType::F64, FrameOp::Sum) {
        return;
    }
    let rows = 1500;
    let mut random = Random(4);
    let value = |_| Some(u128::from((random.below(1 << 20) as f64 / 7.0 - 7e4).to_bits()));
    let c = HostColumn { ty: PhysType::F64, values: (0..rows).map(value).collect() };
    let sorted = Sorted::new(rows, 400, 9);
    let device = bench.device_arc();
    let column = c.upload(&*device, bench.queue(), Presented::Wide);
    let words = sorted.upload(&mut bench);
    for frame in FRAMES {
        let on_device = frames(&mut bench, &words, rows, frame);
        let got = aggregate(&mut bench, &column, &on_device, FrameOp::Sum).unwrap();
        let got = HostColumn::download(bench.queue(), &got, rows);
        for (got, (low, high)) in got.values.iter().zip(sorted.frames(frame)) {
            let values = c.values[low as usize..high as usize].iter().flatten();
            let values: Vec<f64> = values.map(|v| f64::from_bits(*v as u64)).collect();
            let Some(got) = got else {
                assert!(values.is_empty());
                continue;
            };
            let absolute: f64 = values.iter().map(|v| v.abs()).sum();
            let bound = absolute * values.len() as f64 * f64::EPSILON;
            let off = f64::from_bits(*got as u64) - values.iter().sum::<f64>();
            assert!(off.abs() <= bound, "{off} of {bound} in {frame:?}");
        }
    }
}

/// A NaN, an infinity and a huge value are in the frames that hold them, and in no other.
fn values_outside_a_frame_do_not_matter(target: Target) {
    let mut bench = Bench::new(target);
    if !can(&bench, PhysType::F64, FrameOp::Sum) {
        return;
    }
    let rows = 600;
    let value = |i: usize| match i {
        100 => f64::NAN,
        200 => f64::INFINITY,
        300 => 1e300,
        _ => 1.0,
    };
    let values = (0..rows).map(|i| Some(u128::from(value(i).to_bits()))).collect();
    let c = HostColumn { ty: PhysType::F64, values };
    let sorted = Sorted { starts: vec![0; rows], peers: vec![1; rows] };
    let device = bench.device_arc();
    let column = c.upload(&*device, bench.queue(), Presented::Packed(0));
    let words = sorted.upload(&mut bench);
    let frame = Frame { start: Bound::Before(4), end: Bound::After(0) };
    let on_device = frames(&mut bench, &words, rows, frame);
    let got = aggregate(&mut bench, &column, &on_device, FrameOp::Sum).unwrap();
    let got = HostColumn::download(bench.queue(), &got, rows);
    for (i, got) in got.values.iter().enumerate() {
        let got = f64::from_bits(got.unwrap() as u64);
        match i {
            100..105 => assert!(got.is_nan(), "row {i}: {got}"),
            200..205 => assert_eq!(got, f64::INFINITY, "row {i}"),
            300..305 => assert_eq!(got, 1e300, "row {i}"),
            _ => assert_eq!(got, (i + 1).min(5) as f64, "row {i}"),
        }
    }
}

/// More rows than a piece of the twin and a tile of a scan, wide frames, and a lag by `gather`.
fn many_rows(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let rows = 140_003;
    let c = data::column(PhysType::I64, rows, Nulls::OneIn(9), 2);
    let column = c.upload(&*device, bench.queue(), Presented::Packed(3));
    let starts: Vec<u32> = (0..rows).map(|i| u32::from(i % 50_000 == 0)).collect();
    let words = (upload(&mut bench, &starts), upload(&mut bench, &vec![1; rows]));
    let width = 3000;
    let frame = Frame { start: Bound::Before(width - 1), end: Bound::After(0) };
    let on_device = frames(&mut bench, &words, rows, frame);
    let sums = aggregate(&mut bench, &column, &on_device, FrameOp::Sum).unwrap();
    let sums = HostColumn::download(bench.queue(), &sums, rows);
    let (mut sum, mut seen) = (0u128, 0);
    for i in 0..rows {
        let in_part = i % 50_000;
        if in_part == 0 {
            (sum, seen) = (0, 0);
        }
        let mut apply = |row: usize, sign: bool| {
            if let Some(v) = c.values[row] {
                let v = if sign { v } else { v.wrapping_neg() };
                sum = sum.wrapping_add(v);
                seen += if sign { 1 } else { -1 };
            }
        };
        apply(i, true);
        if in_part >= width as usize {
            apply(i - width as usize, false);
        }
        let want = (seen > 0).then(|| truncate(PhysType::I64, sum));
        assert_eq!(sums.values[i].map(|v| truncate(PhysType::I64, v)), want, "row {i}");
    }
    let before = frames(&mut bench, &words, rows, Frame::row(Bound::Before(2)));
    let mut r = device.pool().reserve(0).unwrap();
    let first = Pick::FromFirst(0);
    let picked = window::pick(&*device, bench.queue(), &mut r, &before, first).unwrap();
    let batch = DeviceBatch { rows, columns: vec![column] };
    let lag = gather::gather(&*device, bench.queue(), &mut r, &batch, &picked, rows, true).unwrap();
    let lag = HostColumn::download(bench.queue(), &lag.columns[0], rows);
    for (i, got) in lag.values.iter().enumerate() {
        let want = if i % 50_000 < 2 { None } else { c.values[i - 2] };
        assert_eq!(
            got.map(|v| truncate(PhysType::I64, v)),
            want.map(|v| truncate(PhysType::I64, v)),
            "row {i}"
        );
    }
}

fn refuses(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let (short, long) = (upload(&mut bench, &[1; 8]), upload(&mut bench, &[1; 16]));
    let mut r = device.pool().reserve(0).unwrap();
    let mut bad = Vec::new();
    for (words, rows) in [((&short, &long), 16), ((&long, &short), 16), ((&long, &long), 1 << 31)] {
        let frame = Frame::PARTITION;
        bad.push(window::frames(&*device, bench.queue(), &mut r, words, rows, frame).map(|_| ()));
    }
    let on_device = frames(&mut bench, &(long.clone(), long.clone()), 16, Frame::PARTITION);
    let column = |ty, values: &DeviceBuffer| DeviceColumn {
        ty,
        storage: Storage::Wide,
        values: values.clone(),
        bit_offset: 0,
        validity: Validity::All,
    };
    for (column, op) in [
        (column(PhysType::U32, &short), FrameOp::Sum),
        (column(PhysType::I64, &long), FrameOp::Max),
        (column(PhysType::Bool, &long), FrameOp::Min),
        (column(PhysType::I8, &long), FrameOp::Sum),
        (column(PhysType::I32, &long), FrameOp::Spread),
    ] {
        bad.push(aggregate(&mut bench, &column, &on_device, op).map(|_| ()));
    }
    let column = column(PhysType::U32, &short);
    bad.push(window::count(&*device, bench.queue(), &mut r, &column, &on_device).map(|_| ()));
    for (i, e) in bad.into_iter().enumerate() {
        let e = e.expect_err(&format!("case {i}"));
        assert!(matches!(e, KernelError::Invalid { .. }), "case {i}: {e}");
    }
}
