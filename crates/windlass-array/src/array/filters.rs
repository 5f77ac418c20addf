//! Filters of images and other grids: SciPy's `ndimage` functions of these names, by regions
//! with what stands around them. Filters of one axis after another go through a region once
//! for all axes. They compute in 64 bits and give the array's type.

use std::sync::Arc;

use super::{Array, around::Around, overlap::Boundary, ranks::ranked};
use crate::{
    dtype::DType,
    element::{C64, dispatch},
    error::{ArrayError, Result},
    expr::regions::{OfChunks, OfRegions},
    region::Region,
    tile::Tile,
};

/// Weights along an axis, and what the sums are divided by.
#[derive(Debug, Clone)]
struct Taps {
    axis: usize,
    weights: Arc<[f64]>,
    divisor: f64,
    /// How many elements stand before the one in the middle.
    before: usize,
}

impl Taps {
    fn new(axis: usize, weights: Vec<f64>) -> Self {
        Self { axis, before: weights.len() / 2, weights: weights.into(), divisor: 1.0 }
    }

    fn depth(&self) -> (usize, usize) {
        (self.before, self.weights.len() - 1 - self.before)
    }
}

/// Sums that are held in registers while the weights go by: four vectors of 256 bits.
const LANES: usize = 16;

crate::kernel::vectorised! {
    /// `out[i]` is the sum of `weights[j] * from[i + j * step]`.
    fn correlate_row<>(from: &[f64], step: usize, weights: &[f64], out: &mut [f64]) {
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        let done = whole.len() * LANES;
        for (i, out) in whole.iter_mut().enumerate() {
            let mut sums = [0.0; LANES];
            for (j, w) in weights.iter().enumerate() {
                let row = &from[i * LANES + j * step..][..LANES];
                for (s, v) in sums.iter_mut().zip(row) {
                    *s += w * v;
                }
            }
            *out = sums;
        }
        for (i, out) in rest.iter_mut().enumerate() {
            let from = &from[done + i..];
            *out = weights.iter().enumerate().map(|(j, w)| w * from[j * step]).sum();
        }
    }
}

/// The sums along one axis of dense elements: shorter by the number of weights less one.
fn correlate_axis(from: &[f64], lens: &mut [usize], taps: &Taps) -> Vec<f64> {
    let inner: usize = lens[taps.axis + 1..].iter().product();
    let outer: usize = lens[..taps.axis].iter().product();
    let n = lens[taps.axis];
    let kept = n + 1 - taps.weights.len();
    lens[taps.axis] = kept;
    let mut out = vec![0.0; outer * kept * inner];
    for o in 0..outer {
        let from = &from[o * n * inner..(o + 1) * n * inner];
        let out = &mut out[o * kept * inner..(o + 1) * kept * inner];
        // All kept elements of all lines behind each other: neighbours are `inner` apart.
        correlate_row(from, inner, &taps.weights, out);
    }
    if taps.divisor != 1.0 {
        out.iter_mut().for_each(|v| *v /= taps.divisor);
    }
    out
}

impl Array {
    /// An array of any region of others.
    pub(super) fn regions(
        op: impl crate::expr::regions::Regions + 'static,
        inputs: &[&Self],
        dtype: DType,
        grid: crate::grid::ChunkGrid,
    ) -> Self {
        let inputs = inputs.iter().map(|a| a.node()).collect();
        let op = crate::expr::regions::RegionsOp(Arc::new(op));
        Self::of(crate::expr::Op::Regions(op), inputs, dtype, grid)
    }

