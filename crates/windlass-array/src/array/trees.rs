//! Results that are merged of what chunks give, in a tree: the greatest elements, different
//! elements, counts, and places in a sorted array.

use std::cmp::Ordering;

use ndarray::{ArrayD, Axis, concatenate};

use super::Array;
use crate::{
    dtype::DType,
    element::dispatch,
    error::{ArrayError, Result},
    execute,
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

/// Different elements in ascending order, how often each comes, and where it is first.
struct Unique {
    along: AxisGrid,
    dtype: DType,
}

impl Unique {
    fn of<T: Ordered>(mut all: Vec<(T, i64, i64)>) -> Result<Partial, BoxError> {
        // Runs that are sorted already are merged.
        all.sort_by(|a, b| order::<T>(&a.0, &b.0).then(a.2.cmp(&b.2)));
        all.dedup_by(|b, a| {
            let same = order::<T>(&a.0, &b.0) == Ordering::Equal;
            if same {
                a.1 += b.1;
            }
            same
        });
        let n = all.len();
        let numbers = |which: &dyn Fn(&(T, i64, i64)) -> i64| all.iter().map(which).collect();
        let (counts, places): (Vec<i64>, Vec<i64>) = (numbers(&|v| v.1), numbers(&|v| v.2));
        let values: Vec<T> = all.iter().map(|v| v.0).collect();
        Ok(Partial(vec![Tile::new(values, [n])?, Tile::new(counts, [n])?, Tile::new(places, [n])?]))
    }
}

impl Regions for Unique {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn parts(&self, _: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            vec![(0, Region::new(vec![Span::new(begin, 1, end - begin)]))]
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, _: &Region, at: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        let first = self.along.bounds(at).0 as i64;
        dispatch!(self.dtype, T => {
            let values = inputs[0].to_array::<T>()?;
            Self::of::<T>(values.iter().zip(first..).map(|(v, p)| (*v, 1, p)).collect())
        })
    }

    fn merge(&self, _: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        dispatch!(self.dtype, T => {
            let mut all = Vec::new();
            for part in parts {
                let values = part.0[0].buf().typed::<T>().iter();
                let numbers = part.0[1].buf().typed::<i64>().iter().zip(part.0[2].buf().typed::<i64>());
                all.extend(values.zip(numbers).map(|(v, (n, p))| (*v, *n, *p)));
            }
            Self::of::<T>(all)
        })
    }

    fn partial_bytes(&self, _: &Region, _: usize) -> u64 {
        // All different: what the largest chunk can give.
        (self.along.largest() * (self.dtype.bytes() + 16)) as u64
    }
}

/// What [`Array::unique_all`] finds.
#[derive(Debug, Clone)]
pub struct UniqueParts {
    /// The different elements in ascending order, NaN once and last.
    pub values: Array,
    /// Where each is first, counted with the last axis the fastest, as `i64`.
    pub positions: Array,
    /// How often each comes, as `i64`.
    pub counts: Array,
    /// The place of each element among the different ones, as `i64`, of the array's shape.
    pub inverse: Array,
}

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
pub(super) struct Counts<F> {
    pub(super) operation: &'static str,
    pub(super) along: AxisGrid,
    pub(super) inputs: usize,
    /// Whether sums of `f64` are kept, else of `i64`.
    pub(super) floats: bool,
    /// What one chunk of the inputs adds.
    pub(super) count: F,
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

    /// Its different elements in ascending order, NaN once, as rank 1. It is computed now,
    /// since the shape of the result depends on it: each chunk gives its own, which are
    /// merged in a tree. The last merge holds the result twice.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn unique(&self) -> Result<Self> {
        let mut parts = self.unique_parts()?;
        Ok(Self::from_tile(parts.swap_remove(0)))
    }

    /// As [`Array::unique`], with where each is first, how often it comes, and the place of
    /// every element among them: NumPy's `unique` with all that it can return.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn unique_all(&self) -> Result<UniqueParts> {
        let parts = self.unique_parts()?;
        let [values, counts, positions] =
            <[Tile; 3]>::try_from(parts).unwrap_or_else(|_| unreachable!("there are three"));
        let values = Self::from_tile(values);
        Ok(UniqueParts {
            inverse: self.searchsorted(&values, false)?,
            counts: Self::from_tile(counts),
            positions: Self::from_tile(positions),
            values,
        })
    }

    fn unique_parts(&self) -> Result<Vec<Tile>> {
        if self.size() == 0 {
            let none = |dtype| Tile::dense(crate::element::Buf::zeros(dtype, 0), [0].into());
            return Ok(vec![none(self.dtype()), none(DType::I64), none(DType::I64)]);
        }
        let flat = self.ravel()?;
        let along = flat.chunks().tasks(self.dtype().bytes(), true).axes()[0].clone();
        let op = Unique { along, dtype: self.dtype() };
        let one = ChunkGrid::new(vec![AxisGrid::regular(1, 1)]);
        let found = Self::regions(op, &[&flat], self.dtype(), one);
        let on = &**windlass_runtime::execute::Executor::global();
        Ok(execute::merged_parts(&found.node(), on)?.0)
    }

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

    /// Whether each element is one of some others: NumPy's `isin`. The others' different
    /// elements are computed now and held by every task. NaN is none of any.
    ///
    /// # Errors
    /// If computing the others fails.
    pub fn isin(&self, others: &Self) -> Result<Self> {
        let dtype = self.dtype().promote(others.dtype());
        let known = others.astype(dtype).unique()?.compute_tile()?;
        let grid = self.chunks().clone();
        Ok(Self::blocks(&[&self.astype(dtype)], DType::Bool, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let known = &known.buf().typed::<T>()[known.offset()..];
                let is = |v: T| {
                    !v.is_not_a_number() && known.binary_search_by(|k| order::<T>(k, &v)).is_ok()
                };
                Ok(Tile::from_array(tiles[0].to_array::<T>()?.mapv(is)))
            })
        }))
    }

    /// The different elements of both, in ascending order: NumPy's `union1d`. It is computed
    /// now.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn union1d(&self, other: &Self) -> Result<Self> {
        Self::concatenate(&[&self.ravel()?, &other.ravel()?], 0)?.unique()
    }

    /// The different elements that both have, in ascending order: NumPy's `intersect1d`. It
    /// is computed now.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn intersect1d(&self, other: &Self) -> Result<Self> {
        let dtype = self.dtype().promote(other.dtype());
        let own = self.astype(dtype).unique()?;
        own.mask(&own.isin(other)?)
    }

    /// The different elements that the other does not have, in ascending order: NumPy's
    /// `setdiff1d`. It is computed now.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn setdiff1d(&self, other: &Self) -> Result<Self> {
        let own = self.unique()?;
        own.mask(&own.isin(other)?.logical_not()?)
    }

    /// The different elements that only one of both has, in ascending order: NumPy's
    /// `setxor1d`. It is computed now.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn setxor1d(&self, other: &Self) -> Result<Self> {
        self.setdiff1d(other)?.union1d(&other.setdiff1d(self)?)
    }
}
