//! The tasks that give the wanted tiles: what each needs is asked from the output back, so
//! that no tile is made that nobody reads.

mod inputs;
mod states;
mod stored;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use windlass_runtime::{
    execute::Keeper,
    graph::{
        BoxError, DeviceKinds, Graph, GraphBuilder, GroupId, Needs, TaskId, TaskOptions, Value,
    },
};

use self::{
    inputs::{Input, Inputs, shifted},
    states::before,
};
use super::{
    block::BLOCK,
    kept::Kept,
    leaf::{self, Ask, Given},
    lower::Plan,
    output::Shared,
    program::Program,
    stage::{Kind, ReduceStage, Stage, block_regions, mapped, write},
};
use crate::{device::Devices, expr::Node, grid::ChunkGrid, io::sink::Sink, region::Region};

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

/// What is wanted of a node.
enum Wanted {
    /// All of it, in one array.
    Write { node: Arc<Node>, program: Arc<Program>, grid: ChunkGrid, to: Arc<Shared> },
    /// Its tiles.
    Keep { program: Arc<Program>, grid: ChunkGrid, name: &'static str, keeper: Option<Keeper> },
    /// Its tiles, put away.
    Store { program: Arc<Program>, sink: Arc<dyn Sink> },
    /// What the merged parts of a stage's first tile are, before they become the tile.
    Raw { stage: usize },
}

impl Wanted {
    /// What gives the elements, and by which tiles; nothing where parts are wanted as they are.
    fn tiles(&self) -> Option<(&Arc<Program>, &ChunkGrid)> {
        match self {
            Self::Write { program, grid, .. } | Self::Keep { program, grid, .. } => {
                Some((program, grid))
            }
            Self::Store { program, sink } => Some((program, sink.grid())),
            Self::Raw { .. } => None,
        }
    }
}

/// The graph in the making.
pub(crate) struct Tasks<'a> {
    plan: &'a Plan,
    devices: Option<Arc<Devices>>,
    pub(super) builder: GraphBuilder,
    wanted: Vec<Wanted>,
    /// The task of each tile that is needed.
    pub(super) made: HashMap<Key, TaskId>,
    /// The tasks that copy a part of a tile, and their group.
    parts: HashMap<Asked, TaskId>,
    part_group: Option<GroupId>,
    /// What is asked of each tile that is read from where it is stored.
    wanted_parts: HashMap<Key, HashSet<Region>>,
    /// Where what was read of such a tile begins in it.
    begins: HashMap<Key, Arc<[usize]>>,
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
        leaf::Source::Tile(_) | leaf::Source::Generate(_) => 0,
        leaf::Source::Stage { grid: own, .. }
            if own == grid && leaf.map.is_identity(grid.rank()) =>
        {
            0
        }
        leaf::Source::Stage { .. } | leaf::Source::Tiles(_) => size * leaf.dtype.bytes(),
        // The part, and what it is put together from.
        leaf::Source::Concat { .. } | leaf::Source::Take { .. } | leaf::Source::Reshape(_) => {
            2 * size * leaf.dtype.bytes()
        }
    });
    (blocks + parts.sum::<usize>()) as u64
}

