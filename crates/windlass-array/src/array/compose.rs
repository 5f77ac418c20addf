//! Arrays put together and taken apart by NumPy's functions of these names: none of them
//! computes anything.

use super::{Array, index::Index, operand::Operand};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    shape::{ArrayShape, resolve_axis},
};

/// Arrays in nested lists, for [`Array::block`].
#[derive(Debug, Clone)]
pub enum Nested {
    /// An array.
    Array(Array),
    /// A list of arrays, or of lists.
    List(Vec<Self>),
}

impl From<&Array> for Nested {
    fn from(array: &Array) -> Self {
        Self::Array(array.clone())
    }
}

impl<T: Into<Self>> From<Vec<T>> for Nested {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl Nested {
    /// How many lists are around each array; none if there are not as many around all, or a
    /// list is empty.
    fn depth(&self) -> Option<usize> {
        let Self::List(list) = self else { return Some(0) };
        let first = list.first()?.depth()?;
        list.iter().all(|n| n.depth() == Some(first)).then_some(first + 1)
    }

    fn rank(&self) -> usize {
        match self {
            Self::Array(a) => a.rank(),
            Self::List(list) => list.iter().map(Self::rank).max().unwrap_or(0),
        }
    }

    fn joined(&self, rank: usize, depth: usize) -> Result<Array> {
        match self {
            Self::Array(a) => a.at_least(rank),
            Self::List(list) => {
                let parts: Vec<Array> =
                    list.iter().map(|n| n.joined(rank, depth - 1)).collect::<Result<_>>()?;
                Array::concatenate(&parts.iter().collect::<Vec<_>>(), -(depth as isize))
            }
        }
    }
}

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

impl Array {
    /// With new axes of length 1 in front, up to that many axes.
    fn at_least(&self, rank: usize) -> Result<Self> {
        let new = rank.saturating_sub(self.rank());
        let mut index = vec![Index::NewAxis; new];
        index.push(Index::Ellipsis);
        self.index(&index)
    }

    /// With at least one axis.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn atleast_1d(&self) -> Result<Self> {
        self.at_least(1)
    }

