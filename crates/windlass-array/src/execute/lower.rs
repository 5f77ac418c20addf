//! Which nodes get tasks of their own. Chains of elementwise operations and views are fused
//! into what needs them; a node is kept if its own chunks matter (a user's function, a
//! reduction, a running sum), or if several need it in different places and computing it
//! again would take longer than reading it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    leaf::Leaf,
    program::{Program, seen},
    regions::RegionsStage,
    sort::SortStage,
    stage::{Kind, ReduceStage, ScanStage, Stage},
};
use crate::{
    dtype::DType,
    expr::{Node, Op},
    grid::{AxisGrid, ChunkGrid},
    reduce::ReduceOp,
    region::ViewMap,
};

/// A node that several need in different places is computed again up to this weight an
/// element: about what reading eight bytes takes that do not lie in a cache, in additions (a
/// stated guess).
const CHEAP: u32 = 8;

/// The stages of some nodes, those that others need first.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Arc<Stage>>,
    of_node: HashMap<*const Node, usize>,
}

/// From where a node is needed: by which fused program, and how it is seen there.
#[derive(Debug, Clone, PartialEq)]
enum Need {
    One(*const Node, usize, ViewMap),
    Several,
}

impl Plan {
    /// The stages that some nodes need.
    pub(crate) fn new(roots: &[Arc<Node>]) -> Self {
        let order = sorted(roots);
        let kept = kept(roots, &order);
        let mut plan = Self::default();
        for node in order {
            if kept.contains(&Arc::as_ptr(node)) {
                let stage = plan.stage(node);
                plan.of_node.insert(Arc::as_ptr(node), plan.stages.len());
                plan.stages.push(Arc::new(stage));
            }
        }
        plan
    }

    /// The stage of a node that has one, and the grid of its tiles.
    pub(crate) fn stage_of(&self, node: &Arc<Node>) -> Option<(usize, &ChunkGrid)> {
        let at = *self.of_node.get(&Arc::as_ptr(node))?;
        Some((at, &self.stages[at].grid))
    }

    /// The program that gives a node's elements.
    pub(crate) fn program_of(&self, node: &Arc<Node>) -> Program {
        match self.stage_of(node) {
            Some(stage) => {
                let rank = node.shape.rank();
                Program::of_leaf(Leaf::stage(stage, node, ViewMap::identity(rank)), rank)
            }
            None => Program::new(node, self),
        }
    }

    /// The stage of a node whose inputs have theirs.
    fn stage(&self, node: &Arc<Node>) -> Stage {
        let bytes = node.dtype.bytes();
        let (kind, grid) = match &node.op {
            Op::Chunks(f) => (Kind::Chunks(Arc::clone(f)), node.grid.tasks(bytes, false)),
            Op::Source(source) => {
                let grid = source.grid().tasks(bytes, false);
                (Kind::Source(Arc::clone(source)), grid)
            }
            Op::Blocks(f) => {
                let inputs = node.inputs.iter();
                let inputs = inputs.map(|i| (self.program_of(i), i.grid.clone())).collect();
                (Kind::Blocks(Arc::clone(f), inputs), node.grid.tasks(bytes, false))
            }
            Op::Parts(parts) => {
                let inputs = node.inputs.iter().map(|i| self.program_of(i)).collect();
                (Kind::Parts(Arc::clone(parts), inputs), node.grid.clone())
            }
            Op::Regions(op) => {
                let stage = RegionsStage {
                    op: op.clone(),
                    inputs: node.inputs.iter().map(|i| self.program_of(i)).collect(),
                };
                let grid = match op.0.chunk_a_task() {
                    true => node.grid.clone(),
                    false => node.grid.tasks(bytes, !op.0.whole_chunks()),
                };
                (Kind::Regions(stage), grid)
            }
            Op::Sort { axis, places } => {
                let sort = SortStage {
                    program: self.program_of(&node.inputs[0]),
                    axis: *axis,
                    along: node.grid.axes()[*axis].clone(),
                    places: *places,
                };
                (Kind::Sort(sort), node.grid.clone())
            }
            Op::Reduce { op, axes, keepdims } => {
                let input = &node.inputs[0];
                let inner = input.grid.tasks(input.dtype.bytes(), true);
                let axis = |(i, axis): (usize, &AxisGrid)| match (axes.contains(&i), keepdims) {
                    (false, _) => Some(axis.clone()),
                    (true, true) => Some(AxisGrid::regular(1, 1)),
                    (true, false) => None,
                };
                let grid = inner.axes().iter().enumerate().filter_map(axis).collect();
                let sums = matches!(op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Mean);
                let narrow = sums && input.dtype == DType::F32;
                let reduce = ReduceStage {
                    program: self.program_of(input).cast(op.state_type(input.dtype)),
                    narrow: narrow.then(|| self.program_of(input)),
                    op: *op,
                    axes: axes.clone(),
                    keepdims: *keepdims,
                    input: inner,
                };
                (Kind::Reduce(reduce), ChunkGrid::new(grid))
            }
            Op::Scan { op, axis } => {
                let input = &node.inputs[0];
                let state = op.state_type(input.dtype);
                let scan = ScanStage {
                    program: self.program_of(input).cast(state),
                    op: *op,
                    axis: *axis,
                    state,
                };
                (Kind::Scan(scan), input.grid.tasks(state.bytes(), true))
            }
            _ => (Kind::Map(Program::new(node, self)), node.grid.tasks(bytes, true)),
        };
        let (dtype, own) = (node.dtype, node.grid.clone());
        Stage { name: node.op.name(), kind, dtype, grid, own }
    }
}

