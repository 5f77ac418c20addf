//! `windlass bench arrays`: operations on whole arrays, beside NumPy and Dask in the same run.

use std::{
    io::{BufRead, BufReader, IsTerminal},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};
use windlass::{
    array::{
        ArrayError, TakenOver,
        bench::{CHUNKS, COLUMNS, Files, On, matrices, numbers, operations},
    },
    device::Device,
};

use super::{args::ArrayArgs, class, commit, machine, peers::interpreter};
use crate::{
    engine::note,
    error::{Error, Result},
    output::{TableStyle, print, render_rows, write_file},
};

/// What NumPy's and Dask's processes run.
const SCRIPT: &str = include_str!("../../../../../benches/peers/arrays.py");

/// How far apart the engines' values may be, relative to ours: sums of a hundred million floats
/// in other orders.
const TOLERANCE: f64 = 1e-9;

/// What was measured.
#[derive(Debug, Serialize)]
struct ArrayFigures {
    suite: &'static str,
    commit: Option<String>,
    profile: &'static str,
    cores: usize,
    machine: &'static str,
    /// Devices that compute beside the host's cores.
    devices: Vec<DeviceLine>,
    runs: u32,
    /// The arrays have so many rows and columns of 64-bit floats.
    size: usize,
    /// Rows and columns of the matrix that is multiplied.
    matrix: usize,
    /// Rows of the matrix that is factored.
    rows: usize,
    /// Chunks of one element in our sum of small chunks.
    chunks: usize,
    /// The same for Dask, which takes much longer for each.
    dask_chunks: usize,
    engines: Vec<EngineVersion>,
    operations: Vec<Operation>,
}

/// A device that computes.
#[derive(Debug, Serialize)]
struct DeviceLine {
    name: String,
    model: String,
    class: &'static str,
}

#[derive(Debug, Serialize)]
struct EngineVersion {
    name: String,
    version: String,
}

/// One operation by all engines.
#[derive(Debug, Serialize)]
struct Operation {
    name: &'static str,
    ours: Timed,
    /// Tiles and parts of reductions that the host made in a device's place.
    taken_over: u64,
    peers: Vec<PeerTimed>,
}

#[derive(Debug, Clone, Serialize)]
struct Timed {
    all_seconds: Vec<f64>,
    seconds: f64,
    value: f64,
}

#[derive(Debug, Serialize)]
struct PeerTimed {
    engine: String,
    #[serde(flatten)]
    timed: Timed,
    /// Its time over ours; for chunks, that of each.
    times_ours: f64,
}

impl Timed {
    fn new(all_seconds: Vec<f64>, value: f64) -> Self {
        let seconds = all_seconds.iter().copied().fold(f64::INFINITY, f64::min);
        Self { all_seconds, seconds, value }
    }
}

/// Runs the command.
pub(super) fn run(args: &ArrayArgs) -> Result<()> {
    let failed = |e: ArrayError| Error::caused("the bench failed", &e);
    let n = args.size;
    let on =
        On::new(&args.device).map_err(|e| Error::caused("the devices cannot be opened", &e))?;
    let mut figures = ArrayFigures {
        suite: "arrays",
        commit: commit(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        machine: machine(),
        devices: devices(&on)?,
        runs: args.runs,
        size: n,
        matrix: args.matrix,
        rows: args.rows,
        chunks: args.chunks,
        dask_chunks: args.dask_chunks,
        engines: vec![EngineVersion {
            name: "windlass".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }],
        operations: Vec::new(),
    };
    let x = numbers(n, n).and_then(|x| on.placed(&x)).map_err(failed)?;
    let only = args.only.as_deref().unwrap_or_default();
    let files = Files::new(n, only, &args.device).map_err(failed)?;
    let all = operations(&x, args.chunks, &on)
        .into_iter()
        .chain(matrices(args.matrix, args.rows, &on))
        .chain(files.operations());
    for (name, run) in all {
        if !name.contains(only) {
            continue;
        }
        let (mut seconds, mut value) = (Vec::new(), f64::NAN);
        let before = on.taken_over().tiles;
        for _ in 0..args.runs {
            let began = Instant::now();
            value = run().map_err(failed)?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        let (ours, peers) = (Timed::new(seconds, value), Vec::new());
        let TakenOver { tiles, reason } = on.taken_over();
        let taken_over = tiles - before;
        if let (1.., Some(reason)) = (taken_over, reason) {
            note(&format!("{name}: the host made {taken_over} tiles of a device's: {reason}"));
        }
        figures.operations.push(Operation { name, ours, taken_over, peers });
    }
    drop((x, files));
    if figures.operations.is_empty() {
        return Err(Error::usage(format!("no operation has {only} in its name"), "see --help"));
    }
    for engine in args.engines.iter().filter(|e| *e != "none") {
        peer(args, engine, &mut figures)?;
    }
    let style = match std::io::stdout().is_terminal() {
        true => TableStyle::terminal(usize::MAX),
        false => TableStyle::plain(),
    };
    print(&text(&figures, style))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)
            .map_err(|e| Error::caused("cannot write the figures as JSON", &e))?;
        write_file(path, &(text + "\n"))?;
    }
    let wrong = differences(&figures);
    match wrong.is_empty() {
        true => Ok(()),
        // Figures of wrong results are no figures.
        false => {
            Err(Error::failed(format!("results differ between engines:\n{}", wrong.join("\n"))))
        }
    }
}