    /// With at least two axes, new ones in front.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn atleast_2d(&self) -> Result<Self> {
        self.at_least(2)
    }

    /// With at least three axes: a new one behind an array of two, and one on either side of
    /// an array of one.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn atleast_3d(&self) -> Result<Self> {
        match self.rank() {
            0 | 1 => self.at_least(2)?.expand_dims(2),
            2 => self.expand_dims(2),
            _ => Ok(self.clone()),
        }
    }

    /// Arrays one below the other: along the first axis, those of one axis as rows.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn vstack(arrays: &[&Self]) -> Result<Self> {
        let rows = arrays.iter().map(|a| a.atleast_2d()).collect::<Result<Vec<_>>>()?;
        Self::concatenate(&rows.iter().collect::<Vec<_>>(), 0)
    }

    /// Arrays one beside the other: along the second axis, those of one axis along it.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn hstack(arrays: &[&Self]) -> Result<Self> {
        let parts = arrays.iter().map(|a| a.atleast_1d()).collect::<Result<Vec<_>>>()?;
        let axis = isize::from(parts.first().is_some_and(|a| a.rank() > 1));
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Arrays one behind the other: along the third axis.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn dstack(arrays: &[&Self]) -> Result<Self> {
        let parts = arrays.iter().map(|a| a.atleast_3d()).collect::<Result<Vec<_>>>()?;
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), 2)
    }

    /// Arrays of one axis as columns, beside those of two.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn column_stack(arrays: &[&Self]) -> Result<Self> {
        let column = |a: &&Self| {
            if a.rank() < 2 { a.atleast_1d()?.expand_dims(1) } else { Ok((*a).clone()) }
        };
        let parts = arrays.iter().map(column).collect::<Result<Vec<_>>>()?;
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), 1)
    }

    /// An array of nested lists of blocks: the innermost lists along the last axis, those
    /// around them along the one before it, and so on.
    ///
    /// ```
    /// use windlass_array::{Array, DType};
    ///
    /// let (a, b) = (Array::ones([2, 2], DType::I64), Array::zeros([2, 1], DType::I64));
    /// let x = Array::block(&vec![vec![&a, &b], vec![&b, &a]].into())?;
    /// assert_eq!(x.shape().as_slice(), [4, 3]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If a list is empty, arrays are in lists of different depths, or shapes do not fit.
    pub fn block(blocks: &Nested) -> Result<Self> {
        let Some(depth) = blocks.depth() else {
            return Err(wrong("block", "lists of one depth, none of them empty", "others"));
        };
        blocks.joined(blocks.rank().max(depth), depth)
    }

    /// So many parts along an axis, the first ones longer by one where the length is no
    /// multiple.
    ///
    /// # Errors
    /// If the axis is out of range, or no part is asked for.
    pub fn array_split(&self, parts: usize, axis: isize) -> Result<Vec<Self>> {
        let n = self.shape()[self.shape().axis(axis, "array_split")?];
        if parts == 0 {
            return Err(wrong("array_split", "at least one part", 0));
        }
        let at = |i: usize| i * (n / parts) + i.min(n % parts);
        self.split_at(&(1..parts).map(at).collect::<Vec<_>>(), axis)
    }

    /// Another array's elements behind this one's, along an axis.
    ///
    /// # Errors
    /// As [`Array::concatenate`].
    pub fn append(&self, other: &Self, axis: isize) -> Result<Self> {
        Self::concatenate(&[self, other], axis)
    }

    /// Some positions of an axis, in order, each once.
    fn sorted_positions(
        &self,
        operation: &'static str,
        positions: &[i64],
        axis: usize,
        end: usize,
    ) -> Result<Vec<(usize, usize)>> {
        let len = self.shape()[axis];
        let one = |(i, &index): (usize, &i64)| {
            let at = if index < 0 { index + len as i64 } else { index };
            let at = usize::try_from(at).ok().filter(|a| *a < end);
            at.map(|a| (a, i)).ok_or(ArrayError::Index { operation, index, axis, len })
        };
        let mut found = positions.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        found.sort_unstable();
        Ok(found)
    }

    /// Other elements before the positions along an axis, which are counted in this array: so
    /// many along the axis as positions. The values broadcast and take the array's type.
    ///
    /// # Errors
    /// If the axis or a position is out of range, or the values do not broadcast.
    pub fn insert(
        &self,
        positions: &[i64],
        values: impl Into<Operand>,
        axis: isize,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, "insert")?;
        let axis = at as isize;
        let places = self.sorted_positions("insert", positions, at, self.shape()[at] + 1)?;
        let mut lens = self.shape().as_slice().to_vec();
        lens[at] = positions.len();
        let values = match values.into() {
            Operand::Array(a) => a.astype(self.dtype()).broadcast_to(lens)?,
            Operand::Scalar(s) => Self::full_of(ArrayShape::new(lens), s, self.dtype())?,
        };
        let (mut parts, mut begin) = (Vec::with_capacity(2 * places.len() + 1), 0);
        for (place, value) in places {
            parts.push(self.index_axis(axis, begin as i64..place as i64)?);
            parts.push(values.index_axis(axis, value as i64..value as i64 + 1)?);
            begin = place;
        }
        parts.push(self.index_axis(axis, begin as i64..)?);
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Without the elements at some positions along an axis.
    ///
    /// # Errors
    /// If the axis or a position is out of range.
    pub fn delete(&self, positions: &[i64], axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "delete")?;
        let axis = at as isize;
        let mut places = self.sorted_positions("delete", positions, at, self.shape()[at])?;
        places.dedup_by_key(|p| p.0);
        let (mut parts, mut begin) = (Vec::with_capacity(places.len() + 1), 0);
        for (place, _) in places {
            if begin < place {
                parts.push(self.index_axis(axis, begin as i64..place as i64)?);
            }
            begin = place + 1;
        }
        parts.push(self.index_axis(axis, begin as i64..)?);
        Self::concatenate(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Turned by so many quarters, from the first of two axes towards the second.
    ///
    /// # Errors
    /// If an axis is out of range, or both are one.
    pub fn rot90(&self, quarters: i64, (a, b): (isize, isize)) -> Result<Self> {
        self.shape().axes(&[a, b], "rot90")?;
        match quarters.rem_euclid(4) {
            0 => Ok(self.clone()),
            1 => self.flip(&[b])?.swapaxes(a, b),
            2 => self.flip(&[a, b]),
            _ => self.swapaxes(a, b)?.flip(&[b]),
        }
    }

    /// An axis moved before the one that stands at `start`.
    ///
    /// # Errors
    /// If the axis or the place is out of range.
    pub fn rollaxis(&self, axis: isize, start: isize) -> Result<Self> {
        let from = self.shape().axis(axis, "rollaxis")?;
        let start = if start < 0 { start + self.rank() as isize } else { start };
        let to = resolve_axis(start, self.rank() + 1, "rollaxis")?;
        let to = if from < to { to - 1 } else { to };
        self.moveaxis(&[from as isize], &[to as isize])
    }

    /// The elements moved along several axes, by so many places along each, those beyond the
    /// end to the front. An axis may come several times.
    ///
    /// # Errors
    /// If an axis is out of range.
    pub fn roll_axes(&self, by: &[(i64, isize)]) -> Result<Self> {
        by.iter().try_fold(self.clone(), |x, (by, axis)| x.roll(*by, *axis))
    }

    /// Each element as often in a row along an axis as the counts say.
    ///
    /// # Errors
    /// If the axis is out of range, or there is not one count for each of its elements.
    pub fn repeat_each(&self, counts: &[usize], axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "repeat")?;
        if counts.len() != self.shape()[at] {
            return Err(wrong("repeat", format!("{} counts", self.shape()[at]), counts.len()));
        }
        let each = counts.iter().enumerate();
        let places: Vec<i64> = each.flat_map(|(i, n)| std::iter::repeat_n(i as i64, *n)).collect();
        self.take(&places, axis)
    }

    /// Arrays repeated to the shape that all broadcast to.
    ///
    /// # Errors
    /// If they do not broadcast.
    pub fn broadcast_arrays(arrays: &[&Self]) -> Result<Vec<Self>> {
        let shape = arrays.iter().try_fold(ArrayShape::default(), |shape, a| {
            shape.broadcast(a.shape(), "broadcast_arrays")
        })?;
        arrays.iter().map(|a| a.broadcast_to(shape.clone())).collect()
    }

    /// For each array of rank 1 its elements along an axis of a grid: with `xy` the first
    /// array along the second axis and the second along the first, as NumPy's `meshgrid` has
    /// it; without, each along its own.
    ///
    /// # Errors
    /// If an array has several axes.
    pub fn meshgrid(arrays: &[&Self], xy: bool) -> Result<Vec<Self>> {
        if let Some(other) = arrays.iter().find(|a| a.rank() > 1) {
            return Err(wrong("meshgrid", "arrays of rank 1", other.shape()));
        }
        let rank = arrays.len();
        let place = |i: usize| if xy && rank > 1 && i < 2 { 1 - i } else { i };
        let mut shape = vec![1; rank];
        arrays.iter().enumerate().for_each(|(i, a)| shape[place(i)] = a.size());
        let one = |(i, a): (usize, &&Self)| {
            let mut lens = vec![1; rank];
            lens[place(i)] = a.size();
            a.reshape(lens)?.broadcast_to(shape.clone())
        };
        arrays.iter().enumerate().map(one).collect()
    }

    /// For each axis of a shape the position along it of every element, as `i64`, one behind
    /// the other along a first axis.
    ///
    /// # Errors
    /// For rank 0.
    pub fn indices(shape: impl Into<ArrayShape>) -> Result<Self> {
        let axes = Self::index_arrays(&shape.into())?;
        Self::stack(&axes.iter().collect::<Vec<_>>(), 0)
    }

    fn index_arrays(shape: &ArrayShape) -> Result<Vec<Self>> {
        if shape.rank() == 0 {
            return Err(ArrayError::Axis { operation: "indices", axis: 0, rank: 0 });
        }
        let one = |&n: &usize| Self::arange(0, n as i64, 1);
        let axes = shape.as_slice().iter().map(one).collect::<Result<Vec<_>>>()?;
        Self::meshgrid(&axes.iter().collect::<Vec<_>>(), false)
    }

    /// An array of a function of its positions, which is given an array of them for each
    /// axis, as `f64`: NumPy's `fromfunction`.
    ///
    /// # Errors
    /// For rank 0, and those of the function.
    pub fn from_indices(
        shape: impl Into<ArrayShape>,
        function: impl FnOnce(&[Self]) -> Result<Self>,
    ) -> Result<Self> {
        let axes = Self::index_arrays(&shape.into())?;
        let axes: Vec<Self> = axes.iter().map(|a| a.astype(DType::F64)).collect();
        function(&axes)
    }

    /// Ones at and below a diagonal, zeros above it: the column is at most the row plus
    /// `diagonal`.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn tri(rows: usize, columns: usize, diagonal: i64, dtype: DType) -> Result<Self> {
        let row = Self::arange(0, rows as i64, 1)?.add(diagonal)?.reshape([rows, 1])?;
        let column = Self::arange(0, columns as i64, 1)?;
        Ok(row.greater_equal(&column)?.astype(dtype))
    }
}
