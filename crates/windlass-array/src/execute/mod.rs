//! From expressions to results: which nodes get tasks of their own, the fused programs
//! between them, and the graph of tasks that the runtime runs.
//!
//! | module | holds |
//! |---|---|
//! | [`lower`] | [`lower::Plan`]: stages, each a node that is kept, with its program |
//! | [`stage`] | what the tasks of a stage do |
//! | [`graph`] | the tasks that give the wanted tiles, from the output back |
//! | [`program`] | fused chains of elementwise operations and views |
//! | [`leaf`], [`reshape`] | where programs begin |
//! | [`kept`] | what tasks give: tiles on the host or on a device |
//! | [`regions`] | the tasks of operations of regions |
//! | [`sort`], [`lines`] | the tasks of sorts of lines in several chunks |
//! | [`block`] | running a program over a region, block by block |
//! | [`explain`] | where all of that runs, in words |
//! | [`output`] | where blocks are written |

pub(crate) mod block;
mod explain;
mod graph;
pub(crate) mod kept;
pub(crate) mod leaf;
pub(crate) mod lines;
pub(crate) mod lower;
pub(crate) mod output;
pub(crate) mod program;
mod regions;
mod reshape;
mod sort;
pub(crate) mod stage;

use std::sync::Arc;

use windlass_runtime::{
    delayed::RunGraph,
    execute::{Keeper, Kept as KeptValue},
};

pub(crate) use self::{explain::explain, leaf::Assembly};
use self::{graph::Tasks, kept::Kept, lower::Plan, output::Shared};
use crate::{
    device::Devices,
    element::Buf,
    error::{ArrayError, Result},
    expr::{Node, regions::Partial},
    grid::ChunkGrid,
    io::sink::Sink,
    optimise::unified,
    tile::{Tile, Tiles},
};

/// Computes the elements of some nodes, all at once: what they share is computed once.
pub(crate) fn compute(nodes: &[Arc<Node>], on: &dyn RunGraph) -> Result<Vec<Tile>> {
    let nodes = &unified(nodes)[..];
    let bytes = |n: &Arc<Node>| (n.shape.size() as u64).saturating_mul(n.dtype.bytes() as u64);
    let needed = nodes.iter().map(bytes).fold(0, u64::saturating_add);
    let keeper = on.keeper();
    if let Some(limit) = keeper.as_ref().and_then(Keeper::limit)
        && needed > limit
    {
        return Err(ArrayError::Memory { operation: "compute", needed, limit });
    }
    // The results count for the limit while they are made.
    let _held = keeper.map(|k| k.hold(needed));
    or_without_devices(on, |devices| compute_with(nodes, on, devices))
}

/// Runs it with the executor's devices, and where one is lost meanwhile, again on the host alone.
fn or_without_devices<T>(
    on: &dyn RunGraph,
    run: impl Fn(Option<Arc<Devices>>) -> Result<T>,
) -> Result<T> {
    let devices = Devices::of(on)?;
    match (run(devices.clone()), devices) {
        (Err(error), Some(devices)) if devices.any_lost() => {
            tracing::warn!(%error, "a device was lost: the arrays are computed on the host");
            run(None)
        }
        (done, _) => done,
    }
}

fn compute_with(
    nodes: &[Arc<Node>],
    on: &dyn RunGraph,
    devices: Option<Arc<Devices>>,
) -> Result<Vec<Tile>> {
    let plan = Plan::new(nodes);
    let mut tasks = Tasks::new(&plan, devices);
    let mut outputs = Vec::with_capacity(nodes.len());
    for node in nodes {
        let size = node.shape.size();
        let to = Shared::new(Buf::zeros(node.dtype, size));
        if size > 0 {
            tasks.write(node, plan.program_of(node), Arc::clone(&to));
        }
        outputs.push(to);
    }
    let graph = tasks.build();
    if !graph.is_empty() {
        on.run_graph(graph)?;
    }
    let done = nodes.iter().zip(outputs).map(|(node, to)| {
        // The graph has run, and with it go the tasks' handles; the thread that ran the last
        // task may still be about to drop its own.
        while Arc::strong_count(&to) > 1 {
            std::thread::yield_now();
        }
        Tile::dense(to.finish().expect("the only handle"), node.shape.clone())
    });
    Ok(done.collect())
}

