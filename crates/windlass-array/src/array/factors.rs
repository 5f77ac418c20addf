//! Factors of matrices: QR, singular values, eigenvalues, Cholesky, LU. Integers and bools are
//! taken as `f64`, and numbers of 32 bits are computed with as with 64, but by `qr` and
//! `svd_compressed`; an array of more than two axes is a stack of matrices in its last two.
//!
//! Results of one call share their work when they are computed together
//! ([`compute_all`](crate::compute_all)).

use super::{Array, index::Index};
use crate::{
    error::{ArrayError, Result},
    linear::{
        blocked,
        dense::{self, Vectors},
        field::{as_field, as_wide, dispatch_wide, field_type},
        stacked::{lead, packed, side, sides, unpacked},
        tsqr::Tall,
    },
};

/// Columns, or rows, of a matrix.
pub(super) fn part(
    a: &Array,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Result<Array> {
    let slice = |r: std::ops::Range<usize>| Index::from(r.start as i64..r.end as i64);
    a.index(&[slice(rows), slice(columns)])
}

/// The conjugate transpose of a matrix.
pub(super) fn adjoint(a: &Array) -> Result<Array> {
    if a.dtype().is_complex() { a.t().conj() } else { Ok(a.t()) }
}

impl Array {
    /// The last two axes of a result of some lengths, one behind the other, all zeros: what an
    /// array without elements gives.
    pub(super) fn no_elements(&self, axes: &[usize]) -> Self {
        Self::zeros([lead(self), axes].concat(), self.dtype())
    }

    /// Q and R, whose product is the matrix: the columns of Q are orthonormal, R is zero below
    /// its diagonal. Of a matrix of `m` by `n`, Q has `m` rows and R `n` columns; the lesser of
    /// both is between them (NumPy's mode "reduced").
    ///
    /// Of a matrix that is not wide the chunks of rows are factored by a task each, and then
    /// their factors R in a tree: a task holds a few tens of megabytes, if that is `n` rows. Of
    /// a wide matrix the first `m` columns are factored so, which takes a task that holds them,
    /// and the others multiplied by Q. The matrices of a stack are factored by a task each.
    /// NaN and infinities spread over the result.
    ///
    /// J. Demmel, L. Grigori, M. Hoemmen and J. Langou, *Communication-optimal parallel and
    /// sequential QR and LU factorizations* (2012).
    ///
    /// ```
    /// use windlass_array::{Array, compute_all};
    ///
    /// let x = Array::random_normal([1000, 3], (0.0, 1.0), 1)?.rechunk([100, 3])?;
    /// let (q, r) = x.qr()?;
    /// let both = compute_all(&[&q.matmul(&r)?, &x])?;
    /// let far = &both[0].to_array::<f64>()? - &both[1].to_array::<f64>()?;
    /// assert!(far.iter().all(|d| d.abs() < 1e-12));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For fewer than two axes.
    pub fn qr(&self) -> Result<(Self, Self)> {
        let a = as_field(self);
        let (m, n) = sides("qr", &a)?;
        let k = m.min(n);
        if m * n == 0 || a.size() == 0 {
            return Ok((a.no_elements(&[m, k]), a.no_elements(&[k, n])));
        }
        if a.rank() > 2 {
            let (dtype, a) = (a.dtype(), as_wide(&a));
            let rows = dispatch_wide!(a.dtype(), T => {
                let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::qr(a[0], to, false, alone);
                packed::<T>("qr", &[&a], m * k + k * n, 2 * m * n, make)
            });
            let (q, r) = (unpacked(&rows, 0, &[m, k])?, unpacked(&rows, m * k, &[k, n])?);
            return Ok((q.astype(dtype), r.astype(dtype)));
        }
        if m >= n {
            let tall = Tall::new("qr", &a);
            return Ok((tall.q(None), tall.r()));
        }
        let square = Tall::new("qr", &part(&a, 0..m, 0..m)?);
        let q = square.q(None);
        let rest = adjoint(&q)?.matmul(&part(&a, 0..m, m..n)?)?;
        Ok((q, Self::concatenate(&[&square.r(), &rest], 1)?))
    }

    /// The U, s and V^H of `A = U diag(s) V^H`: the columns of U and the rows of V^H are
    /// orthonormal, the singular values s descend. There are as many as the lesser side of the
    /// matrix has elements (NumPy's `full_matrices=False`).
    ///
    /// A matrix of two axes that is tall or wide is factored by [`Array::qr`] first, so that a
    /// task holds no more than there and a square of the lesser side; others, and those of a
    /// stack, lie whole in a task.
    ///
    /// # Errors
    /// For fewer than two axes; when it is computed, for NaN and infinities.
    pub fn svd(&self) -> Result<(Self, Self, Self)> {
        let dtype = field_type(self.dtype());
        let (u, s, vh) = as_wide(self).svd_wide()?;
        Ok((u.astype(dtype), s.astype(dtype.real()), vh.astype(dtype)))
    }

    /// As [`Array::svd`], of numbers of 64 bits.
    fn svd_wide(&self) -> Result<(Self, Self, Self)> {
        let a = self;
        let (m, n) = sides("svd", a)?;
        let k = m.min(n);
        if m * n == 0 || a.size() == 0 {
            let s = Self::zeros([lead(a), &[k]].concat(), a.dtype().real());
            return Ok((a.no_elements(&[m, k]), s, a.no_elements(&[k, n])));
        }
        if a.rank() == 2 && m > n {
            let tall = Tall::new("svd", a);
            let (u, s, vh) = tall.r().svd_whole()?;
            return Ok((tall.q(Some(&u)), s, vh));
        }
        if a.rank() == 2 && m < n {
            let (u, s, vh) = adjoint(a)?.svd_wide()?;
            return Ok((adjoint(&vh)?, s, adjoint(&u)?));
        }
        a.svd_whole()
    }

    /// As [`Array::svd`], of matrices that lie whole in a task.
    fn svd_whole(&self) -> Result<(Self, Self, Self)> {
        let (m, n) = sides("svd", self)?;
        let k = m.min(n);
        let rows = dispatch_wide!(self.dtype(), T => {
            let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::svd(a[0], to, Vectors::Thin, alone);
            // Two copies, two squares of vectors, and what the iteration takes (a stated guess).
            packed::<T>("svd", &[self], (m + n + 1) * k, 2 * m * n + 8 * k * k, make)
        });
        let u = unpacked(&rows, 0, &[m, k])?;
        let s = unpacked(&rows, m * k, &[k])?.real()?;
        Ok((u, s, unpacked(&rows, m * k + k, &[k, n])?))
    }

    /// The singular values of [`Array::svd`] alone.
    ///
    /// # Errors
    /// As there.
    pub fn svdvals(&self) -> Result<Self> {
        let (dtype, a) = (field_type(self.dtype()).real(), as_wide(self));
        let (m, n) = sides("svdvals", &a)?;
        let k = m.min(n);
        if m * n == 0 || a.size() == 0 {
            return Ok(Self::zeros([lead(&a), &[k]].concat(), dtype));
        }
        let a = match (a.rank(), m.cmp(&n)) {
            (2, std::cmp::Ordering::Greater) => Tall::new("svdvals", &a).r(),
            (2, std::cmp::Ordering::Less) => Tall::new("svdvals", &adjoint(&a)?).r(),
            _ => a,
        };
        let (m, n) = sides("svdvals", &a)?;
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::svd(a[0], to, Vectors::None, alone);
            packed::<T>("svdvals", &[&a], k, 2 * m * n + 2 * k * k, make)
        });
        Ok(unpacked(&rows, 0, &[k])?.real()?.astype(dtype))
    }

    /// The `k` greatest singular values with their vectors, as [`Array::svd`] has them, nearly:
    /// of the matrix's products with `k + oversampling` random vectors, which `power_iterations`
    /// products with the matrix and its transpose bring nearer to the greatest ones. The matrix
    /// is read twice, and twice more for each iteration. The same seed gives the same result.
    ///
    /// N. Halko, P. G. Martinsson and J. A. Tropp, *Finding Structure with Randomness:
    /// Probabilistic Algorithms for Constructing Approximate Matrix Decompositions* (2011),
    /// algorithms 4.4 and 5.1.
    ///
    /// # Errors
    /// For other than two axes, and `k` of 0 or past the lesser side.
    pub fn svd_compressed(
        &self,
        k: usize,
        oversampling: usize,
        power_iterations: usize,
        seed: u64,
    ) -> Result<(Self, Self, Self)> {
        const NAME: &str = "svd_compressed";
        let a = as_field(self);
        if a.rank() != 2 {
            return Err(ArrayError::Shape {
                operation: NAME,
                expected: "a matrix of rank 2".into(),
                got: a.shape().to_string(),
            });
        }
        let (m, n) = sides(NAME, &a)?;
        if k == 0 || k > m.min(n) {
            return Err(ArrayError::Argument {
                operation: NAME,
                argument: "k",
                expected: format!("in 1..={}, the lesser side", m.min(n)),
                got: k.to_string(),
            });
        }
        let width = k.saturating_add(oversampling).min(m.min(n));
        let random = Self::random_normal([n, width], (0.0, 1.0), seed)?.astype(a.dtype());
        let mut range = a.matmul(&random)?;
        for _ in 0..power_iterations {
            let rows = adjoint(&a)?.matmul(&range.qr()?.0)?;
            range = a.matmul(&rows.qr()?.0)?;
        }
        let q = range.qr()?.0;
        let (u, s, vh) = adjoint(&q)?.matmul(&a)?.svd()?;
        let u = q.matmul(&part(&u, 0..width, 0..k)?)?;
        Ok((u, s.index_axis(0, ..k as i64)?, part(&vh, 0..k, 0..n)?))
    }

    /// The lower factor L of positive definite matrices L times its conjugate transpose. Only
    /// the lower triangle is read.
    ///
    /// A matrix of two axes that is larger than a task should take is factored by tiles;
    /// those of a stack lie whole in a task.
    ///
    /// # Errors
    /// If the matrices are not square; when it is computed, if one is not positive definite.
    pub fn cholesky(&self) -> Result<Self> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let n = side("cholesky", &a)?;
        if a.size() == 0 {
            return Ok(a.no_elements(&[n, n]).astype(dtype));
        }
        if a.rank() == 2 && n > blocked::SIDE {
            return Ok(blocked::cholesky(&a)?.astype(dtype));
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::cholesky(a[0], to, alone);
            packed::<T>("cholesky", &[&a], n * n, n * n, make)
        });
        Ok(unpacked(&rows, 0, &[n, n])?.astype(dtype))
    }

    /// P, L and U, whose product is the matrix: P has a 1 in each row and column, L ones on its
    /// diagonal and zeros above, U zeros below. In each column the pivot is the element farthest
    /// from 0 (of complex numbers by the sum of both parts' magnitudes). As SciPy's `lu`.
    ///
    /// A matrix of two axes that is larger than a task should take is factored by panels of
    /// columns: a task holds two panels with all rows. Those of a stack lie whole in a task.
    ///
    /// # Errors
    /// For fewer than two axes.
    pub fn lu(&self) -> Result<(Self, Self, Self)> {
        let dtype = field_type(self.dtype());
        let (p, l, u) = as_wide(self).lu_wide()?;
        Ok((p.real()?.astype(dtype.real()), l.astype(dtype), u.astype(dtype)))
    }

    /// As [`Array::lu`], of numbers of 64 bits.
    fn lu_wide(&self) -> Result<(Self, Self, Self)> {
        let a = self;
        let (m, n) = sides("lu", a)?;
        let k = m.min(n);
        if m * n == 0 || a.size() == 0 {
            return Ok((a.no_elements(&[m, m]), a.no_elements(&[m, k]), a.no_elements(&[k, n])));
        }
        if a.rank() == 2 && n > blocked::SIDE {
            let found = blocked::Lu::new(a)?;
            return Ok((found.p()?, found.l()?, found.u()?));
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::plu(a[0], to, alone);
            packed::<T>("lu", &[a], m * m + m * k + k * n, 2 * m * n, make)
        });
        let (p, l) = (unpacked(&rows, 0, &[m, m])?, unpacked(&rows, m * m, &[m, k])?);
        Ok((p, l, unpacked(&rows, m * m + m * k, &[k, n])?))
    }

    /// The eigenvalues, ascending, and the eigenvectors, in columns, of matrices that equal
    /// their conjugate transposes. Only the lower triangle is read. Each matrix lies whole in a
    /// task.
    ///
    /// # Errors
    /// If the matrices are not square; when it is computed, for NaN and infinities.
    pub fn eigh(&self) -> Result<(Self, Self)> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let n = side("eigh", &a)?;
        if a.size() == 0 {
            let values = Self::zeros([lead(&a), &[n]].concat(), dtype.real());
            return Ok((values, a.no_elements(&[n, n]).astype(dtype)));
        }
        let rows = a.eigen(n, true);
        let (values, vectors) = (unpacked(&rows, 0, &[n])?.real()?, unpacked(&rows, n, &[n, n])?);
        Ok((values.astype(dtype.real()), vectors.astype(dtype)))
    }

    /// The eigenvalues of [`Array::eigh`] alone.
    ///
    /// # Errors
    /// As there.
    pub fn eigvalsh(&self) -> Result<Self> {
        let (dtype, a) = (field_type(self.dtype()).real(), as_wide(self));
        let n = side("eigvalsh", &a)?;
        if a.size() == 0 {
            return Ok(Self::zeros([lead(&a), &[n]].concat(), dtype));
        }
        Ok(unpacked(&a.eigen(n, false), 0, &[n])?.real()?.astype(dtype))
    }

    fn eigen(&self, n: usize, vectors: bool) -> Self {
        let len = if vectors { n + n * n } else { n };
        dispatch_wide!(self.dtype(), T => {
            let make = move |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| {
                dense::eigh(a[0], to, vectors, alone)
            };
            packed::<T>("eigh", &[self], len, 6 * n * n, make)
        })
    }
}
