//! Comparisons and three-valued logic over byte vectors.

use bytemuck::{Pod, cast_slice};

use crate::{ir::BinaryOp, types::PhysType};

/// Key of a float in IEEE 754 totalOrder: as signed integers the keys compare as the
/// values do, NaN above infinity and -0.0 below 0.0.
#[inline]
pub(super) fn key32(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// As [`key32`].
#[inline]
pub(super) fn key64(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The operands of a comparison, and where it goes.
pub(super) struct Compared<'a> {
    pub(super) a: &'a [u8],
    pub(super) b: &'a [u8],
    /// Whether all of `b` is one value.
    pub(super) constant: bool,
    pub(super) out: &'a mut [u8],
}

/// Writes 1 where the comparison holds, else 0; nulls are the caller's. `Distinct` is
/// `Ne` here and `NotDistinct` is `Eq`.
pub(super) fn compare(op: BinaryOp, ty: PhysType, c: Compared<'_>) {
    // Baseline x86-64 has no comparison of 64-bit integers in vectors: with AVX2 the loops
    // take half the time or less (the example of a filter over i64 and f64 columns).
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the feature.
        return unsafe { compare_avx2(op, ty, c) };
    }
    by_type(op, ty, c);
}

/// [`by_type`], compiled for processors with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn compare_avx2(op: BinaryOp, ty: PhysType, c: Compared<'_>) {
    by_type(op, ty, c);
}

#[inline(always)]
fn by_type(op: BinaryOp, ty: PhysType, c: Compared<'_>) {
    match (op, ty) {
        (BinaryOp::FloatEq | BinaryOp::FloatLt | BinaryOp::FloatLe, PhysType::F32) => {
            return ieee::<f32>(op, c);
        }
        (BinaryOp::FloatEq | BinaryOp::FloatLt | BinaryOp::FloatLe, _) => {
            return ieee::<f64>(op, c);
        }
        _ => {}
    }
    match ty {
        PhysType::Bool | PhysType::U8 => ordered::<u8, _>(op, c, |x| x),
        PhysType::I8 => ordered::<i8, _>(op, c, |x| x),
        PhysType::I16 => ordered::<i16, _>(op, c, |x| x),
        PhysType::I32 => ordered::<i32, _>(op, c, |x| x),
        PhysType::I64 => ordered::<i64, _>(op, c, |x| x),
        PhysType::U16 => ordered::<u16, _>(op, c, |x| x),
        PhysType::U32 => ordered::<u32, _>(op, c, |x| x),
        PhysType::U64 => ordered::<u64, _>(op, c, |x| x),
        PhysType::F32 => ordered::<i32, _>(op, c, key32),
        PhysType::F64 => ordered::<i64, _>(op, c, key64),
        PhysType::I128 => ordered::<i128, _>(op, c, |x| x),
    }
}

/// Floats as IEEE 754 compares them.
#[inline(always)]
fn ieee<T: Pod + PartialOrd>(op: BinaryOp, c: Compared<'_>) {
    let (a, b): (&[T], &[T]) = (cast_slice(c.a), cast_slice(c.b));
    let (constant, out) = (c.constant, c.out);
    match op {
        BinaryOp::FloatLt => each(a, b, constant, out, |x| x, |x, y| x < y),
        BinaryOp::FloatLe => each(a, b, constant, out, |x| x, |x, y| x <= y),
        _ => each(a, b, constant, out, |x| x, |x, y| x == y),
    }
}

#[inline(always)]
fn ordered<T: Pod + Ord, F: Fn(T) -> T + Copy>(op: BinaryOp, c: Compared<'_>, key: F) {
    let (a, b): (&[T], &[T]) = (cast_slice(c.a), cast_slice(c.b));
    let (constant, out) = (c.constant, c.out);
    match op {
        BinaryOp::Ne | BinaryOp::Distinct => each(a, b, constant, out, |x| x, |x, y| x != y),
        BinaryOp::Lt => each(a, b, constant, out, key, |x, y| x < y),
        BinaryOp::Le => each(a, b, constant, out, key, |x, y| x <= y),
        BinaryOp::Gt => each(a, b, constant, out, key, |x, y| x > y),
        BinaryOp::Ge => each(a, b, constant, out, key, |x, y| x >= y),
        _ => each(a, b, constant, out, |x| x, |x, y| x == y),
    }
}

