//! What NumPy's operations mean for one real number: integers wrap and division by zero gives
//! 0; the quotient that is rounded down and its remainder, which has the divisor's sign.

use crate::element::Element;

/// Integers of any size.
pub(crate) trait Integer: Element {
    fn floor_divide(self, by: Self) -> Self;
    fn remainder(self, by: Self) -> Self;
    fn fmod(self, by: Self) -> Self;
    fn power(self, exponent: Self) -> Self;
    fn shift_left(self, by: Self) -> Self;
    fn shift_right(self, by: Self) -> Self;
    fn sign(self) -> Self;
    fn absolute(self) -> Self;
    fn gcd(self, other: Self) -> Self;
    fn lcm(self, other: Self) -> Self;
    fn ones(self) -> u8;
}

macro_rules! shared_integer {
    ($t:ty, $unsigned:ty) => {
        #[inline(always)]
        fn fmod(self, by: Self) -> Self {
            if by == 0 { 0 } else { self.wrapping_rem(by) }
        }

        /// Not negative, but for what no integer of the type can hold.
        #[inline(always)]
        fn gcd(self, other: Self) -> Self {
            let (mut a, mut b) = (self.absolute() as $unsigned, other.absolute() as $unsigned);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a as $t
        }

        #[inline(always)]
        fn lcm(self, other: Self) -> Self {
            let (a, b) = (self.absolute() as $unsigned, other.absolute() as $unsigned);
            let part = a.checked_div(Integer::gcd(self, other) as $unsigned).unwrap_or(0);
            part.wrapping_mul(b) as $t
        }

        /// Of the magnitude.
        #[inline(always)]
        fn ones(self) -> u8 {
            self.absolute().count_ones() as u8
        }

        #[inline(always)]
        fn shift_left(self, by: Self) -> Self {
            let by = by as $unsigned;
            if by < <$t>::BITS as $unsigned { self << by } else { 0 }
        }

        #[inline(always)]
        fn shift_right(self, by: Self) -> Self {
            let (by, bits) = (by as $unsigned, <$t>::BITS as $unsigned);
            if by < bits {
                return self >> by;
            }
            // All bits become the sign.
            #[allow(unused_comparisons, reason = "of unsigned integers it is 0")]
            if self < 0 { !0 } else { 0 }
        }
    };
}

macro_rules! signed {
    ($($t:ty, $unsigned:ty;)+) => {$(
        impl Integer for $t {
            shared_integer!($t, $unsigned);

            #[inline(always)]
            fn floor_divide(self, by: Self) -> Self {
                if by == 0 {
                    return 0;
                }
                let (q, r) = (self.wrapping_div(by), self.wrapping_rem(by));
                if r != 0 && (r < 0) != (by < 0) { q - 1 } else { q }
            }

            #[inline(always)]
            fn remainder(self, by: Self) -> Self {
                if by == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(by);
                if r != 0 && (r < 0) != (by < 0) { r + by } else { r }
            }

            /// Of a negative exponent: 1/x^n, cut to an integer.
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                if exponent < 0 {
                    return match self {
                        1 => 1,
                        -1 if exponent & 1 == 0 => 1,
                        -1 => -1,
                        _ => 0,
                    };
                }
                self.wrapping_pow(exponent.try_into().unwrap_or(u32::MAX))
            }

            #[inline(always)]
            fn sign(self) -> Self {
                self.signum()
            }

            #[inline(always)]
            fn absolute(self) -> Self {
                self.wrapping_abs()
            }
        }
    )+};
}

macro_rules! unsigned {
    ($($t:ty;)+) => {$(
        impl Integer for $t {
            shared_integer!($t, $t);

            #[inline(always)]
            fn floor_divide(self, by: Self) -> Self {
                self.checked_div(by).unwrap_or(0)
            }

            #[inline(always)]
            fn remainder(self, by: Self) -> Self {
                self.checked_rem(by).unwrap_or(0)
            }

            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                self.wrapping_pow(exponent.try_into().unwrap_or(u32::MAX))
            }

            #[inline(always)]
            fn sign(self) -> Self {
                (self > 0).into()
            }

            #[inline(always)]
            fn absolute(self) -> Self {
                self
            }
        }
    )+};
}

