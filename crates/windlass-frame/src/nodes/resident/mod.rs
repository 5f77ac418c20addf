//! Nodes over rows that lie on their device already, and stay there: what limits, unions,
//! exchanges and sorts of such rows have in common.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
        PlanProperties, ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs, StatisticsContext},
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{DeviceBatch, KernelError};

use super::{
    DeviceItem, DeviceNode, DevicePipelineExec, DeviceStream, Placed, Uploaded,
    chain::one_line,
    failure::failed,
    metrics::{DeviceMetrics, batch_bytes},
};
use crate::{
    batch::{DictionaryLimits, DictionarySet, SharedDictionary},
    lower::{DictionaryId, HostTables, InputPlan, OutputColumn, PipelinePlan, Unsupported},
};

/// Batches of one partition, in order.
pub(crate) type Batches = BoxStream<'static, Result<DeviceBatch>>;

/// What a node does with the rows of its inputs.
pub(crate) trait Kind: fmt::Debug + Send + Sync {
    /// The node's name, in plans, errors and events.
    fn name(&self) -> &'static str;

    /// The rows of a partition. The columns are those that the reader asked for.
    ///
    /// # Errors
    /// Those of executing the inputs.
    fn rows(&self, inputs: Inputs, worker: Worker, partition: usize) -> Result<Batches>;

    /// The same without what a run has left behind.
    fn fresh(&self) -> Box<dyn Kind>;

    /// For a sort of partitions one by one: that of all rows at once.
    fn whole(&self, _fetch: Option<usize>) -> Option<Box<dyn Kind>> {
        None
    }
}

/// A limit, union, exchange or sort of rows that are on its device, for a node there or for a
/// download.
///
/// ```text
///                                      node above, or DeviceDownloadExec
///   UnionExec                            ▲ device batches with the reader's columns
///     ProjectionExec                   ResidentExec: union
///       DeviceHashJoinExec     ─►        DevicePipelineExec: [steps, columns]
///     DeviceHashJoinExec                   ResidentHashJoinExec
///                                        DevicePipelineExec: [columns]
///                                          ResidentHashJoinExec
/// ```
///
/// Each input is a pipeline: filters and projections below the node are fused with the pick of
/// the columns that the node above reads, and texts have the codes that it reads. What the node
/// does is its kind: `limit`, `union`, `repartition` and `resident_sort` hold one each.
///
/// As an ordinary plan node it gives what the operator in whose place it stands gives over rows
/// of the host. A device's failure is a [`DeviceFailure`](super::DeviceFailure): the rows are nowhere else.
#[derive(Debug)]
pub struct ResidentExec {
    kind: Box<dyn Kind>,
    placed: Placed,
    host: Arc<dyn ExecutionPlan>,
    sides: Vec<Arc<dyn ExecutionPlan>>,
    texts: Arc<[Texts]>,
    reader: Arc<InputPlan>,
    /// The dictionaries of a download above.
    tables: Arc<HostTables>,
    dictionaries: OnceLock<Arc<DictionarySet>>,
    of_sides: OnceLock<Vec<Arc<DictionarySet>>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The dictionaries of a pipeline that the node above has too: (the pipeline's, the node's).
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts(Vec<(DictionaryId, DictionaryId)>);

impl Texts {
    /// For a pipeline whose outputs are `keys`, then the columns of `reader`, a node with these
    /// tables; and the tables, where the pipeline's constants must be the first strings of one
    /// of their dictionaries.
    ///
    /// # Errors
    /// [`Unsupported`] where texts cannot have one dictionary in both places.
    pub(crate) fn new(
        side: &PipelinePlan,
        keys: usize,
        reader: &InputPlan,
        tables: &HostTables,
    ) -> Result<(Self, Option<HostTables>), Unsupported> {
        let mut pairs: Vec<(DictionaryId, DictionaryId)> = Vec::new();
        for (output, read) in side.outputs.iter().skip(keys).zip(&reader.columns) {
            let (Some(mine), Some(theirs)) = (output.dictionary, read.dictionary) else { continue };
            match pairs.iter().find(|(m, _)| *m == mine) {
                Some((_, t)) if *t != theirs => {
                    let why = "two texts of the operator above are one text of its inputs";
                    return Err(Unsupported::new(why));
                }
                Some(_) => {}
                None => pairs.push((mine, theirs)),
            }
        }
        // The dictionary that another one of the pipeline is comes from that.
        if side.tables.same().any(|(id, _)| pairs.iter().any(|(mine, _)| *mine == id)) {
            return Err(Unsupported::new("two texts of its inputs are one of a join below"));
        }
        let (mut tables, mut changed) = (tables.clone(), false);
        for (mine, theirs) in &pairs {
            let own = &side.tables.dictionaries[mine.0 as usize].constants;
            let read = &mut tables.dictionaries[theirs.0 as usize].constants;
            if own.is_empty() || own == read {
                continue;
            }
            if !read.is_empty() {
                let why = "a text is compared with other constants than the operator above does";
                return Err(Unsupported::new(why));
            }
            read.clone_from(own);
            changed = true;
        }
        Ok((Self(pairs), changed.then_some(tables)))
    }

