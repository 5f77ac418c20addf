//! Sorting against Arrow's `lexsort_to_indices`, with the row number as the last key so that
//! ties are determined, and `partition`.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    compute::{SortColumn, SortOptions, lexsort_to_indices, partition, take},
};
use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
};
use proptest::prelude::*;
use windlass_device::DeviceBuffer;
use windlass_kernels::{
    DeviceBatch, KernelError, PhysType, Validity,
    sort::{self, SortKey},
};

conformance::everywhere!(all:
    every_type,
    sizes,
    shapes,
    many_rows,
    wide_keys,
    random,
    first_rows,
    first_rows_of_groups,
    merges,
    bounds,
    bad_arguments,
);

conformance::everywhere!(wgpu_reversed: many_rows, wide_keys, first_rows, merges);

/// Host columns, and the keys over them.
#[derive(Debug, Clone)]
struct Case {
    columns: Vec<HostColumn>,
    keys: Vec<SortKey>,
    how: Presented,
}

fn key(column: usize, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { column, descending, nulls_first }
}

fn ints(ty: PhysType, values: impl IntoIterator<Item = i64>) -> HostColumn {
    let values = values.into_iter().map(|v| Some(v as i128 as u128)).collect();
    HostColumn { ty, values }
}

fn array(c: &HostColumn) -> ArrayRef {
    macro_rules! from {
        ($array:ty, $bits:ident => $value:expr) => {
            Arc::new(c.values.iter().map(|v| v.map(|$bits| $value)).collect::<$array>())
        };
    }
    match c.ty {
        PhysType::Bool => from!(BooleanArray, b => b & 1 == 1),
        PhysType::I8 => from!(Int8Array, b => b as i8),
        PhysType::I16 => from!(Int16Array, b => b as i16),
        PhysType::I32 => from!(Int32Array, b => b as i32),
        PhysType::I64 => from!(Int64Array, b => b as i64),
        PhysType::U8 => from!(UInt8Array, b => b as u8),
        PhysType::U16 => from!(UInt16Array, b => b as u16),
        PhysType::U32 => from!(UInt32Array, b => b as u32),
        PhysType::U64 => from!(UInt64Array, b => b as u64),
        PhysType::F32 => from!(Float32Array, b => f32::from_bits(b as u32)),
        PhysType::F64 => from!(Float64Array, b => f64::from_bits(b as u64)),
        PhysType::I128 => from!(Decimal128Array, b => b as i128),
    }
}

impl Case {
    fn rows(&self) -> usize {
        self.columns[0].rows()
    }

    fn batch(&self, bench: &mut Bench) -> DeviceBatch {
        let device = bench.device_arc();
        let columns = self.columns.iter().map(|c| c.upload(&*device, bench.queue(), self.how));
        DeviceBatch { rows: self.rows(), columns: columns.collect() }
    }

    /// The order by Arrow's sort.
    fn reference(&self) -> Vec<u32> {
        let mut columns: Vec<SortColumn> = self
            .keys
            .iter()
            .map(|k| SortColumn {
                values: array(&self.columns[k.column]),
                options: Some(SortOptions { descending: k.descending, nulls_first: k.nulls_first }),
            })
            .collect();
        let rows: UInt32Array = (0..self.rows() as u32).collect();
        columns.push(SortColumn { values: Arc::new(rows), options: None });
        lexsort_to_indices(&columns, None).unwrap().values().to_vec()
    }

    /// 1 where the rows of `order` differ in one of `columns` from the row before.
    fn bounds(&self, columns: &[usize], order: &[u32]) -> Vec<u32> {
        let mut flags = vec![0; order.len()];
        let indices = UInt32Array::from(order.to_vec());
        let sorted: Vec<ArrayRef> = columns
            .iter()
            .map(|c| take(&array(&self.columns[*c]), &indices, None).unwrap())
            .collect();
        match sorted.is_empty() || order.is_empty() {
            true => flags.iter_mut().take(1).for_each(|f| *f = 1),
            false => partition(&sorted).unwrap().ranges().iter().for_each(|r| flags[r.start] = 1),
        }
        flags
    }

