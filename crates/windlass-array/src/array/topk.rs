//! The greatest elements along an axis: each chunk gives its own, which are merged in a tree.

use ndarray::{ArrayD, Axis, concatenate};

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
    reduce::extremes::{Ordered, order},
    region::{Region, Span},
    tile::Tile,
};

/// The `k` greatest elements along an axis, and where they are.
struct Topk {
    axis: usize,
    along: AxisGrid,
    dtype: DType,
    places: bool,
}

impl Topk {
    /// The greatest `k` of each line, the greatest first; of equal ones the first.
    fn best<T: Ordered>(
        &self,
        values: &ArrayD<T>,
        places: &ArrayD<i64>,
        k: usize,
    ) -> Result<Partial, BoxError> {
        let at = Axis(self.axis);
        let k = k.min(values.len_of(at));
        let mut lens = values.shape().to_vec();
        lens[self.axis] = k;
        let (mut best, mut found) = (ArrayD::<T>::default(lens.clone()), ArrayD::zeros(lens));
        let lines = values.lanes(at).into_iter().zip(places.lanes(at));
        let to = best.lanes_mut(at).into_iter().zip(found.lanes_mut(at));
        for ((values, places), (mut best, mut found)) in lines.zip(to) {
            let mut own: Vec<(T, i64)> =
                values.iter().copied().zip(places.iter().copied()).collect();
            let greater = |a: &(T, i64), b: &(T, i64)| order::<T>(&b.0, &a.0).then(a.1.cmp(&b.1));
            if 0 < k && k < own.len() {
                own.select_nth_unstable_by(k - 1, greater);
            }
            own.truncate(k);
            own.sort_unstable_by(greater);
            for (i, (v, p)) in own.into_iter().enumerate() {
                (best[i], found[i]) = (v, p);
            }
        }
        Ok(Partial(vec![Tile::from_array(best), Tile::from_array(found)]))
    }
}

impl Regions for Topk {
    fn name(&self) -> &'static str {
        if self.places { "argtopk" } else { "topk" }
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            vec![(0, region.with(self.axis, Span::new(begin, 1, end - begin)))]
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, region: &Region, at: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        let span = region.axes[self.axis];
        let first = self.along.bounds(at).0;
        dispatch!(self.dtype, T => {
            let values = inputs[0].to_array::<T>()?;
            let places = ArrayD::from_shape_fn(values.raw_dim(), |i| (first + i[self.axis]) as i64);
            self.best::<T>(&values, &places, span.start + span.len)
        })
    }

    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        let span = region.axes[self.axis];
        dispatch!(self.dtype, T => {
            let all = |which: usize| parts.iter().map(move |p| &p.0[which]);
            let values = all(0).map(Tile::to_array::<T>).collect::<Result<Vec<_>, _>>()?;
            let places = all(1).map(Tile::to_array::<i64>).collect::<Result<Vec<_>, _>>()?;
            let values: Vec<_> = values.iter().map(|v| v.view()).collect();
            let places: Vec<_> = places.iter().map(|v| v.view()).collect();
            let values = concatenate(Axis(self.axis), &values)?;
            let places = concatenate(Axis(self.axis), &places)?;
            self.best::<T>(&values, &places, span.start + span.len)
        })
    }

    fn finish(&self, region: &Region, all: Partial) -> Result<Tile, BoxError> {
        let whole = &all.0[usize::from(self.places)];
        let span = region.axes[self.axis];
        Ok(whole.part(&Region::all(&region.lens()).with(self.axis, span)))
    }

    fn partial_bytes(&self, region: &Region, element: usize) -> u64 {
        (region.size() * (element + 8)) as u64
    }
}

impl Array {
    /// The `k` greatest elements along an axis, the greatest first; NaN counts as greater
    /// than any number. Each chunk gives its own, which are merged.
    ///
    /// # Errors
    /// If the axis is out of range or has fewer elements.
    pub fn topk(&self, k: usize, axis: isize) -> Result<Self> {
        self.greatest("topk", k, axis, false)
    }

    /// The positions of the `k` greatest elements along an axis, the greatest first, as
    /// `i64`; of equal ones the first. NaN counts as greater than any number.
    ///
    /// # Errors
    /// If the axis is out of range or has fewer elements.
    pub fn argtopk(&self, k: usize, axis: isize) -> Result<Self> {
        self.greatest("argtopk", k, axis, true)
    }

    fn greatest(
        &self,
        operation: &'static str,
        k: usize,
        axis: isize,
        places: bool,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, operation)?;
        let len = self.shape()[at];
        if k > len {
            return Err(ArrayError::Argument {
                operation,
                argument: "k",
                expected: format!("at most the {len} elements of axis {at}"),
                got: k.to_string(),
            });
        }
        let input = self.chunks().tasks(self.dtype().bytes(), true);
        let mut axes = input.axes().to_vec();
        axes[at] = AxisGrid::regular(k, k);
        let along = input.axes()[at].clone();
        let op = Topk { axis: at, along, dtype: self.dtype(), places };
        let dtype = if places { DType::I64 } else { self.dtype() };
        Ok(Self::regions(op, &[self], dtype, ChunkGrid::new(axes)))
    }
}
