//! The loops of operations of two operands, and of the choice by a third.

use super::{
    Run,
    complex::ComplexNumber,
    parts,
    real::{Float, Integer},
    zip_with,
};
use crate::{
    dtype::DType,
    element::{Buf, C32, C64, Element, dispatch},
    expr::ops::BinaryOp,
};

/// The first `n` elements of `out` as `op` of those of `a` and `b`, which are of type `d`:
/// the operands' type of the operation's signature, and `out` of the result's.
pub(crate) fn binary(op: BinaryOp, d: DType, a: Run<'_>, b: Run<'_>, n: usize, out: &mut Buf) {
    let f = match d {
        DType::Bool => bool,
        DType::I8 => i8,
        DType::I16 => i16,
        DType::I32 => i32,
        DType::I64 => i64,
        DType::U8 => u8,
        DType::U16 => u16,
        DType::U32 => u32,
        DType::U64 => u64,
        DType::F32 => f32,
        DType::F64 => f64,
        DType::C64 => c32,
        DType::C128 => c64,
    };
    f(op, a, b, n, out);
}

/// The first `n` elements of `out`: those of `a` where `condition` is true, else of `b`.
pub(crate) fn select(
    d: DType,
    condition: Run<'_>,
    a: Run<'_>,
    b: Run<'_>,
    n: usize,
    out: &mut Buf,
) {
    dispatch!(d, T => {
        let out = &mut out.typed_mut::<T>()[..n];
        choose::<T>(condition.slice(n), a.slice(n), b.slice(n), out);
    });
}

super::vectorised! {
    fn choose<T: (Element)>(condition: &[bool], a: &[T], b: &[T], out: &mut [T]) {
        for (((o, &c), x), y) in out.iter_mut().zip(condition).zip(a).zip(b) {
            *o = if c { *x } else { *y };
        }
    }
}

fn bool(op: BinaryOp, a: Run<'_>, b: Run<'_>, n: usize, out: &mut Buf) {
    use BinaryOp as B;
    match op {
        B::Add | B::Or | B::Maximum | B::Fmax => {
            zip_with!(a, b, n, out, bool => bool, |x, y| x | y);
        }
        B::Multiply | B::And | B::Minimum | B::Fmin => {
            zip_with!(a, b, n, out, bool => bool, |x, y| x & y);
        }
        B::Xor | B::NotEqual => zip_with!(a, b, n, out, bool => bool, |x, y| x ^ y),
        B::Equal => zip_with!(a, b, n, out, bool => bool, |x, y| x == y),
        B::Less => zip_with!(a, b, n, out, bool => bool, |x, y| !x & y),
        B::LessEqual => zip_with!(a, b, n, out, bool => bool, |x, y| !x | y),
        _ => unreachable!("{} computes in another type than bool", op.name()),
    }
}

/// Comparisons and arithmetic that all numbers have; the rest is `$other`.
macro_rules! integers {
    ($($t:ident)+) => {$(
        fn $t(op: BinaryOp, a: Run<'_>, b: Run<'_>, n: usize, out: &mut Buf) {
            use BinaryOp as B;
            macro_rules! zip {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $t => $t, |$x, $y| $body)
                };
            }
            macro_rules! test {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $t => bool, |$x, $y| $body)
                };
            }
            match op {
                B::Add => zip!(x, y => x.wrapping_add(y)),
                B::Subtract => zip!(x, y => x.wrapping_sub(y)),
                B::Multiply => zip!(x, y => x.wrapping_mul(y)),
                B::FloorDivide => zip!(x, y => Integer::floor_divide(x, y)),
                B::Remainder => zip!(x, y => Integer::remainder(x, y)),
                B::Fmod => zip!(x, y => Integer::fmod(x, y)),
                B::Power => zip!(x, y => Integer::power(x, y)),
                B::Maximum | B::Fmax => zip!(x, y => x.max(y)),
                B::Minimum | B::Fmin => zip!(x, y => x.min(y)),
                B::Equal => test!(x, y => x == y),
                B::NotEqual => test!(x, y => x != y),
                B::Less => test!(x, y => x < y),
                B::LessEqual => test!(x, y => x <= y),
                B::Gcd => zip!(x, y => Integer::gcd(x, y)),
                B::Lcm => zip!(x, y => Integer::lcm(x, y)),
                B::And => zip!(x, y => x & y),
                B::Or => zip!(x, y => x | y),
                B::Xor => zip!(x, y => x ^ y),
                B::ShiftLeft => zip!(x, y => Integer::shift_left(x, y)),
                B::ShiftRight => zip!(x, y => Integer::shift_right(x, y)),
                _ => unreachable!("{} computes in another type than an integer's", op.name()),
            }
        }
    )+};
}

