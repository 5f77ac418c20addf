//! Padding by NumPy's modes: along one axis after another, so that corners are made of what
//! stands beside them.

use super::{Array, index::Index};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    scalar::Scalar,
    shape::ArrayShape,
};

/// What stands around a padded array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pad {
    /// A value.
    Constant(Scalar),
    /// The nearest element.
    Edge,
    /// The array turned around its first and last elements, which come once.
    Reflect,
    /// The array turned around its edges: the first and last elements come twice.
    Symmetric,
    /// As [`Pad::Reflect`], turned around the values of the first and last elements too: what
    /// stands as far behind the last as `x` before it is `2 * last - x`, in the array's type
    /// (integers wrap, bools are whether it is not 0). NumPy's `reflect_type="odd"`.
    ReflectOdd,
    /// As [`Pad::Symmetric`], turned around the values of the first and last elements too.
    SymmetricOdd,
    /// The array again, and again.
    Wrap,
    /// From the nearest element to this value at the end, evenly.
    LinearRamp(f64),
    /// The greatest of so many elements at that end of the axis; `None` for all.
    Maximum(Option<usize>),
    /// The least of them.
    Minimum(Option<usize>),
    /// Their mean; of integers and bools the nearest integer.
    Mean(Option<usize>),
    /// Their median; of integers and bools the nearest integer.
    Median(Option<usize>),
}

/// Positions that follow each other: the first, the step (0 for one that is repeated) and
/// their number.
pub(super) type Run = (usize, isize, usize);

/// The runs of positions of an axis of `n` elements that stand at `from..to` beside it.
pub(super) fn runs(n: usize, (from, to): (i64, i64), place: impl Fn(i64, i64) -> i64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for p in from..to {
        let at = place(p, n as i64);
        match runs.last_mut() {
            Some((start, step, len)) if *len == 1 && (at - *start as i64).abs() <= 1 => {
                *step = (at - *start as i64) as isize;
                *len = 2;
            }
            Some((start, step, len))
                if *len > 1 && *start as i64 + *step as i64 * *len as i64 == at =>
            {
                *len += 1;
            }
            _ => runs.push((at as usize, 1, 1)),
        }
    }
    runs
}

/// Where position `p` of an axis of `n` elements lies in it, turned around its ends.
pub(super) fn turned(p: i64, n: i64, twice: bool) -> i64 {
    if n == 1 {
        return 0;
    }
    let period = if twice { 2 * n } else { 2 * (n - 1) };
    let at = p.rem_euclid(period);
    if at < n { at } else { period - at - i64::from(twice) }
}

impl Array {
    /// The array with something around it, so many elements before and behind along each
    /// axis: NumPy's `pad` with a mode.
    ///
    /// ```
    /// use windlass_array::{Array, Pad};
    ///
    /// let x = Array::arange(0, 4, 1)?;
    /// let y = x.pad_with(&[(2, 3)], Pad::Reflect)?;
    /// assert_eq!(y.compute::<i64>()?.into_raw_vec_and_offset().0, [2, 1, 0, 1, 2, 3, 2, 1, 0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If there is not one pair for each axis, a value does not fit the type, an axis that is
    /// empty is padded with its own elements, or the mode is not defined for complex numbers.
    pub fn pad_with(&self, widths: &[(usize, usize)], mode: Pad) -> Result<Self> {
        if widths.len() != self.rank() {
            return Err(ArrayError::Shape {
                operation: "pad",
                expected: format!("{} pairs of widths", self.rank()),
                got: widths.len().to_string(),
            });
        }
        let mut padded = self.clone();
        for (axis, &(before, behind)) in widths.iter().enumerate() {
            if before + behind == 0 {
                continue;
            }
            if padded.shape()[axis] == 0 && !matches!(mode, Pad::Constant(_)) {
                return Err(ArrayError::Empty {
                    operation: "pad",
                    axis,
                    shape: padded.shape().clone(),
                });
            }
            if matches!(mode, Pad::ReflectOdd | Pad::SymmetricOdd) {
                padded = padded.pad_odd(axis, (before, behind), mode == Pad::SymmetricOdd)?;
                continue;
            }
            let first = padded.pad_side(axis, before, true, mode)?;
            let last = padded.pad_side(axis, behind, false, mode)?;
            let mut parts: Vec<&Self> = first.iter().collect();
            parts.push(&padded);
            parts.extend(&last);
            padded = Self::concatenate(&parts, axis as isize)?;
        }
        Ok(padded)
    }

