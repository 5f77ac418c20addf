//! Shapes and indices, each a type of its own so that one is not taken for another, and
//! broadcasting.

use std::fmt;

use crate::error::{ArrayError, Result};

/// `(2, 3)`, and `(2,)` for one axis.
fn tuple(f: &mut fmt::Formatter<'_>, of: &[usize]) -> fmt::Result {
    f.write_str("(")?;
    for (i, n) in of.iter().enumerate() {
        write!(f, "{}{n}", if i > 0 { ", " } else { "" })?;
    }
    f.write_str(if of.len() == 1 { ",)" } else { ")" })
}

macro_rules! axis_words {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(Vec<usize>);

        impl $name {
            /// Of these numbers, one an axis.
            pub fn new(of: impl Into<Vec<usize>>) -> Self {
                Self(of.into())
            }

            /// Number of axes.
            pub fn rank(&self) -> usize {
                self.0.len()
            }

            /// The numbers, one an axis.
            pub fn as_slice(&self) -> &[usize] {
                &self.0
            }
        }

        impl std::ops::Index<usize> for $name {
            type Output = usize;

            fn index(&self, axis: usize) -> &usize {
                &self.0[axis]
            }
        }

        impl From<Vec<usize>> for $name {
            fn from(of: Vec<usize>) -> Self {
                Self(of)
            }
        }

        impl From<&[usize]> for $name {
            fn from(of: &[usize]) -> Self {
                Self(of.to_vec())
            }
        }

        impl<const N: usize> From<[usize; N]> for $name {
            fn from(of: [usize; N]) -> Self {
                Self(of.to_vec())
            }
        }

        impl From<usize> for $name {
            fn from(of: usize) -> Self {
                Self(vec![of])
            }
        }

        impl From<&$name> for $name {
            fn from(of: &$name) -> Self {
                of.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tuple(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))?;
                tuple(f, &self.0)
            }
        }
    )+};
}

axis_words! {
    /// Elements along each axis of an array.
    ArrayShape;
    /// Elements along each axis of a chunk.
    ChunkShape;
    /// Chunks along each axis of an array.
    GridShape;
    /// A chunk's place in its grid, one number an axis.
    ChunkIndex;
}

impl ArrayShape {
    /// Number of elements: the product of the axes, 1 for rank 0. Saturates.
    pub fn size(&self) -> usize {
        self.0.iter().fold(1, |a, b| a.saturating_mul(*b))
    }

    /// The shape that both broadcast to.
    ///
    /// # Errors
    /// If an axis differs and neither side has 1 there.
    pub fn broadcast(&self, other: &Self, operation: &'static str) -> Result<Self> {
        let rank = self.rank().max(other.rank());
        let at = |s: &Self, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |j| s[j]);
        let axis = |i| match (at(self, i), at(other, i)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        };
        (0..rank).map(axis).collect::<Option<Vec<_>>>().map(Self).ok_or_else(|| {
            ArrayError::Broadcast { operation, left: self.clone(), right: other.clone() }
        })
    }

    /// The position of an axis that may be counted from the end.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn axis(&self, axis: isize, operation: &'static str) -> Result<usize> {
        resolve_axis(axis, self.rank(), operation)
    }

    /// The positions of some axes, in ascending order, each once.
    ///
    /// # Errors
    /// If one is out of range, or named twice.
    pub fn axes(&self, axes: &[isize], operation: &'static str) -> Result<Vec<usize>> {
        let mut found = Vec::with_capacity(axes.len());
        for &a in axes {
            let axis = self.axis(a, operation)?;
            if found.contains(&axis) {
                return Err(ArrayError::RepeatedAxis { operation, axis, axes: axes.to_vec() });
            }
            found.push(axis);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Elements between neighbours along each axis, with the last axis the fastest.
    pub(crate) fn strides(&self) -> Vec<isize> {
        strides(&self.0)
    }
}

/// As [`ArrayShape::strides`].
pub(crate) fn strides(lens: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; lens.len()];
    for i in (1..lens.len()).rev() {
        strides[i - 1] = strides[i] * lens[i].max(1) as isize;
    }
    strides
}

/// The position of an axis of an array of that rank.
pub(crate) fn resolve_axis(axis: isize, rank: usize, operation: &'static str) -> Result<usize> {
    let at = if axis < 0 { axis + rank as isize } else { axis };
    usize::try_from(at).ok().filter(|&a| a < rank).ok_or(ArrayError::Axis { operation, axis, rank })
}

/// Counts through all indices below `lens`, the last axis the fastest. One empty index for
/// rank 0.
pub(crate) fn each_index(lens: &[usize], mut f: impl FnMut(&[usize])) {
    if lens.contains(&0) {
        return;
    }
    let mut at = vec![0; lens.len()];
    loop {
        f(&at);
        let Some(axis) = (0..lens.len()).rev().find(|&i| at[i] + 1 < lens[i]) else { return };
        at[axis] += 1;
        at[axis + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_last_axis() {
        let b = |a: &[usize], b: &[usize]| ArrayShape::from(a).broadcast(&b.into(), "add");
        assert_eq!(b(&[4, 1], &[3]).unwrap(), [4, 3].into());
        assert_eq!(b(&[], &[2, 2]).unwrap(), [2, 2].into());
        assert_eq!(b(&[0, 1], &[1, 5]).unwrap(), [0, 5].into());
        let error = b(&[2, 3], &[2]).unwrap_err().to_string();
        assert!(error.contains("(2, 3)") && error.contains("(2,)"), "{error}");
    }

    #[test]
    fn axes_are_counted_from_either_end() {
        let shape = ArrayShape::from([2, 3, 4]);
        assert_eq!(shape.axes(&[-1, 0], "sum").unwrap(), [0, 2]);
        let error = shape.axis(3, "sum").unwrap_err().to_string();
        assert!(error.contains("axis 3") && error.contains("rank 3"), "{error}");
        assert!(matches!(shape.axes(&[1, -2], "sum"), Err(ArrayError::RepeatedAxis { .. })));
    }

    #[test]
    fn every_index_comes_once_in_order() {
        let mut seen = Vec::new();
        each_index(&[2, 1, 2], |i| seen.push(i.to_vec()));
        assert_eq!(seen, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]);
        let mut n = 0;
        each_index(&[], |_| n += 1);
        each_index(&[3, 0], |_| n += 10);
        assert_eq!(n, 1);
    }
}
