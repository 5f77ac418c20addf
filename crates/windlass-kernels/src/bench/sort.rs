//! Benches of sorts, top-k, merges and bounds.

use std::{hint::black_box, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, PrimitiveArray},
    compute::{SortColumn, SortOptions, lexsort_to_indices, sort_to_indices},
    datatypes::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type, UInt32Type},
};
use rayon::prelude::*;
use windlass_device::DeviceBuffer;

use super::{
    Bench,
    case::{Case, Verdict, differ, unequal},
    host::{On, Random, array, decimals, nullable, random},
};
use crate::{
    error::Result,
    sort::{self, SortKey},
};

/// Rows that a top-k asks for.
const K: usize = 100;

/// Runs that are merged.
const RUNS: usize = 4;

pub(super) fn benches() -> Vec<Bench> {
    const ORDER: &str =
        "row numbers in the order of the keys; floor: the keys read, 4 bytes a row written";
    vec![
        Bench::new("sort/sort_indices/u32", ORDER, |on, n| {
            one::<UInt32Type, _>(on, array(random(n, 1, |r| r.next() as u32)), |v| v)
        }),
        Bench::new("sort/sort_indices/codes_1000", ORDER, |on, n| {
            one::<UInt32Type, _>(on, array(random(n, 1, |r| r.below(1000) as u32)), |v| v)
        }),
        Bench::new("sort/sort_indices/i64", ORDER, |on, n| {
            one::<Int64Type, _>(on, integers(n), |v| v)
        }),
        Bench::new("sort/sort_indices/i64_sorted", ORDER, |on, n| {
            one::<Int64Type, _>(on, array((0..n as i64).collect()), |v| v)
        }),
        Bench::new("sort/sort_indices/i64_90_percent_one_value", ORDER, |on, n| {
            let values = random(n, 1, |r| if r.below(10) < 9 { 7 } else { r.next() as i64 });
            one::<Int64Type, _>(on, array(values), |v| v)
        }),
        Bench::new("sort/sort_indices/f64", ORDER, |on, n| {
            // The bits of a float in totalOrder as an integer's.
            let key = |v: f64| {
                let bits = v.to_bits() as i64;
                bits ^ ((bits >> 63) as u64 >> 1) as i64
            };
            one::<Float64Type, _>(on, floats(n), key)
        }),
        Bench::new("sort/sort_indices/decimal", ORDER, |on, n| {
            let values = random(n, 1, |r| i128::from(r.next()) << 20 | i128::from(r.next() >> 44));
            one::<Decimal128Type, _>(on, decimals(values), |v| v)
        }),
        Bench::new("sort/sort_indices/i64_nulls", ORDER, nulls),
        Bench::new("sort/sort_indices/codes_then_f64", ORDER, two_keys),
        Bench::new("sort/top_k/i64_100", "the 100 least of i64; floor: 8 bytes a row read", top_k),
        Bench::new(
            "sort/top_k_per_group/2_of_100k",
            "the 2 least i64 of each of 10^5 groups; floor: 16 bytes a row read, 8 a group written",
            top_k_per_group,
        ),
        Bench::new(
            "sort/merge/4_runs_i64",
            "4 sorted runs of i64 as one; floor: 8 bytes a row read, 4 written",
            merge,
        ),
        Bench::new(
            "sort/boundaries/i64",
            "where a sorted key changes; floor: 8 bytes a row read, 4 written",
            boundaries,
        ),
    ]
}

fn integers(n: usize) -> Int64Array {
    array(random(n, 1, |r| r.next() as i64))
}

fn floats(n: usize) -> Float64Array {
    array(random(n, 1, |r| r.next() as f64 / 4e9 - 1e9))
}

fn key(column: usize) -> SortKey {
    SortKey { column, descending: false, nulls_first: true }
}

/// Row numbers by their keys; equal keys keep their order.
fn ordered<T: Ord + Copy + Send + Sync>(keys: impl Iterator<Item = T>) -> Vec<u32> {
    let mut pairs: Vec<(T, u32)> = keys.zip(0..).collect();
    pairs.par_sort_unstable();
    pairs.par_iter().map(|p| p.1).collect()
}

fn compare(on: &mut On, got: &DeviceBuffer, want: &[u32]) -> Verdict {
    Ok(differ(&on.read::<u32>(got, want.len())?, want))
}

