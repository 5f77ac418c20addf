//! `windlass devices`: what this host has, what it can do, and what is missing.

use std::{io::IsTerminal, sync::Arc};

use serde_json::json;
use windlass::{
    DeviceClass, DeviceInfo, DeviceOptions, DeviceReport,
    device::open_device,
    list_devices,
    runtime::{Calibration, CalibrationStore, topology::Topology},
};

use crate::{
    args::DevicesArgs,
    error::{Error, Result},
    output::{TableStyle, print, render_rows},
    size::format_bytes,
};

/// Runs the command.
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    let reports = list_devices(&DeviceOptions::default());
    let rates = if args.calibrate { calibrate(&reports)? } else { Vec::new() };
    let text = if args.json {
        let mut object = json!({ "devices": reports });
        if args.calibrate {
            let rates = rates.iter().map(|(name, c)| (name.to_string(), json!(c))).collect();
            object["calibration"] = serde_json::Value::Object(rates);
            let infos = reports.iter().filter_map(|r| r.info.as_ref());
            let places = infos.map(|i| (i.name.to_string(), json!(Topology::of(i)))).collect();
            object["topology"] = serde_json::Value::Object(places);
        }
        format!("{object:#}\n")
    } else {
        let style = if std::io::stdout().is_terminal() {
            TableStyle { rows: None, ..TableStyle::terminal(usize::MAX) }
        } else {
            TableStyle::plain()
        };
        let mut text = listing(&reports, style);
        if !rates.is_empty() {
            text += &rate_table(&rates, style);
            text += &places(&reports);
        }
        text
    };
    print(&text)
}

/// Measures every device that opens, and keeps the figures for placement.
fn calibrate(reports: &[DeviceReport]) -> Result<Vec<(String, Arc<Calibration>)>> {
    let store = CalibrationStore::default();
    let mut out = Vec::new();
    for info in reports.iter().filter_map(|r| r.info.as_ref()) {
        let tell = |e| Error::caused(format!("cannot calibrate {}", info.name), &e);
        let device = open_device(&info.name, &DeviceOptions::default()).map_err(tell)?;
        out.push((info.name.to_string(), store.renew(device.as_ref()).map_err(tell)?));
    }
    Ok(out)
}

/// Measured rates as a table.
fn rate_table(rates: &[(String, Arc<Calibration>)], style: TableStyle) -> String {
    let header = ["device", "upload", "download", "copy on device", "launch"].map(str::to_string);
    let rate = |bytes: f64| Some(format!("{}/s", format_bytes(bytes as u64)));
    let cells: Vec<Vec<Option<String>>> = rates
        .iter()
        .map(|(name, c)| {
            vec![
                Some(name.clone()),
                rate(c.upload),
                rate(c.download),
                rate(c.memory),
                Some(format!("{:.1} µs", c.launch * 1e6)),
            ]
        })
        .collect();
    render_rows(&header, &cells, &[false, true, true, true, true], style)
}

/// Where devices are on this host, a line for each of which something is known.
fn places(reports: &[DeviceReport]) -> String {
    let mut out = String::new();
    for info in reports.iter().filter_map(|r| r.info.as_ref()) {
        let mut words = vec![info.pci.clone(), Topology::of(info).words()];
        if !info.peers.is_empty() {
            let peers: Vec<_> = info.peers.iter().map(ToString::to_string).collect();
            words.push(format!("reaches the memory of {} directly", peers.join(", ")));
        }
        words.retain(|w| !w.is_empty());
        if !words.is_empty() {
            out += &format!("{}: {}\n", info.name, words.join(", "));
        }
    }
    out
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
    let known = |n: u64, text: String| Some(if n > 0 { text } else { "?".to_string() });
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
