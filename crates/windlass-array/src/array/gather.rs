//! Elements at positions that are elements of other arrays. Which chunks are needed is not
//! known before the positions are: each task looks for the positions of its region in one
//! part of the array, and what all of them found is put together in a tree.

use super::{Array, fancy::Fancy, operand::Operand};
use crate::{
    dtype::{DType, Kind},
    element::{Buf, Element, dispatch},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions, OneATask, Partial, Reads, Regions},
    },
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::{ArrayShape, each_index},
    tile::Tile,
};

/// The elements of the first input at the positions, along an axis, that the second holds.
struct Gather {
    operation: &'static str,
    axis: usize,
    /// How the first input is cut along the axis.
    along: AxisGrid,
    dtype: DType,
}

impl Regions for Gather {
    fn name(&self) -> &'static str {
        self.operation
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            let data = region.with(self.axis, Span::new(begin, 1, end - begin));
            vec![(0, data), (1, region.clone())]
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, _: &Region, at: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        let first = self.along.bounds(at).0;
        dispatch!(self.dtype, T => self.found::<T>(first, &inputs[0], &inputs[1]))
    }

    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        dispatch!(self.dtype, T => {
            let mut values = vec![T::default(); region.size()];
            let mut here = vec![false; region.size()];
            for part in parts {
                let (v, h) = (part.0[0].buf().typed::<T>(), part.0[1].buf().typed::<bool>());
                for i in 0..values.len() {
                    if h[i] {
                        (values[i], here[i]) = (v[i], true);
                    }
                }
            }
            let lens = region.lens();
            Ok(Partial(vec![Tile::new(values, lens.clone())?, Tile::new(here, lens)?]))
        })
    }

    fn partial_bytes(&self, region: &Region, element: usize) -> u64 {
        (region.size() * (element + 1)) as u64
    }
}

impl Gather {
    /// What one part holds, and where it holds something.
    fn found<T: Element>(
        &self,
        first: usize,
        data: &Tile,
        places: &Tile,
    ) -> Result<Partial, BoxError> {
        let n = self.along.len() as i64;
        let (lens, here_len) = (places.shape().as_slice().to_vec(), data.shape()[self.axis]);
        let (values, index) = (data.buf().typed::<T>(), places.buf().typed::<i64>());
        let (mut out, mut here) = (Vec::new(), Vec::new());
        let mut wrong = None;
        each_index(&lens, |at| {
            let place = |tile: &Tile| -> isize {
                at.iter().zip(tile.strides()).map(|(&i, s)| i as isize * s).sum()
            };
            let own = index[(places.offset() as isize + place(places)) as usize];
            let p = if own < 0 { own + n } else { own };
            if !(0..n).contains(&p) {
                wrong.get_or_insert(own);
            }
            let p = (p as usize).wrapping_sub(first);
            here.push(p < here_len);
            let step = data.strides()[self.axis];
            out.push(match p < here_len {
                true => {
                    let other = place(data) - at[self.axis] as isize * step;
                    values[(data.offset() as isize + other + p as isize * step) as usize]
                }
                false => T::default(),
            });
        });
        if let Some(index) = wrong {
            let (operation, axis, len) = (self.operation, self.axis, n as usize);
            return Err(Box::new(ArrayError::Index { operation, index, axis, len }));
        }
        Ok(Partial(vec![Tile::new(out, lens.clone())?, Tile::new(here, lens)?]))
    }
}

impl Array {
    /// The elements at positions along an axis that another array holds: NumPy's
    /// `take_along_axis`. Along the other axes both broadcast. Negative positions count from
    /// the end.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::from_slice(&[3.0, 1.0, 2.0]);
    /// let sorted = x.take_along_axis(&x.argsort(0)?, 0)?;
    /// assert_eq!(sorted.compute::<f64>()?.into_raw_vec_and_offset().0, [1.0, 2.0, 3.0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, the positions are not integers, or the other axes do not
    /// broadcast; when it is computed, for a position out of range.
    pub fn take_along_axis(&self, positions: &Self, axis: isize) -> Result<Self> {
        self.gathered("take_along_axis", positions, axis)
    }

