//! A join whose build side does not fit in memory: both sides in files by the hash of their
//! keys, then a join for each pair of files. (The GRACE hash join of Kitsuregawa, Tanaka and
//! Moto-oka, New Generation Computing 1, 1983.)
//!
//! A pair whose build side is still too large is divided again by other hashes. After
//! [`ROUNDS`] rounds too many rows have one key, and the pair is sorted and merged instead,
//! which needs no more memory than it is given.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::{SortOptions, concat},
};
use datafusion::{
    common::{JoinSide, runtime::SpawnedTask},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryLimit, MemoryReservation},
    },
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        joins::{HashJoinExec, SortMergeJoinExec},
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
        projection::{ProjectionExec, ProjectionExpr},
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    DeviceHashJoinExec, JoinKeys, Parts,
    tell::{Tells, bounds},
};
use crate::{
    nodes::metrics::{DeviceMetrics, TakenOver},
    spill::rows::{self, Divider, Dividing, FAN_OUT, LEAST_ROWS, ROUNDS, SpilledRows},
};

/// The part of the memory limit from which on a build side is large. A guess: the partitions of
/// a join work on pairs side by side, and each needs its rows twice while it builds.
const LARGE: usize = 8;

/// Files of one side, by the hash of the keys.
pub(super) type Files = Vec<Vec<SpilledRows>>;

/// Where the rows of a side go that memory has no room for.
#[derive(Clone)]
pub(super) struct ToDisk {
    parts: Parts,
    metrics: ExecutionPlanMetricsSet,
    partition: usize,
    context: Arc<TaskContext>,
}

/// Rows of the build side on their way to disk, with the bounds of their keys.
pub(super) struct Spilling {
    rows: Dividing,
    tells: Tells,
    join: Arc<HashJoinExec>,
    /// For each key the bounds within each batch.
    bounds: Vec<Vec<ArrayRef>>,
}

/// A part of the build side, as one task read it.
pub(super) enum Collected {
    Held(Vec<RecordBatch>, MemoryReservation),
    Spilled(Spilling),
}

impl ToDisk {
    pub(super) fn new(
        parts: &Parts,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Self {
        let (parts, metrics, context) = (parts.clone(), metrics.clone(), Arc::clone(context));
        Self { parts, metrics, partition, context }
    }

    /// The join that it is for.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    fn join(&self) -> &Arc<HashJoinExec> {
        &self.parts.join
    }

    /// Whether the join can go through files. One whose rows must stay in the order of the probe
    /// side cannot.
    pub(super) fn can(&self) -> bool {
        self.parts.round < ROUNDS && self.join().properties().output_ordering().is_none()
    }

    /// How both sides are divided: the keys of one, in the types of the left.
    fn divider(&self, side: JoinSide) -> Result<Divider> {
        let schema = self.join().left().schema();
        let types = self.join().on().iter().map(|(l, _)| l.data_type(&schema));
        let keys = self.join().on().iter().map(|(l, r)| match side {
            JoinSide::Left => Arc::clone(l),
            _ => Arc::clone(r),
        });
        Ok(Divider::new(keys.collect(), &types.collect::<Result<Vec<_>>>()?, self.parts.round))
    }

    fn dividing(&self, side: JoinSide) -> Result<Dividing> {
        let input = match side {
            JoinSide::Left => self.join().left(),
            _ => self.join().right(),
        };
        let counts = SpillMetrics::new(&self.metrics, self.partition);
        let env = self.context.runtime_env();
        Ok(Dividing::new(self.divider(side)?, &input.schema(), &env, counts))
    }

    /// For rows of the build side.
    fn spilling(&self) -> Result<Spilling> {
        let bounds = vec![Vec::new(); self.join().on().len()];
        let (join, tells) = (Arc::clone(self.join()), self.parts.tells);
        Ok(Spilling { rows: self.dividing(JoinSide::Left)?, tells, join, bounds })
    }

