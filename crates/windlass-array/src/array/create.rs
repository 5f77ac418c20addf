//! Arrays of nothing, of memory, of functions, and of random numbers.

use std::sync::Arc;

use ndarray::{Array as NdArray, Dimension};

use super::Array;
use crate::{
    dtype::DType,
    element::Element,
    error::{ArrayError, Result},
    expr::{BoxError, Op, generate::Generator},
    grid::ChunkGrid,
    random::{Distribution, Random},
    scalar::Scalar,
    shape::{ArrayShape, ChunkIndex},
    tile::Tile,
};

fn argument<T>(
    operation: &'static str,
    argument: &'static str,
    expected: &str,
    got: impl ToString,
) -> Result<T> {
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(ArrayError::Argument { operation, argument, expected, got })
}

impl Array {
    fn generated(shape: ArrayShape, dtype: DType, generator: Generator) -> Self {
        let grid = ChunkGrid::auto(&shape, dtype.bytes());
        Self::of(Op::Generate(generator), Vec::new(), dtype, grid)
    }

    /// Zeros.
    pub fn zeros(shape: impl Into<ArrayShape>, dtype: DType) -> Self {
        let zero = crate::element::Buf::zeros(dtype, 1);
        Self::generated(shape.into(), dtype, Generator::Fill(zero))
    }

    /// Ones.
    pub fn ones(shape: impl Into<ArrayShape>, dtype: DType) -> Self {
        let one = crate::kernel::cast::filled(1_u8, dtype, 1);
        Self::generated(shape.into(), dtype, Generator::Fill(one))
    }

    /// One value everywhere, of the scalar's own type: `bool`, `i64`, `f64` or `c128`.
    ///
    /// # Errors
    /// For an integer beyond 64 bits.
    pub fn full(shape: impl Into<ArrayShape>, value: impl Into<Scalar>) -> Result<Self> {
        let value = value.into();
        Self::full_of(shape, value, value.default_type())
    }

    /// One value everywhere, as that type.
    ///
    /// # Errors
    /// For an integer that the type cannot hold.
    pub fn full_of(
        shape: impl Into<ArrayShape>,
        value: impl Into<Scalar>,
        dtype: DType,
    ) -> Result<Self> {
        let one = value.into().element(dtype)?;
        Ok(Self::generated(shape.into(), dtype, Generator::Fill(one)))
    }

    /// `start`, `start + step`, and so on up to, and without, `stop`: `i64` if all three are
    /// integers, else `f64`.
    ///
    /// # Errors
    /// If the step is 0 or not finite, or a bound is not a real number that fits.
    pub fn arange(
        start: impl Into<Scalar>,
        stop: impl Into<Scalar>,
        step: impl Into<Scalar>,
    ) -> Result<Self> {
        let (start, stop, step) = (start.into(), stop.into(), step.into());
        if let (Scalar::Int(a), Scalar::Int(b), Scalar::Int(s)) = (start, stop, step) {
            let fits = |v: i128| i64::try_from(v).ok();
            let (Some(first), Some(_), Some(by)) = (fits(a), fits(b), fits(s)) else {
                return argument(
                    "arange",
                    "each argument",
                    "an integer of 64 bits",
                    [a, b, s].iter().max().unwrap_or(&0),
                );
            };
            if by == 0 {
                return argument("arange", "step", "other than 0", 0);
            }
            let n =
                ((b - a).div_euclid(s) + i128::from((b - a).rem_euclid(s) != 0 && s > 0)).max(0);
            let n = if s < 0 { ((a - b) + (-s) - 1).div_euclid(-s).max(0) } else { n };
            let generator = Generator::Integers { start: first, step: by };
            return Ok(Self::generated([n as usize].into(), DType::I64, generator));
        }
        let float = |s: Scalar| match s {
            Scalar::Int(v) => Some(v as f64),
            Scalar::Float(v) if v.is_finite() => Some(v),
            _ => None,
        };
        let (Some(a), Some(b), Some(s)) = (float(start), float(stop), float(step)) else {
            return argument(
                "arange",
                "each argument",
                "a finite real number",
                format!("{start:?}, {stop:?}, {step:?}"),
            );
        };
        if s == 0.0 {
            return argument("arange", "step", "other than 0", s);
        }
        let n = ((b - a) / s).ceil().max(0.0) as usize;
        // The step as it is between the first two elements.
        let generator = Generator::Floats { start: a, step: (a + s) - a, end: None };
        Ok(Self::generated([n].into(), DType::F64, generator))
    }

