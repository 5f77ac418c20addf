//! Fourier transforms by NumPy's names. Floats of 32 bits and their complex numbers keep their
//! size; integers and bools are taken as `f64`. Lines lie whole in a task, which reads them from
//! whatever chunks they lie in.

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    fourier::{Kind, Transform, transformed},
    linear::field::field_type,
};

/// By what transforms of `n` points are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FftNorm {
    /// The inverse by `1 / n`.
    #[default]
    Backward,
    /// Both by the root of `1 / n`.
    Ortho,
    /// The forward one by `1 / n`.
    Forward,
}

impl FftNorm {
    fn scale(self, points: usize, inverse: bool) -> f64 {
        let n = points as f64;
        match (self, inverse) {
            (Self::Backward, false) | (Self::Forward, true) => 1.0,
            (Self::Ortho, _) => 1.0 / n.sqrt(),
            (Self::Backward, true) | (Self::Forward, false) => 1.0 / n,
        }
    }

    /// The other direction's.
    fn swapped(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Ortho => Self::Ortho,
            Self::Forward => Self::Backward,
        }
    }
}

/// The points of each transform, and its axis.
type Lines = Vec<(usize, usize)>;

impl Array {
    fn transform(
        &self,
        name: &'static str,
        (kind, points, axis): (Kind, usize, usize),
        norm: FftNorm,
    ) -> Result<Self> {
        if points == 0 {
            return Err(ArrayError::Argument {
                operation: name,
                argument: "n",
                expected: "at least 1 point".into(),
                got: format!("0, for axis {axis} of shape {}", self.shape()),
            });
        }
        let own = field_type(self.dtype());
        let dtype = if kind == Kind::Real { own } else { own.complex() };
        if kind == Kind::Real && own.is_complex() {
            return Err(ArrayError::Type {
                operation: name,
                dtype: own.to_string(),
                hint: "it is of real numbers: take `fft`, or the real part",
            });
        }
        let inverse = matches!(kind, Kind::Inverse | Kind::RealInverse);
        let of = Transform { kind, points, scale: norm.scale(points, inverse) };
        if self.size() == 0 {
            let mut shape = self.shape().as_slice().to_vec();
            shape[axis] = if kind == Kind::Real { points / 2 + 1 } else { points };
            let result = if kind == Kind::RealInverse { dtype.real() } else { dtype.complex() };
            // Lines of no elements are lines of zeros.
            return Ok(Self::zeros(shape, result));
        }
        Ok(transformed(name, &self.astype(dtype), axis, of))
    }

    fn line(
        &self,
        name: &'static str,
        kind: Kind,
        (n, axis): (Option<usize>, isize),
        norm: FftNorm,
    ) -> Result<Self> {
        let axis = self.shape().axis(axis, name)?;
        let len = self.shape()[axis];
        let own = if kind == Kind::RealInverse { len.saturating_sub(1) * 2 } else { len };
        self.transform(name, (kind, n.unwrap_or(own), axis), norm)
    }

