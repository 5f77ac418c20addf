//! The tasks of reductions and of running sums: states of parts, merged in trees or one after
//! the other.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use windlass_runtime::graph::{BoxError, GroupId, TaskContext, TaskId, Value};

use super::{MERGED, Tasks, asked_by, tile_bytes};
use crate::{
    execute::{
        kept::Kept,
        stage::{Kind, ReduceStage, ScanStage, Stage},
    },
    reduce::State,
    tile::Tile,
};

impl Tasks<'_> {
    /// The tasks of a reduction.
    pub(super) fn reduce(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let Kind::Reduce(reduce) = &stage.kind else { return };
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let state = tile_bytes(&stage.grid, 24);
        let name = format!("{}-part", stage.name);
        let part = self.fold_group(&name, state, reduce);
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
                    Ok(Value::spillable(as_reduce(&own).part(p, given)?))
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
                let tile = Tile::dense(merged(context)?.finish(own.dtype, count), shape);
                Ok(Value::spillable(Kept::Host(tile)))
            });
            self.made.insert((at, tile), task);
        }
    }

    /// The tasks of a running sum or product.
    pub(super) fn scan(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let Kind::Scan(scan) = &stage.kind else { return };
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let state = bytes / stage.grid.largest()[scan.axis].max(1) as u64 * 2;
        let name = format!("{}-total", stage.name);
        let totals = self.program_group(&name, state, &scan.program, &stage.grid);
        let carries = self.group(&format!("{}-carry", stage.name), state, state);
        let last =
            self.program_group_with(stage.name, bytes, &scan.program, &stage.grid, 2 * bytes);
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
                Ok(Value::spillable(as_scan(&own).tile(&region, given, carry, own.dtype)?))
            });
            self.made.insert((at, tile), task);
        }
    }

    /// The total of a tile of a running sum.
    fn total(&mut self, group: GroupId, stage: &Arc<Stage>, tile: usize) -> TaskId {
        let (own, region) = (Arc::clone(stage), stage.region(tile));
        let asked = asked_by(&as_scan(stage).program, &region);
        self.task(group, asked, &[], move |given, _| {
            Ok(Value::spillable(as_scan(&own).total(&region, given)?))
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
pub(super) fn before(stage: &Stage, scan: &ScanStage, tile: usize) -> Vec<usize> {
    let mut index = stage.grid.index_of(tile).as_slice().to_vec();
    let place = |i| {
        index[scan.axis] = i;
        stage.grid.position(&index)
    };
    let n = stage.grid.index_of(tile)[scan.axis];
    (0..n).map(place).collect()
}
