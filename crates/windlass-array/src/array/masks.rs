//! Elements where something holds, where that is, and which of several choices holds.

use super::{Array, operand::Operand};
use crate::{
    dtype::{DType, Kind},
    element::dispatch,
    error::{ArrayError, Result},
    expr::regions::{OfChunks, OneATask},
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::ArrayShape,
    tile::Tile,
};

impl Array {
    /// How many elements of each chunk of a mask of rank 1 are true, computed now.
    fn counts_of(mask: &Self, along: &AxisGrid) -> Result<Vec<usize>> {
        let (n, own) = (along.count(), along.clone());
        let chunks = along.clone();
        // One task a chunk of the mask: the counts are small, what they read is not.
        let op = OneATask(OfChunks {
            name: "mask-counts",
            reads: move |region: &Region| {
                let span = region.axes[0];
                let begin = own.bounds(span.start).0;
                let end = own.bounds(span.start + span.len - 1).1;
                vec![(0, Region::new(vec![Span::new(begin, 1, end - begin)]))]
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let span = region.axes[0];
                let dense = tiles[0].to_dense();
                let mut rest = &dense.buf().typed::<bool>()[dense.offset()..];
                let mut counts = Vec::with_capacity(span.len);
                for i in span.start..span.start + span.len {
                    let (own, behind) = rest.split_at(chunks.length(i));
                    counts.push(own.iter().filter(|v| **v).count() as i64);
                    rest = behind;
                }
                Ok(Tile::new(counts, [span.len])?)
            },
        });
        let grid = ChunkGrid::new(vec![AxisGrid::regular(n, 1)]);
        let counts = Self::regions(op, &[mask], DType::I64, grid);
        let found = counts.compute::<i64>()?;
        Ok(found.iter().map(|n| *n as usize).collect())
    }

    /// The elements along an axis where a mask of rank 1 is true. How many each chunk has is
    /// computed now; the elements are not.
    pub(super) fn masked(&self, mask: &Self, axis: usize) -> Result<Self> {
        let mask = mask.astype(DType::Bool);
        let along = self.chunks().tasks(self.dtype().bytes(), false).axes()[axis].clone();
        let mut axes = self.chunks().axes().to_vec();
        let counts =
            if self.shape()[axis] == 0 { vec![0] } else { Self::counts_of(&mask, &along)? };
        let some: Vec<usize> = (0..counts.len()).filter(|i| counts[*i] > 0).collect();
        let kept: Vec<usize> = some.iter().map(|i| counts[*i]).collect();
        if kept.is_empty() {
            axes[axis] = AxisGrid::regular(0, 1);
            return Ok(Self::of(
                crate::expr::Op::Select,
                Vec::new(),
                self.dtype(),
                ChunkGrid::new(axes),
            ));
        }
        axes[axis] = AxisGrid::lengths(&kept);
        let (own, dtype) = (axes[axis].clone(), self.dtype());
        let op = OfChunks {
            name: "mask",
            reads: move |region: &Region| {
                let (begin, end) = along.bounds(some[own.find(region.axes[axis].start)]);
                let span = Span::new(begin, 1, end - begin);
                vec![(0, region.with(axis, span)), (1, Region::new(vec![span]))]
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let mask = tiles[1].to_array::<bool>()?;
                let places: Vec<usize> =
                    mask.iter().enumerate().filter(|(_, v)| **v).map(|(i, _)| i).collect();
                if places.len() != region.axes[axis].len {
                    return Err("mask: the mask gave other values when it was read again".into());
                }
                dispatch!(dtype, T => {
                    let values = tiles[0].to_array::<T>()?;
                    Ok(Tile::from_array(values.select(ndarray::Axis(axis), &places)))
                })
            },
        };
        Ok(Self::regions(op, &[self, &mask], dtype, ChunkGrid::new(axes)))
    }

    /// The positions of what is not zero, counted with the last axis the fastest, as `i64`.
    /// How many there are is computed now; they are not.
    ///
    /// # Errors
    /// If computing their number fails.
    pub fn flatnonzero(&self) -> Result<Self> {
        let flat = self.ravel()?;
        let grid = flat.chunks().clone();
        Self::arange(0, self.size() as i64, 1)?.rechunk_to(grid)?.masked(&flat, 0)
    }

    /// The positions of what is not zero, an array for each axis: NumPy's `nonzero`. How many
    /// there are is computed now; they are not.
    ///
    /// # Errors
    /// For rank 0, or if computing their number fails.
    pub fn nonzero(&self) -> Result<Vec<Self>> {
        if self.rank() == 0 {
            return Err(ArrayError::Axis { operation: "nonzero", axis: 0, rank: 0 });
        }
        Self::unravel_index(&self.flatnonzero()?, self.shape().clone())
    }

