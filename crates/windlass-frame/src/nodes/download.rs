//! Device batches to record batches.

use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, RecordBatchOptions},
    datatypes::{ByteViewType, DataType, SchemaRef},
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};
use windlass_device::{DeviceName, Queue};
use windlass_kernels::KernelError;

use super::{
    DeviceFailure, DeviceItem, DeviceNode, DeviceStream, Placed, as_device_node,
    metrics::{DeviceMetrics, batch_bytes},
};
use crate::batch::download;

/// The node's name, in errors and events.
const OPERATOR: &str = "DeviceDownloadExec";

/// Brings the rows of a device node to the host, in batches of DataFusion's size.
///
/// ```text
///   CPU operators ◄─ record batches ─ DeviceDownloadExec ◄─ device batches ─ device node
/// ```
#[derive(Debug)]
pub struct DeviceDownloadExec {
    input: Arc<dyn ExecutionPlan>,
    placed: Placed,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceDownloadExec {
    /// Above a device node.
    ///
    /// # Errors
    /// `Internal` when `input` is no device node.
    pub fn try_new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let placed = node(&input)?.placed().clone();
        Ok(Self { input, placed, metrics: ExecutionPlanMetricsSet::new() })
    }

    /// The device node below.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Where it reads from.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }
}

fn node(plan: &Arc<dyn ExecutionPlan>) -> Result<&dyn DeviceNode> {
    as_device_node(&**plan).ok_or_else(|| {
        DataFusionError::Internal(format!("a download needs a device node, got {}", plan.name()))
    })
}

impl DisplayAs for DeviceDownloadExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceDownloadExec: device={}", self.placed.name())
    }
}

impl ExecutionPlan for DeviceDownloadExec {
    fn name(&self) -> &'static str {
        "DeviceDownloadExec"
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
        Ok(Arc::new(Self::try_new(super::upload::only(children, self.name())?)?))
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
        let items = node(&self.input)?.execute_on_device(partition, Arc::clone(&context))?;
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        Ok(to_host(items, self.schema(), metrics, &context))
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

/// The items as record batches of DataFusion's size.
pub(crate) fn to_host(
    items: DeviceStream,
    schema: SchemaRef,
    metrics: DeviceMetrics,
    context: &Arc<TaskContext>,
) -> SendableRecordBatchStream {
    let rows = context.session_config().batch_size();
    let reader = Reader { schema: Arc::clone(&schema), metrics, queue: None };
    let state = (items, reader);
    let batches = stream::try_unfold(state, move |(mut items, mut reader)| async move {
        let Some(item) = items.try_next().await? else { return Ok(None) };
        let batches = reader.read(item).await?;
        let pieces: Vec<Result<RecordBatch>> =
            batches.into_iter().flat_map(|b| slices(b, rows)).map(Ok).collect();
        Ok::<_, DataFusionError>(Some((stream::iter(pieces), (items, reader))))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
}

/// A batch in pieces of at most `rows` rows; an empty one gives none.
pub(crate) fn slices(batch: RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    let total = batch.num_rows();
    let starts = (0..total).step_by(rows.max(1));
    starts.map(move |start| compacted(batch.slice(start, rows.min(total - start))))
}

/// Bytes of texts that a batch may hold beside its own. A guess: few against what a batch of
/// DataFusion's size has, and below it a copy is not worth its while.
const IDLE_BYTES: usize = 64 << 10;

/// A batch whose columns of text views hold little more than its own texts. Rows that were
/// picked from many batches hold the texts of all of them: who keeps, counts or writes a
/// batch would do so for each.
fn compacted(batch: RecordBatch) -> RecordBatch {
    fn views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Option<ArrayRef> {
        let held: usize = array.data_buffers().iter().map(|b| b.len()).sum();
        let idle = held > IDLE_BYTES && held - IDLE_BYTES > 2 * array.total_buffer_bytes_used();
        idle.then(|| Arc::new(array.gc()) as ArrayRef)
    }
    let compact = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => views(column.as_string_view()),
        DataType::BinaryView => views(column.as_binary_view()),
        _ => None,
    };
    let mut columns = Vec::new();
    for (at, column) in batch.columns().iter().enumerate() {
        if let Some(column) = compact(column) {
            columns.push((at, column));
        }
    }
    if columns.is_empty() {
        return batch;
    }
    let (schema, mut all, rows) = batch.into_parts();
    for (at, column) in columns {
        all[at] = column;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, all, &options)
        .expect("columns of the same types and lengths")
}

/// Reads batches back, one after the other, on a queue of its own.
struct Reader {
    schema: SchemaRef,
    metrics: DeviceMetrics,
    queue: Option<(DeviceName, Box<dyn Queue>)>,
}

impl Reader {
    async fn read(&mut self, item: DeviceItem) -> Result<Vec<RecordBatch>> {
        let (batch, outputs, dictionaries, origin, placed) = match item {
            DeviceItem::Host(batch) => {
                self.metrics.output(batch.num_rows(), batch.get_array_memory_size());
                return Ok(vec![batch]);
            }
            DeviceItem::Device { batch, outputs, dictionaries, origin, placed } => {
                (batch, outputs, dictionaries, origin, placed)
            }
        };
        let (schema, metrics) = (Arc::clone(&self.schema), self.metrics.clone());
        // A queue is of one device; where several share the batches, the last one's is kept.
        let same = |(name, _): &(DeviceName, _)| *name == placed.device.info().name;
        let mut queue = self.queue.take().filter(same).map(|(_, queue)| queue);
        let of = placed.clone();
        let (queue, result) = of
            .run(move || {
                let name = placed.device.info().name.clone();
                let result = (|| {
                    let began = Instant::now();
                    let queue = match &mut queue {
                        Some(queue) => queue,
                        none => none.insert(placed.device.queue()?),
                    };
                    let host = download(&mut **queue, &batch, &outputs, &schema, &dictionaries)?;
                    let bytes = batch_bytes(&batch);
                    metrics.downloaded(bytes);
                    metrics.transfer(&placed, "download", began, (batch.rows, bytes));
                    Ok::<_, KernelError>(host)
                })();
                (queue.map(|queue| (name, queue)), result)
            })
            .await?;
        let batches = match result {
            Ok(batch) => {
                self.queue = queue;
                vec![batch]
            }
            Err(e) => {
                self.metrics.fallback(&of, OPERATOR, &e);
                let Some(origin) = origin else {
                    let device = of.name();
                    return Err(DeviceFailure { device, operator: OPERATOR, source: e }.into());
                };
                origin.compute().await?
            }
        };
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        self.metrics.output(rows, bytes);
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn pieces_do_not_hold_the_texts_of_the_whole() {
        let text = |i: i64| format!("a text that is too long for a view, {i:08}");
        let rows = 20_000;
        let texts: StringViewArray = (0..rows).map(|i| (i % 7 != 0).then(|| text(i))).collect();
        let numbers = Int64Array::from_iter_values(0..rows);
        let columns: [(&str, ArrayRef); 2] = [("t", Arc::new(texts)), ("n", Arc::new(numbers))];
        let whole = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )
        .expect("a batch");
        let pieces: Vec<RecordBatch> = slices(whole.clone(), 1000).collect();
        assert_eq!(pieces.len(), 20);
        for (i, piece) in pieces.iter().enumerate() {
            assert_eq!(*piece, whole.slice(i * 1000, 1000));
            let held: usize =
                piece.column(0).as_string_view().data_buffers().iter().map(|b| b.len()).sum();
            assert!(held <= 2 * 1000 * text(0).len(), "{held}");
        }
    }
}
