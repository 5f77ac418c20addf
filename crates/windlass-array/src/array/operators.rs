//! Rust's operators on arrays and scalars. They panic where the methods of the same meaning
//! give an error: shapes that do not broadcast, types that the operation does not take,
//! scalars that do not fit.

use std::ops;

use super::{Array, operand::Operand};
use crate::{
    element::{C32, C64},
    expr::ops::{BinaryOp, UnaryOp},
};

fn binary(op: BinaryOp, a: impl Into<Operand>, b: impl Into<Operand>) -> Array {
    Array::binary(op, a, b).unwrap_or_else(|e| panic!("{e}"))
}

fn unary(op: UnaryOp, a: &Array) -> Array {
    a.unary(op).unwrap_or_else(|e| panic!("{e}"))
}

macro_rules! scalars_first {
    ($trait:ident $method:ident $op:ident: $($t:ty)+) => {$(
        impl ops::$trait<&Array> for $t {
            type Output = Array;

            fn $method(self, other: &Array) -> Array {
                binary(BinaryOp::$op, self, other)
            }
        }

        impl ops::$trait<Array> for $t {
            type Output = Array;

            fn $method(self, other: Array) -> Array {
                binary(BinaryOp::$op, self, other)
            }
        }
    )+};
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)+) => {$(
        impl<T: Into<Operand>> ops::$trait<T> for &Array {
            type Output = Array;

            /// # Panics
            /// Where the method of the same meaning gives an error.
            fn $method(self, other: T) -> Array {
                binary(BinaryOp::$op, self, other)
            }
        }

        impl<T: Into<Operand>> ops::$trait<T> for Array {
            type Output = Array;

            /// # Panics
            /// Where the method of the same meaning gives an error.
            fn $method(self, other: T) -> Array {
                binary(BinaryOp::$op, self, other)
            }
        }

        scalars_first!($trait $method $op: bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 C32 C64);
    )+};
}

operators!(
    Add add Add;
    Sub sub Subtract;
    Mul mul Multiply;
    Div div Divide;
    Rem rem Remainder;
    BitAnd bitand And;
    BitOr bitor Or;
    BitXor bitxor Xor;
    Shl shl ShiftLeft;
    Shr shr ShiftRight;
);

macro_rules! prefixes {
    ($($trait:ident $method:ident $op:ident;)+) => {$(
        impl ops::$trait for &Array {
            type Output = Array;

            /// # Panics
            /// Where the method of the same meaning gives an error.
            fn $method(self) -> Array {
                unary(UnaryOp::$op, self)
            }
        }

        impl ops::$trait for Array {
            type Output = Array;

            /// # Panics
            /// Where the method of the same meaning gives an error.
            fn $method(self) -> Array {
                unary(UnaryOp::$op, &self)
            }
        }
    )+};
}

prefixes!(Neg neg Negative; Not not Invert;);
