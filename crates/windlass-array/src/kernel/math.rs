//! Exponential, logarithm, sine and cosine without branches or tables, so that the compiler
//! makes vectors of them. Power series on reduced arguments, cut where the next term is below
//! a quarter of a unit in the last place (ulp); the largest errors found against the standard
//! library are in the tests: 2 ulp, most results equal.
//!
//! Each takes whether a product and a sum are one instruction of the processor (`FUSED`):
//! that halves the work, and changes some last bits.
//!
//! The reductions are those of W. J. Cody and W. Waite, *Software Manual for the Elementary
//! Functions* (1980): a multiple of a constant taken away in parts whose products are exact.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, LOG2_E};

/// 1.5 × 2^52: a float plus this has the rounded integer in its low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts: the high one has 21 zero bits at its end, so that its products with
/// exponents are exact.
const LN2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);

/// `a * b + c`.
#[inline(always)]
fn fma<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x`. Overflows to infinity, underflows through subnormals to 0.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f64) -> f64 {
    // Beyond these bounds the result is infinite or 0 anyway. NaN passes.
    let y = if x > 710.0 { 710.0 } else { x };
    let y = if y < -746.0 { -746.0 } else { y };
    let shifted = fma::<FUSED>(y, LOG2_E, SHIFT);
    let k = shifted - SHIFT;
    let r = fma::<FUSED>(-k, LN2_LOW, fma::<FUSED>(-k, LN2_HIGH, y));
    // 1/n! from n = 13 down to 2: |r| <= ln(2)/2.
    let mut q = 1.0 / 6_227_020_800.0;
    q = fma::<FUSED>(q, r, 1.0 / 479_001_600.0);
    q = fma::<FUSED>(q, r, 1.0 / 39_916_800.0);
    q = fma::<FUSED>(q, r, 1.0 / 3_628_800.0);
    q = fma::<FUSED>(q, r, 1.0 / 362_880.0);
    q = fma::<FUSED>(q, r, 1.0 / 40_320.0);
    q = fma::<FUSED>(q, r, 1.0 / 5_040.0);
    q = fma::<FUSED>(q, r, 1.0 / 720.0);
    q = fma::<FUSED>(q, r, 1.0 / 120.0);
    q = fma::<FUSED>(q, r, 1.0 / 24.0);
    q = fma::<FUSED>(q, r, 1.0 / 6.0);
    q = fma::<FUSED>(q, r, 0.5);
    let e = 1.0 + fma::<FUSED>(r * r, q, r);
    // 2^k in two factors, as k may be beyond the exponents: the integer is in the low bits of
    // `shifted`.
    let k = (shifted.to_bits() as i32).clamp(-1100, 1100);
    let half = k >> 1;
    let power = |k: i32| f64::from_bits(((1023 + k) as u64) << 52);
    e * power(half) * power(k - half)
}

/// The natural logarithm: minus infinity of 0, NaN of what is negative.
#[inline(always)]
pub(crate) fn log<const FUSED: bool>(x: f64) -> f64 {
    // Subnormals are scaled first.
    let small = x < f64::MIN_POSITIVE;
    let y = if small { x * 18_014_398_509_481_984.0 } else { x };
    let bits = y.to_bits();
    // The mantissa in [sqrt(1/2), sqrt(2)): the exponent of bits - bits(sqrt(1/2)).
    const ROOT: u64 = 0x3FE6_A09E_667F_3BCD;
    let above = bits.wrapping_sub(ROOT);
    let exponent = (above as i64) >> 52;
    let m = f64::from_bits(bits.wrapping_sub((exponent as u64) << 52));
    // As a float, without an instruction that converts 64-bit integers.
    let k = f64::from_bits((exponent as u64).wrapping_add(SHIFT.to_bits())) - SHIFT;
    let k = if small { k - 54.0 } else { k };
    // log(1 + f) = 2 atanh(f / (2 + f)), the odd powers from the 23rd down.
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let mut q = 2.0 / 23.0;
    q = fma::<FUSED>(q, z, 2.0 / 21.0);
    q = fma::<FUSED>(q, z, 2.0 / 19.0);
    q = fma::<FUSED>(q, z, 2.0 / 17.0);
    q = fma::<FUSED>(q, z, 2.0 / 15.0);
    q = fma::<FUSED>(q, z, 2.0 / 13.0);
    q = fma::<FUSED>(q, z, 2.0 / 11.0);
    q = fma::<FUSED>(q, z, 2.0 / 9.0);
    q = fma::<FUSED>(q, z, 2.0 / 7.0);
    q = fma::<FUSED>(q, z, 2.0 / 5.0);
    q = fma::<FUSED>(q, z, 2.0 / 3.0);
    let half = 0.5 * f * f;
    let l = k * LN2_HIGH - ((half - fma::<FUSED>(s, half + q * z, k * LN2_LOW)) - f);
    let l = if x == 0.0 { f64::NEG_INFINITY } else { l };
    let l = if x < 0.0 { f64::NAN } else { l };
    if x < f64::INFINITY { l } else { x }
}

/// Up to this magnitude [`sin`] and [`cos`] hold: the quotient has 20 bits.
pub(crate) const TURNS: f64 = 1_000_000.0;

/// pi/2 in parts of 33 bits each and the rest.
const PIO2_1: f64 = f64::from_bits(0x3FF9_21FB_5440_0000);
const PIO2_2: f64 = f64::from_bits(0x3DD0_B461_1A60_0000);
const PIO2_3: f64 = f64::from_bits(0x3BA3_198A_2E03_7073);

/// The quotient by pi/2 in the low bits, and what is left.
#[inline(always)]
fn quarter<const FUSED: bool>(x: f64) -> (u64, f64) {
    let shifted = fma::<FUSED>(x, FRAC_2_PI, SHIFT);
    let k = shifted - SHIFT;
    debug_assert!(k.abs() <= TURNS / FRAC_PI_2 + 1.0 || k.is_nan());
    let r = fma::<FUSED>(-k, PIO2_2, fma::<FUSED>(-k, PIO2_1, x));
    (shifted.to_bits(), fma::<FUSED>(-k, PIO2_3, r))
}

#[inline(always)]
fn sin_series<const FUSED: bool>(r: f64, z: f64) -> f64 {
    let mut q = 1.0 / 355_687_428_096_000.0;
    q = fma::<FUSED>(q, z, -1.0 / 1_307_674_368_000.0);
    q = fma::<FUSED>(q, z, 1.0 / 6_227_020_800.0);
    q = fma::<FUSED>(q, z, -1.0 / 39_916_800.0);
    q = fma::<FUSED>(q, z, 1.0 / 362_880.0);
    q = fma::<FUSED>(q, z, -1.0 / 5_040.0);
    q = fma::<FUSED>(q, z, 1.0 / 120.0);
    q = fma::<FUSED>(q, z, -1.0 / 6.0);
    fma::<FUSED>(r * z, q, r)
}

#[inline(always)]
fn cos_series<const FUSED: bool>(z: f64) -> f64 {
    let mut q = -1.0 / 6_402_373_705_728_000.0;
    q = fma::<FUSED>(q, z, 1.0 / 20_922_789_888_000.0);
    q = fma::<FUSED>(q, z, -1.0 / 87_178_291_200.0);
    q = fma::<FUSED>(q, z, 1.0 / 479_001_600.0);
    q = fma::<FUSED>(q, z, -1.0 / 3_628_800.0);
    q = fma::<FUSED>(q, z, 1.0 / 40_320.0);
    q = fma::<FUSED>(q, z, -1.0 / 720.0);
    q = fma::<FUSED>(q, z, 1.0 / 24.0);
    let half = 0.5 * z;
    let w = 1.0 - half;
    w + fma::<FUSED>(z * z, q, (1.0 - w) - half)
}

#[inline(always)]
fn turned<const FUSED: bool>(quarters: u64, r: f64) -> f64 {
    let z = r * r;
    let (s, c) = (sin_series::<FUSED>(r, z), cos_series::<FUSED>(z));
    let value = if quarters & 1 == 0 { s } else { c };
    if quarters & 2 == 0 { value } else { -value }
}

/// The sine, for magnitudes up to [`TURNS`].
#[inline(always)]
pub(crate) fn sin<const FUSED: bool>(x: f64) -> f64 {
    let (k, r) = quarter::<FUSED>(x);
    // The series keeps the sign of zero; the reduction does not.
    if x == 0.0 { x } else { turned::<FUSED>(k, r) }
}

/// The cosine, for magnitudes up to [`TURNS`].
#[inline(always)]
pub(crate) fn cos<const FUSED: bool>(x: f64) -> f64 {
    let (k, r) = quarter::<FUSED>(x);
    turned::<FUSED>(k.wrapping_add(1), r)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of two floats in units of the last place.
    fn ulps(a: f64, b: f64) -> u64 {
        if a == b || (a.is_nan() && b.is_nan()) {
            return 0;
        }
        let order = |x: f64| {
            let bits = x.to_bits() as i64;
            if bits < 0 { i64::MIN - bits } else { bits }
        };
        order(a).abs_diff(order(b))
    }

    /// The largest distance from the standard library, which itself is within 1 ulp.
    const WORST: u64 = 2;

    fn check(
        name: &str,
        ours: fn(f64) -> f64,
        std: fn(f64) -> f64,
        points: impl Iterator<Item = f64>,
    ) {
        let mut worst = (0, 0.0);
        for x in points {
            let d = ulps(ours(x), std(x));
            if d >= worst.0 {
                worst = (d, x);
            }
        }
        assert!(
            worst.0 <= WORST,
            "{name}({:e}): {} ulp: {:e} {:e}",
            worst.1,
            worst.0,
            ours(worst.1),
            std(worst.1)
        );
    }

    /// Points spread over a range by a golden-ratio sequence.
    fn spread(low: f64, high: f64, n: u64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| {
            let u = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / 2f64.powi(64);
            low + u * (high - low)
        })
    }

    /// Every bit pattern so-many apart.
    fn patterns(n: u64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| f64::from_bits(i.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    const EXTREMES: [f64; 16] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        709.782712893384,
        709.7827128933841,
        -745.1332191019411,
        -745.1332191019412,
        -708.4,
    ];

    #[test]
    fn exponentials_are_within_two_ulp() {
        let points = spread(-750.0, 715.0, 300_000).chain(spread(-1.0, 1.0, 200_000));
        check("exp", exp::<false>, f64::exp, points.chain(patterns(100_000)).chain(EXTREMES));
    }

    #[test]
    fn logarithms_are_within_two_ulp() {
        let points = spread(0.0, 4.0, 300_000).chain(spread(0.9, 1.1, 200_000));
        check("log", log::<false>, f64::ln, points.chain(patterns(300_000)).chain(EXTREMES));
    }

    #[test]
    fn sines_and_cosines_are_within_two_ulp() {
        let quarters = (0..200_000).map(|k| f64::from(k) * FRAC_PI_2);
        let points = || {
            let around = spread(-TURNS, TURNS, 300_000).chain(spread(-4.0, 4.0, 200_000));
            let small = patterns(100_000).filter(|x| x.abs() <= TURNS);
            around.chain(small).chain(quarters.clone()).chain([0.0, -0.0, 5e-324])
        };
        check("sin", sin::<false>, f64::sin, points());
        check("cos", cos::<false>, f64::cos, points());
        assert!(sin::<false>(-0.0).is_sign_negative());
    }
}
