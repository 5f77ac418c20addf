//! Sums, counts, extremes and moments against plain loops over host columns.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
    host::{extend, truncate},
};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    DeviceColumn, KernelError, PhysType, Scalar,
    reduce::{self, CoMoments, Extreme, Moments, Sum, Total},
};

conformance::everywhere!(sums, counts, extremes, moments, refuses);
conformance::everywhere!(emulated_checked: sums, counts, extremes, moments);

/// Sizes around a warp, a block, four rows a thread, and more than two pieces of the twin.
const SIZES: [usize; 11] = [0, 1, 31, 32, 33, 65, 255, 257, 1025, 5000, 140_003];
const WAYS: [(Nulls, Presented); 5] = [
    (Nulls::OneIn(3), Presented::Packed(6)),
    (Nulls::None, Presented::Packed(2)),
    (Nulls::None, Presented::Wide),
    (Nulls::All, Presented::Packed(1)),
    (Nulls::OneIn(90), Presented::Wide),
];

fn words(bench: &mut Bench, words: &[u32]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(words.len() * 4).unwrap();
    let b = device.alloc(&mut r, words.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    b
}

fn column(ty: PhysType, rows: usize, nulls: Nulls, seed: u64) -> HostColumn {
    let mut c = data::column(ty, rows, nulls, seed);
    c.values.iter_mut().flatten().for_each(|v| *v = extend(ty, *v));
    c
}

/// A column in device memory, with a selection or without.
struct Case {
    column: DeviceColumn,
    rows: usize,
    selected: Option<DeviceBuffer>,
    /// The rows that count, with their bits.
    taken: Vec<(usize, u128)>,
}

/// Runs `f` on columns of a type in all layouts and sizes, with selections of no row, of some
/// and of all.
fn cases(
    bench: &mut Bench,
    types: &[PhysType],
    make: impl Fn(PhysType, usize, Nulls) -> HostColumn,
    mut f: impl FnMut(&mut Bench, PhysType, &Case),
) {
    let device = bench.device_arc();
    for ty in types {
        for (way, (nulls, how)) in WAYS.into_iter().enumerate() {
            for rows in SIZES {
                // Large columns of some types and layouts only: they take a while to make.
                let large = [PhysType::Bool, PhysType::I16, PhysType::I64, PhysType::F64];
                if rows > 6000 && (way > 1 || !large.contains(ty)) {
                    continue;
                }
                // Every type and layout in some sizes, and a type of each width in every size.
                let each = large.contains(ty) || matches!(ty, PhysType::I32 | PhysType::I128);
                if !each && ![0, 1, 33, 257, 5000].contains(&rows) {
                    continue;
                }
                let c = make(*ty, rows, nulls);
                let column = c.upload(&*device, bench.queue(), how);
                for keep in [None, Some(2), Some(0)] {
                    if rows > 6000 && (keep == Some(0) || (keep == Some(2) && way == 0)) {
                        continue;
                    }
                    let mut random = Random(rows as u64 + way as u64);
                    let flags: Option<Vec<u32>> = keep.map(|k| {
                        let flag = |_| (random.below(5) < k) as u32 * 3;
                        (0..rows).map(flag).collect()
                    });
                    let taken = c.values.iter().enumerate().filter_map(|(row, v)| {
                        let counts = flags.as_ref().is_none_or(|f| f[row] != 0);
                        v.filter(|_| counts).map(|v| (row, v))
                    });
                    let taken = taken.collect();
                    let selected = flags.as_ref().map(|f| words(bench, f));
                    f(bench, *ty, &Case { column: column.clone(), rows, selected, taken });
                }
            }
        }
    }
}

impl Case {
    fn context(&self) -> String {
        let selected = self.selected.is_some();
        format!("{} of {} {}, selection: {selected}", self.taken.len(), self.rows, self.column.ty)
    }
}

/// Calls a reduction with a case's arguments.
macro_rules! call {
    ($bench:expr, $f:path, $case:expr) => {{
        let (device, case) = ($bench.device_arc(), $case);
        let mut r = device.pool().reserve(0).unwrap();
        let selected = case.selected.as_ref();
        $f(&*device, $bench.queue(), &mut r, &case.column, case.rows, selected)
    }};
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        PhysType::F64 => f64::from_bits(bits as u64),
        _ if ty.is_signed() => extend(ty, bits) as i128 as f64,
        _ => truncate(ty, bits) as f64,
    }
}

