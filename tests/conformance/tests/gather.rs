//! Gather, scatter, concat, slice and widen against plain loops over host columns.

use std::cell::RefCell;

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
    host::extend,
};
use proptest::prelude::*;
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{DeviceBatch, KernelError, PhysType, Storage, Validity, gather};

conformance::everywhere!(all: gathers, gathers_many, scatters, concats, slices, widens, refuses, random);
conformance::everywhere!(wgpu_reversed: gathers_many, scatters, concats, widens, refuses);

/// Sizes around a word of bits, a warp and a block.
const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 63, 64, 65, 255, 257, 600, 1025];

/// Layouts and nulls.
const WAYS: [(Nulls, Presented); 6] = [
    (Nulls::OneIn(4), Presented::Packed(6)),
    (Nulls::None, Presented::Packed(3)),
    (Nulls::All, Presented::Packed(0)),
    (Nulls::OneIn(3), Presented::Wide),
    (Nulls::None, Presented::Wide),
    (Nulls::All, Presented::Wide),
];

/// A column of each type.
fn columns(rows: usize, nulls: Nulls, seed: u64) -> Vec<HostColumn> {
    let column = |(i, ty): (usize, &PhysType)| {
        let mut c = data::column(*ty, rows, nulls, seed * 100 + i as u64);
        c.values.iter_mut().flatten().for_each(|v| *v = extend(*ty, *v));
        c
    };
    PhysType::ALL.iter().enumerate().map(column).collect()
}

/// Words in device memory, with `more` words after them that nothing may read.
fn words(bench: &mut Bench, words: &[u32], more: usize) -> DeviceBuffer {
    let device = bench.device_arc();
    let all = [words, &vec![0x5A5A_5A5A; more]].concat();
    let mut r = device.pool().reserve(all.len() * 4).unwrap();
    let b = device.alloc(&mut r, all.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(&all)).unwrap();
    b
}

fn upload(bench: &mut Bench, columns: &[HostColumn], how: Presented) -> DeviceBatch {
    let device = bench.device_arc();
    let rows = columns.first().map_or(0, HostColumn::rows);
    let upload = |c: &HostColumn| c.upload(&*device, bench.queue(), how);
    DeviceBatch { rows, columns: columns.iter().map(upload).collect() }
}

/// Compares a result with what it should be, and its layout with the device's.
fn same(bench: &mut Bench, got: &DeviceBatch, want: &[HostColumn], context: &str) {
    let cpu = bench.device().info().backend == Backend::Cpu;
    assert_eq!(got.columns.len(), want.len());
    for (c, want) in got.columns.iter().zip(want) {
        assert_eq!(c.storage, if cpu { Storage::Packed } else { Storage::Wide }, "{context}");
        match (&c.validity, cpu) {
            (Validity::All, _) | (Validity::Bits { .. }, true) | (Validity::Words(_), false) => {}
            (v, _) => panic!("{context}: {v:?}"),
        }
        same_values(bench, c, got.rows, want, context);
    }
}

fn same_values(
    bench: &mut Bench,
    c: &windlass_kernels::DeviceColumn,
    rows: usize,
    want: &HostColumn,
    context: &str,
) {
    assert_eq!((rows, c.ty), (want.rows(), want.ty), "{context}");
    let read = HostColumn::download(bench.queue(), c, rows);
    for (row, (got, want)) in read.values.iter().zip(&want.values).enumerate() {
        assert_eq!(got, want, "{context}: {} row {row}", c.ty);
    }
}

fn pick(c: &HostColumn, indices: &[u32]) -> HostColumn {
    let values = indices.iter().map(|i| c.values.get(*i as usize).copied().flatten()).collect();
    HostColumn { ty: c.ty, values }
}