    /// What stands before or behind the array along an axis.
    fn pad_side(&self, axis: usize, width: usize, before: bool, mode: Pad) -> Result<Vec<Self>> {
        if width == 0 {
            return Ok(Vec::new());
        }
        let n = self.shape()[axis] as i64;
        let range = if before { (-(width as i64), 0) } else { (n, n + width as i64) };
        let from_runs = |place: &dyn Fn(i64, i64) -> i64| {
            runs(n as usize, range, place).into_iter().map(|r| self.run(axis, r)).collect()
        };
        match mode {
            Pad::Constant(value) => {
                let mut lens = self.shape().as_slice().to_vec();
                lens[axis] = width;
                Ok(vec![Self::full_of(ArrayShape::new(lens), value, self.dtype())?])
            }
            Pad::Edge | Pad::ReflectOdd | Pad::SymmetricOdd => from_runs(&|p, n| p.clamp(0, n - 1)),
            Pad::Reflect => from_runs(&|p, n| turned(p, n, false)),
            Pad::Symmetric => from_runs(&|p, n| turned(p, n, true)),
            Pad::Wrap => from_runs(&|p, n| p.rem_euclid(n)),
            Pad::LinearRamp(end) => Ok(vec![self.ramp(axis, width, before, end)?]),
            Pad::Maximum(some) => self.pad_statistic(axis, (width, before), some, Self::max),
            Pad::Minimum(some) => self.pad_statistic(axis, (width, before), some, Self::min),
            Pad::Mean(some) => self.pad_statistic(axis, (width, before), some, Self::mean),
            Pad::Median(some) => self.pad_statistic(axis, (width, before), some, |x, _: isize| {
                x.median(Some(axis as isize))
            }),
        }
    }

    /// The array with so many elements before and behind it along an axis, turned around its
    /// ends in place and in value. An axis that is shorter than what stands beside it is turned
    /// in rounds, each of what the last one gave, as NumPy does it: their number grows with the
    /// logarithm of the widths. Of an axis of length 1 the element is repeated.
    fn pad_odd(&self, axis: usize, widths: (usize, usize), twice: bool) -> Result<Self> {
        let n = self.shape()[axis];
        let along = axis as isize;
        let (mut before, mut behind) = widths;
        let mut padded = self.clone();
        if n == 1 {
            let first = self.pad_side(axis, before, true, Pad::Edge)?;
            let last = self.pad_side(axis, behind, false, Pad::Edge)?;
            let parts: Vec<&Self> = first.iter().chain([self]).chain(&last).collect();
            return Self::concatenate(&parts, along);
        }
        while before + behind > 0 {
            let len = padded.shape()[axis];
            // How much is turned: whole copies of the array, so that each end is one of its ends.
            let (whole, skip) =
                if twice { (len / n * n, 0) } else { ((len - 1) / (n - 1) * (n - 1), 1) };
            let turned = |edge: usize, from: usize, k: usize| -> Result<Self> {
                let range = |a: usize, k: usize| padded.index_axis(along, a as i64..(a + k) as i64);
                let inner = range(from, k)?.flip(&[along])?;
                let odd = range(edge, 1)?.multiply(2)?.subtract(&inner)?;
                Ok(odd.astype(self.dtype()))
            };
            let (left, right) = (whole.min(before), whole.min(behind));
            let first = if left > 0 { Some(turned(0, skip, left)?) } else { None };
            let last =
                if right > 0 { Some(turned(len - 1, len - skip - right, right)?) } else { None };
            let parts: Vec<&Self> = first.iter().chain([&padded]).chain(&last).collect();
            padded = Self::concatenate(&parts, along)?;
            (before, behind) = (before - left, behind - right);
        }
        Ok(padded)
    }

