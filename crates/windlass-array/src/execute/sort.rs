//! Sorting lines that lie in several chunks, none of which is ever whole: each chunk is
//! sorted, splitters are chosen from regular samples of all, each sorted chunk is cut at them,
//! and the pieces between two splitters are merged.
//!
//! After H. Shi and J. Schaeffer, *Parallel Sorting by Regular Sampling* (1992), with exact
//! results in chunks of one length: equal elements are told apart by where they stood, so a
//! splitter that is chosen for a place is at most `chunks * step` places off, where `step` is
//! the distance of samples. That is at most half a chunk here, so a chunk of the result lies
//! in the pieces before, at and behind its place.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use windlass_runtime::graph::{BoxError, GroupId, TaskContext, TaskId, Value};

use super::{
    graph::{Asked, MERGED, Tasks, asked_by, tile_bytes},
    kept::Kept,
    leaf::{Ask, Given},
    lines::{Lines, from_lines, to_lines},
    program::Program,
    stage::{Kind, Stage},
};
use crate::{
    element::dispatch,
    expr::regions::Partial,
    grid::AxisGrid,
    reduce::extremes::{Ordered, order},
    region::{Region, Span},
    tile::Tile,
};

/// A sort along an axis that is cut into chunks of one length, but for the last.
#[derive(Debug)]
pub(crate) struct SortStage {
    pub(crate) program: Program,
    pub(crate) axis: usize,
    pub(crate) along: AxisGrid,
    /// Whether the result is where the elements stood.
    pub(crate) places: bool,
}

/// No splitter: nothing is before it.
const NOTHING: i64 = -1;

impl SortStage {
    fn runs(&self) -> usize {
        self.along.count()
    }

    /// The distance of samples.
    fn step(&self) -> usize {
        (self.along.largest() / (2 * self.runs())).max(1)
    }

    /// Asks for what a tile needs: all of its lines.
    pub(crate) fn reads(&self, stage: &Stage, tile: usize, ask: &mut Ask<'_>) {
        let region = stage.region(tile);
        let all = Span::new(0, 1, self.along.len());
        self.program.reads(&region.with(self.axis, all), ask);
    }

    /// A chunk's lines, each sorted, equal elements as they stood.
    fn run(&self, region: &Region, given: &dyn Given) -> Lines {
        let tile = self.program.tile(region, given);
        let first = region.axes[self.axis].start as i64;
        let mut lines = to_lines(&tile, self.axis, self.places.then_some(first));
        lines.sort();
        lines
    }

    /// Every so-many-th element of each line, and where it stands in it.
    fn samples(&self, run: &Lines) -> Lines {
        let step = self.step();
        dispatch!(run.values.dtype(), T => {
            let values = run.values.typed::<T>();
            let mut found = Lines::new::<T>(true);
            for row in 0..run.rows() {
                let (begin, end) = run.bounds(row);
                let at = (step..=end - begin).step_by(step).map(|i| i - 1);
                found.push::<T>(at.map(|i| (values[begin + i], i as i64)));
            }
            found
        })
    }

    /// The splitters of each line of the samples of all runs: the element, its run and its
    /// place there.
    fn splitters<T: Ordered>(&self, samples: &[&Lines]) -> Result<Partial, BoxError> {
        let (rows, cuts, step) = (samples[0].rows(), self.runs() - 1, self.step());
        let (mut values, mut runs, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            let mut all: Vec<(T, i64, i64)> = Vec::new();
            for (run, lines) in samples.iter().enumerate() {
                let own = lines.row::<T>(row).iter().zip(lines.row_places(row));
                all.extend(own.map(|(v, p)| (*v, run as i64, *p)));
            }
            // Runs that are sorted already are merged, equal elements in the order of runs.
            all.sort_by(|a, b| order::<T>(&a.0, &b.0));
            for cut in 1..=cuts {
                let wanted = (self.along.bounds(cut).0 / step).min(all.len());
                let found = wanted.checked_sub(1).map(|i| all[i]);
                let (value, run, place) = found.unwrap_or((T::default(), NOTHING, 0));
                values.push(value);
                runs.push(run);
                places.push(place);
            }
        }
        let shape = [rows, cuts];
        Ok(Partial(vec![
            Tile::new(values, shape)?,
            Tile::new(runs, shape)?,
            Tile::new(places, shape)?,
        ]))
    }

    /// How many elements of a line of a run are not behind a splitter.
    fn cut<T: Ordered>(line: &[T], run: usize, splitters: &Partial, at: usize) -> usize {
        let number = |which: usize| splitters.0[which].buf().typed::<i64>()[at];
        let (of, value) = (number(1), &splitters.0[0].buf().typed::<T>()[at]);
        let below = |last: Ordering| line.partition_point(|v| order::<T>(v, value) <= last);
        match (run as i64).cmp(&of) {
            _ if of == NOTHING => 0,
            Ordering::Less => below(Ordering::Equal),
            Ordering::Equal => number(2) as usize + 1,
            Ordering::Greater => below(Ordering::Less),
        }
    }

