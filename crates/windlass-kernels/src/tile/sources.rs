//! The kernels' texts, from `kernels/tile` and `shaders/tile`.

use windlass_device::{KernelSource, Language};

use super::fold::FoldOp;
use crate::{
    error::Result,
    texts::{self, Defines, Text, text},
    types::PhysType,
};

/// Boxes of elements from one layout to another; with `WORDS`.
pub(super) const PLACE: Text = text!("tile", "place", "place", "rw", 22);

/// Elements along an axis; with `KIND`, `OP`, `ACROSS` and `IGNORE_NAN`.
pub(super) const FOLD: Text = text!("tile", "fold", "fold", "rww", 4);

/// The definitions of a fold.
pub(super) fn fold_defines(ty: PhysType, op: FoldOp, across: bool) -> Defines {
    let kind = match ty {
        PhysType::I8 | PhysType::I16 | PhysType::I32 => 1,
        PhysType::U64 => 2,
        PhysType::I64 => 3,
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
    vec![
        ("KIND", kind),
        ("OP", op),
        ("ACROSS", u32::from(across)),
        ("IGNORE_NAN", ignore),
        ("EXTREME", u32::from((2..6).contains(&op))),
    ]
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let mut all = Vec::new();
    for words in [1, 2, 4] {
        all.push((*texts::source(&PLACE, &[("WORDS", words)], language)?).clone());
    }
    let types =
        [PhysType::U32, PhysType::I32, PhysType::U64, PhysType::I64, PhysType::F32, PhysType::F64];
    for ty in types {
        for op in FoldOp::ALL.into_iter().filter(|op| op.takes(ty)) {
            for across in [false, true] {
                let defines = fold_defines(ty, op, across);
                all.push((*texts::source(&FOLD, &defines, language)?).clone());
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What needs no type of 64 bits runs on any adapter, at WebGPU's default limits.
    #[test]
    fn shaders_need_no_more_than_core_wgsl() {
        for words in [1, 2, 4] {
            let s = texts::source(&PLACE, &[("WORDS", words)], Language::Wgsl).unwrap();
            texts::tests::is_core_wgsl(&s);
        }
        for op in [FoldOp::Sum, FoldOp::FindLeast, FoldOp::Greatest { ignore_nan: true }] {
            for ty in [PhysType::U32, PhysType::I32, PhysType::F32] {
                let defines = fold_defines(ty, op, false);
                texts::tests::is_core_wgsl(
                    &texts::source(&FOLD, &defines, Language::Wgsl).unwrap(),
                );
            }
        }
    }
}