    /// The array filtered along some axes.
    fn separable(
        &self,
        operation: &'static str,
        taps: &[Taps],
        boundary: Boundary,
    ) -> Result<Self> {
        if self.size() == 0 || taps.is_empty() {
            return Ok(self.clone());
        }
        if boundary == Boundary::None {
            return Err(ArrayError::Argument {
                operation,
                argument: "boundary",
                expected: "one with elements beyond the ends".into(),
                got: "none".into(),
            });
        }
        if self.dtype().is_complex() {
            let real = self.real()?.separable(operation, taps, boundary)?;
            let imaginary = self.imag()?.separable(operation, taps, boundary)?;
            return real.add(&imaginary.multiply(C64::new(0.0, 1.0))?);
        }
        // Integers are cut behind each axis, and what stands beyond the ends is not filtered.
        let constant = matches!(boundary, Boundary::Constant(_));
        if taps.len() > 1 && (constant || !self.dtype().is_float()) {
            return taps.iter().try_fold(self.clone(), |x, taps| {
                x.separable(operation, std::slice::from_ref(taps), boundary)
            });
        }
        let mut depth = vec![(0, 0); self.rank()];
        taps.iter().for_each(|t| depth[t.axis] = t.depth());
        let boundaries = vec![boundary; self.rank()];
        let around = Around::new(self.shape(), depth, boundaries, (self.dtype(), DType::F64))?;
        let (taps, dtype, own) = (taps.to_vec(), self.dtype(), around.clone());
        let op = OfRegions(OfChunks {
            name: operation,
            reads: move |region: &Region| own.reads(region).into_iter().map(|r| (0, r)).collect(),
            make: move |region: &Region, tiles: &[Tile]| {
                let tile = around.tile(region, tiles).to_dense();
                let (mut lens, begin) = (tile.shape().as_slice().to_vec(), tile.offset());
                let mut values = Vec::new();
                for (i, taps) in taps.iter().enumerate() {
                    let from = if i == 0 { &tile.buf().typed::<f64>()[begin..] } else { &values };
                    values = correlate_axis(from, &mut lens, taps);
                    if dtype == DType::F32 {
                        values.iter_mut().for_each(|v| *v = f64::from(*v as f32));
                    }
                }
                let buf = crate::reduce::converted(crate::element::Buf::F64(values), dtype);
                Ok(Tile::dense(buf, crate::ArrayShape::new(region.lens())))
            },
        });
        Ok(Self::regions(op, &[&self.astype(DType::F64)], dtype, self.chunks().clone()))
    }

    /// One number for each axis.
    fn per_axis<T: Copy>(&self, operation: &'static str, of: &[T]) -> Result<Vec<T>> {
        match of {
            [one] => Ok(vec![*one; self.rank()]),
            several if several.len() == self.rank() => Ok(several.to_vec()),
            other => Err(ArrayError::Shape {
                operation,
                expected: format!("one number, or one for each of {} axes", self.rank()),
                got: other.len().to_string(),
            }),
        }
    }

