//! Benches of hash joins.

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::Int64Type;

use super::{
    Bench,
    case::{Case, differ, unequal},
    host::{On, array, mix, spread},
};
use crate::{
    column::DeviceBatch,
    error::Result,
    join::{JoinOptions, JoinPairs, JoinRows, JoinTable, Marks, Matches},
};

/// Rows of a probe batch.
const BATCH: usize = 1 << 20;

/// Build rows of a small join: its table fits a second-level cache.
const SMALL: usize = 10_000;

/// The keys of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// Each build row has a key of its own, and each probe row one of them.
    Unique,
    /// Those keys are 0, 1, … in random order.
    Dense,
    /// Each key is on two build rows.
    Twice,
    /// Half of the probe rows have one key.
    HalfProbe,
    /// Half of the build rows have one key, which one probe row in a million has.
    HalfBuild,
}

pub(super) fn benches() -> Vec<Bench> {
    const INNER: &str =
        "build and probe by i64; floor: 8 bytes a row of both sides read, 8 a pair written";
    let inner = |name: &str, keys: Keys, small: bool| {
        Bench::new(format!("join/inner/{name}"), INNER, move |on, n| {
            inner(on, if small { SMALL.min(n) } else { n }, n, keys)
        })
    };
    vec![
        Bench::new(
            "join/build/large",
            "the table of i64 keys; floor: 8 bytes a row read, 12 written",
            build,
        ),
        inner("small_build", Keys::Unique, true),
        inner("large_build", Keys::Unique, false),
        inner("large_build_dense", Keys::Dense, false),
        inner("large_build_twice", Keys::Twice, false),
        inner("large_build_half_probe_one_key", Keys::HalfProbe, false),
        Bench::new(
            "join/exists/large_build",
            "which probe rows have a match; floor: 8 bytes a row of both sides read, a byte a row written",
            exists,
        ),
        Bench::new(
            "join/unmatched_build/large_build",
            "build, look up, and the build rows without a match; floor: 8 bytes a row of both \
             sides read, 4 an unmatched row written",
            |on, n| marked(on, n, Marks::Keys),
        ),
        Bench::new(
            "join/mark_matched/large_build",
            "the same by the pairs, which are told back; floor: as with keys",
            |on, n| marked(on, n, Marks::Pairs),
        ),
    ]
}

/// The keys of the build and of the probe side.
fn keys(form: Keys, build: usize, probe: usize) -> [Vec<i64>; 2] {
    // A bijection of the numbers below a power of two, applied until it gives a row, stands for
    // a shuffle.
    let bits = usize::BITS - (build.max(2) - 1).leading_zeros();
    let mask = (1u64 << bits) - 1;
    let shuffled = |i: usize| -> u64 {
        let mut k = i as u64;
        loop {
            k = (k.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5555) & mask;
            k = (k ^ (k >> (bits / 2).max(1))) & mask;
            if k < build as u64 {
                return k;
            }
        }
    };
    let any = |i: usize| mix(i as u64) % build.max(1) as u64;
    let own = |i: usize| spread(shuffled(i));
    // The one key of many rows: a build row has it in every form.
    let one = spread(0);
    let build_key = |i: usize| match form {
        Keys::Dense => shuffled(i) as i64,
        Keys::Twice => spread(shuffled(i) / 2),
        Keys::HalfBuild if i.is_multiple_of(2) => one,
        _ => own(i),
    };
    let probe_key = |i: usize| match form {
        Keys::Dense => any(i) as i64,
        Keys::Twice => spread(any(i) / 2),
        Keys::HalfProbe if i.is_multiple_of(2) => one,
        Keys::HalfBuild if i.is_multiple_of(1_000_000) => one,
        Keys::HalfBuild => spread(any(i).max(1)),
        _ => spread(any(i)),
    };
    [(0..build).map(build_key).collect(), (0..probe).map(probe_key).collect()]
}

/// A map from key to its last row, with a chain to the others.
struct Chained {
    last: hashbrown::HashMap<i64, u32>,
    next: Vec<u32>,
}