    /// As [`Array::nonzero`], as the columns of one array.
    ///
    /// # Errors
    /// As there.
    pub fn argwhere(&self) -> Result<Self> {
        let columns = self.nonzero()?;
        Self::stack(&columns.iter().collect::<Vec<_>>(), 1)
    }

    /// The positions along each axis of a shape of positions that are counted with its last
    /// axis the fastest: NumPy's `unravel_index`.
    ///
    /// # Errors
    /// If the positions are not integers; when it is computed, for one out of range.
    pub fn unravel_index(positions: &Self, shape: impl Into<ArrayShape>) -> Result<Vec<Self>> {
        let shape = shape.into();
        if positions.dtype().kind() != Kind::Integer {
            return Err(ArrayError::Type {
                operation: "unravel_index",
                dtype: positions.dtype().to_string(),
                hint: "it is defined for integers",
            });
        }
        let flat = positions.positions_of("unravel_index", 0, shape.size());
        let steps = shape.strides();
        (0..shape.rank())
            .map(|i| {
                let above = flat.floor_divide(steps[i].max(1) as i64)?;
                if i == 0 { Ok(above) } else { above.remainder(shape[i].max(1) as i64) }
            })
            .collect()
    }

    /// Positions along each axis of a shape as positions that are counted with its last axis
    /// the fastest: NumPy's `ravel_multi_index`, which takes none that are negative.
    ///
    /// # Errors
    /// If there is not one array for each axis, and they do not broadcast; when it is
    /// computed, for a position out of range.
    pub fn ravel_multi_index(positions: &[&Self], shape: impl Into<ArrayShape>) -> Result<Self> {
        let shape = shape.into();
        if positions.len() != shape.rank() || positions.is_empty() {
            return Err(ArrayError::Shape {
                operation: "ravel_multi_index",
                expected: format!("an array for each axis of shape {shape}"),
                got: positions.len().to_string(),
            });
        }
        let steps = shape.strides();
        let axis = |(i, p): (usize, &&Self)| {
            p.positions_of("ravel_multi_index", i, shape[i]).multiply(steps[i] as i64)
        };
        let parts = positions.iter().enumerate().map(axis).collect::<Result<Vec<_>>>()?;
        parts[1..].iter().try_fold(parts[0].clone(), |sum, p| sum.add(p))
    }

    /// For each position the element there of the choice of that number: NumPy's `choose`.
    /// All broadcast.
    ///
    /// # Errors
    /// For no choice, positions that are not integers, and shapes that do not broadcast; when
    /// it is computed, for a number out of range.
    pub fn choose(&self, choices: &[Operand]) -> Result<Self> {
        let Some((last, rest)) = choices.split_last() else {
            return Err(ArrayError::Argument {
                operation: "choose",
                argument: "choices",
                expected: "at least one".into(),
                got: "none".into(),
            });
        };
        let which = self.astype(DType::I64).positions_of("choose", 0, choices.len());
        let n = choices.len() as i64;
        // Of the last choice's shape and the positions'.
        let mut found: Operand =
            Self::select(&which.equal(n - 1)?, last.clone(), last.clone())?.into();
        for (i, choice) in rest.iter().enumerate().rev() {
            let here = which.equal(i as i64)?;
            found = Self::select(&here, choice.clone(), found)?.into();
        }
        match found {
            Operand::Array(array) => Ok(array),
            Operand::Scalar(s) => Self::scalar(s)?.broadcast_to(self.shape().clone()),
        }
    }

    /// The elements of the choice whose condition is the first that holds, else the default:
    /// NumPy's `select`. All broadcast.
    ///
    /// # Errors
    /// If there are not as many conditions as choices, none of both, or the shapes do not
    /// broadcast.
    pub fn select_first(
        conditions: &[&Self],
        choices: &[Operand],
        default: impl Into<Operand>,
    ) -> Result<Self> {
        if conditions.len() != choices.len() || conditions.is_empty() {
            return Err(ArrayError::Argument {
                operation: "select_first",
                argument: "choices",
                expected: format!("one for each of {} conditions, at least one", conditions.len()),
                got: choices.len().to_string(),
            });
        }
        let mut both = conditions.iter().zip(choices).rev();
        let found = both.try_fold(default.into(), |rest, (condition, choice)| {
            Ok::<_, ArrayError>(Self::select(condition, choice.clone(), rest)?.into())
        })?;
        match found {
            Operand::Array(array) => Ok(array),
            Operand::Scalar(s) => Self::scalar(s),
        }
    }
}
