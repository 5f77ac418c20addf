//! What is made of one matrix in memory, by the library `faer`. Results are written by rows,
//! one behind the other.

use faer::{
    Conj, Mat, MatMut, MatRef, Par,
    diag::DiagMut,
    dyn_stack::{MemBuffer, MemStack},
    linalg::{
        cholesky::llt, evd, householder, lu::partial_pivoting, qr::no_pivoting, svd,
        triangular_solve,
    },
};

use super::{
    field::{Field, threads},
    stacked::Problem,
};

fn by_rows<T>(to: &mut [T], rows: usize, columns: usize) -> MatMut<'_, T> {
    MatMut::from_row_major_slice_mut(to, rows, columns)
}

/// A copy by columns, as `faer` wants it.
fn copied<T: Field>(a: MatRef<'_, T>) -> Mat<T> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)])
}

fn finite<T: Field>(a: MatRef<'_, T>) -> bool {
    (0..a.ncols()).all(|j| (0..a.nrows()).all(|i| a[(i, j)].is_number()))
}

const NOT_FINITE: &str = "it has NaN or infinite elements, for which this is not defined: mask or \
                          replace them first";

fn must_be_finite<T: Field>(a: MatRef<'_, T>) -> Result<(), Problem> {
    if finite(a) { Ok(()) } else { Err(NOT_FINITE.into()) }
}

fn cube(a: MatRef<'_, impl Sized>) -> f64 {
    a.nrows().min(a.ncols()) as f64 * a.nrows() as f64 * a.ncols() as f64
}

/// Q and R, of which Q has as many columns as R rows: the lesser side, or all rows if it is
/// `complete`.
pub(crate) fn qr<T: Field>(
    a: MatRef<'_, T>,
    to: &mut [T],
    complete: bool,
    alone: bool,
) -> Result<(), Problem> {
    let (m, n) = (a.nrows(), a.ncols());
    let columns = if complete { m } else { m.min(n) };
    let (k, par) = (m.min(n), threads(alone, cube(a)));
    let mut v = copied(a);
    let width = no_pivoting::factor::recommended_block_size::<T>(m, n).clamp(1, k);
    let mut t = Mat::<T>::zeros(width, k);
    let scratch =
        no_pivoting::factor::qr_in_place_scratch::<T>(m, n, width, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    no_pivoting::factor::qr_in_place(v.as_mut(), t.as_mut(), par, stack, Default::default());
    let (to_q, to_r) = to.split_at_mut(m * columns);
    let mut q = Mat::<T>::identity(m, columns);
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(
        m, width, columns,
    );
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        v.as_ref().subcols(0, k),
        t.as_ref(),
        Conj::No,
        q.as_mut(),
        par,
        MemStack::new(&mut memory),
    );
    by_rows(to_q, m, columns).copy_from(&q);
    let mut r = by_rows(to_r, columns, n);
    for i in 0..k {
        (i..n).for_each(|j| r[(i, j)] = v[(i, j)]);
    }
    Ok(())
}

/// Which vectors come with singular values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    None,
    /// As many as there are values.
    Thin,
    /// As many as the matrix has rows, and columns.
    Full,
}

