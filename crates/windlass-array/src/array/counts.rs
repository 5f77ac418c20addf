//! Counts and sums of what chunks hold, and places in a sorted array, added in a tree.

use std::cmp::Ordering;

use super::Array;
use crate::{
    dtype::DType,
    element::dispatch,
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{Partial, Reads, Regions},
    },
    grid::{AxisGrid, ChunkGrid},
    reduce::extremes::order,
    region::{Region, Span},
    tile::Tile,
};

/// How many elements of a sorted array are before each value.
struct Below {
    along: AxisGrid,
    dtype: DType,
    right: bool,
}

impl Regions for Below {
    fn name(&self) -> &'static str {
        "searchsorted"
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            let sorted = Region::new(vec![Span::new(begin, 1, end - begin)]);
            vec![(0, region.clone()), (1, sorted)]
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, region: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        dispatch!(self.dtype, T => {
            let (values, sorted) = (inputs[0].to_dense(), inputs[1].to_dense());
            let sorted = &sorted.buf().typed::<T>()[sorted.offset()..][..sorted.shape().size()];
            let place = |v: &T| -> i64 {
                let below = |s: &T| match order::<T>(s, v) {
                    Ordering::Less => true,
                    Ordering::Equal => self.right,
                    Ordering::Greater => false,
                };
                sorted.partition_point(below) as i64
            };
            let values = &values.buf().typed::<T>()[values.offset()..][..region.size()];
            let places: Vec<i64> = values.iter().map(place).collect();
            Ok(Partial::one(Tile::new(places, region.lens())?))
        })
    }

    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        summed::<i64>(parts, region.lens()).map(Partial::one)
    }
}

/// The sum of tiles of one shape.
fn summed<T: crate::Element + std::ops::AddAssign>(
    parts: &[&Partial],
    lens: Vec<usize>,
) -> Result<Tile, BoxError> {
    let mut sums = vec![T::default(); lens.iter().product()];
    for part in parts {
        let own = part.0[0].to_dense();
        let own = &own.buf().typed::<T>()[own.offset()..];
        sums.iter_mut().zip(own).for_each(|(s, v)| *s += *v);
    }
    Ok(Tile::new(sums, lens)?)
}

/// Counts, or sums, of what the chunks of arrays of rank 1 add to them.
struct Counts<F> {
    operation: &'static str,
    along: AxisGrid,
    inputs: usize,
    /// Whether sums of `f64` are kept, else of `i64`.
    floats: bool,
    /// What one chunk of the inputs adds.
    count: F,
}

impl<F> Regions for Counts<F>
where
    F: Fn(&[Tile], usize) -> Result<Tile, BoxError> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.operation
    }

    fn chunk_a_task(&self) -> bool {
        true
    }

    fn parts(&self, _: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            let part = Region::new(vec![Span::new(begin, 1, end - begin)]);
            (0..self.inputs).map(|i| (i, part.clone())).collect()
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, region: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        (self.count)(inputs, region.size()).map(Partial::one)
    }

    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        let lens = region.lens();
        let sum = if self.floats { summed::<f64>(parts, lens) } else { summed::<i64>(parts, lens) };
        sum.map(Partial::one)
    }
}

impl Array {
    /// Where each element would stand in a sorted array of rank 1, as `i64`: before the
    /// elements that equal it, or behind them if `right`. Each task looks in one chunk of the
    /// sorted array.
    ///
    /// # Errors
    /// If the sorted array is not of rank 1.
    pub fn searchsorted(&self, sorted: &Self, right: bool) -> Result<Self> {
        if sorted.rank() != 1 {
            return Err(ArrayError::Shape {
                operation: "searchsorted",
                expected: "a sorted array of rank 1".into(),
                got: sorted.shape().to_string(),
            });
        }
        let dtype = self.dtype().promote(sorted.dtype());
        let (values, sorted) = (self.astype(dtype), sorted.astype(dtype));
        let along = sorted.chunks().tasks(dtype.bytes(), true).axes()[0].clone();
        let op = Below { along, dtype, right };
        Ok(Self::regions(op, &[&values, &sorted], DType::I64, self.chunks().clone()))
    }

    /// Sums over the chunks of arrays of rank 1 and one length: `count` gives what a chunk
    /// adds to `bins` numbers.
    pub(super) fn counted_in<F>(
        operation: &'static str,
        inputs: &[&Self],
        bins: usize,
        floats: bool,
        count: F,
    ) -> Self
    where
        F: Fn(&[Tile], usize) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let first = inputs[0];
        let along = first.chunks().tasks(first.dtype().bytes(), true).axes()[0].clone();
        let op = Counts { operation, along, inputs: inputs.len(), floats, count };
        let dtype = if floats { DType::F64 } else { DType::I64 };
        let grid = ChunkGrid::new(vec![AxisGrid::regular(bins, bins)]);
        Self::regions(op, inputs, dtype, grid)
    }
}
