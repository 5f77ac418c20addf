//! The tasks that give the wanted tiles: what each needs is asked from the output back, so
//! that no tile is made that nobody reads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use windlass_runtime::{
    execute::Keeper,
    graph::{
        BoxError, Graph, GraphBuilder, GroupId, Needs, TaskContext, TaskId, TaskOptions, Value,
    },
};

use super::{
    block::BLOCK,
    leaf::{Ask, Given, Source},
    lower::Plan,
    output::Shared,
    program::Program,
    stage::{Kind, ReduceStage, ScanStage, Stage, block_regions, write},
};
use crate::{expr::Node, grid::ChunkGrid, reduce::State, region::Region, tile::Tile};

/// How many states are merged by one task (a stated guess: the states of a wide reduction are
/// large, and few of them are held at once).
pub(super) const MERGED: usize = 8;

/// A task that would hold more bytes than this in tiles of which it needs a small part is
/// given the parts instead (a stated guess: two tiles of the largest size). Tests have small
/// arrays.
const WHOLE: u64 = if cfg!(test) { 256 } else { 64 << 20 };

/// How much less the parts must be for that.
const SMALL_PART: u64 = 4;

/// A tile of a stage.
type Key = (usize, usize);

/// A part of a tile that a task asks for.
pub(super) type Asked = (usize, usize, Region);

/// What a task is given: a tile, or a part of it alone.
struct Input {
    key: Key,
    part: Option<Region>,
}

/// What is wanted of a node.
enum Wanted {
    /// All of it, in one array.
    Write { node: Arc<Node>, program: Arc<Program>, grid: ChunkGrid, to: Arc<Shared> },
    /// Its tiles.
    Keep { program: Arc<Program>, grid: ChunkGrid, name: &'static str, keeper: Option<Keeper> },
    /// What the merged parts of a stage's first tile are, before they become the tile.
    Raw { stage: usize },
}

/// The graph in the making.
pub(crate) struct Tasks<'a> {
    plan: &'a Plan,
    pub(super) builder: GraphBuilder,
    wanted: Vec<Wanted>,
    /// The task of each tile that is needed.
    pub(super) made: HashMap<Key, TaskId>,
    /// The tasks that copy a part of a tile, and their group.
    parts: HashMap<Asked, TaskId>,
    part_group: Option<GroupId>,
}

/// The tiles that a task was given.
struct Inputs<'a> {
    /// In the order of their tiles.
    inputs: &'a [Input],
    tiles: Vec<&'a Tile>,
}

impl<'a> Inputs<'a> {
    fn new(inputs: &'a [Input], context: &'a TaskContext<'_>) -> Result<Self, BoxError> {
        let tiles =
            (0..inputs.len()).map(|i| context.input::<Tile>(i)).collect::<Result<_, _>>()?;
        Ok(Self { inputs, tiles })
    }
}

impl Given for Inputs<'_> {
    fn part(&self, stage: usize, tile: usize, within: &Region) -> Tile {
        let first = self.inputs.partition_point(|i| i.key < (stage, tile));
        for (input, tile) in self.inputs[first..].iter().zip(&self.tiles[first..]) {
            match &input.part {
                None => return tile.part(within),
                Some(part) if part == within => return (*tile).clone(),
                Some(_) => {}
            }
        }
        unreachable!("a task asks for the parts that it reads")
    }
}