    /// The rows of one partition of the build side: in memory, or, where that ends here or in
    /// another task, on disk.
    async fn collect(
        self,
        mut stream: SendableRecordBatchStream,
        memory: MemoryReservation,
        full: Arc<AtomicBool>,
    ) -> Result<Collected> {
        let mut batches = Vec::new();
        let mut spilling = None;
        while let Some(batch) = stream.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            // Once more for the copy that holds all rows in one.
            let bytes = 2 * batch.get_array_memory_size();
            if spilling.is_none() && !full.load(Relaxed) {
                match memory.try_grow(bytes) {
                    Ok(()) => {
                        batches.push(batch);
                        continue;
                    }
                    Err(e) if !self.can() => return Err(e),
                    Err(_) => full.store(true, Relaxed),
                }
            }
            let to = match &mut spilling {
                Some(to) => to,
                none => none.insert(self.spilling()?),
            };
            for held in batches.drain(..) {
                to.push(&held)?;
            }
            memory.free();
            to.push(&batch)?;
        }
        Ok(match spilling {
            Some(to) => Collected::Spilled(to),
            None => Collected::Held(batches, memory),
        })
    }

    /// All rows of the partitions of the build side: in memory, with what they take, or in
    /// files.
    pub(super) async fn collect_all(
        &self,
        streams: Vec<SendableRecordBatchStream>,
        memory: &MemoryReservation,
    ) -> Result<Result<(Vec<RecordBatch>, Vec<MemoryReservation>), Files>> {
        let full = Arc::default();
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|s| {
                SpawnedTask::spawn(self.clone().collect(s, memory.new_empty(), Arc::clone(&full)))
            })
            .collect();
        let (mut batches, mut kept, mut spilled) = (Vec::new(), Vec::new(), Vec::new());
        for task in tasks {
            let part = task.join_unwind().await;
            match part.map_err(|e| DataFusionError::External(Box::new(e)))?? {
                Collected::Held(part, memory) => {
                    batches.extend(part);
                    kept.push(memory);
                }
                Collected::Spilled(to) => spilled.push(to),
            }
        }
        if spilled.is_empty() {
            return Ok(Ok((batches, kept)));
        }
        if !batches.is_empty() {
            let mut to = self.spilling()?;
            batches.drain(..).try_for_each(|batch| to.push(&batch))?;
            spilled.push(to);
        }
        drop(kept);
        self.finish(spilled).map(Err)
    }

    /// Rows that were to be held after all.
    pub(super) fn all(&self, batches: impl IntoIterator<Item = RecordBatch>) -> Result<Files> {
        let mut to = self.spilling()?;
        batches.into_iter().try_for_each(|batch| to.push(&batch))?;
        self.finish(vec![to])
    }

    /// Ends the files of the build side, and tells the scans of the probe side the bounds of
    /// its keys.
    fn finish(&self, spilled: Vec<Spilling>) -> Result<Files> {
        let mut files: Files = vec![Vec::new(); FAN_OUT];
        let mut bounds = vec![Vec::new(); self.join().on().len()];
        for part in spilled {
            bounds.iter_mut().zip(part.bounds).for_each(|(all, some)| all.extend(some));
            add(&mut files, part.rows.finish()?);
        }
        let bounds = bounds.iter().map(|key| {
            let key: Vec<_> = key.iter().map(|part| &**part).collect();
            concat(&key)
        });
        match self.parts.tells {
            // There may be no row.
            _ if files.iter().all(Vec::is_empty) => self.parts.tells.publish(self.join(), &[])?,
            Tells::Nothing => self.parts.tells.publish(self.join(), &[])?,
            _ => Tells::Bounds.publish(self.join(), &bounds.collect::<Result<Vec<_>, _>>()?)?,
        }
        let rows: usize = files.iter().flatten().map(|f| f.rows).sum();
        tracing::debug!(rows, round = self.parts.round, "the build side of a join went to disk");
        Ok(files)
    }
}

impl Spilling {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.tells != Tells::Nothing {
            for ((left, _), parts) in self.join.on().iter().zip(&mut self.bounds) {
                let keys = left.evaluate(batch)?.into_array(batch.num_rows())?;
                parts.push(bounds(&keys)?);
            }
        }
        self.rows.push(batch)
    }
}

fn add(files: &mut Files, more: Vec<Option<SpilledRows>>) {
    files.iter_mut().zip(more).for_each(|(files, file)| files.extend(file));
}

/// The partitions of a probe side that have not put all of their rows on disk yet.
#[derive(Debug)]
pub(super) struct Writing(watch::Sender<usize>);

/// One of these partitions, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Writing>);

impl Writing {
    pub(super) fn new(partitions: usize) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(partitions)))
    }

    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        Ticket(Arc::clone(self))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// A join in files, for all its partitions.
#[derive(Debug)]
pub(super) struct Spilled {
    build: Mutex<Files>,
    /// What the build side takes in memory.
    bytes: usize,
    probe: Mutex<Files>,
    /// The next pair of files.
    next: AtomicUsize,
}

/// Files of both sides with the rows of the same hashes.
struct Pair {
    build: Vec<SpilledRows>,
    probe: Vec<SpilledRows>,
}

impl Spilled {
    pub(super) fn new(build: Files) -> Self {
        let probe = Mutex::new(vec![Vec::new(); FAN_OUT]);
        let bytes = build.iter().flatten().map(|f| f.bytes).sum();
        Self { build: Mutex::new(build), bytes, probe, next: AtomicUsize::new(0) }
    }

    /// The next pair that can have rows; whichever partition asks joins it.
    fn pair(&self, needs_build_rows: bool) -> Option<Pair> {
        loop {
            let at = self.next.fetch_add(1, Relaxed);
            if at >= FAN_OUT {
                return None;
            }
            let build = std::mem::take(&mut self.build.lock()[at]);
            let probe = std::mem::take(&mut self.probe.lock()[at]);
            let nothing = build.is_empty() && (needs_build_rows || probe.is_empty());
            if !nothing {
                return Some(Pair { build, probe });
            }
        }
    }

