//! Arrays with other elements at some positions: what assignment to a part is where arrays do
//! not change.

use std::sync::Arc;

use super::{
    Array,
    fancy::Fancy,
    index::{Index, position, span},
    operand::Operand,
};
use crate::{
    dtype::DType,
    element::dispatch,
    error::{ArrayError, Result},
    execute::leaf::Assembly,
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions, Reads},
    },
    kernel::copy::{Layout, copy},
    region::{Region, Span},
    shape::ArrayShape,
    tile::Tile,
};

/// The elements of each span that lie in a region, first and one past the last; none if along
/// one axis there are none.
fn within(spans: &[Span], region: &Region) -> Option<Vec<(usize, usize)>> {
    let axis = |(s, r): (&Span, &Span)| {
        let held = if s.len == 0 { (0, 0) } else { s.within(r.start, r.start + r.len) };
        (held.0 < held.1).then_some(held)
    };
    spans.iter().zip(&region.axes).map(axis).collect()
}

/// A copy of a tile, to be changed.
fn own_copy(tile: &Tile, region: &Region) -> Assembly {
    let mut own = Assembly::new(tile.dtype(), region);
    own.put_at(tile, &vec![0; region.axes.len()]);
    own
}

impl Array {
    /// This array with other elements in a part of it: NumPy's `x[index] = value`, as a new
    /// array. The value broadcasts to the part and takes the array's type.
    ///
    /// ```
    /// use windlass_array::{Array, DType, Index};
    ///
    /// let x = Array::zeros([2, 3], DType::I64);
    /// let y = x.assign(&[Index::All, Index::All.step(2)], 7)?;
    /// assert_eq!(y.compute::<i64>()?.as_slice(), Some(&[7, 0, 7, 7, 0, 7][..]));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Array::index`], if the value does not broadcast to the part, and for a scalar that
    /// does not fit the type.
    pub fn assign(&self, index: &[Index], value: impl Into<Operand>) -> Result<Self> {
        let part = self.index(index)?;
        let value = self.as_value(value.into(), part.shape())?;
        if part.size() == 0 {
            return Ok(self.clone());
        }
        // Slices and positions of all axes, and the value with an axis for each.
        let steps =
            self.steps(&index.iter().map(|i| Fancy::Basic(*i)).collect::<Vec<_>>(), true)?;
        let (mut spans, mut aligned) = (Vec::new(), Vec::new());
        for one in &steps.basic {
            let len = |axis: usize| self.shape()[axis];
            let axis = spans.len();
            match *one {
                Index::NewAxis => aligned.push(Index::At(0)),
                Index::At(at) => {
                    let at = position("assign", at, axis, len(axis))?;
                    spans.push(Span::new(at, 1, 1));
                    aligned.push(Index::NewAxis);
                }
                Index::Slice { start, stop, step } => {
                    spans.push(span(start, stop, step, len(axis)));
                    aligned.push(Index::All);
                }
                Index::All | Index::Ellipsis => {
                    spans.push(Span::new(0, 1, len(axis)));
                    aligned.push(Index::All);
                }
            }
        }
        let value = value.index(&aligned)?;
        let own = spans.clone();
        let op = OfRegions(OfChunks {
            name: "assign",
            reads: move |region: &Region| -> Reads {
                let mut reads = vec![(0, region.clone())];
                if let Some(held) = within(&own, region) {
                    let part = held.iter().map(|&(a, b)| Span::new(a, 1, b - a)).collect();
                    reads.push((1, Region::new(part)));
                }
                reads
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let [base, values] = tiles else { return Ok(tiles[0].clone()) };
                let held = within(&spans, region).ok_or("a part has elements")?;
                let steps = ArrayShape::new(region.lens()).strides();
                let (mut offset, mut strides) = (0, Vec::new());
                for (i, (s, (a, _))) in spans.iter().zip(held).enumerate() {
                    offset += (s.at(a) - region.axes[i].start) as isize * steps[i];
                    strides.push(s.step * steps[i]);
                }
                let mut buf = own_copy(base, region).into_buf();
                dispatch!(base.dtype(), T => copy::<T>(
                    values.shape().as_slice(),
                    values.buf().typed(),
                    Layout { offset: values.offset(), strides: values.strides() },
                    buf.typed_mut(),
                    Layout { offset: offset as usize, strides: &strides },
                ));
                Ok::<_, BoxError>(Tile::dense(buf, ArrayShape::new(region.lens())))
            },
        });
        Ok(Self::regions(op, &[self, &value], self.dtype(), self.chunks().clone()))
    }

    /// A value of the array's type that broadcasts to a shape; leading axes of length 1 that
    /// the shape lacks are left out.
    pub(super) fn as_value(&self, value: Operand, shape: &ArrayShape) -> Result<Self> {
        let mut value = match value {
            Operand::Array(a) => a.astype(self.dtype()),
            Operand::Scalar(s) => Self::full_of(ArrayShape::default(), s, self.dtype())?,
        };
        while value.rank() > shape.rank() && value.shape()[0] == 1 {
            value = value.index(&[Index::At(0)])?;
        }
        value.broadcast_to(shape.clone())
    }