pub(super) fn tile_bytes(grid: &ChunkGrid, element: usize) -> u64 {
    (grid.largest().as_slice().iter().product::<usize>() * element) as u64
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(plan: &'a Plan, devices: Option<Arc<Devices>>) -> Self {
        let builder = GraphBuilder::new();
        Self {
            plan,
            devices,
            builder,
            wanted: Vec::new(),
            made: HashMap::new(),
            parts: HashMap::new(),
            part_group: None,
            wanted_parts: HashMap::new(),
            begins: HashMap::new(),
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

    /// Asks that the tiles of a node that has elements be put away.
    pub(crate) fn store(&mut self, program: Program, sink: Arc<dyn Sink>) {
        self.wanted.push(Wanted::Store { program: Arc::new(program), sink });
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
                Kind::Source(source) => self.read(at, &stage, source, tiles),
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
                    let group = self.program_group(node.op.name(), 0, &program, &grid);
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let asked = asked_by(&program, &region);
                        let (program, node, to) =
                            (Arc::clone(&program), Arc::clone(&node), Arc::clone(&to));
                        wanted.push(self.task(group, asked, &[], move |given, _| {
                            write(&program, &region, given, &node.shape, &to)
                        }));
                    }
                }
                Wanted::Store { program, sink } => self.put(&program, &sink, &mut wanted),
                Wanted::Keep { program, grid, name, keeper } => {
                    let bytes = tile_bytes(&grid, program.dtype.bytes());
                    let group = self.program_group(name, bytes, &program, &grid);
                    for index in grid.indices() {
                        let region = grid.region(index.as_slice());
                        let asked = asked_by(&program, &region);
                        let (program, keeper) = (Arc::clone(&program), keeper.clone());
                        wanted.push(self.task(group, asked, &[], move |given, _| {
                            let tile = mapped(&program, &region, given)?;
                            Ok(match &keeper {
                                Some(keeper) => {
                                    Value::new(keeper.keep(Value::spillable(tile.host()?))?)
                                }
                                None => Value::spillable(tile),
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

    /// The group of the tasks of a program over tiles of a grid, on the devices that have
    /// kernels for it.
    pub(super) fn program_group(
        &mut self,
        name: &str,
        output_bytes: u64,
        program: &Program,
        grid: &ChunkGrid,
    ) -> GroupId {
        self.program_group_with(name, output_bytes, program, grid, 0)
    }

    /// As [`Tasks::program_group`], of tasks that take more bytes while they run.
    pub(super) fn program_group_with(
        &mut self,
        name: &str,
        output_bytes: u64,
        program: &Program,
        grid: &ChunkGrid,
        more: u64,
    ) -> GroupId {
        let kinds = self.devices.as_ref().map_or(DeviceKinds::Cpu, |d| d.kinds(program).0);
        self.program_group_of(name, kinds, output_bytes, program, grid, more)
    }

    /// The group of the tasks of parts of a reduction.
    pub(super) fn fold_group(
        &mut self,
        name: &str,
        output_bytes: u64,
        reduce: &ReduceStage,
    ) -> GroupId {
        let kinds = self.devices.as_ref().map_or(DeviceKinds::Cpu, |d| d.kinds_of_fold(reduce).0);
        self.program_group_of(name, kinds, output_bytes, &reduce.program, &reduce.input, 0)
    }

    fn program_group_of(
        &mut self,
        name: &str,
        kinds: DeviceKinds,
        output_bytes: u64,
        program: &Program,
        grid: &ChunkGrid,
        more: u64,
    ) -> GroupId {
        // All inputs, and elements of whole words.
        let size: u64 = tile_bytes(grid, 1);
        let leaves = program.leaves.iter().map(|l| size * l.dtype.bytes() as u64);
        let there = leaves.sum::<u64>() + size * program.dtype.bytes().max(4) as u64;
        let working = working_bytes(program, grid) + more;
        self.placed_group(name, kinds, output_bytes, (working, there))
    }

    /// A group of tasks that may run on devices of those kinds, where they take more bytes than
    /// on the host; only there if no device has so many.
    fn placed_group(
        &mut self,
        name: &str,
        mut kinds: DeviceKinds,
        output_bytes: u64,
        (mut working_bytes, there): (u64, u64),
    ) -> GroupId {
        if let Some(devices) = self.devices.as_ref().filter(|_| kinds != DeviceKinds::Cpu) {
            match working_bytes + there + output_bytes <= devices.most_memory() {
                true => working_bytes += there,
                false => kinds = DeviceKinds::Cpu,
            }
        }
        let needs = Needs { kinds, output_bytes: Some(output_bytes), working_bytes, seconds: None };
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
        let devices = self.devices.clone();
        self.builder.task(group, &tasks, move |context| {
            let others = &context.inputs()[inputs.len()..];
            work(&Inputs::new(&inputs, context, devices.as_deref())?, others)
        })
    }

    /// What a task is given for what it asks: whole tiles, or parts where they are much less.
    fn inputs(&mut self, mut asked: Vec<Asked>) -> Vec<Input> {
        let bytes = |stage: usize| self.plan.stages[stage].dtype.bytes() as u64;
        asked.sort_by_key(|a| (a.0, a.1));
        let mut whole: Vec<Input> =
            asked.iter().map(|a| Input { key: (a.0, a.1), part: None, begin: None }).collect();
        whole.dedup_by(|a, b| a.key == b.key);
        whole.iter_mut().for_each(|i| i.begin = self.begins.get(&i.key).cloned());
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
            inputs.push(Input { key, part: Some(within), begin: None });
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
        let within = shifted(within, self.begins.get(&key).map(|b| &**b));
        let task = self.builder.task(group, &[self.made[&key]], move |context| {
            let tile = context.input::<Kept>(0)?.host()?;
            Ok(Value::spillable(Kept::Host(tile.part(&within).to_own_memory())))
        });
        self.parts.insert(asked, task);
    }

    /// The tiles of each stage that are needed.
    fn needed(&mut self) -> Vec<BTreeSet<usize>> {
        let stages = &self.plan.stages;
        let mut needed = vec![BTreeSet::new(); stages.len()];
        let parts = &mut self.wanted_parts;
        let mut need = |needed: &mut Vec<BTreeSet<usize>>, stage: usize, tile, within| {
            needed[stage].insert(tile);
            if matches!(stages[stage].kind, Kind::Source(_)) {
                parts.entry((stage, tile)).or_default().insert(within);
            }
        };
        for want in &self.wanted {
            if let Wanted::Raw { stage } = want {
                needed[*stage].insert(0);
            }
            let Some((program, grid)) = want.tiles() else { continue };
            for index in grid.indices() {
                let region = grid.region(index.as_slice());
                program.reads(&region, &mut |s, t, within| need(&mut needed, s, t, within));
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
                for_reads(stage, tile, &mut |s, t, within| need(&mut needed, s, t, within));
            }
            needed[at] = tiles;
        }
        needed
    }

    fn map(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let group = match &stage.kind {
            Kind::Map(program) => self.program_group(stage.name, bytes, program, &stage.grid),
            Kind::Parts(parts, inputs) => {
                let working = parts.working_bytes(&stage.grid, tiles, inputs);
                let devices = self.devices.as_ref();
                let kinds = devices.map_or(DeviceKinds::Cpu, |d| d.kinds_of_parts(parts, inputs).0);
                // Parts are brought there, and may be brought into another order.
                self.placed_group(stage.name, kinds, bytes, (working, 2 * working + bytes))
            }
            // A function's own memory is not known.
            _ => self.group(stage.name, bytes, bytes),
        };
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
}

/// Asks for what a tile of a stage needs.
fn for_reads(stage: &Stage, tile: usize, ask: &mut Ask<'_>) {
    match &stage.kind {
        Kind::Map(program) => program.reads(&stage.region(tile), ask),
        Kind::Chunks(_) | Kind::Source(_) => {}
        Kind::Blocks(_, inputs) => {
            for (program, grid) in inputs {
                for region in block_regions(stage, tile, grid) {
                    program.reads(&region, ask);
                }
            }
        }
        Kind::Parts(parts, inputs) => {
            for (input, region) in (parts.reads)(&stage.grid.index_of(tile)) {
                inputs[input].reads(&region, ask);
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
