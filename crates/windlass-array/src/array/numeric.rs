//! Slopes, integrals, and interpolation.

use super::{Array, index::Index};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions},
    },
    reduce::extremes::order,
    region::Region,
    tile::Tile,
};

/// How far apart elements along an axis are.
#[derive(Debug, Clone)]
pub enum Spacing {
    /// All the same.
    Even(f64),
    /// Where they are: an array of rank 1.
    At(Array),
}

impl From<f64> for Spacing {
    fn from(distance: f64) -> Self {
        Self::Even(distance)
    }
}

impl From<&Array> for Spacing {
    fn from(places: &Array) -> Self {
        Self::At(places.clone())
    }
}

impl Array {
    fn part_of(&self, axis: isize, index: impl Into<Index>) -> Result<Self> {
        self.index_axis(axis, index)
    }

    /// As floats, where it is not of floats or complex numbers.
    fn as_floats(&self) -> Self {
        if self.dtype().kind() <= Kind::Integer { self.astype(DType::F64) } else { self.clone() }
    }

    /// The slope along an axis: central differences inside, one-sided ones at the ends, of the
    /// first or second order there. As NumPy's `gradient` of one axis.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::from_slice(&[1.0, 2.0, 4.0, 7.0, 11.0]);
    /// let slope = x.gradient(0, 1.0, 1)?;
    /// assert_eq!(slope.compute::<f64>()?.into_raw_vec_and_offset().0, [1.0, 1.5, 2.5, 3.5, 4.0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range or not longer than the order, the order is neither 1 nor
    /// 2, or there is not one place for each element.
    pub fn gradient(
        &self,
        axis: isize,
        spacing: impl Into<Spacing>,
        edge_order: usize,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, "gradient")?;
        let n = self.shape()[at];
        let wrong = |argument, expected: String, got: String| ArrayError::Argument {
            operation: "gradient",
            argument,
            expected,
            got,
        };
        if !(1..=2).contains(&edge_order) {
            return Err(wrong("edge_order", "1 or 2".into(), edge_order.to_string()));
        }
        if n < edge_order + 1 {
            let expected = format!("at least {} elements", edge_order + 1);
            return Err(wrong("the axis", expected, n.to_string()));
        }
        let f = self.as_floats();
        let axis = at as isize;
        match spacing.into() {
            Spacing::Even(h) => f.even_gradient(axis, h, edge_order),
            Spacing::At(places) => {
                if places.rank() != 1 || places.size() != n {
                    let got = format!("shape {}", places.shape());
                    return Err(wrong("spacing", format!("{n} places of rank 1"), got));
                }
                let mut lens = vec![1; self.rank()];
                lens[at] = n;
                let steps = places.as_floats().reshape(lens)?.diff(1, axis)?;
                f.uneven_gradient(axis, &steps, edge_order)
            }
        }
    }

    fn even_gradient(&self, axis: isize, h: f64, order: usize) -> Result<Self> {
        let f = |range: std::ops::Range<i64>| self.part_of(axis, range);
        let n = self.shape()[axis as usize] as i64;
        let inner = self.part_of(axis, 2..)?.subtract(&self.part_of(axis, ..-2)?)?;
        let inner = inner.divide(2.0 * h)?;
        let (first, last) = if order == 1 {
            let end = |a: i64| f(a + 1..a + 2)?.subtract(&f(a..a + 1)?)?.divide(h);
            (end(0)?, end(n - 2)?)
        } else {
            let end = |from: i64, weights: [f64; 3]| {
                let term = |i: i64| f(from + i..from + i + 1)?.multiply(weights[i as usize] / h);
                term(0)?.add(&term(1)?)?.add(&term(2)?)
            };
            (end(0, [-1.5, 2.0, -0.5])?, end(n - 3, [0.5, -2.0, 1.5])?)
        };
        Self::concatenate(&[&first, &inner, &last], axis)
    }

    fn uneven_gradient(&self, axis: isize, steps: &Self, order: usize) -> Result<Self> {
        let n = self.shape()[axis as usize] as i64;
        let f = |range: std::ops::Range<i64>| self.part_of(axis, range);
        let d = |range: std::ops::Range<i64>| steps.part_of(axis, range);
        let (a, b) = (d(0..n - 2)?, d(1..n - 1)?);
        let both = (&a + &b).clone();
        let inner = &(&f(0..n - 2)? * &-(&b / &(&a * &both)))
            + &(&f(1..n - 1)? * &(&(&b - &a) / &(&a * &b)));
        let inner = &inner + &(&f(2..n)? * &(&a / &(&b * &both)));
        let (first, last) = if order == 1 {
            let end = |i: i64| f(i + 1..i + 2)?.subtract(&f(i..i + 1)?)?.divide(&d(i..i + 1)?);
            (end(0)?, end(n - 2)?)
        } else {
            let term = |i: i64, weight: &Self| f(i..i + 1)?.multiply(weight);
            let (a, b) = (d(0..1)?, d(1..2)?);
            let sum = &a + &b;
            let first = term(0, &-(&(&(&a * 2.0) + &b) / &(&a * &sum)))?
                .add(&term(1, &(&sum / &(&a * &b)))?)?
                .add(&term(2, &-(&a / &(&b * &sum)))?)?;
            let (a, b) = (d(n - 3..n - 2)?, d(n - 2..n - 1)?);
            let sum = &a + &b;
            let last = term(n - 3, &(&b / &(&a * &sum)))?
                .add(&term(n - 2, &-(&sum / &(&a * &b)))?)?
                .add(&term(n - 1, &(&(&(&b * 2.0) + &a) / &(&b * &sum)))?)?;
            (first, last)
        };
        let dtype = self.dtype();
        let parts = [first.astype(dtype), inner.astype(dtype), last.astype(dtype)];
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// The integral along an axis by the trapezoidal rule: NumPy's `trapezoid`.
    ///
    /// # Errors
    /// If the axis is out of range, or there is not one place for each element.
    pub fn trapezoid(&self, axis: isize, spacing: impl Into<Spacing>) -> Result<Self> {
        let at = self.shape().axis(axis, "trapezoid")?;
        let axis = at as isize;
        let y = self.as_floats();
        let sums = y.part_of(axis, 1..)?.add(&y.part_of(axis, ..-1)?)?;
        let areas = match spacing.into() {
            Spacing::Even(h) => sums.multiply(h)?,
            Spacing::At(places) => {
                let places = if places.rank() == 1 && self.rank() > 1 {
                    let mut lens = vec![1; self.rank()];
                    lens[at] = places.size();
                    places.reshape(lens)?
                } else {
                    places
                };
                if places.rank() != self.rank() || places.shape()[at] != self.shape()[at] {
                    return Err(ArrayError::Shape {
                        operation: "trapezoid",
                        expected: format!("{} places along the axis", self.shape()[at]),
                        got: places.shape().to_string(),
                    });
                }
                sums.multiply(&places.as_floats().diff(1, axis)?)?
            }
        };
        areas.divide(2.0)?.sum(axis)
    }

    /// The values at this array's elements of a function that is known at some places, linear
    /// between them: NumPy's `interp`. The places ascend; before the first and behind the last
    /// the values are `outside`, or those at the ends. Places and values are held by every
    /// task.
    ///
    /// # Errors
    /// If places and values are not of rank 1 and one length, at least 1; for complex
    /// numbers.
    pub fn interp(
        &self,
        places: &Self,
        values: &Self,
        outside: (Option<f64>, Option<f64>),
    ) -> Result<Self> {
        if places.rank() != 1 || places.shape() != values.shape() || places.size() == 0 {
            return Err(ArrayError::Shape {
                operation: "interp",
                expected: "as many places as values, of rank 1, at least one".into(),
                got: format!("shapes {} and {}", places.shape(), values.shape()),
            });
        }
        if [self, places, values].iter().any(|a| a.dtype().is_complex()) {
            return Err(ArrayError::Type {
                operation: "interp",
                dtype: DType::C128.to_string(),
                hint: "it is defined for real numbers",
            });
        }
        let all = Region::all(places.shape().as_slice());
        let op = OfRegions(OfChunks {
            name: "interp",
            reads: move |region: &Region| {
                vec![(0, region.clone()), (1, all.clone()), (2, all.clone())]
            },
            make: move |_: &Region, tiles: &[Tile]| {
                let x = tiles[0].to_array::<f64>()?;
                let at = tiles[1].to_array::<f64>()?.into_raw_vec_and_offset().0;
                let y = tiles[2].to_array::<f64>()?.into_raw_vec_and_offset().0;
                Ok::<_, BoxError>(Tile::from_array(x.mapv(|x| interpolated(x, &at, &y, outside))))
            },
        });
        let wide = |a: &Self| a.astype(DType::F64);
        let inputs = [&wide(self), &wide(places), &wide(values)];
        Ok(Self::regions(op, &inputs, DType::F64, self.chunks().clone()))
    }

    /// Between which edges each element lies: how many edges are below it (or equal to it, if
    /// not `right`), as `i64`. Of descending edges how many are above. NumPy's `digitize`.
    ///
    /// # Errors
    /// If the edges neither ascend nor descend.
    pub fn digitize(&self, edges: &[f64], right: bool) -> Result<Self> {
        let n = edges.len() as i64;
        if edges.is_sorted() {
            return self.searchsorted(&Self::from_slice(edges), !right);
        }
        let turned: Vec<f64> = edges.iter().rev().copied().collect();
        if !turned.is_sorted() {
            return Err(ArrayError::Argument {
                operation: "digitize",
                argument: "edges",
                expected: "ascending or descending".into(),
                got: format!("{edges:?}"),
            });
        }
        let found = self.searchsorted(&Self::from_slice(&turned), !right)?;
        found.negative()?.add(n)
    }
}

/// The value at a place of a function that is known at others.
fn interpolated(x: f64, at: &[f64], y: &[f64], outside: (Option<f64>, Option<f64>)) -> f64 {
    let last = at.len() - 1;
    if x.is_nan() {
        return x;
    }
    if x > at[last] {
        return outside.1.unwrap_or(y[last]);
    }
    if x < at[0] {
        return outside.0.unwrap_or(y[0]);
    }
    let i = at.partition_point(|a| order(a, &x) != std::cmp::Ordering::Greater).max(1) - 1;
    if i >= last || at[i] == x {
        return y[i.min(last)];
    }
    let slope = (y[i + 1] - y[i]) / (at[i + 1] - at[i]);
    let value = slope * (x - at[i]) + y[i];
    if !value.is_nan() {
        return value;
    }
    // Infinite values, from the other side.
    let value = slope * (x - at[i + 1]) + y[i + 1];
    if value.is_nan() && y[i] == y[i + 1] { y[i] } else { value }
}
