//! Quantiles of long lines: the two elements that one lies between are found digit by digit.
//! Each round counts the next digits of the elements that begin with those found so far, chunk
//! by chunk, as radix sorts do; no element is moved.

use super::{
    Array,
    quantile::{Quantile, between},
    reduce::Axes,
};
use crate::{
    dtype::{DType, Kind},
    element::Buf,
    error::Result,
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions, Partial, Reads, Regions},
    },
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    tile::Tile,
};

/// Elements as integers in their order; NaN is the greatest.
fn key(values: &Buf, i: usize) -> u64 {
    const TOP: u64 = 1 << 63;
    match values {
        Buf::I64(v) => v[i] as u64 ^ TOP,
        Buf::U64(v) => v[i],
        Buf::F64(v) if v[i].is_nan() => u64::MAX,
        Buf::F64(v) => {
            let bits = v[i].to_bits();
            if bits & TOP == 0 { bits | TOP } else { !bits }
        }
        other => unreachable!("elements of {} are converted first", other.dtype()),
    }
}

/// The element of a key.
fn of_key(key: u64, dtype: DType) -> f64 {
    const TOP: u64 = 1 << 63;
    match dtype {
        DType::I64 => (key ^ TOP) as i64 as f64,
        DType::U64 => key as f64,
        _ => f64::from_bits(if key & TOP == 0 { !key } else { key & !TOP }),
    }
}

/// The numbers that a round keeps of each line: the first digits of the two elements, and
/// their ranks among those that begin with them.
const KEPT: usize = 4;

/// A round: the next digits of the two elements of each line. The inputs are the elements and
/// what the last round kept; the result has the line's axis last.
struct Round {
    axis: usize,
    input: ChunkGrid,
    /// How many digits are known, and how many come, in bits.
    known: u32,
    bits: u32,
}

impl Round {
    /// Counts of the next digits: for each line those of the first element, then those of the
    /// second one.
    fn count(&self, values: &Tile, state: &Tile) -> Result<Tile, BoxError> {
        let lines = crate::execute::lines::to_lines(values, self.axis, None);
        let kept = state.to_dense();
        let kept = &kept.buf().typed::<u64>()[kept.offset()..];
        let bins = 1 << self.bits;
        let shift = 64 - self.known - self.bits;
        let mut counts = vec![0_i64; lines.rows() * 2 * bins];
        for row in 0..lines.rows() {
            let own = &kept[row * KEPT..][..KEPT];
            let (begin, end) = lines.bounds(row);
            let (first, second) = counts[row * 2 * bins..][..2 * bins].split_at_mut(bins);
            for i in begin..end {
                let key = key(&lines.values, i);
                let head = if self.known == 0 { 0 } else { key >> (64 - self.known) };
                let digit = (key >> shift) as usize & (bins - 1);
                first[digit] += i64::from(head == own[0]);
                if own[0] != own[2] {
                    second[digit] += i64::from(head == own[2]);
                }
            }
            if own[0] == own[2] {
                second.copy_from_slice(first);
            }
        }
        Ok(Tile::new(counts, [lines.rows(), 2 * bins])?)
    }
}

impl Regions for Round {
    fn name(&self) -> &'static str {
        "quantile"
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let mut lines = region.axes[..region.axes.len() - 1].to_vec();
        lines.insert(self.axis, Span::new(0, 1, self.input.axes()[self.axis].len()));
        let lines = Region::new(lines);
        let along = &self.input.axes()[self.axis];
        let part = |i: usize| {
            let (begin, end) = along.bounds(i);
            let part = lines.with(self.axis, Span::new(begin, 1, end - begin));
            vec![(0, part), (1, region.clone())]
        };
        (0..along.count()).map(part).collect()
    }

    fn part(&self, _: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        let state = inputs[1].to_dense();
        Ok(Partial(vec![self.count(&inputs[0], &state)?, state]))
    }

    fn merge(&self, _: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        let mut sums = parts[0].0[0].buf().typed::<i64>().to_vec();
        for part in &parts[1..] {
            let own = part.0[0].buf().typed::<i64>();
            sums.iter_mut().zip(own).for_each(|(s, v)| *s += v);
        }
        let state = parts[0].0[1].clone();
        Ok(Partial(vec![Tile::new(sums, parts[0].0[0].shape())?, state]))
    }

    fn finish(&self, region: &Region, all: Partial) -> Result<Tile, BoxError> {
        let [counts, state] = &all.0[..] else { return Err("a round has two tiles".into()) };
        let (counts, state) = (counts.buf().typed::<i64>(), state.to_dense());
        let mut kept = state.buf().typed::<u64>()[state.offset()..][..region.size()].to_vec();
        let bins = 1 << self.bits;
        for (pair, own) in kept.chunks_exact_mut(2).zip(counts.chunks_exact(bins)) {
            let mut digit = 0;
            while digit + 1 < bins && pair[1] >= own[digit] as u64 {
                pair[1] -= own[digit] as u64;
                digit += 1;
            }
            pair[0] = pair[0] << self.bits | digit as u64;
        }
        Ok(Tile::new(kept, region.lens())?)
    }

    fn partial_bytes(&self, region: &Region, _: usize) -> u64 {
        ((region.size() / 2) << self.bits) as u64 * 8
    }
}