#[inline(always)]
fn each<T: Copy>(
    a: &[T],
    b: &[T],
    constant: bool,
    out: &mut [u8],
    key: impl Fn(T) -> T,
    f: impl Fn(T, T) -> bool,
) {
    match b.first() {
        Some(y) if constant => {
            let y = key(*y);
            for (o, x) in out.iter_mut().zip(a) {
                *o = u8::from(f(key(*x), y));
            }
        }
        _ => {
            for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
                *o = u8::from(f(key(*x), key(*y)));
            }
        }
    }
}

/// Fixes the result of `Distinct` (or with `not`, its opposite) where an operand is null.
pub(super) fn distinct_nulls(out: &mut [u8], a: Option<&[u8]>, b: Option<&[u8]>, not: bool) {
    let flip = u8::from(not);
    for (i, o) in out.iter_mut().enumerate() {
        let (va, vb) = (a.map_or(1, |m| m[i]), b.map_or(1, |m| m[i]));
        // Both valid: the comparison; one null: distinct; both null: not distinct.
        let both = va & vb;
        *o = (both & *o) | ((both ^ 1) & ((va ^ vb) ^ flip));
    }
}

/// A three-valued operand: values and, where it may be null, validity.
pub(super) type Kleene<'a> = (&'a [u8], Option<&'a [u8]>);

/// Kleene AND (or OR) of two operands; fills values, and validity where one may be null.
pub(super) fn kleene(or: bool, a: Kleene<'_>, b: Kleene<'_>, out: &mut [u8], valid: &mut [u8]) {
    let nullable = a.1.is_some() || b.1.is_some();
    if !nullable {
        match or {
            true => each_byte(a.0, b.0, out, |x, y| x | y),
            false => each_byte(a.0, b.0, out, |x, y| x & y),
        }
        return;
    }
    // OR is AND with every operand and the result negated (De Morgan).
    let flip = u8::from(or);
    for i in 0..out.len() {
        let (va, vb) = (a.1.map_or(1, |m| m[i]), b.1.map_or(1, |m| m[i]));
        let (xa, xb) = (a.0[i] ^ flip, b.0[i] ^ flip);
        let yes = xa & xb & va & vb;
        let no = (va & (xa ^ 1)) | (vb & (xb ^ 1));
        out[i] = yes ^ flip;
        valid[i] = yes | no;
    }
}

fn each_byte(a: &[u8], b: &[u8], out: &mut [u8], f: impl Fn(u8, u8) -> u8) {
    for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
        *o = f(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_order_is_rusts() {
        let v =
            [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-310, 2.0, f64::INFINITY, f64::NAN, -f64::NAN];
        for a in v {
            for b in v {
                let keys = key64(a.to_bits() as i64).cmp(&key64(b.to_bits() as i64));
                assert_eq!(keys, a.total_cmp(&b));
                let (a, b) = (a as f32, b as f32);
                let keys = key32(a.to_bits() as i32).cmp(&key32(b.to_bits() as i32));
                assert_eq!(keys, a.total_cmp(&b));
            }
        }
    }

    #[test]
    fn kleene_tables() {
        let all = [Some(false), Some(true), None];
        for a in all {
            for b in all {
                for or in [false, true] {
                    let want = match (or, a, b) {
                        (false, Some(false), _) | (false, _, Some(false)) => Some(false),
                        (true, Some(true), _) | (true, _, Some(true)) => Some(true),
                        (_, None, _) | (_, _, None) => None,
                        _ => Some(!or),
                    };
                    let byte = |x: Option<bool>| [u8::from(x.unwrap_or(true))];
                    let mask = |x: Option<bool>| [u8::from(x.is_some())];
                    let (mut out, mut valid) = ([9], [9]);
                    let (ma, mb) = (mask(a), mask(b));
                    let (xa, xb) = (byte(a), byte(b));
                    kleene(or, (&xa, Some(&ma)), (&xb, Some(&mb)), &mut out, &mut valid);
                    assert_eq!((valid[0] == 1).then_some(out[0] == 1), want, "{or} {a:?} {b:?}");
                }
            }
        }
    }
}
