//! The elementwise functions by NumPy's names. Operands broadcast; types are promoted by
//! NumPy 2's rules; functions of real numbers take integers as floats ([`DType::float`]).
//! Integers wrap; dividing one by zero gives 0.

use super::{Array, operand::Operand};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::ops::{BinaryOp, UnaryOp},
};

macro_rules! unary {
    ($($(#[$doc:meta])+ $name:ident $op:ident;)+) => {
        /// Functions of one array.
        impl Array {$(
            $(#[$doc])+
            ///
            /// # Errors
            /// If the function is not defined for the array's type.
            pub fn $name(&self) -> Result<Self> {
                self.unary(UnaryOp::$op)
            }
        )+}
    };
}

unary! {
    /// `-x`. Not for bools.
    negative Negative;
    /// `|x|`; of a complex number its magnitude, as a real. The least integer stays.
    absolute Absolute;
    /// -1, 0 or 1, NaN of NaN; of a complex number `x / |x|`. Not for bools.
    sign Sign;
    /// `1 / x`; of integers 0 but for 1 and -1.
    reciprocal Reciprocal;
    /// `x * x`.
    square Square;
    /// The square root; NaN of negative reals.
    sqrt Sqrt;
    /// The cube root. Real numbers only.
    cbrt Cbrt;
    /// `e^x`, within 2 units in the last place.
    exp Exp;
    /// `2^x`.
    exp2 Exp2;
    /// `e^x - 1`, exact for small `x` too.
    expm1 Expm1;
    /// The natural logarithm, within 2 units in the last place; NaN of negative reals.
    log Log;
    /// The logarithm to the base 2.
    log2 Log2;
    /// The logarithm to the base 10.
    log10 Log10;
    /// `log(1 + x)`, exact for small `x` too.
    log1p Log1p;
    /// The sine, within 2 units in the last place.
    sin Sin;
    /// The cosine, within 2 units in the last place.
    cos Cos;
    /// The tangent.
    tan Tan;
    /// The inverse sine; NaN of reals beyond -1..1.
    arcsin Arcsin;
    /// The inverse cosine; NaN of reals beyond -1..1.
    arccos Arccos;
    /// The inverse tangent.
    arctan Arctan;
    /// The hyperbolic sine.
    sinh Sinh;
    /// The hyperbolic cosine.
    cosh Cosh;
    /// The hyperbolic tangent.
    tanh Tanh;
    /// The inverse hyperbolic sine.
    arcsinh Arcsinh;
    /// The inverse hyperbolic cosine; NaN of reals below 1.
    arccosh Arccosh;
    /// The inverse hyperbolic tangent; NaN of reals beyond -1..1.
    arctanh Arctanh;
    /// Rounded down; integers stay as they are. Real numbers only.
    floor Floor;
    /// Rounded up; integers stay as they are. Real numbers only.
    ceil Ceil;
    /// Rounded towards zero; integers stay as they are. Real numbers only.
    trunc Trunc;
    /// The nearest integer, the even one of two; integers become floats.
    rint Rint;
    /// Degrees as radians. Real numbers only.
    deg2rad Deg2rad;
    /// Radians as degrees. Real numbers only.
    rad2deg Rad2deg;
    /// Whether it is not a number, in either part.
    isnan Isnan;
    /// Whether it is infinite, in either part.
    isinf Isinf;
    /// Whether it is neither infinite nor NaN, in both parts.
    isfinite Isfinite;
    /// Whether its sign bit is set: true of -0.0. Real numbers only.
    signbit Signbit;
    /// Every bit turned. Integers and bools only.
    invert Invert;
    /// The complex conjugate; reals stay as they are.
    conj Conj;
    /// The real part.
    real Real;
    /// The imaginary part: zeros of reals.
    imag Imag;
    /// The angle of a complex number, in radians: 0 or pi of reals.
    angle Angle;
    /// The modified Bessel function of order 0; infinite of infinities, where NumPy's is NaN.
    /// Real numbers only.
    i0 I0;
    /// How many bits of its magnitude are 1, as `u8`. Integers and bools only.
    bitwise_count BitwiseCount;
}

macro_rules! binary {
    ($($(#[$doc:meta])+ $name:ident $op:ident;)+) => {
        /// Functions of an array and another one, or a scalar.
        impl Array {$(
            $(#[$doc])+
            ///
            /// # Errors
            /// If the shapes do not broadcast, the function is not defined for the common
            /// type, or a scalar does not fit.
            pub fn $name(&self, other: impl Into<Operand>) -> Result<Self> {
                Self::binary(BinaryOp::$op, self, other)
            }
        )+}
    };
}

binary! {
    /// The sum; of bools whether one is true.
    add Add;
    /// The difference. Not for bools.
    subtract Subtract;
    /// The product; of bools whether both are true.
    multiply Multiply;
    /// The quotient, as a float.
    divide Divide;
    /// The quotient, rounded down; of integers by zero 0. Real numbers only.
    floor_divide FloorDivide;
    /// What is left of [`Array::floor_divide`], with the divisor's sign; of integers by zero
    /// 0. Real numbers only.
    remainder Remainder;
    /// What is left of the quotient that is cut, with the dividend's sign; of integers by
    /// zero 0. Real numbers only.
    fmod Fmod;
    /// The power. Integers to a negative integer are an error where the exponent is a scalar;
    /// where it is an array's element, they are cut to an integer: 0 but for 1 and -1, and 0
    /// to a negative one is 0. NumPy has an error for both.
    power Power;
    /// The angle of the point (`other`, `self`), in radians. Real numbers only.
    arctan2 Arctan2;
    /// The length of the vector of both. Real numbers only.
    hypot Hypot;
    /// `log(e^x + e^y)`, without overflow. Real numbers only.
    logaddexp Logaddexp;
    /// `log2(2^x + 2^y)`, without overflow. Real numbers only.
    logaddexp2 Logaddexp2;
    /// The magnitude of one with the sign of the other. Real numbers only.
    copysign Copysign;
    /// The next float towards the other. Real numbers only.
    nextafter Nextafter;
    /// The greater one; NaN if one is.
    maximum Maximum;
    /// The lesser one; NaN if one is.
    minimum Minimum;
    /// The greater one; the other one of NaN.
    fmax Fmax;
    /// The lesser one; the other one of NaN.
    fmin Fmin;
    /// Whether both are equal; NaN equals nothing.
    equal Equal;
    /// Whether both differ; NaN differs from all.
    not_equal NotEqual;
    /// Whether it is less.
    less Less;
    /// Whether it is less or equal.
    less_equal LessEqual;
    /// The bits that both have; of bools whether both are true.
    bitwise_and And;
    /// The bits that one has; of bools whether one is true.
    bitwise_or Or;
    /// The bits that one of them has; of bools whether one is true and the other is not.
    bitwise_xor Xor;
    /// The bits moved up; 0 past the type's width or for a negative count.
    left_shift ShiftLeft;
    /// The bits moved down; past the type's width all are the sign's.
    right_shift ShiftRight;
    /// The greatest integer that divides both; 0 of zeros. Integers and bools only.
    gcd Gcd;
    /// The least integer that both divide; 0 if one is 0. Integers and bools only.
    lcm Lcm;
}

/// As a truth value.
fn truth(operand: Operand) -> Result<Array> {
    Ok(match operand {
        Operand::Array(a) => a.astype(DType::Bool),
        Operand::Scalar(s) => {
            Array::full_of(crate::ArrayShape::default(), s, s.default_type())?.astype(DType::Bool)
        }
    })
}

/// Functions that are made of others.
impl Array {
    /// Whether it is greater.
    ///
    /// # Errors
    /// As [`Array::less`].
    pub fn greater(&self, other: impl Into<Operand>) -> Result<Self> {
        Self::binary(BinaryOp::Less, other, self)
    }

    /// Whether it is greater or equal.
    ///
    /// # Errors
    /// As [`Array::less`].
    pub fn greater_equal(&self, other: impl Into<Operand>) -> Result<Self> {
        Self::binary(BinaryOp::LessEqual, other, self)
    }

    /// Whether both are not zero; NaN is not.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn logical_and(&self, other: impl Into<Operand>) -> Result<Self> {
        Self::binary(BinaryOp::And, self.astype(DType::Bool), truth(other.into())?)
    }

    /// Whether one is not zero; NaN is not.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn logical_or(&self, other: impl Into<Operand>) -> Result<Self> {
        Self::binary(BinaryOp::Or, self.astype(DType::Bool), truth(other.into())?)
    }

    /// Whether one is not zero and the other is; NaN is not.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn logical_xor(&self, other: impl Into<Operand>) -> Result<Self> {
        Self::binary(BinaryOp::Xor, self.astype(DType::Bool), truth(other.into())?)
    }

    /// Whether it is zero.
    ///
    /// # Errors
    /// None for any type today; the others of its kind give some.
    pub fn logical_not(&self) -> Result<Self> {
        self.astype(DType::Bool).unary(UnaryOp::Invert)
    }

    /// The values within bounds: what is below `low` becomes it, then what is above `high`
    /// that. NaN stays.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or a scalar does not fit.
    pub fn clip(&self, low: impl Into<Operand>, high: impl Into<Operand>) -> Result<Self> {
        self.maximum(low)?.minimum(high)
    }

    /// The elements within bounds of one side.
    ///
    /// # Errors
    /// As [`Array::clip`]; without any bound.
    pub fn clip_to(&self, low: Option<Operand>, high: Option<Operand>) -> Result<Self> {
        match (low, high) {
            (Some(low), Some(high)) => self.clip(low, high),
            (Some(low), None) => self.maximum(low),
            (None, Some(high)) => self.minimum(high),
            (None, None) => Err(ArrayError::Argument {
                operation: "clip",
                argument: "low or high",
                expected: "given".into(),
                got: "neither".into(),
            }),
        }
    }

    /// Whether both are as near as `|x - y| <= absolute + relative * |y|`; infinities are
    /// near themselves, and NaN to nothing.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn isclose(&self, other: impl Into<Operand>, relative: f64, absolute: f64) -> Result<Self> {
        let other = match other.into() {
            Operand::Array(a) => a,
            Operand::Scalar(s) => Self::scalar(s)?,
        };
        // As floats: differences of unsigned integers would wrap.
        let other = other.astype(other.dtype().with_scalar(crate::Kind::Float));
        let bound = other.absolute()?.multiply(relative)?.add(absolute)?;
        let near = self.subtract(&other)?.absolute()?.less_equal(&bound)?;
        let near = near.logical_and(&other.isfinite()?)?;
        near.logical_or(&self.equal(&other)?)
    }
}
