//! What NumPy's operations mean for one complex number. The inverse functions are those of
//! W. Kahan, *Branch Cuts for Complex Elementary Functions* (1987): on a cut the sign of a
//! zero tells the side.

use num_complex::Complex;

use crate::element::{C32, C64, Element};

/// Complex numbers of either size.
pub(crate) trait ComplexNumber: Element {
    /// The quotient, by the scaling of R. L. Smith, *Algorithm 116: Complex Division* (CACM
    /// 1962), which does not overflow where the result does not.
    fn divide(self, by: Self) -> Self;
    /// Real parts compared first, then imaginary ones.
    fn less(self, other: Self) -> bool;
    fn less_equal(self, other: Self) -> bool;
    fn has_nan(self) -> bool;
    fn sign(self) -> Self;
    fn power(self, exponent: Self) -> Self;
}

macro_rules! complex {
    ($($c:ident $t:ident)+) => {$(
        impl ComplexNumber for $c {
            #[inline(always)]
            fn divide(self, by: Self) -> Self {
                let (a, b, c, d) = (self.re, self.im, by.re, by.im);
                if c.abs() >= d.abs() {
                    if c == 0.0 && d == 0.0 {
                        return Complex::new(a / c.abs(), b / c.abs());
                    }
                    let r = d / c;
                    let s = 1.0 / (c + d * r);
                    Complex::new((a + b * r) * s, (b - a * r) * s)
                } else {
                    let r = c / d;
                    let s = 1.0 / (c * r + d);
                    Complex::new((a * r + b) * s, (b * r - a) * s)
                }
            }

            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self.re < other.re && !self.im.is_nan() && !other.im.is_nan()
                    || self.re == other.re && self.im < other.im
            }

            #[inline(always)]
            fn less_equal(self, other: Self) -> bool {
                self.re < other.re && !self.im.is_nan() && !other.im.is_nan()
                    || self.re == other.re && self.im <= other.im
            }

            #[inline(always)]
            fn has_nan(self) -> bool {
                self.re.is_nan() || self.im.is_nan()
            }

            /// The number on the unit circle in its direction; 0 of 0.
            fn sign(self) -> Self {
                let n = self.re.hypot(self.im);
                if n == 0.0 { Self::default() } else { Complex::new(self.re / n, self.im / n) }
            }

            fn power(self, exponent: Self) -> Self {
                if exponent == Self::default() {
                    return Complex::new(1.0, 0.0);
                }
                if self == Self::default() {
                    let nan = Complex::new($t::NAN, $t::NAN);
                    return if exponent.re > 0.0 { Self::default() } else { nan };
                }
                // Small whole exponents by products, as the logarithm rounds.
                if exponent.im == 0.0 && exponent.re == exponent.re.trunc()
                    && exponent.re.abs() < 100.0
                {
                    return self.powi(exponent.re as i32);
                }
                self.powc(exponent)
            }
        }
    )+};
}

complex!(C32 f32 C64 f64);

/// `1 - z` and `1 + z`, with the signs of zeros kept.
fn around_one(z: C64) -> (C64, C64) {
    (C64::new(1.0 - z.re, -z.im), C64::new(1.0 + z.re, z.im))
}

/// `e^z - 1` without cancellation near 0: `(e^a - 1) cos b - 2 sin(b/2)^2` in the real part.
pub(crate) fn expm1(z: C64) -> C64 {
    let half = (z.im * 0.5).sin();
    let re = z.re.exp_m1() * z.im.cos() - 2.0 * half * half;
    C64::new(re, z.re.exp() * z.im.sin())
}

/// `log(1 + z)` without cancellation near 0.
pub(crate) fn log1p(z: C64) -> C64 {
    let above = 1.0 + z.re;
    let re = if z.re.abs() < 0.25 && z.im.abs() < 0.25 {
        // |1 + z|^2 - 1, which is small where z is.
        0.5 * (z.re * (2.0 + z.re) + z.im * z.im).ln_1p()
    } else {
        above.hypot(z.im).ln()
    };
    C64::new(re, z.im.atan2(above))
}

/// The tangent, by the real functions of both parts: no difference cancels, near a pole
/// either.
pub(crate) fn tan(z: C64) -> C64 {
    let (t, h, c) = (z.re.tan(), z.im.tanh(), z.im.cosh());
    let below = 1.0 + t * t * h * h;
    C64::new(t / c / c / below, h * (1.0 + t * t) / below)
}

/// `-i tan(i z)`.
pub(crate) fn tanh(z: C64) -> C64 {
    let turned = tan(C64::new(-z.im, z.re));
    C64::new(turned.im, -turned.re)
}

pub(crate) fn arcsin(z: C64) -> C64 {
    let (below, above) = around_one(z);
    let (below, above) = (below.sqrt(), above.sqrt());
    C64::new(z.re.atan2((below * above).re), (below.re * above.im - below.im * above.re).asinh())
}

pub(crate) fn arccos(z: C64) -> C64 {
    let (below, above) = around_one(z);
    let (below, above) = (below.sqrt(), above.sqrt());
    C64::new(2.0 * below.re.atan2(above.re), (above.re * below.im - above.im * below.re).asinh())
}

/// `-i arcsin(i z)`.
pub(crate) fn arcsinh(z: C64) -> C64 {
    let turned = arcsin(C64::new(-z.im, z.re));
    C64::new(turned.im, -turned.re)
}

pub(crate) fn arccosh(z: C64) -> C64 {
    let below = C64::new(z.re - 1.0, z.im).sqrt();
    let above = C64::new(z.re + 1.0, z.im).sqrt();
    C64::new((below.re * above.re + below.im * above.im).asinh(), 2.0 * below.im.atan2(above.re))
}

pub(crate) fn arctanh(z: C64) -> C64 {
    // The half plane to the right, mirrored to the one to the left.
    let side = 1.0_f64.copysign(z.re);
    let (x, y) = (z.re * side, -z.im * side);
    let (below, square) = (1.0 - x, y * y);
    let re = (4.0 * x / (below * below + square)).ln_1p() / 4.0;
    let im = (2.0 * y).atan2(below * (1.0 + x) - square) / 2.0;
    C64::new(re * side, -im * side)
}

/// `-i arctanh(i z)`.
pub(crate) fn arctan(z: C64) -> C64 {
    let turned = arctanh(C64::new(-z.im, z.re));
    C64::new(turned.im, -turned.re)
}
