//! The kernels' texts, from `kernels/gather` and `shaders/gather`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
};

/// Moves rows; with `WORDS`, the 32-bit words of a value.
pub(super) const GATHER: Text = text!("gather", "gather", "gather", "rrrww", 10);

/// Inverts row numbers.
pub(super) const SCATTER: Text = text!("gather", "scatter", "scatter", "rw", 2);

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let mut all = Vec::new();
    for words in [1, 2, 4] {
        all.push((*texts::source(&GATHER, &[("WORDS", words)], language)?).clone());
    }
    all.push((*texts::source(&SCATTER, &[], language)?).clone());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any adapter has what the shaders need, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for s in sources(Language::Wgsl).unwrap() {
            texts::tests::is_core_wgsl(&s);
        }
    }
}
