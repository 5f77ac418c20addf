//! The tasks of operations of regions: one for a region of one part; else one for each part,
//! a tree that merges them, and one that makes the region.

use std::{collections::BTreeSet, sync::Arc};

use windlass_runtime::graph::{BoxError, TaskContext, TaskId, Value};

use super::{
    graph::{Asked, MERGED, Tasks, tile_bytes},
    kept::Kept,
    leaf::{Ask, Given},
    program::Program,
    stage::{Kind, Stage, of_chunks},
};
use crate::{
    expr::regions::{Partial, Reads, RegionsOp, empty_tile},
    region::{Region, overlaps},
    tile::Tile,
};

/// An operation of regions.
#[derive(Debug)]
pub(crate) struct RegionsStage {
    pub(crate) op: RegionsOp,
    /// The programs that give the inputs' elements.
    pub(crate) inputs: Vec<Program>,
}

impl RegionsStage {
    /// The regions of a tile that the operation is asked for.
    fn asked_for(&self, stage: &Stage, tile: usize) -> Vec<Region> {
        let region = stage.region(tile);
        if !self.op.0.whole_chunks() {
            return vec![region];
        }
        let mut regions = Vec::new();
        overlaps(&stage.own, &region, |index, _| regions.push(stage.own.region(index)));
        regions
    }

    fn ask(&self, reads: &Reads, ask: &mut Ask<'_>) {
        for (input, region) in reads {
            if region.size() > 0 {
                self.inputs[*input].reads(region, ask);
            }
        }
    }

    /// Asks for what a tile needs.
    pub(crate) fn reads(&self, stage: &Stage, tile: usize, ask: &mut Ask<'_>) {
        for region in self.asked_for(stage, tile) {
            self.op.0.parts(&region).iter().for_each(|reads| self.ask(reads, ask));
        }
    }

    /// Bytes that are read for some regions.
    fn bytes(&self, reads: &Reads) -> u64 {
        reads.iter().map(|(i, r)| (r.size() * self.inputs[*i].dtype.bytes()) as u64).sum()
    }

    fn tiles(&self, reads: &Reads, given: &dyn Given) -> Vec<Tile> {
        let tile = |(input, region): &(usize, Region)| {
            let program = &self.inputs[*input];
            match region.size() {
                0 => empty_tile(region, program.dtype),
                _ => program.tile(region, given),
            }
        };
        reads.iter().map(tile).collect()
    }

    /// A part of a region.
    fn part(&self, region: &Region, at: usize, given: &dyn Given) -> Result<Partial, BoxError> {
        let parts = self.op.0.parts(region);
        self.op.0.part(region, at, &self.tiles(&parts[at], given))
    }

    /// A region of one part.
    fn whole(&self, region: &Region, given: &dyn Given) -> Result<Tile, BoxError> {
        let part = self.part(region, 0, given)?;
        self.op.0.finish(region, part)
    }

    /// The tile of whole chunks.
    fn chunks(&self, stage: &Stage, tile: usize, given: &dyn Given) -> Result<Tile, BoxError> {
        let region = stage.region(tile);
        of_chunks(stage.name, (&stage.own, &region), stage.dtype, |index| {
            self.whole(&stage.own.region(index.as_slice()), given)
        })
    }
}

fn of_stage(stage: &Stage) -> &RegionsStage {
    match &stage.kind {
        Kind::Regions(regions) => regions,
        other => unreachable!("{other:?} is no operation of regions"),
    }
}

/// The parts that a task was given, as one.
fn merged(own: &Stage, region: &Region, context: &TaskContext<'_>) -> Result<Partial, BoxError> {
    let n = context.inputs().len();
    let parts = (0..n).map(|i| context.input::<Partial>(i)).collect::<Result<Vec<_>, _>>()?;
    match &parts[..] {
        [one] => Ok((*one).clone()),
        several => of_stage(own).op.0.merge(region, several),
    }
}

/// A tile of memory that holds no others; it must be what the region says.
fn checked(own: &Stage, region: &Region, tile: &Tile) -> Result<Value, BoxError> {
    if tile.dtype() != own.dtype || tile.shape().as_slice() != region.lens() {
        let got = format!("{} of shape {}", tile.dtype(), tile.shape());
        let wanted = format!("{} of shape {:?}", own.dtype, region.lens());
        return Err(format!("{}: a part should be {wanted}, and is {got}", own.name).into());
    }
    Ok(Value::spillable(Kept::Host(tile.to_own_memory())))
}

