//! Reductions and running sums. Partial results are merged in one fixed order, whatever the
//! number of threads.

use super::Array;
use crate::{
    dtype::DType,
    element::Buf,
    error::{ArrayError, Result},
    expr::{Op, generate::Generator},
    grid::{AxisGrid, ChunkGrid},
    kernel::cast::filled,
    reduce::ReduceOp,
};

/// The axes that a reduction makes one element: all of them, or some, counted from either
/// end. `..` stands for all, a number for one, an array for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axes {
    which: Option<Vec<isize>>,
    keepdims: bool,
}

impl Axes {
    /// All axes.
    pub fn all() -> Self {
        Self { which: None, keepdims: false }
    }

    /// These axes.
    pub fn of(which: impl Into<Self>) -> Self {
        which.into()
    }

    /// The same, of which the result keeps each as an axis of length 1.
    #[must_use]
    pub fn keepdims(mut self) -> Self {
        self.keepdims = true;
        self
    }
}

impl From<std::ops::RangeFull> for Axes {
    fn from(_: std::ops::RangeFull) -> Self {
        Self::all()
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Self { which: Some(vec![axis]), keepdims: false }
    }
}

impl From<Vec<isize>> for Axes {
    fn from(axes: Vec<isize>) -> Self {
        Self { which: Some(axes), keepdims: false }
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Self { which: Some(axes.to_vec()), keepdims: false }
    }
}

