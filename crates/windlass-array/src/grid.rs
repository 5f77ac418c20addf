//! How an array is cut into chunks. A regular axis is three numbers, so a grid of a billion
//! chunks takes no more room than one of two; chunks are counted off when they are needed.

use std::{fmt, sync::Arc};

use crate::{
    error::{ArrayError, Result},
    region::{Region, Span},
    shape::{ArrayShape, ChunkIndex, ChunkShape, GridShape},
};

/// Bytes of a chunk where nobody says how large chunks are.
pub const CHUNK_BYTES: usize = 128 << 20;

/// How one axis is cut.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AxisGrid {
    /// Equal chunks, but for the first and the last.
    Regular {
        /// Elements of the axis.
        len: usize,
        /// Elements of a chunk; at least 1.
        chunk: usize,
        /// How many elements the first chunk lacks; less than `chunk`.
        offset: usize,
    },
    /// Chunks of given lengths: the position where each ends, the last one the axis's length.
    Ends(Arc<[usize]>),
}

impl AxisGrid {
    /// Equal chunks, but for the last.
    pub fn regular(len: usize, chunk: usize) -> Self {
        Self::Regular { len, chunk: chunk.max(1), offset: 0 }
    }

    /// Chunks of these lengths.
    pub fn lengths(lengths: &[usize]) -> Self {
        let ends = lengths.iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        });
        Self::Ends(ends.collect())
    }

    /// Elements of the axis.
    pub fn len(&self) -> usize {
        match self {
            Self::Regular { len, .. } => *len,
            Self::Ends(ends) => ends.last().copied().unwrap_or(0),
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of chunks; an empty axis has one, which is empty.
    pub fn count(&self) -> usize {
        match self {
            Self::Regular { len, chunk, offset } => (len + offset).div_ceil(*chunk).max(1),
            Self::Ends(ends) => ends.len(),
        }
    }

    /// Where a chunk begins and ends.
    pub fn bounds(&self, i: usize) -> (usize, usize) {
        match self {
            Self::Regular { len, chunk, offset } => {
                let at = |i: usize| (i * chunk).saturating_sub(*offset).min(*len);
                (at(i), at(i + 1))
            }
            Self::Ends(ends) => (if i == 0 { 0 } else { ends[i - 1] }, ends[i]),
        }
    }

    /// The chunk that holds an element.
    pub fn find(&self, at: usize) -> usize {
        match self {
            Self::Regular { chunk, offset, .. } => (at + offset) / chunk,
            Self::Ends(ends) => ends.partition_point(|&e| e <= at),
        }
    }

    /// Elements of the largest chunk.
    pub fn largest(&self) -> usize {
        match self {
            Self::Regular { len, chunk, .. } => *chunk.min(len),
            Self::Ends(_) => (0..self.count()).map(|i| self.length(i)).max().unwrap_or(0),
        }
    }

    /// Elements of a chunk.
    pub fn length(&self, i: usize) -> usize {
        let (begin, end) = self.bounds(i);
        end - begin
    }

    /// Each `k` neighbours as one.
    pub(crate) fn merged(&self, k: usize) -> Self {
        match self {
            Self::Regular { len, chunk, offset } => {
                Self::Regular { len: *len, chunk: chunk.saturating_mul(k), offset: *offset }
            }
            Self::Ends(ends) => {
                let n = ends.len();
                Self::Ends((0..n.div_ceil(k)).map(|i| ends[((i + 1) * k).min(n) - 1]).collect())
            }
        }
    }

    /// Each chunk in pieces of at most `piece` elements.
    pub(crate) fn split(&self, piece: usize) -> Self {
        let piece = piece.max(1);
        match self {
            Self::Regular { len, chunk, offset: 0 } if chunk % piece == 0 || self.count() == 1 => {
                Self::regular(*len, piece)
            }
            _ => {
                let mut ends = Vec::new();
                for i in 0..self.count() {
                    let (begin, end) = self.bounds(i);
                    ends.extend((begin..end).step_by(piece).skip(1));
                    ends.push(end);
                }
                Self::Ends(ends.into())
            }
        }
    }

    /// The grid of every `step`-th element from `start` on: the same boundaries for a step of
    /// 1 or -1, chunks of the same count for others.
    pub(crate) fn sliced(&self, span: Span) -> Self {
        if span.len == 0 {
            return Self::regular(0, 1);
        }
        let (low, high) = span.bounds();
        match (self, span.step) {
            (Self::Regular { chunk, offset, .. }, 1) => {
                Self::Regular { len: span.len, chunk: *chunk, offset: (low + offset) % chunk }
            }
            (Self::Regular { chunk, offset, .. }, -1) => {
                // Counted from the other end: the chunk of the highest element is cut there.
                let above = chunk - 1 - (high + offset) % chunk;
                Self::Regular { len: span.len, chunk: *chunk, offset: above }
            }
            (Self::Regular { chunk, .. }, step) => {
                Self::regular(span.len, chunk.div_ceil(step.unsigned_abs()))
            }
            (Self::Ends(ends), step) => {
                let steps = step.unsigned_abs();
                // The elements below each boundary, counted in steps from the low end.
                let below = |end: usize| end.saturating_sub(low).div_ceil(steps).min(span.len);
                let mut cuts: Vec<usize> = ends.iter().map(|&e| below(e)).collect();
                if step < 0 {
                    cuts = cuts.iter().map(|c| span.len - c).collect();
                    cuts.push(span.len);
                    cuts.reverse();
                }
                cuts.sort_unstable();
                cuts.dedup();
                cuts.retain(|&c| c > 0);
                Self::Ends(cuts.into())
            }
        }
    }
}

/// How an array is cut, axis by axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ChunkGrid {
    axes: Vec<AxisGrid>,
}

