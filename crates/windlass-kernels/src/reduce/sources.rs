//! The kernels' texts, from `kernels/reduce` and `shaders/reduce`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
};

/// Sums and counts; with `KIND`, the type of the values.
pub(super) const SUM: Text = text!("reduce", "sum", "sum", "rrrww", 6);

/// Minima and maxima; with `WORDS`, the 32-bit words of a value.
pub(super) const EXTREME: Text = text!("reduce", "extreme", "extreme", "rrrw", 6);

/// Sums of differences and their products.
pub(super) const MOMENTS: Text = text!("reduce", "moments", "moments", "rrrrrw", 12);

/// What `KIND` may be; the values are those of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Int = 0,
    F32 = 1,
    F64 = 2,
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let mut all = Vec::new();
    for kind in [Kind::Int, Kind::F32, Kind::F64] {
        all.push((*texts::source(&SUM, &[("KIND", kind as u32)], language)?).clone());
    }
    for words in [1, 2, 4] {
        all.push((*texts::source(&EXTREME, &[("WORDS", words)], language)?).clone());
    }
    all.push((*texts::source(&MOMENTS, &[], language)?).clone());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers and extremes run on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for (i, s) in sources(Language::Wgsl).unwrap().iter().enumerate() {
            if s.name.ends_with("extreme") || i == 0 {
                texts::tests::is_core_wgsl(s);
            }
        }
    }
}