fn check_gather(bench: &mut Bench, from: &[HostColumn], how: Presented, indices: &[u32]) {
    let device = bench.device_arc();
    let missing = indices.contains(&u32::MAX);
    let batch = upload(bench, from, how);
    let buffer = words(bench, indices, 2);
    let mut r = device.pool().reserve(0).unwrap();
    let n = indices.len();
    let got = gather::gather(&*device, bench.queue(), &mut r, &batch, &buffer, n, missing).unwrap();
    assert_eq!(got.rows, n);
    for (c, from) in got.columns.iter().zip(&batch.columns) {
        assert_eq!(c.nullable(), missing || from.nullable());
    }
    let want: Vec<_> = from.iter().map(|c| pick(c, indices)).collect();
    same(bench, &got, &want, &format!("{n} of {} rows, {how:?}", batch.rows));
}

fn gathers(target: Target) {
    let mut bench = Bench::new(target);
    for (nulls, how) in WAYS {
        for n in SIZES {
            let mut random = Random(n as u64);
            let from = columns(71, nulls, n as u64);
            let mut indices: Vec<u32> = (0..n).map(|_| random.below(71) as u32).collect();
            check_gather(&mut bench, &from, how, &indices);
            indices.iter_mut().filter(|i| **i % 5 == 0).for_each(|i| *i = u32::MAX);
            check_gather(&mut bench, &from, how, &indices);
        }
        let empty = columns(0, nulls, 1);
        check_gather(&mut bench, &empty, how, &[u32::MAX; 40]);
        check_gather(&mut bench, &empty, how, &[]);
    }
}

/// More rows than one piece of the twin has, in order, in reverse and all the same.
fn gathers_many(target: Target) {
    let mut bench = Bench::new(target);
    let rows = 70_001;
    let types = [PhysType::Bool, PhysType::I16, PhysType::I64, PhysType::I128];
    let from: Vec<_> = types
        .iter()
        .map(|ty| {
            let mut c = data::column(*ty, rows, Nulls::OneIn(9), 5);
            c.values.iter_mut().flatten().for_each(|v| *v = extend(*ty, *v));
            c
        })
        .collect();
    let rows = rows as u32;
    let orders: [Vec<u32>; 3] = [
        (0..rows).chain([u32::MAX]).collect(),
        (0..rows).rev().chain(0..rows).collect(),
        vec![rows - 1; 66_000],
    ];
    for indices in orders {
        check_gather(&mut bench, &from, Presented::Packed(7), &indices);
    }
}

fn check_scatter(
    bench: &mut Bench,
    from: &[HostColumn],
    how: Presented,
    places: &[u32],
    rows: usize,
) {
    let device = bench.device_arc();
    let batch = upload(bench, from, how);
    let buffer = words(bench, places, 1);
    let mut sources = vec![u32::MAX; rows];
    for (row, place) in places.iter().enumerate().filter(|(_, p)| **p != u32::MAX) {
        sources[*place as usize] = row as u32;
    }
    let complete = !sources.contains(&u32::MAX);
    let mut r = device.pool().reserve(0).unwrap();
    let got = gather::scatter(&*device, bench.queue(), &mut r, &batch, &buffer, rows, complete);
    let want: Vec<_> = from.iter().map(|c| pick(c, &sources)).collect();
    same(bench, &got.unwrap(), &want, &format!("{} to {rows} rows, {how:?}", batch.rows));
}

fn scatters(target: Target) {
    let mut bench = Bench::new(target);
    for (nulls, how) in [WAYS[0], WAYS[1], WAYS[4]] {
        for n in [0, 1, 33, 257, 600] {
            let from = columns(n, nulls, n as u64);
            let mut random = Random(3);
            let mut places: Vec<u32> = (0..n as u32).collect();
            for i in (1..n).rev() {
                places.swap(i, random.below(i + 1));
            }
            check_scatter(&mut bench, &from, how, &places, n);
            // Rows left out, and places that no row goes to.
            places.iter_mut().filter(|p| **p % 7 == 3).for_each(|p| *p = u32::MAX);
            check_scatter(&mut bench, &from, how, &places, n + 40);
        }
    }
    let n = 70_000u32;
    let from = [data::column(PhysType::U32, n as usize, Nulls::OneIn(5), 1)];
    let places: Vec<u32> = (0..n).map(|i| (i * 3) % n).collect();
    check_scatter(&mut bench, &from, Presented::Packed(0), &places, n as usize);
}

