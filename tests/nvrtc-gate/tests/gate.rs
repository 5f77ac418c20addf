//! The gate itself. It has a harness of its own, since the standard one cannot report a test
//! as ignored for a reason that only running finds: that NVIDIA's compilers are not there.
//!
//! `WINDLASS_GATE_UPDATE=1` writes the figures found as the new table.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use nvrtc_gate::{
    pipelines::{self, EVERYTHING},
    usage::{self, Table, Usage},
};
use windlass_device::{
    KernelSource, Language,
    cuda::nvrtc::{self, Target},
};

/// Ampere, Hopper and Blackwell data-centre GPUs.
const ARCHITECTURES: [u32; 3] = [80, 90, 100];

type Test = fn() -> Result<(), String>;

const FILES: (&str, Test) = ("every_cuda_file_is_among_the_sources", every_file);
const LIMITS: (&str, Test) = ("every_source_compiles_and_keeps_to_its_limits", limits);

/// All sources: the static kernels of every family, and the generated pipelines.
fn sources() -> Result<Vec<KernelSource>, String> {
    let text = |e: windlass_kernels::KernelError| e.to_string();
    let mut out = windlass_kernels::sources::sources(Language::Cuda).map_err(text)?;
    out.extend(pipelines::sources().map_err(text)?);
    // Variants of one entry, told apart by their text.
    let mut seen = BTreeMap::new();
    for s in &mut out {
        let n: &mut u32 = seen.entry(s.name.to_string()).or_default();
        *n += 1;
        if *n > 1 {
            s.name = format!("{}#{n}", s.name).into();
        }
    }
    Ok(out)
}

/// A `.cu` file that no function hands out would never be compiled here.
fn every_file() -> Result<(), String> {
    let sources = sources()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
    let mut folders = vec![root];
    let mut missing = Vec::new();
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "cu") {
                let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
                found += 1;
                if !sources.iter().any(|s| s.text.contains(&text)) {
                    missing.push(path.display().to_string());
                }
            }
        }
    }
    match (found, missing.is_empty()) {
        (0, _) => Err("no .cu file was found under kernels".to_string()),
        (_, true) => Ok(()),
        _ => Err(format!(
            "no function `sources` of windlass-kernels gives out: {}",
            missing.join(", ")
        )),
    }
}

/// One source for every architecture: its figures, or what the compilers say.
fn one(source: &KernelSource, ptxas: &Path, file: &Path) -> Result<Usage, String> {
    let mut most = Usage::default();
    for architecture in ARCHITECTURES {
        let usage = nvrtc::compile(source, Target::Ptx(architecture))
            .and_then(|ptx| usage::measure(ptxas, &ptx, architecture, file))
            .map_err(|e| format!("{} for sm_{architecture}: {e}", source.name))?;
        most = most.max(usage);
    }
    Ok(most)
}

fn limits() -> Result<(), String> {
    let ptxas = usage::ptxas()?;
    let sources = sources()?;
    let (next, done, wrong) =
        (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let work = |worker: usize| {
        let name = format!("windlass-gate-{}-{worker}.ptx", std::process::id());
        let file = std::env::temp_dir().join(name);
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            match one(source, &ptxas, &file) {
                Ok(usage) => {
                    done.lock().expect("no panic").insert(source.name.to_string(), usage);
                }
                Err(e) => wrong.lock().expect("no panic").push(e),
            }
        }
    };
    thread::scope(|scope| {
        for worker in 0..thread::available_parallelism().map_or(1, |n| n.get()) {
            let work = &work;
            scope.spawn(move || work(worker));
        }
    });
    let mut wrong = wrong.into_inner().map_err(|e| e.to_string())?;
    let mut figures = done.into_inner().map_err(|e| e.to_string())?;
    for (name, u) in &figures {
        println!(
            "{name}: {} registers, {} bytes shared, {} bytes spilled",
            u.registers, u.shared, u.spills
        );
    }
    figures.retain(|name, _| !name.starts_with(EVERYTHING));
    if std::env::var_os("WINDLASS_GATE_UPDATE").is_some() && wrong.is_empty() {
        return Table::write(&figures);
    }
    let table = Table::read()?;
    wrong.extend(
        figures.iter().filter_map(|(n, u)| Some(format!("{n}: {}", table.regression(n, *u)?))),
    );
    wrong.extend(table.stale(&figures).iter().map(|n| format!("{n}: in the table, not a kernel")));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nIf this is meant, WINDLASS_GATE_UPDATE=1 writes tests/nvrtc-gate/limits.json anew.",
        wrong.join("\n")
    ))
}

/// The part of the standard harness's command line that cargo and nextest use.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let missing = usage::ptxas().err();
    let tests = [(FILES, None), (LIMITS, missing)];
    if has("--list") {
        for ((name, _), missing) in &tests {
            if missing.is_some() || !has("--ignored") {
                println!("{name}: test");
            }
        }
        return ExitCode::SUCCESS;
    }
    // Flags that take a value, whose value is no filter.
    let valued = ["--format", "--test-threads", "--color", "--skip"];
    let mut filters = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if valued.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    let mut failed = false;
    for ((name, test), missing) in tests {
        let chosen = |f: &&String| if has("--exact") { name == *f } else { name.contains(&***f) };
        if !filters.is_empty() && !filters.iter().any(chosen) {
            continue;
        }
        let forced = has("--ignored") || has("--include-ignored");
        if let Some(reason) = missing.filter(|_| !forced) {
            println!("test {name} ... ignored, {reason}");
            continue;
        }
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(e) => {
                failed = true;
                println!("test {name} ... FAILED\n{e}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