fn sorted(
    on: &mut On,
    arrays: &[ArrayRef],
) -> Result<impl FnMut(&mut On) -> Result<DeviceBuffer> + use<>> {
    let batch = on.batch(arrays)?;
    let keys: Vec<SortKey> = (0..arrays.len()).map(key).collect();
    Ok(move |on: &mut On| {
        sort::sort_indices(&*on.device, &mut *on.queue, &mut on.reservation, &batch, &keys)
    })
}

/// One key without nulls; `ordinal` gives what orders its values.
fn one<T: ArrowPrimitiveType, K: Ord + Copy + Send + Sync + 'static>(
    on: &mut On,
    values: PrimitiveArray<T>,
    ordinal: fn(T::Native) -> K,
) -> Result<Case> {
    let n = values.values().len();
    let all: ArrayRef = Arc::new(values.clone());
    let run = sorted(on, std::slice::from_ref(&all))?;
    let theirs = values.clone();
    let check = move |on: &mut On, got: DeviceBuffer| {
        let want = ordered(values.values().iter().map(|v| ordinal(*v)));
        compare(on, &got, &want)
    };
    let floor = [n * size_of::<T::Native>(), 4 * n];
    Ok(Case::new(n, floor, run, check)
        .beside("rayon sort of pairs", move || {
            black_box(ordered(theirs.values().iter().map(|v| ordinal(*v))));
        })
        .beside_serial("arrow sort", move || {
            black_box(sort_to_indices(&all, None, None).expect("a type that arrow sorts"));
        }))
}

fn nulls(on: &mut On, n: usize) -> Result<Case> {
    let values = random(n, 1, |r| r.next() as i64);
    let values = nullable::<Int64Type>(values, |i| i % 10 != 3);
    let all: ArrayRef = Arc::new(values.clone());
    let run = sorted(on, std::slice::from_ref(&all))?;
    let theirs = values.clone();
    // None comes before every value.
    let check = move |on: &mut On, got: DeviceBuffer| compare(on, &got, &ordered(values.iter()));
    let case = Case::new(n, [8 * n + n.div_ceil(8), 4 * n], run, check);
    Ok(case
        .beside("rayon sort of pairs", move || {
            black_box(ordered(theirs.iter()));
        })
        .beside_serial("arrow sort", move || {
            black_box(sort_to_indices(&all, None, None).expect("a type that arrow sorts"));
        }))
}

fn two_keys(on: &mut On, n: usize) -> Result<Case> {
    let codes = random(n, 2, |r| r.below(1000) as u32);
    let values = floats(n);
    let first: ArrayRef = Arc::new(array::<UInt32Type>(codes.clone()));
    let arrays = [first, Arc::new(values.clone())];
    let run = sorted(on, &arrays)?;
    // No value is negative zero or NaN.
    let pairs = move || {
        let ordinal = |v: &f64| {
            let bits = v.to_bits() as i64;
            bits ^ ((bits >> 63) as u64 >> 1) as i64
        };
        ordered(codes.iter().copied().zip(values.values().iter().map(ordinal)))
    };
    let (pairs, theirs) = (pairs.clone(), pairs);
    let check = move |on: &mut On, got: DeviceBuffer| compare(on, &got, &pairs());
    let case = Case::new(n, [12 * n, 4 * n], run, check);
    Ok(case
        .beside("rayon sort of pairs", move || {
            black_box(theirs());
        })
        .beside_serial("arrow lexsort", move || {
            let column = |values: &ArrayRef| SortColumn {
                values: Arc::clone(values),
                options: Some(SortOptions::default()),
            };
            let columns: Vec<SortColumn> = arrays.iter().map(column).collect();
            black_box(lexsort_to_indices(&columns, None).expect("types that arrow sorts"));
        }))
}

fn top_k(on: &mut On, n: usize) -> Result<Case> {
    let values = integers(n);
    let all: ArrayRef = Arc::new(values.clone());
    let batch = on.batch(std::slice::from_ref(&all))?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        sort::top_k(&*on.device, queue, reservation, &batch, &[key(0)], K)
    };
    let check = move |on: &mut On, (got, k): (DeviceBuffer, usize)| {
        let want: Vec<u32> = ordered(values.values().iter().copied()).into_iter().take(K).collect();
        Ok(unequal(k, want.len()).or(compare(on, &got, &want)?))
    };
    let case = Case::new(n, [8 * n, 4 * K], run, check);
    Ok(case.beside_serial("arrow sort with a limit", move || {
        black_box(sort_to_indices(&all, None, Some(K)).expect("a type that arrow sorts"));
    }))
}

