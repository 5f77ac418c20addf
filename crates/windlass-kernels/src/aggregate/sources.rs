//! The kernels' texts, from `kernels/aggregate` and `shaders/aggregate`, as the devices
//! compile them.

use std::sync::Arc;

use windlass_device::{KernelSource, Language};

pub(super) use crate::texts::BLOCK;
use crate::{
    error::Result,
    texts::{self, Defines, Text, text},
};

/// Words of the local state table of an accumulating kernel.
pub(super) const LOCAL_WORDS: u32 = 2048;

/// Most groups with a place in the local tables.
pub(super) const LOCAL_GROUPS: u32 = 1024;

/// A kernel of this family, with its compile-time choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KernelId {
    PackKeys,
    Insert,
    Assign,
    Resolve,
    Rehash,
    RunRows,
    RunStarts,
    RunGroups,
    /// A sum of this many 32-bit words.
    SumInt {
        words: u32,
    },
    /// Codes in units of this many 32-bit words.
    MinMax {
        words: u32,
    },
    MinMaxMerge,
    SumFloat,
    /// A sum of products of two arguments.
    SumProduct,
    /// Bits of values of this many 32-bit words.
    Bits {
        words: u32,
    },
    ClaimShift,
    SetShift,
    Leader,
    KeepLeader,
}

impl KernelId {
    /// Every kernel that a language has.
    pub(super) fn all(language: Language) -> Vec<Self> {
        let mut all = vec![
            Self::PackKeys,
            Self::Insert,
            Self::Assign,
            Self::Resolve,
            Self::Rehash,
            Self::RunRows,
            Self::RunStarts,
            Self::RunGroups,
            Self::SumInt { words: 2 },
            Self::SumInt { words: 4 },
            Self::MinMax { words: 1 },
            Self::MinMaxMerge,
            Self::SumFloat,
            Self::SumProduct,
            Self::Bits { words: 1 },
            Self::Bits { words: 2 },
            Self::ClaimShift,
            Self::SetShift,
            Self::Leader,
            Self::KeepLeader,
        ];
        if language == Language::Cuda {
            all.push(Self::MinMax { words: 2 });
        }
        all
    }

    fn text(self) -> Text {
        match self {
            Self::PackKeys => text!("aggregate", "pack_keys", "pack_keys", "rrw", 11),
            Self::Insert => text!("aggregate", "insert", "insert", "rrrwww", 5),
            Self::Assign => text!("aggregate", "assign", "assign", "rwrww", 2),
            Self::Resolve => text!("aggregate", "resolve", "resolve", "rw", 1),
            Self::Rehash => text!("aggregate", "rehash", "rehash", "rw", 3),
            Self::RunRows => text!("aggregate", "run_rows", "run_rows", "rw", 2),
            Self::RunStarts => text!("aggregate", "run_starts", "run_starts", "rrrrw", 5),
            Self::RunGroups => text!("aggregate", "run_groups", "run_groups", "rrrww", 5),
            Self::SumInt { .. } => text!("aggregate", "sum_int", "sum_int", "rrrww", 10),
            Self::MinMax { .. } => text!("aggregate", "min_max", "min_max", "rrrww", 12),
            Self::MinMaxMerge => text!("aggregate", "min_max_merge", "min_max_merge", "rw", 2),
            Self::SumFloat => text!("aggregate", "sum_float", "sum_float", "rrrwwr", 9),
            Self::SumProduct => text!("aggregate", "sum_float", "sum_float", "rrrwwrrr", 9),
            Self::Bits { .. } => text!("aggregate", "bits", "bits", "rrrww", 10),
            Self::ClaimShift => text!("aggregate", "shift", "claim_shift", "rrw", 4),
            Self::SetShift => text!("aggregate", "shift", "set_shift", "rrwrw", 4),
            Self::Leader => text!("aggregate", "leader", "leader", "rrrw", 6),
            Self::KeepLeader => text!("aggregate", "keep_leader", "keep_leader", "rrrww", 6),
        }
    }

    /// Name and value of the compile-time choice, in units of `unit` words.
    fn define(self, unit: u32) -> Option<(&'static str, u32)> {
        match self {
            Self::SumInt { words } => Some(("UNITS", words / unit)),
            Self::MinMax { words } => Some(("UNIT_BITS", words * 32)),
            Self::SumProduct => Some(("PRODUCT", 1)),
            Self::Bits { words } => Some(("WORDS", words)),
            Self::SetShift => Some(("SET", 1)),
            _ => None,
        }
    }
}

/// The kernel in a language.
///
/// # Errors
/// `Invalid` when the WGSL does not compose: a fault of the text itself.
pub(super) fn source(id: KernelId, language: Language) -> Result<Arc<KernelSource>> {
    let unit = match language {
        Language::Cuda => 2,
        Language::Wgsl => 1,
    };
    let defines: Defines = id.define(unit).into_iter().collect();
    texts::source(&id.text(), &defines, language)
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// As for a single kernel: `Invalid` when a text does not compose.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let made = KernelId::all(language).into_iter().map(|id| source(id, language));
    made.map(|s| s.map(|s| (*s).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All shaders but the float sums keep to 32-bit integers, so they run on any adapter.
    #[test]
    fn shaders_are_valid_and_need_no_more_than_core_wgsl() {
        for id in KernelId::all(Language::Wgsl) {
            let s = source(id, Language::Wgsl).unwrap();
            let module = naga::front::wgsl::parse_str(&s.text)
                .unwrap_or_else(|e| panic!("{}: {e:?}\n{}", s.name, s.text));
            let capabilities = match id {
                KernelId::SumFloat | KernelId::SumProduct => naga::valid::Capabilities::all(),
                _ => naga::valid::Capabilities::default(),
            };
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {e:?}", s.name));
            let entry = &module.entry_points[0];
            assert_eq!((entry.name.as_str(), entry.workgroup_size[0]), (&*s.entry, BLOCK));
            let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some());
            assert_eq!(bindings.count(), s.buffers.len() + 1, "{}", s.name);
            assert!(s.buffers.len() <= 8, "{}", s.name);
        }
    }

    #[test]
    fn cuda_texts_declare_the_same_entries() {
        for s in sources(Language::Cuda).unwrap() {
            assert!(s.text.contains(&format!("__global__ void {}(", s.entry)), "{}", s.name);
        }
    }
}
