//! Sorting along an axis. NaN comes last; complex numbers go by their real parts, then by the
//! imaginary ones. Short lines are brought into one chunk each; long ones are sorted where
//! they lie, chunk by chunk.

use ndarray::Axis;

use super::Array;
use crate::{
    dtype::DType,
    element::dispatch,
    error::Result,
    expr::Op,
    grid::{AxisGrid, ChunkGrid},
    reduce::extremes::{Ordered, order},
    tile::Tile,
};

/// Lines of up to so many bytes are brought into one chunk, where there are enough of them
/// for several tasks (a stated guess: an eighth of a chunk of the usual size). Tests have
/// small arrays.
const LINE: usize = if cfg!(test) { 256 } else { 16 << 20 };

/// How many lines are enough for several tasks (a stated guess).
const LINES: usize = 16;

/// The least elements of the chunks that a line of one chunk is cut into (a stated guess: a
/// task's own cost is small beside sorting them).
const RUN: usize = if cfg!(test) { 16 } else { 1 << 16 };

impl Array {
    /// Whether each line along an axis is best brought into one chunk.
    pub(super) fn has_short_lines(&self, axis: usize) -> bool {
        let n = self.shape()[axis];
        let bytes = n * self.dtype().bytes();
        n <= RUN || bytes <= LINE && self.size() / n.max(1) >= LINES
    }

    /// The same elements with an axis in one chunk, and the grid of a result that has `len`
    /// elements there; chunks are cut along other axes, so that they become no larger than
    /// the largest one that is, or one line.
    pub(super) fn short_lines(&self, axis: usize, len: usize) -> (Self, ChunkGrid) {
        let old = self.chunks().largest();
        let mut room = old.as_slice().iter().product::<usize>() / self.shape()[axis].max(1);
        let mut axes = self.chunks().axes().to_vec();
        for (i, own) in axes.iter_mut().enumerate().rev() {
            if i != axis {
                let piece = own.largest().clamp(1, room.max(1));
                if piece < own.largest() {
                    *own = own.split(piece);
                }
                room /= piece;
            }
        }
        let with = |len: usize| {
            let mut axes = axes.clone();
            axes[axis] = AxisGrid::regular(len, len);
            ChunkGrid::new(axes)
        };
        (self.regrid(with(self.shape()[axis])), with(len))
    }

    /// The elements of long lines in order, or where they stood.
    fn sorted_where_they_lie(&self, axis: usize, places: bool) -> Self {
        let mut axes = self.chunks().axes().to_vec();
        let n = self.shape()[axis];
        let run = axes[axis].largest().min(n.div_ceil(LINES).max(RUN));
        axes[axis] = AxisGrid::regular(n, run);
        let dtype = if places { DType::I64 } else { self.dtype() };
        let found =
            Self::of(Op::Sort { axis, places }, vec![self.node()], dtype, ChunkGrid::new(axes));
        found.regrid(self.chunks().clone())
    }

    /// The elements along an axis in ascending order, NaN last.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn sort(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "sort")?;
        if !self.has_short_lines(at) {
            return Ok(self.sorted_where_they_lie(at, false));
        }
        let dtype = self.dtype();
        let (whole, grid) = self.short_lines(at, self.shape()[at]);
        Ok(Self::blocks(&[&whole], dtype, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let mut values = tiles[0].to_array::<T>()?;
                for mut line in values.lanes_mut(Axis(at)) {
                    if let Some(line) = line.as_slice_mut() {
                        T::sort(line);
                        continue;
                    }
                    let mut own = line.to_vec();
                    T::sort(&mut own);
                    line.iter_mut().zip(own).for_each(|(to, v)| *to = v);
                }
                Ok(Tile::from_array(values))
            })
        }))
    }

    /// The positions along an axis that bring its elements into ascending order, NaN last and
    /// equal ones as they come, as `i64`.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn argsort(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "argsort")?;
        if !self.has_short_lines(at) {
            return Ok(self.sorted_where_they_lie(at, true));
        }
        let dtype = self.dtype();
        let (whole, grid) = self.short_lines(at, self.shape()[at]);
        Ok(Self::blocks(&[&whole], DType::I64, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let values = tiles[0].to_array::<T>()?;
                let mut places = ndarray::ArrayD::<i64>::zeros(values.raw_dim());
                for (from, mut to) in values.lanes(Axis(at)).into_iter().zip(places.lanes_mut(Axis(at))) {
                    let mut own: Vec<(T, i64)> = from.iter().copied().zip(0..).collect();
                    own.sort_by(|a, b| order::<T>(&a.0, &b.0));
                    to.iter_mut().zip(own).for_each(|(to, p)| *to = p.1);
                }
                Ok(Tile::from_array(places))
            })
        }))
    }
}
