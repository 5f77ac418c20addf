//! The error flags that a program raises, the same on every backend: a kernel ORs them
//! into one word, which the host turns into an error.

use crate::error::KernelError;

/// An integer was divided by zero.
pub(crate) const DIVIDE_BY_ZERO: u32 = 1;
/// `MIN / -1`.
pub(crate) const DIVISION: u32 = 2;
/// A cast out of the target's range.
pub(crate) const CAST: u32 = 4;
/// A checked sum, difference or product.
pub(crate) const ARITHMETIC: u32 = 8;
/// The absolute value of the smallest integer.
pub(crate) const ABSOLUTE: u32 = 16;

/// The error of a word of flags; the lowest flag wins, so that it does not depend on the
/// order in which rows ran.
pub(crate) fn error_of(flags: u32) -> Option<KernelError> {
    let text = match flags & flags.wrapping_neg() {
        0 => return None,
        DIVIDE_BY_ZERO => return Some(KernelError::DivideByZero),
        DIVISION => "the smallest integer divided by -1",
        CAST => "a cast value is out of the range of its target type",
        ARITHMETIC => "a decimal or timestamp is out of range",
        _ => "the absolute value of the smallest integer",
    };
    Some(KernelError::Overflow(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_flag_is_the_error() {
        assert!(error_of(0).is_none());
        let both = error_of(CAST | DIVIDE_BY_ZERO);
        assert!(matches!(both, Some(KernelError::DivideByZero)));
        assert!(matches!(error_of(ABSOLUTE), Some(KernelError::Overflow(t)) if t.contains("abs")));
    }
}
