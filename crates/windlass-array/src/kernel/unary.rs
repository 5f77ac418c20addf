//! The loops of operations of one operand.

use super::{
    Run,
    complex::{self, ComplexNumber},
    map_with, math, parts,
    real::{Float, Integer},
};
use crate::{
    dtype::DType,
    element::{Buf, C32, C64},
    expr::ops::UnaryOp,
};

/// The first `n` elements of `out` as `op` of those of `a`, which are of type `d`: the
/// operand's type of the operation's signature, and `out` of the result's.
pub(crate) fn unary(op: UnaryOp, d: DType, a: Run<'_>, n: usize, out: &mut Buf) {
    if let UnaryOp::Cast(to) = op {
        return super::cast::cast(d, to, a, n, out);
    }
    match d {
        DType::Bool if op == UnaryOp::Imag => map_with!(a, n, out, bool => bool, |x| x & false),
        DType::Bool => map_with!(a, n, out, bool => bool, |x| !x),
        DType::I8 => i8(op, a, n, out),
        DType::I16 => i16(op, a, n, out),
        DType::I32 => i32(op, a, n, out),
        DType::I64 => i64(op, a, n, out),
        DType::U8 => u8(op, a, n, out),
        DType::U16 => u16(op, a, n, out),
        DType::U32 => u32(op, a, n, out),
        DType::U64 => u64(op, a, n, out),
        DType::F32 => f32(op, a, n, out),
        DType::F64 => f64(op, a, n, out),
        DType::C64 => c32(op, a, n, out),
        DType::C128 => c64(op, a, n, out),
    }
}

macro_rules! integers {
    ($($t:ident)+) => {$(
        fn $t(op: UnaryOp, a: Run<'_>, n: usize, out: &mut Buf) {
            use UnaryOp as U;
            match op {
                U::Negative => map_with!(a, n, out, $t => $t, |x| x.wrapping_neg()),
                U::Absolute => map_with!(a, n, out, $t => $t, |x| Integer::absolute(x)),
                U::Sign => map_with!(a, n, out, $t => $t, |x| Integer::sign(x)),
                U::Square => map_with!(a, n, out, $t => $t, |x| x.wrapping_mul(x)),
                // Of whole numbers only those of 1 and -1 are not 0.
                U::Reciprocal => {
                    map_with!(a, n, out, $t => $t, |x| (1 as $t).checked_div(x).unwrap_or(0))
                }
                U::Invert => map_with!(a, n, out, $t => $t, |x| !x),
                U::Imag => map_with!(a, n, out, $t => $t, |x| x & 0),
                U::BitwiseCount => map_with!(a, n, out, $t => u8, |x| Integer::ones(x)),
                _ => unreachable!("{} computes in another type than an integer's", op.name()),
            }
        }
    )+};
}

integers!(i8 i16 i32 i64 u8 u16 u32 u64);

/// The inverse hyperbolic tangent, by its magnitude: below zero the standard library's loses
/// digits.
#[inline(always)]
fn arctanh(x: f64) -> f64 {
    let m = x.abs();
    (0.5 * (2.0 * m / (1.0 - m)).ln_1p()).copysign(x)
}

/// The inverse hyperbolic cosine: near 1 the standard library's loses digits.
#[inline(always)]
fn arccosh(x: f64) -> f64 {
    if x > 1e8 || x.is_nan() {
        // The root is x but for less than a unit in its last place.
        return x.ln() + std::f64::consts::LN_2;
    }
    let t = x - 1.0;
    if t < 0.0 { f64::NAN } else { (t + (t * (t + 2.0)).sqrt()).ln_1p() }
}

macro_rules! floats {
    ($($t:ident)+) => {$(
        fn $t(op: UnaryOp, a: Run<'_>, n: usize, out: &mut Buf) {
            use UnaryOp as U;
            macro_rules! map {
                ($x:ident => $body:expr) => { map_with!(a, n, out, $t => $t, |$x| $body) };
            }
            macro_rules! test {
                ($x:ident => $body:expr) => { map_with!(a, n, out, $t => bool, |$x| $body) };
            }
            let fused = super::wide_vectors();
            let turns = || a.slice::<$t>(n).iter().all(|x| f64::from(x.abs()) <= math::TURNS);
            match op {
                U::Negative => map!(x => -x),
                U::Absolute => map!(x => x.abs()),
                U::Sign => map!(x => Float::sign(x)),
                U::Reciprocal => map!(x => 1.0 / x),
                U::Square => map!(x => x * x),
                U::Sqrt => map!(x => x.sqrt()),
                U::Cbrt => map!(x => x.cbrt()),
                U::Exp if fused => map!(x => math::exp::<true>(f64::from(x)) as $t),
                U::Exp => map!(x => math::exp::<false>(f64::from(x)) as $t),
                U::Exp2 => map!(x => x.exp2()),
                U::Expm1 => map!(x => x.exp_m1()),
                U::Log if fused => map!(x => math::log::<true>(f64::from(x)) as $t),
                U::Log => map!(x => math::log::<false>(f64::from(x)) as $t),
                U::Log2 => map!(x => x.log2()),
                U::Log10 => map!(x => x.log10()),
                U::Log1p => map!(x => x.ln_1p()),
                U::Sin if fused && turns() => map!(x => math::sin::<true>(f64::from(x)) as $t),
                U::Sin if turns() => map!(x => math::sin::<false>(f64::from(x)) as $t),
                U::Cos if fused && turns() => map!(x => math::cos::<true>(f64::from(x)) as $t),
                U::Cos if turns() => map!(x => math::cos::<false>(f64::from(x)) as $t),
                U::Sin => map!(x => x.sin()),
                U::Cos => map!(x => x.cos()),
                U::Tan => map!(x => x.tan()),
                U::Arcsin => map!(x => x.asin()),
                U::Arccos => map!(x => x.acos()),
                U::Arctan => map!(x => x.atan()),
                U::Sinh => map!(x => x.sinh()),
                U::Cosh => map!(x => x.cosh()),
                U::Tanh => map!(x => x.tanh()),
                U::Arcsinh => map!(x => f64::from(x).asinh() as $t),
                U::Arccosh => map!(x => arccosh(f64::from(x)) as $t),
                U::Arctanh => map!(x => arctanh(f64::from(x)) as $t),
                U::Floor => map!(x => x.floor()),
                U::Ceil => map!(x => x.ceil()),
                U::Trunc => map!(x => x.trunc()),
                U::Rint => map!(x => x.round_ties_even()),
                U::I0 => map!(x => parts::i0(f64::from(x)) as $t),
                U::Mantissa => map!(x => parts::split(f64::from(x)).0 as $t),
                U::Exponent => map_with!(a, n, out, $t => i32, |x| parts::split(f64::from(x)).1),
                U::Deg2rad => map!(x => x * (std::$t::consts::PI / 180.0)),
                U::Rad2deg => map!(x => x * (180.0 / std::$t::consts::PI)),
                // Of real numbers: 0 or pi.
                U::Angle => map!(x => (0.0 as $t).atan2(x)),
                // NaN has none either.
                U::Imag => map!(_x => 0.0),
                U::Isnan => test!(x => x.is_nan()),
                U::Isinf => test!(x => x.is_infinite()),
                U::Isfinite => test!(x => x.is_finite()),
                U::Signbit => test!(x => x.is_sign_negative()),
                U::Invert | U::Conj | U::Real | U::BitwiseCount | U::Cast(_) => {
                    unreachable!("{} computes in another type than a float's", op.name())
                }
            }
        }
    )+};
}

