//! The texts of the kernels over windows, from `kernels/window` and `shaders/window`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
    types::PhysType,
};

/// Where runs start and end, to be spread by scans.
pub(super) const RUN_EDGES: Text = text!("window", "run_edges", "run_edges", "rww", 1);

/// The rows of frames.
pub(super) const FRAME_BOUNDS: Text = text!("window", "frame_bounds", "frame_bounds", "rrrrww", 5);

/// One row of each frame.
pub(super) const PICK: Text = text!("window", "pick", "pick", "rrw", 3);

/// Sums and extremes of frames; with `KIND`, the operator and its type.
pub(super) const RANGE: Text = text!("window", "range", "range", "rrwwrrww", 7);

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
    SumU128 = 6,
    Code128 = 7,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::SumU32,
        Self::SumU64,
        Self::SumF32,
        Self::SumF64,
        Self::Code32,
        Self::Code64,
        Self::SumU128,
        Self::Code128,
    ];

    /// Of a sum, or of an extreme.
    pub(super) fn of(ty: PhysType, sum: bool) -> Self {
        match (sum, ty, ty.words()) {
            (true, PhysType::F32, _) => Self::SumF32,
            (true, PhysType::F64, _) => Self::SumF64,
            (true, _, 1) => Self::SumU32,
            (true, _, 2) => Self::SumU64,
            (true, ..) => Self::SumU128,
            (false, _, 1) => Self::Code32,
            (false, _, 2) => Self::Code64,
            (false, ..) => Self::Code128,
        }
    }
}

/// Every kernel over windows in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let plain = [&RUN_EDGES, &FRAME_BOUNDS, &PICK];
    let plain = plain.into_iter().map(|t| texts::source(t, &[], language));
    let kinds =
        Kind::ALL.into_iter().map(|k| texts::source(&RANGE, &[("KIND", k as u32)], language));
    plain.chain(kinds).map(|s| Ok((*s?).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but sums of f64 run on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for (i, s) in sources(Language::Wgsl).unwrap().iter().enumerate() {
            if i != 3 + Kind::SumF64 as usize {
                texts::tests::is_core_wgsl(s);
            }
        }
    }
}