/// Fractions for floats: sums of arbitrary ones are mostly infinite or NaN.
fn fractions(ty: PhysType, rows: usize, nulls: Nulls) -> HostColumn {
    let mut c = column(ty, rows, nulls, 3);
    let fraction = |v: u128| (v as i32 % 100_000) as f32 / 7.0;
    for v in c.values.iter_mut().flatten() {
        match ty {
            PhysType::F32 => *v = u128::from(fraction(*v).to_bits()),
            PhysType::F64 => *v = u128::from(f64::from(fraction(*v)).to_bits()),
            _ => {}
        }
    }
    c
}

fn numbers() -> Vec<PhysType> {
    PhysType::ALL.into_iter().filter(|t| *t != PhysType::Bool).collect()
}

fn sums(target: Target) {
    let mut bench = Bench::new(target);
    let floats = bench.device().info().features.float64;
    let mut merged = Sum { total: Total::Int(0), count: 0 };
    let mut all = (0i128, 0);
    cases(&mut bench, &numbers(), fractions, |bench, ty, case| {
        let got = call!(bench, reduce::sum, case);
        if ty.is_float() && !floats {
            assert!(matches!(got, Err(KernelError::Unsupported { .. })), "{got:?}");
            return;
        }
        let got = got.unwrap();
        assert_eq!(got.count, case.taken.len() as u64, "{}", case.context());
        assert_eq!(got.scalar().is_some(), got.count > 0);
        match got.total {
            Total::Int(sum) => {
                let values = case.taken.iter().map(|(_, v)| extend(ty, *v) as i128);
                let want = values.fold(0, i128::wrapping_add);
                assert_eq!(sum, want, "{}", case.context());
                merged = merged.merge(got).unwrap();
                all = (all.0.wrapping_add(want), all.1 + got.count);
                if got.count > 0 {
                    assert_eq!(got.mean(), Some(sum as f64 / got.count as f64));
                }
            }
            // Higham's bound for sums in any order: n rounding units of the sum of magnitudes.
            Total::Float(sum) => {
                let values = || case.taken.iter().map(|(_, v)| float(ty, *v));
                let want: f64 = values().sum();
                let magnitudes: f64 = values().map(f64::abs).sum();
                let bound = case.rows as f64 * f64::EPSILON * magnitudes;
                assert!((sum - want).abs() <= bound, "{}: {sum}, not {want}", case.context());
                assert_eq!(call!(bench, reduce::sum, case).unwrap(), got, "the same bits again");
            }
        }
    });
    assert_eq!((merged.total, merged.count), (Total::Int(all.0), all.1));
    assert!(merged.merge(Sum { total: Total::Float(0.0), count: 1 }).is_err());
}

fn counts(target: Target) {
    let mut bench = Bench::new(target);
    let make = |ty, rows, nulls| column(ty, rows, nulls, 9);
    let types = [PhysType::Bool, PhysType::I8, PhysType::F64];
    cases(&mut bench, &types, make, |bench, ty, case| {
        let got = call!(bench, reduce::count, case).unwrap();
        assert_eq!(got, case.taken.len() as u64, "{}", case.context());
        let (any, all) = (call!(bench, reduce::any, case), call!(bench, reduce::all, case));
        if ty == PhysType::Bool {
            let values = || case.taken.iter().map(|(_, v)| v & 1 == 1);
            let some = !case.taken.is_empty();
            assert_eq!(any.unwrap(), some.then(|| values().any(|v| v)), "{}", case.context());
            assert_eq!(all.unwrap(), some.then(|| values().all(|v| v)), "{}", case.context());
        } else {
            assert!(matches!(any, Err(KernelError::Invalid { .. })), "{any:?}");
            assert!(matches!(all, Err(KernelError::Invalid { .. })), "{all:?}");
        }
    });
    // Booleans of one kind.
    for bit in [0, 1u128] {
        let c = HostColumn { ty: PhysType::Bool, values: vec![Some(bit); 300] };
        let device = bench.device_arc();
        let column = c.upload(&*device, bench.queue(), Presented::Packed(5));
        let case = Case { column, rows: 300, selected: None, taken: vec![] };
        assert_eq!(call!(bench, reduce::any, &case).unwrap(), Some(bit == 1));
        assert_eq!(call!(bench, reduce::all, &case).unwrap(), Some(bit == 1));
    }
}

