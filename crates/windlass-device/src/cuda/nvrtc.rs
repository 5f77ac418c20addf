//! Compiles the dialect's kernels with NVRTC. This needs the library and no GPU, so that
//! kernels can be checked where there is none.

use std::{
    ffi::{CStr, CString, c_char},
    path::PathBuf,
    sync::OnceLock,
};

use cudarc::nvrtc::{
    result::{self, NvrtcError},
    sys,
};

use crate::{dialect, source::KernelSource};

/// Names a folder of the CUDA toolkit, such as the one that `scripts/install-cuda-tools.sh`
/// makes: it holds `lib` with NVRTC, and `bin` with ptxas.
pub const TOOLS_VARIABLE: &str = "WINDLASS_CUDA_TOOLS";

/// What to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Machine code of one architecture: 90 is sm_90.
    Cubin(u32),
    /// Text that later architectures can translate: 90 is compute_90.
    Ptx(u32),
}

/// The options of every compilation. Contraction is off so that a kernel's arithmetic is
/// that of its twin, bit for bit; decimals need 128-bit integers.
const OPTIONS: [&str; 3] = ["--std=c++17", "--fmad=false", "--device-int128"];

/// NVRTC's version, after loading it.
///
/// # Errors
/// Text that names the missing library and the packages that hold it.
pub fn version() -> Result<(u32, u32), String> {
    static VERSION: OnceLock<Result<(u32, u32), String>> = OnceLock::new();
    VERSION.get_or_init(find).clone()
}

fn find() -> Result<(u32, u32), String> {
    // A library that is loaded by its path is found by its name from then on. NVRTC loads
    // its builtins by name.
    for folder in folders() {
        let Ok(files) = std::fs::read_dir(&folder) else { continue };
        let mut found: Vec<PathBuf> = files.flatten().map(|f| f.path()).collect();
        found.sort();
        for prefix in ["libnvrtc-builtins.so", "libnvrtc.so"] {
            let named = |p: &&PathBuf| {
                p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix))
            };
            for path in found.iter().filter(named) {
                // SAFETY: the initialisers of these libraries have no requirements.
                if let Ok(library) = unsafe { libloading::Library::new(path) } {
                    std::mem::forget(library);
                }
            }
        }
    }
    // SAFETY: as above. Every other call into `sys` panics when the library is absent.
    if !unsafe { sys::is_culib_present() } {
        return Err(format!(
            "the CUDA compiler library libnvrtc.so was not found: install it (PyPI: \
             nvidia-cuda-nvrtc; Debian and Ubuntu: libnvrtc13 or cuda-nvrtc-13-0) and put its \
             folder into LD_LIBRARY_PATH, or name a toolkit's folder in {TOOLS_VARIABLE}"
        ));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are valid.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result().map_err(words)?;
    Ok((major as u32, minor as u32))
}

/// Folders that may hold NVRTC beside those the loader searches.
fn folders() -> Vec<PathBuf> {
    let mut out = Vec::new();
    if let Some(tools) = std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from) {
        out.extend(
            ["lib", "lib64", "nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"].map(|l| tools.join(l)),
        );
    }
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(home) = std::env::var_os(variable).map(PathBuf::from) {
            out.extend(["lib64", "lib"].map(|l| home.join(l)));
        }
    }
    out.push(PathBuf::from("/usr/local/cuda/lib64"));
    out
}

fn words(e: NvrtcError) -> String {
    format!("NVRTC: {:?}", e.0)
}

/// The architectures that this NVRTC compiles for, ascending: 80, 90, 100.
///
/// # Errors
/// As [`version`].
pub fn architectures() -> Result<Vec<u32>, String> {
    version()?;
    let mut count = 0;
    // SAFETY: the pointer is valid.
    unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }.result().map_err(words)?;
    let mut archs = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for `count` numbers.
    unsafe { sys::nvrtcGetSupportedArchs(archs.as_mut_ptr()) }.result().map_err(words)?;
    archs.sort_unstable();
    Ok(archs.into_iter().map(|a| a as u32).collect())
}

/// A program that is destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created in `compile`, destroyed once.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// Every text that a compilation depends on beside the compiler itself, for cache names.
pub(super) fn parts(source: &KernelSource, unit: &str) -> Vec<String> {
    let mut out = vec![unit.to_string(), source.text.to_string()];
    out.extend(OPTIONS.map(str::to_string));
    out.extend(dialect::headers(source).flat_map(|(n, t)| [n.to_string(), t.to_string()]));
    out
}

/// The translation unit of a source.
pub(super) fn unit(source: &KernelSource) -> String {
    dialect::unit(source, "", "")
}

