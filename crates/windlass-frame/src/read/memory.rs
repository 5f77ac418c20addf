//! Rows in memory that count as read. DataFusion's scans of files count their rows; its
//! source of batches in memory (`VALUES`, tables created in memory, cached frames) does not.

use std::{fmt, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::{
    common::{
        Result, Statistics,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    config::ConfigOptions,
    datasource::{
        memory::MemorySourceConfig,
        source::{DataSource, DataSourceExec},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, projection::ProjectionExprs,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayFormatType, ExecutionPlan,
        execution_plan::SchedulingType,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

/// Makes each scan of memory count its rows. It changes nothing else, so it may stand
/// anywhere after the rules that look into such scans.
#[derive(Debug)]
pub(crate) struct CountRowsInMemory;

impl PhysicalOptimizerRule for CountRowsInMemory {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            let scan = node.downcast_ref::<DataSourceExec>();
            let source = scan.map(DataSourceExec::data_source);
            Ok(match source.filter(|s| s.is::<MemorySourceConfig>()) {
                Some(source) => {
                    let counted = Counted::over(Arc::clone(source));
                    Transformed::yes(Arc::new(DataSourceExec::new(counted)) as _)
                }
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "CountRowsInMemory"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A source with figures.
#[derive(Debug)]
struct Counted {
    source: Arc<dyn DataSource>,
    metrics: ExecutionPlanMetricsSet,
}

/// Rows of a batch of a table in memory from which on it is not gathered with others: at four
/// bytes a row a copy has reached most of a link's rate. A guess.
pub(crate) const WHOLE_ROWS: usize = 1 << 16;

/// A partition of a table in memory as the table holds it, with its figures; `None` where its
/// batches are many and small, or `plan` reads no table in memory. DataFusion's scan cuts batches
/// to its own size.
pub(crate) fn whole(
    plan: &Arc<dyn ExecutionPlan>,
    partition: usize,
) -> Option<impl Iterator<Item = Result<RecordBatch>> + Send + 'static> {
    let (counted, memory) = in_memory(plan)?;
    let batches = memory.partitions().get(partition)?.clone();
    let large = batches.iter().rev().skip(1).all(|b| b.num_rows() >= WHOLE_ROWS);
    if !large {
        return None;
    }
    let figures = BaselineMetrics::new(&counted.metrics, partition);
    let columns = memory.projection().clone();
    Some(batches.into_iter().map(move |batch| {
        figures.record_output(batch.num_rows());
        match &columns {
            Some(columns) => Ok(batch.project(columns)?),
            None => Ok(batch),
        }
    }))
}

/// The columns of the first batch of a table in memory, whichever partition has it.
pub(crate) fn first_batch(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<ArrayRef>> {
    let (_, memory) = in_memory(plan)?;
    let first = memory.partitions().iter().flatten().find(|b| b.num_rows() > 0)?;
    match memory.projection() {
        Some(columns) => Some(columns.iter().map(|c| Arc::clone(first.column(*c))).collect()),
        None => Some(first.columns().to_vec()),
    }
}

/// A scan of all rows of a table in memory.
fn in_memory(plan: &Arc<dyn ExecutionPlan>) -> Option<(&Counted, &MemorySourceConfig)> {
    let scan = plan.downcast_ref::<DataSourceExec>()?;
    let counted = scan.data_source().downcast_ref::<Counted>()?;
    let memory = counted.source.downcast_ref::<MemorySourceConfig>()?;
    counted.source.fetch().is_none().then_some((counted, memory))
}

impl Counted {
    fn over(source: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        Arc::new(Self { source, metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DataSource for Counted {
    fn open(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let figures = BaselineMetrics::new(&self.metrics, partition);
        let stream = self.source.open(partition, context)?;
        let schema = stream.schema();
        let counted =
            futures::stream::unfold((stream, figures), |(mut stream, figures)| async move {
                let next =
                    std::future::poll_fn(|cx| figures.record_poll(stream.poll_next_unpin(cx)));
                let batch = next.await?;
                Some((batch, (stream, figures)))
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt_as(t, f)
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let other = self.source.repartitioned(
            target_partitions,
            repartition_file_min_size,
            output_ordering,
        )?;
        Ok(other.map(Self::over))
    }

    fn output_partitioning(&self) -> Partitioning {
        self.source.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.source.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.source.scheduling_type()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.source.partition_statistics(partition)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        self.source.with_fetch(limit).map(Self::over)
    }

    fn fetch(&self) -> Option<usize> {
        self.source.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.source.try_swapping_with_projection(projection)?.map(Self::over))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.source.apply_expressions(f)
    }
}
