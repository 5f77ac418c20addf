//! Factors of matrices with as many vectors as the matrix has rows or columns.

use super::Array;
use crate::{
    dtype::DType,
    error::Result,
    linear::{
        dense::{self, Vectors},
        field::{as_wide, dispatch_wide, field_type},
        stacked::{lead, packed, sides, unpacked},
    },
};

/// A stack of identities.
fn identities(like: &Array, n: usize, dtype: DType) -> Result<Array> {
    Array::eye(n, n, 0, dtype).broadcast_to([lead(like), &[n, n]].concat())
}

impl Array {
    /// As [`Array::qr`], with a square Q: of a matrix of `m` by `n`, Q has `m` columns, and R `m`
    /// rows, of which those past `n` are zero (NumPy's mode "complete").
    ///
    /// Of a matrix that has no more rows than columns it is [`Array::qr`]. Others lie whole in a
    /// task with both factors, which is `m * m` elements for Q: a task declares these bytes, and
    /// an executor whose limit is below them says so.
    ///
    /// # Errors
    /// For fewer than two axes.
    pub fn qr_complete(&self) -> Result<(Self, Self)> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let (m, n) = sides("qr", &a)?;
        if m <= n {
            return self.qr();
        }
        if a.size() == 0 {
            let q = identities(&a, m, dtype)?;
            return Ok((q, a.no_elements(&[m, n]).astype(dtype)));
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make =
                |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::qr(a[0], to, true, alone);
            // Beside the result a copy of the matrix, and Q before it lies by rows.
            packed::<T>("qr", &[&a], m * m + m * n, 2 * m * n + m * m, make)
        });
        let (q, r) = (unpacked(&rows, 0, &[m, m])?, unpacked(&rows, m * m, &[m, n])?);
        Ok((q.astype(dtype), r.astype(dtype)))
    }

    /// As [`Array::svd`], with square U and V^H: of a matrix of `m` by `n`, U has `m` columns and
    /// V^H `n` rows, of which the first ones belong to the singular values (NumPy's
    /// `full_matrices=True`).
    ///
    /// Of a square matrix it is [`Array::svd`]. Others lie whole in a task with all vectors, which
    /// is `m * m + n * n` elements: a task declares these bytes, and an executor whose limit is
    /// below them says so.
    ///
    /// # Errors
    /// For fewer than two axes; when it is computed, for NaN and infinities.
    pub fn svd_full(&self) -> Result<(Self, Self, Self)> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let (m, n) = sides("svd", &a)?;
        let k = m.min(n);
        if m == n {
            return self.svd();
        }
        if a.size() == 0 {
            let s = Self::zeros([lead(&a), &[k]].concat(), dtype.real());
            return Ok((identities(&a, m, dtype)?, s, identities(&a, n, dtype)?));
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| {
                dense::svd(a[0], to, Vectors::Full, alone)
            };
            // Beside the result two copies, both squares before they lie by rows, and what the
            // iteration takes (a stated guess).
            let working = 2 * m * n + m * m + n * n + 8 * k * k;
            packed::<T>("svd", &[&a], m * m + k + n * n, working, make)
        });
        let u = unpacked(&rows, 0, &[m, m])?;
        let s = unpacked(&rows, m * m, &[k])?.real()?;
        let vh = unpacked(&rows, m * m + k, &[n, n])?;
        Ok((u.astype(dtype), s.astype(dtype.real()), vh.astype(dtype)))
    }
}
