//! db-benchmark's tables: `x` of the group-by questions (G1, 100 groups of the small keys, no
//! nulls, random order) and `j`, `small`, `medium`, `big` of the join questions (J1).
//!
//! Defined by `groupby-datagen.R` and `join-datagen.R` of
//! <https://github.com/duckdblabs/db-benchmark>: the same columns, types, ranges and shares of
//! matching keys, from another random generator. Both tables on the left are called `x`
//! there.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::write_table;
use crate::error::Result;

/// The tables.
pub(crate) const TABLES: [&str; 5] = ["x", "j", "small", "medium", "big"];

/// The benchmark's own seed.
const SEED: u64 = 108;
/// `K` of the data sets that the benchmark reports first.
const GROUPS: u64 = 100;
/// Rows generated at a time: a batch stays in the cache. A guess.
const BATCH: usize = 8192;
/// Least rows of a right table. The benchmark starts at 10^7 rows, where `small` has 10.
const LEAST: u64 = 10;

/// Writes the tables.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write(rows: u64, dir: &Path) -> Result<()> {
    write_grouped(rows, dir)?;
    write_joined(rows, dir)
}

/// The ranges of batches that make up `rows`.
fn batches(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..rows).step_by(BATCH).map(move |at| at..rows.min(at + BATCH))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, t): &(&str, DataType)| Field::new(*name, t.clone(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn ints(rng: &mut StdRng, n: usize, top: u64) -> ArrayRef {
    let top = i32::try_from(top.max(1)).unwrap_or(i32::MAX);
    Arc::new(Int32Array::from_iter_values((0..n).map(|_| rng.random_range(1..=top))))
}

/// Six digits after the point, as the benchmark rounds.
fn value(rng: &mut StdRng) -> f64 {
    f64::from(rng.random_range(0..=100_000_000u32)) / 1e6
}

fn values(rng: &mut StdRng, n: usize) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..n).map(|_| value(rng))))
}

/// `id` and the number, with zeros before it up to `digits`.
fn texts(numbers: impl Iterator<Item = u64>, digits: usize) -> Result<ArrayRef, ArrowError> {
    use std::fmt::Write;
    let mut out = StringBuilder::new();
    for n in numbers {
        write!(out, "id{n:0digits$}").map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        out.append_value("");
    }
    Ok(Arc::new(out.finish()))
}

fn write_grouped(rows: u64, dir: &Path) -> Result<()> {
    use DataType::{Float64, Int32, Utf8};
    let schema = schema(&[
        ("id1", Utf8),
        ("id2", Utf8),
        ("id3", Utf8),
        ("id4", Int32),
        ("id5", Int32),
        ("id6", Int32),
        ("v1", Int32),
        ("v2", Int32),
        ("v3", Float64),
    ]);
    let mut rng = StdRng::seed_from_u64(SEED);
    let many = (rows / GROUPS).max(1);
    let of = Arc::clone(&schema);
    let made = batches(rows as usize).map(move |range| {
        let n = range.len();
        let mut text = |top: u64, digits| {
            let numbers: Vec<u64> = (0..n).map(|_| rng.random_range(1..=top)).collect();
            texts(numbers.into_iter(), digits)
        };
        let mut columns = vec![text(GROUPS, 3)?, text(GROUPS, 3)?, text(many, 10)?];
        columns.extend([GROUPS, GROUPS, many, 5, 15].map(|top| ints(&mut rng, n, top)));
        columns.push(values(&mut rng, n));
        RecordBatch::try_new(Arc::clone(&of), columns)
    });
    write_table(dir, "x", schema, made)
}

/// Keys of one column: 90% are on both sides, 10% on the left only, 10% on the right only.
struct Keys {
    both: Vec<i32>,
    left: Vec<i32>,
    right: Vec<i32>,
}

