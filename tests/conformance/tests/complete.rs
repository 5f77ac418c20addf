//! An operation has all its parts: a kernel in both languages, a twin, a public function, a
//! body of this suite that launches the kernel, and its figures in the gate's table.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use conformance::launches::{Operation, operations, root};
use windlass_device::{KernelSource, Language};

/// Families whose kernels are steps of one operation, with one twin for all.
const ONE_TWIN: [&str; 6] = ["aggregate", "join", "partition", "sort", "string", "window"];

/// Kernels that are generated, so in no list of static sources.
const GENERATED: [&str; 1] = ["pipeline/filter_project"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files with this ending below a folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                out.push(path);
            }
        }
    }
    out
}

/// `family/name` of a file below `top`.
fn name(top: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(top).expect("found below it").with_extension("");
    inside.to_str().expect("UTF-8").replace('\\', "/")
}

fn sources(language: Language) -> Vec<KernelSource> {
    windlass_kernels::sources::sources(language).unwrap_or_else(|e| panic!("{e}"))
}

/// The kernel files (those with an entry point) and the names of the sources made of each.
fn kernels() -> Vec<(String, BTreeSet<String>)> {
    let (top, all) = (root().join("kernels"), sources(Language::Cuda));
    let mut out = Vec::new();
    for path in files(&top, "cu") {
        let text = read(&path);
        assert!(text.contains("__global__"), "{}: a .cu file has an entry point", path.display());
        let of_it = all.iter().filter(|s| s.text.contains(&text));
        out.push((name(&top, &path), of_it.map(|s| s.name.to_string()).collect()));
    }
    assert!(out.len() > 40, "found the kernels");
    out
}

#[test]
fn every_kernel_file_is_compiled_in_both_languages() {
    let wgsl: BTreeSet<String> =
        sources(Language::Wgsl).into_iter().map(|s| s.name.to_string()).collect();
    for (file, names) in kernels() {
        let shader = root().join("shaders").join(format!("{file}.wgsl"));
        assert!(shader.exists(), "{} is missing", shader.display());
        assert!(read(&shader).contains("@compute"), "{}: no entry point", shader.display());
        assert!(!names.is_empty(), "kernels/{file}.cu: no function `sources` gives it out");
        for n in names {
            assert!(wgsl.contains(&n), "{n}: the WGSL sources lack it");
        }
    }
    // And no shader without its kernel.
    let top = root().join("shaders");
    for path in files(&top, "wgsl") {
        let kernel = root().join("kernels").join(format!("{}.cu", name(&top, &path)));
        let entry = read(&path).contains("@compute");
        assert!(!entry || kernel.exists(), "{} is missing", kernel.display());
    }
}

#[test]
fn every_kernel_has_a_twin() {
    let twins = root().join("crates/windlass-kernels/src/cpu");
    for (file, _) in kernels() {
        let (family, stem) = file.split_once('/').expect("a family");
        let twin = match ONE_TWIN.contains(&family) {
            true => twins.join(family).join("mod.rs"),
            false => twins.join(family).join(format!("{stem}.rs")),
        };
        assert!(twin.exists(), "kernels/{file}.cu: its twin {} is missing", twin.display());
    }
}

#[test]
fn every_kernel_has_a_public_function_and_a_body_that_launches_it() {
    let listed = operations();
    for (_, names) in kernels() {
        for n in names {
            assert!(
                listed.iter().any(|o| o.kernel == n),
                "{n}: add a line to tests/conformance/operations.txt with the public function \
                 that it is behind and the test body that launches it"
            );
        }
    }
    let known: BTreeSet<String> = kernels().into_iter().flat_map(|(_, names)| names).collect();
    for o in listed {
        assert!(
            known.contains(&o.kernel) || GENERATED.contains(&&*o.kernel),
            "operations.txt: {} is no kernel",
            o.kernel
        );
        has_function(&o);
        has_body(&o);
    }
}

/// The function is public in the module of its path.
fn has_function(o: &Operation) {
    let (module, _) = o.function.split_once("::").expect("a module and a function");
    let function = o.function.rsplit("::").next().expect("a function");
    let folder = root().join("crates/windlass-kernels/src").join(module);
    let declared = format!("pub fn {function}(");
    let found = files(&folder, "rs").iter().any(|f| read(f).contains(&declared));
    assert!(found, "operations.txt: {}: no `{declared}` in {}", o.kernel, folder.display());
}

/// The body is one that `everywhere!` runs; running it checks that it launches the kernel.
fn has_body(o: &Operation) {
    let (file, body) = o.body.split_once("::").expect("a test file and a body");
    let tests = root().join("tests/conformance/tests");
    let alone = tests.join(format!("{file}.rs"));
    let path = if alone.exists() { alone } else { tests.join(file).join("main.rs") };
    let text = read(&path);
    let run = text.split("conformance::everywhere!(").skip(1).any(|call| {
        let list = call.split(");").next().unwrap_or_default();
        list.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == body)
    });
    assert!(run, "operations.txt: {}: {} runs no body {body} everywhere", o.kernel, path.display());
}

#[test]
fn every_public_operation_is_called_by_a_test() {
    let tests = files(&root().join("tests/conformance/tests"), "rs");
    let tests: String = tests.iter().map(|f| read(f)).collect();
    let words: BTreeSet<&str> = tests.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut functions = 0;
    let families: BTreeSet<String> = kernels()
        .iter()
        .filter_map(|(file, _)| Some(file.split_once('/')?.0.to_string()))
        .collect();
    for family in families {
        for path in files(&root().join("crates/windlass-kernels/src").join(&family), "rs") {
            for declared in read(&path).split("pub fn ").skip(1) {
                let signature = declared.split('{').next().unwrap_or_default();
                if !signature.contains("dyn Queue") {
                    continue;
                }
                functions += 1;
                let function = signature.split(['(', '<']).next().unwrap_or_default();
                assert!(
                    words.contains(function),
                    "{}: no conformance test calls {function}",
                    path.display()
                );
            }
        }
    }
    assert!(functions > 30, "found the public operations");
}

#[test]
fn every_kernel_has_its_figures_in_the_gate() {
    let limits = read(&root().join("tests/nvrtc-gate/limits.json"));
    for (file, names) in kernels() {
        for n in names {
            let line = format!("\"{n}\":");
            assert!(
                limits.contains(&line),
                "kernels/{file}.cu: limits.json lacks {n}; `make gate`"
            );
        }
    }
}
