//! Fourier transforms of lines: of complex numbers by the library `rustfft`, of real ones by
//! `realfft`. A task takes whole lines, and as many of them as other tasks take elements.
//!
//! J. W. Cooley and J. W. Tukey, *An Algorithm for the Machine Calculation of Complex Fourier
//! Series* (1965); lengths with large prime factors by L. I. Bluestein's and C. M. Rader's
//! algorithms.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftNum, FftPlanner, num_complex::Complex};

use crate::{
    Array, DType,
    element::{Buf, Element},
    execute::Assembly,
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    linear::tiling::lanes,
    region::Span,
    shape::{ArrayShape, ChunkIndex},
    tile::Tile,
};

/// What is done to each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of complex numbers, the exponent's sign negative.
    Forward,
    /// Of complex numbers, the exponent's sign positive.
    Inverse,
    /// Of real numbers: the half of the result that is not the other one's conjugate.
    Real,
    /// From such a half to real numbers.
    RealInverse,
}

/// A transform of lines that give `points` elements, or of which `points` are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transform {
    pub(crate) kind: Kind,
    pub(crate) points: usize,
    /// What each element of the result is multiplied by.
    pub(crate) scale: f64,
}

impl Transform {
    /// Elements of a line that are read: missing ones are 0, others left out.
    fn read(&self) -> usize {
        if self.kind == Kind::RealInverse { self.points / 2 + 1 } else { self.points }
    }

    /// Elements of a line of the result.
    fn given(&self) -> usize {
        if self.kind == Kind::Real { self.points / 2 + 1 } else { self.points }
    }
}

/// The floats of 32 or 64 bits.
trait Real: Element + FftNum {
    type Complex: Element;

    fn of(scale: f64) -> Self;

    fn complex(buf: &mut Buf) -> &mut [Complex<Self>];

    fn wrap_complex(values: Vec<Complex<Self>>) -> Buf;
}

macro_rules! reals {
    ($($t:ty),+) => {$(
        impl Real for $t {
            type Complex = Complex<$t>;

            fn of(scale: f64) -> Self {
                scale as Self
            }

            fn complex(buf: &mut Buf) -> &mut [Complex<Self>] {
                buf.typed_mut::<Complex<$t>>()
            }

            fn wrap_complex(values: Vec<Complex<Self>>) -> Buf {
                <Complex<$t> as Element>::wrap(values)
            }
        }
    )+};
}

reals!(f32, f64);

/// What transforms lines of one length.
enum Planned<T> {
    Complex(Arc<dyn Fft<T>>),
    Real(Arc<dyn RealToComplex<T>>),
    RealInverse(Arc<dyn ComplexToReal<T>>),
}

impl<T: Real> Planned<T> {
    fn new(of: Transform) -> Self {
        match of.kind {
            Kind::Forward => Self::Complex(FftPlanner::new().plan_fft_forward(of.points)),
            Kind::Inverse => Self::Complex(FftPlanner::new().plan_fft_inverse(of.points)),
            Kind::Real => Self::Real(RealFftPlanner::new().plan_fft_forward(of.points)),
            Kind::RealInverse => {
                Self::RealInverse(RealFftPlanner::new().plan_fft_inverse(of.points))
            }
        }
    }

    /// Bytes of what it takes for a line beside its elements.
    fn working(&self) -> usize {
        let elements = match self {
            Self::Complex(fft) => fft.get_inplace_scratch_len(),
            Self::Real(fft) => fft.get_scratch_len() + fft.len(),
            Self::RealInverse(fft) => fft.get_scratch_len() + fft.len(),
        };
        elements * 2 * size_of::<T>()
    }

    /// The lines of a buffer, one behind the other.
    fn run(&self, mut lines: Buf, of: Transform) -> Result<Buf, BoxError> {
        let scale = T::of(of.scale);
        match self {
            Self::Complex(fft) => {
                let values = T::complex(&mut lines);
                let mut scratch = vec![Complex::default(); fft.get_inplace_scratch_len()];
                fft.process_with_scratch(values, &mut scratch);
                scaled(values, scale);
                Ok(lines)
            }
            Self::Real(fft) => {
                let values = lines.typed_mut::<T>();
                let mut scratch = fft.make_scratch_vec();
                let mut found = vec![Complex::default(); values.len() / of.read() * of.given()];
                let to = found.chunks_exact_mut(of.given());
                for (line, to) in values.chunks_exact_mut(of.read()).zip(to) {
                    fft.process_with_scratch(line, to, &mut scratch)?;
                }
                scaled(&mut found, scale);
                Ok(T::wrap_complex(found))
            }
            Self::RealInverse(fft) => {
                let values = T::complex(&mut lines);
                let mut scratch = fft.make_scratch_vec();
                let mut found = crate::memory::zeros::<T>(values.len() / of.read() * of.given());
                let to = found.chunks_exact_mut(of.given());
                for (line, to) in values.chunks_exact_mut(of.read()).zip(to) {
                    // Of real numbers these are real: what else is there does not count.
                    line[0].im = T::zero();
                    if of.points.is_multiple_of(2) {
                        line[of.points / 2].im = T::zero();
                    }
                    fft.process_with_scratch(line, to, &mut scratch)?;
                }
                found.iter_mut().for_each(|v| *v = *v * scale);
                Ok(T::wrap(found))
            }
        }
    }
}

