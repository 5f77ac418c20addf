//! Where the parts of a computation run, and why.

use std::{fmt::Write, sync::Arc};

use windlass_runtime::{delayed::RunGraph, graph::DeviceKinds};

use super::{
    lower::Plan,
    program::Program,
    stage::{Kind, Stage},
};
use crate::{device::Devices, error::Result, expr::Node, optimise::unified};

/// A line for each part that is computed by tasks of its own: its name, how many tiles, and
/// where its tasks may run.
///
/// # Errors
/// If a device that the executor names does not open.
pub(crate) fn explain(node: &Arc<Node>, on: &dyn RunGraph) -> Result<String> {
    let devices = Devices::of(on)?;
    let nodes = unified(std::slice::from_ref(node));
    let plan = Plan::new(&nodes);
    let mut text = String::new();
    for stage in &plan.stages {
        let (tiles, place) = (tiles(stage.grid.count()), place(devices.as_deref(), stage));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}: {tiles}, {place}", stage.name);
    }
    if plan.stage_of(&nodes[0]).is_none() {
        let program = plan.program_of(&nodes[0]);
        let (name, grid) = (nodes[0].op.name(), nodes[0].grid.tasks(nodes[0].dtype.bytes(), true));
        let place = of_program(devices.as_deref(), &program);
        let _ = writeln!(text, "{name}: {}, {place}", tiles(grid.count()));
    }
    Ok(text)
}

fn tiles(n: usize) -> String {
    format!("{n} tile{}", if n == 1 { "" } else { "s" })
}

fn place(devices: Option<&Devices>, stage: &Stage) -> String {
    match &stage.kind {
        Kind::Map(program) => of_program(devices, program),
        Kind::Reduce(reduce) => on(devices, |d| d.kinds_of_fold(reduce)),
        Kind::Scan(scan) => of_program(devices, &scan.program),
        Kind::Chunks(_) | Kind::Blocks(..) => "on the host: a function of chunks".into(),
        Kind::Parts(parts, inputs) => on(devices, |d| d.kinds_of_parts(parts, inputs)),
        Kind::Regions(_) | Kind::Sort(_) => "on the host: it has no kernel".into(),
        Kind::Source(_) => "on the host: it is read there".into(),
    }
}

fn of_program(devices: Option<&Devices>, program: &Program) -> String {
    on(devices, |devices| devices.kinds(program))
}

fn on(
    devices: Option<&Devices>,
    kinds: impl FnOnce(&Devices) -> (DeviceKinds, Option<String>),
) -> String {
    let Some(devices) = devices else { return "on the host: the executor has no devices".into() };
    match kinds(devices) {
        (DeviceKinds::Gpu, _) => format!("on {devices}"),
        (DeviceKinds::Any, _) => format!("on {devices} or the host, whichever is done first"),
        (DeviceKinds::Cpu, reason) => format!("on the host: {}", reason.unwrap_or_default()),
    }
}
