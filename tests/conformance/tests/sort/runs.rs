//! The first rows of all and of each group, merges of sorted runs, and the bounds of equal rows.

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
};
use windlass_kernels::{PhysType, sort};

use crate::case::{Case, ints, key, on_cases, words};

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
pub(crate) fn first_rows(target: Target) {
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

pub(crate) fn first_rows_of_groups(target: Target) {
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
pub(crate) fn merges(target: Target) {
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

pub(crate) fn bounds(target: Target) {
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
