//! Benches of gather, scatter, concat, slice and widen.

use std::{hint::black_box, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array},
    compute,
    datatypes::{Decimal128Type, Int8Type, Int64Type, UInt32Type},
};
use rayon::prelude::*;

use super::{
    Bench,
    case::{Case, Verdict, differ},
    host::{On, PIECE, Random, array, decimals, nullable, random, sliced},
};
use crate::{
    column::{DeviceBatch, DeviceColumn},
    error::Result,
    gather::{concat, gather, scatter, slice, widen},
    types::PhysType,
};

/// What is gathered.
#[derive(Debug, Clone, Copy)]
enum Data {
    I64,
    Nulls,
    Bool,
    Decimal,
}

impl Data {
    fn array(self, n: usize) -> ArrayRef {
        let values = || random(n, 1, |r| r.next() as i64);
        match self {
            Self::I64 => Arc::new(array::<Int64Type>(values())),
            Self::Nulls => Arc::new(nullable::<Int64Type>(values(), |i| i % 10 != 3)),
            Self::Bool => Arc::new(BooleanArray::from(random(n, 1, |r| r.below(2) == 0))),
            Self::Decimal => Arc::new(decimals(values().into_iter().map(i128::from).collect())),
        }
    }

    /// Bytes of `n` values.
    fn bytes(self, n: usize) -> usize {
        match self {
            Self::I64 => 8 * n,
            Self::Nulls => 8 * n + n.div_ceil(8),
            Self::Bool => n.div_ceil(8),
            Self::Decimal => 16 * n,
        }
    }
}

pub(super) fn benches() -> Vec<Bench> {
    const RANDOM: &str =
        "rows in random order; floor: 4 bytes of row number, the value read and written";
    const ASCENDING: &str =
        "every second row, as a filter leaves them; floor: as in random order, a row of the result";
    let forward = |n: usize| -> Vec<u32> {
        let mut r = Random(7);
        (0..n as u32).filter(|_| r.below(2) == 0).collect()
    };
    let any = |n: usize| random(n, 7, |r| r.below(n) as u32);
    vec![
        Bench::new("gather/gather/random_i64", RANDOM, move |on, n| rows(on, n, Data::I64, any(n))),
        Bench::new("gather/gather/random_i64_nulls", RANDOM, move |on, n| {
            rows(on, n, Data::Nulls, any(n))
        }),
        Bench::new("gather/gather/random_bool", RANDOM, move |on, n| {
            rows(on, n, Data::Bool, any(n))
        }),
        Bench::new("gather/gather/random_decimal", RANDOM, move |on, n| {
            rows(on, n, Data::Decimal, any(n))
        }),
        Bench::new("gather/gather/ascending_i64", ASCENDING, move |on, n| {
            rows(on, n, Data::I64, forward(n))
        }),
        Bench::new(
            "gather/scatter/permutation_i64",
            "every row to a random place of its own; floor: 12 bytes a row read, 8 written",
            scattered,
        ),
        Bench::new(
            "gather/concat/i64",
            "batches of 65,536 rows as one; floor: 8 bytes a row read, 8 written",
            |on, n| joined(on, n, Data::I64),
        ),
        Bench::new(
            "gather/concat/i64_nulls",
            "the same with nulls; floor: 8 bytes and a bit a row read, as many written",
            |on, n| joined(on, n, Data::Nulls),
        ),
        Bench::new(
            "gather/slice/i64_nulls",
            "all rows but the first three; floor: 8 bytes and a bit a row read, as many written; \
             none on the host, which shares the memory",
            sliced_rows,
        ),
        Bench::new(
            "gather/widen/i8",
            "8-bit integers as words; floor: 1 byte a row read, 4 written",
            |on, n| {
                let values = random(n, 1, |r| r.next() as i8);
                let want = values.iter().map(|v| i32::from(*v) as u32).collect();
                wide(on, Arc::new(array::<Int8Type>(values)), want, n)
            },
        ),
        Bench::new(
            "gather/widen/bool",
            "booleans as words; floor: a bit a row read, 4 bytes written",
            |on, n| {
                let values = random(n, 1, |r| r.below(2) == 0);
                let want = values.iter().map(|v| u32::from(*v)).collect();
                wide(on, Arc::new(BooleanArray::from(values)), want, n.div_ceil(8))
            },
        ),
    ]
}

/// Compares a column with an array.
fn compare(on: &mut On, got: &DeviceColumn, want: &dyn Array) -> Verdict {
    let n = want.len();
    if want.null_count() > 0 {
        let options: Vec<Option<i64>> = want.as_primitive::<Int64Type>().iter().collect();
        return Ok(differ(&on.options::<i64>(got, n)?, &options));
    }
    match got.ty {
        PhysType::I128 => {
            Ok(differ(&on.values::<i128>(got, n)?, want.as_primitive::<Decimal128Type>().values()))
        }
        PhysType::Bool => {
            let (device, queue) = (&*on.device, &mut *on.queue);
            let words = widen(device, queue, &mut on.reservation, got, n)?;
            let want: Vec<u32> = want.as_boolean().values().iter().map(u32::from).collect();
            Ok(differ(&on.read::<u32>(&words.values, n)?, &want))
        }
        _ => Ok(differ(&on.values::<i64>(got, n)?, want.as_primitive::<Int64Type>().values())),
    }
}