    fn check(&self, bench: &mut Bench, what: &str) {
        let got = self.sorted(bench);
        let want = self.reference();
        if let Some(i) = (0..want.len()).find(|i| got[*i] != want[*i]) {
            let row = |r: u32| -> Vec<_> {
                let values = self.columns.iter().map(|c| c.values.get(r as usize));
                values.map(|v| v.map(|v| v.map(|v| format!("{v:#x}")))).collect()
            };
            panic!(
                "{what}, {:?}, keys {:?}, {} rows: place {i} has row {} {:?}, expected {} {:?}",
                self.how,
                self.keys,
                self.rows(),
                got[i],
                row(got[i]),
                want[i],
                row(want[i])
            );
        }
    }

    fn sorted(&self, bench: &mut Bench) -> Vec<u32> {
        let batch = self.batch(bench);
        let device = bench.device_arc();
        let mut r = device.pool().reserve(0).unwrap();
        let order =
            sort::sort_indices(&*device, bench.queue(), &mut r, &batch, &self.keys).unwrap();
        words(bench, &order, self.rows())
    }
}

fn words(bench: &mut Bench, buffer: &DeviceBuffer, n: usize) -> Vec<u32> {
    let mut out = vec![0u32; n];
    bench.queue().download(buffer, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

/// All directions and places of nulls; extremes of each type, NaNs and negative zeros.
fn every_type(target: Target) {
    let mut bench = Bench::new(target);
    for (i, ty) in PhysType::ALL.into_iter().enumerate() {
        for (j, nulls) in [Nulls::None, Nulls::OneIn(5), Nulls::All].into_iter().enumerate() {
            let mut column = data::column(ty, 300, nulls, 7 + i as u64);
            if nulls != Nulls::All {
                column.values.extend(data::extremes(ty).into_iter().map(Some));
            }
            if ty == PhysType::F64 && nulls == Nulls::None {
                let nans = [0x7ff8_0000_0000_0001, 0xfff0_0000_0000_0001, 0xffff_ffff_ffff_ffff];
                column.values.extend(nans.map(Some));
            }
            let how = match (i + j) % 3 {
                0 => Presented::Packed(0),
                1 => Presented::Packed(5),
                _ => Presented::Wide,
            };
            let directions = [(false, false), (false, true), (true, false), (true, true)];
            for (descending, nulls_first) in directions {
                if nulls != Nulls::OneIn(5) && nulls_first {
                    continue;
                }
                let keys = vec![key(0, descending, nulls_first)];
                let case = Case { columns: vec![column.clone()], keys, how };
                case.check(&mut bench, &format!("{ty}, nulls {nulls:?}"));
            }
        }
    }
}

/// Sizes around a warp, a block and the tiles of both languages.
fn sizes(target: Target) {
    let mut bench = Bench::new(target);
    for n in [0, 1, 2, 31, 32, 33, 65, 255, 256, 257, 2047, 2048, 2049, 4095, 4096, 4097, 9000] {
        let seed = n as u64;
        let columns = vec![
            data::column(PhysType::I16, n, Nulls::OneIn(4), seed),
            data::column(PhysType::U32, n, Nulls::None, seed + 1),
        ];
        let how = if n % 2 == 0 { Presented::Wide } else { Presented::Packed(3) };
        let keys = vec![key(0, true, true), key(1, false, false)];
        Case { columns, keys, how }.check(&mut bench, "sizes");
    }
}

/// Sorted, reversed, equal, skewed and constant keys; no keys.
fn shapes(target: Target) {
    let mut bench = Bench::new(target);
    let n = 5000i64;
    let mut random = Random(3);
    let shapes = [
        ints(PhysType::I64, 0..n),
        ints(PhysType::I64, (0..n).rev()),
        ints(PhysType::I64, (0..n).map(|_| -7)),
        ints(PhysType::I64, (0..n).map(|i| if i % 1000 == 999 { i } else { 42 })),
        ints(PhysType::I64, (0..n).map(|i| i / 100)),
        ints(PhysType::I64, (0..n).map(|i| -i / 100)),
        ints(PhysType::I64, (0..n).map(|i| ((i % 2) << 40) | 5)),
        ints(PhysType::I64, (0..n).map(|_| 1 << (random.bits() % 63))),
    ];
    for (i, column) in shapes.into_iter().enumerate() {
        for descending in [false, true] {
            let keys = vec![key(0, descending, false)];
            let case = Case { columns: vec![column.clone()], keys, how: Presented::Packed(0) };
            case.check(&mut bench, &format!("shape {i}"));
        }
    }
    let columns = vec![ints(PhysType::I8, [3, 1, 2])];
    Case { columns, keys: vec![], how: Presented::Wide }.check(&mut bench, "no keys");
}

/// More tiles than one tile of the scan of their counts.
fn many_rows(target: Target) {
    let mut bench = Bench::new(target);
    let n = if target.is_wgsl() { 300_000 } else { 50_000 };
    let mut random = Random(11);
    let columns = vec![HostColumn {
        ty: PhysType::U32,
        values: (0..n).map(|_| Some(u128::from(random.bits() as u32 >> 12))).collect(),
    }];
    let keys = vec![key(0, false, false)];
    Case { columns, keys, how: Presented::Packed(0) }.check(&mut bench, "many rows");
}

/// Keys of more bits than any one integer has; the first of them tie often.
fn wide_keys(target: Target) {
    let mut bench = Bench::new(target);
    let types = [PhysType::U8, PhysType::I128, PhysType::F64, PhysType::I128, PhysType::I32];
    let columns: Vec<HostColumn> = types
        .into_iter()
        .zip(1..)
        .map(|(ty, seed)| data::column(ty, 1500, Nulls::OneIn(6), seed))
        .collect();
    let mut tied = columns.clone();
    for c in &mut tied[..3] {
        let few: Vec<_> = c.values[..2].to_vec();
        c.values.iter_mut().enumerate().for_each(|(i, v)| *v = few[i / 3 % 2]);
    }
    for columns in [columns, tied] {
        let keys: Vec<SortKey> = (0..5).map(|c| key(c, c % 2 == 1, c % 3 == 0)).collect();
        Case { columns, keys, how: Presented::Packed(1) }.check(&mut bench, "wide keys");
    }
}

/// Columns of any types, with few or many values, and keys over them in any order.
fn cases() -> impl Strategy<Value = Case> {
    let column = (0..12usize, 0..3usize, any::<u64>(), any::<bool>());
    let keys = prop::collection::vec((0..4usize, any::<bool>(), any::<bool>()), 1..5);
    let columns = prop::collection::vec(column, 4);
    (0..700usize, columns, keys, 0..9u32).prop_map(|(rows, columns, keys, how)| {
        let columns = columns.into_iter().map(|(ty, nulls, seed, few)| {
            let nulls = [Nulls::None, Nulls::OneIn(3), Nulls::All][nulls];
            let mut c = data::column(PhysType::ALL[ty], rows, nulls, seed);
            if few {
                let values = c.values.clone();
                c.values.iter_mut().enumerate().for_each(|(i, v)| *v = values[i * 7 % 13 % rows]);
            }
            c
        });
        Case {
            columns: columns.collect(),
            keys: keys.into_iter().map(|(c, d, f)| key(c, d, f)).collect(),
            how: if how == 8 { Presented::Wide } else { Presented::Packed(how) },
        }
    })
}

/// Runs `test` on pseudo-random cases: many where they are cheap.
fn on_cases(target: Target, test: impl Fn(&Case, &mut Bench)) {
    let cases_of = if target == Target::Cpu { 200 } else { 12 };
    let mut bench = Bench::new(target);
    let config =
        ProptestConfig { cases: cases_of, failure_persistence: None, ..ProptestConfig::default() };
    let bench = std::cell::RefCell::new(&mut bench);
    proptest!(config, |(case in cases())| {
        test(&case, &mut bench.borrow_mut());
    });
}

fn random(target: Target) {
    on_cases(target, |case, bench| case.check(bench, "random"));
}

fn check_top(case: &Case, bench: &mut Bench, k: usize) {
    let batch = case.batch(bench);
    let device = bench.device_arc();
    let mut r = device.pool().reserve(0).unwrap();
    let (rows, n) = sort::top_k(&*device, bench.queue(), &mut r, &batch, &case.keys, k).unwrap();
    assert_eq!(n, k.min(case.rows()));
    let got = words(bench, &rows, n);
    assert!(got == case.reference()[..n], "first {k} of {} rows by {:?}", case.rows(), case.keys);
}

/// No rows, some, a fourth, all, more than there are; ties that one word or several leave.
fn first_rows(target: Target) {
    on_cases(target, |case, bench| check_top(case, bench, case.rows() / 7));
    let mut bench = Bench::new(target);
    let n = 40_000i64;
    let mut random = Random(5);
    let columns = vec![
        ints(PhysType::U32, (0..n).map(|_| random.bits() as u32 as i64)),
        ints(PhysType::I64, (0..n).map(|i| i * 31 % 7)),
        ints(PhysType::I64, (0..n).map(|i| ((i % 3) << 60) | ((i * 17 % 50) << 33) | 1)),
        data::column(PhysType::I128, n as usize, Nulls::OneIn(100), 8),
        ints(PhysType::I128, (0..n).map(|i| if i % 50 == 0 { i % 4 } else { 9 })),
        data::column(PhysType::F64, n as usize, Nulls::OneIn(2), 9),
    ];
    let orders = [
        vec![key(0, false, false)],
        vec![key(0, true, false)],
        vec![key(1, false, false)],
        vec![key(1, true, false), key(2, false, false)],
        vec![key(2, true, true), key(0, true, true)],
        vec![key(4, false, false), key(3, false, true), key(5, true, true)],
        vec![key(5, false, true), key(3, true, true)],
    ];
    for keys in orders {
        let case = Case { columns: columns.clone(), keys, how: Presented::Packed(2) };
        for k in [10, 9000] {
            check_top(&case, &mut bench, k);
        }
    }
    let case = Case {
        columns: columns[..1].to_vec(),
        keys: vec![key(0, false, false)],
        how: Presented::Packed(0),
    };
    for k in [0, 1, n as usize / 4, n as usize - 1, n as usize, n as usize + 5, usize::MAX] {
        check_top(&case, &mut bench, k);
    }
    let columns = vec![ints(PhysType::I8, [])];
    check_top(&Case { columns, ..case }, &mut bench, 3);
}

fn check_groups(case: &Case, bench: &mut Bench, groups: usize, k: usize) {
    let (batch, device) = (case.batch(bench), bench.device_arc());
    let mut r = device.pool().reserve(0).unwrap();
    let (group_keys, keys) = case.keys.split_at(groups);
    let groups: Vec<usize> = group_keys.iter().map(|k| k.column).collect();
    let (rows, n) =
        sort::top_k_per_group(&*device, bench.queue(), &mut r, &batch, group_keys, keys, k)
            .unwrap();
    let got = words(bench, &rows, n);
    let order = case.reference();
    let (mut want, mut rank) = (Vec::new(), 0);
    for (row, flag) in order.iter().zip(case.bounds(&groups, &order)) {
        rank = if flag == 1 { 0 } else { rank + 1 };
        if rank < k {
            want.push(*row);
        }
    }
    assert!(got == want, "{k} rows of groups by {groups:?}, {keys:?}, {} rows", case.rows());
}

fn first_rows_of_groups(target: Target) {
    on_cases(target, |case, bench| {
        let groups = case.keys.len() / 2;
        check_groups(case, bench, groups, 3);
    });
    let mut bench = Bench::new(target);
    let n = 20_000i64;
    let columns = vec![
        ints(PhysType::I32, (0..n).map(|i| (i * i) % 251 - 9)),
        data::column(PhysType::Bool, n as usize, Nulls::OneIn(3), 4),
        data::column(PhysType::F32, n as usize, Nulls::OneIn(9), 5),
    ];
    let keys = vec![key(0, false, false), key(1, false, false), key(2, true, false)];
    let case = Case { columns, keys, how: Presented::Packed(6) };
    for (groups, k) in [(2, 2), (1, 30), (2, 0), (2, 100_000), (0, 5)] {
        check_groups(&case, &mut bench, groups, k);
    }
    // Keys of groups that are far apart, in few groups and in many; wide orders, and rows that
    // come with the last of each group first.
    let far = |m: i64| ints(PhysType::I64, (0..n).map(move |i| (i * 7919 % m) << 40 | 1));
    let columns = vec![
        far(97),
        far(9_000),
        ints(PhysType::I64, (0..n).map(|i| -i)),
        data::column(PhysType::F64, n as usize, Nulls::OneIn(9), 6),
        data::column(PhysType::I128, n as usize, Nulls::OneIn(9), 7),
    ];
    for (group, order) in [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4)] {
        for descending in [false, true] {
            let keys = vec![key(group, descending, true), key(order, !descending, false)];
            let case = Case { columns: columns.clone(), keys, how: Presented::Packed(0) };
            for k in [1, 5, 33] {
                check_groups(&case, &mut bench, 1, k);
            }
        }
    }
}

/// Sorts each run by itself, then merges.
fn check_merge(case: &Case, bench: &mut Bench, runs: &[usize]) {
    let mut case = case.clone();
    let mut start = 0;
    for run in runs {
        let part = Case {
            columns: case
                .columns
                .iter()
                .map(|c| HostColumn { ty: c.ty, values: c.values[start..start + run].to_vec() })
                .collect(),
            ..case.clone()
        };
        let order = part.reference();
        for (c, p) in case.columns.iter_mut().zip(&part.columns) {
            for (i, row) in order.iter().enumerate() {
                c.values[start + i] = p.values[*row as usize];
            }
        }
        start += run;
    }
    let (batch, device) = (case.batch(bench), bench.device_arc());
    let mut r = device.pool().reserve(0).unwrap();
    let order = sort::merge(&*device, bench.queue(), &mut r, &batch, runs, &case.keys).unwrap();
    let got = words(bench, &order, case.rows());
    assert!(got == case.reference(), "runs {runs:?} by {:?}", case.keys);
}

/// One run, two, many, empty ones, of lengths that differ much.
fn merges(target: Target) {
    on_cases(target, |case, bench| {
        let n = case.rows();
        let some = n / 3;
        check_merge(case, bench, &[some, 0, n - some]);
    });
    let mut bench = Bench::new(target);
    let n = 24_000;
    let columns = vec![
        data::column(PhysType::I64, n, Nulls::OneIn(50), 1),
        data::column(PhysType::U16, n, Nulls::None, 2),
        data::column(PhysType::I128, n, Nulls::OneIn(3), 3),
    ];
    let narrow = vec![key(1, true, false)];
    let wide = vec![key(1, false, false), key(2, true, true), key(0, false, true)];
    for keys in [narrow, vec![key(0, false, true)], wide] {
        let case = Case { columns: columns.clone(), keys, how: Presented::Packed(0) };
        for runs in [
            vec![n / 2, n - n / 2],
            vec![1, n - 2, 1],
            vec![0, 5, 17_000, 0, 7, n - 17_012, 0],
            vec![n / 5; 5],
            vec![n / 100; 100],
        ] {
            check_merge(&case, &mut bench, &runs);
        }
    }
    // A run that is not sorted: row numbers, whichever, and no fault.
    let case = Case {
        columns: columns[..1].to_vec(),
        keys: vec![key(0, false, false)],
        how: Presented::Wide,
    };
    let (batch, device) = (case.batch(&mut bench), bench.device_arc());
    let mut r = device.pool().reserve(0).unwrap();
    let runs = [n / 2, n - n / 2];
    let order = sort::merge(&*device, bench.queue(), &mut r, &batch, &runs, &case.keys).unwrap();
    assert!(words(&mut bench, &order, n).iter().all(|row| (*row as usize) < n));
}

fn check_bounds(case: &Case, bench: &mut Bench) {
    let order = case.reference();
    let mut sorted = case.clone();
    for (c, from) in sorted.columns.iter_mut().zip(&case.columns) {
        c.values = order.iter().map(|row| from.values[*row as usize]).collect();
    }
    let (batch, device) = (sorted.batch(bench), bench.device_arc());
    let mut r = device.pool().reserve(0).unwrap();
    let flags = sort::boundaries(&*device, bench.queue(), &mut r, &batch, &case.keys).unwrap();
    let columns: Vec<usize> = case.keys.iter().map(|k| k.column).collect();
    let got = words(bench, &flags, case.rows());
    assert!(got == case.bounds(&columns, &order), "bounds by {:?}", case.keys);
}

fn bounds(target: Target) {
    on_cases(target, check_bounds);
    let mut bench = Bench::new(target);
    let columns = vec![
        ints(PhysType::I8, (0..20_000).map(|i| i * 31 % 5)),
        data::column(PhysType::F64, 20_000, Nulls::OneIn(3), 6),
    ];
    for keys in [vec![], vec![key(0, false, false)], vec![key(1, true, true), key(0, true, false)]]
    {
        let case = Case { columns: columns.clone(), keys, how: Presented::Packed(7) };
        check_bounds(&case, &mut bench);
    }
}

/// Columns that are missing, too short or elsewhere, and runs that do not fit.
fn bad_arguments(target: Target) {
    let mut bench = Bench::new(target);
    let columns = vec![
        data::column(PhysType::I32, 100, Nulls::OneIn(3), 1),
        data::column(PhysType::Bool, 100, Nulls::OneIn(3), 2),
    ];
    let case = Case { columns, keys: vec![], how: Presented::Packed(1) };
    let (good, device) = (case.batch(&mut bench), bench.device_arc());
    let mut wide = case.clone();
    wide.how = Presented::Wide;
    let wide = wide.batch(&mut bench);
    let short = |batch: &DeviceBatch| DeviceBatch { rows: 133, ..batch.clone() };
    let mut offset = good.clone();
    offset.columns[1].bit_offset = 8;
    let mut nulls = good.clone();
    nulls.columns[0].validity = Validity::Words(good.columns[1].values.clone());
    let elsewhere = {
        let other = if target == Target::Cpu { Target::Emulated } else { Target::Cpu };
        case.batch(&mut Bench::new(other))
    };
    let rows = DeviceBatch { rows: 1 << 31, ..good.clone() };
    let bad = [
        (&good, 2),
        (&short(&good), 0),
        (&short(&good), 1),
        (&short(&wide), 0),
        (&short(&wide), 1),
        (&offset, 1),
        (&nulls, 0),
        (&elsewhere, 0),
        (&rows, 0),
    ];
    let mut r = device.pool().reserve(0).unwrap();
    let (d, q) = (&*device, bench.queue());
    for (i, (batch, column)) in bad.into_iter().enumerate() {
        let keys = [key(column, false, false)];
        let results = [
            sort::sort_indices(d, q, &mut r, batch, &keys).map(|_| ()),
            sort::top_k(d, q, &mut r, batch, &keys, 3).map(|_| ()),
            sort::top_k_per_group(d, q, &mut r, batch, &keys, &keys, 3).map(|_| ()),
            sort::merge(d, q, &mut r, batch, &[batch.rows], &keys).map(|_| ()),
            sort::boundaries(d, q, &mut r, batch, &keys).map(|_| ()),
        ];
        for e in results {
            let e = e.expect_err(&format!("case {i}"));
            assert!(matches!(e, KernelError::Invalid { .. }), "case {i}: {e}");
            let text = e.to_string();
            assert!(text.contains("expected") && text.contains("got"), "{text}");
        }
    }
    for runs in [&[50, 49][..], &[100, 1], &[usize::MAX, 101], &[]] {
        let e = sort::merge(d, q, &mut r, &good, runs, &[key(0, false, false)]).unwrap_err();
        assert!(matches!(e, KernelError::Invalid { operation: "merge", .. }), "{e}");
    }
}
