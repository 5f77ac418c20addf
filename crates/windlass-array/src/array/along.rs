//! Other elements at positions along an axis that another array holds. Which chunks they fall
//! into is not known before the positions are: each task looks through one part of the positions
//! for those of its region, and what all of them found is put over the array in a tree.

use super::{Array, operand::Operand};
use crate::{
    dtype::{DType, Kind},
    element::{Element, dispatch},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{Partial, Reads, Regions},
    },
    grid::AxisGrid,
    region::{Region, Span},
    shape::{ArrayShape, each_index},
    tile::Tile,
};

const NAME: &str = "put_along_axis";

/// The first input with elements of the third at the positions, along an axis, that the second
/// holds. The first part of a region is the first input's, of one tile; the others have the
/// elements that they found, and where.
struct Scatter {
    axis: usize,
    /// Elements of the first input along the axis.
    len: usize,
    /// How the positions are cut along the axis.
    along: AxisGrid,
    dtype: DType,
}

impl Regions for Scatter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            let own = region.with(self.axis, Span::new(begin, 1, end - begin));
            vec![(1, own.clone()), (2, own)]
        };
        let base = vec![(0, region.clone())];
        std::iter::once(base).chain((0..self.along.count()).map(part)).collect()
    }

    fn part(&self, region: &Region, at: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        if at == 0 {
            return Ok(Partial::one(inputs[0].clone()));
        }
        dispatch!(self.dtype, T => self.found::<T>(region, &inputs[0], &inputs[1]))
    }

    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        dispatch!(self.dtype, T => {
            let first = parts[0];
            let mut values = first.0[0].to_array::<T>()?.into_raw_vec_and_offset().0;
            let mut here = match first.0.get(1) {
                Some(here) => Some(here.to_array::<bool>()?.into_raw_vec_and_offset().0),
                None => None,
            };
            for part in &parts[1..] {
                let (v, h) = (part.0[0].buf().typed::<T>(), part.0[1].buf().typed::<bool>());
                for i in (0..values.len()).filter(|i| h[*i]) {
                    values[i] = v[i];
                    if let Some(here) = &mut here {
                        here[i] = true;
                    }
                }
            }
            let mut tiles = vec![Tile::new(values, region.lens())?];
            if let Some(here) = here {
                tiles.push(Tile::new(here, region.lens())?);
            }
            Ok(Partial(tiles))
        })
    }

    fn partial_bytes(&self, region: &Region, element: usize) -> u64 {
        (region.size() * (element + 1)) as u64
    }
}

impl Scatter {
    /// The elements of one part of the positions that fall into a region, and where they do.
    fn found<T: Element>(
        &self,
        region: &Region,
        places: &Tile,
        new: &Tile,
    ) -> Result<Partial, BoxError> {
        let (n, lens) = (self.len as i64, region.lens());
        let span = region.axes[self.axis];
        let steps = ArrayShape::new(lens.clone()).strides();
        let (index, elements) = (places.buf().typed::<i64>(), new.buf().typed::<T>());
        let (mut values, mut here) =
            (vec![T::default(); region.size()], vec![false; region.size()]);
        let mut wrong = None;
        each_index(places.shape().as_slice(), |at| {
            let place = |tile: &Tile| -> usize {
                let far: isize = at.iter().zip(tile.strides()).map(|(&i, s)| i as isize * s).sum();
                (tile.offset() as isize + far) as usize
            };
            let own = index[place(places)];
            let p = if own < 0 { own + n } else { own };
            if !(0..n).contains(&p) {
                wrong.get_or_insert(own);
            }
            let p = (p as usize).wrapping_sub(span.start);
            if p < span.len {
                let others = at.iter().zip(&steps).map(|(&i, s)| i as isize * s).sum::<isize>();
                let step = steps[self.axis];
                let to = (others + (p as isize - at[self.axis] as isize) * step) as usize;
                (values[to], here[to]) = (elements[place(new)], true);
            }
        });
        if let Some(index) = wrong {
            let (operation, axis, len) = (NAME, self.axis, self.len);
            return Err(Box::new(ArrayError::Index { operation, index, axis, len }));
        }
        Ok(Partial(vec![Tile::new(values, lens.clone())?, Tile::new(here, lens)?]))
    }
}

