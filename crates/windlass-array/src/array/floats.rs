//! Functions of single elements that are made of others: rounding to digits, parts of numbers,
//! numbers in place of NaN and infinities.

use super::{Array, operand::Operand};
use crate::{
    dtype::{DType, Kind},
    error::{ArrayError, Result},
    expr::ops::{BinaryOp, UnaryOp},
    scalar::Scalar,
};

fn real(operation: &'static str, dtype: DType) -> Result<()> {
    if !dtype.is_complex() {
        return Ok(());
    }
    let hint = "it is defined for real numbers";
    Err(ArrayError::Type { operation, dtype: dtype.to_string(), hint })
}

impl Array {
    /// A function of both parts of complex numbers, or of reals. What it gives is finite.
    fn by_parts(&self, function: impl Fn(&Self) -> Result<Self>) -> Result<Self> {
        if !self.dtype().is_complex() {
            return function(self);
        }
        let imaginary = function(&self.imag()?)?.astype(self.dtype());
        let turned = imaginary.multiply(Scalar::Complex(crate::C64::new(0.0, 1.0)))?;
        turned.add(&function(&self.real()?)?)
    }

    /// Numbers in place of what is none: `nan` for NaN, and `above` and `below` for the
    /// infinities, or the greatest and the least number of the type. Of complex numbers in
    /// both parts; integers and bools stay as they are. NumPy's `nan_to_num`.
    ///
    /// ```
    /// use windlass_array::Array;
    ///
    /// let x = Array::from_slice(&[1.0, f64::NAN, f64::NEG_INFINITY]);
    /// let y = x.nan_to_num(0.0, None, Some(-1e9))?;
    /// assert_eq!(y.compute::<f64>()?.into_raw_vec_and_offset().0, [1.0, 0.0, -1e9]);
    /// # Ok::<_, windlass_array::ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn nan_to_num(&self, nan: f64, above: Option<f64>, below: Option<f64>) -> Result<Self> {
        if self.dtype().kind() <= Kind::Integer {
            return Ok(self.clone());
        }
        let greatest = match self.dtype().real() {
            DType::F32 => f64::from(f32::MAX),
            _ => f64::MAX,
        };
        self.by_parts(|x| {
            let numbers = Self::select(&x.isnan()?, nan, x)?;
            let numbers =
                Self::select(&x.equal(f64::INFINITY)?, above.unwrap_or(greatest), &numbers)?;
            Self::select(&x.equal(f64::NEG_INFINITY)?, below.unwrap_or(-greatest), &numbers)
        })
    }

    /// Rounded to so many decimals, the even digit of two that are as near; before the point
    /// for negative numbers of decimals. The number is multiplied, rounded and divided, as in
    /// NumPy's `round`: last places may differ from what is written. Integers stay integers, and
    /// bools bools.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn round(&self, decimals: i32) -> Result<Self> {
        let exact = self.dtype().kind() <= Kind::Integer;
        if self.dtype() == DType::Bool || (exact && decimals >= 0) {
            return Ok(self.clone());
        }
        if decimals == 0 {
            return self.rint();
        }
        let factor = 10_f64.powi(decimals.abs());
        let part = |x: &Self| {
            if decimals > 0 {
                x.multiply(factor)?.rint()?.divide(factor)
            } else {
                x.divide(factor)?.rint()?.multiply(factor)
            }
        };
        if !self.dtype().is_complex() {
            return Ok(part(self)?.astype(self.dtype()));
        }
        // By reals: a product with a complex number would spread NaN.
        part(self)
    }

    /// `sin(pi x) / (pi x)`, and 1 of 0.
    ///
    /// # Errors
    /// None today; the others of its kind give some.
    pub fn sinc(&self) -> Result<Self> {
        let angle = self.multiply(std::f64::consts::PI)?;
        let near = angle.equal(0.0)?;
        // Any other number, as the quotient there is not taken.
        let angle = Self::select(&near, 1.0, &angle)?;
        Self::select(&near, 1.0, &angle.sin()?.divide(&angle)?)
    }

    /// 0 below zero, 1 above it, and `at_zero` of 0; NaN of NaN. Real numbers only.
    ///
    /// # Errors
    /// For complex numbers, and if the shapes do not broadcast.
    pub fn heaviside(&self, at_zero: impl Into<Operand>) -> Result<Self> {
        let name = "heaviside";
        let (dtype, at_zero) = match at_zero.into() {
            Operand::Array(a) => {
                let dtype = self.dtype().float().promote(a.dtype().float());
                (dtype, Operand::Array(a.astype(dtype)))
            }
            Operand::Scalar(s) => (self.dtype().with_scalar(s.kind()).float(), s.into()),
        };
        real(name, dtype)?;
        let x = self.astype(dtype);
        let sides = Self::select(&x.greater(0.0)?, 1.0, &x)?;
        let sides = Self::select(&x.less(0.0)?, 0.0, &sides)?;
        Self::select(&x.equal(0.0)?, at_zero, &sides)
    }

    /// The power, of at least 64 bits: as [`Array::power`] of floats or complex numbers.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn float_power(&self, exponent: impl Into<Operand>) -> Result<Self> {
        self.astype(self.dtype().promote(DType::F64)).power(exponent)
    }

    /// The fraction and the whole number that it is the sum of, both with its sign. Real
    /// numbers only.
    ///
    /// # Errors
    /// For complex numbers.
    pub fn modf(&self) -> Result<(Self, Self)> {
        real("modf", self.dtype())?;
        let x = self.astype(self.dtype().float());
        let whole = x.trunc()?;
        let fraction = Self::select(&x.isinf()?, 0.0, &x.subtract(&whole)?)?;
        Ok((fraction.copysign(&x)?, whole))
    }

    /// [`Array::floor_divide`] and [`Array::remainder`].
    ///
    /// # Errors
    /// As theirs.
    pub fn divmod(&self, other: impl Into<Operand>) -> Result<(Self, Self)> {
        let other = other.into();
        Ok((self.floor_divide(other.clone())?, self.remainder(other)?))
    }

    /// The fraction, whose magnitude is at least 1/2 and less than 1, and the power of two, as
    /// `i32`, whose product it is; of 0, NaN and infinities themselves and 0. Real numbers only.
    ///
    /// # Errors
    /// For complex numbers.
    pub fn frexp(&self) -> Result<(Self, Self)> {
        Ok((self.unary(UnaryOp::Mantissa)?, self.unary(UnaryOp::Exponent)?))
    }

    /// The number times two to a power, which is an integer. Real numbers only.
    ///
    /// # Errors
    /// For complex numbers, powers that are no integers, and if the shapes do not broadcast.
    pub fn ldexp(&self, exponent: impl Into<Operand>) -> Result<Self> {
        real("ldexp", self.dtype())?;
        let x = self.astype(self.dtype().float());
        let (kind, exponent) = match exponent.into() {
            Operand::Array(a) => (a.dtype().kind(), a.astype(x.dtype()).into()),
            Operand::Scalar(s) => (s.kind(), Operand::Scalar(s)),
        };
        if kind > Kind::Integer {
            return Err(ArrayError::Argument {
                operation: "ldexp",
                argument: "the exponent",
                expected: "integers".into(),
                got: format!("{kind:?}"),
            });
        }
        Self::binary(BinaryOp::Ldexp, &x, exponent)
    }

    /// The distance to the next float away from zero, with the number's sign; NaN of infinities.
    /// Real numbers only.
    ///
    /// # Errors
    /// For complex numbers.
    pub fn spacing(&self) -> Result<Self> {
        real("spacing", self.dtype())?;
        let x = self.astype(self.dtype().float());
        let away = Self::binary(BinaryOp::Copysign, f64::INFINITY, &x)?;
        // Of both zeros it is above 0.
        let away = Self::select(&x.equal(0.0)?, f64::INFINITY, &away)?;
        x.nextafter(&away)?.subtract(&x)
    }
}
