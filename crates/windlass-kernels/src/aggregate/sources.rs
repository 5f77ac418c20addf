//! The kernels' texts, from `kernels/aggregate` and `shaders/aggregate`, as the devices
//! compile them.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use naga_oil::compose::{
    ComposableModuleDescriptor, Composer, NagaModuleDescriptor, ShaderDefValue,
};
use parking_lot::Mutex;
use windlass_device::{KernelSource, Language, source::Access};

use crate::error::{KernelError, Result};

/// Threads of a block in every kernel of this family.
pub(super) const BLOCK: u32 = 256;

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
    ClaimShift,
    SetShift,
}

/// One kernel in both languages.
struct Text {
    entry: &'static str,
    cuda: &'static str,
    wgsl: &'static str,
    /// What each buffer is used for: `r` read, `w` written too.
    buffers: &'static str,
    params: u32,
}

macro_rules! text {
    ($entry:literal, $file:literal, $buffers:literal, $params:literal) => {
        Text {
            entry: $entry,
            cuda: include_str!(concat!("../../../../kernels/aggregate/", $file, ".cu")),
            wgsl: include_str!(concat!("../../../../shaders/aggregate/", $file, ".wgsl")),
            buffers: $buffers,
            params: $params,
        }
    };
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
            Self::SumInt { words: 2 },
            Self::SumInt { words: 4 },
            Self::MinMax { words: 1 },
            Self::MinMaxMerge,
            Self::SumFloat,
            Self::ClaimShift,
            Self::SetShift,
        ];
        if language == Language::Cuda {
            all.push(Self::MinMax { words: 2 });
        }
        all
    }

    fn text(self) -> Text {
        match self {
            Self::PackKeys => text!("pack_keys", "pack_keys", "rrw", 11),
            Self::Insert => text!("insert", "insert", "rrrwww", 5),
            Self::Assign => text!("assign", "assign", "rwwww", 2),
            Self::Resolve => text!("resolve", "resolve", "rw", 1),
            Self::Rehash => text!("rehash", "rehash", "rw", 3),
            Self::SumInt { .. } => text!("sum_int", "sum_int", "rrrww", 10),
            Self::MinMax { .. } => text!("min_max", "min_max", "rrrww", 12),
            Self::MinMaxMerge => text!("min_max_merge", "min_max_merge", "rw", 2),
            Self::SumFloat => text!("sum_float", "sum_float", "rrrwwr", 9),
            Self::ClaimShift => text!("claim_shift", "shift", "rrw", 4),
            Self::SetShift => text!("set_shift", "shift", "rrwrw", 4),
        }
    }

    /// Name and value of the compile-time choice, in units of `unit` words.
    fn define(self, unit: u32) -> Option<(&'static str, u32)> {
        match self {
            Self::SumInt { words } => Some(("UNITS", words / unit)),
            Self::MinMax { words } => Some(("UNIT_BITS", words * 32)),
            Self::SetShift => Some(("SET", 1)),
            _ => None,
        }
    }
}

/// The kernel in a language.
///
/// # Errors
/// `Invalid` when the WGSL does not compose: a fault of the text itself.
pub(super) fn source(id: KernelId, language: Language) -> Result<KernelSource> {
    let text = id.text();
    let (source, headers) = match language {
        Language::Cuda => {
            let define = id.define(2).map(|(k, v)| format!("#define {k} {v}\n"));
            let source = match define {
                Some(d) => Cow::Owned(d + text.cuda),
                None => Cow::Borrowed(text.cuda),
            };
            (source, headers())
        }
        Language::Wgsl => (Cow::Owned(wgsl(id, &text)?), Vec::new()),
    };
    let access = |c| if c == 'w' { Access::ReadWrite } else { Access::Read };
    Ok(KernelSource {
        name: Cow::Owned(format!("aggregate/{}", text.entry)),
        language,
        text: source,
        headers,
        entry: Cow::Borrowed(text.entry),
        block: BLOCK,
        buffers: text.buffers.chars().map(access).collect(),
        params: text.params,
    })
}

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// As for a single kernel: `Invalid` when a text does not compose.
pub fn sources(language: Language) -> Result<Vec<KernelSource>> {
    KernelId::all(language).into_iter().map(|id| source(id, language)).collect()
}

fn headers() -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    macro_rules! header {
        ($name:literal) => {
            (
                Cow::Borrowed($name),
                Cow::Borrowed(include_str!(concat!("../../../../kernels/", $name))),
            )
        };
    }
    vec![header!("aggregate/key_hash.cuh"), header!("aggregate/rows.cuh")]
}

/// Composes a WGSL text with the modules it imports; each text once per process.
fn wgsl(id: KernelId, text: &Text) -> Result<String> {
    static COMPOSED: LazyLock<Mutex<HashMap<KernelId, String>>> = LazyLock::new(Mutex::default);
    if let Some(done) = COMPOSED.lock().get(&id) {
        return Ok(done.clone());
    }
    let fault = |stage: &str, e: String| KernelError::Invalid {
        operation: "compose a shader",
        expected: format!("{}: a text that passes {stage}", text.entry),
        got: e,
    };
    let capabilities = naga::valid::Capabilities::all();
    let mut composer = Composer::default().with_capabilities(capabilities);
    for (file, source) in [
        ("key_hash.wgsl", include_str!("../../../../shaders/aggregate/key_hash.wgsl")),
        ("rows.wgsl", include_str!("../../../../shaders/aggregate/rows.wgsl")),
    ] {
        let module = ComposableModuleDescriptor { source, file_path: file, ..Default::default() };
        if let Err(e) = composer.add_composable_module(module) {
            return Err(fault("composition", e.emit_to_string(&composer)));
        }
    }
    let defines = id.define(1).map(|(k, v)| (k.to_string(), ShaderDefValue::UInt(v)));
    let module = composer
        .make_naga_module(NagaModuleDescriptor {
            source: text.wgsl,
            file_path: text.entry,
            shader_defs: defines.into_iter().collect(),
            ..Default::default()
        })
        .map_err(|e| fault("composition", e.emit_to_string(&composer)))?;
    let flags = naga::valid::ValidationFlags::all();
    let info = naga::valid::Validator::new(flags, capabilities)
        .validate(&module)
        .map_err(|e| fault("validation", format!("{e:?}")))?;
    let flags = naga::back::wgsl::WriterFlags::empty();
    let composed = naga::back::wgsl::write_string(&module, &info, flags)
        .map_err(|e| fault("printing", e.to_string()))?;
    COMPOSED.lock().insert(id, composed.clone());
    Ok(composed)
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
                KernelId::SumFloat => naga::valid::Capabilities::all(),
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
