//! Medians and quantiles, with NumPy's methods: exact, whatever the size. Short lines are
//! brought into one chunk each; of long ones the elements are found digit by digit (`digits`).

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    tile::Tile,
};

/// How a quantile that lies between two elements is made of them: NumPy's methods of these
/// names, after R. J. Hyndman and Y. Fan, *Sample Quantiles in Statistical Packages* (1996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantile {
    /// Between both in proportion.
    #[default]
    Linear,
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
    /// Their mean.
    Midpoint,
    /// The nearer one, the one of even rank of two.
    Nearest,
    /// The inverse of the distribution function.
    InvertedCdf,
    /// As that, the mean of both where it jumps.
    AveragedInvertedCdf,
    /// The element whose share is nearest.
    ClosestObservation,
    /// The interpolated inverse of the distribution function.
    InterpolatedInvertedCdf,
    /// Hazen's.
    Hazen,
    /// Weibull's.
    Weibull,
    /// Unbiased for the median.
    MedianUnbiased,
    /// Unbiased for a normal distribution.
    NormalUnbiased,
}

impl Quantile {
    /// The method of NumPy's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "linear" => Self::Linear,
            "lower" => Self::Lower,
            "higher" => Self::Higher,
            "midpoint" => Self::Midpoint,
            "nearest" => Self::Nearest,
            "inverted_cdf" => Self::InvertedCdf,
            "averaged_inverted_cdf" => Self::AveragedInvertedCdf,
            "closest_observation" => Self::ClosestObservation,
            "interpolated_inverted_cdf" => Self::InterpolatedInvertedCdf,
            "hazen" => Self::Hazen,
            "weibull" => Self::Weibull,
            "median_unbiased" => Self::MedianUnbiased,
            "normal_unbiased" => Self::NormalUnbiased,
            _ => return None,
        })
    }

    /// Whether the result is one of the elements.
    fn is_element(self) -> bool {
        matches!(
            self,
            Self::Lower
                | Self::Higher
                | Self::Nearest
                | Self::InvertedCdf
                | Self::ClosestObservation
        )
    }

    /// The ranks of the two elements around a share of `n`, and the share of the second one.
    pub(super) fn ranks(self, n: usize, q: f64) -> (usize, usize, f64) {
        let count = n as f64;
        let general = |a: f64, b: f64| count * q + (a + q * (1.0 - a - b)) - 1.0;
        let place = match self {
            Self::Linear => (count - 1.0) * q,
            Self::Lower => ((count - 1.0) * q).floor(),
            Self::Higher => ((count - 1.0) * q).ceil(),
            Self::Midpoint => {
                let at = (count - 1.0) * q;
                0.5 * (at.floor() + at.ceil())
            }
            Self::Nearest => ((count - 1.0) * q).round_ties_even(),
            Self::InvertedCdf => (count * q - 1.0).ceil(),
            Self::AveragedInvertedCdf => count * q - 1.0,
            Self::ClosestObservation => {
                // One place lower where the share hits one whose number from 1 on is even.
                let at = count * q - 1.0 - 0.5;
                let exact = at == at.floor() && at.floor() % 2.0 == 1.0;
                if exact { at } else { at.floor() + 1.0 }
            }
            Self::InterpolatedInvertedCdf => general(0.0, 1.0),
            Self::Hazen => general(0.5, 0.5),
            Self::Weibull => general(0.0, 0.0),
            Self::MedianUnbiased => general(1.0 / 3.0, 1.0 / 3.0),
            Self::NormalUnbiased => general(3.0 / 8.0, 3.0 / 8.0),
        };
        let last = n - 1;
        let clamped = |at: f64| (at.max(0.0) as usize).min(last);
        let share = match self {
            Self::AveragedInvertedCdf => {
                if place == place.floor() {
                    0.5
                } else {
                    1.0
                }
            }
            _ if place < 0.0 => 0.0,
            _ => place - place.floor(),
        };
        let low = place.floor();
        let high = if self.is_element() { low } else { low + 1.0 };
        (clamped(low), clamped(high), share)
    }
}

/// A share of the way from one number to another.
pub(super) fn between(a: f64, b: f64, share: f64) -> f64 {
    if share == 0.0 || a == b {
        a
    } else if share < 0.5 {
        a + (b - a) * share
    } else {
        b - (b - a) * (1.0 - share)
    }
}