    /// The discrete Fourier transform along an axis: element `k` is the sum of `x[i]` times
    /// `exp(-2 pi i k / n)` to the power of the imaginary unit. With `n`, the axis is cut to it,
    /// or zeros are put behind it. NaN and infinities spread over their lines.
    ///
    /// ```
    /// use windlass_array::{Array, FftNorm};
    ///
    /// let x = Array::from_slice(&[1.0, 0.0, 0.0, 0.0]);
    /// let y = x.fft(None, -1, FftNorm::Backward)?;
    /// assert_eq!(y.real()?.compute::<f64>()?.as_slice(), Some(&[1.0; 4][..]));
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// If the axis is out of range, or there is no point.
    pub fn fft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        self.line("fft", Kind::Forward, (n, axis), norm)
    }

    /// The inverse of [`Array::fft`].
    ///
    /// # Errors
    /// As there.
    pub fn ifft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        self.line("ifft", Kind::Inverse, (n, axis), norm)
    }

    /// The first `n / 2 + 1` elements of [`Array::fft`] of real numbers: the others are the
    /// conjugates of these.
    ///
    /// # Errors
    /// As there, and for complex numbers.
    pub fn rfft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        self.line("rfft", Kind::Real, (n, axis), norm)
    }

    /// The inverse of [`Array::rfft`]: `n` real numbers, by itself twice the elements less one.
    ///
    /// # Errors
    /// As [`Array::fft`].
    pub fn irfft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        self.line("irfft", Kind::RealInverse, (n, axis), norm)
    }

    /// The transform, which is real, of what equals its conjugate read from behind, given its
    /// first half: `n` real numbers, by itself twice the elements less one.
    ///
    /// # Errors
    /// As [`Array::fft`].
    pub fn hfft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        let turned = if self.dtype().is_complex() { self.conj()? } else { self.clone() };
        turned.line("hfft", Kind::RealInverse, (n, axis), norm.swapped())
    }

    /// The inverse of [`Array::hfft`].
    ///
    /// # Errors
    /// As [`Array::rfft`].
    pub fn ihfft(&self, n: Option<usize>, axis: isize, norm: FftNorm) -> Result<Self> {
        self.line("ihfft", Kind::Real, (n, axis), norm.swapped())?.conj()
    }

    /// The axes of a transform of several, and their points; the axes by themselves are the last
    /// ones.
    fn lines(
        &self,
        name: &'static str,
        lens: Option<&[usize]>,
        axes: Option<&[isize]>,
    ) -> Result<Lines> {
        let count = lens.map_or(self.rank(), <[usize]>::len);
        let last: Vec<isize> = (1..=count as isize).rev().map(|i| -i).collect();
        let axes = axes.unwrap_or(&last);
        self.shape().axes(axes, name)?;
        let places: Vec<usize> =
            axes.iter().map(|&a| self.shape().axis(a, name)).collect::<Result<_>>()?;
        match lens {
            Some(lens) if lens.len() != places.len() => Err(ArrayError::Argument {
                operation: name,
                argument: "lens",
                expected: format!("one for each of the axes {axes:?}"),
                got: format!("{lens:?}"),
            }),
            Some(lens) => Ok(lens.iter().copied().zip(places).collect()),
            None => Ok(places.into_iter().map(|a| (self.shape()[a], a)).collect()),
        }
    }

    fn along(
        &self,
        name: &'static str,
        kind: Kind,
        lines: &[(usize, usize)],
        norm: FftNorm,
    ) -> Result<Self> {
        lines.iter().rev().try_fold(self.clone(), |x, &(points, axis)| {
            x.transform(name, (kind, points, axis), norm)
        })
    }

    /// As it is, but complex, where no axis is transformed.
    fn as_complex(&self) -> Self {
        self.astype(field_type(self.dtype()).complex())
    }

    /// [`Array::fft`] along several axes, by itself all; `lens` are their points.
    ///
    /// # Errors
    /// As there, and if axes are named twice or there are not as many lengths.
    pub fn fftn(
        &self,
        lens: Option<&[usize]>,
        axes: Option<&[isize]>,
        norm: FftNorm,
    ) -> Result<Self> {
        self.as_complex().along("fftn", Kind::Forward, &self.lines("fftn", lens, axes)?, norm)
    }

    /// The inverse of [`Array::fftn`].
    ///
    /// # Errors
    /// As there.
    pub fn ifftn(
        &self,
        lens: Option<&[usize]>,
        axes: Option<&[isize]>,
        norm: FftNorm,
    ) -> Result<Self> {
        self.as_complex().along("ifftn", Kind::Inverse, &self.lines("ifftn", lens, axes)?, norm)
    }

    /// [`Array::fftn`] along the last two axes.
    ///
    /// # Errors
    /// As there.
    pub fn fft2(&self, lens: Option<&[usize]>, norm: FftNorm) -> Result<Self> {
        self.fftn(lens, Some(&[-2, -1]), norm)
    }

    /// The inverse of [`Array::fft2`].
    ///
    /// # Errors
    /// As there.
    pub fn ifft2(&self, lens: Option<&[usize]>, norm: FftNorm) -> Result<Self> {
        self.ifftn(lens, Some(&[-2, -1]), norm)
    }

    /// [`Array::rfft`] along the last of some axes, then [`Array::fft`] along the others.
    ///
    /// # Errors
    /// As there, and for no axis.
    pub fn rfftn(
        &self,
        lens: Option<&[usize]>,
        axes: Option<&[isize]>,
        norm: FftNorm,
    ) -> Result<Self> {
        let lines = self.lines("rfftn", lens, axes)?;
        let (&(points, axis), others) = lines.split_last().ok_or_else(|| no_axis("rfftn"))?;
        let half = self.transform("rfftn", (Kind::Real, points, axis), norm)?;
        half.along("rfftn", Kind::Forward, others, norm)
    }

    /// The inverse of [`Array::rfftn`]: the last axis by itself has twice its elements less one.
    ///
    /// # Errors
    /// As there.
    pub fn irfftn(
        &self,
        lens: Option<&[usize]>,
        axes: Option<&[isize]>,
        norm: FftNorm,
    ) -> Result<Self> {
        let lines = self.lines("irfftn", lens, axes)?;
        let (&(points, axis), others) = lines.split_last().ok_or_else(|| no_axis("irfftn"))?;
        let points = if lens.is_some() { points } else { points.saturating_sub(1) * 2 };
        let half = self.along("irfftn", Kind::Inverse, others, norm)?;
        half.transform("irfftn", (Kind::RealInverse, points, axis), norm)
    }

    /// The frequencies of the elements of [`Array::fft`] of `n` points that are `spacing` apart,
    /// as `f64`: from 0 on, then the negative ones.
    ///
    /// # Errors
    /// For no point.
    pub fn fftfreq(n: usize, spacing: f64) -> Result<Self> {
        if n == 0 {
            return Err(no_points("fftfreq"));
        }
        let (half, n) = (n.div_ceil(2) as i64, n as i64);
        let both = [Self::arange(0, half, 1)?, Self::arange(half - n, 0, 1)?];
        let steps = Self::concatenate(&[&both[0], &both[1]], 0)?;
        steps.astype(DType::F64).multiply(1.0 / (n as f64 * spacing))
    }

    /// The frequencies of the elements of [`Array::rfft`]: as [`Array::fftfreq`], none negative.
    ///
    /// # Errors
    /// As there.
    pub fn rfftfreq(n: usize, spacing: f64) -> Result<Self> {
        if n == 0 {
            return Err(no_points("rfftfreq"));
        }
        let steps = Self::arange(0, n as i64 / 2 + 1, 1)?;
        steps.astype(DType::F64).multiply(1.0 / (n as f64 * spacing))
    }

    /// The element of frequency 0 in the middle of some axes, by itself of all.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn fftshift(&self, axes: Option<&[isize]>) -> Result<Self> {
        self.shifted("fftshift", axes, 1)
    }

    /// The inverse of [`Array::fftshift`].
    ///
    /// # Errors
    /// As there.
    pub fn ifftshift(&self, axes: Option<&[isize]>) -> Result<Self> {
        self.shifted("ifftshift", axes, -1)
    }

    fn shifted(&self, name: &'static str, axes: Option<&[isize]>, sign: i64) -> Result<Self> {
        let lines = self.lines(name, None, axes)?;
        let by = |n: usize| sign * (n / 2) as i64;
        lines.iter().try_fold(self.clone(), |x, &(n, axis)| x.roll(by(n), axis as isize))
    }
}

fn no_axis(operation: &'static str) -> ArrayError {
    let (expected, got) = ("at least one".into(), "none".into());
    ArrayError::Argument { operation, argument: "axes", expected, got }
}

fn no_points(operation: &'static str) -> ArrayError {
    let (expected, got) = ("at least 1".into(), "0".into());
    ArrayError::Argument { operation, argument: "n", expected, got }
}