    /// For each line of a run and each splitter how many elements are not behind it.
    fn counts(&self, run: &Lines, at: usize, splitters: &Partial) -> Result<Partial, BoxError> {
        let (rows, cuts) = (run.rows(), self.runs() - 1);
        dispatch!(run.values.dtype(), T => {
            let mut counts = Vec::with_capacity(rows * cuts);
            for row in 0..rows {
                let line = run.row::<T>(row);
                counts.extend((0..cuts).map(|c| Self::cut::<T>(line, at, splitters, row * cuts + c) as i64));
            }
            Ok(Partial::one(Tile::new(counts, [rows, cuts])?))
        })
    }

    /// The elements of a run between two splitters.
    fn piece(&self, run: &Lines, at: usize, bucket: usize, splitters: &Partial) -> Lines {
        let cuts = self.runs() - 1;
        dispatch!(run.values.dtype(), T => {
            let mut found = Lines::new::<T>(self.places);
            for row in 0..run.rows() {
                let line = run.row::<T>(row);
                let cut = |c: usize| Self::cut::<T>(line, at, splitters, row * cuts + c);
                let begin = if bucket == 0 { 0 } else { cut(bucket - 1) };
                let end = if bucket == cuts { line.len() } else { cut(bucket) };
                found.extend::<T>(run, row, begin..end.max(begin));
            }
            found
        })
    }

    /// A chunk of the result, of the pieces at `first` and behind it.
    fn tile(
        &self,
        chunk: usize,
        (first, pieces): (usize, &[&Lines]),
        totals: &Partial,
        region: &Region,
    ) -> Result<Tile, BoxError> {
        let cuts = self.runs() - 1;
        let totals = totals.0[0].buf().typed::<i64>();
        let (begin, end) = self.along.bounds(chunk);
        let own = &pieces[0].values;
        dispatch!(own.dtype(), T => {
            let mut found = Lines::new::<T>(self.places);
            for row in 0..pieces[0].rows() {
                let starts = |b: usize| if b == 0 { 0 } else { totals[row * cuts + b - 1] as usize };
                for (i, piece) in pieces.iter().enumerate() {
                    let (start, len) = (starts(first + i), piece.len(row));
                    let from = begin.clamp(start, start + len) - start;
                    let to = end.clamp(start, start + len) - start;
                    found.add::<T>(piece, row, from..to);
                }
                found.end_row();
            }
            if found.values.len() != region.size() {
                let got = found.values.len();
                return Err(format!("sort: {got} elements for a part of {}", region.size()).into());
            }
            Ok(from_lines(found, self.axis, &region.lens(), self.places))
        })
    }
}

fn of_stage(stage: &Stage) -> &SortStage {
    match &stage.kind {
        Kind::Sort(sort) => sort,
        other => unreachable!("{other:?} is no sort"),
    }
}

/// The counts that a task was given, added.
fn added(context: &TaskContext<'_>) -> Result<Value, BoxError> {
    let first = context.input::<Partial>(0)?;
    let mut sums = first.0[0].buf().typed::<i64>().to_vec();
    for i in 1..context.inputs().len() {
        let own = context.input::<Partial>(i)?;
        let own = own.0[0].buf().typed::<i64>();
        sums.iter_mut().zip(own).for_each(|(s, v)| *s += v);
    }
    Ok(Value::spillable(Partial::one(Tile::new(sums, first.0[0].shape())?)))
}

/// The lines that a task was given from its input `from` on.
fn lines_of<'a>(context: &'a TaskContext<'_>, from: usize) -> Result<Vec<&'a Lines>, BoxError> {
    (from..context.inputs().len()).map(|i| context.input::<Lines>(i)).collect()
}

/// The groups of the tasks of a sort.
struct Groups {
    run: GroupId,
    small: GroupId,
    piece: GroupId,
    bucket: GroupId,
    last: GroupId,
}