fn concats(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let parts = |i: usize, rows: usize| {
        let (nulls, how) = WAYS[i];
        (columns(rows, nulls, i as u64), how)
    };
    for list in [
        vec![parts(0, 33), parts(3, 257), parts(4, 0), parts(1, 65), parts(2, 31)],
        vec![parts(1, 64), parts(4, 64), parts(1, 1)],
        vec![parts(0, 0), parts(3, 0)],
        vec![parts(4, 300), parts(3, 1)],
        vec![parts(1, 70_000), parts(0, 3), parts(4, 100)],
    ] {
        let batches: Vec<_> = list.iter().map(|(c, how)| upload(&mut bench, c, *how)).collect();
        let mut r = device.pool().reserve(0).unwrap();
        let got = gather::concat(&*device, bench.queue(), &mut r, &batches).unwrap();
        let want: Vec<_> = PhysType::ALL
            .iter()
            .enumerate()
            .map(|(i, ty)| {
                let values = list.iter().flat_map(|(c, _)| c[i].values.clone()).collect();
                HostColumn { ty: *ty, values }
            })
            .collect();
        same(&mut bench, &got, &want, &format!("{} batches", list.len()));
        let one = gather::concat(&*device, bench.queue(), &mut r, &batches[..1]).unwrap();
        for (c, want) in one.columns.iter().zip(&list[0].0) {
            same_values(&mut bench, c, one.rows, want, "one batch");
        }
    }
}

fn slices(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let rows = 301;
    for (i, (nulls, how)) in WAYS.into_iter().enumerate() {
        let from = columns(rows, nulls, i as u64);
        let batch = upload(&mut bench, &from, how);
        for (offset, n) in [(0, 0), (0, 301), (0, 7), (1, 300), (5, 64), (37, 200), (301, 0)] {
            let mut r = device.pool().reserve(0).unwrap();
            let got = gather::slice(&*device, bench.queue(), &mut r, &batch, offset, n).unwrap();
            for (c, from) in got.columns.iter().zip(&from) {
                let values = from.values[offset..offset + n].to_vec();
                let want = HostColumn { ty: from.ty, values };
                same_values(&mut bench, c, got.rows, &want, &format!("{n} rows from {offset}"));
            }
            // A slice of the slice.
            if n > 9 {
                let got = gather::slice(&*device, bench.queue(), &mut r, &got, 9, n - 9).unwrap();
                let values = from[0].values[offset + 9..offset + n].to_vec();
                let want = HostColumn { ty: from[0].ty, values };
                same_values(&mut bench, &got.columns[0], got.rows, &want, "twice");
            }
        }
    }
}

fn widens(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for (i, (nulls, how)) in WAYS.into_iter().enumerate() {
        for rows in [0, 1, 33, 257] {
            let from = columns(rows, nulls, i as u64);
            let batch = upload(&mut bench, &from, how);
            for (c, want) in batch.columns.iter().zip(&from) {
                let mut r = device.pool().reserve(0).unwrap();
                let got = gather::widen(&*device, bench.queue(), &mut r, c, rows).unwrap();
                assert_eq!((got.storage, got.bit_offset), (Storage::Wide, 0));
                assert!(!matches!(got.validity, Validity::Bits { .. }));
                assert_eq!(got.nullable(), c.nullable());
                same_values(&mut bench, &got, rows, want, "widened");
            }
        }
    }
}