integers!(i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! floats {
    ($($t:ident)+) => {$(
        fn $t(op: BinaryOp, a: Run<'_>, b: Run<'_>, n: usize, out: &mut Buf) {
            use BinaryOp as B;
            macro_rules! zip {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $t => $t, |$x, $y| $body)
                };
            }
            macro_rules! test {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $t => bool, |$x, $y| $body)
                };
            }
            match op {
                B::Add => zip!(x, y => x + y),
                B::Subtract => zip!(x, y => x - y),
                B::Multiply => zip!(x, y => x * y),
                B::Divide => zip!(x, y => x / y),
                B::FloorDivide => zip!(x, y => Float::floor_divide(x, y)),
                B::Remainder => zip!(x, y => Float::remainder(x, y)),
                B::Fmod => zip!(x, y => x % y),
                B::Power => zip!(x, y => x.powf(y)),
                B::Arctan2 => zip!(x, y => x.atan2(y)),
                B::Hypot => zip!(x, y => x.hypot(y)),
                B::Logaddexp => zip!(x, y => Float::logaddexp(x, y)),
                B::Logaddexp2 => zip!(x, y => Float::logaddexp2(x, y)),
                B::Copysign => zip!(x, y => x.copysign(y)),
                B::Nextafter => zip!(x, y => {
                    if x.is_nan() || y.is_nan() {
                        x + y
                    } else if x == y {
                        y
                    } else if x < y {
                        x.next_up()
                    } else {
                        x.next_down()
                    }
                }),
                B::Ldexp => {
                    zip!(x, y => parts::scaled(f64::from(x), f64::from(y)) as $t);
                }
                B::Maximum => zip!(x, y => Float::maximum(x, y)),
                B::Minimum => zip!(x, y => Float::minimum(x, y)),
                B::Fmax => zip!(x, y => if x >= y || y.is_nan() { x } else { y }),
                B::Fmin => zip!(x, y => if x <= y || y.is_nan() { x } else { y }),
                B::Equal => test!(x, y => x == y),
                B::NotEqual => test!(x, y => x != y),
                B::Less => test!(x, y => x < y),
                B::LessEqual => test!(x, y => x <= y),
                B::And | B::Or | B::Xor | B::ShiftLeft | B::ShiftRight | B::Gcd | B::Lcm => {
                    unreachable!("{} is not defined for floats", op.name())
                }
            }
        }
    )+};
}

floats!(f32 f64);

macro_rules! complexes {
    ($($name:ident $c:ident;)+) => {$(
        fn $name(op: BinaryOp, a: Run<'_>, b: Run<'_>, n: usize, out: &mut Buf) {
            use BinaryOp as B;
            macro_rules! zip {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $c => $c, |$x, $y| $body)
                };
            }
            macro_rules! test {
                ($x:ident, $y:ident => $body:expr) => {
                    zip_with!(a, b, n, out, $c => bool, |$x, $y| $body)
                };
            }
            match op {
                B::Add => zip!(x, y => x + y),
                B::Subtract => zip!(x, y => x - y),
                B::Multiply => zip!(x, y => x * y),
                B::Divide => zip!(x, y => x.divide(y)),
                B::Power => zip!(x, y => ComplexNumber::power(x, y)),
                B::Maximum => zip!(x, y => if y.less_equal(x) || x.has_nan() { x } else { y }),
                B::Minimum => zip!(x, y => if x.less_equal(y) || x.has_nan() { x } else { y }),
                B::Fmax => zip!(x, y => if y.less_equal(x) || y.has_nan() { x } else { y }),
                B::Fmin => zip!(x, y => if x.less_equal(y) || y.has_nan() { x } else { y }),
                B::Equal => test!(x, y => x == y),
                B::NotEqual => test!(x, y => x != y),
                B::Less => test!(x, y => x.less(y)),
                B::LessEqual => test!(x, y => x.less_equal(y)),
                _ => unreachable!("{} is not defined for complex numbers", op.name()),
            }
        }
    )+};
}

complexes!(c32 C32; c64 C64;);