/// U, the singular values and V's conjugate transpose; or the values alone.
pub(crate) fn svd<T: Field>(
    a: MatRef<'_, T>,
    to: &mut [T],
    which: Vectors,
    alone: bool,
) -> Result<(), Problem> {
    must_be_finite(a)?;
    let (m, n) = (a.nrows(), a.ncols());
    let (k, par) = (m.min(n), threads(alone, cube(a)));
    let vectors = which != Vectors::None;
    // Vectors of the rows and of the columns.
    let (left, right) = if which == Vectors::Full { (m, n) } else { (k, k) };
    let which = match which {
        Vectors::None => svd::ComputeSvdVectors::No,
        Vectors::Thin => svd::ComputeSvdVectors::Thin,
        Vectors::Full => svd::ComputeSvdVectors::Full,
    };
    let scratch = svd::svd_scratch::<T>(m, n, which, which, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let mut values = vec![T::of(0.0); k];
    let sides = if vectors { (m, n) } else { (0, 0) };
    let (mut u, mut v) = (Mat::<T>::zeros(sides.0, left), Mat::<T>::zeros(sides.1, right));
    let found = svd::svd(
        copied(a).as_ref(),
        DiagMut::from_slice_mut(&mut values),
        vectors.then(|| u.as_mut()),
        vectors.then(|| v.as_mut()),
        par,
        MemStack::new(&mut memory),
        Default::default(),
    );
    found.map_err(|_| "the iteration for its singular values did not end")?;
    let values = values.into_iter().map(|s| T::of(s.real_part()));
    if !vectors {
        to.iter_mut().zip(values).for_each(|(to, s)| *to = s);
        return Ok(());
    }
    let (to_u, rest) = to.split_at_mut(m * left);
    let (to_s, to_v) = rest.split_at_mut(k);
    by_rows(to_u, m, left).copy_from(&u);
    to_s.iter_mut().zip(values).for_each(|(to, s)| *to = s);
    by_rows(to_v, right, n).copy_from(v.adjoint());
    Ok(())
}

/// Eigenvalues in ascending order and eigenvectors in columns, of a matrix that equals its
/// conjugate transpose; or the values alone. Only the lower triangle is read.
pub(crate) fn eigh<T: Field>(
    a: MatRef<'_, T>,
    to: &mut [T],
    vectors: bool,
    alone: bool,
) -> Result<(), Problem> {
    let n = a.nrows();
    let full = Mat::from_fn(n, n, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Less => a[(j, i)].conjugate(),
        std::cmp::Ordering::Equal => T::of(a[(i, i)].real_part()),
        std::cmp::Ordering::Greater => a[(i, j)],
    });
    must_be_finite(full.as_ref())?;
    let par = threads(alone, cube(a));
    let which = if vectors { evd::ComputeEigenvectors::Yes } else { evd::ComputeEigenvectors::No };
    let scratch = evd::self_adjoint_evd_scratch::<T>(n, which, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let mut values = vec![T::of(0.0); n];
    let mut u = if vectors { Mat::<T>::zeros(n, n) } else { Mat::zeros(0, 0) };
    let found = evd::self_adjoint_evd(
        full.as_ref(),
        DiagMut::from_slice_mut(&mut values),
        vectors.then(|| u.as_mut()),
        par,
        MemStack::new(&mut memory),
        Default::default(),
    );
    found.map_err(|_| "the iteration for its eigenvalues did not end")?;
    to.iter_mut().zip(values).for_each(|(to, s)| *to = T::of(s.real_part()));
    if vectors {
        by_rows(&mut to[n..], n, n).copy_from(&u);
    }
    Ok(())
}

/// The lower factor L of a positive definite matrix L times its conjugate transpose. Only the
/// lower triangle is read.
pub(crate) fn cholesky<T: Field>(
    a: MatRef<'_, T>,
    to: &mut [T],
    alone: bool,
) -> Result<(), Problem> {
    let n = a.nrows();
    let mut l = copied(a);
    let par = threads(alone, cube(a) / 3.0);
    let scratch = llt::factor::cholesky_in_place_scratch::<T>(n, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let found = llt::factor::cholesky_in_place(
        l.as_mut(),
        Default::default(),
        par,
        stack,
        Default::default(),
    );
    let positive = |i: usize| l[(i, i)].is_number() && l[(i, i)].real_part() > 0.0;
    let wrong = match found {
        Err(llt::factor::LltError::NonPositivePivot { index }) => Some(index),
        Ok(_) => (0..n).find(|&i| !positive(i)),
    };
    if let Some(row) = wrong {
        return Err(format!(
            "it is not positive definite: what is left of row {row} has no positive diagonal. \
             Is it symmetric, and are its columns independent? Adding a small multiple of the \
             identity makes it so"
        ));
    }
    let mut to = by_rows(to, n, n);
    for j in 0..n {
        (j..n).for_each(|i| to[(i, j)] = l[(i, j)]);
    }
    Ok(())
}

/// The factors of a matrix with its rows in another order.
pub(crate) struct Lu<T> {
    /// U on and above the diagonal, L without its ones below.
    pub(crate) both: Mat<T>,
    /// The row of the matrix that each row of the factors is.
    pub(crate) order: Vec<usize>,
    /// Whether the order is an odd number of exchanges.
    pub(crate) odd: bool,
}

/// L, U and the order of the rows: in each column the element farthest from 0 is the pivot.
pub(crate) fn lu<T: Field>(a: MatRef<'_, T>, par: Par) -> Lu<T> {
    let (m, n) = (a.nrows(), a.ncols());
    let mut both = copied(a);
    let (mut order, mut back) = (vec![0_usize; m], vec![0_usize; m]);
    let scratch =
        partial_pivoting::factor::lu_in_place_scratch::<usize, T>(m, n, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let (info, _) = partial_pivoting::factor::lu_in_place(
        both.as_mut(),
        &mut order,
        &mut back,
        par,
        MemStack::new(&mut memory),
        Default::default(),
    );
    let odd = info.transposition_count % 2 == 1;
    if finite(both.as_ref()) || !finite(a) {
        return Lu { both, order, odd };
    }
    // It divided by a pivot that is 0, which is left out here.
    lu_by_columns(a)
}

fn lu_by_columns<T: Field>(a: MatRef<'_, T>) -> Lu<T> {
    let (m, n) = (a.nrows(), a.ncols());
    let (mut both, mut order, mut odd) = (copied(a), (0..m).collect::<Vec<_>>(), false);
    for j in 0..m.min(n) {
        let far = |i: &usize| both[(*i, j)].magnitude();
        let pivot = (j..m).reduce(|a, b| if far(&b) > far(&a) { b } else { a }).unwrap_or(j);
        if pivot != j {
            for c in 0..n {
                let (x, y) = (both[(j, c)], both[(pivot, c)]);
                (both[(j, c)], both[(pivot, c)]) = (y, x);
            }
            order.swap(j, pivot);
            odd = !odd;
        }
        if both[(j, j)] == T::of(0.0) {
            continue;
        }
        for i in j + 1..m {
            let factor = both[(i, j)] / both[(j, j)];
            both[(i, j)] = factor;
            for c in j + 1..n {
                both[(i, c)] = both[(i, c)] - factor * both[(j, c)];
            }
        }
    }
    Lu { both, order, odd }
}

/// P, L and U, whose product is the matrix.
pub(crate) fn plu<T: Field>(a: MatRef<'_, T>, to: &mut [T], alone: bool) -> Result<(), Problem> {
    let (m, n) = (a.nrows(), a.ncols());
    let k = m.min(n);
    let found = lu(a, threads(alone, cube(a)));
    let (p, rest) = to.split_at_mut(m * m);
    let (l, u) = rest.split_at_mut(m * k);
    for (i, &row) in found.order.iter().enumerate() {
        p[row * m + i] = T::of(1.0);
        for j in 0..k {
            match i.cmp(&j) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => l[i * k + j] = T::of(1.0),
                std::cmp::Ordering::Greater => l[i * k + j] = found.both[(i, j)],
            }
        }
        if i < k {
            (i..n).for_each(|j| u[i * n + j] = found.both[(i, j)]);
        }
    }
    Ok(())
}

pub(crate) const SINGULAR: &str = "it is singular: a pivot is 0. Use `lstsq` or `pinv` for a \
                                   solution of least squares";

/// The X of A X = B.
pub(crate) fn solve<T: Field>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    to: &mut [T],
    alone: bool,
) -> Result<(), Problem> {
    let par = threads(alone, cube(a));
    let found = lu(a, par);
    let n = a.nrows();
    if (0..n).any(|i| found.both[(i, i)] == T::of(0.0)) {
        return Err(SINGULAR.into());
    }
    let mut x = Mat::from_fn(n, b.ncols(), |i, j| b[(found.order[i], j)]);
    triangular_solve::solve_unit_lower_triangular_in_place(found.both.as_ref(), x.as_mut(), par);
    triangular_solve::solve_upper_triangular_in_place(found.both.as_ref(), x.as_mut(), par);
    by_rows(to, n, b.ncols()).copy_from(&x);
    Ok(())
}

/// The X of A X = B, where only a triangle of A is read.
pub(crate) fn solve_triangular<T: Field>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    to: &mut [T],
    (lower, unit): (bool, bool),
) -> Result<(), Problem> {
    let n = a.nrows();
    if !unit && let Some(i) = (0..n).find(|&i| a[(i, i)] == T::of(0.0)) {
        return Err(format!("it is singular: its diagonal has a 0 in row {i}"));
    }
    let (a, mut x) = (copied(a), copied(b));
    let (a, to_x) = (a.as_ref(), x.as_mut());
    match (lower, unit) {
        (true, false) => triangular_solve::solve_lower_triangular_in_place(a, to_x, Par::Seq),
        (true, true) => triangular_solve::solve_unit_lower_triangular_in_place(a, to_x, Par::Seq),
        (false, false) => triangular_solve::solve_upper_triangular_in_place(a, to_x, Par::Seq),
        (false, true) => triangular_solve::solve_unit_upper_triangular_in_place(a, to_x, Par::Seq),
    }
    by_rows(to, n, b.ncols()).copy_from(&x);
    Ok(())
}