impl ChunkGrid {
    /// Of these axes.
    pub fn new(axes: Vec<AxisGrid>) -> Self {
        Self { axes }
    }

    /// Chunks of one shape, but for the last along each axis.
    ///
    /// # Errors
    /// If the ranks differ, or a chunk has no elements along an axis that has some.
    pub fn regular(shape: &ArrayShape, chunk: &ChunkShape) -> Result<Self> {
        if shape.rank() != chunk.rank() || (0..shape.rank()).any(|i| chunk[i] == 0 && shape[i] > 0)
        {
            return Err(ArrayError::Shape {
                operation: "chunks",
                expected: format!("a length of at least 1 for each axis of shape {shape}"),
                got: chunk.to_string(),
            });
        }
        let axis = |(&n, &c): (&usize, &usize)| AxisGrid::regular(n, c);
        Ok(Self::new(shape.as_slice().iter().zip(chunk.as_slice()).map(axis).collect()))
    }

    /// Chunks of these lengths along each axis.
    ///
    /// # Errors
    /// If an axis has no chunk, or the lengths do not sum to the shape.
    pub fn explicit(shape: &ArrayShape, lengths: &[Vec<usize>]) -> Result<Self> {
        let grid = Self::new(lengths.iter().map(|l| AxisGrid::lengths(l)).collect());
        if grid.shape() != *shape || lengths.iter().any(Vec::is_empty) {
            return Err(ArrayError::Shape {
                operation: "chunks",
                expected: format!("lengths that sum to shape {shape}"),
                got: format!("{lengths:?}"),
            });
        }
        Ok(grid)
    }

    /// Chunks of at most [`CHUNK_BYTES`], the first axes cut first, so that a chunk's rows are
    /// whole as long as they fit.
    pub fn auto(shape: &ArrayShape, element_bytes: usize) -> Self {
        let mut room = (CHUNK_BYTES / element_bytes).max(1);
        let mut axes = Vec::with_capacity(shape.rank());
        for &n in shape.as_slice().iter().rev() {
            let chunk = n.clamp(1, room);
            room /= chunk;
            room = room.max(1);
            // Pieces of about one length.
            axes.push(AxisGrid::regular(n, n.div_ceil(n.div_ceil(chunk).max(1))));
        }
        axes.reverse();
        Self::new(axes)
    }

    /// One chunk.
    pub fn whole(shape: &ArrayShape) -> Self {
        Self::new(shape.as_slice().iter().map(|&n| AxisGrid::regular(n, n)).collect())
    }

