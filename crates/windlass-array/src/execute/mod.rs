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
//! | [`block`] | running a program over a region, block by block |
//! | [`output`] | where blocks are written |

pub(crate) mod block;
mod graph;
mod leaf;
pub(crate) mod lower;
pub(crate) mod output;
pub(crate) mod program;
mod reshape;
mod stage;

use std::sync::Arc;

use windlass_runtime::delayed::RunGraph;

pub(crate) use self::leaf::Assembly;
use self::{graph::Tasks, lower::Plan, output::Shared};
use crate::{
    element::Buf,
    error::{ArrayError, Result},
    expr::Node,
    optimise::unified,
    tile::{Tile, Tiles},
};

/// Computes the elements of some nodes, all at once: what they share is computed once.
pub(crate) fn compute(nodes: &[Arc<Node>], on: &dyn RunGraph) -> Result<Vec<Tile>> {
    let nodes = &unified(nodes)[..];
    let plan = Plan::new(nodes);
    let mut tasks = Tasks::new(&plan);
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

/// Computes the elements of a node and keeps them tile by tile.
pub(crate) fn persist(node: &Arc<Node>, on: &dyn RunGraph) -> Result<Tiles> {
    let node = &unified(std::slice::from_ref(node)).swap_remove(0);
    let plan = Plan::new(std::slice::from_ref(node));
    let grid = node.grid.tasks(node.dtype.bytes(), true);
    let mut tasks = Tasks::new(&plan);
    tasks.keep(node, plan.program_of(node), &grid);
    let values = on.run_graph(tasks.build())?;
    let tiles = values.iter().map(|v| v.downcast::<Tile>()).collect::<Option<Vec<_>>>();
    let tiles = tiles.ok_or(ArrayError::Argument {
        operation: "persist",
        argument: "the executor's results",
        expected: "tiles".into(),
        got: "values of another type".into(),
    })?;
    Ok(Tiles { grid, tiles })
}