    fn gathered(&self, operation: &'static str, positions: &Self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, operation)?;
        if positions.rank() != self.rank() || positions.dtype().kind() != Kind::Integer {
            return Err(ArrayError::Shape {
                operation,
                expected: format!("integers of rank {}", self.rank()),
                got: format!("{} of shape {}", positions.dtype(), positions.shape()),
            });
        }
        let one = |shape: &ArrayShape| {
            let mut lens = shape.as_slice().to_vec();
            lens[at] = 1;
            ArrayShape::new(lens)
        };
        let others = one(self.shape()).broadcast(&one(positions.shape()), operation)?;
        let wide = |array: &Self| {
            let mut lens = others.as_slice().to_vec();
            lens[at] = array.shape()[at];
            array.broadcast_to(lens)
        };
        let (data, places) = (wide(self)?, wide(positions)?.astype(DType::I64));
        let along = data.chunks().tasks(data.dtype().bytes(), false).axes()[at].clone();
        if along.is_empty() && places.size() > 0 {
            return Err(ArrayError::Empty { operation, axis: at, shape: self.shape().clone() });
        }
        let op = Gather { operation, axis: at, along, dtype: self.dtype() };
        let grid = places.chunks().clone();
        Ok(Self::regions(op, &[&data, &places], self.dtype(), grid))
    }

    /// The elements at positions along an axis, in place of which the result has the axes of
    /// the array that holds them: NumPy's `take` of an array. Negative positions count from
    /// the end. Positions that are in memory are better given to [`Array::take`], which reads
    /// only the chunks that it needs.
    ///
    /// # Errors
    /// If the axis is out of range, or the positions are not integers; when it is computed,
    /// for a position out of range.
    pub fn take_array(&self, positions: &Self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "take")?;
        let mut flat = vec![1; self.rank()];
        flat[at] = positions.size();
        let found = self.gathered("take", &positions.reshape(flat)?, axis)?;
        let (head, tail) = (&self.shape().as_slice()[..at], &self.shape().as_slice()[at + 1..]);
        found.reshape([head, positions.shape().as_slice(), tail].concat())
    }

    /// Positions of an axis of that length, none of them negative; an error for those out of
    /// range when they are computed.
    pub(super) fn positions_of(&self, operation: &'static str, axis: usize, len: usize) -> Self {
        let op = OfRegions(OfChunks {
            name: operation,
            reads: |region: &Region| vec![(0, region.clone())],
            make: move |region: &Region, tiles: &[Tile]| {
                let mut own = tiles[0].to_dense().to_array::<i64>()?.into_raw_vec_and_offset().0;
                for p in &mut own {
                    let (index, n) = (*p, len as i64);
                    *p = if index < 0 { index + n } else { index };
                    if !(0..n).contains(p) {
                        let wrong = ArrayError::Index { operation, index, axis, len };
                        return Err(Box::new(wrong) as BoxError);
                    }
                }
                Ok(Tile::new(own, region.lens())?)
            },
        });
        Self::regions(op, &[&self.astype(DType::I64)], DType::I64, self.chunks().clone())
    }

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
        let mut found = last.clone();
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

    /// The lists that an index of positions or a mask is, in memory.
    pub(super) fn lists_of(index: &Fancy) -> Result<Vec<(Vec<i64>, ArrayShape)>> {
        let of = |array: &Self| {
            let tile = array.astype(DType::I64).compute::<i64>()?;
            Ok::<_, ArrayError>((tile.into_raw_vec_and_offset().0, array.shape().clone()))
        };
        match index {
            Fancy::Basic(_) => Ok(Vec::new()),
            Fancy::List(values, shape) => Ok(vec![(values.clone(), shape.clone())]),
            Fancy::Array(a) if a.dtype() == DType::Bool => a.nonzero()?.iter().map(of).collect(),
            Fancy::Array(a) => Ok(vec![of(a)?]),
        }
    }
}

/// An array of rank 1 of a list.
pub(super) fn listed(values: &[i64], shape: &ArrayShape) -> Result<Array> {
    Array::from_tile(Tile::dense(Buf::I64(values.to_vec()), [values.len()].into()))
        .reshape(shape.clone())
}