impl Tasks<'_> {
    /// The tasks of an operation of regions.
    pub(super) fn regions(&mut self, at: usize, stage: &Arc<Stage>, tiles: &BTreeSet<usize>) {
        let of = of_stage(stage);
        let bytes = tile_bytes(&stage.grid, stage.dtype.bytes());
        let mut asked_for = Vec::with_capacity(tiles.len());
        let (mut working, mut partial) = (0, 0);
        for &tile in tiles {
            let regions = of.asked_for(stage, tile);
            for region in &regions {
                let reads = of.op.0.parts(region).iter().map(|r| of.bytes(r)).max();
                working = working.max(reads.unwrap_or(0));
                partial = partial.max(of.op.0.partial_bytes(region, stage.dtype.bytes()));
            }
            asked_for.push((tile, regions));
        }
        // What is read may be put together first, and what is made of it is about as large as
        // the result.
        let whole = self.group(stage.name, bytes, 2 * working + bytes);
        let part = self.group(&format!("{}-part", stage.name), partial, 2 * working + partial);
        let merge = self.group(&format!("{}-merge", stage.name), partial, 2 * partial);
        let last = self.group(stage.name, bytes, partial * MERGED as u64);
        for (tile, regions) in asked_for {
            let own = Arc::clone(stage);
            let parts = match &regions[..] {
                [region] => of.op.0.parts(region),
                _ => Vec::new(),
            };
            if of.op.0.whole_chunks() || parts.len() == 1 && !self.is_raw(at) {
                let mut asked: Vec<Asked> = Vec::new();
                of.reads(stage, tile, &mut |s, t, within| asked.push((s, t, within)));
                let region = stage.region(tile);
                let task = self.task(whole, asked, &[], move |given, _| {
                    let of = of_stage(&own);
                    let tile = match of.op.0.whole_chunks() {
                        true => of.chunks(&own, tile, given)?,
                        false => of.whole(&region, given)?,
                    };
                    checked(&own, &region, &tile)
                });
                self.made.insert((at, tile), task);
                continue;
            }
            let open = self.parts(part, stage, &regions[0], &parts);
            let task = self.tree(at, (merge, last), stage, &regions[0], open);
            self.made.insert((at, tile), task);
        }
    }

    /// A task for each part.
    fn parts(
        &mut self,
        group: windlass_runtime::graph::GroupId,
        stage: &Arc<Stage>,
        region: &Region,
        parts: &[Reads],
    ) -> Vec<TaskId> {
        let mut open = Vec::with_capacity(parts.len());
        for (i, reads) in parts.iter().enumerate() {
            let mut asked: Vec<Asked> = Vec::new();
            of_stage(stage).ask(reads, &mut |s, t, within| asked.push((s, t, within)));
            let (own, region) = (Arc::clone(stage), region.clone());
            open.push(self.task(group, asked, &[], move |given, _| {
                Ok(Value::spillable(of_stage(&own).part(&region, i, given)?))
            }));
        }
        open
    }

    /// The tasks that merge parts, and the one that makes the region of them.
    fn tree(
        &mut self,
        at: usize,
        (merge, last): (windlass_runtime::graph::GroupId, windlass_runtime::graph::GroupId),
        stage: &Arc<Stage>,
        region: &Region,
        mut open: Vec<TaskId>,
    ) -> TaskId {
        while open.len() > MERGED {
            let mut next = Vec::with_capacity(open.len().div_ceil(MERGED));
            for inputs in open.chunks(MERGED) {
                let (own, region) = (Arc::clone(stage), region.clone());
                next.push(self.builder.task(merge, inputs, move |context| {
                    Ok(Value::spillable(merged(&own, &region, context)?))
                }));
            }
            open = next;
        }
        let (own, region, raw) = (Arc::clone(stage), region.clone(), self.is_raw(at));
        self.builder.task(last, &open, move |context| {
            let all = merged(&own, &region, context)?;
            if raw {
                return Ok(Value::spillable(all));
            }
            checked(&own, &region, &of_stage(&own).op.0.finish(&region, all)?)
        })
    }
}
