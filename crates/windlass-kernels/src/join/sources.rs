//! The kernels' texts, from `kernels/join` and `shaders/join`.

use windlass_device::{DeviceBuffer, KernelSource, Language};

use crate::{
    error::Result,
    launcher::Launcher,
    texts::{self, Text, text},
};

/// A kernel of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelId {
    PackKey,
    Insert,
    Rank,
    Place,
    LookUp,
    TileSums,
    Clip,
    Pairs,
    MarkRows,
    SpreadMarks,
    FlagWanted,
    WriteWanted,
}

impl KernelId {
    const ALL: [Self; 12] = [
        Self::PackKey,
        Self::Insert,
        Self::Rank,
        Self::Place,
        Self::LookUp,
        Self::TileSums,
        Self::Clip,
        Self::Pairs,
        Self::MarkRows,
        Self::SpreadMarks,
        Self::FlagWanted,
        Self::WriteWanted,
    ];

    fn text(self) -> Text {
        match self {
            Self::PackKey => text!("join", "pack_key", "pack_key", "rrww", 13),
            Self::Insert => text!("join", "insert", "insert", "rrww", 4),
            Self::Rank => text!("join", "rank", "rank", "rww", 1),
            Self::Place => text!("join", "place", "place", "rrrw", 1),
            Self::LookUp => text!("join", "look_up", "look_up", "rrrrrwww", 7),
            Self::TileSums => text!("join", "tile_sums", "tile_sums", "rw", 1),
            Self::Clip => text!("join", "clip", "clip", "rw", 3),
            Self::Pairs => text!("join", "pairs", "pairs", "rrrww", 4),
            Self::MarkRows => text!("join", "mark_rows", "mark_rows", "rw", 2),
            Self::SpreadMarks => text!("join", "spread_marks", "spread_marks", "rrrw", 1),
            Self::FlagWanted => text!("join", "select", "flag_wanted", "rw", 2),
            Self::WriteWanted => text!("join", "select", "write_wanted", "rrw", 2),
        }
    }

    /// The choice at compile time: a file with two entries is told which one it is.
    fn defines(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::WriteWanted => &[("WRITE", 1)],
            _ => &[],
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
        gpu.launch_each(&self.text(), self.defines(), items, buffers, params)
    }

    /// Launches `blocks` blocks.
    ///
    /// # Errors
    /// The device's, and those of compiling.
    pub(super) fn blocks(
        self,
        gpu: &mut Launcher<'_>,
        blocks: usize,
        buffers: &[&DeviceBuffer],
        params: &[u32],
    ) -> Result<()> {
        gpu.launch(&self.text(), self.defines(), blocks as u32, buffers, params)
    }
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// As for a single kernel: `Invalid` when a text does not compose.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let made = KernelId::ALL.iter().map(|k| texts::source(&k.text(), k.defines(), language));
    made.map(|s| s.map(|s| (*s).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shaders keep to 32-bit integers and to the limits of any WebGPU adapter.
    #[test]
    fn shaders_are_valid_and_need_no_more_than_core_wgsl() {
        for s in sources(Language::Wgsl).unwrap() {
            let module = naga::front::wgsl::parse_str(&s.text)
                .unwrap_or_else(|e| panic!("{}: {e:?}\n{}", s.name, s.text));
            let capabilities = naga::valid::Capabilities::default();
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {e:?}", s.name));
            let entry = &module.entry_points[0];
            assert_eq!((module.entry_points.len(), entry.name.as_str()), (1, &*s.entry));
            assert_eq!(entry.workgroup_size[0], texts::BLOCK);
            let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some());
            assert_eq!(bindings.count(), s.buffers.len() + 1, "{}", s.name);
            assert!(s.buffers.len() <= 8, "{}", s.name);
        }
    }
}
