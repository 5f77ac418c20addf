//! Norms of vectors and matrices by NumPy's names, and condition numbers.

use super::{Array, Axes};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    linear::field::as_field,
};

/// Which norm. Of a vector `x` and a matrix `A`:
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// The root of the sum of the squared magnitudes, of either.
    Frobenius,
    /// The sum of the singular values, of a matrix.
    Nuclear,
    /// `sum(abs(x) ** p) ** (1 / p)` of a vector: the greatest magnitude for infinity, the least
    /// for minus infinity, the number of elements that are not 0 for 0. Of a matrix, for 1 and
    /// -1 the greatest and least sum of a column's magnitudes, for infinities of a row's, for 2
    /// and -2 the greatest and least singular value.
    P(f64),
}

impl Array {
    /// A norm along one axis (of vectors) or two (of matrices: rows, then columns); without
    /// axes of the whole array, which has one or two. Of integers and bools as `f64`, of complex
    /// numbers that of the magnitudes. NaN if an element is, but for norms of singular values,
    /// for which it is an error when it is computed.
    ///
    /// # Errors
    /// If an axis is out of range or named twice, there are not one or two, or the norm is not
    /// one of theirs; for the greatest of no elements.
    pub fn norm_of(&self, norm: Norm, axes: Option<&[isize]>, keepdims: bool) -> Result<Self> {
        let all: Vec<isize> = (0..self.rank() as isize).collect();
        let axes = axes.unwrap_or(&all);
        self.shape().axes(axes, "norm")?;
        let places =
            axes.iter().map(|&a| self.shape().axis(a, "norm")).collect::<Result<Vec<_>>>()?;
        let found = match (norm, &places[..]) {
            (Norm::Frobenius, _) => return self.norm(over(axes.to_vec(), keepdims)),
            (Norm::P(p), &[axis]) => return self.vector_norm(p, axis, keepdims),
            (Norm::P(p), &[rows, columns]) if p.abs() == 1.0 || p.is_infinite() => {
                return self.sums_norm(p, (rows, columns), keepdims);
            }
            (Norm::P(p), &[rows, columns]) if p.abs() == 2.0 => {
                let values = self.matrices(rows, columns)?.svdvals()?;
                if p > 0.0 { values.max(-1)? } else { values.min(-1)? }
            }
            (Norm::Nuclear, &[rows, columns]) => {
                self.matrices(rows, columns)?.svdvals()?.sum(-1)?
            }
            _ => {
                return Err(ArrayError::Argument {
                    operation: "norm",
                    argument: "norm",
                    expected: "one of vectors for one axis, of matrices for two".into(),
                    got: format!("{norm:?} for axes {axes:?}"),
                });
            }
        };
        if !keepdims {
            return Ok(found);
        }
        places
            .iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .try_fold(found, |found, axis| found.expand_dims(axis as isize))
    }

    /// With these axes last.
    fn matrices(&self, rows: usize, columns: usize) -> Result<Self> {
        self.moveaxis(&[rows as isize, columns as isize], &[-2, -1])
    }

    fn magnitudes(&self) -> Result<Self> {
        as_field(self).absolute()
    }

    fn vector_norm(&self, p: f64, axis: usize, keepdims: bool) -> Result<Self> {
        let (far, axes) = (self.magnitudes()?, over(vec![axis as isize], keepdims));
        let own = far.dtype();
        match p {
            f64::INFINITY => far.max(axes),
            f64::NEG_INFINITY => far.min(axes),
            0.0 => Ok(self.not_equal(0)?.astype(own).sum(axes)?.astype(own)),
            1.0 => far.sum(axes),
            2.0 => self.norm(axes),
            _ => {
                let wide = far.astype(DType::F64).power(p)?.sum(axes)?;
                Ok(wide.power(1.0 / p)?.astype(own))
            }
        }
    }

    /// The greatest or least sum of the magnitudes of columns or rows.
    fn sums_norm(&self, p: f64, (rows, columns): (usize, usize), keepdims: bool) -> Result<Self> {
        let (summed, rest) = if p.is_infinite() { (columns, rows) } else { (rows, columns) };
        let sums = self.magnitudes()?.sum(Axes::of(summed as isize).keepdims())?;
        let axes = Axes::of(rest as isize).keepdims();
        let found = if p > 0.0 { sums.max(axes)? } else { sums.min(axes)? };
        if keepdims { Ok(found) } else { found.squeeze_axes(&[rows as isize, columns as isize]) }
    }

    /// The condition numbers of matrices in the last two axes: the norm times that of the
    /// inverse; for [`Norm::P`] of 2 and -2 the greatest singular value over the least, and the
    /// inverse of that.
    ///
    /// # Errors
    /// As [`Array::norm_of`] and [`Array::inv`].
    pub fn cond(&self, norm: Norm) -> Result<Self> {
        let ends = Some(&[-2, -1][..]);
        match norm {
            Norm::P(p) if p.abs() == 2.0 => {
                let values = self.svdvals()?;
                let (high, low) = (values.max(-1)?, values.min(-1)?);
                if p > 0.0 { high.divide(&low) } else { low.divide(&high) }
            }
            _ => {
                self.norm_of(norm, ends, false)?.multiply(&self.inv()?.norm_of(norm, ends, false)?)
            }
        }
    }
}

fn over(axes: Vec<isize>, keepdims: bool) -> Axes {
    if keepdims { Axes::of(axes).keepdims() } else { axes.into() }
}