impl Array {
    /// A quantile along an axis of long lines, as `f64`.
    pub(super) fn quantile_by_digits(
        &self,
        at: usize,
        q: f64,
        method: Quantile,
        skips: bool,
    ) -> Result<Self> {
        let wide = match self.dtype().kind() {
            Kind::Float => DType::F64,
            _ if self.dtype() == DType::U64 => DType::U64,
            _ => DType::I64,
        };
        let values = self.astype(wide);
        let axes = || Axes::from(at as isize);
        // How many elements count, and whether the result is NaN.
        let numbers = values.isnan()?.logical_not()?.sum(axes())?;
        let n = self.shape()[at] as i64;
        let count = if skips { numbers.clone() } else { numbers.multiply(0)?.add(n)? };
        let undefined = if skips { numbers.equal(0)? } else { numbers.not_equal(n)? };
        // Counts of few lines may be of more digits at once (a stated guess: they stay within
        // a second-level cache).
        let bits = if numbers.size() <= 4 { 16 } else { 8 };
        let input = self.chunks().tasks(wide.bytes(), true);
        let mut kept = count.chunks().axes().to_vec();
        kept.push(AxisGrid::regular(KEPT, KEPT));
        let grid = ChunkGrid::new(kept);
        let mut state = Self::regions(first_ranks(q, method), &[&count], DType::U64, grid.clone());
        for round in 0..64 / bits {
            let op = Round { axis: at, input: input.clone(), known: round * bits, bits };
            state = Self::regions(op, &[&values, &state], DType::U64, grid.clone());
        }
        let last = OfRegions(OfChunks {
            name: "quantile",
            reads: |region: &Region| {
                let mut kept = region.axes.clone();
                kept.push(Span::new(0, 1, KEPT));
                vec![(0, Region::new(kept)), (1, region.clone())]
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let state = tiles[0].to_array::<u64>()?.into_raw_vec_and_offset().0;
                let counts = tiles[1].to_array::<i64>()?;
                let one = |(kept, n): (&[u64], &i64)| {
                    let (_, _, share) = method.ranks((*n as usize).max(1), q);
                    between(of_key(kept[0], wide), of_key(kept[2], wide), share)
                };
                let found: Vec<f64> = state.chunks_exact(KEPT).zip(&counts).map(one).collect();
                Ok::<_, BoxError>(Tile::new(found, region.lens())?)
            },
        });
        let found = Self::regions(last, &[&state, &count], DType::F64, count.chunks().clone());
        if wide != DType::F64 {
            return Ok(found);
        }
        Self::select(&undefined, f64::NAN, &found)
    }
}

/// What is known of the two elements of each line at first: their ranks.
fn first_ranks(q: f64, method: Quantile) -> impl Regions {
    OfRegions(OfChunks {
        name: "quantile",
        reads: |region: &Region| {
            vec![(0, Region::new(region.axes[..region.axes.len() - 1].to_vec()))]
        },
        make: move |region: &Region, tiles: &[Tile]| {
            let counts = tiles[0].to_array::<i64>()?;
            let ranks = counts.iter().flat_map(|n| {
                let (low, high, _) = method.ranks((*n as usize).max(1), q);
                [0, low as u64, 0, high as u64]
            });
            Ok::<_, BoxError>(Tile::new(ranks.collect(), region.lens())?)
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order() {
        let values = [f64::NEG_INFINITY, -2.5, -1e-300, 0.0, 1e-300, 3.0, f64::INFINITY, f64::NAN];
        let keys: Vec<u64> = (0..8).map(|i| key(&Buf::F64(values.to_vec()), i)).collect();
        assert!(keys.is_sorted());
        assert!(values[..7].iter().zip(&keys).all(|(v, k)| of_key(*k, DType::F64) == *v));
        let integers = [i64::MIN, -1, 0, 1, i64::MAX];
        let keys: Vec<u64> = (0..5).map(|i| key(&Buf::I64(integers.to_vec()), i)).collect();
        assert!(keys.is_sorted());
    }
}
