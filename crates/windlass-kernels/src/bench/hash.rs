//! Benches of row hashes and of partitions.

use std::{hash::BuildHasher, hint::black_box, sync::Arc};

use arrow::datatypes::{Int32Type, Int64Type};
use rayon::prelude::*;
use windlass_device::DeviceBuffer;

use super::{
    Bench,
    case::{Case, Verdict, differ},
    host::{On, PIECE, array, random},
};
use crate::{
    error::Result,
    hash::{SEED, hash_rows},
    partition::{Partitions, by_hash, by_range, round_robin},
    sort::SortKey,
};

/// Partitions: the devices or spill files of a large host.
const PARTS: usize = 16;

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench::new(
            "hash/hash_rows/i64",
            "hashes of i64; floor: 8 bytes a row read, 8 written",
            |on, n| rows(on, n, false),
        ),
        Bench::new(
            "hash/hash_rows/i64_i32",
            "hashes of two columns; floor: 12 bytes a row read, 8 written",
            |on, n| rows(on, n, true),
        ),
        Bench::new(
            "partition/by_hash/16",
            "row numbers in 16 partitions by the hash of i64; floor: 8 bytes a row read, 4 written",
            hashed,
        ),
        Bench::new(
            "partition/by_range/16",
            "row numbers in 16 ranges of i64; floor: 8 bytes a row read, 4 written",
            ranged,
        ),
        Bench::new(
            "partition/round_robin/16",
            "row numbers in 16 even pieces; floor: 4 bytes a row written",
            in_turn,
        ),
    ]
}