    /// The axes.
    pub fn axes(&self) -> &[AxisGrid] {
        &self.axes
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The shape of the array.
    pub fn shape(&self) -> ArrayShape {
        ArrayShape::new(self.axes.iter().map(AxisGrid::len).collect::<Vec<_>>())
    }

    /// Chunks along each axis.
    pub fn grid_shape(&self) -> GridShape {
        GridShape::new(self.axes.iter().map(AxisGrid::count).collect::<Vec<_>>())
    }

    /// Number of chunks. Saturates.
    pub fn count(&self) -> usize {
        self.axes.iter().fold(1, |n, a| n.saturating_mul(a.count()))
    }

    /// The shape of the largest chunk.
    pub fn largest(&self) -> ChunkShape {
        ChunkShape::new(self.axes.iter().map(AxisGrid::largest).collect::<Vec<_>>())
    }

    /// A chunk's shape.
    ///
    /// # Panics
    /// If the grid has no such chunk.
    pub fn chunk_shape(&self, index: &ChunkIndex) -> ChunkShape {
        let lengths = self.axes.iter().zip(index.as_slice()).map(|(a, &i)| a.length(i));
        ChunkShape::new(lengths.collect::<Vec<_>>())
    }

    /// All chunks, in order, the last axis the fastest; each is made when it is asked for.
    pub fn indices(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        (0..self.count()).map(|n| self.index_of(n))
    }

    /// The chunk at a position of [`ChunkGrid::indices`].
    pub(crate) fn index_of(&self, mut n: usize) -> ChunkIndex {
        let mut index = vec![0; self.rank()];
        for (i, axis) in index.iter_mut().zip(&self.axes).rev() {
            *i = n % axis.count();
            n /= axis.count();
        }
        ChunkIndex::new(index)
    }

    /// The position of a chunk among [`ChunkGrid::indices`].
    pub(crate) fn position(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.axes).fold(0, |n, (&i, axis)| n * axis.count() + i)
    }

    /// Where a chunk lies.
    pub(crate) fn region(&self, index: &[usize]) -> Region {
        let span = |(axis, &i): (&AxisGrid, &usize)| {
            let (begin, end) = axis.bounds(i);
            Span::new(begin, 1, end - begin)
        };
        Region::new(self.axes.iter().zip(index).map(span).collect())
    }

    /// The grid by which tasks take an array: small chunks together, large ones in parts,
    /// aligned with these chunks. It depends on the array alone, so that results do not hang
    /// on the number of threads.
    pub(crate) fn tasks(&self, element_bytes: usize, may_split: bool) -> Self {
        let target = self.task_bytes(element_bytes);
        let mut axes = self.axes.clone();
        let mut bytes =
            axes.iter().fold(element_bytes, |n, a| n.saturating_mul(a.largest().max(1)));
        for axis in axes.iter_mut().rev() {
            let k = (target / bytes.max(1)).min(axis.count());
            if k >= 2 {
                *axis = axis.merged(k);
                bytes = bytes.saturating_mul(k);
            }
        }
        if may_split {
            for axis in &mut axes {
                let (k, longest) = (bytes.div_ceil(target), axis.largest().max(1));
                if bytes > target + target / 2 && longest > 1 {
                    let piece = longest.div_ceil(k.min(longest));
                    *axis = axis.split(piece);
                    bytes = bytes / longest * piece;
                }
            }
        }
        Self::new(axes)
    }

    /// Bytes that a task should take: a sixteenth of the array, so that some cores have work,
    /// within bounds where a task's own cost (about a microsecond) is small and memory for
    /// many tasks is there (stated guesses).
    fn task_bytes(&self, element_bytes: usize) -> usize {
        let total = self.axes.iter().fold(element_bytes, |n, a| n.saturating_mul(a.len()));
        (total / 16).clamp(256 << 10, 32 << 20)
    }
}

/// How many lengths of an axis are printed.
const PRINTED: usize = 6;

impl fmt::Display for AxisGrid {
    /// One length where all chunks have it or the last is shorter, else the lengths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Regular { chunk, offset: 0, len } = self {
            return write!(f, "{}", chunk.min(len));
        }
        f.write_str("[")?;
        for i in 0..self.count().min(PRINTED) {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, self.length(i))?;
        }
        f.write_str(if self.count() > PRINTED { ", …]" } else { "]" })
    }
}

impl fmt::Display for ChunkGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, axis) in self.axes.iter().enumerate() {
            write!(f, "{}{axis}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(if self.axes.len() == 1 { ",)" } else { ")" })
    }
}

#[cfg(test)]
mod tests;