/// A signed number in the order of the values; the largest unsigned values of 64 bits fit.
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

fn extremes(target: Target) {
    let mut bench = Bench::new(target);
    // Few values beside the extremes, so that many rows tie.
    let make = |ty, rows, nulls| column(ty, rows, nulls, 4);
    cases(&mut bench, &PhysType::ALL, make, |bench, ty, case| {
        let row_of = |best: Option<&(usize, u128)>| best.map(|(row, v)| (*row as u32, *v));
        // `min_by_key` gives the first of equals, `max_by_key` the last.
        let least = row_of(case.taken.iter().min_by_key(|(_, v)| key(ty, *v)));
        let most = row_of(case.taken.iter().rev().max_by_key(|(_, v)| key(ty, *v)));
        let check = |got: Option<Extreme>, want: Option<(u32, u128)>| {
            assert_eq!(got.map(|e| e.row), want.map(|w| w.0), "{}", case.context());
            if let (Some(got), Some(want)) = (got, want) {
                assert_eq!(got.value.ty(), ty);
                assert_eq!(extend(ty, got.value.bits()), extend(ty, want.1), "{}", case.context());
            }
        };
        check(call!(bench, reduce::min, case).unwrap(), least);
        check(call!(bench, reduce::max, case).unwrap(), most);
        if case.rows < 300 {
            let rows = (call!(bench, reduce::arg_min, case), call!(bench, reduce::arg_max, case));
            assert_eq!(rows.0.unwrap(), least.map(|l| l.0));
            assert_eq!(rows.1.unwrap(), most.map(|m| m.0));
        }
    });
    places(&mut bench);
    // A value's scalar has its sign.
    let c =
        HostColumn { ty: PhysType::I8, values: vec![Some(extend(PhysType::I8, 0xf0)), Some(3)] };
    let device = bench.device_arc();
    for how in [Presented::Packed(0), Presented::Wide] {
        let column = c.upload(&*device, bench.queue(), how);
        let case = Case { column, rows: 2, selected: None, taken: vec![] };
        let least = call!(bench, reduce::min, &case).unwrap().unwrap();
        assert_eq!(least.value, Scalar::Int(PhysType::I8, -16));
    }
}

/// One row that differs from all others, around the edges of threads, blocks and strides.
fn places(bench: &mut Bench) {
    let device = bench.device_arc();
    let rows = 5000;
    for place in (0..rows).step_by(128).flat_map(|p| [p, p + 1, p + 127]).filter(|p| *p < rows) {
        for (value, least) in [(-1, true), (1, false)] {
            let mut c = HostColumn { ty: PhysType::I32, values: vec![Some(0); rows] };
            c.values[place] = Some(extend(PhysType::I32, value as u128));
            let column = c.upload(&*device, bench.queue(), Presented::Wide);
            let case = Case { column, rows, selected: None, taken: vec![] };
            let got = match least {
                true => call!(bench, reduce::arg_min, &case),
                false => call!(bench, reduce::arg_max, &case),
            };
            assert_eq!(got.unwrap(), Some(place as u32));
        }
    }
}