macro_rules! reductions {
    ($($(#[$doc:meta])+ $name:ident $op:ident;)+) => {
        /// Reductions.
        impl Array {$(
            $(#[$doc])+
            ///
            /// # Errors
            /// If an axis is out of range or named twice.
            pub fn $name(&self, axes: impl Into<Axes>) -> Result<Self> {
                self.reduce(ReduceOp::$op, axes.into())
            }
        )+}
    };
}

reductions! {
    /// The sum: of integers and bools as `i64` or `u64`, which wrap; 0 of nothing. Floats are
    /// added in 64 bits.
    sum Sum;
    /// The product: of integers and bools as `i64` or `u64`, which wrap; 1 of nothing.
    prod Prod;
    /// The mean: of integers and bools as `f64`; NaN of nothing.
    mean Mean;
    /// The least element; NaN if one is. An error for no elements.
    min Min;
    /// The greatest element; NaN if one is. An error for no elements.
    max Max;
    /// The least element that is not NaN; NaN where all are. An error for no elements.
    nanmin NanMin;
    /// The greatest element that is not NaN; NaN where all are. An error for no elements.
    nanmax NanMax;
    /// Whether one is not zero; NaN is not.
    any Any;
    /// Whether none is zero; NaN is not.
    all All;
}

/// Reductions that are made of others, and running ones.
impl Array {
    fn reduce(&self, op: ReduceOp, axes: Axes) -> Result<Self> {
        let axes_of = |which: &[isize]| self.shape().axes(which, op.name());
        let reduced = match &axes.which {
            None => (0..self.rank()).collect(),
            Some(which) => axes_of(which)?,
        };
        let dtype = op.result_type(self.dtype());
        let axis = |(i, grid): (usize, &AxisGrid)| match (reduced.contains(&i), axes.keepdims) {
            (false, _) => Some(grid.clone()),
            (true, true) => Some(AxisGrid::regular(1, 1)),
            (true, false) => None,
        };
        let grid = self.chunks().axes().iter().enumerate().filter_map(axis).collect();
        let grid = ChunkGrid::new(grid);
        if let Some(&empty) = reduced.iter().find(|&&i| self.shape()[i] == 0) {
            op.check_empty(self.shape(), empty)?;
            let value = op.of_nothing().unwrap_or_default();
            let fill = Op::Generate(Generator::Fill(filled(value, dtype, 1)));
            return Ok(Self::of(fill, Vec::new(), dtype, grid));
        }
        let op = Op::Reduce { op, axes: reduced, keepdims: axes.keepdims };
        Ok(Self::of(op, vec![self.node()], dtype, grid))
    }

    /// The variance: squared deviations from the mean over their number less `ddof`; of
    /// integers and bools as `f64`, of complex numbers those of the magnitudes. NaN where
    /// there are no more elements than `ddof`.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn var(&self, axes: impl Into<Axes>, ddof: f64) -> Result<Self> {
        self.reduce(ReduceOp::Var { ddof }, axes.into())
    }

    /// The standard deviation: the root of [`Array::var`].
    ///
    /// # Errors
    /// As there.
    pub fn std(&self, axes: impl Into<Axes>, ddof: f64) -> Result<Self> {
        self.reduce(ReduceOp::Std { ddof }, axes.into())
    }

    /// The position of the least element along an axis, as `i64`; without an axis among all,
    /// counted with the last axis the fastest. The first of several; the first NaN if there
    /// is one.
    ///
    /// # Errors
    /// If the axis is out of range, or there is no element.
    pub fn argmin(&self, axis: Option<isize>, keepdims: bool) -> Result<Self> {
        self.reduce(ReduceOp::Argmin, Axes { which: axis.map(|a| vec![a]), keepdims })
    }

    /// The position of the greatest element: as [`Array::argmin`].
    ///
    /// # Errors
    /// As there.
    pub fn argmax(&self, axis: Option<isize>, keepdims: bool) -> Result<Self> {
        self.reduce(ReduceOp::Argmax, Axes { which: axis.map(|a| vec![a]), keepdims })
    }

    /// How many elements are not zero, as `i64`; NaN is not.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn count_nonzero(&self, axes: impl Into<Axes>) -> Result<Self> {
        self.astype(DType::Bool).sum(axes)
    }

    /// The elements with `value` in place of NaN.
    pub(super) fn without_nan(&self, value: f64) -> Result<Self> {
        if self.dtype().is_float() || self.dtype().is_complex() {
            return Self::select(&self.isnan()?, value, self);
        }
        Ok(self.clone())
    }

    /// The sum of what is not NaN; 0 where all are.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn nansum(&self, axes: impl Into<Axes>) -> Result<Self> {
        self.without_nan(0.0)?.sum(axes)
    }

    /// The product of what is not NaN; 1 where all are.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn nanprod(&self, axes: impl Into<Axes>) -> Result<Self> {
        self.without_nan(1.0)?.prod(axes)
    }

    /// The mean of what is not NaN; NaN where all are.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn nanmean(&self, axes: impl Into<Axes>) -> Result<Self> {
        let axes = axes.into();
        if !self.dtype().is_float() && !self.dtype().is_complex() {
            return self.mean(axes);
        }
        let count = self.isnan()?.logical_not()?.sum(axes.clone())?;
        let mean = self.nansum(axes)?.divide(&count)?;
        Ok(mean.astype(self.dtype()))
    }

    /// The variance of what is not NaN: as [`Array::var`]. Reads the array twice.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn nanvar(&self, axes: impl Into<Axes>, ddof: f64) -> Result<Self> {
        let axes = axes.into();
        if !self.dtype().is_float() && !self.dtype().is_complex() {
            return self.var(axes, ddof);
        }
        let result = self.dtype().real();
        let wide = self.astype(ReduceOp::Mean.state_type(self.dtype()));
        let count = self.isnan()?.logical_not()?.sum(axes.clone())?;
        let mean = wide.nanmean(axes.clone().keepdims())?;
        let squares = wide.subtract(&mean)?.absolute()?.square()?.nansum(axes)?;
        let left = count.subtract(ddof)?;
        let variance = squares.divide(&left)?;
        // No more elements than `ddof` have no variance.
        let variance = Self::select(&left.greater(0)?, &variance, f64::NAN)?;
        Ok(variance.astype(result))
    }

    /// The standard deviation of what is not NaN: the root of [`Array::nanvar`].
    ///
    /// # Errors
    /// As there.
    pub fn nanstd(&self, axes: impl Into<Axes>, ddof: f64) -> Result<Self> {
        self.nanvar(axes, ddof)?.sqrt()
    }

    /// The difference of the greatest and the least element; NaN if one is. An error for no
    /// elements.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn ptp(&self, axes: impl Into<Axes>) -> Result<Self> {
        let axes = axes.into();
        self.max(axes.clone())?.subtract(&self.min(axes)?)
    }

    /// Each element with all before it along an axis added: of the types of [`Array::sum`].
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn cumsum(&self, axis: isize) -> Result<Self> {
        self.scan(ReduceOp::Sum, axis, "cumsum")
    }

    /// Each element multiplied with all before it along an axis: of the types of
    /// [`Array::prod`].
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn cumprod(&self, axis: isize) -> Result<Self> {
        self.scan(ReduceOp::Prod, axis, "cumprod")
    }

    fn scan(&self, op: ReduceOp, axis: isize, operation: &'static str) -> Result<Self> {
        let axis = self.shape().axis(axis, operation)?;
        let dtype = op.result_type(self.dtype());
        Ok(Self::of(Op::Scan { op, axis }, vec![self.node()], dtype, self.chunks().clone()))
    }

    /// Whether all elements of both are near: [`Array::isclose`] of all.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn allclose(&self, other: &Self, relative: f64, absolute: f64) -> Result<bool> {
        let tile = self.isclose(other, relative, absolute)?.all(..)?.compute_tile()?;
        match &**tile.buf() {
            Buf::Bool(v) => Ok(v[tile.offset()]),
            other => Err(ArrayError::WrongType { have: other.dtype(), wanted: DType::Bool }),
        }
    }
}
