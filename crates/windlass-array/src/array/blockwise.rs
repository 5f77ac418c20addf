//! Users' functions of blocks whose axes are told by labels, and of chunks that become chunks
//! of other shapes.

use std::collections::HashMap;

use ndarray::{ArrayD, ArrayView1, Axis};

use super::Array;
use crate::{
    dtype::DType,
    element::Element,
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, Reads},
    },
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    shape::{ChunkIndex, resolve_axis},
    tile::Tile,
};

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

/// How chunks become chunks of another shape: axes that go, new axes, and the chunks of the
/// result.
#[derive(Debug, Clone, Default)]
pub struct Reshaped {
    drop: Vec<isize>,
    add: Vec<isize>,
    grid: Option<ChunkGrid>,
}

impl Reshaped {
    /// Nothing goes, nothing is new.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without these axes of the first array: the function is given all of its elements along
    /// them.
    #[must_use]
    pub fn dropping(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.drop = axes.into();
        self
    }

    /// With new axes of one chunk, which have these places in the result; of length 1 unless
    /// the chunks say otherwise.
    #[must_use]
    pub fn adding(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.add = axes.into();
        self
    }

    /// With chunks of these lengths, as many along the axes that stay as the array has.
    #[must_use]
    pub fn chunks(mut self, grid: ChunkGrid) -> Self {
        self.grid = Some(grid);
        self
    }
}

impl Array {
    /// As [`Array::map_blocks`], with a function whose chunks have another shape.
    ///
    /// ```
    /// use windlass_array::{Array, DType, Reshaped, Tile};
    ///
    /// let x = Array::arange(0, 6, 1)?.reshape([2, 3])?;
    /// let sums = Array::map_blocks_to(&[&x], DType::I64, Reshaped::new().dropping([1]), |tiles, _| {
    ///     let values = tiles[0].to_array::<i64>()?;
    ///     Ok(Tile::from_array(values.sum_axis(ndarray::Axis(1))))
    /// })?;
    /// assert_eq!(sums.compute::<i64>()?.into_raw_vec_and_offset().0, [3, 12]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For no array, arrays of other numbers of chunks, axes out of range, and chunks that are
    /// not as many.
    pub fn map_blocks_to<F>(
        arrays: &[&Self],
        dtype: DType,
        shape: Reshaped,
        function: F,
    ) -> Result<Self>
    where
        F: Fn(&[Tile], &ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let operation = "map_blocks";
        let Some(first) = arrays.first() else {
            return Err(wrong(operation, "at least one array", "none"));
        };
        let dropped = first.shape().axes(&shape.drop, operation)?;
        let kept: Vec<usize> = (0..first.rank()).filter(|a| !dropped.contains(a)).collect();
        let rank = kept.len() + shape.add.len();
        let new: Vec<usize> =
            shape.add.iter().map(|&a| resolve_axis(a, rank, operation)).collect::<Result<_>>()?;
        // Where each axis of the result comes from.
        let mut rest = kept.iter();
        let from: Vec<Option<usize>> =
            (0..rank).map(|i| if new.contains(&i) { None } else { rest.next().copied() }).collect();
        let own = |f: &Option<usize>| match f {
            Some(axis) => first.chunks().axes()[*axis].clone(),
            None => AxisGrid::regular(1, 1),
        };
        let grid = match shape.grid {
            Some(grid) => grid,
            None => ChunkGrid::new(from.iter().map(own).collect()),
        };
        let counts: Vec<usize> = from.iter().map(|f| own(f).count()).collect();
        if grid.grid_shape().as_slice() != counts {
            return Err(wrong(
                operation,
                format!("{counts:?} chunks along the axes"),
                grid.grid_shape(),
            ));
        }
        let grids: Vec<ChunkGrid> = arrays.iter().map(|a| a.chunks().clone()).collect();
        for (array, own) in arrays.iter().zip(&grids) {
            let same = kept.iter().all(|&a| {
                a < own.rank() && own.axes()[a].count() == first.chunks().axes()[a].count()
            });
            if own.rank() != first.rank() || !same {
                let expected = format!("{} chunks along the axes: rechunk it", first.grid_shape());
                return Err(wrong(operation, expected, array.grid_shape()));
            }
        }
        let at = {
            let grid = grid.clone();
            move |region: &Region| -> Vec<usize> {
                grid.axes().iter().zip(&region.axes).map(|(g, s)| g.find(s.start)).collect()
            }
        };
        let index = at.clone();
        let op = OfChunks {
            name: operation,
            reads: move |region: &Region| -> Reads {
                let index = index(region);
                let one = |own: &ChunkGrid| {
                    let axes = own.axes().iter().enumerate().map(|(a, axis)| {
                        let place = from.iter().position(|f| *f == Some(a));
                        let (begin, end) = place.map_or((0, axis.len()), |p| axis.bounds(index[p]));
                        Span::new(begin, 1, end - begin)
                    });
                    Region::new(axes.collect())
                };
                grids.iter().map(one).enumerate().collect()
            },
            make: move |region: &Region, tiles: &[Tile]| {
                function(tiles, &ChunkIndex::new(at(region)))
            },
        };
        Ok(Self::regions(op, arrays, dtype, grid))
    }