/// Moments by two exact-as-can-be passes.
fn reference(rows: &[(f64, f64)]) -> CoMoments {
    let n = rows.len() as f64;
    let mean_x = rows.iter().map(|r| r.0).sum::<f64>() / n;
    let mean_y = rows.iter().map(|r| r.1).sum::<f64>() / n;
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        rows.iter().map(|(x, y)| f(x - mean_x, y - mean_y)).sum::<f64>()
    };
    CoMoments {
        count: rows.len() as u64,
        mean_x,
        mean_y,
        m2_x: sum(&|x, _| x * x),
        m2_y: sum(&|_, y| y * y),
        c: sum(&|x, y| x * y),
    }
}

/// How far results of up to 140,003 rows may be apart, relative to the sums of magnitudes: the
/// rows times the rounding unit, 3e-11, bounds any order of additions; the means' own rounding
/// adds less.
const CLOSE: f64 = 1e-10;

fn close(got: CoMoments, want: CoMoments, context: &str) {
    assert_eq!(got.count, want.count, "{context}");
    if want.count == 0 {
        assert_eq!(got, CoMoments::default(), "{context}");
        return;
    }
    let n = want.count as f64;
    let scale = |m2: f64, mean: f64| (m2 / n).sqrt() + mean.abs() * 1e-3;
    let (sx, sy) = (scale(want.m2_x, want.mean_x), scale(want.m2_y, want.mean_y));
    let near = |a: f64, b: f64, scale: f64, what: &str| {
        assert!((a - b).abs() <= CLOSE * scale, "{context} {what}: {a}, not {b}");
    };
    near(got.mean_x, want.mean_x, sx, "mean x");
    near(got.mean_y, want.mean_y, sy, "mean y");
    near(got.m2_x, want.m2_x, sx * sx * n, "m2 x");
    near(got.m2_y, want.m2_y, sy * sy * n, "m2 y");
    near(got.c, want.c, sx * sy * n, "c");
}

fn moments(target: Target) {
    let mut bench = Bench::new(target);
    let info = bench.device().info().clone();
    let can = info.backend != Backend::Wgpu || (info.features.float64 && info.features.int64);
    let far = HostColumn {
        ty: PhysType::F64,
        // Far from 0 for their spread: sums of plain squares would cancel to nothing.
        values: (0..1000).map(|i| Some(u128::from((1e9 + f64::from(i % 7)).to_bits()))).collect(),
    };
    let other = fractions(PhysType::I16, 140_003, Nulls::OneIn(5));
    let device = bench.device_arc();
    cases(&mut bench, &numbers(), fractions, |bench, ty, case| {
        let got = call!(bench, reduce::moments, case);
        if !can {
            assert!(matches!(got, Err(KernelError::Unsupported { .. })), "{got:?}");
            return;
        }
        let rows: Vec<_> = case.taken.iter().map(|(_, v)| (float(ty, *v), 0.0)).collect();
        close(got.unwrap().into(), reference(&rows), &case.context());
        let y = HostColumn { ty: other.ty, values: other.values[..case.rows].to_vec() };
        let y_column = y.upload(&*device, bench.queue(), Presented::Packed(3));
        let both = |(row, v): &(usize, u128)| {
            y.values[*row].map(|y| (float(ty, *v), float(PhysType::I16, y)))
        };
        let rows: Vec<_> = case.taken.iter().filter_map(both).collect();
        let mut r = device.pool().reserve(0).unwrap();
        let (q, selected) = (bench.queue(), case.selected.as_ref());
        let (x, y) = (&case.column, &y_column);
        let got = reduce::co_moments(&*device, q, &mut r, x, y, case.rows, selected).unwrap();
        close(got, reference(&rows), &case.context());
    });
    if !can {
        return;
    }
    let column = far.upload(&*device, bench.queue(), Presented::Packed(0));
    let case = Case { column, rows: 1000, selected: None, taken: vec![] };
    let got = call!(bench, reduce::moments, &case).unwrap();
    // 1000 = 142 * 7 + 6: the numbers 0 to 5 come 143 times, 6 142 times.
    let values: Vec<_> = (0..1000).map(|i| (f64::from(i % 7), 0.0)).collect();
    let want = reference(&values);
    assert!((got.mean - 1e9 - want.mean_x).abs() < 1e-6, "{got:?}");
    assert!((got.m2 - want.m2_x).abs() < 1e-6 * want.m2_x, "{got:?}");
    merges(&values);
    moments_of_words(&mut bench);
}

