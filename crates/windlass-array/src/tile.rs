//! Tiles: elements in host memory with a shape and strides. Clones and views share memory.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, ShapeBuilder};
use windlass_runtime::graph::Spill;

use crate::{
    dtype::DType,
    element::{Buf, Element, dispatch, parts_mut},
    error::{ArrayError, Result},
    kernel::copy::{Layout, copy},
    region::Region,
    shape::ArrayShape,
};

/// Elements of one type in host memory, of any rank.
#[derive(Debug, Clone)]
pub struct Tile {
    buf: Arc<Buf>,
    offset: usize,
    shape: ArrayShape,
    strides: Vec<isize>,
}

impl Tile {
    /// Of elements with the last axis the fastest.
    ///
    /// # Errors
    /// If their number is not that of the shape.
    pub fn new<T: Element>(values: Vec<T>, shape: impl Into<ArrayShape>) -> Result<Self> {
        let shape = shape.into();
        if shape.size() != values.len() {
            return Err(ArrayError::Shape {
                operation: "a tile",
                expected: format!("{} elements for shape {shape}", shape.size()),
                got: format!("{} elements", values.len()),
            });
        }
        Ok(Self::dense(T::wrap(values), shape))
    }

    /// Of zeros (`false`) that a function overwrites, the last axis the fastest. Large ones get
    /// memory that costs less to write for the first time than a vector's.
    ///
    /// ```
    /// use windlass_array::Tile;
    ///
    /// let tile = Tile::filled([2, 3], |values: &mut [i64]| values[4] = 7);
    /// assert_eq!(tile.view::<i64>()?[[1, 1]], 7);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    pub fn filled<T: Element>(shape: impl Into<ArrayShape>, fill: impl FnOnce(&mut [T])) -> Self {
        let shape = shape.into();
        let mut values = crate::memory::zeros(shape.size());
        fill(&mut values);
        Self::dense(T::wrap(values), shape)
    }

    /// Of a buffer that has the shape's number of elements, the last axis the fastest.
    pub(crate) fn dense(buf: Buf, shape: ArrayShape) -> Self {
        debug_assert_eq!(buf.len(), shape.size());
        Self { strides: shape.strides(), buf: Arc::new(buf), offset: 0, shape }
    }

    /// Of an array's memory, without a copy, whatever its strides.
    pub fn from_array<T: Element>(array: ArrayD<T>) -> Self {
        let shape = ArrayShape::from(array.shape());
        let strides = array.strides().to_vec();
        let (values, offset) = array.into_raw_vec_and_offset();
        Self { buf: Arc::new(T::wrap(values)), offset: offset.unwrap_or(0), shape, strides }
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.buf.dtype()
    }

    /// Its shape.
    pub fn shape(&self) -> &ArrayShape {
        &self.shape
    }

    /// Bytes of its elements.
    pub fn nbytes(&self) -> usize {
        self.shape.size() * self.dtype().bytes()
    }

    pub(crate) fn buf(&self) -> &Arc<Buf> {
        &self.buf
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// The same memory with another layout.
    pub(crate) fn with_layout(
        &self,
        offset: usize,
        shape: ArrayShape,
        strides: Vec<isize>,
    ) -> Self {
        Self { buf: Arc::clone(&self.buf), offset, shape, strides }
    }

    /// A part of it, which shares its memory.
    pub(crate) fn part(&self, region: &Region) -> Self {
        let mut offset = self.offset as isize;
        let mut strides = Vec::with_capacity(self.strides.len());
        for (span, s) in region.axes.iter().zip(&self.strides) {
            offset += span.start as isize * s;
            strides.push(span.step * s);
        }
        self.with_layout(offset as usize, ArrayShape::new(region.lens()), strides)
    }

    /// The same elements with the last axis the fastest; without a copy where they are.
    pub(crate) fn to_dense(&self) -> Self {
        let strides = self.shape.strides();
        let dense = (0..strides.len()).all(|i| self.shape[i] <= 1 || strides[i] == self.strides[i]);
        if dense {
            return self.with_layout(self.offset, self.shape.clone(), strides);
        }
        let mut buf = Buf::zeros(self.dtype(), self.shape.size());
        dispatch!(self.dtype(), T => copy::<T>(
            self.shape.as_slice(),
            self.buf.typed(),
            Layout { offset: self.offset, strides: &self.strides },
            buf.typed_mut(),
            Layout { offset: 0, strides: &strides },
        ));
        Self::dense(buf, self.shape.clone())
    }

    /// The same elements in memory that holds no others.
    pub(crate) fn to_own_memory(&self) -> Self {
        let dense = self.to_dense();
        let n = dense.shape.size();
        if dense.buf.len() == n {
            return dense;
        }
        let own = dense.offset..dense.offset + n;
        let buf = dispatch!(dense.dtype(), T => T::wrap(dense.buf.typed::<T>()[own].to_vec()));
        Self::dense(buf, dense.shape)
    }

    /// Its elements where they lie, without a copy.
    ///
    /// # Errors
    /// If they are not of type `T`.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>> {
        if self.dtype() != T::DTYPE {
            return Err(ArrayError::WrongType { have: self.dtype(), wanted: T::DTYPE });
        }
        let failed = |e: ndarray::ShapeError| ArrayError::Shape {
            operation: "view",
            expected: self.shape.to_string(),
            got: e.to_string(),
        };
        if self.shape.size() == 0 {
            return ArrayViewD::from_shape(IxDyn(self.shape.as_slice()), &[]).map_err(failed);
        }
        let mut offset = self.offset as isize;
        // Axes that go backwards are turned, and turned again.
        for (&n, &s) in self.shape.as_slice().iter().zip(&self.strides) {
            offset += (n as isize - 1) * s.min(0);
        }
        let strides: Vec<usize> = self.strides.iter().map(|s| s.unsigned_abs()).collect();
        let shape = IxDyn(self.shape.as_slice()).strides(IxDyn(&strides));
        let values = &self.buf.typed::<T>()[offset as usize..];
        let mut view = ArrayViewD::from_shape(shape, values).map_err(failed)?;
        for (axis, &s) in self.strides.iter().enumerate() {
            if s < 0 {
                view.invert_axis(Axis(axis));
            }
        }
        Ok(view)
    }

    /// Its elements as an array, the last axis the fastest.
    ///
    /// # Errors
    /// If they are not of type `T`.
    pub fn to_array<T: Element>(&self) -> Result<ArrayD<T>> {
        self.clone().into_array()
    }

    /// As [`Tile::to_array`], without a copy where nobody shares the memory.
    ///
    /// # Errors
    /// As there.
    pub fn into_array<T: Element>(self) -> Result<ArrayD<T>> {
        if self.dtype() != T::DTYPE {
            return Err(ArrayError::WrongType { have: self.dtype(), wanted: T::DTYPE });
        }
        let dense = self.to_dense();
        drop(self);
        let (n, offset) = (dense.shape.size(), dense.offset);
        let shape = IxDyn(dense.shape.as_slice());
        let values = match Arc::try_unwrap(dense.buf) {
            Ok(buf) if buf.len() == n => T::unwrap(buf).unwrap_or_default(),
            Ok(buf) => buf.typed::<T>()[offset..offset + n].to_vec(),
            Err(shared) => shared.typed::<T>()[offset..offset + n].to_vec(),
        };
        // Its number of elements is the shape's: it was made so.
        ArrayD::from_shape_vec(shape.into_shape_with_order(), values).map_err(|e| {
            ArrayError::Shape {
                operation: "to_array",
                expected: dense.shape.to_string(),
                got: e.to_string(),
            }
        })
    }
}

