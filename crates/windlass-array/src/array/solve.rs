//! Equations of matrices, and what follows from their solutions. Integers and bools are taken as
//! `f64`, and numbers of 32 bits are computed with as with 64; an array of more than two axes is a stack of matrices in its last two.

use super::{Array, factors::adjoint};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    linear::{
        blocked, dense,
        field::{as_wide, dispatch_wide, field_type, wide_type},
        stacked::{lead, packed, side, sides, unpacked},
    },
    shape::ArrayShape,
};

/// What [`Array::lstsq`] gives.
#[derive(Debug, Clone)]
pub struct LeastSquares {
    /// The solution: of those with the least squares, the one nearest to 0.
    pub solution: Array,
    /// The sums of the squared distances that are left, one for each column of the right side;
    /// of a matrix with no more rows than columns, none. (NumPy gives none either where the
    /// rank is less than the columns, which is not known before it is computed.)
    pub residuals: Array,
    /// How many singular values count, as `i64`, of rank 0.
    pub rank: Array,
    /// The singular values of the matrix, descending.
    pub singular_values: Array,
}

/// Both sides of equations as 64 bits, the right one with two axes more than the stack, and how
/// the solution is given.
fn equations(operation: &'static str, a: &Array, b: &Array) -> Result<(Array, Array, Given)> {
    let (rows, _) = sides(operation, a)?;
    let line = b.rank() == 1;
    let wide = if line { b.expand_dims(1)? } else { b.clone() };
    if sides(operation, &wide)?.0 != rows {
        return Err(ArrayError::Shape {
            operation,
            expected: format!("a right side with the {rows} rows of shape {}", a.shape()),
            got: b.shape().to_string(),
        });
    }
    let dtype = field_type(a.dtype()).promote(field_type(b.dtype()));
    let both = wide_type(dtype);
    let (a, b) = (a.astype(both), wide.astype(both));
    let stack = |x: &Array| ArrayShape::new(lead(x));
    let stack = stack(&a).broadcast(&stack(&b), operation)?;
    let spread = |x: &Array| {
        let ends = &x.shape().as_slice()[x.rank() - 2..];
        let shape = [stack.as_slice(), ends].concat();
        if x.shape().as_slice() == shape { Ok(x.clone()) } else { x.broadcast_to(shape) }
    };
    Ok((spread(&a)?, spread(&b)?, Given { line, dtype }))
}

/// How a solution is given.
#[derive(Debug, Clone, Copy)]
struct Given {
    /// Whether the right side had one axis, and no columns.
    line: bool,
    dtype: DType,
}

/// A solution as it is given.
fn as_given(x: Array, Given { line, dtype }: Given) -> Result<Array> {
    let x = x.astype(dtype);
    if line { x.index_axis(-1, 0) } else { Ok(x) }
}

/// Up to where the singular values of matrices of that type count as 0.
fn cutoff(
    s: &Array,
    (m, n): (usize, usize),
    tolerance: Option<f64>,
    dtype: DType,
) -> Result<Array> {
    let places = match dtype.real() {
        DType::F32 => f64::from(f32::EPSILON),
        _ => f64::EPSILON,
    };
    let share = tolerance.unwrap_or(places * m.max(n) as f64);
    s.max(super::Axes::of(-1).keepdims())?.multiply(share)
}

impl Array {
    /// The `x` of `a x = b`, where this is `a`: square matrices, and a right side `b` of rank 1
    /// or of columns.
    ///
    /// A matrix of two axes that is larger than a task should take is factored by panels of
    /// columns ([`Array::lu`]); those of a stack lie whole in a task.
    ///
    /// # Errors
    /// If the matrices are not square or `b` has other rows; when it is computed, if a matrix
    /// is singular.
    pub fn solve(&self, b: &Self) -> Result<Self> {
        self.solved("solve", b)
    }

