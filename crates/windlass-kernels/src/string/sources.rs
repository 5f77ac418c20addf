//! The kernels' texts, from `kernels/string` and `shaders/string`.

use windlass_device::{DeviceBuffer, KernelSource, Language};

use crate::{
    error::Result,
    launcher::Launcher,
    texts::{self, Text, text},
};

/// A kernel of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelId {
    Lengths,
    CopyBytes,
    Compare,
    HashText,
    Like,
    Substring,
    ConcatBytes,
    SortWord,
    Boundary,
}

impl KernelId {
    const ALL: [Self; 9] = [
        Self::Lengths,
        Self::CopyBytes,
        Self::Compare,
        Self::HashText,
        Self::Like,
        Self::Substring,
        Self::ConcatBytes,
        Self::SortWord,
        Self::Boundary,
    ];

    fn text(self) -> Text {
        match self {
            Self::Lengths => text!("string", "lengths", "lengths", "rrrrww", 10),
            Self::CopyBytes => text!("string", "copy_bytes", "copy_bytes", "rrrrrw", 8),
            Self::Compare => text!("string", "compare", "compare", "rrrrrrww", 11),
            Self::HashText => text!("string", "hash_text", "hash_text", "rrrrrw", 8),
            Self::Like => text!("string", "like", "like", "rrrw", 6),
            Self::Substring => text!("string", "substring", "substring", "rrrww", 7),
            Self::ConcatBytes => text!("string", "concat_bytes", "concat_bytes", "rrrrrrw", 10),
            Self::SortWord => text!("string", "sort_word", "sort_word", "rrrrww", 7),
            Self::Boundary => text!("string", "boundary", "boundary", "rrrrw", 5),
        }
    }

    /// Launches one thread for each item, as far as the device runs so many at once.
    ///
    /// # Errors
    /// The device's, and those of compiling.
    pub(super) fn each(
        self,
        gpu: &mut Launcher<'_>,
        items: usize,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        gpu.launch_each(&self.text(), &[], items, buffers, params)
    }
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// As for a single kernel: `Invalid` when a text does not compose.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let made = KernelId::ALL.iter().map(|k| texts::source(&k.text(), &[], language));
    made.map(|s| s.map(|s| (*s).clone())).collect()
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