fn scaled<T: Real>(values: &mut [Complex<T>], scale: T) {
    if scale != T::one() {
        values.iter_mut().for_each(|v| *v = *v * scale);
    }
}

/// The lines along an axis, transformed. The array has elements, and is of the type that the
/// transform takes; there is at least one point.
pub(crate) fn transformed(name: &'static str, a: &Array, axis: usize, of: Transform) -> Array {
    match a.dtype().real() {
        DType::F32 => typed::<f32>(name, a, axis, of),
        _ => typed::<f64>(name, a, axis, of),
    }
}

fn typed<T: Real>(name: &'static str, a: &Array, axis: usize, of: Transform) -> Array {
    let planned = Planned::<T>::new(of);
    let result = match of.kind {
        Kind::RealInverse => T::DTYPE,
        _ => T::Complex::DTYPE,
    };
    let have = a.shape()[axis].min(of.read());
    let mut axes = lanes(a.chunks(), &[axis], T::Complex::DTYPE.bytes()).axes().to_vec();
    axes[axis] = AxisGrid::regular(of.given(), of.given());
    let grid = ChunkGrid::new(axes);
    let chunks = grid.clone();
    let reads = move |index: &ChunkIndex| {
        let region = chunks.region(index.as_slice());
        vec![(0, region.with(axis, Span::new(0, 1, have)))]
    };
    // The lines in a row, and what a transform of another length gives.
    let lines = grid.largest().as_slice().iter().product::<usize>() / of.given();
    let working = planned.working() + lines * of.read() * T::Complex::DTYPE.bytes();
    let make = move |given: Vec<Tile>, _: &ChunkIndex| -> Result<Tile, BoxError> {
        let tile = &given[0];
        let order: Vec<usize> =
            (0..tile.shape().rank()).filter(|&i| i != axis).chain([axis]).collect();
        let mut lens: Vec<usize> = order.iter().map(|&i| tile.shape()[i]).collect();
        let own = order.iter().map(|&i| tile.strides()[i]).collect();
        let turned = tile.with_layout(tile.offset(), ArrayShape::new(lens.clone()), own);
        let last = lens.len() - 1;
        lens[last] = of.read();
        // What the tile lacks is 0.
        let mut all = Assembly::with_lens(tile.dtype(), lens.clone());
        all.put_at(&turned, &vec![0; lens.len()]);
        let values = planned.run(all.into_buf(), of)?;
        lens[last] = of.given();
        let dense = Tile::dense(values, ArrayShape::new(lens));
        let (mut shape, mut strides) = (vec![0; order.len()], vec![0; order.len()]);
        for (from, &to) in order.iter().enumerate() {
            (shape[to], strides[to]) = (dense.shape()[from], dense.strides()[from]);
        }
        Ok(dense.with_layout(0, ArrayShape::new(shape), strides))
    };
    Array::of_parts(name, &[a], result, grid, working, reads, make)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::C64;

    #[test]
    fn a_transform_is_its_sum() {
        for n in [1, 2, 5, 8, 12, 37] {
            let values: Vec<C64> = (0..n).map(|i| C64::new((i * i % 7) as f64, i as f64)).collect();
            let x = Array::from_slice(&values).rechunk([3]).unwrap();
            let of = Transform { kind: Kind::Forward, points: n, scale: 1.0 };
            let found = transformed("fft", &x, 0, of).compute::<C64>().unwrap();
            for (k, v) in found.iter().enumerate() {
                let turn = |i: usize| {
                    C64::from_polar(1.0, -std::f64::consts::TAU * (i * k % n) as f64 / n as f64)
                };
                let wanted: C64 = values.iter().enumerate().map(|(i, x)| x * turn(i)).sum();
                assert!((v - wanted).norm() < 1e-9, "{k} of {n}: {v}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn regions_of_lines_are_tasks() {
        let x = Array::zeros([4096, 512], DType::C128);
        let of = Transform { kind: Kind::Forward, points: 4096, scale: 1.0 };
        let found = transformed("fft", &x, 0, of);
        assert_eq!(found.grid_shape().as_slice(), [1, 16]);
    }
}