floats!(f32 f64);

macro_rules! complexes {
    ($($name:ident $c:ident $t:ident;)+) => {$(
        fn $name(op: UnaryOp, a: Run<'_>, n: usize, out: &mut Buf) {
            use UnaryOp as U;
            macro_rules! map {
                ($x:ident => $body:expr) => { map_with!(a, n, out, $c => $c, |$x| $body) };
            }
            // In 64 bits, and rounded once.
            macro_rules! wide {
                ($x:ident => $body:expr) => {
                    map!(narrow => {
                        let $x = C64::new(f64::from(narrow.re), f64::from(narrow.im));
                        let z: C64 = $body;
                        $c::new(z.re as $t, z.im as $t)
                    })
                };
            }
            macro_rules! part {
                ($x:ident => $body:expr) => { map_with!(a, n, out, $c => $t, |$x| $body) };
            }
            macro_rules! test {
                ($x:ident => $body:expr) => { map_with!(a, n, out, $c => bool, |$x| $body) };
            }
            match op {
                U::Negative => map!(x => -x),
                U::Absolute => part!(x => x.re.hypot(x.im)),
                U::Sign => map!(x => ComplexNumber::sign(x)),
                U::Reciprocal => map!(x => $c::new(1.0, 0.0).divide(x)),
                U::Square => map!(x => x * x),
                U::Sqrt => wide!(x => x.sqrt()),
                U::Exp => wide!(x => x.exp()),
                U::Exp2 => wide!(x => (x * std::f64::consts::LN_2).exp()),
                U::Expm1 => wide!(x => complex::expm1(x)),
                U::Log => wide!(x => x.ln()),
                U::Log2 => wide!(x => x.ln() * std::f64::consts::LOG2_E),
                U::Log10 => wide!(x => x.ln() * std::f64::consts::LOG10_E),
                U::Log1p => wide!(x => complex::log1p(x)),
                U::Sin => wide!(x => x.sin()),
                U::Cos => wide!(x => x.cos()),
                U::Tan => wide!(x => complex::tan(x)),
                U::Arcsin => wide!(x => complex::arcsin(x)),
                U::Arccos => wide!(x => complex::arccos(x)),
                U::Arctan => wide!(x => complex::arctan(x)),
                U::Sinh => wide!(x => x.sinh()),
                U::Cosh => wide!(x => x.cosh()),
                U::Tanh => wide!(x => complex::tanh(x)),
                U::Arcsinh => wide!(x => complex::arcsinh(x)),
                U::Arccosh => wide!(x => complex::arccosh(x)),
                U::Arctanh => wide!(x => complex::arctanh(x)),
                U::Rint => map!(x => $c::new(x.re.round_ties_even(), x.im.round_ties_even())),
                U::Conj => map!(x => x.conj()),
                U::Real => part!(x => x.re),
                U::Imag => part!(x => x.im),
                U::Angle => part!(x => x.im.atan2(x.re)),
                U::Isnan => test!(x => x.re.is_nan() || x.im.is_nan()),
                U::Isinf => test!(x => x.re.is_infinite() || x.im.is_infinite()),
                U::Isfinite => test!(x => x.re.is_finite() && x.im.is_finite()),
                U::Cbrt | U::Deg2rad | U::Rad2deg | U::Floor | U::Ceil | U::Trunc | U::Signbit
                | U::Invert | U::I0 | U::Mantissa | U::Exponent | U::BitwiseCount | U::Cast(_) => {
                    unreachable!("{} is not defined for complex numbers", op.name())
                }
            }
        }
    )+};
}

complexes!(c32 C32 f32; c64 C64 f64;);
