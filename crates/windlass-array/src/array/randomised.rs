//! Random orders and choices, by position as all random numbers here: no task needs more than
//! its part.

use super::Array;
use crate::{
    dtype::DType,
    element::Buf,
    error::{ArrayError, Result},
    grid::ChunkGrid,
    shape::ArrayShape,
    tile::Tile,
};

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

impl Array {
    /// A permutation of `0..n`, as `i64`. The same seed gives the same one, whatever the
    /// chunks, and any part of it is made by itself.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn random_permutation(n: usize, seed: u64) -> Result<Self> {
        let grid = ChunkGrid::auto(&[n].into(), 8);
        let cut = grid.axes()[0].clone();
        Ok(Self::from_function(grid, DType::I64, move |chunk| {
            let (begin, end) = cut.bounds(chunk[0]);
            let order = crate::random::Permutation::new(n as u64, seed);
            let own = (begin..end).map(|i| order.at(i as u64) as i64).collect();
            Ok(Tile::dense(Buf::I64(own), [end - begin].into()))
        }))
    }

    /// The elements along an axis in random order. The same seed gives the same order,
    /// whatever the chunks; no task holds all of them.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn shuffle(&self, axis: isize, seed: u64) -> Result<Self> {
        let at = self.shape().axis(axis, "shuffle")?;
        let order = Self::random_permutation(self.shape()[at], seed)?;
        let order = order.rechunk_to(ChunkGrid::new(vec![self.chunks().axes()[at].clone()]))?;
        let found = self.take_array(&order, axis)?;
        found.rechunk_to(self.chunks().clone())
    }

    /// Elements of an array of rank 1, chosen at random, so many as the shape has: each as
    /// likely as the others, or by `shares`, which are of rank 1 and sum to 1; each several
    /// times or, without `replace`, at most once. The same seed gives the same ones, whatever
    /// the chunks.
    ///
    /// # Errors
    /// For another rank, no element, more than there are without `replace`, and shares that
    /// are not as many or come without `replace`.
    pub fn choice(
        &self,
        shape: impl Into<ArrayShape>,
        replace: bool,
        shares: Option<&Self>,
        seed: u64,
    ) -> Result<Self> {
        let (shape, n) = (shape.into(), self.size());
        let fits = self.rank() == 1 && n > 0 && (replace || shape.size() <= n);
        if !fits {
            let expected = "an array of rank 1 with as many elements as are chosen";
            return Err(wrong("choice", expected, self.shape()));
        }
        let places = match (shares, replace) {
            (None, true) => Self::random_integers(shape, (0, n as i64), seed)?,
            (None, false) => {
                let order = Self::random_permutation(n, seed)?;
                order.index_axis(0, 0..shape.size() as i64)?.reshape(shape)?
            }
            (Some(shares), true) if shares.shape() == self.shape() => {
                let sums = shares.astype(DType::F64).cumsum(0)?;
                let last = sums.index_axis(0, -1)?;
                let drawn = Self::random_uniform(shape, (0.0, 1.0), seed)?;
                let places = drawn.searchsorted(&sums.divide(&last)?, true)?;
                places.minimum(n as i64 - 1)?
            }
            (Some(shares), _) => {
                let expected = "one share for each element, and `replace`";
                return Err(wrong("choice", expected, shares.shape()));
            }
        };
        self.take_array(&places, 0)
    }

    /// Random `f64` of an exponential distribution of that mean. The same seed gives the same
    /// numbers, whatever the chunks.
    ///
    /// # Errors
    /// If the mean is negative or not finite.
    pub fn random_exponential(shape: impl Into<ArrayShape>, mean: f64, seed: u64) -> Result<Self> {
        if !mean.is_finite() || mean < 0.0 {
            return Err(ArrayError::Argument {
                operation: "random_exponential",
                argument: "mean",
                expected: "finite and not negative".into(),
                got: mean.to_string(),
            });
        }
        let uniform = Self::random_uniform(shape, (0.0, 1.0), seed)?;
        uniform.negative()?.log1p()?.multiply(-mean)
    }
}