impl Array {
    /// The array with other elements at positions along an axis that another array holds:
    /// NumPy's `put_along_axis`, as a new array. Along the other axes positions and array
    /// broadcast; the values broadcast to the positions and take the array's type. Negative
    /// positions count from the end; of one that comes several times the last value stays.
    ///
    /// Each task reads the positions and values of a part of the axis for a part of the array:
    /// all may be larger than the memory. What they found is put together eight at a time, which
    /// takes ten times what a task makes: about a sixteenth of the array, of at most 32 MiB.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::arange(0, 6, 1)?.reshape([2, 3])?;
    /// let greatest = x.argmax(Some(1), true)?;
    /// let y = x.put_along_axis(&greatest, -1, 1)?;
    /// assert_eq!(y.compute::<i64>()?.into_raw_vec_and_offset().0, [0, 1, -1, 3, 4, -1]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, the positions are not integers of the array's rank, the
    /// shapes do not broadcast, or a scalar does not fit the type; when it is computed, for a
    /// position out of range.
    pub fn put_along_axis(
        &self,
        positions: &Self,
        values: impl Into<Operand>,
        axis: isize,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, NAME)?;
        if positions.rank() != self.rank() || positions.dtype().kind() != Kind::Integer {
            return Err(ArrayError::Shape {
                operation: NAME,
                expected: format!("integers of rank {}", self.rank()),
                got: format!("{} of shape {}", positions.dtype(), positions.shape()),
            });
        }
        let mut lens = self.shape().as_slice().to_vec();
        lens[at] = 1;
        let shape = ArrayShape::new(lens.clone()).broadcast(positions.shape(), NAME)?;
        let values = self.as_value(values.into(), &shape)?;
        if shape.size() == 0 {
            return Ok(self.clone());
        }
        if self.size() == 0 {
            return Err(ArrayError::Empty {
                operation: NAME,
                axis: at,
                shape: self.shape().clone(),
            });
        }
        let places = positions.astype(DType::I64).broadcast_to(shape.clone())?;
        let wide: Vec<usize> =
            (0..self.rank()).filter(|a| *a == at || (lens[*a] == 1 && shape[*a] != 1)).collect();
        if wide.len() == 1 {
            return Ok(self.scattered(&places, &values, at));
        }
        // Axes along which one element has several positions: as one axis with this one, in
        // the order of the positions.
        let fixed: Vec<usize> = (0..self.rank()).filter(|a| !wide.contains(a)).collect();
        let order: Vec<isize> = fixed.iter().chain(&wide).map(|a| *a as isize).collect();
        let lines = |array: &Self| -> Result<Self> {
            let own = array.permute(&order)?;
            let (head, tail) = own.shape().as_slice().split_at(fixed.len());
            own.reshape([head, &[tail.iter().product()]].concat())
        };
        let found = lines(self)?.scattered(&lines(&places)?, &lines(&values)?, fixed.len());
        let moved: Vec<usize> = order.iter().map(|a| self.shape()[*a as usize]).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, a)| back[*a as usize] = i as isize);
        found.reshape(moved)?.permute(&back)?.rechunk_to(self.chunks().clone())
    }

    /// With other elements at positions, which are of the array's shape but along the axis.
    fn scattered(&self, places: &Self, values: &Self, axis: usize) -> Self {
        let element = self.dtype().bytes().max(DType::I64.bytes());
        let along = places.chunks().tasks(element, false).axes()[axis].clone();
        let op = Scatter { axis, len: self.shape()[axis], along, dtype: self.dtype() };
        Self::regions(op, &[self, places, values], self.dtype(), self.chunks().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_out_of_range_are_named() {
        let x = Array::zeros([3, 2], DType::F32).rechunk([2, 1]).unwrap();
        let at = Array::from_slice(&[0_i64, 3]).reshape([1, 2]).unwrap();
        let error = x.put_along_axis(&at, 1, 0).unwrap().compute::<f32>().unwrap_err();
        assert!(error.to_string().contains("put_along_axis"), "{error}");
        assert!(x.put_along_axis(&at.astype(DType::F64), 1, 0).is_err());
    }

    #[test]
    fn one_element_with_positions_along_other_axes_keeps_the_last() {
        let x = Array::zeros([1, 3], DType::I64);
        let at = Array::from_slice(&[0_i64, 2, 2, 0]).reshape([2, 2]).unwrap();
        let new = Array::arange(1, 5, 1).unwrap().reshape([2, 2]).unwrap();
        let y = x.put_along_axis(&at, &new, 1).unwrap().compute::<i64>().unwrap();
        assert_eq!(y.into_raw_vec_and_offset().0, [4, 0, 3]);
    }
}