/// MurmurHash64B as SMHasher has it, over the words of a value.
fn murmur64b(words: &[u32], seed: u64) -> u64 {
    const M: u32 = 0x5bd1_e995;
    let (mut h1, mut h2) = (seed as u32 ^ (4 * words.len() as u32), (seed >> 32) as u32);
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

fn hash_i64(value: i64) -> u64 {
    murmur64b(&[value as u32, (value >> 32) as u32], u64::from(SEED))
}

fn rows(on: &mut On, n: usize, second: bool) -> Result<Case> {
    let keys: Arc<Vec<i64>> = Arc::new(random(n, 1, |r| r.next() as i64));
    let more: Arc<Vec<i32>> = Arc::new(random(n, 2, |r| r.next() as i32));
    let batch = on.batch(&[
        Arc::new(array::<Int64Type>(keys.to_vec())),
        Arc::new(array::<Int32Type>(more.to_vec())),
    ])?;
    let columns: &[usize] = if second { &[0, 1] } else { &[0] };
    let theirs = (Arc::clone(&keys), Arc::clone(&more));
    let run = move |on: &mut On| {
        hash_rows(&*on.device, &mut *on.queue, &mut on.reservation, &batch, columns)
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        let hash = |(k, m): (&i64, &i32)| match second {
            true => murmur64b(&[*m as u32], hash_i64(*k)),
            false => hash_i64(*k),
        };
        let want: Vec<u64> = keys.iter().zip(&*more).map(hash).collect();
        let got = on.read::<[u32; 2]>(&got, n)?;
        let got: Vec<u64> =
            got.iter().map(|[low, high]| u64::from(*high) << 32 | u64::from(*low)).collect();
        Ok(differ(&got, &want))
    };
    let case = Case::new(n, [if second { 12 } else { 8 } * n, 8 * n], run, check);
    Ok(case.beside("foldhash", move || {
        let state = hashbrown::DefaultHashBuilder::default();
        let (keys, more) = &theirs;
        let mut out = vec![0u64; keys.len()];
        let pieces =
            out.par_chunks_mut(PIECE).zip(keys.par_chunks(PIECE).zip(more.par_chunks(PIECE)));
        pieces.for_each(|(out, (keys, more))| match second {
            true => {
                for (out, key) in out.iter_mut().zip(keys.iter().zip(more)) {
                    *out = state.hash_one(key);
                }
            }
            false => {
                for (out, key) in out.iter_mut().zip(keys) {
                    *out = state.hash_one(key);
                }
            }
        });
        black_box(out);
    }))
}

/// Row numbers by partition, each partition in ascending order.
fn grouped(n: usize, part: impl Fn(usize) -> usize) -> (Vec<u32>, Vec<u32>) {
    let mut parts = vec![Vec::new(); PARTS];
    (0..n).for_each(|row| parts[part(row)].push(row as u32));
    let mut offsets = vec![0];
    for p in &parts {
        offsets.push(offsets.last().copied().unwrap_or(0) + p.len() as u32);
    }
    (parts.concat(), offsets)
}

fn compare(on: &mut On, got: &Partitions, want: &(Vec<u32>, Vec<u32>)) -> Verdict {
    let indices = on.read::<u32>(&got.indices, got.rows)?;
    let offsets = on.read::<u32>(&got.offsets, got.parts + 1)?;
    Ok(differ(&offsets, &want.1).or_else(|| differ(&indices, &want.0)))
}

fn hashed(on: &mut On, n: usize) -> Result<Case> {
    let keys: Arc<Vec<i64>> = Arc::new(random(n, 1, |r| r.next() as i64));
    let batch = on.batch(&[Arc::new(array::<Int64Type>(keys.to_vec()))])?;
    let theirs = Arc::clone(&keys);
    let run = move |on: &mut On| {
        by_hash(&*on.device, &mut *on.queue, &mut on.reservation, &batch, &[0], PARTS)
    };
    let check = move |on: &mut On, got: Partitions| {
        let part = |row: usize| hash_i64(keys[row]) as u32 as usize % PARTS;
        compare(on, &got, &grouped(n, part))
    };
    let case = Case::new(n, [8 * n, 4 * n], run, check);
    Ok(case.beside_serial("foldhash and lists", move || {
        let state = hashbrown::DefaultHashBuilder::default();
        black_box(grouped(n, |row| state.hash_one(theirs[row]) as usize % PARTS));
    }))
}

fn ranged(on: &mut On, n: usize) -> Result<Case> {
    let keys: Arc<Vec<i64>> = Arc::new(random(n, 1, |r| r.next() as i64));
    let step = i64::MAX / (PARTS as i64 / 2);
    let bounds: Vec<i64> = (1..PARTS as i64).map(|p| (p - PARTS as i64 / 2) * step).collect();
    let batch = on.batch(&[Arc::new(array::<Int64Type>(keys.to_vec()))])?;
    let splitters = on.batch(&[Arc::new(array::<Int64Type>(bounds.clone()))])?;
    let (theirs, their_bounds) = (Arc::clone(&keys), bounds.clone());
    let run = move |on: &mut On| {
        let key = SortKey { column: 0, descending: false, nulls_first: false };
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        by_range(&*on.device, queue, reservation, &batch, &[key], &splitters)
    };
    let check = move |on: &mut On, got: Partitions| {
        let part = |row: usize| bounds.partition_point(|b| *b <= keys[row]);
        compare(on, &got, &grouped(n, part))
    };
    let case = Case::new(n, [8 * n, 4 * n], run, check);
    Ok(case.beside_serial("binary search and lists", move || {
        black_box(grouped(n, |row| their_bounds.partition_point(|b| *b <= theirs[row])));
    }))
}

fn in_turn(on: &mut On, n: usize) -> Result<Case> {
    let _ = on;
    let run =
        move |on: &mut On| round_robin(&*on.device, &mut *on.queue, &mut on.reservation, n, PARTS);
    let check = move |on: &mut On, got: Partitions| {
        let (size, larger) = (n / PARTS, n % PARTS);
        let offsets = (0..=PARTS).map(|p| (p * size + p.min(larger)) as u32).collect();
        compare(on, &got, &((0..n as u32).collect(), offsets))
    };
    Ok(Case::new(n, [0, 4 * n], run, check))
}