    /// The dictionaries of the pipeline for a reader with these.
    fn set(&self, side: &PipelinePlan, reader: &DictionarySet) -> Arc<DictionarySet> {
        let shared =
            self.0.iter().map(|(mine, theirs)| (*mine, Arc::clone(reader.shared(*theirs))));
        let tables = Arc::clone(&side.tables);
        Arc::new(DictionarySet::sharing(tables, DictionaryLimits::default(), shared))
    }
}

/// An input of such a node.
fn pipeline(plan: &Arc<dyn ExecutionPlan>) -> Result<&DevicePipelineExec> {
    plan.downcast_ref::<DevicePipelineExec>().ok_or_else(|| {
        let text = format!("rows on a device come from a pipeline there, got {}", plan.name());
        DataFusionError::Internal(text)
    })
}

/// The pipelines below a node, and how they code their texts.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    sides: Vec<(Arc<dyn ExecutionPlan>, Arc<DictionarySet>)>,
    context: Arc<TaskContext>,
}

impl Inputs {
    /// Number of partitions of an input.
    pub(crate) fn partitions(&self, side: usize) -> usize {
        self.sides[side].0.output_partitioning().partition_count()
    }

    /// The rows of a partition of an input: its keys, then the columns of the reader.
    ///
    /// # Errors
    /// Those of executing it.
    pub(crate) fn batches(&self, side: usize, partition: usize) -> Result<Batches> {
        let (plan, texts) = &self.sides[side];
        pipeline(plan)?.batches(partition, Arc::clone(&self.context), Arc::clone(texts))
    }

    /// The rows of all partitions of an input, as they come.
    ///
    /// # Errors
    /// Those of executing it.
    pub(crate) fn all(&self, side: usize) -> Result<Batches> {
        let streams = (0..self.partitions(side)).map(|p| self.batches(side, p));
        Ok(stream::select_all(streams.collect::<Result<Vec<_>>>()?).boxed())
    }

    /// The strings of a column of an input; `None` where it holds no texts.
    ///
    /// # Errors
    /// `Internal` for a column that is not there.
    pub(crate) fn texts(
        &self,
        side: usize,
        column: usize,
    ) -> Result<Option<Arc<SharedDictionary>>> {
        let (plan, texts) = &self.sides[side];
        let outputs = &pipeline(plan)?.plan().outputs;
        let output = outputs.get(column).ok_or_else(|| {
            DataFusionError::Internal(format!("{} columns, asked for {column}", outputs.len()))
        })?;
        Ok(output.dictionary.map(|id| Arc::clone(texts.shared(id))))
    }
}

/// Does a node's work for one partition, off the async threads and on a queue of its own.
pub(crate) struct Worker {
    pub(crate) placed: Placed,
    operator: &'static str,
    metrics: DeviceMetrics,
    queue: Option<Box<dyn Queue>>,
}

impl Worker {
    /// A worker of another partition or task of the same node.
    pub(crate) fn another(&self) -> Self {
        let (placed, metrics) = (self.placed.clone(), self.metrics.clone());
        Self { placed, operator: self.operator, metrics, queue: None }
    }

    /// What `work` over `rows` rows gives, complete for other queues. What it allocates is
    /// reserved first.
    ///
    /// # Errors
    /// [`DeviceFailure`](super::DeviceFailure).
    pub(crate) async fn run<T: Send + 'static>(
        mut self,
        name: &'static str,
        rows: usize,
        work: impl FnOnce(&dyn Device, &mut dyn Queue, &mut Reservation) -> Result<T, KernelError>
        + Send
        + 'static,
    ) -> Result<(Self, T)> {
        let placed = self.placed.clone();
        let (this, made) = placed
            .run(move || {
                let began = Instant::now();
                let made = self.on_queue(work);
                self.metrics.kernel(&self.placed, name, began, rows);
                (self, made)
            })
            .await?;
        match made {
            Ok(made) => Ok((this, made)),
            Err(e) => Err(this.failed(e)),
        }
    }

    fn on_queue<T>(
        &mut self,
        work: impl FnOnce(&dyn Device, &mut dyn Queue, &mut Reservation) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let device = &*self.placed.device;
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let mut reservation = device.pool().reserve(0)?;
        let made = work(device, &mut **queue, &mut reservation)?;
        queue.synchronize()?;
        Ok(made)
    }

    fn failed(&self, e: KernelError) -> DataFusionError {
        failed(&self.placed, &self.metrics, self.operator, e)
    }
}

/// What a node is for, and how its inputs code their texts.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// The columns that the node above reads.
    pub(crate) reader: Arc<InputPlan>,
    /// What the host keeps for it.
    pub(crate) tables: Arc<HostTables>,
    /// For each input, the dictionaries that it shares with the node above.
    pub(crate) texts: Arc<[Texts]>,
}