impl Chained {
    fn new(build: &[i64]) -> Self {
        let mut last = hashbrown::HashMap::with_capacity(build.len());
        let mut next = vec![u32::MAX; build.len()];
        for (row, key) in build.iter().enumerate() {
            if let Some(other) = last.insert(*key, row as u32) {
                next[row] = other;
            }
        }
        Self { last, next }
    }

    fn pairs(&self, probe: &[i64]) -> (Vec<u32>, Vec<u32>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (row, key) in probe.iter().enumerate() {
            let mut at = self.last.get(key).copied().unwrap_or(u32::MAX);
            while at != u32::MAX {
                left.push(row as u32);
                right.push(at);
                at = self.next[at as usize];
            }
        }
        (left, right)
    }
}

fn table(on: &mut On, batch: &DeviceBatch) -> Result<JoinTable> {
    let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
    JoinTable::build(&on.device, queue, reservation, batch, &[0], JoinOptions::default())
}

fn build(on: &mut On, n: usize) -> Result<Case> {
    let [keys, _] = keys(Keys::Unique, n, 0);
    let batch = on.batch(&[Arc::new(array::<Int64Type>(keys.clone()))])?;
    let rows = batch.clone();
    let run = move |on: &mut On| table(on, &batch);
    // Each row finds itself.
    let check = move |on: &mut On, got: JoinTable| {
        let (mut probe, mut build) = (Vec::new(), Vec::new());
        let mut going = got.probe(&mut *on.queue, &mut on.reservation, &rows, &[0], false)?;
        while let Some(piece) = going.next(&mut *on.queue, &mut on.reservation)? {
            probe.extend(on.read::<u32>(&piece.probe, piece.n)?);
            build.extend(on.read::<u32>(&piece.build, piece.n)?);
        }
        Ok(unequal(probe.len(), n).or_else(|| differ(&build, &probe)))
    };
    let case = Case::new(n, [8 * n, 12 * n], run, check);
    Ok(case.beside_serial("hashbrown map and chain", move || {
        black_box(Chained::new(&keys).last.len());
    }))
}

/// A whole inner join of `build_rows` and `n` rows.
pub(super) fn inner(on: &mut On, build_rows: usize, n: usize, form: Keys) -> Result<Case> {
    let [build, probe] = keys(form, build_rows, n);
    let build_batch = on.batch(&[Arc::new(array::<Int64Type>(build.clone()))])?;
    let all = array::<Int64Type>(probe.clone());
    let batches = on.batches_of(&[Arc::new(all)], BATCH)?;
    let chained = Chained::new(&build);
    let mut pairs = 0;
    for key in &probe {
        let mut at = chained.last.get(key).copied().unwrap_or(u32::MAX);
        while at != u32::MAX {
            pairs += 1;
            at = chained.next[at as usize];
        }
    }
    drop(chained);
    let run = move |on: &mut On| {
        let table = table(on, &build_batch)?;
        let mut pieces = Vec::new();
        for (b, batch) in batches.iter().enumerate() {
            let mut going = table.probe(&mut *on.queue, &mut on.reservation, batch, &[0], false)?;
            while let Some(piece) = going.next(&mut *on.queue, &mut on.reservation)? {
                pieces.push((b * BATCH, piece));
            }
        }
        Ok(pieces)
    };
    let theirs = (build.clone(), probe.clone());
    let check = move |on: &mut On, got: Vec<(usize, JoinPairs)>| {
        let mut all = Vec::with_capacity(pairs);
        for (first, piece) in &got {
            let probe = on.read::<u32>(&piece.probe, piece.n)?;
            let build = on.read::<u32>(&piece.build, piece.n)?;
            all.extend(probe.iter().map(|p| p + *first as u32).zip(build));
        }
        let unlike = all.iter().find(|(p, b)| {
            probe.get(*p as usize) != build.get(*b as usize) || (*p as usize) >= probe.len()
        });
        if let Some(pair) = unlike {
            return Ok(Some(format!("the pair {pair:?} has different keys")));
        }
        // So many different pairs of equal keys are all of them.
        all.sort_unstable();
        all.dedup();
        Ok(unequal(all.len(), pairs))
    };
    let case = Case::new(n, [8 * (build_rows + n), 8 * pairs], run, check);
    Ok(case.beside_serial("hashbrown map and chain", move || {
        black_box(Chained::new(&theirs.0).pairs(&theirs.1));
    }))
}