    fn solved(&self, operation: &'static str, b: &Self) -> Result<Self> {
        let n = side(operation, self)?;
        let (a, b, line) = equations(operation, self, b)?;
        let columns = b.shape()[b.rank() - 1];
        if b.size() == 0 {
            return as_given(b, line);
        }
        if a.rank() == 2 && n > blocked::SIDE {
            return as_given(blocked::Lu::new(&a)?.solve(operation, &b)?, line);
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make =
                |of: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::solve(of[0], of[1], to, alone);
            packed::<T>(operation, &[&a, &b], n * columns, 2 * n * n + n * columns, make)
        });
        as_given(unpacked(&rows, 0, &[n, columns])?, line)
    }

    /// The `x` of `a x = b`, where this is `a`, of which only one triangle is read; with
    /// `unit`, ones stand for its diagonal. As SciPy's `solve_triangular`.
    ///
    /// A matrix of two axes that is larger than a task should take is solved by tiles; those of
    /// a stack lie whole in a task.
    ///
    /// # Errors
    /// As [`Array::solve`]: singular is a triangle with a 0 on its diagonal.
    pub fn solve_triangular(&self, b: &Self, lower: bool, unit: bool) -> Result<Self> {
        const NAME: &str = "solve_triangular";
        let n = side(NAME, self)?;
        let (a, b, line) = equations(NAME, self, b)?;
        let columns = b.shape()[b.rank() - 1];
        if b.size() == 0 {
            return as_given(b, line);
        }
        if a.rank() == 2 {
            return as_given(blocked::triangular(NAME, &a, &b, (lower, unit))?, line);
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make = move |of: &[faer::MatRef<'_, T>], to: &mut [T], _| {
                dense::solve_triangular(of[0], of[1], to, (lower, unit))
            };
            packed::<T>(NAME, &[&a, &b], n * columns, n * n + n * columns, make)
        });
        as_given(unpacked(&rows, 0, &[n, columns])?, line)
    }

    /// The inverses of square matrices: [`Array::solve`] of the identity.
    ///
    /// # Errors
    /// As there.
    pub fn inv(&self) -> Result<Self> {
        let n = side("inv", self)?;
        self.solved("inv", &Self::eye(n, n, 0, field_type(self.dtype())))
    }

    /// The determinants of square matrices, each whole in a task. Those of many rows overflow:
    /// [`Array::slogdet`] does not.
    ///
    /// # Errors
    /// If the matrices are not square.
    pub fn det(&self) -> Result<Self> {
        Ok(self.determinants("det")?.0)
    }

    /// The signs of the determinants of square matrices (complex numbers of distance 1 from 0;
    /// 0 of a singular one) and the logarithms of their distances from 0.
    ///
    /// # Errors
    /// If the matrices are not square.
    pub fn slogdet(&self) -> Result<(Self, Self)> {
        let (_, sign, log) = self.determinants("slogdet")?;
        Ok((sign, log))
    }

    fn determinants(&self, operation: &'static str) -> Result<(Self, Self, Self)> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let n = side(operation, &a)?;
        if a.size() == 0 {
            let (ones, zeros) =
                (Self::ones(lead(&a), a.dtype()), Self::zeros(lead(&a), a.dtype().real()));
            return Ok((ones.astype(dtype), ones.astype(dtype), zeros.astype(dtype.real())));
        }
        let rows = dispatch_wide!(a.dtype(), T => {
            let make =
                |a: &[faer::MatRef<'_, T>], to: &mut [T], alone| dense::determinant(a[0], to, alone);
            packed::<T>(operation, &[&a], 3, 2 * n * n, make)
        });
        let at = |i: i64| rows.index_axis(-1, i);
        let log = at(2)?.real()?.astype(dtype.real());
        Ok((at(0)?.astype(dtype), at(1)?.astype(dtype), log))
    }

    /// The `x` for which the squares of `a x - b` are least, where this is `a`, of rank 2, by
    /// its singular values ([`Array::svd`]): those up to `tolerance` times the greatest count as
    /// 0, and without one up to the type's last place times the greater side.
    ///
    /// # Errors
    /// For other ranks, and if `b` has other rows; when it is computed, for NaN and infinities.
    pub fn lstsq(&self, b: &Self, tolerance: Option<f64>) -> Result<LeastSquares> {
        const NAME: &str = "lstsq";
        if self.rank() != 2 || b.rank() > 2 || self.size() == 0 {
            return Err(ArrayError::Shape {
                operation: NAME,
                expected: "a matrix of rank 2 with elements, and a right side of rank 1 or 2"
                    .into(),
                got: format!("{} and {}", self.shape(), b.shape()),
            });
        }
        let (a, b, line) = equations(NAME, self, b)?;
        let (m, n) = sides(NAME, &a)?;
        let (u, s, vh) = a.svd()?;
        let counts = s.greater(&cutoff(&s, (m, n), tolerance, line.dtype)?)?;
        let inverse = Self::select(&counts, &s.reciprocal()?, 0.0)?.expand_dims(1)?;
        let x = adjoint(&vh)?.matmul(&adjoint(&u)?.matmul(&b)?.multiply(&inverse)?)?;
        let real = line.dtype.real();
        let residuals = match m > n {
            true => b.subtract(&a.matmul(&x)?)?.absolute()?.square()?.sum(0)?.astype(real),
            false => Self::zeros([0], real),
        };
        let rank = counts.astype(DType::I64).sum(..)?;
        let singular_values = s.astype(real);
        Ok(LeastSquares { solution: as_given(x, line)?, residuals, rank, singular_values })
    }

    /// The pseudoinverses of matrices (E. H. Moore, R. Penrose), by their singular values: those
    /// up to `tolerance` times the greatest count as 0 (NumPy's `rcond`, 1e-15 there).
    ///
    /// # Errors
    /// For fewer than two axes; when it is computed, for NaN and infinities.
    pub fn pinv(&self, tolerance: f64) -> Result<Self> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let (m, n) = sides("pinv", &a)?;
        if a.size() == 0 {
            return Ok(Self::zeros([lead(&a), &[n, m]].concat(), dtype));
        }
        let (u, s, vh) = a.svd()?;
        let counts = s.greater(&cutoff(&s, (m, n), Some(tolerance), dtype)?)?;
        let inverse = Self::select(&counts, &s.reciprocal()?, 0.0)?.expand_dims(-1)?;
        let turned = |x: &Self| x.conj()?.swapaxes(-1, -2);
        Ok(turned(&vh)?.matmul(&turned(&u)?.multiply(&inverse)?)?.astype(dtype))
    }

    /// How many singular values of matrices count, as `i64`: those above `tolerance`, and
    /// without one above the type's last place times the greater side times the greatest.
    ///
    /// # Errors
    /// For fewer than two axes; when it is computed, for NaN and infinities.
    pub fn matrix_rank(&self, tolerance: Option<f64>) -> Result<Self> {
        let (dtype, a) = (field_type(self.dtype()), as_wide(self));
        let (m, n) = sides("matrix_rank", &a)?;
        let s = a.svdvals()?;
        if s.size() == 0 {
            return Ok(Self::zeros(lead(&a), DType::I64));
        }
        let counts = match tolerance {
            Some(least) => s.greater(least)?,
            None => s.greater(&cutoff(&s, (m, n), None, dtype)?)?,
        };
        counts.astype(DType::I64).sum(-1)
    }

    /// The product of so many times a square matrix; of a negative number of its inverse, of 0
    /// the identity. By squares, so that it takes as many products as the number has digits in
    /// base 2, and at most as many again.
    ///
    /// # Errors
    /// If the matrices are not square; for a negative number as [`Array::inv`].
    pub fn matrix_power(&self, power: i64) -> Result<Self> {
        let n = side("matrix_power", self)?;
        if power == 0 {
            let eye = Self::eye(n, n, 0, self.dtype());
            return if self.rank() == 2 { Ok(eye) } else { eye.broadcast_to(self.shape()) };
        }
        let mut square = if power < 0 { self.inv()? } else { self.clone() };
        let (mut left, mut found) = (power.unsigned_abs(), None::<Self>);
        loop {
            if left % 2 == 1 {
                found = Some(match found {
                    None => square.clone(),
                    Some(so_far) => so_far.matmul(&square)?,
                });
            }
            left /= 2;
            match (left, found) {
                (0, Some(found)) => return Ok(found),
                (_, so_far) => found = so_far,
            }
            square = square.matmul(&square)?;
        }
    }
}
