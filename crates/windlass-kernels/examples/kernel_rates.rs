//! The benches of `windlass_kernels::bench` without the command: one JSON object a line.
//!
//! `cargo run --example kernel_rates -p windlass-device -p windlass-kernels -p conformance -p
//! nvrtc-gate -- [DEVICE [ROWS [PATTERN [RUNS]]]]`
//!
//! `DEVICE` is `cpu` unless named, `ROWS` what suits it (0: the same), `PATTERN` a part of the
//! names. `share` is of the copy rate measured in this run; `ratio` is our time as a multiple of
//! the fastest reference's, `cpu_ratio` that of processor time. A wrong result ends the run.
//! Memory comes from the allocator of the command `windlass`, which keeps what was freed: with
//! the system's, clearing new pages is most of the time of operations that write much.

use std::error::Error;

use windlass_device::{DeviceOptions, open_device};
use windlass_kernels::bench::{Bencher, default_rows, list};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    // `mi_option_purge_delay` of mimalloc.h: never, as in the command.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: this is the start of `main`, and no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize| arguments.get(i).map(String::as_str);
    let name = argument(0).unwrap_or("cpu");
    let device = open_device(&name.parse()?, &DeviceOptions::default())?;
    let info = device.info().clone();
    let rows = match argument(1).map(str::parse).transpose()? {
        None | Some(0) => default_rows(&info),
        Some(rows) => rows,
    };
    let pattern = argument(2);
    let runs = argument(3).map_or(Ok(3), str::parse)?;
    let mut bencher = Bencher::new(device)?;
    let copy = bencher.copy_rate()?;
    let wanted = |b: &windlass_kernels::bench::Bench| match pattern {
        Some(part) => b.name().contains(part),
        None => b.step().is_none(),
    };
    for bench in list().into_iter().filter(wanted) {
        let m = match bencher.measure(&bench, rows, runs, &|| false) {
            Ok(Some(m)) => m,
            Ok(None) => return Ok(()),
            Err(e) => {
                println!("{{\"bench\":{:?},\"error\":{:?}}}", bench.name(), e.to_string());
                continue;
            }
        };
        if let Some(wrong) = &m.wrong {
            return Err(format!("{}: {wrong}", bench.name()).into());
        }
        let number = |v: Option<f64>, digits: usize| {
            v.map_or("null".to_string(), |v| format!("{v:.digits$}"))
        };
        println!(
            "{{\"bench\":{:?},\"rows\":{},\"ms\":{},\"median_ms\":{},\"cpu_ms\":{},\"gb_s\":{},\
             \"share\":{},\"reference\":{:?},\"ratio\":{},\"cpu_ratio\":{},\"device\":\"{}\",\
             \"class\":\"{}\"}}",
            bench.name(),
            m.rows,
            number(m.best().map(|s| s * 1e3), 3),
            number(m.median().map(|s| s * 1e3), 3),
            number(m.best_cpu().map(|s| s * 1e3), 3),
            number(m.bytes_per_second().map(|b| b / 1e9), 2),
            number(m.bytes_per_second().map(|b| b / copy), 3),
            m.fastest().map_or("", |r| r.name),
            number(m.ratio(), 2),
            number(m.cpu_ratio(), 2),
            info.name,
            format!("{:?}", info.class).to_lowercase(),
        );
    }
    Ok(())
}