/// The determinant, its sign (of distance 1 from 0, or 0) and the logarithm of its distance.
pub(crate) fn determinant<T: Field>(
    a: MatRef<'_, T>,
    to: &mut [T],
    alone: bool,
) -> Result<(), Problem> {
    let found = lu(a, threads(alone, cube(a)));
    let start = T::of(if found.odd { -1.0 } else { 1.0 });
    let (mut all, mut sign, mut log) = (start, start, 0.0);
    for i in 0..a.nrows() {
        let pivot = found.both[(i, i)];
        let far = pivot.magnitude();
        all *= pivot;
        sign = if far == 0.0 { T::of(0.0) } else { sign * pivot / T::of(far) };
        log += far.ln();
    }
    to.copy_from_slice(&[all, sign, T::of(log)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pivots_that_are_zero_are_left_out() {
        for rows in [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 2.0], [1.0, 2.0, 2.0, 4.0]] {
            let a = MatRef::from_row_major_slice(&rows, 2, 2);
            let mut found = [f64::NAN; 3];
            determinant(a, &mut found, false).unwrap();
            assert_eq!(found[..2], [0.0, 0.0], "{rows:?}");
            assert_eq!(found[2], f64::NEG_INFINITY);
            let mut x = [0.0; 4];
            let b = Mat::<f64>::identity(2, 2);
            let error = solve(a, b.as_ref(), &mut x, false).unwrap_err();
            assert!(error.contains("singular") && error.contains("lstsq"), "{error}");
            let mut plu_of = [0.0; 12];
            plu(a, &mut plu_of, false).unwrap();
            let [p, l, u] =
                [0, 4, 8].map(|i| MatRef::from_row_major_slice(&plu_of[i..i + 4], 2, 2));
            let back = p * l * u;
            assert_eq!(back, copied(a));
        }
    }
}
