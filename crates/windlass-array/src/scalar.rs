//! Scalars as operands. They are weak, as Python's numbers are in NumPy 2: an array of `f32`
//! times `2.0` stays an array of `f32`.

use crate::{
    dtype::{DType, Kind},
    element::{Buf, C32, C64},
    error::{ArrayError, Result},
    kernel::cast::filled,
};

/// A number that takes the type of the array that it is used with, where its kind fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(C64),
}

impl Scalar {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Integer,
            Self::Float(_) => Kind::Float,
            Self::Complex(_) => Kind::Complex,
        }
    }

    /// The type of an array of it: `bool`, `i64`, `f64` or `c128`.
    pub fn default_type(self) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::Int(_) => DType::I64,
            Self::Float(_) => DType::F64,
            Self::Complex(_) => DType::C128,
        }
    }

    /// One element of that type with its value; complex numbers lose the imaginary part where
    /// the type has none, floats the fraction.
    ///
    /// # Errors
    /// For an integer that an integer type cannot hold.
    pub(crate) fn element(self, dtype: DType) -> Result<Buf> {
        Ok(match self {
            Self::Bool(b) => filled(b, dtype, 1),
            Self::Int(value) if dtype.is_integer() => {
                let overflow = || ArrayError::Overflow { value, dtype };
                let (low, high) = match (dtype.is_unsigned(), dtype.bytes() as u32 * 8) {
                    (true, bits) => (0, (1_i128 << bits) - 1),
                    (false, bits) => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
                };
                match (low..=high).contains(&value) {
                    true if dtype.is_unsigned() => filled(value as u64, dtype, 1),
                    true => filled(value as i64, dtype, 1),
                    false => return Err(overflow()),
                }
            }
            Self::Int(v) => filled(v as f64, dtype, 1),
            Self::Float(v) => filled(v, dtype, 1),
            Self::Complex(v) => filled(v, dtype, 1),
        })
    }
}

macro_rules! scalars {
    ($($variant:ident: $($t:ty)+;)+) => {$($(
        impl From<$t> for Scalar {
            fn from(value: $t) -> Self {
                Self::$variant(value.into())
            }
        }
    )+)+};
}

scalars!(Bool: bool; Int: i8 i16 i32 i64 u8 u16 u32 u64; Float: f32 f64; Complex: C64;);

impl From<C32> for Scalar {
    fn from(value: C32) -> Self {
        Self::Complex(C64::new(f64::from(value.re), f64::from(value.im)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_do_not_fit_are_refused() {
        assert_eq!(Scalar::from(255).element(DType::U8).unwrap(), Buf::U8(vec![255]));
        assert_eq!(Scalar::from(-1).element(DType::F32).unwrap(), Buf::F32(vec![-1.0]));
        let error = Scalar::from(300).element(DType::U8).unwrap_err().to_string();
        assert!(error.contains("300") && error.contains("uint8"), "{error}");
        assert!(Scalar::from(-1).element(DType::U64).is_err());
        let max = Scalar::from(u64::MAX).element(DType::U64).unwrap();
        assert_eq!(max, Buf::U64(vec![u64::MAX]));
    }
}
