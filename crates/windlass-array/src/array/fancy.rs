//! Indices that are lists of positions, arrays of them, and masks, mixed with slices: NumPy's
//! advanced indexing.

use super::{Array, gather::listed, index::Index};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    shape::ArrayShape,
};

/// What is taken along an axis, or along several for a mask.
#[derive(Debug, Clone)]
pub enum Fancy {
    /// A slice, a position, a new axis, or an ellipsis.
    Basic(Index),
    /// Positions in memory, of a shape.
    List(Vec<i64>, ArrayShape),
    /// Positions that are elements of an array of integers; or a mask: an array of bools,
    /// which stands for as many axes as it has.
    Array(Array),
}

impl<T: Into<Index>> From<T> for Fancy {
    fn from(index: T) -> Self {
        Self::Basic(index.into())
    }
}

impl From<Vec<i64>> for Fancy {
    fn from(positions: Vec<i64>) -> Self {
        let shape = [positions.len()].into();
        Self::List(positions, shape)
    }
}

impl<const N: usize> From<[i64; N]> for Fancy {
    fn from(positions: [i64; N]) -> Self {
        positions.to_vec().into()
    }
}

impl From<&Array> for Fancy {
    fn from(array: &Array) -> Self {
        Self::Array(array.clone())
    }
}

/// Positions along one axis.
#[derive(Debug, Clone)]
pub(super) enum Positions {
    Memory(Vec<i64>, ArrayShape),
    Lazy(Array),
}

impl Positions {
    fn shape(&self) -> &ArrayShape {
        match self {
            Self::Memory(_, shape) => shape,
            Self::Lazy(array) => array.shape(),
        }
    }

    fn array(&self) -> Result<Array> {
        match self {
            Self::Memory(values, shape) => listed(values, shape),
            Self::Lazy(array) => Ok(array.clone()),
        }
    }
}

/// An index in two steps: slices, and positions of some axes of what they give.
#[derive(Debug)]
pub(super) struct Steps {
    /// One for each axis, and new axes.
    pub(super) basic: Vec<Index>,
    /// The axes of what the slices give that positions are along, ascending.
    pub(super) axes: Vec<usize>,
    pub(super) positions: Vec<Positions>,
    /// The shape of the positions together.
    pub(super) shape: ArrayShape,
    /// Where the axes of the positions stand in the result.
    pub(super) place: usize,
}

impl Steps {
    /// Whether there are no positions.
    pub(super) fn is_basic(&self) -> bool {
        self.axes.is_empty()
    }

    /// All positions as one of the flattened axes, where all are in memory.
    pub(super) fn flat_list(&self, lens: &[usize]) -> Result<Option<Vec<i64>>> {
        let mut flat = vec![0; self.shape.size()];
        for (k, positions) in self.positions.iter().enumerate() {
            let Positions::Memory(values, shape) = positions else { return Ok(None) };
            let (axis, len) = (self.axes[k], lens[k]);
            let wide = listed(values, shape)?.broadcast_to(self.shape.clone())?;
            for (to, index) in flat.iter_mut().zip(wide.compute::<i64>()?) {
                let at = super::index::position("index", index, axis, len)?;
                *to = *to * len as i64 + at as i64;
            }
        }
        Ok(Some(flat))
    }

    /// As [`Steps::flat_list`], as an array.
    fn flat_array(&self, lens: &[usize]) -> Result<Array> {
        let mut flat: Option<Array> = None;
        for (k, positions) in self.positions.iter().enumerate() {
            let own = positions.array()?.positions_of("index", self.axes[k], lens[k]);
            flat = Some(match flat {
                None => own,
                Some(before) => before.multiply(lens[k] as i64)?.add(&own)?,
            });
        }
        let flat = flat.unwrap_or_else(|| Array::zeros(ArrayShape::default(), DType::I64));
        flat.broadcast_to(self.shape.clone())?.ravel()
    }
}

impl Array {
    /// The two steps of an index.
    pub(super) fn steps(&self, index: &[Fancy], in_memory: bool) -> Result<Steps> {
        let used = |f: &Fancy| match f {
            Fancy::Basic(Index::NewAxis | Index::Ellipsis) => 0,
            Fancy::Array(a) if a.dtype() == DType::Bool => a.rank(),
            _ => 1,
        };
        let got: usize = index.iter().map(used).sum();
        if got > self.rank() {
            return Err(ArrayError::TooManyIndices { got, rank: self.rank() });
        }
        let ellipsis = |f: &Fancy| matches!(f, Fancy::Basic(Index::Ellipsis));
        let mut all: Vec<Fancy> = Vec::new();
        let rest = || vec![Fancy::Basic(Index::All); self.rank() - got];
        for f in index {
            if ellipsis(f) && !all.iter().any(ellipsis) {
                // Kept as a mark: it separates positions even where it stands for no axis.
                all.push(f.clone());
                all.extend(rest());
            } else {
                all.push(f.clone());
            }
        }
        if index.iter().filter(|f| ellipsis(f)).count() > 1 {
            return Err(ArrayError::Argument {
                operation: "index",
                argument: "indices",
                expected: "at most one ellipsis".into(),
                got: "several".into(),
            });
        }
        if !index.iter().any(ellipsis) {
            all.extend(rest());
        }
        self.two_steps(&all, in_memory)
    }