/// The build rows that no probe row has, as right and full joins end with: a third of the probe
/// keys are none of theirs, and others come several times. The marks are the build side's.
fn marked(on: &mut On, n: usize, marks: Marks) -> Result<Case> {
    let [build, mut probe] = keys(Keys::Unique, n, n);
    probe.iter_mut().step_by(3).for_each(|k| *k = spread(1 << 40 | mix(*k as u64) >> 40));
    let build_batch = on.batch(&[Arc::new(array::<Int64Type>(build.clone()))])?;
    let batch = on.batch(&[Arc::new(array::<Int64Type>(probe.clone()))])?;
    let set: hashbrown::HashSet<&i64> = probe.iter().collect();
    let left = |(_, key): &(usize, &i64)| !set.contains(*key);
    let want: Vec<u32> = build.iter().enumerate().filter(left).map(|(row, _)| row as u32).collect();
    drop(set);
    let written = 4 * want.len();
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        let options = JoinOptions { marks, ..JoinOptions::default() };
        let table = JoinTable::build(&on.device, queue, reservation, &build_batch, &[0], options)?;
        match marks {
            Marks::Pairs => {
                let mut going = table.probe(queue, reservation, &batch, &[0], false)?;
                while let Some(pairs) = going.next(queue, reservation)? {
                    table.mark_matched(queue, reservation, &pairs)?;
                }
            }
            _ => drop(table.exists(queue, reservation, &batch, &[0])?),
        }
        table.unmatched_build(queue, reservation)
    };
    let theirs = (build, probe);
    let check =
        move |on: &mut On, got: JoinRows| Ok(differ(&on.read::<u32>(&got.rows, got.n)?, &want));
    let case = Case::new(n, [16 * n, written], run, check);
    Ok(case.beside_serial("hashbrown set", move || {
        let set: hashbrown::HashSet<i64> = theirs.1.iter().copied().collect();
        let left = theirs.0.iter().map(|k| !set.contains(k));
        black_box(left.collect::<Vec<bool>>());
    }))
}

fn exists(on: &mut On, n: usize) -> Result<Case> {
    let [build, mut probe] = keys(Keys::Unique, n, n);
    // Every third row has a key that no build row has.
    probe.iter_mut().step_by(3).for_each(|k| *k = spread(1 << 40 | mix(*k as u64) >> 40));
    let build_batch = on.batch(&[Arc::new(array::<Int64Type>(build.clone()))])?;
    let batch = on.batch(&[Arc::new(array::<Int64Type>(probe.clone()))])?;
    let run = move |on: &mut On| {
        let table = table(on, &build_batch)?;
        table.exists(&mut *on.queue, &mut on.reservation, &batch, &[0])
    };
    let theirs = (build.clone(), probe.clone());
    let check = move |on: &mut On, got: Matches| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        let rows = got.rows(&*on.device, queue, reservation, true)?;
        let set: hashbrown::HashSet<&i64> = build.iter().collect();
        let want: Vec<u32> =
            (0..n as u32).filter(|row| set.contains(&probe[*row as usize])).collect();
        Ok(differ(&on.read::<u32>(&rows.rows, rows.n)?, &want))
    };
    let case = Case::new(n, [16 * n, n], run, check);
    Ok(case.beside_serial("hashbrown set", move || {
        let set: hashbrown::HashSet<i64> = theirs.0.iter().copied().collect();
        black_box(theirs.1.iter().map(|k| set.contains(k)).collect::<Vec<bool>>());
    }))
}