    /// `n` numbers from `start` to `stop`, both among them, evenly spaced, as `f64`.
    pub fn linspace(start: f64, stop: f64, n: usize) -> Self {
        let parts = n.saturating_sub(1).max(1);
        let step = (stop - start) / parts as f64;
        let end = (n > 1).then(|| (n - 1, stop));
        Self::generated([n].into(), DType::F64, Generator::Floats { start, step, end })
    }

    /// Ones on a diagonal, zeros elsewhere: the column is the row plus `diagonal`.
    pub fn eye(rows: usize, columns: usize, diagonal: i64, dtype: DType) -> Self {
        let generator = Generator::Eye { columns: columns.max(1), diagonal };
        Self::generated([rows, columns].into(), dtype, generator)
    }

    /// An array's elements, without a copy.
    pub fn from_array<T: Element, D: Dimension>(array: NdArray<T, D>) -> Self {
        Self::from_tile(Tile::from_array(array.into_dyn()))
    }

    /// A tile's elements, without a copy.
    pub fn from_tile(tile: Tile) -> Self {
        let grid = ChunkGrid::auto(tile.shape(), tile.dtype().bytes());
        let dtype = tile.dtype();
        Self::of(Op::Tile(tile), Vec::new(), dtype, grid)
    }

    /// The elements of a slice, copied.
    pub fn from_slice<T: Element>(values: &[T]) -> Self {
        Self::from_array(ndarray::Array1::from(values.to_vec()))
    }

    /// One element.
    ///
    /// # Errors
    /// As [`Array::full`].
    pub fn scalar(value: impl Into<Scalar>) -> Result<Self> {
        Self::full(ArrayShape::default(), value)
    }

    /// An array whose chunks a function makes: of that type, and of the grid's shape for the
    /// chunk that it is asked for. It is called when a chunk is needed, by several threads,
    /// and may be called again for the same chunk.
    pub fn from_function<F>(grid: ChunkGrid, dtype: DType, chunk: F) -> Self
    where
        F: Fn(&ChunkIndex) -> Result<Tile, BoxError> + Send + Sync + 'static,
    {
        Self::of(Op::Chunks(Arc::new(chunk)), Vec::new(), dtype, grid)
    }

    /// Random `f64`, evenly spread over `low..high`. The same seed gives the same numbers,
    /// whatever the chunks.
    ///
    /// # Errors
    /// If a bound is not finite.
    pub fn random_uniform(
        shape: impl Into<ArrayShape>,
        (low, high): (f64, f64),
        seed: u64,
    ) -> Result<Self> {
        if !(high - low).is_finite() {
            return argument("random_uniform", "range", "finite", format!("{low}..{high}"));
        }
        let kind = Distribution::Uniform { low, high };
        Ok(Self::random(shape.into(), DType::F64, Random { seed, kind }))
    }

    /// Random `f64` of a normal distribution. The same seed gives the same numbers, whatever
    /// the chunks.
    ///
    /// # Errors
    /// If the deviation is negative or not finite.
    pub fn random_normal(
        shape: impl Into<ArrayShape>,
        (mean, deviation): (f64, f64),
        seed: u64,
    ) -> Result<Self> {
        if !deviation.is_finite() || deviation < 0.0 {
            return argument("random_normal", "deviation", "finite and not negative", deviation);
        }
        let kind = Distribution::Normal { mean, deviation };
        Ok(Self::random(shape.into(), DType::F64, Random { seed, kind }))
    }

    /// Random `i64`, evenly spread over `low..high`. The same seed gives the same numbers,
    /// whatever the chunks.
    ///
    /// # Errors
    /// If the range is empty.
    pub fn random_integers(
        shape: impl Into<ArrayShape>,
        (low, high): (i64, i64),
        seed: u64,
    ) -> Result<Self> {
        if low >= high {
            return argument("random_integers", "range", "not empty", format!("{low}..{high}"));
        }
        let kind = Distribution::Integers { low, count: high.wrapping_sub(low) as u64 };
        Ok(Self::random(shape.into(), DType::I64, Random { seed, kind }))
    }

    pub(super) fn random(shape: ArrayShape, dtype: DType, random: Random) -> Self {
        Self::generated(shape, dtype, Generator::Random(random))
    }
}