/// Computes the elements of some nodes and puts their tiles away, all at once: what they
/// share is computed once.
pub(crate) fn store(wanted: &[(Arc<Node>, Arc<dyn Sink>)], on: &dyn RunGraph) -> Result<()> {
    let nodes: Vec<Arc<Node>> = wanted.iter().map(|w| Arc::clone(&w.0)).collect();
    let nodes = unified(&nodes);
    or_without_devices(on, |devices| store_with(&nodes, wanted, on, devices))
}

fn store_with(
    nodes: &[Arc<Node>],
    wanted: &[(Arc<Node>, Arc<dyn Sink>)],
    on: &dyn RunGraph,
    devices: Option<Arc<Devices>>,
) -> Result<()> {
    let plan = Plan::new(nodes);
    let mut tasks = Tasks::new(&plan, devices);
    for (node, (_, sink)) in nodes.iter().zip(wanted) {
        if node.shape.size() > 0 {
            tasks.store(plan.program_of(node), Arc::clone(sink));
        }
    }
    let graph = tasks.build();
    if !graph.is_empty() {
        on.run_graph(graph)?;
    }
    Ok(())
}

/// Computes the merged parts of a node that is an operation of regions, in one tile: results
/// whose size is known when they are there.
pub(crate) fn merged_parts(node: &Arc<Node>, on: &dyn RunGraph) -> Result<Partial> {
    let node = &unified(std::slice::from_ref(node)).swap_remove(0);
    or_without_devices(on, |devices| merged_parts_with(node, on, devices))
}

fn merged_parts_with(
    node: &Arc<Node>,
    on: &dyn RunGraph,
    devices: Option<Arc<Devices>>,
) -> Result<Partial> {
    let plan = Plan::new(std::slice::from_ref(node));
    let mut tasks = Tasks::new(&plan, devices);
    tasks.raw(node);
    let values = on.run_graph(tasks.build())?;
    let found = values.first().and_then(|v| v.downcast::<Partial>());
    found.map(Arc::unwrap_or_clone).ok_or(ArrayError::Argument {
        operation: node.op.name(),
        argument: "the executor's results",
        expected: "merged parts".into(),
        got: "values of another type".into(),
    })
}

/// What persisting a node left: its tiles, on their grid.
pub(crate) enum Persisted {
    /// All in memory.
    Memory(Tiles),
    /// Each where there was room.
    Kept(ChunkGrid, Vec<Arc<KeptValue>>),
}

/// Computes the elements of a node and keeps them tile by tile; those that an executor's limit
/// of memory has no room for on disk.
pub(crate) fn persist(node: &Arc<Node>, on: &dyn RunGraph) -> Result<Persisted> {
    let node = &unified(std::slice::from_ref(node)).swap_remove(0);
    or_without_devices(on, |devices| persist_with(node, on, devices))
}

fn persist_with(
    node: &Arc<Node>,
    on: &dyn RunGraph,
    devices: Option<Arc<Devices>>,
) -> Result<Persisted> {
    let plan = Plan::new(std::slice::from_ref(node));
    let grid = node.grid.tasks(node.dtype.bytes(), true);
    let mut tasks = Tasks::new(&plan, devices);
    let keeper = on.keeper().filter(|k| k.limit().is_some());
    let kept = keeper.is_some();
    tasks.keep(node, plan.program_of(node), &grid, keeper);
    let values = on.run_graph(tasks.build())?;
    let wrong = || ArrayError::Argument {
        operation: "persist",
        argument: "the executor's results",
        expected: "tiles".into(),
        got: "values of another type".into(),
    };
    if kept {
        let tiles = values.iter().map(|v| v.downcast::<KeptValue>()).collect::<Option<_>>();
        return Ok(Persisted::Kept(grid, tiles.ok_or_else(wrong)?));
    }
    let tiles = values.iter().map(|v| v.downcast::<Kept>()).collect::<Option<_>>();
    Ok(Persisted::Memory(Tiles { grid, tiles: tiles.ok_or_else(wrong)? }))
}