fn top_k_per_group(on: &mut On, n: usize) -> Result<Case> {
    let groups = n.clamp(1, 100_000);
    let keys: Arc<Vec<i64>> = Arc::new(random(n, 2, |r| r.below(groups) as i64));
    let values = integers(n);
    let batch =
        on.batch(&[Arc::new(array::<Int64Type>(keys.to_vec())), Arc::new(values.clone())])?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        let (group, order) = (&[key(0)], &[key(1)]);
        sort::top_k_per_group(&*on.device, queue, reservation, &batch, group, order, 2)
    };
    let theirs = (Arc::clone(&keys), values.clone());
    let check = move |on: &mut On, (got, k): (DeviceBuffer, usize)| {
        let order = ordered(keys.iter().copied().zip(values.values().iter().copied()));
        let mut want: Vec<u32> = Vec::new();
        let mut before = (i64::MIN, 0);
        for row in order {
            let group = keys[row as usize];
            before = if group == before.0 { (group, before.1 + 1) } else { (group, 1) };
            if before.1 <= 2 {
                want.push(row);
            }
        }
        Ok(unequal(k, want.len()).or(compare(on, &got, &want)?))
    };
    let case = Case::new(n, [16 * n, 8 * groups], run, check);
    Ok(case.beside_serial("hashbrown map of two", move || {
        let mut map: hashbrown::HashMap<i64, [(i64, u32); 2]> = hashbrown::HashMap::new();
        for (row, (k, v)) in theirs.0.iter().zip(theirs.1.values()).enumerate() {
            let least = map.entry(*k).or_insert([(i64::MAX, u32::MAX); 2]);
            let new = (*v, row as u32);
            if new < least[0] {
                *least = [new, least[0]];
            } else if new < least[1] {
                least[1] = new;
            }
        }
        black_box(map);
    }))
}

fn merge(on: &mut On, n: usize) -> Result<Case> {
    let length = n.div_ceil(RUNS).max(1);
    let mut values = random(n, 1, |r| r.next() as i64);
    values.par_chunks_mut(length).for_each(<[i64]>::sort_unstable);
    let runs: Vec<usize> = values.chunks(length).map(<[i64]>::len).collect();
    let values = array::<Int64Type>(values);
    let batch = on.batch(&[Arc::new(values.clone())])?;
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        sort::merge(&*on.device, queue, reservation, &batch, &runs, &[key(0)])
    };
    let theirs = values.clone();
    let check = move |on: &mut On, got: DeviceBuffer| {
        compare(on, &got, &ordered(values.values().iter().copied()))
    };
    let case = Case::new(n, [8 * n, 4 * n], run, check);
    Ok(case.beside("rayon stable sort of pairs", move || {
        // A merge sort, which finds the runs.
        let mut pairs: Vec<(i64, u32)> = theirs.values().iter().copied().zip(0..).collect();
        pairs.par_sort_by_key(|p| p.0);
        black_box(pairs.par_iter().map(|p| p.1).collect::<Vec<u32>>());
    }))
}

fn boundaries(on: &mut On, n: usize) -> Result<Case> {
    let mut r = Random(1);
    let mut so_far = 0;
    let values: Vec<i64> = (0..n)
        .map(|_| {
            so_far += i64::from(r.below(3) == 0);
            so_far
        })
        .collect();
    let values = array::<Int64Type>(values);
    let batch = on.batch(&[Arc::new(values.clone())])?;
    let run = move |on: &mut On| {
        sort::boundaries(&*on.device, &mut *on.queue, &mut on.reservation, &batch, &[key(0)])
    };
    let theirs = values.clone();
    let plain = |v: &[i64]| {
        let changes = v.windows(2).map(|w| u32::from(w[0] != w[1]));
        v.iter().take(1).map(|_| 1).chain(changes).collect::<Vec<u32>>()
    };
    let check = move |on: &mut On, got: DeviceBuffer| compare(on, &got, &plain(values.values()));
    let case = Case::new(n, [8 * n, 4 * n], run, check);
    Ok(case.beside_serial("std loop", move || {
        black_box(plain(theirs.values()));
    }))
}
