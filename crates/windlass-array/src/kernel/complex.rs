//! What NumPy's operations mean for one complex number.

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
