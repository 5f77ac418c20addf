//! The tasks that give the wanted tiles: what each needs is asked from the output back, so
//! that no tile is made that nobody reads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use windlass_runtime::graph::{
    BoxError, Graph, GraphBuilder, GroupId, Needs, TaskContext, TaskId, TaskOptions, Value,
};

use super::{
    block::BLOCK,
    leaf::{Given, Source},
    lower::Plan,
    output::Shared,
    program::Program,
    stage::{Kind, ReduceStage, ScanStage, Stage, block_regions, write},
};
use crate::{expr::Node, grid::ChunkGrid, reduce::State, region::Region, tile::Tile};

/// How many states are merged by one task (a stated guess: the states of a wide reduction are
/// large, and few of them are held at once).
const MERGED: usize = 8;

/// A tile of a stage.
type Key = (usize, usize);

/// What is wanted of a node.
enum Wanted {
    /// All of it, in one array.
    Write { node: Arc<Node>, program: Arc<Program>, grid: ChunkGrid, to: Arc<Shared> },
    /// Its tiles.
    Keep { program: Arc<Program>, grid: ChunkGrid, name: &'static str },
}

/// The graph in the making.
pub(crate) struct Tasks<'a> {
    plan: &'a Plan,
    builder: GraphBuilder,
    wanted: Vec<Wanted>,
    /// The task of each tile that is needed.
    made: HashMap<Key, TaskId>,
}

/// The tiles that a task was given.
struct Inputs<'a> {
    keys: &'a [Key],
    tiles: Vec<&'a Tile>,
}

impl<'a> Inputs<'a> {
    fn new(keys: &'a [Key], context: &'a TaskContext<'_>) -> Result<Self, BoxError> {
        let tiles = (0..keys.len()).map(|i| context.input::<Tile>(i)).collect::<Result<_, _>>()?;
        Ok(Self { keys, tiles })
    }
}

impl Given for Inputs<'_> {
    fn tile(&self, stage: usize, tile: usize) -> &Tile {
        let at = self.keys.binary_search(&(stage, tile));
        self.tiles[at.expect("a task asks for the tiles that it reads")]
    }
}

fn sorted(mut keys: Vec<Key>) -> Box<[Key]> {
    keys.sort_unstable();
    keys.dedup();
    keys.into()
}

/// The tiles that a region of a program needs.
fn keys_of(program: &Program, region: &Region) -> Box<[Key]> {
    let mut keys = Vec::new();
    program.reads(region, &mut |stage, tile| keys.push((stage, tile)));
    sorted(keys)
}

/// Bytes that a program holds while it runs over tiles of a grid: its blocks, and the parts
/// that are put together first.
fn working_bytes(program: &Program, grid: &ChunkGrid) -> u64 {
    let blocks = program.registers.iter().chain(program.leaves.iter().map(|l| &l.dtype));
    let blocks: usize = blocks.map(|d| d.bytes() * BLOCK).sum();
    let size: usize = grid.largest().as_slice().iter().product();
    let parts = program.leaves.iter().map(|leaf| match &leaf.source {
        Source::Tile(_) | Source::Generate(_) => 0,
        Source::Stage { grid: own, .. } if own == grid && leaf.map.is_identity(grid.rank()) => 0,
        Source::Stage { .. } | Source::Tiles(_) => size * leaf.dtype.bytes(),
        // The part, and what it is put together from.
        Source::Concat { .. } | Source::Take { .. } | Source::Reshape(_) => {
            2 * size * leaf.dtype.bytes()
        }
    });
    (blocks + parts.sum::<usize>()) as u64
}

