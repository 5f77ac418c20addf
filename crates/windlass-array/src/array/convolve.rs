//! Convolutions and correlations with small arrays, of any rank: by regions with what stands
//! around them, each of which reads the whole kernel.

use super::{Array, overlap::Boundary};
use crate::{
    dtype::{DType, Kind},
    element::{C64, Element},
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{OfChunks, OfRegions},
    },
    region::{Region, Span},
    shape::{each_index, strides},
    tile::Tile,
};

/// Which part of a convolution is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All places where both overlap.
    Full,
    /// As many as the array has, in the middle.
    Same,
    /// Those where the smaller lies in the larger.
    Valid,
}

/// Sums of products.
trait Products: Element {
    /// `self + a * b`, of integers wrapped.
    fn plus(self, a: Self, b: Self) -> Self;
}

impl Products for i64 {
    fn plus(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

impl Products for f64 {
    fn plus(self, a: Self, b: Self) -> Self {
        self + a * b
    }
}

impl Products for C64 {
    fn plus(self, a: Self, b: Self) -> Self {
        self + a * b
    }
}

/// For each window of `from` the sum of its products with the kernel.
fn correlate<T: Products>(from: &Tile, kernel: &Tile, lens: &[usize]) -> Result<Tile, BoxError> {
    let (from, kernel) = (from.to_dense(), kernel.to_dense());
    let values = &from.buf().typed::<T>()[from.offset()..];
    let steps = strides(from.shape().as_slice());
    let place =
        |at: &[usize]| -> usize { at.iter().zip(&steps).map(|(&i, s)| i * s.unsigned_abs()).sum() };
    let mut taps = Vec::with_capacity(kernel.shape().size());
    let weights = &kernel.buf().typed::<T>()[kernel.offset()..];
    each_index(kernel.shape().as_slice(), |at| taps.push((place(at), weights[taps.len()])));
    let columns = lens.last().copied().unwrap_or(1);
    let mut out = vec![T::default(); lens.iter().product()];
    let mut outer = lens.to_vec();
    if let Some(last) = outer.last_mut() {
        *last = 1;
    }
    let mut rows = out.chunks_exact_mut(columns);
    each_index(&outer, |at| {
        let base = place(at);
        let Some(row) = rows.next() else { return };
        for (offset, weight) in &taps {
            let from = &values[base + offset..][..columns];
            row.iter_mut().zip(from).for_each(|(o, v)| *o = o.plus(*v, *weight));
        }
    });
    Ok(Tile::new(out, lens.to_vec())?)
}

impl Array {
    /// All places where a kernel overlaps the array, turned around or not: the sums of
    /// products there, of the type that sums are kept in.
    fn overlapped(&self, kernel: &Self, turn: bool, operation: &'static str) -> Result<Self> {
        if kernel.rank() != self.rank() || self.rank() == 0 {
            return Err(ArrayError::Shape {
                operation,
                expected: format!("a kernel of the array's rank {}, at least 1", self.rank()),
                got: kernel.shape().to_string(),
            });
        }
        for (array, shape) in [(self, self.shape()), (kernel, kernel.shape())] {
            if let Some(axis) = shape.as_slice().iter().position(|n| *n == 0) {
                return Err(ArrayError::Empty { operation, axis, shape: array.shape().clone() });
            }
        }
        let depth: Vec<(usize, usize)> =
            kernel.shape().as_slice().iter().map(|n| (n - 1, n - 1)).collect();
        let zero = Boundary::Constant(false.into());
        let padded = self.bounded(&depth, &vec![zero; self.rank()])?;
        let kernel = match turn {
            true => kernel.flip(&(0..self.rank() as isize).collect::<Vec<_>>())?,
            false => kernel.clone(),
        };
        let ahead: Vec<(usize, usize)> = depth.iter().map(|d| (d.0, 0)).collect();
        let shape: Vec<usize> =
            self.shape().as_slice().iter().zip(&depth).map(|(n, d)| n + d.0).collect();
        padded.windowed(&kernel, ahead, operation, shape)
    }

    /// For each window of this array its sum of products with a kernel; the result has that
    /// shape.
    fn windowed(
        &self,
        kernel: &Self,
        ahead: Vec<(usize, usize)>,
        operation: &'static str,
        shape: Vec<usize>,
    ) -> Result<Self> {
        let dtype = self.dtype().promote(kernel.dtype());
        let wide = match dtype.kind() {
            Kind::Bool | Kind::Integer => DType::I64,
            Kind::Float => DType::F64,
            Kind::Complex => DType::C128,
        };
        let all = Region::all(kernel.shape().as_slice());
        let reads = around(ahead);
        let op = OfRegions(OfChunks {
            name: operation,
            reads: move |region: &Region| [reads(region), vec![(1, all.clone())]].concat(),
            make: move |region: &Region, tiles: &[Tile]| {
                let (from, kernel, lens) = (&tiles[0], &tiles[1], region.lens());
                match wide {
                    DType::I64 => correlate::<i64>(from, kernel, &lens),
                    DType::F64 => correlate::<f64>(from, kernel, &lens),
                    _ => correlate::<C64>(from, kernel, &lens),
                }
            },
        });
        let chunk = self.chunks().largest();
        let grid = crate::ChunkGrid::regular(&shape.into(), &chunk)?;
        let inputs = [&self.astype(wide), &kernel.astype(wide)];
        Ok(Self::regions(op, &inputs, wide, grid).astype(dtype))
    }

    /// A part of a full result: `n` is the length of the array and `m` that of the kernel
    /// along each axis; `start` is where the middle part begins.
    fn part_of_full(
        full: &Self,
        part: Part,
        lens: &[(usize, usize)],
        start: impl Fn(usize, usize) -> (usize, usize),
    ) -> Result<Self> {
        let index: Vec<super::Index> = lens
            .iter()
            .map(|&(n, m)| {
                let (begin, len) = match part {
                    Part::Full => (0, n + m - 1),
                    Part::Same => start(n, m),
                    Part::Valid => (n.min(m) - 1, n.max(m) - n.min(m) + 1),
                };
                (begin as i64..(begin + len) as i64).into()
            })
            .collect();
        full.index(&index)
    }

    /// The convolution of two arrays of rank 1: NumPy's `convolve`. The shorter one is held
    /// by every task.
    ///
    /// ```
    /// use windlass_array::{Array, Part};
    ///
    /// let x = Array::from_slice(&[1.0, 2.0, 3.0]);
    /// let y = x.convolve(&Array::from_slice(&[0.0, 1.0, 0.5]), Part::Full)?;
    /// assert_eq!(y.compute::<f64>()?.into_raw_vec_and_offset().0, [0.0, 1.0, 2.5, 4.0, 1.5]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For other ranks, and empty arrays.
    pub fn convolve(&self, other: &Self, part: Part) -> Result<Self> {
        one_axis("convolve", self, other)?;
        let (long, short) = if self.size() >= other.size() { (self, other) } else { (other, self) };
        let full = long.overlapped(short, true, "convolve")?;
        let lens = [(long.size(), short.size())];
        Self::part_of_full(&full, part, &lens, |n, m| ((m - 1) / 2, n))
    }

    /// The correlation of two arrays of rank 1: NumPy's `correlate`; of complex numbers with
    /// the conjugates of the other. The shorter one is held by every task.
    ///
    /// # Errors
    /// As [`Array::convolve`].
    pub fn correlate(&self, other: &Self, part: Part) -> Result<Self> {
        one_axis("correlate", self, other)?;
        let other = if other.dtype().is_complex() { other.conj()? } else { other.clone() };
        let turned = other.flip(&[0])?;
        let (n, m) = (self.size(), other.size());
        let (long, short) = if n >= m { (self, &turned) } else { (&turned, self) };
        let full = long.overlapped(short, true, "correlate")?;
        let small = n.min(m);
        let begin = if n >= m { small - 1 - small / 2 } else { small / 2 };
        Self::part_of_full(&full, part, &[(n, m)], |n, m| (begin, n.max(m)))
    }

    /// The convolution with a kernel of the same rank: SciPy's `signal.convolve` by the direct
    /// method. The kernel is held by every task; `Same` is of the array's shape.
    ///
    /// # Errors
    /// For another rank, empty arrays, and `Valid` where neither lies in the other along all
    /// axes.
    pub fn convolve_nd(&self, kernel: &Self, part: Part) -> Result<Self> {
        let full = self.overlapped(kernel, true, "convolve_nd")?;
        let lens: Vec<(usize, usize)> = self
            .shape()
            .as_slice()
            .iter()
            .copied()
            .zip(kernel.shape().as_slice().iter().copied())
            .collect();
        let within = lens.iter().all(|(n, m)| n >= m) || lens.iter().all(|(n, m)| n <= m);
        if part == Part::Valid && !within {
            return Err(ArrayError::Shape {
                operation: "convolve_nd",
                expected: format!("a kernel that lies within shape {}, or around it", self.shape()),
                got: kernel.shape().to_string(),
            });
        }
        Self::part_of_full(&full, part, &lens, |n, m| ((m - 1) / 2, n))
    }

    /// The weighted sums of the elements around each: SciPy's `ndimage.correlate`. The kernel
    /// is of the array's rank, its middle for the element itself.
    ///
    /// # Errors
    /// For another rank, an empty kernel, and without a boundary.
    pub fn correlate_nd(&self, kernel: &Self, boundary: Boundary) -> Result<Self> {
        let operation = "correlate_nd";
        if kernel.rank() != self.rank() || kernel.size() == 0 || boundary == Boundary::None {
            return Err(ArrayError::Shape {
                operation,
                expected: format!("a kernel of rank {} and a boundary", self.rank()),
                got: format!("a kernel of shape {} and {boundary:?}", kernel.shape()),
            });
        }
        if self.size() == 0 {
            return Ok(self.clone());
        }
        let lens = kernel.shape().as_slice();
        let depth: Vec<(usize, usize)> = lens.iter().map(|n| (n / 2, n - 1 - n / 2)).collect();
        let padded = self.bounded(&depth, &vec![boundary; self.rank()])?;
        let found = padded.windowed(kernel, depth, operation, self.shape().as_slice().to_vec())?;
        Ok(found.rechunk_to(self.chunks().clone())?.astype(self.dtype()))
    }
}

/// The region of a padded array that a region needs.
fn around(depth: Vec<(usize, usize)>) -> impl Fn(&Region) -> Vec<(usize, Region)> {
    move |region: &Region| {
        let wide = region.axes.iter().zip(&depth);
        let wide = wide.map(|(s, (a, b))| Span::new(s.start, 1, s.len + a + b)).collect();
        vec![(0, Region::new(wide))]
    }
}

fn one_axis(operation: &'static str, a: &Array, b: &Array) -> Result<()> {
    match a.rank() == 1 && b.rank() == 1 {
        true => Ok(()),
        false => Err(ArrayError::Shape {
            operation,
            expected: "two arrays of rank 1".into(),
            got: format!("shapes {} and {}", a.shape(), b.shape()),
        }),
    }
}