/// Every argument that does not fit is refused; nothing is read outside a buffer.
fn refuses(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let cpu = target == Target::Cpu;
    let batch = upload(&mut bench, &columns(10, Nulls::OneIn(2), 1), Presented::Packed(0));
    let empty = upload(&mut bench, &columns(0, Nulls::None, 1), Presented::Packed(0));
    let indices = words(&mut bench, &[1, 2, 10], 0);
    let mut r = device.pool().reserve(0).unwrap();
    let q = bench.queue();
    let invalid = |r: Result<DeviceBatch, KernelError>, operation: &str| match r {
        Err(KernelError::Invalid { operation: o, expected, got }) => {
            assert_eq!(o, operation);
            assert!(!expected.is_empty() && !got.is_empty());
        }
        other => panic!("{operation}: {other:?}"),
    };
    let (d, b, i) = (&*device, &batch, &indices);
    invalid(gather::gather(d, q, &mut r, b, i, 4, false), "gather");
    invalid(gather::gather(d, q, &mut r, &empty, i, 1, false), "gather");
    invalid(gather::gather(d, q, &mut r, b, i, 1 << 31, false), "gather");
    let long = DeviceBatch { rows: 11, columns: batch.columns.clone() };
    invalid(gather::gather(d, q, &mut r, &long, i, 1, false), "gather");
    invalid(gather::slice(d, q, &mut r, b, 5, 6), "slice");
    invalid(gather::slice(d, q, &mut r, b, usize::MAX, 2), "slice");
    invalid(gather::concat(d, q, &mut r, &[]), "concat");
    let fewer = DeviceBatch { rows: 10, columns: batch.columns[1..].to_vec() };
    invalid(gather::concat(d, q, &mut r, &[batch.clone(), fewer]), "concat");
    let widened = gather::widen(d, q, &mut r, &batch.columns[0], 99);
    assert!(matches!(widened, Err(KernelError::Invalid { .. })));
    invalid(gather::scatter(d, q, &mut r, b, i, 10, false), "scatter");
    // Row 10 is not there: `cpu` says so, a GPU gives a null.
    let outside = gather::gather(d, q, &mut r, b, i, 3, true);
    let few = DeviceBatch { rows: 3, columns: batch.columns.clone() };
    let scattered = gather::scatter(d, q, &mut r, &few, i, 5, false);
    if cpu {
        invalid(outside, "gather");
        invalid(scattered, "scatter");
        let other = Target::Emulated.open();
        let mut r = other.pool().reserve(0).unwrap();
        let mut q = other.queue().unwrap();
        invalid(gather::gather(&*other, &mut *q, &mut r, b, i, 3, true), "gather");
    } else {
        let (outside, scattered) = (outside.unwrap(), scattered.unwrap());
        let read = HostColumn::download(bench.queue(), &outside.columns[3], 3);
        assert_eq!(read.values[2], None);
        let read = HostColumn::download(bench.queue(), &scattered.columns[3], 5);
        assert_eq!([read.values[0], read.values[3], read.values[4]], [None; 3]);
        // Nor is the first row past the end.
        let q = bench.queue();
        let scattered = gather::scatter(d, q, &mut r, &few, i, 10, false).unwrap();
        let read = HostColumn::download(bench.queue(), &scattered.columns[3], 10);
        assert!([0, 3, 4, 5, 6, 7, 8, 9].iter().all(|row: &usize| read.values[*row].is_none()));
    }
}

fn random(target: Target) {
    let bench = RefCell::new(Bench::new(target));
    let cases = if target == Target::Cpu { 64 } else { 12 };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let way = (0..WAYS.len(), 0..PhysType::ALL.len(), any::<u64>());
    let strategy = (proptest::collection::vec(way, 1..4), 1..400usize, 0..700usize, any::<u64>());
    proptest!(config, |((ways, rows, n, seed) in strategy)| {
        let mut random = Random(seed);
        let how = WAYS[ways[0].0].1;
        let from: Vec<_> = ways
            .iter()
            .map(|(way, ty, seed)| {
                let ty = PhysType::ALL[*ty];
                let mut c = data::column(ty, rows, WAYS[*way].0, *seed);
                c.values.iter_mut().flatten().for_each(|v| *v = extend(ty, *v));
                c
            })
            .collect();
        let indices: Vec<u32> = (0..n)
            .map(|_| match random.below(rows + 1) {
                i if i == rows => u32::MAX,
                i => i as u32,
            })
            .collect();
        check_gather(&mut bench.borrow_mut(), &from, how, &indices);
    });
}