    fn two_steps(&self, all: &[Fancy], in_memory: bool) -> Result<Steps> {
        let advanced = all.iter().any(|f| !matches!(f, Fancy::Basic(_)));
        let mut steps = Steps {
            basic: Vec::new(),
            axes: Vec::new(),
            positions: Vec::new(),
            shape: ArrayShape::default(),
            place: 0,
        };
        // The axis of the array, that of what the slices give, and whether positions came, and
        // something behind them.
        let (mut axis, mut out) = (0, 0);
        let (mut begun, mut ended, mut apart) = (false, false, false);
        let (mut before, mut slices) = (0, 0);
        for f in all {
            let found = self.one_index(f, axis, advanced, in_memory)?;
            if found.is_empty() {
                ended |= begun;
                if let Fancy::Basic(index) = f {
                    if *index == Index::Ellipsis {
                        continue;
                    }
                    axis += usize::from(*index != Index::NewAxis);
                    let kept = !matches!(index, Index::At(_));
                    out += usize::from(kept);
                    slices += usize::from(kept);
                    steps.basic.push(*index);
                }
                continue;
            }
            apart |= ended;
            if !begun {
                (begun, before) = (true, slices);
            }
            for positions in found {
                steps.shape = steps.shape.broadcast(positions.shape(), "index")?;
                steps.axes.push(out);
                steps.positions.push(positions);
                steps.basic.push(Index::All);
                (axis, out) = (axis + 1, out + 1);
            }
        }
        steps.place = if apart { 0 } else { before };
        Ok(steps)
    }

    /// The positions that an index is along the axes from `axis` on; none of a slice.
    fn one_index(
        &self,
        f: &Fancy,
        axis: usize,
        advanced: bool,
        in_memory: bool,
    ) -> Result<Vec<Positions>> {
        Ok(match f {
            Fancy::Basic(Index::At(at)) if advanced => {
                super::index::position("index", *at, axis, self.shape()[axis])?;
                vec![Positions::Memory(vec![*at], ArrayShape::default())]
            }
            Fancy::Basic(_) => Vec::new(),
            Fancy::Array(a) if a.dtype() == DType::Bool => {
                let own = &self.shape().as_slice()[axis..axis + a.rank()];
                if own != a.shape().as_slice() {
                    return Err(ArrayError::Shape {
                        operation: "index",
                        expected: format!("a mask of shape {own:?} for the axes from {axis} on"),
                        got: a.shape().to_string(),
                    });
                }
                match in_memory {
                    true => Self::lists_of(f)?
                        .into_iter()
                        .map(|(values, shape)| Positions::Memory(values, shape))
                        .collect(),
                    false => a.nonzero()?.into_iter().map(Positions::Lazy).collect(),
                }
            }
            Fancy::Array(a) if a.dtype().kind() != Kind::Integer => {
                return Err(ArrayError::Type {
                    operation: "index",
                    dtype: a.dtype().to_string(),
                    hint: "positions are integers, masks are bools",
                });
            }
            Fancy::Array(a) if !in_memory => vec![Positions::Lazy(a.clone())],
            other => Self::lists_of(other)?
                .into_iter()
                .map(|(values, shape)| Positions::Memory(values, shape))
                .collect(),
        })
    }

    /// With the axes of the positions in front, and flattened to one.
    pub(super) fn flattened(&self, axes: &[usize]) -> Result<(Self, Vec<isize>)> {
        let others = (0..self.rank()).filter(|a| !axes.contains(a));
        let order: Vec<isize> = axes.iter().copied().chain(others).map(|a| a as isize).collect();
        let front = self.permute(&order)?;
        let (head, tail) = front.shape().as_slice().split_at(axes.len());
        let lens = [&[head.iter().product()], tail].concat();
        Ok((front.reshape(lens)?, order))
    }

    /// The elements at positions along several axes at once, mixed with slices: NumPy's
    /// advanced indexing. Lists, arrays of integers and single positions broadcast together;
    /// their axes stand where the first of them stood if they are next to each other, else in
    /// front. An array of bools stands for the positions where it is true, whose number is
    /// computed now. Negative positions count from the end.
    ///
    /// ```
    /// use windlass_array::{Array, Index};
    ///
    /// let x = Array::arange(0, 12, 1)?.reshape([3, 4])?;
    /// let corners = x.fancy(&[[0, 0, 2, 2].into(), [0, -1, 0, -1].into()])?;
    /// assert_eq!(corners.compute::<i64>()?.into_raw_vec_and_offset().0, [0, 3, 8, 11]);
    /// let odd = x.fancy(&[Index::All.into(), (&x.index(&[0.into()])?.remainder(2)?.equal(1)?).into()])?;
    /// assert_eq!(odd.compute::<i64>()?.into_raw_vec_and_offset().0, [1, 3, 5, 7, 9, 11]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For more indices than axes, positions in memory that are out of range, masks of other
    /// shapes, and positions that do not broadcast; when it is computed, for positions of
    /// arrays that are out of range.
    pub fn fancy(&self, index: &[Fancy]) -> Result<Self> {
        let steps = self.steps(index, false)?;
        let sliced = self.index(&steps.basic)?;
        if steps.is_basic() {
            return Ok(sliced);
        }
        let lens: Vec<usize> = steps.axes.iter().map(|a| sliced.shape()[*a]).collect();
        let (flat, _) = sliced.flattened(&steps.axes)?;
        let found = match steps.flat_list(&lens)? {
            Some(list) => flat.take(&list, 0)?,
            None => flat.take_array(&steps.flat_array(&lens)?, 0)?,
        };
        let rest = &found.shape().as_slice()[1..];
        let found = found.reshape([steps.shape.as_slice(), rest].concat())?;
        let k = steps.shape.rank() as isize;
        let from: Vec<isize> = (0..k).collect();
        let to: Vec<isize> = (0..k).map(|i| i + steps.place as isize).collect();
        found.moveaxis(&from, &to)
    }
}