fn tile_bytes(grid: &ChunkGrid, element: usize) -> u64 {
    (grid.largest().as_slice().iter().product::<usize>() * element) as u64
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let builder = GraphBuilder::new();
        Self { plan, builder, wanted: Vec::new(), made: HashMap::new() }
    }

    /// Asks for all of a node that has elements, in one array.
    pub(crate) fn write(&mut self, node: &Arc<Node>, program: Program, to: Arc<Shared>) {
        let grid = node.grid.tasks(node.dtype.bytes(), true);
        let program = Arc::new(program);
        self.wanted.push(Wanted::Write { node: Arc::clone(node), program, grid, to });
    }

    /// Asks for the tiles of a node that has elements.
    pub(crate) fn keep(&mut self, node: &Arc<Node>, program: Program, grid: &ChunkGrid) {
        let (grid, name) = (grid.clone(), node.op.name());
        self.wanted.push(Wanted::Keep { program: Arc::new(program), grid, name });
    }

    /// The graph of all that was asked for.
    pub(crate) fn build(mut self) -> Graph {
        let needed = self.needed();
        for (at, tiles) in needed.iter().enumerate() {
            let stage = Arc::clone(&self.plan.stages[at]);
            match &stage.kind {
                Kind::Reduce(_) => self.reduce(at, &stage, tiles),
                Kind::Scan(_) => self.scan(at, &stage, tiles),
                _ => self.map(at, &stage, tiles),
            }
        }
        let mut wanted = Vec::new();
        for want in std::mem::take(&mut self.wanted) {
            match want {
                Wanted::Write { node, program, grid, to } => {
                    let working_bytes = working_bytes(&program, &grid);
                    let group = self.group(node.op.name(), 0, working_bytes);
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let keys = keys_of(&program, &region);
                        let (program, node, to) =
                            (Arc::clone(&program), Arc::clone(&node), Arc::clone(&to));
                        wanted.push(self.task(group, keys, &[], move |given, _| {
                            Ok(write(&program, &region, given, &node.shape, &to))
                        }));
                    }
                }
                Wanted::Keep { program, grid, name } => {
                    let bytes = tile_bytes(&grid, program.dtype.bytes());
                    let group = self.group(name, bytes, working_bytes(&program, &grid));
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let keys = keys_of(&program, &region);
                        let program = Arc::clone(&program);
                        wanted.push(self.task(group, keys, &[], move |given, _| {
                            Ok(Value::spillable(program.tile(&region, given)))
                        }));
                    }
                }
            }
        }
        self.builder.build(&wanted)
    }

    fn group(&mut self, name: &str, output_bytes: u64, working_bytes: u64) -> GroupId {
        let needs = Needs { output_bytes: Some(output_bytes), working_bytes, ..Needs::default() };
        self.builder.group(name, TaskOptions { needs, ..TaskOptions::default() })
    }

    /// A task of some tiles of other stages, and of other tasks' results behind them.
    fn task(
        &mut self,
        group: GroupId,
        keys: Box<[Key]>,
        others: &[TaskId],
        work: impl Fn(&dyn Given, &TaskContext<'_>) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> TaskId {
        let inputs: Vec<TaskId> =
            keys.iter().map(|k| self.made[k]).chain(others.iter().copied()).collect();
        self.builder
            .task(group, &inputs, move |context| work(&Inputs::new(&keys, context)?, context))
    }

    /// The tiles of each stage that are needed.
    fn needed(&self) -> Vec<BTreeSet<usize>> {
        let mut needed = vec![BTreeSet::new(); self.plan.stages.len()];
        for want in &self.wanted {
            let (Wanted::Write { program, grid, .. } | Wanted::Keep { program, grid, .. }) = want;
            for index in grid.indices() {
                let region = grid.region(index.as_slice());
                program.reads(&region, &mut |stage, tile| {
                    needed[stage].insert(tile);
                });
            }
        }
        for at in (0..needed.len()).rev() {
            let tiles = std::mem::take(&mut needed[at]);
            let stage = &self.plan.stages[at];
            let mut all = tiles.clone();
            for &tile in &tiles {
                if let Kind::Scan(scan) = &stage.kind {
                    all.extend(before(stage, scan, tile));
                }
            }
            for &tile in &all {
                for_reads(stage, tile, &mut |stage, tile| {
                    needed[stage].insert(tile);
                });
            }
            needed[at] = tiles;
        }
        needed
    }

    fn map(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let working = match &stage.kind {
            Kind::Map(program) => working_bytes(program, &stage.grid),
            // A function's own memory is not known.
            _ => bytes,
        };
        let group = self.group(stage.name, bytes, working);
        for &tile in tiles {
            let mut keys = Vec::new();
            for_reads(stage, tile, &mut |s, t| keys.push((s, t)));
            let own = Arc::clone(stage);
            let task = self.task(group, sorted(keys), &[], move |given, _| {
                Ok(Value::spillable(own.tile(tile, given)?))
            });
            self.made.insert((at, tile), task);
        }
    }

    fn reduce(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let Kind::Reduce(reduce) = &stage.kind else { return };
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let state = tile_bytes(&stage.grid, 24);
        let working = working_bytes(&reduce.program, &reduce.input);
        let part = self.group(&format!("{}-part", stage.name), state, working);
        let merge = self.group(&format!("{}-merge", stage.name), state, state);
        let last = self.group(stage.name, bytes, state);
        for &tile in tiles {
            let index = stage.grid.index_of(tile);
            let mut open: Vec<TaskId> = Vec::new();
            for p in reduce.parts_of(&index) {
                let keys = keys_of(
                    &reduce.program,
                    &reduce.input.region(reduce.input.index_of(p).as_slice()),
                );
                let own = Arc::clone(stage);
                open.push(self.task(part, keys, &[], move |given, _| {
                    Ok(Value::spillable(as_reduce(&own).part(p, given)))
                }));
            }
            while open.len() > MERGED {
                let merged = open.chunks(MERGED).map(|inputs| {
                    self.builder.task(merge, inputs, |c| Ok(Value::spillable(merged(c)?)))
                });
                open = merged.collect();
            }
            let own = Arc::clone(stage);
            let task = self.builder.task(last, &open, move |context| {
                let shape = crate::ArrayShape::new(own.region(tile).lens());
                let count = as_reduce(&own).count();
                Ok(Value::spillable(Tile::dense(merged(context)?.finish(own.dtype, count), shape)))
            });
            self.made.insert((at, tile), task);
        }
    }

    fn scan(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let Kind::Scan(scan) = &stage.kind else { return };
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let state = bytes / stage.grid.largest()[scan.axis].max(1) as u64 * 2;
        let working = working_bytes(&scan.program, &stage.grid) + 2 * bytes;
        let totals = self.group(&format!("{}-total", stage.name), state, working);
        let carries = self.group(&format!("{}-carry", stage.name), state, state);
        let last = self.group(stage.name, bytes, working);
        // What comes before each tile along the axis, and the total of each.
        let mut carry: HashMap<usize, TaskId> = HashMap::new();
        for &tile in tiles {
            let (mut behind, mut previous) = (None, None);
            for each in before(stage, scan, tile).into_iter().chain([tile]) {
                if let Some(previous) = previous {
                    let known = carry.get(&each).copied();
                    behind = Some(known.unwrap_or_else(|| {
                        let total = self.total(totals, stage, previous);
                        let task = match behind {
                            None => total,
                            Some(b) => self
                                .builder
                                .task(carries, &[b, total], |c| Ok(Value::spillable(merged(c)?))),
                        };
                        carry.insert(each, task);
                        task
                    }));
                }
                previous = Some(each);
            }
            let region = stage.region(tile);
            let keys = keys_of(&scan.program, &region);
            let own = Arc::clone(stage);
            let others: Vec<TaskId> = behind.into_iter().collect();
            let state_at = keys.len();
            let task = self.task(last, keys, &others, move |given, context| {
                let carry = match context.inputs().len() > state_at {
                    true => Some(context.input::<State>(state_at)?),
                    false => None,
                };
                let tile = as_scan(&own).tile(&region, given, carry, own.dtype);
                Ok(Value::spillable(tile))
            });
            self.made.insert((at, tile), task);
        }
    }

    /// The total of a tile of a running sum.
    fn total(&mut self, group: GroupId, stage: &Arc<Stage>, tile: usize) -> TaskId {
        let (own, region) = (Arc::clone(stage), stage.region(tile));
        let keys = keys_of(&as_scan(stage).program, &region);
        self.task(group, keys, &[], move |given, _| {
            Ok(Value::spillable(as_scan(&own).total(&region, given)))
        })
    }
}