    /// As [`Array::apply_along_axis`], with a function that gives `len` elements for each
    /// line.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::from_slice(&[3.0, 1.0, 2.0]).reshape([1, 3])?;
    /// let ends = x.apply_along_axis_to::<f64, f64>(1, 2, |line| {
    ///     ndarray::arr1(&[line[0], line[line.len() - 1]])
    /// })?;
    /// assert_eq!(ends.compute::<f64>()?.as_slice(), Some(&[3.0, 2.0][..]));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, or the elements are not of type `T`; when it is computed,
    /// if the function gives another number of elements.
    pub fn apply_along_axis_to<T: Element, R: Element>(
        &self,
        axis: isize,
        len: usize,
        function: impl Fn(ArrayView1<'_, T>) -> ndarray::Array1<R> + Send + Sync + 'static,
    ) -> Result<Self> {
        let at = self.shape().axis(axis, "apply_along_axis")?;
        if self.dtype() != T::DTYPE {
            return Err(ArrayError::WrongType { have: self.dtype(), wanted: T::DTYPE });
        }
        let (whole, grid) = self.lanes(at, len);
        Ok(Self::blocks(&[&whole], R::DTYPE, grid, move |tiles, _| {
            let values = tiles[0].to_array::<T>()?;
            let mut lens = values.shape().to_vec();
            lens[at] = len;
            let mut found = ArrayD::<R>::default(lens);
            let lines = values.lanes(Axis(at)).into_iter();
            for (from, mut to) in lines.zip(found.lanes_mut(Axis(at))) {
                let line = function(from);
                if line.len() != len {
                    let expected = format!("{len} elements for a line");
                    return Err(Box::new(wrong("apply_along_axis", expected, line.len())));
                }
                to.assign(&line);
            }
            Ok(Tile::from_array(found))
        }))
    }

    /// An array whose blocks a function makes of blocks of others. Axes have labels, one
    /// character each: axes of one label are cut in the same chunks. The function is given a
    /// tile of each array: its chunk along labels of the result, and all of it along labels
    /// that the result lacks, which are contracted. Along axes of length 1 where others have
    /// more it is given that one element. Labels that only the result has are new axes, of
    /// one chunk and of the lengths that `new` tells.
    ///
    /// ```
    /// use windlass_array::{Array, DType, Tile};
    ///
    /// let a = Array::arange(0.0, 6.0, 1.0)?.reshape([2, 3])?.rechunk([1, 2])?;
    /// let b = Array::arange(0.0, 3.0, 1.0)?;
    /// let product = Array::blockwise("i", DType::F64, &[(&a, "ij"), (&b, "j")], &[], |tiles| {
    ///     let a = tiles[0].to_array::<f64>()?.into_dimensionality::<ndarray::Ix2>()?;
    ///     let b = tiles[1].to_array::<f64>()?.into_dimensionality::<ndarray::Ix1>()?;
    ///     Ok(Tile::from_array(a.dot(&b).into_dyn()))
    /// })?;
    /// assert_eq!(product.compute::<f64>()?.into_raw_vec_and_offset().0, [5.0, 14.0]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If an array has not one label for each axis, a label stands for different lengths, the
    /// result has a label twice, or one that neither an array nor `new` has.
    pub fn blockwise<F>(
        result: &str,
        dtype: DType,
        arrays: &[(&Self, &str)],
        new: &[(char, usize)],
        function: F,
    ) -> Result<Self>
    where
        F: Fn(&[Tile]) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        let operation = "blockwise";
        let mut known: HashMap<char, AxisGrid> =
            new.iter().map(|(label, n)| (*label, AxisGrid::regular(*n, *n))).collect();
        for (array, labels) in arrays {
            if labels.chars().count() != array.rank() {
                let expected = format!("a label for each of {} axes", array.rank());
                return Err(wrong(operation, expected, format!("{labels:?}")));
            }
            for (label, grid) in labels.chars().zip(array.chunks().axes()) {
                match known.get(&label) {
                    Some(other) if other.len() == grid.len() || grid.len() == 1 => {}
                    Some(other) if other.len() != 1 => {
                        let expected = format!("length {} for label {label:?}", other.len());
                        return Err(wrong(operation, expected, grid.len()));
                    }
                    _ => {
                        known.insert(label, grid.clone());
                    }
                }
            }
        }
        let out: Vec<char> = result.chars().collect();
        let mut axes = Vec::with_capacity(out.len());
        for (i, label) in out.iter().enumerate() {
            match known.get(label) {
                Some(grid) if !out[..i].contains(label) => axes.push(grid.clone()),
                _ => {
                    let expected = "labels of the arrays or of `new`, each once";
                    return Err(wrong(operation, expected, format!("{result:?}")));
                }
            }
        }
        // For each axis of each array: its length, and its place in the result.
        let axes_of = |(array, labels): &(&Self, &str)| -> Vec<(usize, Option<usize>)> {
            let place = |label: char| out.iter().position(|o| *o == label);
            array.shape().as_slice().iter().copied().zip(labels.chars().map(place)).collect()
        };
        let places: Vec<Vec<(usize, Option<usize>)>> = arrays.iter().map(axes_of).collect();
        let grid = ChunkGrid::new(axes);
        let shape = grid.shape();
        let op = OfChunks {
            name: operation,
            reads: move |region: &Region| -> Reads {
                let span = |&(len, place): &(usize, Option<usize>)| match place {
                    Some(p) if len == shape[p] => region.axes[p],
                    _ => Span::new(0, 1, len),
                };
                let part = |axes: &Vec<_>| Region::new(axes.iter().map(span).collect());
                places.iter().map(part).enumerate().collect()
            },
            make: move |_: &Region, tiles: &[Tile]| function(tiles),
        };
        let inputs: Vec<&Self> = arrays.iter().map(|(a, _)| *a).collect();
        Ok(Self::regions(op, &inputs, dtype, grid))
    }
}
