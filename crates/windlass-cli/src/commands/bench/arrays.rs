//! `windlass bench arrays`: operations on whole arrays, beside NumPy and Dask in the same run.

use std::{
    io::{BufRead, BufReader, IsTerminal},
    process::{Command, Stdio},
    sync::{Arc, LazyLock},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use windlass::{
    Executor, ExecutorOptions,
    array::{
        Array, ArrayError, ChunkGrid, ChunkIndex, DType, TakenOver, Tile, compute_all_on,
        taken_over,
    },
    device::{Device, DeviceOptions},
    runtime::{Inventory, delayed::RunGraph},
};

use super::{args::ArrayArgs, array_files::Files, class, commit, machine, peers::interpreter};
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

/// The name of the operation whose time is for many small chunks.
const CHUNKS: &str = "sum of chunks of one";

/// An operation: a number of its result, which other engines must give too.
pub(super) type Run<'a> = Box<dyn Fn() -> Result<f64, ArrayError> + 'a>;

/// Columns of the matrix that is factored.
const COLUMNS: usize = 64;
/// Singular values that are asked for, and the rank of the matrix whose they are: so that all
/// engines find the same ones, whatever their random vectors.
const VALUES: usize = 10;

/// The numbers of all operations: `(7919 i + 104729 j) mod 1000003`, in 0..1.
fn numbers(rows: usize, columns: usize) -> Result<Array, ArrayError> {
    let along = |n: usize, factor: i64| Array::arange(0_i64, n as i64, 1_i64).map(|a| a * factor);
    let made = (along(rows, 7919)?.expand_dims(1)? + along(columns, 104_729)?) % 1_000_003_i64;
    let made = made.astype(DType::F64) / 1_000_003.0;
    made.compute::<f64>().map(Array::from_array)
}

/// The operations on matrices, on our side of `benches/peers/arrays.py`. Their inputs are made
/// when the first run needs them.
fn matrices(side: usize, rows: usize, on: &On) -> Vec<(&'static str, Run<'_>)> {
    let square = LazyLock::new(move || on.placed(&numbers(side, side)?));
    let tall = Arc::new(LazyLock::new(move || on.placed(&numbers(rows, COLUMNS)?)));
    let of = Arc::clone(&tall);
    let low = LazyLock::new(move || {
        let x = (**of).clone()?;
        let parts = (x.index_axis(1, ..VALUES as i64)?, x.index_axis(0, ..VALUES as i64)?);
        let product = parts.0.matmul(&parts.1)?.compute_on::<f64>(&*on.executor)?;
        on.placed(&Array::from_array(product))
    });
    vec![
        (
            "matmul",
            Box::new(move || {
                let x = (*square).clone()?;
                on.element(&x.matmul(&x)?, [side / 2, side / 3])
            }),
        ),
        (
            "qr",
            Box::new(move || {
                let (q, r) = (**tall).clone()?.qr()?;
                let size = r.diagonal(0, 0, 1)?.absolute()?.sum(..)?;
                Ok(on.all(&[&q, &size])?[1].to_array::<f64>()?[[]])
            }),
        ),
        (
            "compressed svd",
            Box::new(move || {
                let (u, s, vh) = (*low).clone()?.svd_compressed(VALUES, 10, 0, 1)?;
                Ok(on.all(&[&u, &s.sum(..)?, &vh])?[1].to_array::<f64>()?[[]])
            }),
        ),
    ]
}

/// What computes.
struct On {
    executor: Arc<Executor>,
    /// Whether it has devices: then arrays lie in their memory before and after.
    devices: bool,
}

impl On {
    fn new(args: &ArrayArgs) -> Result<Self> {
        let inventory = Inventory::new(args.device.clone(), DeviceOptions::default());
        let accelerators = inventory
            .accelerators()
            .map_err(|e| Error::caused("the devices cannot be opened", &e))?;
        if accelerators.is_empty() {
            return Ok(Self { executor: Arc::clone(Executor::global()), devices: false });
        }
        let executor = Executor::with_devices(ExecutorOptions::default(), inventory)
            .map_err(|e| Error::caused("no executor of the devices can be made", &e))?;
        Ok(Self { executor: Arc::new(executor), devices: true })
    }

    /// The same array, in a device's memory if there is one.
    fn placed(&self, x: &Array) -> Result<Array, ArrayError> {
        if self.devices { x.persist_on(&*self.executor) } else { Ok(x.clone()) }
    }

    fn all(&self, arrays: &[&Array]) -> Result<Vec<Tile>, ArrayError> {
        compute_all_on(arrays, &*self.executor)
    }

    /// An element of a result, all of which is computed.
    fn element(&self, x: &Array, at: [usize; 2]) -> Result<f64, ArrayError> {
        if !self.devices {
            return Ok(x.compute_on::<f64>(&*self.executor)?[at]);
        }
        let one = [(at[0] as i64).into(), (at[1] as i64).into()];
        let one = x.persist_on(&*self.executor)?.index(&one)?;
        Ok(one.compute_on::<f64>(&*self.executor)?[[]])
    }
}

/// Our side of `benches/peers/arrays.py`.
fn operations<'a>(x: &'a Array, chunks: usize, on: &'a On) -> Vec<(&'static str, Run<'a>)> {
    let n = x.shape().as_slice()[0];
    vec![
        (
            "chain of ten",
            Box::new(move || {
                let y = ((x * 2.0 + 1.0).exp()? - 0.5).absolute()?.sqrt()?;
                on.element(&((y * 3.0 + x - 1.0) / 7.0), [n / 2, n / 3])
            }),
        ),
        (
            "mean and std",
            Box::new(move || {
                let both = on.all(&[&x.mean(0)?, &x.std(1, 0.0)?])?;
                let sums = both.into_iter().map(|tile| Ok(tile.into_array::<f64>()?.sum()));
                sums.sum::<Result<f64, ArrayError>>()
            }),
        ),
        (
            "(x + x.T).mean()",
            Box::new(move || Ok((x + &x.t()).mean(..)?.compute_on::<f64>(&*on.executor)?[[]])),
        ),
        (
            CHUNKS,
            Box::new(move || {
                let grid = ChunkGrid::regular(&[chunks].into(), &[1].into())?;
                // A call for each, as Dask makes.
                let one = |_: &ChunkIndex| Ok(Tile::new(vec![1.0], [1])?);
                let ones = Array::from_function(grid, DType::F64, one);
                Ok(ones.sum(..)?.compute_on::<f64>(&*on.executor)?[[]])
            }),
        ),
    ]
}

/// Runs the command.
pub(super) fn run(args: &ArrayArgs) -> Result<()> {
    let failed = |e: ArrayError| Error::caused("the bench failed", &e);
    let n = args.size;
    let on = On::new(args)?;
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
    let files = Files::new(n, only, &args.device)?;
    let all = operations(&x, args.chunks, &on)
        .into_iter()
        .chain(matrices(args.matrix, args.rows, &on))
        .chain(files.operations());
    for (name, run) in all {
        if !name.contains(only) {
            continue;
        }
        let (mut seconds, mut value) = (Vec::new(), f64::NAN);
        let before = taken_over(&*on.executor).tiles;
        for _ in 0..args.runs {
            let began = Instant::now();
            value = run().map_err(failed)?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        let (ours, peers) = (Timed::new(seconds, value), Vec::new());
        let TakenOver { tiles, reason } = taken_over(&*on.executor);
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
    let inventory = on.executor.inventory();
    let all = match inventory {
        Some(inventory) => inventory
            .accelerators()
            .map_err(|e| Error::caused("the devices cannot be opened", &e))?,
        None => Vec::new(),
    };
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
