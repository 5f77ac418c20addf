//! `windlass bench kernels`: every kernel operation on the devices named, one after the other.
//!
//! | module | holds |
//! |---|---|
//! | `figures` | what was measured, and what follows from it |
//! | `table`, `page` | the figures as text and as a page |

mod figures;
mod page;
mod table;

use std::{io::IsTerminal, sync::Arc};

use windlass::{
    DeviceClass, DeviceOptions, DeviceSpec,
    device::{Backend, Device, open_spec, spec::SpecItem},
    kernels::{
        KernelError,
        bench::{Bench, Bencher, default_rows, list, most_rows},
    },
};

use self::figures::{BenchFigures, DeviceFigures, KernelFigures};
use super::{args::KernelArgs, class, commit, machine};
use crate::{
    engine::note,
    error::{Error, Result},
    interrupt::Interrupt,
    output::{TableStyle, print, render_rows, write_file},
    size::format_count,
};

/// Runs the command.
pub(super) fn run(args: &KernelArgs) -> Result<()> {
    let benches = chosen(&args.only)?;
    let style = if std::io::stdout().is_terminal() {
        TableStyle::terminal(usize::MAX)
    } else {
        TableStyle::plain()
    };
    if args.list {
        let row = |b: &Bench| vec![Some(b.name().to_string()), Some(b.what().to_string())];
        let rows: Vec<_> = benches.iter().map(row).collect();
        let header = ["bench", "operation and floor"].map(str::to_string);
        return print(&render_rows(&header, &rows, &[false, false], style));
    }
    let devices = open(&args.device)?;
    let sizes = devices.iter().map(|d| rows(args.rows, &**d)).collect::<Result<Vec<_>>>()?;
    let interrupt = Interrupt::install(true)?;
    let cancel = interrupt.fresh().cancel;
    let mut figures = KernelFigures {
        suite: "kernels",
        commit: commit(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        machine: machine(),
        runs: args.runs,
        devices: Vec::new(),
    };
    for (device, rows) in devices.into_iter().zip(sizes) {
        let cancelled = || cancel.is_cancelled();
        figures.devices.push(measure(device, &benches, rows, args.runs, &cancelled)?);
    }
    print(&table::text(&figures, style))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)
            .map_err(|e| Error::caused("cannot write the figures as JSON", &e))?;
        write_file(path, &(text + "\n"))?;
    }
    if let Some(path) = &args.report {
        write_file(path, &page::page(&figures))?;
    }
    let failed = figures.devices.iter().flat_map(|d| {
        d.benches.iter().filter_map(|b| Some(format!("{}: {}", b.name, b.error.as_ref()?)))
    });
    let failed: Vec<String> = failed.collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(format!("benches failed:\n{}", failed.join("\n")))),
    }
}

/// The benches with one of the parts in their name; without any all that are no step of a series.
fn chosen(only: &[String]) -> Result<Vec<Bench>> {
    let wanted = |b: &Bench| match only {
        [] => b.step().is_none(),
        // The series take long: only who says so gets them.
        parts => parts
            .iter()
            .any(|p| b.name().contains(p.trim()) && (b.step().is_none() || p.contains("cliff"))),
    };
    let chosen: Vec<Bench> = list().into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(Error::usage(
            format!("no bench has {} in its name", only.join(" or ")),
            "list them with windlass bench kernels --list",
        ));
    }
    Ok(chosen)
}

/// The devices of a spec, the host only where it is named or `auto` is.
fn open(spec: &DeviceSpec) -> Result<Vec<Arc<dyn Device>>> {
    let host = match spec {
        DeviceSpec::Auto => true,
        DeviceSpec::List(items) => items.iter().any(|item| match item {
            SpecItem::One(name) => name.backend() == Backend::Cpu,
            SpecItem::All(backend) | SpecItem::First(backend, _) => *backend == Backend::Cpu,
        }),
    };
    let all = open_spec(spec, &DeviceOptions::default())
        .map_err(|e| Error::caused(format!("cannot open {spec}"), &e))?;
    Ok(all.into_iter().filter(|d| host || d.info().class != DeviceClass::Host).collect())
}

/// The rows to run with on a device.
fn rows(asked: Option<usize>, device: &dyn Device) -> Result<usize> {
    let (info, most) = (device.info(), most_rows(device.info()));
    match asked {
        Some(rows) if rows > most => Err(Error::usage(
            format!("{} rows are too many for {}", format_count(rows as u64), info.name),
            format!(
                "it runs each thread of a kernel on the host: try --rows {}, or at most {most}",
                default_rows(info)
            ),
        )),
        Some(rows) => Ok(rows),
        None => Ok(default_rows(info)),
    }
}

fn measure(
    device: Arc<dyn Device>,
    benches: &[Bench],
    rows: usize,
    runs: u32,
    cancelled: &dyn Fn() -> bool,
) -> Result<DeviceFigures> {
    let info = device.info().clone();
    let fail = |e: KernelError| Error::caused(format!("cannot measure {}", info.name), &e);
    let mut bencher = Bencher::new(device).map_err(fail)?;
    let mut out = DeviceFigures {
        name: info.name.to_string(),
        class: class(&info),
        model: info.model.clone(),
        driver: info.driver.clone(),
        rows,
        copy_bytes_per_second: bencher.copy_rate().map_err(fail)?,
        benches: Vec::new(),
        cliffs: Vec::new(),
    };
    for bench in benches {
        let mut line = BenchFigures::new(bench);
        match bencher.measure(bench, rows, runs as usize, cancelled) {
            Ok(Some(m)) => line.note(&m, out.copy_bytes_per_second),
            Ok(None) => return Err(Error::Interrupted),
            Err(KernelError::Unsupported { reason, .. }) => line.skipped = Some(reason),
            Err(e) => line.error = Some(e.to_string()),
        }
        progress(&line);
        out.benches.push(line);
    }
    out.sum_up();
    Ok(out)
}

/// A line for each bench on a terminal that waits for the table.
fn progress(b: &BenchFigures) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let ms = b.seconds.map_or("–".to_string(), |s| format!("{:.3} ms", s * 1e3));
    let ratio = b.ratio.map_or(String::new(), |r| format!("  ratio {r:.2}"));
    note(&format!("{}  {ms}{ratio}", b.name));
}