fn rows(on: &mut On, n: usize, data: Data, indices: Vec<u32>) -> Result<Case> {
    let values = data.array(n);
    let batch = on.batch(std::slice::from_ref(&values))?;
    let taken = array::<UInt32Type>(indices);
    let (k, numbers) = (taken.len(), on.words(taken.values().to_vec())?);
    let (their_values, pieces) = (Arc::clone(&values), sliced(&taken));
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        gather(&*on.device, queue, reservation, &batch, &numbers, k, false)
    };
    let check =
        move |on: &mut On, got: DeviceBatch| compare(on, &got.columns[0], &*take(&values, &taken));
    let bytes = data.bytes(k);
    let case = Case::new(n, [4 * k + bytes, bytes], run, check);
    Ok(case.beside("arrow take", move || {
        let all = pieces.par_iter().map(|p| take(&their_values, p.as_primitive::<UInt32Type>()));
        black_box(all.collect::<Vec<_>>());
    }))
}

/// Arrow's gather.
fn take(values: &ArrayRef, indices: &UInt32Array) -> ArrayRef {
    compute::take(values, indices, None).expect("the row numbers are of these values")
}

fn scattered(on: &mut On, n: usize) -> Result<Case> {
    let values: Vec<i64> = random(n, 1, |r| r.next() as i64);
    let mut places: Vec<u32> = (0..n as u32).collect();
    let mut r = Random(7);
    // Fisher and Yates' shuffle.
    (1..n).rev().for_each(|i| places.swap(i, r.below(i + 1)));
    let batch = on.batch(&[Arc::new(array::<Int64Type>(values.clone()))])?;
    let numbers = on.words(places.clone())?;
    let plain = |values: &[i64], places: &[u32]| {
        let mut out = vec![0; values.len()];
        values.iter().zip(places).for_each(|(v, p)| out[*p as usize] = *v);
        out
    };
    let theirs = (values.clone(), places.clone());
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        scatter(&*on.device, queue, reservation, &batch, &numbers, n, true)
    };
    let check = move |on: &mut On, got: DeviceBatch| {
        Ok(differ(&on.values::<i64>(&got.columns[0], n)?, &plain(&values, &places)))
    };
    let case = Case::new(n, [12 * n, 8 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plain(&theirs.0, &theirs.1));
    }))
}

fn joined(on: &mut On, n: usize, data: Data) -> Result<Case> {
    let values = data.array(n);
    let pieces = sliced(&values);
    let batches = on.batches_of(std::slice::from_ref(&values), PIECE)?;
    let run = move |on: &mut On| concat(&*on.device, &mut *on.queue, &mut on.reservation, &batches);
    let check = move |on: &mut On, got: DeviceBatch| compare(on, &got.columns[0], &*values);
    let case = Case::new(n, [data.bytes(n); 2], run, check);
    Ok(case.beside_serial("arrow concat", move || {
        let views: Vec<&dyn Array> = pieces.iter().map(|a| &**a).collect();
        black_box(compute::concat(&views).expect("arrays of one type"));
    }))
}

fn sliced_rows(on: &mut On, n: usize) -> Result<Case> {
    let values = Data::Nulls.array(n);
    let batch = on.batch(std::slice::from_ref(&values))?;
    let k = n.saturating_sub(3);
    let run = move |on: &mut On| {
        slice(&*on.device, &mut *on.queue, &mut on.reservation, &batch, n - k, k)
    };
    let check =
        move |on: &mut On, got: DeviceBatch| compare(on, &got.columns[0], &*values.slice(n - k, k));
    let bytes = if on.is_host() { 0 } else { Data::Nulls.bytes(k) };
    Ok(Case::new(n, [bytes; 2], run, check))
}

fn wide(on: &mut On, values: ArrayRef, want: Vec<u32>, read: usize) -> Result<Case> {
    let (n, column) = (values.len(), on.column(&*values)?);
    let pieces = sliced(&values);
    let run =
        move |on: &mut On| widen(&*on.device, &mut *on.queue, &mut on.reservation, &column, n);
    let check =
        move |on: &mut On, got: DeviceColumn| Ok(differ(&on.read::<u32>(&got.values, n)?, &want));
    let case = Case::new(n, [read, 4 * n], run, check);
    Ok(case.beside("arrow cast to i32", move || {
        let to = arrow::datatypes::DataType::Int32;
        let cast = |p: &ArrayRef| compute::cast(p, &to).expect("a cast that widens");
        black_box(pieces.par_iter().map(cast).collect::<Vec<_>>());
    }))
}