/// Integers in one word at a time, so that no larger number hides what a smaller one is read as.
fn moments_of_words(bench: &mut Bench) {
    let device = bench.device_arc();
    for ty in [PhysType::I32, PhysType::I64, PhysType::U64, PhysType::I128] {
        let bits = ty.packed_bytes().unwrap_or(1) as u32 * 8;
        for shift in (0..bits).step_by(32) {
            let least = if ty.is_signed() { -5 } else { 0 };
            let value = |i: i128| Some(truncate(ty, ((i * 7 % 11 + least) << shift) as u128));
            let c = HostColumn { ty, values: (0..300).map(value).collect() };
            let column = c.upload(&*device, bench.queue(), Presented::Wide);
            let rows: Vec<_> =
                c.values.iter().flatten().map(|v| (float(ty, *v), float(ty, *v))).collect();
            let mut r = device.pool().reserve(0).unwrap();
            let (q, x) = (bench.queue(), &column);
            let got = reduce::co_moments(&*device, q, &mut r, x, x, 300, None).unwrap();
            close(got, reference(&rows), &format!("{ty} from bit {shift}"));
        }
    }
}

/// Parts merge to the whole.
fn merges(rows: &[(f64, f64)]) {
    let rows: Vec<_> = rows.iter().enumerate().map(|(i, r)| (r.0, r.0 * 2.0 + i as f64)).collect();
    let whole = reference(&rows);
    for cut in [0, 1, 400, 1000] {
        let part = |rows: &[(f64, f64)]| match rows {
            [] => CoMoments::default(),
            rows => reference(rows),
        };
        let (a, b) = (part(&rows[..cut]), part(&rows[cut..]));
        close(a.merge(b), whole, "merged");
        let x = a.x().merge(b.x());
        assert!((x.m2 - whole.m2_x).abs() <= CLOSE * whole.m2_x);
        assert_eq!(a.y().merge(b.y()).count, 1000);
    }
    let n = whole.count as f64;
    assert_eq!(whole.covariance(1), Some(whole.c / (n - 1.0)));
    assert_eq!(whole.x().variance(0), Some(whole.m2_x / n));
    assert_eq!(whole.x().standard_deviation(0), Some((whole.m2_x / n).sqrt()));
    let r = whole.correlation().unwrap();
    assert!((-1.0..=1.0).contains(&r));
    let one = reference(&rows[..1]);
    assert_eq!((one.correlation(), one.covariance(1), one.x().variance(1)), (None, None, None));
    assert_eq!(Moments::default().variance(0), None);
}

fn refuses(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let c = column(PhysType::Bool, 9, Nulls::OneIn(2), 1);
    let column = c.upload(&*device, bench.queue(), Presented::Packed(0));
    let short = words(&mut bench, &[1; 4]);
    // More rows than the whole bytes of its bits hold.
    let long = Case { column: column.clone(), rows: 17, selected: None, taken: vec![] };
    let unselected = Case { column: column.clone(), rows: 9, selected: Some(short), taken: vec![] };
    for case in [long, unselected] {
        let errors = [
            call!(bench, reduce::sum, &case).map(|_| ()),
            call!(bench, reduce::count, &case).map(|_| ()),
            call!(bench, reduce::any, &case).map(|_| ()),
            call!(bench, reduce::max, &case).map(|_| ()),
            call!(bench, reduce::arg_min, &case).map(|_| ()),
            call!(bench, reduce::moments, &case).map(|_| ()),
        ];
        for e in errors {
            assert!(matches!(e, Err(KernelError::Invalid { .. })), "{e:?}");
        }
    }
    let bools = Case { column, rows: 9, selected: None, taken: vec![] };
    assert!(matches!(call!(bench, reduce::sum, &bools), Err(KernelError::Invalid { .. })));
    assert!(matches!(call!(bench, reduce::moments, &bools), Err(KernelError::Invalid { .. })));
}
