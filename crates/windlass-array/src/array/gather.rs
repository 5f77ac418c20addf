//! Elements at positions that are elements of other arrays. Which chunks are needed is not
//! known before the positions are: each task looks for the positions of its region in one
//! part of the array, and what all of them found is put together in a tree.

use super::{Array, fancy::Fancy};
use crate::{
    dtype::{DType, Kind},
    element::{Buf, Element, dispatch},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions, Partial, Reads, Regions},
    },
    grid::AxisGrid,
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
