//! Phases without jumps, powers in columns, products of vectors, what stands between zeros, and
//! arrays repeated to a shape.

use super::{Array, index::Index};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    scalar::Scalar,
    shape::ArrayShape,
};

fn wrong(
    operation: &'static str,
    argument: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> ArrayError {
    ArrayError::Argument { operation, argument, expected: expected.into(), got: got.to_string() }
}

impl Array {
    /// The elements along an axis without jumps: neighbours that differ by at least
    /// `discontinuity` (half a period, if none is given) are brought nearer by periods. NumPy's
    /// `unwrap`; the period is a float or an integer, which leaves integers integers. NaN
    /// spreads to all behind it. Real numbers only.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::from_slice(&[0, 1, 2, 3, 0, 1, 2, 3, 0]);
    /// let y = x.unwrap(None, 0, 4)?;
    /// assert_eq!(y.compute::<i32>()?.into_raw_vec_and_offset().0, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, for complex numbers and bools, and a period that is not a
    /// number above 0.
    pub fn unwrap(
        &self,
        discontinuity: Option<f64>,
        axis: isize,
        period: impl Into<Scalar>,
    ) -> Result<Self> {
        let (name, period) = ("unwrap", period.into());
        let at = self.shape().axis(axis, name)?;
        let value = match period {
            Scalar::Int(v) => v as f64,
            Scalar::Float(v) => v,
            _ => f64::NAN,
        };
        if value.is_nan() || value <= 0.0 {
            return Err(wrong(name, "the period", "above 0", format!("{period:?}")));
        }
        if !matches!(self.dtype().kind(), Kind::Integer | Kind::Float) {
            return Err(ArrayError::Type {
                operation: name,
                dtype: self.dtype().to_string(),
                hint: "it is defined for integers and floats",
            });
        }
        let dtype = self.dtype().with_scalar(period.kind());
        let steps = self.diff(1, at as isize)?;
        // Half a period; whether a step of half a period could go either way.
        let (half, either) = match period {
            Scalar::Int(v) if dtype.is_integer() => (Scalar::Int(v.div_euclid(2)), v % 2 == 0),
            _ => (Scalar::Float(value / 2.0), true),
        };
        let low = match half {
            Scalar::Int(v) => Scalar::Int(-v),
            _ => Scalar::Float(-value / 2.0),
        };
        let mut near = steps.subtract(low)?.remainder(period)?.add(low)?;
        if either {
            let turned = near.equal(low)?.logical_and(&steps.greater(0)?)?;
            near = Self::select(&turned, half, &near)?;
        }
        let small = steps.absolute()?.less(discontinuity.unwrap_or(value / 2.0))?;
        let change = Self::select(&small, 0, &near.subtract(&steps)?)?;
        let first = self.index_axis(at as isize, 0..1)?.astype(dtype);
        let others = self.index_axis(at as isize, 1..)?;
        let others = others.add(&change.cumsum(at as isize)?)?.astype(dtype);
        Self::concatenate(&[&first, &others], at as isize)
    }

    /// The powers of the elements of an array of rank 1 in columns, from the highest to 0, or
    /// ascending: NumPy's `vander`. At least of 64 bits.
    ///
    /// # Errors
    /// For another rank.
    pub fn vander(&self, columns: Option<usize>, increasing: bool) -> Result<Self> {
        if self.rank() != 1 {
            return Err(ArrayError::Shape {
                operation: "vander",
                expected: "an array of rank 1".into(),
                got: self.shape().to_string(),
            });
        }
        let n = columns.unwrap_or(self.size());
        let x = self.astype(self.dtype().promote(DType::I64));
        let ones = Self::ones([self.size(), n.min(1)], x.dtype());
        let rest = x.expand_dims(1)?.broadcast_to([self.size(), n.saturating_sub(1)])?;
        let powers = Self::concatenate(&[&ones, &rest], 1)?.cumprod(1)?;
        if increasing { Ok(powers) } else { powers.flip(&[1]) }
    }

    /// The vector products of vectors of three elements along the last axes, or along `axis` of
    /// both and of the result; the other axes broadcast. NumPy's `cross`.
    ///
    /// # Errors
    /// If the axis is out of range, the vectors have another length, or the shapes do not
    /// broadcast.
    pub fn cross(&self, other: &Self, axis: isize) -> Result<Self> {
        let last = |x: &Self| {
            let at = x.shape().axis(axis, "cross")?;
            if x.shape()[at] != 3 {
                return Err(ArrayError::Shape {
                    operation: "cross",
                    expected: format!("3 elements along axis {axis}"),
                    got: x.shape().to_string(),
                });
            }
            x.moveaxis(&[axis], &[-1])
        };
        let (a, b) = (last(self)?, last(other)?);
        let of = |x: &Self, i: i64| x.index(&[Index::Ellipsis, Index::At(i % 3)]);
        let part = |i: i64| {
            let left = of(&a, i + 1)?.multiply(&of(&b, i + 2)?)?;
            left.subtract(&of(&a, i + 2)?.multiply(&of(&b, i + 1)?)?)
        };
        let parts = [part(0)?, part(1)?, part(2)?];
        Self::stack(&parts.iter().collect::<Vec<_>>(), -1)?.moveaxis(&[-1], &[axis])
    }

    /// Without the zeros before and behind all others along each axis, at either end where it is
    /// asked for: NumPy's `trim_zeros`. Where they end is computed now. Of zeros alone nothing
    /// is left.
    ///
    /// # Errors
    /// For rank 0, and if computing where they end fails.
    pub fn trim_zeros(&self, front: bool, back: bool) -> Result<Self> {
        if self.rank() == 0 {
            return Err(ArrayError::Axis { operation: "trim_zeros", axis: 0, rank: 0 });
        }
        if self.size() == 0 || (!front && !back) {
            return Ok(self.clone());
        }
        let some = self.astype(DType::Bool);
        // Of each axis the first and the last position; how many are behind the last.
        let ends = (0..self.rank()).map(|axis| {
            let others: Vec<isize> =
                (0..self.rank()).filter(|a| *a != axis).map(|a| a as isize).collect();
            let line = if others.is_empty() { some.clone() } else { some.any(others)? };
            let first = |line: &Self| line.argmax(None, false);
            Self::stack(&[&first(&line)?, &first(&line.flip(&[0])?)?], 0)
        });
        let mut found = ends.collect::<Result<Vec<_>>>()?;
        found.push(some.any(..)?.astype(DType::I64).reshape([1])?);
        let found = Self::concatenate(&found.iter().collect::<Vec<_>>(), 0)?.compute::<i64>()?;
        let (any, shape) = (found[2 * self.rank()] > 0, self.shape());
        let index: Vec<Index> = (0..self.rank())
            .map(|axis| {
                let (first, behind) = (found[2 * axis], found[2 * axis + 1]);
                let end = if back { shape[axis] as i64 - behind } else { shape[axis] as i64 };
                if any { Index::from(if front { first } else { 0 }..end) } else { (0..0).into() }
            })
            .collect();
        self.index(&index)
    }

    /// The elements, in order and again from the first where they do not suffice, in another
    /// shape: NumPy's `resize`. Zeros if there are none.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn resize(&self, shape: impl Into<ArrayShape>) -> Result<Self> {
        let shape = shape.into();
        if self.size() == 0 || shape.size() == 0 {
            return Ok(Self::zeros(shape, self.dtype()));
        }
        let flat = self.ravel()?;
        let times = shape.size().div_ceil(self.size());
        let flat = if times > 1 { flat.tile(&[times])? } else { flat };
        flat.index_axis(0, 0..shape.size() as i64)?.reshape(shape)
    }

    /// A function along one axis after another, such as a sum: what it gives has as many axes,
    /// or one less, which is put back with length 1. NumPy's `apply_over_axes`.
    ///
    /// # Errors
    /// If an axis is out of range, or the result has another rank; those of the function.
    pub fn apply_over_axes(
        &self,
        function: impl Fn(&Self, isize) -> Result<Self>,
        axes: &[isize],
    ) -> Result<Self> {
        axes.iter().try_fold(self.clone(), |x, &axis| {
            let at = x.shape().axis(axis, "apply_over_axes")? as isize;
            let found = function(&x, at)?;
            let found = if found.rank() + 1 == x.rank() { found.expand_dims(at)? } else { found };
            if found.rank() == x.rank() {
                return Ok(found);
            }
            Err(ArrayError::Shape {
                operation: "apply_over_axes",
                expected: format!("a result of rank {} or one less", x.rank()),
                got: found.shape().to_string(),
            })
        })
    }

    /// Whether both are of one shape and all their elements are equal, NaN to NaN if
    /// `equal_nan`. Computed now.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn array_equal(&self, other: &Self, equal_nan: bool) -> Result<bool> {
        if self.shape() != other.shape() {
            return Ok(false);
        }
        let mut same = self.equal(other)?;
        if equal_nan {
            same = same.logical_or(&self.isnan()?.logical_and(&other.isnan()?)?)?;
        }
        let found = same.all(..)?.compute::<bool>()?;
        Ok(found.iter().all(|v| *v))
    }
}