/// The parts of tiles that a region of a program needs.
pub(super) fn asked_by(program: &Program, region: &Region) -> Vec<Asked> {
    let mut asked = Vec::new();
    program.reads(region, &mut |stage, tile, within| asked.push((stage, tile, within)));
    asked
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

pub(super) fn tile_bytes(grid: &ChunkGrid, element: usize) -> u64 {
    (grid.largest().as_slice().iter().product::<usize>() * element) as u64
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let builder = GraphBuilder::new();
        Self {
            plan,
            builder,
            wanted: Vec::new(),
            made: HashMap::new(),
            parts: HashMap::new(),
            part_group: None,
        }
    }

    /// Asks for all of a node that has elements, in one array.
    pub(crate) fn write(&mut self, node: &Arc<Node>, program: Program, to: Arc<Shared>) {
        let grid = node.grid.tasks(node.dtype.bytes(), true);
        let program = Arc::new(program);
        self.wanted.push(Wanted::Write { node: Arc::clone(node), program, grid, to });
    }

    /// Asks for the tiles of a node that has elements.
    pub(crate) fn keep(
        &mut self,
        node: &Arc<Node>,
        program: Program,
        grid: &ChunkGrid,
        keeper: Option<Keeper>,
    ) {
        let (grid, name) = (grid.clone(), node.op.name());
        self.wanted.push(Wanted::Keep { program: Arc::new(program), grid, name, keeper });
    }

    /// Asks for the merged parts of a node that is an operation of regions.
    pub(crate) fn raw(&mut self, node: &Arc<Node>) {
        if let Some((stage, _)) = self.plan.stage_of(node) {
            self.wanted.push(Wanted::Raw { stage });
        }
    }

    /// Whether the merged parts of a stage are asked for.
    pub(super) fn is_raw(&self, at: usize) -> bool {
        self.wanted.iter().any(|w| matches!(w, Wanted::Raw { stage } if *stage == at))
    }

    /// The graph of all that was asked for.
    pub(crate) fn build(mut self) -> Graph {
        let needed = self.needed();
        for (at, tiles) in needed.iter().enumerate() {
            let stage = Arc::clone(&self.plan.stages[at]);
            match &stage.kind {
                Kind::Reduce(_) => self.reduce(at, &stage, tiles),
                Kind::Scan(_) => self.scan(at, &stage, tiles),
                Kind::Regions(_) => self.regions(at, &stage, tiles),
                Kind::Sort(_) => self.sort(at, &stage, tiles),
                _ => self.map(at, &stage, tiles),
            }
        }
        let mut wanted = Vec::new();
        for want in std::mem::take(&mut self.wanted) {
            match want {
                Wanted::Raw { stage } => wanted.push(self.made[&(stage, 0)]),
                Wanted::Write { node, program, grid, to } => {
                    let working_bytes = working_bytes(&program, &grid);
                    let group = self.group(node.op.name(), 0, working_bytes);
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let asked = asked_by(&program, &region);
                        let (program, node, to) =
                            (Arc::clone(&program), Arc::clone(&node), Arc::clone(&to));
                        wanted.push(self.task(group, asked, &[], move |given, _| {
                            Ok(write(&program, &region, given, &node.shape, &to))
                        }));
                    }
                }
                Wanted::Keep { program, grid, name, keeper } => {
                    let bytes = tile_bytes(&grid, program.dtype.bytes());
                    let group = self.group(name, bytes, working_bytes(&program, &grid));
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let asked = asked_by(&program, &region);
                        let (program, keeper) = (Arc::clone(&program), keeper.clone());
                        wanted.push(self.task(group, asked, &[], move |given, _| {
                            let tile = program.tile(&region, given).to_own_memory();
                            let value = Value::spillable(tile);
                            Ok(match &keeper {
                                Some(keeper) => Value::new(keeper.keep(value)?),
                                None => value,
                            })
                        }));
                    }
                }
            }
        }
        self.builder.build(&wanted)
    }

    pub(super) fn group(&mut self, name: &str, output_bytes: u64, working_bytes: u64) -> GroupId {
        let needs = Needs { output_bytes: Some(output_bytes), working_bytes, ..Needs::default() };
        self.builder.group(name, TaskOptions { needs, ..TaskOptions::default() })
    }

    /// A task of parts of other stages' tiles, and of other tasks' results behind them.
    pub(super) fn task(
        &mut self,
        group: GroupId,
        asked: Vec<Asked>,
        others: &[TaskId],
        work: impl Fn(&dyn Given, &[Value]) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> TaskId {
        let inputs = self.inputs(asked);
        let tasks = inputs.iter().map(|i| match &i.part {
            None => self.made[&i.key],
            Some(part) => self.parts[&(i.key.0, i.key.1, part.clone())],
        });
        let tasks: Vec<TaskId> = tasks.chain(others.iter().copied()).collect();
        self.builder.task(group, &tasks, move |context| {
            let others = &context.inputs()[inputs.len()..];
            work(&Inputs::new(&inputs, context)?, others)
        })
    }

    /// What a task is given for what it asks: whole tiles, or parts where they are much less.
    fn inputs(&mut self, mut asked: Vec<Asked>) -> Vec<Input> {
        let bytes = |stage: usize| self.plan.stages[stage].dtype.bytes() as u64;
        asked.sort_by_key(|a| (a.0, a.1));
        let mut whole: Vec<Input> =
            asked.iter().map(|a| Input { key: (a.0, a.1), part: None }).collect();
        whole.dedup_by(|a, b| a.key == b.key);
        let size = |i: &Input| {
            let (stage, tile) = i.key;
            self.plan.stages[stage].region(tile).size() as u64 * bytes(stage)
        };
        let needed: u64 = asked.iter().map(|a| a.2.size() as u64 * bytes(a.0)).sum();
        let held: u64 = whole.iter().map(size).sum();
        if held <= WHOLE || held / SMALL_PART < needed {
            return whole;
        }
        let mut inputs: Vec<Input> = Vec::with_capacity(asked.len());
        for (stage, tile, within) in asked {
            let key = (stage, tile);
            let known = |i: &&Input| i.key == key && i.part.as_ref() == Some(&within);
            if inputs.iter().rev().take_while(|i| i.key == key).any(|i| known(&i)) {
                continue;
            }
            self.part(key, &within);
            inputs.push(Input { key, part: Some(within) });
        }
        inputs
    }

    /// The task that copies a part of a tile. It goes before others that are ready, so that the
    /// tile can go.
    fn part(&mut self, key: Key, within: &Region) {
        let asked = (key.0, key.1, within.clone());
        if self.parts.contains_key(&asked) {
            return;
        }
        let builder = &mut self.builder;
        let group = *self
            .part_group
            .get_or_insert_with(|| builder.group("part", TaskOptions::default().priority(1)));
        let within = within.clone();
        let task = self.builder.task(group, &[self.made[&key]], move |context| {
            Ok(Value::spillable(context.input::<Tile>(0)?.part(&within).to_own_memory()))
        });
        self.parts.insert(asked, task);
    }

    /// The tiles of each stage that are needed.
    fn needed(&self) -> Vec<BTreeSet<usize>> {
        let mut needed = vec![BTreeSet::new(); self.plan.stages.len()];
        for want in &self.wanted {
            if let Wanted::Raw { stage } = want {
                needed[*stage].insert(0);
            }
        }
        for want in &self.wanted {
            let (Wanted::Write { program, grid, .. } | Wanted::Keep { program, grid, .. }) = want
            else {
                continue;
            };
            for index in grid.indices() {
                let region = grid.region(index.as_slice());
                program.reads(&region, &mut |stage, tile, _| {
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
                for_reads(stage, tile, &mut |stage, tile, _| {
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
            let mut asked = Vec::new();
            for_reads(stage, tile, &mut |s, t, within| asked.push((s, t, within)));
            let own = Arc::clone(stage);
            let task = self.task(group, asked, &[], move |given, _| {
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
                let asked = asked_by(
                    &reduce.program,
                    &reduce.input.region(reduce.input.index_of(p).as_slice()),
                );
                let own = Arc::clone(stage);
                open.push(self.task(part, asked, &[], move |given, _| {
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
            let asked = asked_by(&scan.program, &region);
            let own = Arc::clone(stage);
            let others: Vec<TaskId> = behind.into_iter().collect();
            let task = self.task(last, asked, &others, move |given, others| {
                let carry = others.first().and_then(Value::downcast_ref::<State>);
                let tile = as_scan(&own).tile(&region, given, carry, own.dtype);
                Ok(Value::spillable(tile))
            });
            self.made.insert((at, tile), task);
        }
    }

    /// The total of a tile of a running sum.
    fn total(&mut self, group: GroupId, stage: &Arc<Stage>, tile: usize) -> TaskId {
        let (own, region) = (Arc::clone(stage), stage.region(tile));
        let asked = asked_by(&as_scan(stage).program, &region);
        self.task(group, asked, &[], move |given, _| {
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
fn for_reads(stage: &Stage, tile: usize, ask: &mut Ask<'_>) {
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
        Kind::Regions(regions) => regions.reads(stage, tile, ask),
        Kind::Sort(sort) => sort.reads(stage, tile, ask),
    }
}
