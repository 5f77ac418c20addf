//! Floats as a fraction and a power of two, and the modified Bessel function of order 0.

/// 2^54: what brings subnormal numbers among the others.
const UP: f64 = 18_014_398_509_481_984.0;

/// A fraction whose magnitude is in 1/2..1, and the power of two to which it is the number; of 0,
/// NaN and infinities themselves and 0. C's `frexp`.
#[inline(always)]
pub(crate) fn split(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let small = x.abs() < f64::MIN_POSITIVE;
    let bits = if small { x * UP } else { x }.to_bits();
    let exponent = ((bits >> 52) & 0x7FF) as i32 - 1022;
    let fraction = f64::from_bits((bits & !(0x7FF << 52)) | (1022 << 52));
    (fraction, if small { exponent - 54 } else { exponent })
}

/// 2 to a power in -1022..=1023.
#[inline(always)]
fn power(k: i32) -> f64 {
    f64::from_bits(((1023 + k) as u64) << 52)
}

/// A number times two to a power that is whole, rounded once. C's `ldexp`.
#[inline(always)]
pub(crate) fn scaled(x: f64, exponent: f64) -> f64 {
    // Past these every number but 0 is infinite or rounds to 0. NaN becomes 0 here.
    let mut k = exponent.clamp(-2200.0, 2200.0) as i32;
    let mut x = x;
    // In steps that round only where the result is subnormal, which is the last.
    while k > 1023 {
        (x, k) = (x * power(1023), k - 1023);
    }
    while k < -1022 {
        // 53 bits are left for the last step: what is subnormal there is so once.
        (x, k) = (x * power(-969), k + 969);
    }
    x * power(k)
}

/// Up to here the power series; above it the asymptotic one, whose least term is below a unit in
/// the last place from 18 on.
const FAR: f64 = 30.0;

/// The modified Bessel function of the first kind of order 0: the power series in `x*x/4`, of
/// terms that are all positive, and the asymptotic one (M. Abramowitz and I. A. Stegun, *Handbook
/// of Mathematical Functions* (1964), 9.6.12 and 9.7.1).
pub(crate) fn i0(x: f64) -> f64 {
    let x = x.abs();
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    if x.is_nan() || x.is_infinite() {
        return x;
    }
    if x <= FAR {
        let z = x * x / 4.0;
        while term > sum * (f64::EPSILON / 8.0) {
            term *= z / (k * k);
            sum += term;
            k += 1.0;
        }
        return sum;
    }
    while term > f64::EPSILON / 8.0 && k < FAR {
        let odd = 2.0 * k - 1.0;
        term *= odd * odd / (8.0 * k * x);
        sum += term;
        k += 1.0;
    }
    // In two factors: their product may be finite where the exponential is not.
    let half = (x / 2.0).exp();
    half * (sum / (std::f64::consts::TAU * x).sqrt()) * half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_its_fraction_times_its_power() {
        for x in [1.0, -0.75, 3e300, 5e-324, -2.2e-310, f64::MAX, 0.5] {
            let (fraction, exponent) = split(x);
            assert!((0.5..1.0).contains(&fraction.abs()), "{x}");
            assert_eq!(scaled(fraction, f64::from(exponent)), x);
        }
        assert_eq!(split(0.0), (0.0, 0));
        assert_eq!(split(f64::INFINITY), (f64::INFINITY, 0));
    }

    #[test]
    fn scaling_rounds_once() {
        assert_eq!(scaled(1.5, -1074.0), 1e-323);
        assert_eq!(scaled(1.25, -1074.0), 5e-324);
        assert_eq!(scaled(1.0, -5000.0), 0.0);
        assert_eq!(scaled(5e-324, 2097.0), f64::from_bits(0x7FE0_0000_0000_0000));
        assert_eq!(scaled(-1.0, 1e9), f64::NEG_INFINITY);
        // 53 bits that a step in between would round to even first.
        let x = 1.0 + 2f64.powi(-52);
        assert_eq!(scaled(x, -1075.0), 5e-324);
    }

    #[test]
    fn bessel_functions_of_both_series() {
        // Values of Abramowitz and Stegun's tables, and of larger precision.
        for (x, wanted) in
            [(0.0, 1.0), (1.0, 1.266_065_877_752_008_4), (30.0, 781_672_297_823.977_5)]
        {
            assert!((i0(x) / wanted - 1.0).abs() < 1e-14, "{x}");
        }
        let (below, above) = (i0(30.0), i0(30.0 + 1e-12));
        assert!((above / below - 1.0).abs() < 1e-11);
        assert!(i0(712.0).is_finite());
    }
}
