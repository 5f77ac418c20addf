//! The kernels' texts, from `kernels/tile` and `shaders/tile`.

use windlass_device::{KernelSource, Language};

use super::{fold::FoldOp, matmul::multiplies, scan::RunningOp};
use crate::{
    error::Result,
    texts::{self, Defines, Text, text},
    types::PhysType,
};

/// Boxes of elements from one layout to another; with `WORDS` and `TILED`.
pub(super) const PLACE: Text = text!("tile", "place", "place", "rw", 22);

/// Elements along an axis; with `KIND`, `OP` and `IGNORE_NAN`.
pub(super) const FOLD: Text = text!("tile", "fold", "fold", "rww", 6);

/// Running results along an axis; with `KIND` and `OP`.
pub(super) const SCAN: Text = text!("tile", "scan", "scan", "rrrww", 7);

/// Products of matrices; with `KIND`.
pub(super) const MATMUL: Text = text!("tile", "matmul", "matmul", "rrrw", 13);

/// The definitions of a fold.
pub(super) fn fold_defines(ty: PhysType, op: FoldOp) -> Defines {
    let kind = match ty {
        PhysType::I8 | PhysType::I16 | PhysType::I32 => 1,
        // Sums and products wrap, which is defined for unsigned numbers.
        PhysType::I64 if !matches!(op, FoldOp::Sum | FoldOp::Product) => 3,
        PhysType::I64 | PhysType::U64 => 2,
        PhysType::F32 => 4,
        PhysType::F64 => 5,
        _ => 0,
    };
    let (op, ignore) = match op {
        FoldOp::Sum => (0, 0),
        FoldOp::Product => (1, 0),
        FoldOp::Least { ignore_nan } => (2, u32::from(ignore_nan)),
        FoldOp::Greatest { ignore_nan } => (3, u32::from(ignore_nan)),
        FoldOp::FindLeast => (4, 0),
        FoldOp::FindGreatest => (5, 0),
        FoldOp::Moments => (6, 0),
    };
    let extreme = u32::from((2..6).contains(&op));
    vec![("KIND", kind), ("OP", op), ("IGNORE_NAN", ignore), ("EXTREME", extreme)]
}

/// What is multiplied and added; signed integers wrap as unsigned ones do.
pub(super) fn matmul_kind(ty: PhysType) -> u32 {
    match ty {
        PhysType::I64 | PhysType::U64 => 2,
        PhysType::F32 => 4,
        PhysType::F64 => 5,
        _ => 0,
    }
}

/// The definitions of a scan.
pub(super) fn scan_defines(ty: PhysType, op: RunningOp) -> Defines {
    vec![("KIND", matmul_kind(ty)), ("OP", u32::from(op == RunningOp::Product))]
}

/// Every choice of definitions of a copy.
fn place_defines() -> impl Iterator<Item = [(&'static str, u32); 2]> {
    [1, 2, 4].into_iter().flat_map(|w| [0, 1].map(|tiled| [("WORDS", w), ("TILED", tiled)]))
}

/// Types of each kind.
const TYPES: [PhysType; 6] =
    [PhysType::U32, PhysType::I32, PhysType::U64, PhysType::I64, PhysType::F32, PhysType::F64];

/// The definitions of every kernel of the family, each once.
fn all() -> Vec<(Text, Defines)> {
    let mut all: Vec<_> = place_defines().map(|d| (PLACE, d.to_vec())).collect();
    for ty in TYPES {
        let ops = FoldOp::ALL.into_iter().filter(|op| op.takes(ty));
        all.extend(ops.map(|op| (FOLD, fold_defines(ty, op))));
        if FoldOp::Sum.takes(ty) {
            all.extend(RunningOp::ALL.map(|op| (SCAN, scan_defines(ty, op))));
        }
        if multiplies(ty) {
            all.push((MATMUL, vec![("KIND", matmul_kind(ty))]));
        }
    }
    let mut once: Vec<(Text, Defines)> = Vec::new();
    for (text, defines) in all {
        if !once.iter().any(|(t, d)| t.file == text.file && *d == defines) {
            once.push((text, defines));
        }
    }
    once
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let source =
        |(text, defines): (Text, Defines)| Ok((*texts::source(&text, &defines, language)?).clone());
    all().into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What needs no type of 64 bits runs on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        let narrow = |defines: &Defines| {
            defines.iter().all(|(name, kind)| *name != "KIND" || [0, 1, 4].contains(kind))
        };
        let all: Vec<_> = all().into_iter().filter(|(_, defines)| narrow(defines)).collect();
        assert!(all.len() > 20);
        for (text, defines) in all {
            let source = texts::source(&text, &defines, Language::Wgsl);
            texts::tests::is_core_wgsl(&source.unwrap_or_else(|e| panic!("{e}")));
        }
    }

    /// Sources that wgpu compiles with 64-bit types compose, too.
    #[test]
    fn every_source_composes() {
        for language in [Language::Cuda, Language::Wgsl] {
            assert_eq!(sources(language).unwrap_or_else(|e| panic!("{e}")).len(), all().len());
        }
    }
}
