//! Reductions that leave out NaN where a plain one would give it, weighted means, and others
//! that are made of reductions.

use super::{Array, operand::Operand, reduce::Axes};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions},
    },
    region::Region,
    tile::Tile,
};

impl Array {
    /// Whether it can hold NaN.
    fn may_be_nan(&self) -> bool {
        self.dtype().kind() >= Kind::Float
    }

    /// The position of the least element that is not NaN: as [`Array::argmin`].
    ///
    /// # Errors
    /// As there; when it is computed, where all elements are NaN.
    pub fn nanargmin(&self, axis: Option<isize>, keepdims: bool) -> Result<Self> {
        if !self.may_be_nan() {
            return self.argmin(axis, keepdims);
        }
        let filled = Self::select(&self.isnan()?, f64::INFINITY, self)?;
        self.but_for_nan("nanargmin", &filled.argmin(axis, keepdims)?, axis, keepdims)
    }

    /// The position of the greatest element that is not NaN: as [`Array::argmax`].
    ///
    /// # Errors
    /// As there; when it is computed, where all elements are NaN.
    pub fn nanargmax(&self, axis: Option<isize>, keepdims: bool) -> Result<Self> {
        if !self.may_be_nan() {
            return self.argmax(axis, keepdims);
        }
        let filled = Self::select(&self.isnan()?, f64::NEG_INFINITY, self)?;
        self.but_for_nan("nanargmax", &filled.argmax(axis, keepdims)?, axis, keepdims)
    }

    /// What was found; an error where all elements are NaN.
    fn but_for_nan(
        &self,
        operation: &'static str,
        found: &Self,
        axis: Option<isize>,
        keepdims: bool,
    ) -> Result<Self> {
        let axes = axis.map_or_else(Axes::all, Axes::from);
        let all = self.isnan()?.all(if keepdims { axes.keepdims() } else { axes })?;
        let op = OfRegions(OfChunks {
            name: operation,
            reads: |region: &Region| vec![(0, region.clone()), (1, region.clone())],
            make: move |_: &Region, tiles: &[Tile]| {
                if tiles[1].to_array::<bool>()?.iter().any(|v| *v) {
                    let told = format!("{operation}: there are only NaN along the axis somewhere");
                    return Err::<_, BoxError>(told.into());
                }
                Ok(tiles[0].clone())
            },
        });
        Ok(Self::regions(op, &[found, &all], DType::I64, found.chunks().clone()))
    }

    /// As [`Array::cumsum`], with 0 in place of NaN.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn nancumsum(&self, axis: isize) -> Result<Self> {
        self.without_nan(0.0)?.cumsum(axis)
    }

    /// As [`Array::cumprod`], with 1 in place of NaN.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn nancumprod(&self, axis: isize) -> Result<Self> {
        self.without_nan(1.0)?.cumprod(axis)
    }

    /// How many elements are not NaN, as `i64`.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn count(&self, axes: impl Into<Axes>) -> Result<Self> {
        self.isnan()?.logical_not()?.sum(axes)
    }

    /// The mean with weights, which are of the array's shape, or of rank 1 and as many as the
    /// axis is long: the sum of the products over the sum of the weights. Weights that sum to
    /// 0 give infinities or NaN, where NumPy has an error. As NumPy's `average`.
    ///
    /// # Errors
    /// If the axis is out of range, or the weights are of another shape.
    pub fn average(&self, axis: Option<isize>, weights: &Self) -> Result<Self> {
        let wrong = |expected: String| ArrayError::Shape {
            operation: "average",
            expected,
            got: weights.shape().to_string(),
        };
        let wide = match axis {
            _ if weights.shape() == self.shape() => weights.clone(),
            Some(axis) if weights.rank() == 1 => {
                let at = self.shape().axis(axis, "average")?;
                if weights.size() != self.shape()[at] {
                    return Err(wrong(format!("{} weights", self.shape()[at])));
                }
                let mut lens = vec![1; self.rank()];
                lens[at] = weights.size();
                weights.reshape(lens)?.broadcast_to(self.shape().clone())?
            }
            _ => return Err(wrong(format!("weights of shape {}", self.shape()))),
        };
        let mut dtype = self.dtype().promote(weights.dtype());
        if self.dtype().kind() <= Kind::Integer {
            dtype = dtype.promote(DType::F64);
        }
        let axes = || axis.map_or_else(Axes::all, Axes::from);
        let (values, wide) = (self.astype(dtype), wide.astype(dtype));
        values.multiply(&wide)?.sum(axes())?.divide(&wide.sum(axes())?)
    }

    /// `log(sum(exp(x)))` without overflow: SciPy's `logsumexp`. Real numbers only.
    ///
    /// # Errors
    /// If an axis is out of range or named twice, there is no element, and for complex
    /// numbers.
    pub fn logsumexp(&self, axes: impl Into<Axes>) -> Result<Self> {
        if self.dtype().is_complex() {
            return Err(ArrayError::Type {
                operation: "logsumexp",
                dtype: self.dtype().to_string(),
                hint: "it is defined for real numbers",
            });
        }
        let axes = axes.into();
        let exact = !self.dtype().is_float();
        let values = if exact { self.astype(DType::F64) } else { self.clone() };
        let greatest = |axes: Axes| {
            let found = values.max(axes)?;
            Self::select(&found.isfinite()?, &found, 0.0)
        };
        let shifted = values.subtract(&greatest(axes.clone().keepdims())?)?;
        shifted.exp()?.sum(axes.clone())?.log()?.add(&greatest(axes)?)
    }

    /// The differences of neighbours along an axis, so many times over, of the array with
    /// something before and behind it: NumPy's `diff` with `prepend` and `append`. Scalars
    /// stand for one element each.
    ///
    /// # Errors
    /// If the axis is out of range, or the shapes differ along another axis.
    pub fn diff_with(
        &self,
        times: usize,
        axis: isize,
        prepend: Option<Operand>,
        append: Option<Operand>,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, "diff")?;
        let one = |operand: Operand| match operand {
            Operand::Array(a) if a.rank() > 0 => Ok(a),
            operand => {
                let one = match operand {
                    Operand::Array(a) => a,
                    Operand::Scalar(s) => Self::full_of([1], s, self.dtype())?,
                };
                let mut lens = self.shape().as_slice().to_vec();
                lens[at] = 1;
                one.broadcast_to(lens)
            }
        };
        let prepend = prepend.map(one).transpose()?;
        let append = append.map(one).transpose()?;
        let parts: Vec<&Self> = prepend.iter().chain([self]).chain(&append).collect();
        Self::concatenate(&parts, axis)?.diff(times, axis)
    }

    /// The differences of neighbours of the flattened array, with something before and behind
    /// them: NumPy's `ediff1d`.
    ///
    /// # Errors
    /// If what is added is not of rank 1.
    pub fn ediff1d(&self, begin: Option<&Self>, end: Option<&Self>) -> Result<Self> {
        let differences = self.ravel()?.diff(1, 0)?;
        let cast = |a: &Self| a.astype(self.dtype());
        let (begin, end) = (begin.map(cast), end.map(cast));
        let parts: Vec<&Self> = begin.iter().chain([&differences]).chain(&end).collect();
        Self::concatenate(&parts, 0)
    }
}
