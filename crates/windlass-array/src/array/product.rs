//! Sums of products of arrays: `matmul`, `dot` and their kin. The types are NumPy's: integers
//! keep theirs and wrap, and of bools a sum is "or", a product "and".

use super::Array;
use crate::{
    error::{ArrayError, Result},
    linear::einsum::{Labelled, einsum, pair, parse},
};

/// Two arrays as their common type.
fn promoted(a: &Array, b: &Array) -> (Array, Array) {
    let dtype = a.dtype().promote(b.dtype());
    (a.astype(dtype), b.astype(dtype))
}

/// Axes that are summed over, of two arrays of those lengths there.
fn same_length(
    operation: &'static str,
    (a, i): (&Array, usize),
    (b, j): (&Array, usize),
) -> Result<()> {
    if a.shape()[i] == b.shape()[j] {
        return Ok(());
    }
    Err(ArrayError::Shape {
        operation,
        expected: format!("axis {i} of shape {} as long as axis {j} of the other array", a.shape()),
        got: b.shape().to_string(),
    })
}

/// A product in which only these axes are summed over: of the first array's other axes, then of
/// the second one's.
fn over(operation: &'static str, a: &Array, b: &Array, axes: &[(usize, usize)]) -> Result<Array> {
    for &(i, j) in axes {
        same_length(operation, (a, i), (b, j))?;
    }
    let (a, b) = promoted(a, b);
    let left: Vec<usize> = (0..a.rank()).collect();
    let mut right: Vec<usize> = (a.rank()..a.rank() + b.rank()).collect();
    axes.iter().for_each(|&(i, j)| right[j] = left[i]);
    let kept_left = left.iter().filter(|l| !axes.iter().any(|(i, _)| i == *l));
    let kept_right = right.iter().filter(|l| **l >= a.rank());
    let out: Vec<usize> = kept_left.chain(kept_right).copied().collect();
    let (a, b) = (Labelled { array: a, labels: left }, Labelled { array: b, labels: right });
    pair(operation, a, b, &out)
}

impl Array {
    /// The product of matrices: the last two axes of each array, of which the ones before are
    /// broadcast. An array of rank 1 is a row on the left, a column on the right, and that
    /// axis is not in the result.
    ///
    /// It is made tile by tile, of segments of the axis that is summed over, so that a task
    /// holds a few tens of megabytes: K. Goto and R. A. van de Geijn, *Anatomy of
    /// High-Performance Matrix Multiplication* (2008), within a tile as the library `faer`
    /// does it.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0.0, 6.0, 1.0)?.reshape([2, 3])?;
    /// let y = x.matmul(&x.t())?;
    /// assert_eq!(y.compute::<f64>()?, ndarray::arr2(&[[5.0, 14.0], [14.0, 50.0]]).into_dyn());
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For rank 0, and if the axes that are summed over differ or the others do not broadcast.
    pub fn matmul(&self, other: &Self) -> Result<Self> {
        const NAME: &str = "matmul";
        for array in [self, other] {
            if array.rank() == 0 {
                return Err(ArrayError::Shape {
                    operation: NAME,
                    expected: "arrays of rank 1 or more (use `multiply` for scalars)".into(),
                    got: format!("{} and {}", self.shape(), other.shape()),
                });
            }
        }
        let (ra, rb) = (self.rank(), other.rank());
        same_length(NAME, (self, ra - 1), (other, rb.saturating_sub(2)))?;
        let (a, b) = promoted(self, other);
        // Labels: 0 is summed over, 1 the rows, 2 the columns, the others counted from the last.
        let lead = |rank: usize| (0..rank.saturating_sub(2)).rev().map(|i| i + 3);
        let left: Vec<usize> = lead(ra).chain((ra > 1).then_some(1)).chain([0]).collect();
        let right: Vec<usize> = lead(rb).chain([0]).chain((rb > 1).then_some(2)).collect();
        let first = |s: &crate::ArrayShape| {
            crate::ArrayShape::new(&s.as_slice()[..s.rank().saturating_sub(2)])
        };
        first(self.shape()).broadcast(&first(other.shape()), NAME)?;
        let ends = (ra > 1).then_some(1).into_iter().chain((rb > 1).then_some(2));
        let out: Vec<usize> = lead(ra.max(rb)).chain(ends).collect();
        let (a, b) = (Labelled { array: a, labels: left }, Labelled { array: b, labels: right });
        pair(NAME, a, b, &out)
    }

    /// The sum of products over the last axis of this array and the last but one of the other
    /// (its only one, if it has one): of all other axes with all others. With a scalar of rank 0
    /// the product.
    ///
    /// # Errors
    /// If the axes that are summed over differ.
    pub fn dot(&self, other: &Self) -> Result<Self> {
        if self.rank() == 0 || other.rank() == 0 {
            return self.multiply(other);
        }
        over("dot", self, other, &[(self.rank() - 1, other.rank().saturating_sub(2))])
    }

