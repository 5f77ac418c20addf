//! The texts of the library kernels as devices compile them: choices made at compile time
//! become `#define`s in CUDA and shader definitions in WGSL, and WGSL texts are composed
//! with the modules that they import.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use naga_oil::compose::{
    ComposableModuleDescriptor, Composer, NagaModuleDescriptor, ShaderDefValue,
};
use parking_lot::Mutex;
use windlass_device::{KernelSource, Language, source::Access};

use crate::{
    error::{KernelError, Result},
    overrides,
};

/// Threads of a block in the library kernels.
pub(crate) const BLOCK: u32 = 256;

/// One kernel in both languages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// The folder: `aggregate`.
    pub(crate) family: &'static str,
    /// The file in it, without its ending: `sum_int`.
    pub(crate) file: &'static str,
    /// The entry point, different from all others of the family.
    pub(crate) entry: &'static str,
    pub(crate) cuda: &'static str,
    pub(crate) wgsl: &'static str,
    /// What each buffer is used for: `r` read, `w` written too.
    pub(crate) buffers: &'static str,
    /// Parameter words.
    pub(crate) params: u32,
}

/// A [`Text`] from `kernels/FAMILY/FILE.cu` and `shaders/FAMILY/FILE.wgsl`. Only for modules
/// that lie in a folder of `src`.
macro_rules! text {
    ($family:literal, $file:literal, $entry:literal, $buffers:literal, $params:literal) => {
        $crate::texts::Text {
            family: $family,
            file: $file,
            entry: $entry,
            cuda: include_str!(concat!("../../../../kernels/", $family, "/", $file, ".cu")),
            wgsl: include_str!(concat!("../../../../shaders/", $family, "/", $file, ".wgsl")),
            buffers: $buffers,
            params: $params,
        }
    };
}
pub(crate) use text;

/// Names and values of the choices made when a kernel is compiled.
pub(crate) type Defines = Vec<(&'static str, u32)>;

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!("../../../", $folder, "/", $name)),
        )),*]
    };
}

/// Headers that CUDA texts may include beside `windlass.cuh`.
const HEADERS: [(&str, &str); 5] = files!(
    "kernels":
    "aggregate/key_hash.cuh",
    "aggregate/rows.cuh",
    "hash/value.cuh",
    "sort/key.cuh",
    "string/text.cuh",
);

/// Modules that WGSL texts may import; each after those that it imports itself.
const MODULES: [(&str, &str); 7] = files!(
    "shaders":
    "aggregate/key_hash.wgsl",
    "aggregate/rows.wgsl",
    "hash/value.wgsl",
    "sort/key.wgsl",
    "string/layout.wgsl",
    "string/text.wgsl",
    "string/valid.wgsl",
);

/// Modules that are made of another one: the same functions over other bindings, since WGSL has
/// no pointers to buffers. What is replaced by what in the text.
const COPIES: [(&str, &[(&str, &str)]); 1] = [(
    "string/text.wgsl",
    &[
        (
            "#define_import_path windlass::string::text",
            "#define_import_path windlass::string::other",
        ),
        ("@binding(0)", "@binding(3)"),
        ("@binding(1)", "@binding(4)"),
    ],
)];

/// What a source is made from.
type Key = (&'static str, &'static str, Defines, Language);