fn as_reduce(stage: &Stage) -> &ReduceStage {
    match &stage.kind {
        Kind::Reduce(reduce) => reduce,
        other => unreachable!("{other:?} is no reduction"),
    }
}

fn as_scan(stage: &Stage) -> &ScanStage {
    match &stage.kind {
        Kind::Scan(scan) => scan,
        other => unreachable!("{other:?} is no running sum"),
    }
}

/// The states that a task was given, as one, in their order.
fn merged(context: &TaskContext<'_>) -> Result<State, BoxError> {
    let mut all = context.input::<State>(0)?.clone();
    for i in 1..context.inputs().len() {
        all.merge(context.input(i)?);
    }
    Ok(all)
}

/// The tiles before one along the axis of a running sum, the first first.
fn before(stage: &Stage, scan: &ScanStage, tile: usize) -> Vec<usize> {
    let mut index = stage.grid.index_of(tile).as_slice().to_vec();
    let place = |i| {
        index[scan.axis] = i;
        stage.grid.position(&index)
    };
    let n = stage.grid.index_of(tile)[scan.axis];
    (0..n).map(place).collect()
}

/// Asks for what a tile of a stage needs.
fn for_reads(stage: &Stage, tile: usize, ask: &mut dyn FnMut(usize, usize)) {
    match &stage.kind {
        Kind::Map(program) => program.reads(&stage.region(tile), ask),
        Kind::Chunks(_) => {}
        Kind::Blocks(_, inputs) => {
            for (program, grid) in inputs {
                for region in block_regions(stage, tile, grid) {
                    program.reads(&region, ask);
                }
            }
        }
        Kind::Reduce(reduce) => {
            for p in reduce.parts_of(&stage.grid.index_of(tile)) {
                let index = reduce.input.index_of(p);
                reduce.program.reads(&reduce.input.region(index.as_slice()), ask);
            }
        }
        Kind::Scan(scan) => scan.program.reads(&stage.region(tile), ask),
    }
}
