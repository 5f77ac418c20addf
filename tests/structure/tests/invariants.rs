//! The invariants that the README prints, over `cargo metadata` and the files themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
}

/// A package of the workspace.
struct Package {
    name: String,
    manifest: PathBuf,
    /// Its normal and build dependencies.
    dependencies: BTreeSet<String>,
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_string()
}

/// The packages, from `cargo metadata` itself: a crate for it would change the features of
/// libraries that the engine uses too, and so compile them twice.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata as JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let package = |p: &Value| {
        let dependencies = p["dependencies"].as_array().expect("dependencies").iter();
        Package {
            name: text(&p["name"]),
            manifest: PathBuf::from(text(&p["manifest_path"])),
            dependencies: dependencies
                .filter(|d| d["kind"].as_str() != Some("dev"))
                .map(|d| text(&d["name"]))
                .collect(),
        }
    };
    packages.map(package).collect()
}

/// The normal and build dependencies of each workspace package.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    packages().into_iter().map(|p| (p.name, p.dependencies)).collect()
}

/// The crates of the map, and which of ours each may depend on.
const MAP: &[(&str, &[&str])] = &[
    ("windlass-device", &[]),
    ("windlass-kernels", &["windlass-device"]),
    ("windlass-runtime", &["windlass-device"]),
    ("windlass-array", &["windlass-device", "windlass-kernels", "windlass-runtime"]),
    ("windlass-frame", &["windlass-device", "windlass-kernels", "windlass-runtime"]),
    (
        "windlass",
        &[
            "windlass-device",
            "windlass-kernels",
            "windlass-runtime",
            "windlass-array",
            "windlass-frame",
        ],
    ),
    ("windlass-cli", &["windlass"]),
];

#[test]
fn crates_depend_only_on_what_the_map_allows() {
    let deps = dependencies();
    for (name, own) in deps.iter().filter(|(n, _)| n.starts_with("windlass")) {
        let allowed = MAP
            .iter()
            .find(|(n, _)| n == name)
            .unwrap_or_else(|| panic!("{name} is not on the map of the README"))
            .1;
        for dep in own.iter().filter(|d| d.starts_with("windlass")) {
            assert!(allowed.contains(&dep.as_str()), "{name} may not depend on {dep}");
        }
    }
}

#[test]
fn only_the_named_crates_name_the_big_libraries() {
    let owners: &[(&str, &[&str])] = &[
        ("cudarc", &["windlass-device"]),
        ("wgpu", &["windlass-device"]),
        ("datafusion", &["windlass-frame"]),
    ];
    for (package, own) in dependencies() {
        if !package.starts_with("windlass") {
            continue;
        }
        for (library, allowed) in owners {
            let used = own.iter().any(|d| d == library || d.starts_with(&format!("{library}-")));
            assert!(
                !used || allowed.contains(&package.as_str()),
                "{package} names {library}; only {allowed:?} may"
            );
        }
    }
}

#[test]
fn a_crate_lies_in_the_folder_of_its_name() {
    for p in packages() {
        let folder = p.manifest.parent().and_then(|d| d.file_name()).unwrap_or_default();
        let folder = folder.to_string_lossy();
        assert!(
            p.name.trim_end_matches("-tests") == folder || p.name == folder,
            "{}",
            p.manifest.display()
        );
        for word in ["core", "common", "utils", "util", "misc"] {
            assert!(!p.name.ends_with(&format!("-{word}")), "{}: a crate has a purpose", p.name);
        }
    }
}

#[test]
fn every_package_takes_the_workspace_lints() {
    for p in packages() {
        let text = fs::read_to_string(&p.manifest).expect("a manifest");
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{}: add [lints] workspace = true",
            p.manifest.display()
        );
    }
}

fn files(dir: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files(&path, extension, out);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
}

fn all(extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for top in ["crates", "tests", "kernels", "shaders", "benches", "examples"] {
        files(&root().join(top), extension, &mut out);
    }
    out
}

#[test]
fn every_rust_file_says_what_it_holds() {
    let found = all("rs");
    assert!(found.len() > 20, "found the sources");
    for path in found {
        let text = fs::read_to_string(&path).expect("a source");
        assert!(text.starts_with("//!"), "{}: open with //! and what lives there", path.display());
        let lines = text.lines().count();
        assert!(lines <= 1000, "{}: {lines} lines; split it", path.display());
    }
}

/// Whether a file holds functions for kernels and no kernel: it has no entry point.
fn is_module(text: &str) -> bool {
    !text.contains("@compute") && !text.contains("__global__")
}

/// The parts of a kernel's header, after its first line `// name: purpose` and the words on
/// the algorithm and its source. The result's part says whether it is deterministic.
const HEADER: &[&str] = &["Buffers:", "Params:", "Launch:", "Result:"];

#[test]
fn every_kernel_file_has_a_whole_header() {
    for path in all("cu").into_iter().chain(all("wgsl")) {
        let text = fs::read_to_string(&path).expect("a kernel");
        for part in HEADER.iter().filter(|_| !is_module(&text)) {
            assert!(text.contains(part), "{}: the header lacks {part:?}", path.display());
        }
        let first = text.lines().next().unwrap_or_default();
        let named = first.starts_with("// ") && first.contains(": ");
        assert!(named || is_module(&text), "{}: open with `// name: purpose`", path.display());
    }
}

#[test]
fn a_kernel_has_one_name_in_both_languages() {
    let names = |top: &str, extension: &str| -> BTreeSet<String> {
        let mut out = Vec::new();
        files(&root().join(top), extension, &mut out);
        out.iter()
            .filter(|p| !is_module(&fs::read_to_string(p).unwrap_or_default()))
            .map(|p| {
                let inside = p.strip_prefix(root().join(top)).expect("found below it");
                inside.with_extension("").display().to_string()
            })
            .collect()
    };
    assert_eq!(names("kernels", "cu"), names("shaders", "wgsl"));
}
