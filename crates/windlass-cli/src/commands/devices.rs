//! `windlass devices`: what this host has, what it can do, and what is missing.

use std::io::IsTerminal;

use windlass::{DeviceClass, DeviceInfo, DeviceOptions, DeviceReport, list_devices};

use crate::{
    args::DevicesArgs,
    error::Result,
    output::{TableStyle, print, render_rows},
    size::format_bytes,
};

/// Runs the command.
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    let reports = list_devices(&DeviceOptions::default());
    let text = if args.json {
        let object = serde_json::json!({ "devices": reports });
        format!("{object:#}\n")
    } else {
        let style = if std::io::stdout().is_terminal() {
            TableStyle { rows: None, ..TableStyle::terminal(usize::MAX) }
        } else {
            TableStyle::plain()
        };
        listing(&reports, style)
    };
    print(&text)
}

/// The devices as a table, and below it what is missing and what is worth knowing.
pub(crate) fn listing(reports: &[DeviceReport], style: TableStyle) -> String {
    let header =
        ["device", "kind", "memory", "units", "features", "largest buffer", "auto", "model"];
    let header = header.map(str::to_string);
    let right = [false, false, true, true, false, true, false, false];
    let cells: Vec<Vec<Option<String>>> =
        reports.iter().filter_map(|r| r.info.as_ref().map(|i| row(r, i))).collect();
    let mut out = render_rows(&header, &cells, &right, style);
    let width = reports.iter().map(|r| r.name.len()).max().unwrap_or(0);
    for r in reports {
        match &r.info {
            Some(_) if r.note.is_empty() => {}
            Some(_) => out += &format!("{:width$}  {}\n", r.name, r.note),
            None => out += &format!("{:width$}  not available: {}\n", r.name, r.note),
        }
    }
    out
}

fn row(report: &DeviceReport, info: &DeviceInfo) -> Vec<Option<String>> {
    let known = |n: u64, text: String| (n > 0).then_some(text);
    let kind = match info.class {
        DeviceClass::Host => "host",
        DeviceClass::Real => "GPU",
        DeviceClass::Software => "software",
        DeviceClass::Emulated => "emulated",
    };
    let f = info.features;
    let features: Vec<&str> = [
        (f.int64, "i64"),
        (f.int64_atomics, "i64-atomics"),
        (f.float64, "f64"),
        (f.int128, "i128"),
    ]
    .into_iter()
    .filter_map(|(has, name)| has.then_some(name))
    .collect();
    let model = if info.driver.is_empty() {
        info.model.clone()
    } else {
        format!("{} ({})", info.model, info.driver)
    };
    let buffer = info.limits.max_buffer_bytes as u64;
    // The host's buffers are limited by its address space, which is no figure to show.
    let buffer = (buffer > 0 && buffer < 1 << 46).then(|| format_bytes(buffer));
    vec![
        Some(report.name.clone()),
        Some(kind.to_string()),
        known(info.memory_bytes, format_bytes(info.memory_bytes)),
        known(u64::from(info.units), info.units.to_string()),
        Some(features.join(" ")),
        buffer.or_else(|| Some("any".to_string())),
        Some(if report.auto { "yes" } else { "no" }.to_string()),
        Some(model),
    ]
}
