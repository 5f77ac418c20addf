//! Compiles kernels with the host's C++ compiler and keeps the results by their hash.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::module::Module;
use crate::{cache, dialect, source::KernelSource};

/// The compilers tried when `CXX` is not set, the fastest first.
const COMPILERS: [&str; 3] = ["g++", "clang++", "c++"];

/// Strict IEEE arithmetic and no type-based aliasing, as on the GPU. At -O1 a kernel
/// compiles in a fraction of a second.
const FLAGS: [&str; 11] = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-shared",
    "-w",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
    "-I.",
];

/// Calls for every access and every undefined operation; see `windlass_checked.cuh`.
const CHECKED: [&str; 4] = [
    "-DWINDLASS_CHECKED=1",
    "-fsanitize=kernel-address,undefined,float-cast-overflow",
    "-fno-sanitize=vptr",
    "-fno-sanitize-recover=undefined,float-cast-overflow",
];
const CHECKED_CLANG: [&str; 7] = [
    "-fno-sanitize=function",
    "-mllvm",
    "-asan-instrumentation-with-call-threshold=0",
    "-mllvm",
    "-asan-stack=0",
    "-mllvm",
    "-asan-globals=0",
];
const CHECKED_GCC: [&str; 6] = [
    "--param",
    "asan-instrumentation-with-call-threshold=0",
    "--param",
    "asan-stack=0",
    "--param",
    "asan-globals=0",
];

/// The host's C++ compiler.
pub(super) struct Compiler {
    program: String,
    /// Arguments that `CXX` carries.
    first: Vec<String>,
    /// The first line of `--version`.
    pub(super) version: String,
    clang: bool,
}

/// The compiler, found once in a process.
///
/// # Errors
/// Text that says what to install.
pub(super) fn compiler() -> Result<&'static Compiler, String> {
    static FOUND: OnceLock<Result<Compiler, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| match std::env::var("CXX") {
        Ok(cxx) if !cxx.trim().is_empty() => {
            ask(&cxx).ok_or_else(|| format!("CXX={cxx} does not run as a C++ compiler"))
        }
        _ => COMPILERS.iter().find_map(|c| ask(c)).ok_or_else(|| {
            "the emulator compiles kernels with the host's C++ compiler, and neither g++ nor \
             clang++ was found: install one (Debian and Ubuntu: apt install g++; Fedora: dnf \
             install gcc-c++; macOS: xcode-select --install) or set CXX"
                .to_string()
        }),
    });
    found.as_ref().map_err(Clone::clone)
}

fn ask(command: &str) -> Option<Compiler> {
    let mut words = command.split_whitespace().map(str::to_string);
    let program = words.next()?;
    let first: Vec<String> = words.collect();
    let out = Command::new(&program).args(&first).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let version = text.lines().next().filter(|_| out.status.success())?.to_string();
    Some(Compiler { program, first, version, clang: text.contains("clang") })
}

/// Compiles a source, or loads what was compiled from an equal one.
///
/// # Errors
/// The compiler's log, or why its result cannot be kept or loaded.
pub(super) fn compile(
    source: &KernelSource,
    checked: bool,
    folder: &Path,
) -> Result<Arc<Module>, String> {
    static LOADED: Mutex<Option<HashMap<String, Arc<Module>>>> = Mutex::new(None);
    let compiler = compiler()?;
    let mut flags: Vec<&str> = FLAGS.to_vec();
    if checked {
        flags.extend(CHECKED);
        flags.extend(if compiler.clang { &CHECKED_CLANG[..] } else { &CHECKED_GCC[..] });
    }
    let after = format!("W_EMULATED_ENTRY({});\n", source.entry);
    let unit = dialect::unit(source, "#define WINDLASS_EMULATED 1\n", &after);
    let hash = hash(compiler, &flags, source, &unit);
    if let Some(m) = LOADED.lock().get_or_insert_default().get(&hash) {
        return Ok(Arc::clone(m));
    }
    let folder = folder.join("emulated");
    let file = folder.join(format!("{hash}.so"));
    let module = match file.exists().then(|| Module::load(&file)) {
        Some(Ok(module)) => module,
        _ => {
            build(compiler, &flags, source, &unit, &folder, &file)?;
            Module::load(&file)?
        }
    };
    let module = Arc::new(module);
    LOADED.lock().get_or_insert_default().insert(hash, Arc::clone(&module));
    Ok(module)
}

fn hash(compiler: &Compiler, flags: &[&str], source: &KernelSource, unit: &str) -> String {
    let mut parts = vec![&*compiler.program, &compiler.version, unit, &source.text];
    parts.extend(compiler.first.iter().map(|f| &**f));
    parts.extend(flags);
    parts.extend(dialect::headers(source).flat_map(|(name, text)| [name, text]));
    cache::name(parts)
}

/// A folder of one compilation, removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn build(
    compiler: &Compiler,
    flags: &[&str],
    source: &KernelSource,
    unit: &str,
    folder: &Path,
    file: &Path,
) -> Result<(), String> {
    let scratch = Scratch(folder.join(format!("build-{}", cache::unique())));
    let put = |name: &str, text: &str| -> Result<(), String> {
        let path = scratch.0.join(name);
        let parent = path.parent().unwrap_or(&scratch.0);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    for (name, text) in dialect::headers(source) {
        if name.split('/').any(|part| part == "..") || name.starts_with('/') {
            return Err(format!("the header name {name:?} leaves the source's folder"));
        }
        put(name, text)?;
    }
    put(&dialect::file_name(source), &source.text)?;
    put("windlass_unit.cpp", unit)?;
    let out = Command::new(&compiler.program)
        .args(&compiler.first)
        .args(flags)
        .args(["windlass_unit.cpp", "-o", "unit.so", "-lm"])
        .current_dir(&scratch.0)
        .output()
        .map_err(|e| format!("{}: {e}", compiler.program))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    // Another process may build the same kernel: a rename leaves one whole file.
    fs::rename(scratch.0.join("unit.so"), file).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_asked_for_its_version_with_its_own_arguments() {
        assert!(ask("windlass-no-such-compiler").is_none());
        let found = compiler().unwrap();
        assert!(!found.version.is_empty());
        let command = format!("{} -DX=1", found.program);
        assert_eq!(ask(&command).unwrap().first, ["-DX=1"]);
    }
}
