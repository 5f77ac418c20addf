//! Floats and complex numbers, of which matrices are factored.

use std::ops::{Add, Div, Mul, Neg, Sub};

use faer::{Par, traits::ComplexField};

use super::product::Product;
use crate::{
    Array, DType,
    element::{C32, C64},
};

/// A float or a complex number.
pub(crate) trait Field:
    Product
    + ComplexField
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// A real number.
    fn of(real: f64) -> Self;

    /// The number with its imaginary part negated.
    fn conjugate(self) -> Self;

    /// Its distance from 0.
    fn magnitude(self) -> f64;

    /// Its real part.
    fn real_part(self) -> f64;

    /// Whether it is neither infinite nor NaN.
    fn is_number(self) -> bool;
}

macro_rules! real {
    ($($t:ty),+) => {$(
        impl Field for $t {
            fn of(real: f64) -> Self {
                real as Self
            }

            fn conjugate(self) -> Self {
                self
            }

            fn magnitude(self) -> f64 {
                f64::from(self.abs())
            }

            fn real_part(self) -> f64 {
                f64::from(self)
            }

            fn is_number(self) -> bool {
                self.is_finite()
            }
        }
    )+};
}

macro_rules! complex {
    ($($t:ty: $part:ty),+) => {$(
        impl Field for $t {
            fn of(real: f64) -> Self {
                Self::new(real as $part, 0.0)
            }

            fn conjugate(self) -> Self {
                self.conj()
            }

            fn magnitude(self) -> f64 {
                f64::from(self.norm())
            }

            fn real_part(self) -> f64 {
                f64::from(self.re)
            }

            fn is_number(self) -> bool {
                self.re.is_finite() && self.im.is_finite()
            }
        }
    )+};
}

real!(f32, f64);
complex!(C32: f32, C64: f64);

/// Runs the body with `$t` naming the Rust type of a [`DType`] that [`field_type`] gave.
macro_rules! dispatch_field {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::dtype::DType::C64 => {
                type $t = $crate::element::C32;
                $body
            }
            $crate::dtype::DType::C128 => {
                type $t = $crate::element::C64;
                $body
            }
            other => unreachable!("{other} is neither a float nor complex"),
        }
    };
}

pub(crate) use dispatch_field;

/// The type in which an array's matrices are factored: floats and complex numbers as they are,
/// others as `f64`.
pub(crate) fn field_type(dtype: DType) -> DType {
    if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F64 }
}

/// Runs the body with `$t` naming the Rust type of a [`DType`] that [`wide_type`] gave: the
/// algorithms of `faer` are compiled for each type that they are called with, which takes
/// minutes.
macro_rules! dispatch_wide {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::dtype::DType::C128 => {
                type $t = $crate::element::C64;
                $body
            }
            other => unreachable!("{other} is not of 64 bits"),
        }
    };
}

pub(crate) use dispatch_wide;

/// The type in which most factors are made: floats, or complex numbers, of 64 bits.
pub(crate) fn wide_type(dtype: DType) -> DType {
    if dtype.is_complex() { DType::C128 } else { DType::F64 }
}

/// An array as that type.
pub(crate) fn as_wide(array: &Array) -> Array {
    array.astype(wide_type(array.dtype()))
}

/// An array as [`field_type`] says.
pub(crate) fn as_field(array: &Array) -> Array {
    array.astype(field_type(array.dtype()))
}

/// Multiplications from which on one matrix that is all there is takes several threads (a
/// stated guess: about a tenth of a second of one).
const SEVERAL_THREADS: f64 = 1e9;

/// The threads of `faer` for a matrix: one, as tasks have, but all for a large matrix beside
/// which no other task runs.
pub(crate) fn threads(alone: bool, multiplications: f64) -> Par {
    if alone && multiplications > SEVERAL_THREADS { Par::rayon(0) } else { Par::Seq }
}