/// The quantile of some numbers; NaN of none.
fn quantile(values: &mut [f64], q: f64, method: Quantile) -> f64 {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let (low, high, share) = method.ranks(values.len(), q);
    let (_, &mut a, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let b = if high == low { a } else { above.iter().copied().reduce(f64::min).unwrap_or(a) };
    between(a, b, share)
}

impl Array {
    /// The element below which a share `q` of the elements along an axis lies, in proportion
    /// between two; without an axis among all. Of integers and bools as `f64`; NaN if one is.
    ///
    /// # Errors
    /// If the axis is out of range, `q` is not in 0..=1, or there is no element; for complex
    /// numbers.
    pub fn quantile(&self, q: f64, axis: Option<isize>) -> Result<Self> {
        self.quantile_by(q, axis, Quantile::Linear)
    }

    /// As [`Array::quantile`], by one of NumPy's methods. Those that give one of the elements
    /// keep the array's type.
    ///
    /// ```
    /// use windlass_array::{Array, Quantile};
    ///
    /// let x = Array::arange(0, 10, 1)?;
    /// let lower = x.quantile_by(0.25, None, Quantile::Lower)?;
    /// assert_eq!(lower.compute::<i64>()?.sum(), 2);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn quantile_by(&self, q: f64, axis: Option<isize>, method: Quantile) -> Result<Self> {
        self.quantiles(("quantile", false), q, axis, method)
    }

    /// As [`Array::quantile_by`], of a share in percent.
    ///
    /// # Errors
    /// As there.
    pub fn percentile_by(
        &self,
        percent: f64,
        axis: Option<isize>,
        method: Quantile,
    ) -> Result<Self> {
        self.quantile_by(percent / 100.0, axis, method)
    }

    /// As [`Array::quantile`], of a share in percent.
    ///
    /// # Errors
    /// As there.
    pub fn percentile(&self, percent: f64, axis: Option<isize>) -> Result<Self> {
        self.quantile(percent / 100.0, axis)
    }

    /// The middle element along an axis, or the mean of the two: [`Array::quantile`] of 0.5.
    ///
    /// # Errors
    /// As there.
    pub fn median(&self, axis: Option<isize>) -> Result<Self> {
        self.quantile(0.5, axis)
    }

    /// As [`Array::quantile_by`], of what is not NaN; NaN where all are.
    ///
    /// # Errors
    /// As there.
    pub fn nanquantile(&self, q: f64, axis: Option<isize>, method: Quantile) -> Result<Self> {
        self.quantiles(("nanquantile", true), q, axis, method)
    }

    /// As [`Array::nanquantile`], of a share in percent.
    ///
    /// # Errors
    /// As there.
    pub fn nanpercentile(
        &self,
        percent: f64,
        axis: Option<isize>,
        method: Quantile,
    ) -> Result<Self> {
        self.nanquantile(percent / 100.0, axis, method)
    }

    /// As [`Array::median`], of what is not NaN; NaN where all are.
    ///
    /// # Errors
    /// As there.
    pub fn nanmedian(&self, axis: Option<isize>) -> Result<Self> {
        self.nanquantile(0.5, axis, Quantile::Linear)
    }

    fn quantiles(
        &self,
        (operation, skips): (&'static str, bool),
        q: f64,
        axis: Option<isize>,
        method: Quantile,
    ) -> Result<Self> {
        let Some(axis) = axis else {
            return self.ravel()?.quantiles((operation, skips), q, Some(0), method);
        };
        let at = self.shape().axis(axis, operation)?;
        if !(0.0..=1.0).contains(&q) {
            return Err(ArrayError::Argument {
                operation,
                argument: "q",
                expected: "in 0..=1".into(),
                got: q.to_string(),
            });
        }
        if self.dtype().is_complex() {
            return Err(ArrayError::Type {
                operation,
                dtype: self.dtype().to_string(),
                hint: "it is defined for real numbers",
            });
        }
        if self.shape()[at] == 0 {
            return Err(ArrayError::Empty { operation, axis: at, shape: self.shape().clone() });
        }
        let keeps = self.dtype().is_float() || method.is_element();
        let dtype = if keeps { self.dtype() } else { DType::F64 };
        let found = match self.has_short_lines(at) {
            true => self.quantile_of_lines(at, q, method, skips)?,
            false => self.quantile_by_digits(at, q, method, skips)?,
        };
        Ok(found.astype(dtype))
    }

    fn quantile_of_lines(&self, at: usize, q: f64, method: Quantile, skips: bool) -> Result<Self> {
        let (whole, grid) = self.short_lines(at, 1);
        let found =
            Self::blocks(&[&whole.astype(DType::F64)], DType::F64, grid, move |tiles, _| {
                let values = tiles[0].to_array::<f64>()?;
                let found = values.map_axis(ndarray::Axis(at), |line| {
                    let mut own = line.to_vec();
                    if skips {
                        own.retain(|v| !v.is_nan());
                    }
                    quantile(&mut own, q, method)
                });
                Ok(Tile::from_array(found.insert_axis(ndarray::Axis(at))))
            });
        found.index_axis(at as isize, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_have_the_quantiles_of_short_ones() {
        let x = Array::random_normal([1000], (0.0, 3.0), 5).unwrap();
        let one = |x: &Array, q: f64| {
            x.quantile_by(q, None, Quantile::Hazen).unwrap().compute::<f64>().unwrap().sum()
        };
        let mut values = x.compute::<f64>().unwrap().into_raw_vec_and_offset().0;
        let chunked = x.rechunk([70]).unwrap();
        assert!(!chunked.has_short_lines(0));
        for q in [0.0, 0.1, 0.5, 0.999, 1.0] {
            assert_eq!(one(&chunked, q), quantile(&mut values, q, Quantile::Hazen), "{q}");
        }
    }
}