impl Keys {
    fn new(rng: &mut StdRng, n: u64) -> Self {
        let n = n as usize;
        let (common, all) = (n * 9 / 10, n + n / 10);
        let mut keys: Vec<i32> = (1..=all as i32).collect();
        keys.shuffle(rng);
        let right = keys.split_off(n);
        let left = keys.split_off(common);
        Self { both: keys, left, right }
    }

    /// `rows` keys of one side in random order, each of the side's at least once.
    fn side(&self, rng: &mut StdRng, own: &[i32], rows: u64) -> Vec<i32> {
        let rows = rows as usize;
        let mut out: Vec<i32> = self.both.iter().chain(own).copied().collect();
        let distinct = out.len();
        out.reserve(rows.saturating_sub(distinct));
        for _ in distinct..rows {
            out.push(out[rng.random_range(0..distinct)]);
        }
        out.shuffle(rng);
        out
    }
}

fn write_joined(rows: u64, dir: &Path) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(SEED + 1);
    let sizes = [1_000_000, 1_000, 1].map(|d| (rows / d).max(LEAST));
    let keys = sizes.map(|n| Keys::new(&mut rng, n));
    let left: Vec<Vec<i32>> = keys.iter().map(|k| k.side(&mut rng, &k.left, rows)).collect();
    write_keys(&mut rng, dir, "j", &left, "v1")?;
    drop(left);
    for (i, name) in ["small", "medium", "big"].into_iter().enumerate() {
        let right: Vec<Vec<i32>> =
            keys[..=i].iter().map(|k| k.side(&mut rng, &k.right, sizes[i])).collect();
        write_keys(&mut rng, dir, name, &right, "v2")?;
    }
    Ok(())
}

/// A table of integer keys `id1…`, the same as text `id4…`, and a value.
fn write_keys(
    rng: &mut StdRng,
    dir: &Path,
    name: &str,
    keys: &[Vec<i32>],
    value: &str,
) -> Result<()> {
    const NAMES: [(&str, &str); 3] = [("id1", "id4"), ("id2", "id5"), ("id3", "id6")];
    let names = &NAMES[..keys.len()];
    let mut columns: Vec<(&str, DataType)> = Vec::new();
    columns.extend(names.iter().map(|(n, _)| (*n, DataType::Int32)));
    columns.extend(names.iter().map(|(_, n)| (*n, DataType::Utf8)));
    columns.push((value, DataType::Float64));
    let schema = schema(&columns);
    let of = Arc::clone(&schema);
    let made = batches(keys[0].len()).map(move |range| {
        let n = range.len();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for k in keys {
            columns.push(Arc::new(Int32Array::from(k[range.clone()].to_vec())));
        }
        for k in keys {
            columns.push(texts(k[range.clone()].iter().map(|&n| n as u64), 0)?);
        }
        columns.push(values(rng, n));
        RecordBatch::try_new(Arc::clone(&of), columns)
    });
    write_table(dir, name, schema, made)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nine_tenths_of_the_keys_match_and_every_key_is_there() {
        let mut rng = StdRng::seed_from_u64(1);
        let keys = Keys::new(&mut rng, 1000);
        let (left, right) =
            (keys.side(&mut rng, &keys.left, 5000), keys.side(&mut rng, &keys.right, 1000));
        assert_eq!((left.len(), right.len()), (5000, 1000));
        let (l, r): (HashSet<i32>, HashSet<i32>) =
            (left.into_iter().collect(), right.into_iter().collect());
        assert_eq!((l.len(), r.len()), (1000, 1000));
        assert_eq!(l.intersection(&r).count(), 900);
    }

    #[test]
    fn text_keys_are_written_as_the_benchmark_writes_them() {
        let array = texts([7u64, 100].into_iter(), 3).unwrap();
        let text = arrow::util::display::array_value_to_string(&array, 0).unwrap();
        assert_eq!(text, "id007");
        let array = texts([7u64].into_iter(), 0).unwrap();
        assert_eq!(arrow::util::display::array_value_to_string(&array, 0).unwrap(), "id7");
    }
}
