//! Random orders and choices, by position as all random numbers here: no task needs more than
//! its part.

use super::Array;
use crate::{
    dtype::DType,
    element::Buf,
    error::{ArrayError, Result},
    grid::ChunkGrid,
    random::{Distribution, Permutation, Random},
    rejection::Drawn,
    shape::ArrayShape,
    tile::Tile,
};

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

fn argument(
    operation: &'static str,
    argument: &'static str,
    expected: &str,
    got: impl ToString,
) -> ArrayError {
    ArrayError::Argument { operation, argument, expected: expected.into(), got: got.to_string() }
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
            let order = Permutation::new(n as u64, seed);
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
            return Err(argument("random_exponential", "mean", "finite and not negative", mean));
        }
        let uniform = Self::random_uniform(shape, (0.0, 1.0), seed)?;
        uniform.negative()?.log1p()?.multiply(-mean)
    }

    /// Random `f64` of a gamma distribution of that shape and scale. The same seed gives the
    /// same numbers, whatever the chunks.
    ///
    /// # Errors
    /// If the shape is not positive, the scale is negative, or one is not finite.
    pub fn random_gamma(
        lens: impl Into<ArrayShape>,
        (shape, scale): (f64, f64),
        seed: u64,
    ) -> Result<Self> {
        if !(shape > 0.0 && scale >= 0.0 && (shape + scale).is_finite()) {
            let got = format!("{shape} and {scale}");
            return Err(argument("random_gamma", "shape and scale", "positive and finite", got));
        }
        let kind = Distribution::Drawn(Drawn::Gamma { shape, scale });
        Ok(Self::random(lens.into(), DType::F64, Random { seed, kind }))
    }

    /// Random `i64` of a Poisson distribution of that mean. The same seed gives the same
    /// numbers, whatever the chunks.
    ///
    /// # Errors
    /// If the mean is negative or beyond 2^53.
    pub fn random_poisson(lens: impl Into<ArrayShape>, mean: f64, seed: u64) -> Result<Self> {
        if !(0.0..=9.0e15).contains(&mean) {
            return Err(argument("random_poisson", "mean", "in 0..=9e15", mean));
        }
        let kind = Distribution::Drawn(Drawn::Poisson { mean });
        Ok(Self::random(lens.into(), DType::I64, Random { seed, kind }))
    }

    /// Random `i64`: how many of so many trials succeed, each by that share of chance. The
    /// same seed gives the same numbers, whatever the chunks.
    ///
    /// # Errors
    /// If the share is not in 0..=1, or there are more than 2^53 trials.
    pub fn random_binomial(
        lens: impl Into<ArrayShape>,
        trials: u64,
        share: f64,
        seed: u64,
    ) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) || trials > 1 << 53 {
            let got = format!("{share} of {trials}");
            return Err(argument("random_binomial", "share and trials", "in 0..=1 of 2^53", got));
        }
        let kind = Distribution::Drawn(Drawn::Binomial { trials, share });
        Ok(Self::random(lens.into(), DType::I64, Random { seed, kind }))
    }
}
