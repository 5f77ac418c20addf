//! The kernels' texts, from `kernels/partition` and `shaders/partition`.

use windlass_device::{DeviceBuffer, KernelSource, Language};

use crate::{
    error::Result,
    launcher::Launcher,
    texts::{self, Text, text},
};

/// A kernel of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelId {
    HashIds,
    OrderKey,
    RangeIds,
    Offsets,
}

impl KernelId {
    const ALL: [Self; 4] = [Self::HashIds, Self::OrderKey, Self::RangeIds, Self::Offsets];

    fn text(self) -> Text {
        match self {
            Self::HashIds => text!("partition", "hash_ids", "hash_ids", "rw", 2),
            Self::OrderKey => text!("partition", "order_key", "order_key", "rrw", 12),
            Self::RangeIds => text!("partition", "range_ids", "range_ids", "rrw", 3),
            Self::Offsets => text!("partition", "offsets", "offsets", "rrw", 2),
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