    /// As [`Array::assign`], with lists of positions, arrays of them and masks among the
    /// indices, as [`Array::fancy`] takes them; of a position that comes several times the
    /// last value stays. Positions that are elements of arrays are computed now, but for a
    /// mask of the array's shape and one value for all.
    ///
    /// # Errors
    /// As [`Array::fancy`], if the value does not broadcast to the part, and for a scalar that
    /// does not fit the type.
    pub fn assign_fancy(&self, index: &[Fancy], value: impl Into<Operand>) -> Result<Self> {
        let value = value.into();
        let single = match &value {
            Operand::Array(a) => a.size() == 1,
            Operand::Scalar(_) => true,
        };
        if let ([Fancy::Array(mask)], true) = (index, single)
            && mask.dtype() == DType::Bool
            && mask.shape() == self.shape()
        {
            let one = self.as_value(value, self.shape())?;
            return Self::select(mask, &one, self);
        }
        let steps = self.steps(index, true)?;
        let sliced = self.index(&steps.basic)?;
        if steps.is_basic() {
            return self.assign(&steps.basic, value);
        }
        let lens: Vec<usize> = steps.axes.iter().map(|a| sliced.shape()[*a]).collect();
        let list = steps.flat_list(&lens)?.unwrap_or_default();
        let (flat, order) = sliced.flattened(&steps.axes)?;
        // The value as positions first, then the other axes.
        let rest = &flat.shape().as_slice()[1..];
        let k = steps.shape.rank();
        let mut shape = rest.to_vec();
        shape.splice(steps.place..steps.place, steps.shape.as_slice().iter().copied());
        let value = self.as_value(value, &ArrayShape::new(shape))?;
        let to: Vec<isize> = (0..k as isize).collect();
        let from: Vec<isize> = to.iter().map(|i| i + steps.place as isize).collect();
        let rows = [&[list.len()], rest].concat();
        let value = value.moveaxis(&from, &to)?.reshape(rows)?;
        let set = flat.with_rows(&list, &value)?;
        // Back to where the axes were.
        let (head, tail) = (lens, rest);
        let front = set.reshape([&head[..], tail].concat())?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, o)| back[*o as usize] = i as isize);
        let part = front.permute(&back)?;
        self.assign(&steps.basic, &part)
    }

    /// With other rows at positions along the first axis; the last of several at one position.
    fn with_rows(&self, positions: &[i64], values: &Self) -> Result<Self> {
        let mut last: Vec<(usize, i64)> =
            positions.iter().enumerate().map(|(i, p)| (*p as usize, i as i64)).collect();
        last.sort_unstable();
        last.reverse();
        last.dedup_by_key(|p| p.0);
        last.reverse();
        if last.is_empty() || self.size() == 0 {
            return Ok(self.clone());
        }
        let order: Vec<i64> = last.iter().map(|p| p.1).collect();
        let places: Arc<[usize]> = last.iter().map(|p| p.0).collect();
        let values = values.take(&order, 0)?;
        let held = |places: &[usize], span: Span| {
            let at = |end: usize| places.partition_point(|p| *p < end);
            (at(span.start), at(span.start + span.len))
        };
        let own = Arc::clone(&places);
        let op = OfRegions(OfChunks {
            name: "assign",
            reads: move |region: &Region| -> Reads {
                let (low, high) = held(&own, region.axes[0]);
                let mut reads = vec![(0, region.clone())];
                if low < high {
                    reads.push((1, region.with(0, Span::new(low, 1, high - low))));
                }
                reads
            },
            make: move |region: &Region, tiles: &[Tile]| {
                let [base, values] = tiles else { return Ok(tiles[0].clone()) };
                let mut own = own_copy(base, region);
                let (low, high) = held(&places, region.axes[0]);
                let all = Region::all(values.shape().as_slice());
                for (i, place) in places[low..high].iter().enumerate() {
                    let row = values.part(&all.with(0, Span::new(i, 1, 1)));
                    own.put(&row, 0, place - region.axes[0].start);
                }
                Ok::<_, BoxError>(own.finish())
            },
        });
        Ok(Self::regions(op, &[self, &values], self.dtype(), self.chunks().clone()))
    }

    /// With other elements at positions that are counted with the last axis the fastest:
    /// NumPy's `put`, as a new array. Values are repeated where there are fewer than
    /// positions.
    ///
    /// # Errors
    /// For a position out of range, and no value for some positions.
    pub fn put(&self, positions: &[i64], values: impl Into<Operand>) -> Result<Self> {
        let n = positions.len();
        let values = match values.into() {
            Operand::Array(a) if a.size() == 0 && n > 0 => {
                return Err(ArrayError::Argument {
                    operation: "put",
                    argument: "values",
                    expected: "at least one".into(),
                    got: "none".into(),
                });
            }
            Operand::Array(a) if n > 0 => {
                let flat = a.ravel()?;
                let times = n.div_ceil(flat.size());
                Operand::Array(flat.tile(&[times])?.index_axis(0, 0..n as i64)?)
            }
            other => other,
        };
        if n == 0 {
            return Ok(self.clone());
        }
        let flat = self.ravel()?.assign_fancy(&[positions.to_vec().into()], values)?;
        flat.reshape(self.shape().clone())?.rechunk_to(self.chunks().clone())
    }
}