impl Tasks<'_> {
    /// The tasks of a sort of lines in several chunks.
    pub(super) fn sort(
        &mut self,
        at: usize,
        stage: &Arc<Stage>,
        tiles: &std::collections::BTreeSet<usize>,
    ) {
        let sort = of_stage(stage);
        let place = if sort.places { 8 } else { 0 };
        let bytes = tile_bytes(&stage.grid, sort.program.dtype.bytes() + place);
        let runs = sort.runs();
        let rows = (stage.grid.largest().as_slice().iter().product::<usize>()
            / sort.along.largest().max(1)) as u64;
        let small = rows * (runs * runs) as u64 * 24;
        let piece = bytes / runs as u64;
        let groups = Groups {
            run: self.group(&format!("{}-run", stage.name), bytes, 2 * bytes),
            small: self.group(&format!("{}-split", stage.name), small, small),
            piece: self.group(&format!("{}-piece", stage.name), piece, piece),
            bucket: self.group(&format!("{}-merge", stage.name), bytes, bytes),
            last: self.group(stage.name, tile_bytes(&stage.grid, stage.dtype.bytes()), bytes),
        };
        // Chunks of the same lines together.
        let mut lines: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for &tile in tiles {
            let mut index = stage.grid.index_of(tile).as_slice().to_vec();
            let chunk = std::mem::take(&mut index[sort.axis]);
            lines.entry(index).or_default().push(chunk);
        }
        for (index, chunks) in lines {
            self.sort_lines(at, stage, &groups, (&index, &chunks));
        }
    }

    fn sort_lines(
        &mut self,
        at: usize,
        stage: &Arc<Stage>,
        groups: &Groups,
        (index, chunks): (&[usize], &[usize]),
    ) {
        let sort = of_stage(stage);
        let n = sort.runs();
        let tile_at = |chunk: usize| {
            let mut index = index.to_vec();
            index[sort.axis] = chunk;
            stage.grid.position(&index)
        };
        let mut runs = Vec::with_capacity(n);
        for i in 0..n {
            let region = stage.region(tile_at(i));
            let asked: Vec<Asked> = asked_by(&sort.program, &region);
            let own = Arc::clone(stage);
            runs.push(self.task(groups.run, asked, &[], move |given, _| {
                Ok(Value::spillable(of_stage(&own).run(&region, given)))
            }));
        }
        let (splitters, totals) = self.splitters(stage, groups, &runs);
        let mut buckets: BTreeMap<usize, TaskId> = BTreeMap::new();
        for &chunk in chunks {
            let range = chunk.saturating_sub(1)..(chunk + 2).min(n);
            for b in range.clone() {
                if let Entry::Vacant(place) = buckets.entry(b) {
                    place.insert(self.bucket(stage, groups, (&runs, splitters), b));
                }
            }
            let inputs: Vec<TaskId> =
                [totals].into_iter().chain(range.clone().map(|b| buckets[&b])).collect();
            let (own, tile) = (Arc::clone(stage), tile_at(chunk));
            let region = stage.region(tile);
            let task = self.builder.task(groups.last, &inputs, move |context| {
                let totals = context.input::<Partial>(0)?;
                let pieces = (range.start, &lines_of(context, 1)?[..]);
                let tile = of_stage(&own).tile(chunk, pieces, totals, &region)?;
                Ok(Value::spillable(Kept::Host(tile)))
            });
            self.made.insert((at, tile), task);
        }
    }

    /// The splitters of some lines, and how many elements are not behind each.
    fn splitters(
        &mut self,
        stage: &Arc<Stage>,
        groups: &Groups,
        runs: &[TaskId],
    ) -> (TaskId, TaskId) {
        let mut samples = Vec::with_capacity(runs.len());
        for run in runs {
            let own = Arc::clone(stage);
            samples.push(self.builder.task(groups.small, &[*run], move |context| {
                Ok(Value::spillable(of_stage(&own).samples(context.input(0)?)))
            }));
        }
        let own = Arc::clone(stage);
        let splitters = self.builder.task(groups.small, &samples, move |context| {
            let (sort, samples) = (of_stage(&own), lines_of(context, 0)?);
            dispatch!(sort.program.dtype, T => {
                Ok(Value::spillable(sort.splitters::<T>(&samples)?))
            })
        });
        let mut open = Vec::with_capacity(runs.len());
        for (i, run) in runs.iter().enumerate() {
            let own = Arc::clone(stage);
            open.push(self.builder.task(groups.small, &[*run, splitters], move |context| {
                let found = of_stage(&own).counts(context.input(0)?, i, context.input(1)?)?;
                Ok(Value::spillable(found))
            }));
        }
        while open.len() > 1 {
            open = open
                .chunks(MERGED)
                .map(|inputs| self.builder.task(groups.small, inputs, added))
                .collect();
        }
        (splitters, open[0])
    }

    /// The elements between two splitters.
    fn bucket(
        &mut self,
        stage: &Arc<Stage>,
        groups: &Groups,
        (runs, splitters): (&[TaskId], TaskId),
        bucket: usize,
    ) -> TaskId {
        let mut pieces = Vec::with_capacity(runs.len());
        for (i, run) in runs.iter().enumerate() {
            let own = Arc::clone(stage);
            pieces.push(self.builder.task(groups.piece, &[*run, splitters], move |context| {
                let (run, splitters) = (context.input(0)?, context.input(1)?);
                Ok(Value::spillable(of_stage(&own).piece(run, i, bucket, splitters)))
            }));
        }
        self.builder.task(groups.bucket, &pieces, |context| {
            Ok(Value::spillable(Lines::merged(&lines_of(context, 0)?)))
        })
    }
}