    /// The array smoothed by a Gaussian of that standard deviation along each axis (or one for
    /// all), cut at four deviations: SciPy's `gaussian_filter`. An axis of deviation 0 stays.
    ///
    /// ```
    /// use windlass_array::{Array, Boundary, DType};
    ///
    /// let x = Array::eye(7, 7, 0, DType::F64);
    /// let y = x.gaussian_filter(&[1.0], Boundary::Reflect)?;
    /// assert!((y.sum(..)?.compute::<f64>()?.sum() - 7.0).abs() < 1e-12);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// For deviations that are negative or not finite, or not one for each axis, and without
    /// a boundary.
    pub fn gaussian_filter(&self, deviations: &[f64], boundary: Boundary) -> Result<Self> {
        let deviations = self.per_axis("gaussian_filter", deviations)?;
        let mut taps = Vec::new();
        for (axis, &deviation) in deviations.iter().enumerate() {
            if !deviation.is_finite() || deviation < 0.0 {
                return Err(ArrayError::Argument {
                    operation: "gaussian_filter",
                    argument: "each deviation",
                    expected: "finite and not negative".into(),
                    got: deviation.to_string(),
                });
            }
            if deviation > 1e-15 {
                let radius = (4.0 * deviation + 0.5) as i64;
                let bell =
                    |x: i64| (-0.5 / (deviation * deviation) * (x as f64) * (x as f64)).exp();
                let mut weights: Vec<f64> = (-radius..=radius).map(bell).collect();
                let sum: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= sum);
                taps.push(Taps::new(axis, weights));
            }
        }
        self.separable("gaussian_filter", &taps, boundary)
    }

    /// The mean of a box of elements around each, of that size along each axis (or one for
    /// all): SciPy's `uniform_filter`.
    ///
    /// # Errors
    /// For a size of 0, not one for each axis, and without a boundary.
    pub fn uniform_filter(&self, sizes: &[usize], boundary: Boundary) -> Result<Self> {
        let sizes = self.sizes("uniform_filter", sizes)?;
        let one = |(axis, &size): (usize, &usize)| {
            (size > 1).then(|| Taps { divisor: size as f64, ..Taps::new(axis, vec![1.0; size]) })
        };
        let taps: Vec<Taps> = sizes.iter().enumerate().filter_map(one).collect();
        self.separable("uniform_filter", &taps, boundary)
    }

    fn sizes(&self, operation: &'static str, sizes: &[usize]) -> Result<Vec<usize>> {
        if sizes.contains(&0) {
            return Err(ArrayError::Argument {
                operation,
                argument: "each size",
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        self.per_axis(operation, sizes)
    }

    /// The weighted sum of the elements around each along one axis: SciPy's `correlate1d`.
    /// The middle weight is for the element itself; of an even number the one behind the
    /// middle.
    ///
    /// # Errors
    /// If the axis is out of range, there is no weight, or no boundary.
    pub fn correlate1d(&self, weights: &[f64], axis: isize, boundary: Boundary) -> Result<Self> {
        let axis = self.shape().axis(axis, "correlate1d")?;
        if weights.is_empty() {
            return Err(ArrayError::Argument {
                operation: "correlate1d",
                argument: "weights",
                expected: "at least one".into(),
                got: "none".into(),
            });
        }
        self.separable("correlate1d", &[Taps::new(axis, weights.to_vec())], boundary)
    }

    /// The slope along an axis, smoothed along the others: SciPy's `sobel`. Unsigned types
    /// have no negative slopes: convert them first.
    ///
    /// # Errors
    /// If the axis is out of range, and without a boundary.
    pub fn sobel(&self, axis: isize, boundary: Boundary) -> Result<Self> {
        self.slopes("sobel", axis, [1.0, 2.0, 1.0], boundary)
    }

    /// As [`Array::sobel`], smoothed evenly: SciPy's `prewitt`.
    ///
    /// # Errors
    /// As there.
    pub fn prewitt(&self, axis: isize, boundary: Boundary) -> Result<Self> {
        self.slopes("prewitt", axis, [1.0, 1.0, 1.0], boundary)
    }

    fn slopes(
        &self,
        operation: &'static str,
        axis: isize,
        smooth: [f64; 3],
        boundary: Boundary,
    ) -> Result<Self> {
        let axis = self.shape().axis(axis, operation)?;
        let mut taps = vec![Taps::new(axis, vec![-1.0, 0.0, 1.0])];
        let others = (0..self.rank()).filter(|a| *a != axis);
        taps.extend(others.map(|a| Taps::new(a, smooth.to_vec())));
        self.separable(operation, &taps, boundary)
    }

    /// The sum of the second differences along all axes: SciPy's `laplace`.
    ///
    /// # Errors
    /// For rank 0, and without a boundary.
    pub fn laplace(&self, boundary: Boundary) -> Result<Self> {
        if self.rank() == 0 {
            return Err(ArrayError::Axis { operation: "laplace", axis: 0, rank: 0 });
        }
        let second = |axis: usize| {
            self.separable("laplace", &[Taps::new(axis, vec![1.0, -2.0, 1.0])], boundary)
        };
        (1..self.rank()).try_fold(second(0)?, |sum, axis| sum.add(&second(axis)?))
    }

    /// The element in the middle of the sorted elements of a box around each, of that size
    /// along each axis (or one for all): SciPy's `median_filter`. NaN counts as greater than
    /// any number.
    ///
    /// # Errors
    /// For a size of 0, not one for each axis, without a boundary, and for complex numbers.
    pub fn median_filter(&self, sizes: &[usize], boundary: Boundary) -> Result<Self> {
        self.ranked("median_filter", sizes, boundary, |n| n / 2)
    }

    /// The least element of a box around each: SciPy's `minimum_filter`.
    ///
    /// # Errors
    /// As [`Array::median_filter`].
    pub fn minimum_filter(&self, sizes: &[usize], boundary: Boundary) -> Result<Self> {
        self.ranked("minimum_filter", sizes, boundary, |_| 0)
    }

    /// The greatest element of a box around each: SciPy's `maximum_filter`.
    ///
    /// # Errors
    /// As [`Array::median_filter`].
    pub fn maximum_filter(&self, sizes: &[usize], boundary: Boundary) -> Result<Self> {
        self.ranked("maximum_filter", sizes, boundary, |n| n - 1)
    }

    fn ranked(
        &self,
        operation: &'static str,
        sizes: &[usize],
        boundary: Boundary,
        rank: impl Fn(usize) -> usize,
    ) -> Result<Self> {
        let sizes = self.sizes(operation, sizes)?;
        if self.dtype().is_complex() || boundary == Boundary::None {
            return Err(ArrayError::Type {
                operation,
                dtype: self.dtype().to_string(),
                hint: "it is defined for real numbers with a boundary",
            });
        }
        if self.size() == 0 {
            return Ok(self.clone());
        }
        let depth: Vec<(usize, usize)> = sizes.iter().map(|&n| (n / 2, n - 1 - n / 2)).collect();
        let boundaries = vec![boundary; self.rank()];
        let nth = rank(sizes.iter().product());
        let dtype = self.dtype();
        let around = Around::new(self.shape(), depth, boundaries, (dtype, dtype))?;
        let own = around.clone();
        let op = OfRegions(OfChunks {
            name: operation,
            reads: move |region: &Region| own.reads(region).into_iter().map(|r| (0, r)).collect(),
            make: move |region: &Region, tiles: &[Tile]| {
                let tile = around.tile(region, tiles);
                dispatch!(dtype, T => ranked::<T>(&tile, &region.lens(), &sizes, nth))
            },
        });
        Ok(Self::regions(op, &[self], dtype, self.chunks().clone()))
    }
}