impl ResidentExec {
    /// In the place of `host`, over pipelines on the device.
    ///
    /// # Errors
    /// `Internal` where an input is another node.
    pub(crate) fn try_new(
        kind: Box<dyn Kind>,
        placed: Placed,
        host: Arc<dyn ExecutionPlan>,
        sides: Vec<Arc<dyn ExecutionPlan>>,
        wiring: Wiring,
    ) -> Result<Self> {
        sides.iter().try_for_each(|side| pipeline(side).map(|_| ()))?;
        let Wiring { reader, tables, texts } = wiring;
        let (dictionaries, of_sides) = (OnceLock::new(), OnceLock::new());
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self {
            kind,
            placed,
            host,
            sides,
            texts,
            reader,
            tables,
            dictionaries,
            of_sides,
            metrics,
        })
    }

    /// The operator in whose place it stands, over rows of the host.
    pub fn host(&self) -> &Arc<dyn ExecutionPlan> {
        &self.host
    }

    /// For a sort of partitions one by one: that of all rows, in the place of `host`.
    pub(crate) fn whole(
        &self,
        host: Arc<dyn ExecutionPlan>,
        fetch: Option<usize>,
    ) -> Option<Result<Self>> {
        let kind = self.kind.whole(fetch)?;
        let sides = self.sides.clone();
        Some(Self::try_new(kind, self.placed.clone(), host, sides, self.wiring()))
    }

    fn wiring(&self) -> Wiring {
        Wiring {
            reader: Arc::clone(&self.reader),
            tables: Arc::clone(&self.tables),
            texts: Arc::clone(&self.texts),
        }
    }

    fn rows(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        reader: &DictionarySet,
    ) -> Result<Batches> {
        let plans = self.sides.iter().map(|side| Ok(pipeline(side)?.plan()));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        // The readers of all partitions have the same dictionaries.
        let texts = self.of_sides.get_or_init(|| {
            self.texts.iter().zip(&plans).map(|(texts, plan)| texts.set(plan, reader)).collect()
        });
        let sides = self.sides.iter().cloned().zip(texts.iter().cloned()).collect();
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let worker = Worker {
            placed: self.placed.clone(),
            operator: self.kind.name(),
            metrics: metrics.clone(),
            queue: None,
        };
        let rows = self.kind.rows(Inputs { sides, context }, worker, partition)?;
        Ok(rows.inspect_ok(move |b| metrics.output(b.rows, batch_bytes(b))).boxed())
    }

    /// The rows of a partition with the columns of the reader, coded by its dictionaries.
    ///
    /// # Errors
    /// Those of executing the inputs.
    pub(crate) fn batches(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        reader: &DictionarySet,
    ) -> Result<BoxStream<'static, Result<Uploaded>>> {
        let rows = self.rows(partition, context, reader)?;
        Ok(rows.map_ok(|batch| Uploaded { host: None, device: Ok(batch) }).boxed())
    }
}

impl DeviceNode for ResidentExec {
    fn placed(&self) -> &Placed {
        &self.placed
    }

    fn execute_on_device(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<DeviceStream> {
        let limits = DictionaryLimits::default();
        let make = || Arc::new(DictionarySet::new(Arc::clone(&self.tables), limits));
        let dictionaries = Arc::clone(self.dictionaries.get_or_init(make));
        let output = |c: &crate::lower::InputColumn| OutputColumn {
            data_type: c.data_type.clone(),
            ty: c.ty,
            dictionary: c.dictionary,
        };
        let outputs: Arc<[OutputColumn]> = self.reader.columns.iter().map(output).collect();
        let rows = self.rows(partition, context, &dictionaries)?;
        let placed = self.placed.clone();
        let item = move |batch| DeviceItem::Device {
            batch,
            outputs: Arc::clone(&outputs),
            dictionaries: Arc::clone(&dictionaries),
            origin: None,
            placed: placed.clone(),
        };
        Ok(rows.map_ok(item).boxed())
    }
}

impl DisplayAs for ResidentExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, line) = (self.placed.name(), one_line(&*self.host));
        let columns: Vec<&str> = self.reader.columns.iter().map(|c| c.name.as_str()).collect();
        let columns = columns.join(", ");
        write!(f, "{}: device={device}, rows=device, columns=[{columns}]", self.kind.name())?;
        let details = line.split_once(": ").map_or("", |(_, details)| details);
        let details = details.strip_prefix(&format!("device={device}, ")).unwrap_or(details);
        match details {
            "" => Ok(()),
            details => write!(f, ", {details}"),
        }
    }
}

impl ExecutionPlan for ResidentExec {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.host.properties()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.sides.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.iter().collect()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.sides.len() {
            let (want, got) = (self.sides.len(), children.len());
            let text = format!("{} has {want} inputs, got {got}", self.kind.name());
            return Err(DataFusionError::Internal(text));
        }
        let (kind, placed, host) = (self.kind.fresh(), self.placed.clone(), Arc::clone(&self.host));
        Ok(Arc::new(Self::try_new(kind, placed, host, children, self.wiring())?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.host.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.host.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        // The inputs hold other columns than the operator's: its figures are those of these.
        vec![ChildStats::Skip; self.sides.len()]
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(&*self.host, args)
    }
}

#[cfg(test)]
pub(super) mod tests;