/// All nodes, those that others need first.
pub(crate) fn sorted(roots: &[Arc<Node>]) -> Vec<&Arc<Node>> {
    let (mut order, mut done) = (Vec::new(), HashSet::new());
    for root in roots {
        let mut open = vec![(root, false)];
        while let Some((node, inputs_done)) = open.pop() {
            if done.contains(&Arc::as_ptr(node)) {
                continue;
            }
            if inputs_done {
                done.insert(Arc::as_ptr(node));
                order.push(node);
                continue;
            }
            open.push((node, true));
            open.extend(node.inputs.iter().map(|i| (i, false)));
        }
    }
    order
}

/// The nodes that are kept.
fn kept(roots: &[Arc<Node>], order: &[&Arc<Node>]) -> HashSet<*const Node> {
    // What an element takes where nothing is kept but what must be.
    let mut weights: HashMap<*const Node, u32> = HashMap::new();
    for node in order {
        let inputs = node.inputs.iter().filter(|i| !i.is_barrier());
        let inputs = inputs.map(|i| weights[&Arc::as_ptr(i)]);
        let weight = inputs.fold(node.weight(), u32::saturating_add);
        weights.insert(Arc::as_ptr(node), weight);
    }
    let mut needs: HashMap<*const Node, Need> = HashMap::new();
    let need = |needs: &mut HashMap<_, Need>, node: &Arc<Node>, new: Need| {
        let known = needs.entry(Arc::as_ptr(node)).or_insert_with(|| new.clone());
        if *known != new {
            *known = Need::Several;
        }
    };
    let all = |node: &Arc<Node>| ViewMap::identity(node.shape.rank());
    for root in roots {
        need(&mut needs, root, Need::One(Arc::as_ptr(root), usize::MAX, all(root)));
    }
    let mut kept = HashSet::new();
    for node in order.iter().rev() {
        let at = Arc::as_ptr(node);
        let mut own = needs.remove(&at).expect("a node is needed by those behind it");
        let again = own == Need::Several && !node.is_free() && weights[&at] > CHEAP;
        if node.is_barrier() || again {
            kept.insert(at);
            own = Need::One(at, usize::MAX, all(node));
        }
        let fused = matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Select | Op::View(_));
        let reads_again = matches!(&node.op, Op::Regions(op) if op.0.reads_again());
        for (i, input) in node.inputs.iter().enumerate() {
            let new = match (&own, fused) {
                _ if reads_again => Need::Several,
                (Need::Several, true) => Need::Several,
                (Need::One(program, slot, map), true) => {
                    Need::One(*program, *slot, seen(node, input, map))
                }
                (Need::Several, false) => Need::Several,
                (_, false) => Need::One(at, i, all(input)),
            };
            need(&mut needs, input, new);
        }
    }
    kept
}
