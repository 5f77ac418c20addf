//! The kernels' texts, from `kernels/sort` and `shaders/sort`.

use windlass_device::{KernelSource, Language};

use crate::{
    error::Result,
    texts::{self, Text, text},
};

pub(super) const VARY: Text = text!("sort", "vary", "vary", "rrw", 10);
pub(super) const PACK_WORD: Text = text!("sort", "pack_word", "pack_word", "rrrw", 17);
pub(super) const ROW_NUMBERS: Text = text!("sort", "row_numbers", "row_numbers", "w", 1);
pub(super) const DIGIT_COUNTS: Text = text!("sort", "digit_counts", "digit_counts", "rw", 3);
pub(super) const DIGIT_SCATTER: Text = text!("sort", "digit_scatter", "digit_scatter", "rrrww", 3);
pub(super) const SELECT_COUNTS: Text = text!("sort", "select_counts", "select_counts", "rw", 4);
pub(super) const PICK_FLAGS: Text = text!("sort", "pick_flags", "pick_flags", "rw", 4);
pub(super) const PICK_ROWS: Text = text!("sort", "pick_rows", "pick_rows", "rrrw", 6);
pub(super) const BOUNDARY: Text = text!("sort", "boundary", "boundary", "rrrw", 11);
pub(super) const GROUP_STARTS: Text = text!("sort", "group_starts", "group_starts", "rrw", 1);
pub(super) const GROUP_RANKS: Text = text!("sort", "group_ranks", "group_ranks", "rrrw", 1);
pub(super) const MERGE_RUNS: Text = text!("sort", "merge_runs", "merge_runs", "rrrw", 3);

const ALL: [Text; 12] = [
    VARY,
    PACK_WORD,
    ROW_NUMBERS,
    DIGIT_COUNTS,
    DIGIT_SCATTER,
    SELECT_COUNTS,
    PICK_FLAGS,
    PICK_ROWS,
    BOUNDARY,
    GROUP_STARTS,
    GROUP_RANKS,
    MERGE_RUNS,
];

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    ALL.iter().map(|t| texts::source(t, &[], language).map(|s| (*s).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WebGPU's default of workgroup memory, in bytes.
    const DEFAULT_WORKGROUP_BYTES: u32 = 16 << 10;

    /// Core WGSL, and no more buffers and workgroup memory than WebGPU's defaults.
    #[test]
    fn shaders_run_on_any_adapter() {
        for s in sources(Language::Wgsl).unwrap() {
            let module = naga::front::wgsl::parse_str(&s.text)
                .unwrap_or_else(|e| panic!("{}: {e:?}\n{}", s.name, s.text));
            let flags = naga::valid::ValidationFlags::all();
            naga::valid::Validator::new(flags, naga::valid::Capabilities::default())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {e:?}", s.name));
            let entry = &module.entry_points[0];
            assert_eq!((entry.name.as_str(), entry.workgroup_size[0]), (&*s.entry, texts::BLOCK));
            let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some());
            assert_eq!(bindings.count(), s.buffers.len() + 1, "{}", s.name);
            assert!(s.buffers.len() <= 8, "{}", s.name);
            let shared: u32 = module
                .global_variables
                .iter()
                .filter(|(_, g)| g.space == naga::AddressSpace::WorkGroup)
                .map(|(_, g)| module.types[g.ty].inner.size(module.to_ctx()))
                .sum();
            assert!(shared <= DEFAULT_WORKGROUP_BYTES, "{}: {shared} bytes", s.name);
        }
    }

    #[test]
    fn cuda_texts_declare_the_same_entries() {
        for s in sources(Language::Cuda).unwrap() {
            let text = s.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, entry) = text.split_once("extern \"C\" __global__ void ").unwrap();
            let entry = entry.trim_start_matches("__launch_bounds__(256) ");
            assert!(entry.starts_with(&format!("{}(", s.entry)), "{}: {entry}", s.name);
        }
    }
}
