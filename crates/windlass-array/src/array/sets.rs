//! Different elements, and sets of them: what each chunk has is merged in a tree.

use std::cmp::Ordering;

use windlass_runtime::execute::Executor;

use super::Array;
use crate::{
    dtype::DType,
    element::dispatch,
    error::Result,
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

impl Array {
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
        let on = &**Executor::global();
        Ok(execute::merged_parts(&found.node(), on)?.0)
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
