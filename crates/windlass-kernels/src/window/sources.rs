//! The texts of the kernels over windows, from `kernels/window` and `shaders/window`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
    types::PhysType,
};

use super::FrameOp;

/// Where runs start and end, to be spread by scans.
pub(super) const RUN_EDGES: Text = text!("window", "run_edges", "run_edges", "rww", 1);

/// The rows of frames.
pub(super) const FRAME_BOUNDS: Text = text!("window", "frame_bounds", "frame_bounds", "rrrrww", 5);

/// One row of each frame.
pub(super) const PICK: Text = text!("window", "pick", "pick", "rrw", 3);

/// One row of each frame among those that are not null.
pub(super) const PICK_VALID: Text = text!("window", "pick_valid", "pick_valid", "rrrw", 3);

/// Where values stand among sorted keys; with `KIND`, the logarithm of a value's words.
pub(super) const SEARCH: Text = text!("window", "search", "search", "rrrrrrrw", 7);

/// What `KIND` of [`SEARCH`] may be.
const SEARCH_KINDS: [u32; 3] = [0, 1, 2];

/// The `KIND` of [`SEARCH`] for a type.
pub(super) fn search_kind(ty: PhysType) -> u32 {
    ty.words().trailing_zeros()
}

/// Sums, extremes and spreads of frames; with `KIND`, the operator and its type.
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
    SpreadF64 = 8,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::SumU32,
        Self::SumU64,
        Self::SumF32,
        Self::SumF64,
        Self::Code32,
        Self::Code64,
        Self::SumU128,
        Self::Code128,
        Self::SpreadF64,
    ];

    /// Of an operator over a type that has it.
    pub(super) fn of(ty: PhysType, op: FrameOp) -> Self {
        match (op, ty, ty.words()) {
            (FrameOp::Spread, ..) => Self::SpreadF64,
            (FrameOp::Sum, PhysType::F32, _) => Self::SumF32,
            (FrameOp::Sum, PhysType::F64, _) => Self::SumF64,
            (FrameOp::Sum, _, 1) => Self::SumU32,
            (FrameOp::Sum, _, 2) => Self::SumU64,
            (FrameOp::Sum, ..) => Self::SumU128,
            (FrameOp::Min | FrameOp::Max, _, 1) => Self::Code32,
            (FrameOp::Min | FrameOp::Max, _, 2) => Self::Code64,
            (FrameOp::Min | FrameOp::Max, ..) => Self::Code128,
        }
    }

    /// Words of a node of the tree, in which a row's value has `words`.
    pub(super) fn node_words(self, words: usize) -> usize {
        match self {
            // A mean and a sum of squares.
            Self::SpreadF64 => 4,
            _ => words,
        }
    }

    /// Whether WGSL needs 64-bit floats for it.
    pub(super) fn needs_f64(self) -> bool {
        matches!(self, Self::SumF64 | Self::SpreadF64)
    }
}

/// Every kernel over windows in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let plain = [&RUN_EDGES, &FRAME_BOUNDS, &PICK, &PICK_VALID];
    let plain = plain.into_iter().map(|t| texts::source(t, &[], language));
    let kinds =
        Kind::ALL.into_iter().map(|k| texts::source(&RANGE, &[("KIND", k as u32)], language));
    let searches =
        SEARCH_KINDS.into_iter().map(|k| texts::source(&SEARCH, &[("KIND", k)], language));
    kinds.chain(plain).chain(searches).map(|s| Ok((*s?).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but sums and spreads of f64 run on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for (i, s) in sources(Language::Wgsl).unwrap().iter().enumerate() {
            if !Kind::ALL.get(i).is_some_and(|k| k.needs_f64()) {
                texts::tests::is_core_wgsl(s);
            }
        }
    }
}