/// Compiles a source of the dialect to a cubin's bytes or a PTX text.
///
/// # Errors
/// The compiler's log, or why there is no compiler.
pub fn compile(source: &KernelSource, target: Target) -> Result<Vec<u8>, String> {
    version()?;
    let text = |t: &str| CString::new(t).map_err(|_| "the source holds a zero byte".to_string());
    let unit = text(&unit(source))?;
    let name = text(&format!("{}.unit", source.name))?;
    let mut names = vec![text(&dialect::file_name(source))?];
    let mut texts = vec![text(&source.text)?];
    for (n, t) in dialect::headers(source) {
        names.push(text(n)?);
        texts.push(text(t)?);
    }
    let pointers = |v: &[CString]| v.iter().map(|c| c.as_ptr()).collect::<Vec<*const c_char>>();
    let (name_list, text_list) = (pointers(&names), pointers(&texts));
    let mut program = std::ptr::null_mut();
    // SAFETY: every string ends in a zero byte and outlives the program.
    unsafe {
        sys::nvrtcCreateProgram(
            &raw mut program,
            unit.as_ptr(),
            name.as_ptr(),
            name_list.len() as i32,
            text_list.as_ptr(),
            name_list.as_ptr(),
        )
    }
    .result()
    .map_err(words)?;
    let program = Program(program);
    let architecture = match target {
        Target::Cubin(n) => format!("--gpu-architecture=sm_{n}"),
        Target::Ptx(n) => format!("--gpu-architecture=compute_{n}"),
    };
    let mut options: Vec<&str> = OPTIONS.to_vec();
    options.push(&architecture);
    // SAFETY: the program was created above, here and below.
    if let Err(e) = unsafe { result::compile_program(program.0, &options) } {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program.0) }.unwrap_or_default();
        return Err(format!("{}\n{}", words(e), string(&log)));
    }
    match target {
        Target::Ptx(_) => {
            // SAFETY: as above.
            let ptx = unsafe { result::get_ptx(program.0) }.map_err(words)?;
            Ok(string(&ptx).into_bytes())
        }
        Target::Cubin(_) => {
            let mut size = 0;
            // SAFETY: the pointer is valid.
            unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }.result().map_err(words)?;
            let mut bytes = vec![0u8; size];
            // SAFETY: there is room for `size` bytes.
            unsafe { sys::nvrtcGetCUBIN(program.0, bytes.as_mut_ptr().cast()) }
                .result()
                .map_err(words)?;
            Ok(bytes)
        }
    }
}

/// The text up to the first zero byte.
fn string(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|c| *c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(
        |_| String::from_utf8_lossy(&bytes).into_owned(),
        |c| c.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::source::{Access, Language};

    fn source(text: &str) -> KernelSource {
        KernelSource {
            name: Cow::Borrowed("test/kernel"),
            language: Language::Cuda,
            text: Cow::Owned(format!("#include \"windlass.cuh\"\n{text}")),
            headers: vec![("own.cuh".into(), "W_INLINE u32 three() { return 3u; }".into())],
            entry: Cow::Borrowed("k"),
            block: 64,
            buffers: vec![Access::ReadWrite],
            params: 1,
        }
    }

    /// Uses every name of the dialect, so that the emulator's and NVRTC's headers keep to
    /// one set of names.
    const ALL: &str = include_str!("../../tests/every_name.cuh");

    #[test]
    #[ignore = "needs NVRTC: run scripts/install-cuda-tools.sh and set WINDLASS_CUDA_TOOLS"]
    fn every_name_of_the_dialect_compiles_for_every_target() {
        version().unwrap();
        let source = source(ALL);
        for arch in [80, 90, 100] {
            let cubin = compile(&source, Target::Cubin(arch)).unwrap();
            assert!(cubin.starts_with(b"\x7fELF"));
            let ptx = String::from_utf8(compile(&source, Target::Ptx(arch)).unwrap()).unwrap();
            assert!(ptx.contains(".entry k") && ptx.contains(&format!(".target sm_{arch}")));
        }
        assert!(architectures().unwrap().contains(&90));
        let mut wrong = source.clone();
        wrong.text = "#include \"windlass.cuh\"\nstruct P { u32 n; };\n\
            extern \"C\" __global__ void k(u32* a, P p) { a[0] = u32(f64(a[1]) * f64(p.n) + 0.5); }"
            .into();
        let ptx = String::from_utf8(compile(&wrong, Target::Ptx(90)).unwrap()).unwrap();
        assert!(ptx.contains("mul.f64") || ptx.contains("mul.rn.f64"), "{ptx}");
        assert!(!ptx.contains("fma."), "contraction is off: {ptx}");
        wrong.params = 2;
        let log = compile(&wrong, Target::Cubin(90)).unwrap_err();
        assert!(log.contains("32-bit words"), "{log}");
        wrong.text = "#include \"windlass.cuh\"\n\nint x = nothing;".into();
        let log = compile(&wrong, Target::Cubin(90)).unwrap_err();
        assert!(log.contains("test/kernel.cu(3)"), "{log}");
    }
}
