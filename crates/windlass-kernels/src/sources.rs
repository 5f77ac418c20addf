//! The static kernels of the library, with their texts embedded: what the functions of
//! this crate compile, and what the gate over every CUDA source reads.

use std::borrow::Cow;

use windlass_device::{
    Backend, Device, KernelSource, Language,
    source::Access::{self, Read, ReadWrite},
};

use crate::{
    aggregate, error::Result, gather, hash, join, overrides, partition, reduce, scan, sort, string,
    tile, window,
};

/// A kernel in both languages.
#[derive(Debug, Clone, Copy)]
pub struct LibraryKernel {
    /// Family and file: `scan/exclusive_scan`.
    pub file: &'static str,
    /// The entry point.
    pub entry: &'static str,
    /// The CUDA text.
    pub cuda: &'static str,
    /// The WGSL text.
    pub wgsl: &'static str,
    /// Threads of a block.
    pub block: u32,
    /// The buffers.
    pub buffers: &'static [Access],
    /// Parameter words.
    pub params: u32,
}

const SCAN: LibraryKernel = LibraryKernel {
    file: "scan/exclusive_scan",
    entry: "scan",
    cuda: include_str!("../../../kernels/scan/exclusive_scan.cu"),
    wgsl: include_str!("../../../shaders/scan/exclusive_scan.wgsl"),
    block: 256,
    buffers: &[ReadWrite, ReadWrite],
    params: 4,
};

/// The three kernels of this crate that are not generated and not aggregation's.
pub const LIBRARY: [LibraryKernel; 3] = [
    LibraryKernel { entry: "reduce", ..SCAN },
    SCAN,
    LibraryKernel {
        file: "compact/close_gaps",
        entry: "close_gaps",
        cuda: include_str!("../../../kernels/compact/close_gaps.cu"),
        wgsl: include_str!("../../../shaders/compact/close_gaps.wgsl"),
        block: 256,
        buffers: &[Read, Read, ReadWrite],
        params: 6,
    },
];

/// The header that generated CUDA pipelines include.
pub(crate) fn values() -> (Cow<'static, str>, Cow<'static, str>) {
    let embedded = include_str!("../../../kernels/pipeline/values.cuh");
    let text = overrides::text("kernels/pipeline/values.cuh", embedded);
    (Cow::Borrowed("pipeline/values.cuh"), text)
}

impl LibraryKernel {
    /// The kernel of [`LIBRARY`] with this entry point.
    pub(crate) fn named(entry: &str) -> Self {
        LIBRARY.into_iter().find(|k| k.entry == entry).unwrap_or(SCAN)
    }

    /// Its source in one language.
    pub fn source(&self, language: Language) -> KernelSource {
        let text = match language {
            Language::Cuda => overrides::text(&format!("kernels/{}.cu", self.file), self.cuda),
            Language::Wgsl => overrides::text(&format!("shaders/{}.wgsl", self.file), self.wgsl),
        };
        KernelSource {
            name: Cow::Owned(format!("{}:{}", self.file, self.entry)),
            language,
            text,
            headers: vec![],
            entry: Cow::Borrowed(self.entry),
            block: self.block,
            buffers: self.buffers.to_vec(),
            params: self.params,
        }
    }
}

/// The language that a device compiles; `cpu` compiles none and has no answer.
pub(crate) fn language(device: &dyn Device) -> Option<Language> {
    match device.info().backend {
        Backend::Cpu => None,
        Backend::Cuda | Backend::CudaEmulated => Some(Language::Cuda),
        Backend::Wgpu => Some(Language::Wgsl),
    }
}

/// Every static kernel of the library in a language, of all families.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    let mut all = Vec::new();
    for family in [
        own,
        aggregate::sources,
        gather::sources,
        hash::sources,
        join::sources,
        partition::sources,
        reduce::sources,
        scan::sources,
        sort::sources,
        string::sources,
        tile::sources,
        window::sources,
    ] {
        all.extend(family(language)?);
    }
    Ok(all)
}

fn own(language: Language) -> Result<Vec<KernelSource>> {
    Ok(LIBRARY.iter().map(|k| k.source(language)).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files under `dir` with this ending, without it, as `family/name`.
    fn files(dir: &Path, ending: &str) -> Vec<String> {
        let mut out = Vec::new();
        for family in std::fs::read_dir(dir).unwrap().flatten() {
            for file in std::fs::read_dir(family.path()).into_iter().flatten().flatten() {
                let name = file.file_name().into_string().unwrap();
                if let Some(stem) = name.strip_suffix(ending) {
                    out.push(format!("{}/{stem}", family.file_name().to_str().unwrap()));
                }
            }
        }
        out
    }

    #[test]
    fn every_cuda_kernel_has_a_shader_and_a_twin() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cuda = files(&root.join("kernels"), ".cu");
        let wgsl = files(&root.join("shaders"), ".wgsl");
        assert!(cuda.len() >= 2);
        for name in cuda {
            assert!(wgsl.contains(&name), "shaders/{name}.wgsl is missing");
            let (family, stem) = name.split_once('/').unwrap();
            let twins = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cpu").join(family);
            // The kernels of these are steps of one operation, whose twin is one module.
            let twin = match family {
                "aggregate" | "join" | "partition" | "sort" | "string" | "window" => {
                    twins.join("mod.rs")
                }
                _ => twins.join(format!("{stem}.rs")),
            };
            assert!(twin.exists(), "{} is missing", twin.display());
        }
    }

    #[test]
    fn kernels_say_what_they_do() {
        for k in LIBRARY {
            for text in [k.cuda, k.wgsl] {
                for part in ["Buffers:", "Params:", "Launch:", "Result:"] {
                    assert!(text.contains(part), "{} says nothing of {part}", k.file);
                }
            }
        }
    }
}