/// The devices that compute, as results name them.
fn devices(on: &On) -> Result<Vec<DeviceLine>> {
    let all = on.devices().map_err(|e| Error::caused("the devices cannot be opened", &e))?;
    let line = |d: &Arc<dyn Device>| {
        let info = d.info();
        DeviceLine { name: info.name.to_string(), model: info.model.clone(), class: class(info) }
    };
    Ok(all.iter().map(line).collect())
}

/// A line of a peer's answer.
#[derive(Deserialize)]
struct Line {
    absent: Option<String>,
    version: Option<String>,
    name: Option<String>,
    #[serde(default)]
    seconds: Vec<f64>,
    #[serde(default)]
    value: f64,
}

/// Another engine, in a process of its own.
fn peer(args: &ArrayArgs, engine: &str, figures: &mut ArrayFigures) -> Result<()> {
    let python = interpreter(args.python.as_deref());
    let chunks = if engine == "dask" { args.dask_chunks } else { args.chunks };
    let spawned = Command::new(&python)
        .args(["-c", SCRIPT, engine, &args.size.to_string(), &chunks.to_string()])
        .args([&args.runs.to_string(), args.only.as_deref().unwrap_or_default()])
        .args([args.matrix.to_string(), args.rows.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match (spawned, &args.python) {
        (Ok(child), _) => child,
        (Err(e), Some(_)) => {
            return Err(Error::caused(format!("cannot start {}", python.display()), &e));
        }
        (Err(e), None) => {
            note(&format!("{engine} is not in this run: cannot start Python: {e}"));
            return Ok(());
        }
    };
    let out = child.stdout.take().map(BufReader::new);
    let lines = out.into_iter().flat_map(BufRead::lines);
    let mut told = false;
    for line in lines {
        let line = line.map_err(|e| Error::caused(format!("cannot read from {engine}"), &e))?;
        let line: Line = serde_json::from_str(&line)
            .map_err(|e| Error::caused(format!("{engine} gave no answer"), &e))?;
        told = true;
        if let Some(reason) = line.absent {
            note(&format!("{engine} is not in this run: {reason}"));
        }
        if let Some(version) = line.version {
            figures.engines.push(EngineVersion { name: engine.into(), version });
        }
        let Some(name) = line.name else { continue };
        let Some(operation) = figures.operations.iter_mut().find(|o| o.name == name) else {
            continue;
        };
        let timed = Timed::new(line.seconds, line.value);
        let each = if name == CHUNKS { args.chunks as f64 / chunks as f64 } else { 1.0 };
        let times_ours = timed.seconds * each / operation.ours.seconds;
        operation.peers.push(PeerTimed { engine: engine.into(), timed, times_ours });
    }
    let status =
        child.wait().map_err(|e| Error::caused(format!("cannot wait for {engine}"), &e))?;
    match status.success() && told {
        true => Ok(()),
        false => Err(Error::failed(format!("{engine} ended with {status}; its words are above"))),
    }
}

/// Results of others that are not ours.
fn differences(figures: &ArrayFigures) -> Vec<String> {
    let mut wrong = Vec::new();
    for operation in &figures.operations {
        for peer in &operation.peers {
            let ours = match (operation.name, &*peer.engine) {
                (CHUNKS, "dask") => figures.dask_chunks as f64,
                _ => operation.ours.value,
            };
            let theirs = peer.timed.value;
            if (ours - theirs).abs() > TOLERANCE * ours.abs().max(theirs.abs()) {
                let (name, engine) = (operation.name, &peer.engine);
                wrong.push(format!("{name}: {theirs} by {engine}, {ours} here"));
            }
        }
    }
    wrong
}

fn text(f: &ArrayFigures, style: TableStyle) -> String {
    let commit = f.commit.as_ref().map_or(String::new(), |c| format!(" of {c}"));
    let devices: Vec<String> =
        f.devices.iter().map(|d| format!("{} ({}, {}), ", d.name, d.model, d.class)).collect();
    let mut out = format!(
        "{6}arrays of {0} by {0} 64-bit floats, matrices of {4} by {4} and {5} by {COLUMNS}, best of {1}, \
         {2} hardware threads, {3} build{commit}\n",
        f.size,
        f.runs,
        f.cores,
        f.profile,
        f.matrix,
        f.rows,
        devices.concat()
    );
    let mut header = vec!["operation".to_string(), "windlass s".to_string()];
    for engine in &f.engines[1..] {
        header.extend([format!("{} s", engine.name), "of ours".to_string()]);
    }
    let row = |o: &Operation| {
        let mut row = vec![Some(o.name.to_string()), Some(format!("{:.4}", o.ours.seconds))];
        for engine in &f.engines[1..] {
            let peer = o.peers.iter().find(|p| p.engine == engine.name);
            row.push(Some(peer.map_or("-".into(), |p| format!("{:.4}", p.timed.seconds))));
            row.push(Some(peer.map_or("-".into(), |p| format!("{:.2}x", p.times_ours))));
        }
        row
    };
    let cells: Vec<_> = f.operations.iter().map(row).collect();
    let right: Vec<bool> = (0..header.len()).map(|i| i > 0).collect();
    out += &render_rows(&header, &cells, &right, style);
    let versions = f.engines.iter().map(|e| format!("{} {}", e.name, e.version));
    out += &versions.collect::<Vec<_>>().join(", ");
    if f.operations.iter().any(|o| o.name == CHUNKS) {
        let (ours, dask) = (f.chunks, f.dask_chunks);
        out += &format!("; chunks of one: {ours} here, {dask} in dask, whose ratio is of each");
    }
    out + "\n"
}
