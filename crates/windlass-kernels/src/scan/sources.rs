//! The texts of the kernels over columns, from `kernels/scan` and `shaders/scan`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
};

/// Running results; with `KIND`, the operator and its type.
pub(super) const PREFIX: Text = text!("scan", "prefix", "prefix", "rrrrrww", 10);

/// What `KIND` may be; the values are those of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    SumU32 = 0,
    SumU64 = 1,
    SumF32 = 2,
    SumF64 = 3,
    Code32 = 4,
    Code64 = 5,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::SumU32, Self::SumU64, Self::SumF32, Self::SumF64, Self::Code32, Self::Code64];

    /// 32-bit words of a value.
    pub(super) fn words(self) -> usize {
        match self {
            Self::SumU32 | Self::SumF32 | Self::Code32 => 1,
            Self::SumU64 | Self::SumF64 | Self::Code64 => 2,
        }
    }
}

/// Every kernel over columns in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let source = |kind| texts::source(&PREFIX, &[("KIND", kind as u32)], language);
    Kind::ALL.into_iter().map(|kind| Ok((*source(kind)?).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but sums of f64 run on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for (kind, s) in Kind::ALL.into_iter().zip(sources(Language::Wgsl).unwrap()) {
            if kind != Kind::SumF64 {
                texts::tests::is_core_wgsl(&s);
            }
        }
    }
}