signed!(i8, u8; i16, u16; i32, u32; i64, u64;);
unsigned!(u8; u16; u32; u64;);

/// Floats of either size.
pub(crate) trait Float: Element {
    fn floor_divide(self, by: Self) -> Self;
    fn remainder(self, by: Self) -> Self;
    fn sign(self) -> Self;
    fn maximum(self, other: Self) -> Self;
    fn minimum(self, other: Self) -> Self;
    fn logaddexp(self, other: Self) -> Self;
    fn logaddexp2(self, other: Self) -> Self;
}

macro_rules! float {
    ($($t:ident)+) => {$(
        impl Float for $t {
            #[inline(always)]
            fn floor_divide(self, by: Self) -> Self {
                if by == 0.0 {
                    return self / by;
                }
                let r = self % by;
                let mut q = (self - r) / by;
                if r != 0.0 && (by < 0.0) != (r < 0.0) {
                    q -= 1.0;
                }
                if q == 0.0 {
                    return (0.0 as $t).copysign(self / by);
                }
                // The quotient is near an integer, on either side of it.
                let down = q.floor();
                if q - down > 0.5 { down + 1.0 } else { down }
            }

            #[inline(always)]
            fn remainder(self, by: Self) -> Self {
                let r = self % by;
                if r == 0.0 {
                    return (0.0 as $t).copysign(by);
                }
                if (by < 0.0) != (r < 0.0) { r + by } else { r }
            }

            #[inline(always)]
            fn sign(self) -> Self {
                // NaN is its own sign; either zero has 0.
                let below = if self < 0.0 { -1.0 } else if self == 0.0 { 0.0 } else { self };
                if self > 0.0 { 1.0 } else { below }
            }

            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                if self >= other || self.is_nan() { self } else { other }
            }

            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                if self <= other || self.is_nan() { self } else { other }
            }

            #[inline(always)]
            fn logaddexp(self, other: Self) -> Self {
                if self == other {
                    return self + std::$t::consts::LN_2;
                }
                let d = self - other;
                if d.is_nan() {
                    return d;
                }
                self.max(other) + (-d.abs()).exp().ln_1p()
            }

            #[inline(always)]
            fn logaddexp2(self, other: Self) -> Self {
                if self == other {
                    return self + 1.0;
                }
                let d = self - other;
                if d.is_nan() {
                    return d;
                }
                self.max(other) + (-d.abs()).exp2().ln_1p() * std::$t::consts::LOG2_E
            }
        }
    )+};
}

float!(f32 f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_down_and_zero_divides_to_zero() {
        assert_eq!(Integer::floor_divide(-7_i32, 2), -4);
        assert_eq!(Integer::remainder(-7_i32, 2), 1);
        assert_eq!(Integer::remainder(7_i32, -2), -1);
        assert_eq!(Integer::floor_divide(i8::MIN, -1), i8::MIN);
        assert_eq!(Integer::remainder(i8::MIN, -1), 0);
        assert_eq!(Integer::floor_divide(5_u8, 0), 0);
        assert_eq!(Float::floor_divide(-7.5_f64, 2.0), -4.0);
        assert_eq!(Float::remainder(-7.5_f64, 2.0), 0.5);
        assert!(Float::remainder(1.0_f64, 0.0).is_nan());
    }

    #[test]
    fn shifts_past_the_width_leave_the_sign() {
        assert_eq!(Integer::shift_left(1_i32, 32), 0);
        assert_eq!(Integer::shift_left(1_i32, -1), 0);
        assert_eq!(Integer::shift_right(-5_i8, 100), -1);
        assert_eq!(Integer::shift_right(255_u8, 8), 0);
        assert_eq!(Integer::shift_right(255_u8, 7), 1);
    }

    #[test]
    fn powers_wrap() {
        assert_eq!(Integer::power(3_u8, 6), 217);
        assert_eq!(Integer::power(-1_i64, -3), -1);
        assert_eq!(Integer::power(2_i64, -3), 0);
    }
}