/// The kernel in a language; made once per process.
///
/// # Errors
/// `Invalid` when the WGSL does not compose: a fault of the text itself.
pub(crate) fn source(
    text: &Text,
    defines: &[(&'static str, u32)],
    language: Language,
) -> Result<Arc<KernelSource>> {
    static MADE: LazyLock<Mutex<HashMap<Key, Arc<KernelSource>>>> = LazyLock::new(Mutex::default);
    let key = (text.family, text.entry, defines.to_vec(), language);
    if let Some(made) = MADE.lock().get(&key) {
        return Ok(Arc::clone(made));
    }
    let (source, headers) = match language {
        Language::Cuda => {
            let defines: String =
                defines.iter().map(|(k, v)| format!("#define {k} {v}\n")).collect();
            let headers = HEADERS
                .map(|(n, t)| (Cow::Borrowed(n), overrides::text(&format!("kernels/{n}"), t)))
                .to_vec();
            let path = format!("kernels/{}/{}.cu", text.family, text.file);
            (defines + &*overrides::text(&path, text.cuda), headers)
        }
        Language::Wgsl => (compose(text, defines)?, Vec::new()),
    };
    let access = |c| if c == 'w' { Access::ReadWrite } else { Access::Read };
    let made = Arc::new(KernelSource {
        name: Cow::Owned(format!("{}/{}", text.family, text.entry)),
        language,
        text: Cow::Owned(source),
        headers,
        entry: Cow::Borrowed(text.entry),
        block: BLOCK,
        buffers: text.buffers.chars().map(access).collect(),
        params: text.params,
    });
    MADE.lock().insert(key, Arc::clone(&made));
    Ok(made)
}

/// A WGSL text with the modules that it imports, checked.
fn compose(text: &Text, defines: &[(&'static str, u32)]) -> Result<String> {
    let fault = |stage: &str, e: String| KernelError::Invalid {
        operation: "compose a shader",
        expected: format!("{}/{}: a text that passes {stage}", text.family, text.entry),
        got: e,
    };
    let capabilities = naga::valid::Capabilities::all();
    let mut composer = Composer::default().with_capabilities(capabilities);
    for (file_path, embedded) in MODULES {
        let source = &*overrides::text(&format!("shaders/{file_path}"), embedded);
        let copies = COPIES.iter().filter(|(of, _)| *of == file_path);
        let copies = copies.map(|(_, replaced)| {
            let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
            Cow::Owned(replaced.iter().fold(source.to_string(), replace))
        });
        for source in std::iter::once(Cow::Borrowed(source)).chain(copies) {
            let source = &*source;
            let module = ComposableModuleDescriptor { source, file_path, ..Default::default() };
            if let Err(e) = composer.add_composable_module(module) {
                return Err(fault("composition", e.emit_to_string(&composer)));
            }
        }
    }
    let defines = defines.iter().map(|(k, v)| (k.to_string(), ShaderDefValue::UInt(*v)));
    let path = format!("shaders/{}/{}.wgsl", text.family, text.file);
    let module = composer
        .make_naga_module(NagaModuleDescriptor {
            source: &overrides::text(&path, text.wgsl),
            file_path: text.entry,
            shader_defs: defines.collect(),
            ..Default::default()
        })
        .map_err(|e| fault("composition", e.emit_to_string(&composer)))?;
    let flags = naga::valid::ValidationFlags::all();
    let info = naga::valid::Validator::new(flags, capabilities)
        .validate(&module)
        .map_err(|e| fault("validation", format!("{e:?}")))?;
    let flags = naga::back::wgsl::WriterFlags::empty();
    naga::back::wgsl::write_string(&module, &info, flags)
        .map_err(|e| fault("printing", e.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks that a shader runs on any adapter at WebGPU's default limits: core WGSL, at most
    /// 8 storage buffers, 256 invocations, and the buffers that it declares.
    pub(crate) fn is_core_wgsl(s: &KernelSource) {
        let module = naga::front::wgsl::parse_str(&s.text)
            .unwrap_or_else(|e| panic!("{}: {e:?}\n{}", s.name, s.text));
        let flags = naga::valid::ValidationFlags::all();
        naga::valid::Validator::new(flags, naga::valid::Capabilities::default())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}: {e:?}", s.name));
        let entry = &module.entry_points[0];
        assert_eq!((entry.name.as_str(), entry.workgroup_size[0]), (&*s.entry, BLOCK));
        let bindings = module.global_variables.iter().filter(|(_, g)| g.binding.is_some());
        let params = usize::from(s.params > 0);
        assert_eq!(bindings.count(), s.buffers.len() + params, "{}", s.name);
        assert!(s.buffers.len() <= 8, "{}", s.name);
    }
}
