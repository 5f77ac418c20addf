//! Record batches to device batches.

use std::{fmt, sync::Arc, time::Instant};

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::{
    common::{Statistics, runtime::SpawnedTask, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tokio::sync::mpsc;
use windlass_device::{DeviceError, DeviceName, Queue};
use windlass_kernels::{DeviceBatch, KernelError};

use super::{
    Placed, StoredScanExec,
    metrics::{ColumnMetrics, DeviceMetrics},
};
use crate::{
    batch::{DictionarySet, KeptColumns, upload, upload_bytes, upload_kept},
    lower::{HostTables, InputPlan},
};

/// Rows of a device-sized batch. A guess: at 8 bytes a column the copies are past the size
/// at which a link reaches its rate, and two batches of 20 columns stay under 350 MB.
pub(crate) const DEVICE_ROWS: usize = 1 << 20;

/// Least rows of a device-sized batch, whatever the memory cap says: DataFusion's own batch.
const LEAST_ROWS: usize = 8192;

/// Batches in flight over which a device's free memory is divided: one being uploaded, one
/// computed on, and four parts for results and state.
const SHARES: usize = 6;

/// A batch on its way: the rows on the device, if the upload or the join below succeeded, and
/// on the host, if they come from there.
#[derive(Debug)]
pub struct Uploaded {
    /// The rows on the host; `None` for those that a join made on the device.
    pub host: Option<RecordBatch>,
    /// The columns that the plan reads, on the device.
    pub device: Result<DeviceBatch, KernelError>,
}

/// Uploads the columns that the operators above read, each once.
///
/// ```text
///   batches of 8,192 rows ─► coalesced to device-sized ones ─► upload of batch k + 1
///                                                               │ (one batch ahead)
///                                                               ▼
///                                                              compute on batch k
/// ```
///
/// Where the device is the host, batches pass as they are and nothing is copied. As an
/// ordinary plan node it passes its input on, unchanged.
#[derive(Debug)]
pub struct DeviceUploadExec {
    input: Arc<dyn ExecutionPlan>,
    placed: Placed,
    plan: Arc<InputPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceUploadExec {
    /// Uploads from `input` what `plan` reads.
    pub fn new(input: Arc<dyn ExecutionPlan>, placed: Placed, plan: InputPlan) -> Self {
        Self { input, placed, plan: Arc::new(plan), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The node below.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Where it uploads to.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// What it uploads.
    pub fn plan(&self) -> &InputPlan {
        &self.plan
    }

    /// The batches of a partition, in order, at most one uploaded ahead of the reader.
    /// Dropping the stream stops it.
    ///
    /// # Errors
    /// Those of executing the input.
    pub fn uploads(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Result<BoxStream<'static, Result<Uploaded>>> {
        let mut uploader = self.uploader(partition, dictionaries);
        if self.placed.is_host() {
            return Ok(pass(read(&self.input, partition, context)?, uploader));
        }
        let rows = match crate::read::whole(&self.input, partition) {
            Some(batches) => {
                uploader.kept = Some(self.kept());
                stream::iter(batches).boxed()
            }
            None => coalesce(read(&self.input, partition, context)?, &self.placed, self.widths()),
        };
        let (send, receive) = mpsc::channel(1);
        let task = SpawnedTask::spawn(async move {
            if let Err(e) = drive(rows, uploader, &send).await {
                // Without a reader nobody wants the error.
                let _ = send.send(Err(e)).await;
            }
        });
        let state = (receive, task);
        Ok(stream::unfold(state, |(mut receive, task)| async move {
            let item = receive.recv().await?;
            Some((item, (receive, task)))
        })
        .boxed())
    }

    /// The batches of a partition of `input`, which is the node below or a copy of it, in sizes
    /// that suit each of the devices that share them; at most one is read ahead. Dropping the
    /// stream stops it.
    ///
    /// # Errors
    /// Those of executing the input.
    pub(crate) fn to_share(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        if let Some(batches) = crate::read::whole(input, partition) {
            return Ok(stream::iter(batches).boxed());
        }
        let mut rows = coalesce(read(input, partition, context)?, &self.placed, self.widths());
        let (send, receive) = mpsc::channel(1);
        let task = SpawnedTask::spawn(async move {
            while let Some(batch) = rows.next().await {
                if send.send(batch).await.is_err() {
                    return;
                }
            }
        });
        let state = (receive, task);
        Ok(stream::unfold(state, |(mut receive, task)| async move {
            let batch = receive.recv().await?;
            Some((batch, (receive, task)))
        })
        .boxed())
    }

    /// The dictionaries for a table in memory whose columns stay on the device.
    pub(crate) fn kept_dictionaries(&self, tables: &Arc<HostTables>) -> Option<DictionarySet> {
        if self.placed.is_host() || tables.dictionaries.is_empty() {
            return None;
        }
        let first = crate::read::first_batch(&self.input)?;
        let large = first.first().is_some_and(|array| KeptColumns::takes(array.len()));
        large.then(|| self.kept().dictionaries(&self.plan, tables, &first))
    }

    /// The columns that stay on the devices of this session.
    fn kept(&self) -> Arc<KeptColumns> {
        let kept: Arc<KeptColumns> = self.placed.inventory.extension();
        for placed in self.placed.members() {
            kept.serve(&*placed.device);
        }
        kept
    }

    /// What uploads batches of a partition, to be kept where they are those of a table in memory.
    pub(crate) fn uploader(&self, partition: usize, dictionaries: Arc<DictionarySet>) -> Uploader {
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let names = self.plan.columns.iter().map(|c| c.name.as_str());
        let columns = ColumnMetrics::new(&metrics, names);
        let (placed, plan) = (self.placed.clone(), Arc::clone(&self.plan));
        let kept = None;
        Uploader { placed, plan, dictionaries, metrics, columns, kept, queue: None }
    }

    /// The same for batches that [`DeviceUploadExec::to_share`] gives of `input`.
    pub(crate) fn uploader_to_share(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        dictionaries: Arc<DictionarySet>,
    ) -> Uploader {
        let kept = crate::read::whole(input, partition).map(|_| self.kept());
        Uploader { kept, ..self.uploader(partition, dictionaries) }
    }

    /// Bytes of a row in each column on a device.
    fn widths(&self) -> Vec<usize> {
        self.plan.columns.iter().map(|c| c.ty.wide_bytes() + 1).collect()
    }
}

/// The rows of a partition of what lies below an upload.
fn read(
    input: &Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    match input.downcast_ref::<StoredScanExec>() {
        Some(scan) => scan.held(partition, context),
        None => input.execute(partition, context),
    }
}

/// Rows of a batch whose columns take `widths` bytes a row: device-sized, but small enough
/// for the buffers and for the free memory of each device that may get it.
pub(crate) fn target_rows(placed: &Placed, widths: &[usize]) -> usize {
    let row: usize = widths.iter().sum();
    let widest = widths.iter().max().copied().unwrap_or(1);
    let rows = placed.members().into_iter().map(|Placed { device, .. }| {
        let by_buffer = device.info().limits.max_buffer_bytes / widest.max(1);
        let by_memory = device.pool().available() / (SHARES * row.max(1));
        by_buffer.min(by_memory)
    });
    rows.fold(DEVICE_ROWS, usize::min).max(LEAST_ROWS)
}

/// The batches of a stream in sizes that suit the device, when columns of `widths` bytes a
/// row go there. On the host they stay as they are, but for empty ones, which go.
pub(crate) fn coalesce(
    input: SendableRecordBatchStream,
    placed: &Placed,
    widths: Vec<usize>,
) -> BoxStream<'static, Result<RecordBatch>> {
    if placed.is_host() {
        return input.try_filter(|batch| std::future::ready(batch.num_rows() > 0)).boxed();
    }
    let target = target_rows(placed, &widths);
    let coalescer = Coalescer { target, pending: Vec::new(), rows: 0 };
    let state = Some((input, coalescer));
    stream::try_unfold(state, |state| async move {
        let Some((mut input, mut coalescer)) = state else { return Ok(None) };
        let batch = input.try_next().await?;
        let (full, state) = match batch {
            Some(batch) => (coalescer.push(batch)?, Some((input, coalescer))),
            None => (coalescer.flush()?.into_iter().collect(), None),
        };
        let full = stream::iter(full.into_iter().map(Ok));
        Ok::<_, DataFusionError>(Some((full, state)))
    })
    .try_flatten()
    .boxed()
}

/// The one child of a node.
///
/// # Errors
/// `Internal` for another number of children.
pub(crate) fn only(
    children: Vec<Arc<dyn ExecutionPlan>>,
    node: &str,
) -> Result<Arc<dyn ExecutionPlan>> {
    let [one]: [_; 1] = children.try_into().map_err(|c: Vec<_>| {
        DataFusionError::Internal(format!("{node} has one input, got {}", c.len()))
    })?;
    Ok(one)
}

/// Batches as they are, made device batches on the reader's own thread: there is no copy to
/// overlap with anything.
fn pass(
    input: SendableRecordBatchStream,
    mut uploader: Uploader,
) -> BoxStream<'static, Result<Uploaded>> {
    let rows = input.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
    rows.map_ok(move |host| {
        let device = uploader.upload(&host);
        Uploaded { host: Some(host), device }
    })
    .boxed()
}

/// Uploads batches of a size that suits the device, and sends them until the reader is gone.
async fn drive(
    mut rows: BoxStream<'static, Result<RecordBatch>>,
    mut uploader: Uploader,
    send: &mpsc::Sender<Result<Uploaded>>,
) -> Result<()> {
    while let Some(batch) = rows.next().await {
        match uploader.send(batch?, send).await? {
            Some(u) => uploader = u,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Gathers small batches into device-sized ones, and cuts large ones.
struct Coalescer {
    /// Rows of a full batch.
    target: usize,
    pending: Vec<RecordBatch>,
    rows: usize,
}

impl Coalescer {
    /// Takes a batch; returns the batches that are full.
    fn push(&mut self, mut batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        let mut full = Vec::new();
        while self.rows + batch.num_rows() >= self.target {
            let head = self.target - self.rows;
            let rest = batch.slice(head, batch.num_rows() - head);
            self.add(batch.slice(0, head));
            full.extend(self.flush()?);
            batch = rest;
        }
        self.add(batch);
        Ok(full)
    }

    fn add(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.rows += batch.num_rows();
            self.pending.push(batch);
        }
    }

    /// What is pending, as one batch.
    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        self.rows = 0;
        let pending = std::mem::take(&mut self.pending);
        Ok(match pending.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first, ..] => Some(concat_batches(&first.schema(), &pending)?),
        })
    }
}

/// Uploads batches, one after the other, on a queue of its own.
pub(crate) struct Uploader {
    pub(super) placed: Placed,
    plan: Arc<InputPlan>,
    dictionaries: Arc<DictionarySet>,
    metrics: DeviceMetrics,
    columns: ColumnMetrics,
    /// Where the columns stay, for batches of a table in memory.
    kept: Option<Arc<KeptColumns>>,
    queue: Option<Box<dyn Queue>>,
}

impl Uploader {
    /// One for the same batches on one of the devices that share them.
    pub(crate) fn on(&self, placed: &Placed) -> Self {
        Self {
            placed: placed.clone(),
            plan: Arc::clone(&self.plan),
            dictionaries: Arc::clone(&self.dictionaries),
            metrics: self.metrics.clone(),
            columns: self.columns.clone(),
            kept: self.kept.clone(),
            queue: None,
        }
    }

    /// Whether the columns of a batch of so many rows stay.
    pub(crate) fn keeps(&self, rows: usize) -> bool {
        self.kept.is_some() && KeptColumns::takes(rows)
    }

    /// One for parts of the batches, of which nothing stays.
    pub(crate) fn of_parts(&self) -> Self {
        Self { kept: None, ..self.on(&self.placed) }
    }

    /// The device that keeps most of what is to be uploaded of a batch.
    pub(crate) fn home(&self, batch: &RecordBatch) -> Option<DeviceName> {
        let kept = self.kept.as_ref()?;
        let columns = self.plan.columns.iter().filter_map(|c| batch.columns().get(c.source));
        kept.home(&columns.collect::<Vec<_>>())
    }

    /// Uploads a batch and sends it; `None` when the reader is gone.
    async fn send(
        mut self,
        host: RecordBatch,
        send: &mpsc::Sender<Result<Uploaded>>,
    ) -> Result<Option<Self>> {
        // The place in the channel comes first: no more than one batch ahead of the reader.
        let Ok(permit) = send.reserve().await else { return Ok(None) };
        let placed = self.placed.clone();
        let (this, item) = placed
            .run(move || {
                let device = self.upload(&host);
                (self, Uploaded { host: Some(host), device })
            })
            .await?;
        permit.send(Ok(item));
        Ok(Some(this))
    }

    /// Uploads a batch and waits for it.
    ///
    /// # Errors
    /// The device's, and `Unsupported` where a dictionary passes its limits.
    pub(crate) fn upload(&mut self, host: &RecordBatch) -> Result<DeviceBatch, KernelError> {
        let device = &self.placed.device;
        if let Some(reason) = self.placed.inventory.lost(&device.info().name) {
            let device = device.info().name.clone();
            return Err(DeviceError::Lost { device, reason }.into());
        }
        let began = Instant::now();
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(device.queue()?),
        };
        let (plan, dictionaries) = (&self.plan, &self.dictionaries);
        let rows = host.num_rows();
        let kept = self.kept.as_ref().filter(|_| KeptColumns::takes(rows));
        let (batch, bytes) = match kept {
            Some(kept) => {
                let (batch, new) =
                    upload_kept(&**device, &mut **queue, host, plan, dictionaries, kept)?;
                let bytes = self.columns.add(&batch, |column| new[column]);
                (batch, bytes)
            }
            None => {
                let batch = upload_one(&self.placed, &mut **queue, host, plan, dictionaries)?;
                let bytes = self.columns.add(&batch, |_| true);
                (batch, bytes)
            }
        };
        self.metrics.transfer(&self.placed, "upload", began, (rows, bytes));
        self.metrics.baseline.record_output(rows);
        Ok(batch)
    }
}

/// Uploads one batch and waits for it, so that any queue may read it.
pub(crate) fn upload_one(
    placed: &Placed,
    queue: &mut dyn Queue,
    host: &RecordBatch,
    plan: &InputPlan,
    dictionaries: &DictionarySet,
) -> Result<DeviceBatch, KernelError> {
    let device = &*placed.device;
    let bytes = if placed.is_host() { 0 } else { upload_bytes(host, plan) };
    let mut reservation = device.pool().reserve(bytes)?;
    let batch = upload(device, queue, &mut reservation, host, plan, dictionaries)?;
    queue.synchronize()?;
    Ok(batch)
}

impl DisplayAs for DeviceUploadExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.plan.columns.iter().map(|c| c.name.as_str()).collect();
        let device = self.placed.name();
        write!(f, "DeviceUploadExec: device={device}, columns=[{}]", columns.join(", "))
    }
}

impl ExecutionPlan for DeviceUploadExec {
    fn name(&self) -> &'static str {
        "DeviceUploadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: only(children, self.name())?,
            placed: self.placed.clone(),
            plan: Arc::clone(&self.plan),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::recompute(self, children)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&input[0]))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};

    use super::*;

    fn rows(n: usize) -> RecordBatch {
        let column: Int64Array = (0..n as i64).collect();
        RecordBatch::try_from_iter([("a", Arc::new(column) as _)]).unwrap()
    }

    fn sizes(target: usize, batches: &[usize]) -> Vec<usize> {
        let mut coalescer = Coalescer { target, pending: Vec::new(), rows: 0 };
        let mut out = Vec::new();
        for n in batches {
            out.extend(coalescer.push(rows(*n)).unwrap());
        }
        out.extend(coalescer.flush().unwrap());
        out.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn small_batches_are_gathered_and_large_ones_cut() {
        assert_eq!(sizes(10, &[3, 3, 3]), [9]);
        assert_eq!(sizes(10, &[3, 7, 0, 1]), [10, 1]);
        assert_eq!(sizes(10, &[25, 4, 1]), [10, 10, 10]);
        assert_eq!(sizes(10, &[0]), [0; 0]);
    }
}