    /// The sum of products of all elements, those of this array conjugated.
    ///
    /// # Errors
    /// If the numbers of elements differ.
    pub fn vdot(&self, other: &Self) -> Result<Self> {
        let (a, b) = (self.ravel()?, other.ravel()?);
        let a = if a.dtype().is_complex() { a.conj()? } else { a };
        over("vdot", &a, &b, &[(0, 0)])
    }

    /// The sum of products over the last axes of both. With a scalar of rank 0 the product.
    ///
    /// # Errors
    /// If the last axes differ.
    pub fn inner(&self, other: &Self) -> Result<Self> {
        if self.rank() == 0 || other.rank() == 0 {
            return self.multiply(other);
        }
        over("inner", self, other, &[(self.rank() - 1, other.rank() - 1)])
    }

    /// The products of each element of this array, in order, with each of the other.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn outer(&self, other: &Self) -> Result<Self> {
        self.ravel()?.expand_dims(1)?.multiply(&other.ravel()?)
    }

    /// The sum of products over pairs of axes, one of each array; the other axes of this one
    /// come first in the result.
    ///
    /// # Errors
    /// If an axis is out of range or named twice, there are not as many of both, or a pair
    /// differs in length.
    pub fn tensordot(&self, other: &Self, axes: (&[isize], &[isize])) -> Result<Self> {
        const NAME: &str = "tensordot";
        if axes.0.len() != axes.1.len() {
            return Err(ArrayError::Argument {
                operation: NAME,
                argument: "axes",
                expected: "as many of the one array as of the other".into(),
                got: format!("{axes:?}"),
            });
        }
        self.shape().axes(axes.0, NAME)?;
        other.shape().axes(axes.1, NAME)?;
        let pairs = axes.0.iter().zip(axes.1);
        let pairs =
            pairs.map(|(&i, &j)| Ok((self.shape().axis(i, NAME)?, other.shape().axis(j, NAME)?)));
        over(NAME, self, other, &pairs.collect::<Result<Vec<_>>>()?)
    }

    /// Sums of products as subscripts say, in Einstein's convention: each operand's axes have
    /// letters, and the result has those behind `->`, summed over the others. A letter that an
    /// operand has twice stands for its diagonal, `...` for axes that are broadcast; without
    /// `->` the result has the letters that come once, in the order of the alphabet.
    ///
    /// Of several operands two are multiplied at a time, in the order of the fewest
    /// multiplications (of up to ten; the cheapest pair first while there are more).
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0, 4, 1)?.reshape([2, 2])?;
    /// let y = Array::einsum("ij,jk,kl->il", &[&x, &x, &x])?;
    /// assert_eq!(y.compute::<i64>()?, ndarray::arr2(&[[6, 11], [22, 39]]).into_dyn());
    /// assert_eq!(Array::einsum("ii", &[&x])?.compute::<i64>()?.sum(), 3);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the subscripts do not fit the operands, or axes of one letter differ in length
    /// (but for those of length 1, which are repeated).
    pub fn einsum(subscripts: &str, operands: &[&Self]) -> Result<Self> {
        let Some(dtype) = operands.iter().map(|a| a.dtype()).reduce(crate::DType::promote) else {
            return Err(ArrayError::Argument {
                operation: "einsum",
                argument: "operands",
                expected: "at least one".into(),
                got: "none".into(),
            });
        };
        let ranks: Vec<usize> = operands.iter().map(|a| a.rank()).collect();
        let (labels, out) = parse(subscripts, &ranks)?;
        let of = operands.iter().zip(labels);
        let of = of.map(|(a, labels)| Labelled { array: a.astype(dtype), labels }).collect();
        einsum(of, &out)
    }

    /// The Kronecker product: blocks of the other array, one for each element of this, times
    /// it. The array of the lower rank has axes of length 1 in front.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn kron(&self, other: &Self) -> Result<Self> {
        let rank = self.rank().max(other.rank());
        let lens = |of: &Self| [&vec![1; rank - of.rank()], of.shape().as_slice()].concat();
        let (a, b) = (lens(self), lens(other));
        let spread = |lens: &[usize], first: bool| -> Vec<usize> {
            lens.iter().flat_map(|&n| if first { [n, 1] } else { [1, n] }).collect()
        };
        let products =
            self.reshape(spread(&a, true))?.multiply(&other.reshape(spread(&b, false))?)?;
        products.reshape(a.iter().zip(&b).map(|(m, n)| m * n).collect::<Vec<_>>())
    }
}