    /// Whether a pair is sorted and merged: its build side is large, and dividing it again does
    /// not help, as too many of its rows have one key.
    fn sorts(&self, pair: &Pair, round: usize, limit: MemoryLimit) -> bool {
        let MemoryLimit::Finite(limit) = limit else { return false };
        let bytes: usize = pair.build.iter().map(|f| f.bytes).sum();
        bytes > limit / LARGE && (round + 1 >= ROUNDS || bytes > self.bytes / 2)
    }
}

impl ToDisk {
    /// The result of one partition: its rows of the probe side to disk, then, when all
    /// partitions are there, pair after pair.
    pub(super) async fn probe(
        self,
        spilled: Arc<Spilled>,
        mut right: SendableRecordBatchStream,
        ticket: Ticket,
    ) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        let mut to = self.dividing(JoinSide::Right)?;
        while let Some(batch) = right.try_next().await? {
            to.push(&batch)?;
        }
        drop(right);
        add(&mut spilled.probe.lock(), to.finish()?);
        let mut others = ticket.0.0.subscribe();
        drop(ticket);
        // An error says that the last ticket has gone.
        let _ = others.wait_for(|n| *n == 0).await;
        let needs_build_rows = self.parts.shape.needs_build_rows();
        let pairs = stream::try_unfold((self, spilled), move |(this, spilled)| async move {
            let Some(pair) = spilled.pair(needs_build_rows) else { return Ok(None) };
            let limit = this.context.memory_pool().memory_limit();
            let sorts = spilled.sorts(&pair, this.parts.round, limit) && !this.floats();
            let rows = this.pair(pair, sorts)?;
            Ok::<_, DataFusionError>(Some((rows, (this, spilled))))
        });
        Ok(pairs.try_flatten())
    }

    /// Whether a key is a float: zeros of both signs match here, and not where rows are merged.
    fn floats(&self) -> bool {
        let schema = self.join().left().schema();
        let mut types = self.join().on().iter().map(|(left, _)| left.data_type(&schema));
        types.any(|ty| ty.is_ok_and(|ty| ty.is_floating()))
    }

    /// The rows of a pair of files.
    fn pair(&self, pair: Pair, sorts: bool) -> Result<SendableRecordBatchStream> {
        let Parts { placed, left_keys, right_keys, round, .. } = &self.parts;
        let few = pair.build.iter().map(|f| f.rows).sum::<usize>() < LEAST_ROWS;
        let left = rows::source(&self.join().left().schema(), vec![pair.build])?;
        let right = rows::source(&self.join().right().schema(), vec![pair.probe])?;
        let builder = self.join().builder().reset_state().recompute_properties();
        let join = builder.with_new_children(vec![left, right])?.build()?;
        if sorts {
            return self.merge(&join);
        }
        let (left, right) = (Arc::clone(left_keys), Arc::clone(right_keys));
        let mut join = DeviceHashJoinExec::new(join, placed.clone(), JoinKeys { left, right });
        join.parts.round = if few { ROUNDS } else { round + 1 };
        join.metrics = self.metrics.clone();
        join.execute(0, Arc::clone(&self.context))
    }

    /// The rows of a join by sorting its sides.
    fn merge(&self, join: &HashJoinExec) -> Result<SendableRecordBatchStream> {
        let by = SortOptions::default();
        let sorted = |input: &Arc<dyn ExecutionPlan>, keys: Vec<&Arc<dyn PhysicalExpr>>| {
            let keys = keys.into_iter().map(|key| PhysicalSortExpr::new(Arc::clone(key), by));
            let order = LexOrdering::new(keys)
                .ok_or_else(|| DataFusionError::Internal("a hash join has keys".to_string()))?;
            let sort = SortExec::new(order, Arc::clone(input));
            Ok::<_, DataFusionError>(Arc::new(sort) as Arc<dyn ExecutionPlan>)
        };
        let on = join.on();
        let merge = SortMergeJoinExec::try_new(
            sorted(join.left(), on.iter().map(|(l, _)| l).collect())?,
            sorted(join.right(), on.iter().map(|(_, r)| r).collect())?,
            on.to_vec(),
            join.filter().cloned(),
            *join.join_type(),
            vec![by; on.len()],
            join.null_equality(),
        )?;
        let mut plan = Arc::new(merge) as Arc<dyn ExecutionPlan>;
        if let Some(projection) = join.projection.as_deref() {
            let schema = plan.schema();
            let column = |at: &usize| {
                let name = schema.field(*at).name();
                let expr = Arc::new(Column::new(name, *at)) as Arc<dyn PhysicalExpr>;
                ProjectionExpr::new(expr, name.clone())
            };
            let columns: Vec<_> = projection.iter().map(column).collect();
            plan = Arc::new(ProjectionExec::try_new(columns, plan)?);
        }
        tracing::debug!("rows of a join that share too few keys are sorted");
        let rows = plan.execute(0, Arc::clone(&self.context))?;
        // What it does counts for the join.
        let output = DeviceMetrics::new(&self.metrics, self.partition);
        let mut taken = TakenOver::new(&output, plan, Arc::clone(join.left()));
        let rows = rows.inspect_ok(move |b| {
            output.baseline.output_rows().add(b.num_rows());
            taken.count();
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(join.schema(), rows)))
    }
}