    /// The elements of a run of positions along an axis.
    fn run(&self, axis: usize, (start, step, len): Run) -> Result<Self> {
        let at = start as i64;
        if step == 0 {
            let one = self.index_axis(axis as isize, at..at + 1)?;
            let mut lens = self.shape().as_slice().to_vec();
            lens[axis] = len;
            return one.broadcast_to(lens);
        }
        let last = at + step as i64 * len as i64;
        let stop = (last >= 0).then_some(last);
        let slice = Index::Slice { start: Some(at), stop, step: step as i64 };
        self.index_axis(axis as isize, slice)
    }

    /// A ramp beside an axis: from the nearest element to `end`.
    fn ramp(&self, axis: usize, width: usize, before: bool, end: f64) -> Result<Self> {
        let n = self.shape()[axis] as i64;
        let at = if before { 0 } else { n - 1 };
        let wide = if self.dtype().is_complex() { DType::C128 } else { DType::F64 };
        let edge = self.index_axis(axis as isize, at..at + 1)?.astype(wide);
        let step = edge.subtract(end)?.divide(width as f64)?;
        let mut lens = vec![1; self.rank()];
        lens[axis] = width;
        let places = Self::arange(0.0, width as f64, 1.0)?;
        let places = if before { places } else { places.flip(&[0])? };
        let ramp = places.reshape(lens)?.multiply(&step)?.add(end)?;
        let ramp = if self.dtype().kind() <= Kind::Integer { ramp.floor()? } else { ramp };
        Ok(ramp.astype(self.dtype()))
    }

    /// A statistic of the elements at one end of an axis, repeated.
    fn pad_statistic(
        &self,
        axis: usize,
        (width, before): (usize, bool),
        some: Option<usize>,
        statistic: impl Fn(&Self, isize) -> Result<Self>,
    ) -> Result<Vec<Self>> {
        let n = self.shape()[axis];
        let k = some.unwrap_or(n).min(n);
        if k == 0 {
            return Err(ArrayError::Argument {
                operation: "pad",
                argument: "the number of elements",
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        let range = if before { 0..k as i64 } else { (n - k) as i64..n as i64 };
        let found = statistic(&self.index_axis(axis as isize, range)?, axis as isize)?;
        let exact = self.dtype().kind() <= Kind::Integer && found.dtype().is_float();
        let found = if exact { found.rint()? } else { found };
        let mut lens = self.shape().as_slice().to_vec();
        lens[axis] = width;
        let one = found.astype(self.dtype()).expand_dims(axis as isize)?;
        Ok(vec![one.broadcast_to(lens)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_paddings_turn_several_times() {
        let x = Array::arange(0, 3, 1).unwrap();
        let padded = |mode| {
            let y = x.pad_with(&[(5, 4)], mode).unwrap();
            y.compute::<i64>().unwrap().into_raw_vec_and_offset().0
        };
        assert_eq!(padded(Pad::Reflect), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(padded(Pad::Symmetric), [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(padded(Pad::Wrap), [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(padded(Pad::Edge), [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn odd_paddings_go_on_in_a_line() {
        let x = Array::arange(0, 3, 1).unwrap();
        let padded = |mode| {
            let y = x.pad_with(&[(5, 9)], mode).unwrap();
            y.compute::<i64>().unwrap().into_raw_vec_and_offset().0
        };
        assert_eq!(padded(Pad::ReflectOdd), (-5..12).collect::<Vec<_>>());
        let steps = [-3, -2, -2, -1, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8];
        assert_eq!(padded(Pad::SymmetricOdd), steps);
    }

    #[test]
    fn empty_axes_have_no_elements_to_repeat() {
        let x = Array::zeros([0, 2], DType::F64);
        let error = x.pad_with(&[(1, 0), (0, 0)], Pad::Edge).unwrap_err().to_string();
        assert!(error.contains("pad") && error.contains("(0, 2)"), "{error}");
        let y = x.pad_with(&[(1, 0), (0, 0)], Pad::Constant(1.into())).unwrap();
        assert_eq!(y.shape().as_slice(), [1, 2]);
    }
}