/// Tiles of a grid: what a computation left in memory.
#[derive(Debug)]
pub(crate) struct Tiles {
    pub(crate) grid: crate::grid::ChunkGrid,
    /// In the order of the grid's chunks.
    pub(crate) tiles: Vec<Arc<crate::execute::kept::Kept>>,
}

pub(crate) fn write_words(to: &mut dyn Write, words: &[usize]) -> io::Result<()> {
    to.write_all(&(words.len() as u64).to_le_bytes())?;
    words.iter().try_for_each(|w| to.write_all(&(*w as u64).to_le_bytes()))
}

pub(crate) fn read_word(from: &mut dyn Read) -> io::Result<usize> {
    let mut word = [0; 8];
    from.read_exact(&mut word)?;
    usize::try_from(u64::from_le_bytes(word)).map_err(io::Error::other)
}

/// A buffer as its type, its length and its bytes: the reader is the same process.
pub(crate) fn write_buf(to: &mut dyn Write, buf: &Buf, start: usize, len: usize) -> io::Result<()> {
    let (dtype, size) = (buf.dtype(), buf.dtype().bytes());
    write_words(to, &[dtype as usize, len])?;
    to.write_all(&buf.as_bytes()[start * size..(start + len) * size])
}

/// What [`write_buf`] wrote.
pub(crate) fn read_buf(from: &mut dyn Read) -> io::Result<Buf> {
    let (_, dtype, len) = (read_word(from)?, read_word(from)?, read_word(from)?);
    let dtype = *DType::ALL.get(dtype).ok_or_else(|| io::Error::other("no element type"))?;
    let mut buf = Buf::zeros(dtype, len);
    match &mut buf {
        // Bytes of bools are tested as they are read.
        Buf::Bool(values) => {
            let mut bytes = vec![0_u8; len];
            from.read_exact(&mut bytes)?;
            values.iter_mut().zip(bytes).for_each(|(v, b)| *v = b != 0);
        }
        Buf::I8(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::I16(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::I32(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::I64(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::U8(v) => from.read_exact(v)?,
        Buf::U16(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::U32(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::U64(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::F32(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::F64(v) => from.read_exact(bytemuck::cast_slice_mut(v))?,
        Buf::C64(v) => from.read_exact(bytemuck::cast_slice_mut(parts_mut(v)))?,
        Buf::C128(v) => from.read_exact(bytemuck::cast_slice_mut(parts_mut(v)))?,
    }
    Ok(buf)
}

impl Spill for Tile {
    fn bytes(&self) -> u64 {
        self.nbytes() as u64
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let dense = self.to_dense();
        write_words(to, dense.shape.as_slice())?;
        write_buf(to, &dense.buf, dense.offset, dense.shape.size())
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        let rank = read_word(from)?;
        let shape = (0..rank).map(|_| read_word(from)).collect::<io::Result<Vec<_>>>()?;
        Ok(Self::dense(read_buf(from)?, ArrayShape::new(shape)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{element::C32, region::Span};

    #[test]
    fn arrays_of_any_strides_come_and_go() {
        let array = ndarray::arr2(&[[1, 2, 3], [4, 5, 6]]).reversed_axes().into_dyn();
        let tile = Tile::from_array(array.clone());
        assert_eq!(tile.to_array::<i32>().unwrap(), array);
        assert_eq!(tile.view::<i32>().unwrap(), array);
        let part = tile.part(&Region::new(vec![Span::new(2, -2, 2), Span::new(1, 1, 1)]));
        assert_eq!(part.view::<i32>().unwrap(), ndarray::arr2(&[[6], [4]]).into_dyn());
        let repeated = tile.with_layout(1, ArrayShape::from(&[2, 0, 3][..]), vec![0, 1, -1]);
        assert_eq!(repeated.view::<i32>().unwrap().shape(), [2, 0, 3]);
        let repeated = tile.with_layout(2, ArrayShape::from(&[2, 3][..]), vec![0, -1]);
        let wanted = ndarray::arr2(&[[3, 2, 1], [3, 2, 1]]).into_dyn();
        assert_eq!(repeated.view::<i32>().unwrap(), wanted);
        assert_eq!(part.into_array::<i32>().unwrap(), ndarray::arr2(&[[6], [4]]).into_dyn());
        let error = tile.to_array::<f64>().unwrap_err().to_string();
        assert!(error.contains("int32") && error.contains("float64"), "{error}");
    }

    #[test]
    fn spilled_tiles_come_back() {
        for tile in [
            Tile::new(vec![true, false], [2]).unwrap(),
            Tile::new(vec![C32::new(1.0, 2.0)], ArrayShape::default()).unwrap(),
            Tile::new(Vec::<u16>::new(), [0, 4]).unwrap(),
        ] {
            let mut bytes = Vec::new();
            Spill::write(&tile, &mut bytes).unwrap();
            let back = Tile::read(&mut &bytes[..]).unwrap();
            assert_eq!((back.shape(), &back.buf), (tile.shape(), &tile.buf));
        }
    }
}
