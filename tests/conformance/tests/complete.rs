//! An operation has all its parts: a kernel in both languages, a twin, a public function, a
//! body of this suite that launches the kernel, a test of bad input, a bench, and its figures in
//! the gate's table.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use conformance::launches::{Operation, operations, root};
use windlass_device::{KernelSource, Language};
use windlass_kernels::bench::{Bench, list};

/// Families whose kernels are steps of one operation, with one twin for all.
const ONE_TWIN: [&str; 6] = ["aggregate", "join", "partition", "sort", "string", "window"];

/// Public operations without a test of bad input, each with its reason.
const NO_BAD_INPUT: [(&str, &str); 2] = [
    ("join::Probe::next", "takes nothing but a queue and memory"),
    ("string::StringColumn::constant", "takes every text that a test can make"),
];

/// Operations that are methods of a trait, which `pub fn` does not declare.
const OF_TRAITS: [&str; 1] = ["aggregate::GroupBy::update"];

/// Public functions without a bench of their own, each with its reason.
const NO_BENCH: [(&str, &str); 6] = [
    ("build_marks", "the first step of unmatched_build"),
    ("matched_build", "unmatched_build of the other rows"),
    ("sizes", "reads a few words back"),
    ("from_arrow", "an upload: part of what sets a bench up"),
    ("to_arrow", "a download: part of what checks a result"),
    ("add", "what mark_matched is for build rows"),
];

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

/// The public operations, as `family::function` or `family::Type::function`.
fn public_operations() -> Vec<String> {
    let families: BTreeSet<String> = kernels()
        .iter()
        .filter_map(|(file, _)| Some(file.split_once('/')?.0.to_string()))
        .collect();
    let mut out = Vec::new();
    for family in families {
        for path in files(&root().join("crates/windlass-kernels/src").join(&family), "rs") {
            let text = read(&path);
            for (at, _) in text.match_indices("pub fn ") {
                let signature = text[at + 7..].split('{').next().unwrap_or_default();
                if !signature.contains("dyn Queue") {
                    continue;
                }
                let function = signature.split(['(', '<']).next().unwrap_or_default();
                // A method stands in a block of its type's.
                let method = text[..at].ends_with("    ");
                let block = text[..at].rsplit("\nimpl ").next().filter(|_| method);
                match block.and_then(|b| b.split([' ', '<']).next()) {
                    Some(ty) => out.push(format!("{family}::{ty}::{function}")),
                    None => out.push(format!("{family}::{function}")),
                }
            }
        }
    }
    assert!(out.len() > 60, "found the public operations: {out:?}");
    out
}

/// The name of an operation's function.
fn last(operation: &str) -> &str {
    operation.rsplit("::").next().unwrap_or_default()
}

/// The words of all Rust files below a folder.
fn words_below(folder: &str) -> BTreeSet<String> {
    let texts: String = files(&root().join(folder), "rs").iter().map(|f| read(f)).collect();
    let words = texts.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.map(str::to_string).collect()
}

#[test]
fn every_public_operation_is_called_by_a_test() {
    let words = words_below("tests/conformance/tests");
    for operation in public_operations() {
        assert!(words.contains(last(&operation)), "no conformance test calls {operation}");
    }
}

/// The calls there go through macros and functions that fail unless the operation refuses.
#[test]
fn every_public_operation_has_a_test_of_bad_input() {
    let tests = files(&root().join("tests/conformance/tests/bad_input"), "rs");
    let tests: String = tests.iter().map(|f| read(f)).collect();
    let tests: String = tests.split_whitespace().collect();
    let refusals: Vec<&str> = ["refuse!(", "refuse_on_cpu!(", "$how!("]
        .iter()
        .flat_map(|call| tests.split(call).skip(1))
        .filter_map(|rest| rest.split(';').next())
        .collect();
    let mut operations = public_operations();
    operations.extend(OF_TRAITS.map(str::to_string));
    operations.extend(conformance::launches::operations().into_iter().map(|o| o.function));
    for operation in &operations {
        // `refuse!(…, gather::gather(…))`, or `refused("join::JoinTable::probe", …)`.
        let (_, path) = operation.split_once("::").expect("a family");
        let called = [format!(",{operation}("), format!(",{path}(")];
        let named = tests.contains(&format!("refused(\"{operation}\","));
        let by_macro = refusals.iter().any(|r| called.iter().any(|c| r.contains(c)));
        let exempt = NO_BAD_INPUT.iter().any(|(known, _)| known == operation);
        assert!(
            named || by_macro || exempt,
            "{operation}: add its bad input to tests/conformance/tests/bad_input"
        );
        assert!(!(exempt && (named || by_macro)), "{operation} is tested, so no exception");
    }
    for (known, reason) in NO_BAD_INPUT {
        assert!(operations.iter().any(|o| o == known), "{known} is no operation: {reason}");
    }
}

#[test]
fn every_operation_has_a_bench() {
    let benches: BTreeSet<String> = list().iter().map(|b| Bench::name(b).to_string()).collect();
    for o in operations() {
        assert!(
            benches.contains(&o.bench),
            "operations.txt: {}: there is no bench {:?}; there are {benches:?}",
            o.kernel,
            o.bench
        );
    }
    let words = words_below("crates/windlass-kernels/src/bench");
    for operation in public_operations() {
        let function = last(&operation);
        let exempt = NO_BENCH.iter().any(|(known, _)| *known == function);
        assert!(
            words.contains(function) || exempt,
            "{operation}: no bench of windlass_kernels::bench calls it"
        );
    }
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
