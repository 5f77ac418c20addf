//! Scans that give texts as the codes in which their files hold them.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;

/// A scan of files that hold texts as codes of dictionaries, read as such: an upload above
/// takes the codes, and each text is looked at once for each dictionary, not for each row.
///
/// ```text
///   DeviceUploadExec                 DeviceUploadExec
///   DataSourceExec: [a: text]   ─►   DictionaryScanExec: [a]        passes codes to the upload,
///                                    DataSourceExec: [a: codes]     texts to all others
/// ```
#[derive(Debug)]
pub struct DictionaryScanExec {
    scan: Arc<dyn ExecutionPlan>,
    columns: Arc<[String]>,
    /// Of the scan of texts.
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DictionaryScanExec {
    /// `scan` gives the columns of `texts`, a scan that it stands for, with those named in
    /// `columns` as dictionary arrays.
    pub fn new(
        scan: Arc<dyn ExecutionPlan>,
        texts: &Arc<dyn ExecutionPlan>,
        columns: Vec<String>,
    ) -> Self {
        let properties = Arc::clone(texts.properties());
        Self { scan, columns: columns.into(), properties, metrics: Default::default() }
    }

    /// The same columns where `scan` stands above the scan of codes and passes its batches,
    /// as `texts` does above the scan of texts.
    pub fn below(self, scan: Arc<dyn ExecutionPlan>, texts: &Arc<dyn ExecutionPlan>) -> Self {
        Self { scan, properties: Arc::clone(texts.properties()), ..self }
    }

    /// The scan that gives codes.
    pub fn scan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.scan
    }

    /// The rows of a partition, its texts as dictionary arrays.
    ///
    /// # Errors
    /// Those of executing the scan.
    pub fn codes(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let codes = self.scan.execute(partition, context)?;
        let schema = codes.schema();
        let codes = codes.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, codes)))
    }
}

/// Columns as the types of `schema` says, codes as texts.
pub(crate) fn decoded(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl DisplayAs for DictionaryScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DictionaryScanExec: coded=[{}]", self.columns.join(", "))
    }
}

impl ExecutionPlan for DictionaryScanExec {
    fn name(&self) -> &'static str {
        "DictionaryScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = super::upload::only(children, self.name())?;
        let (columns, properties) = (Arc::clone(&self.columns), Arc::clone(&self.properties));
        Ok(Arc::new(Self { scan, columns, properties, metrics: Default::default() }))
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
        let schema = self.schema();
        let codes = self.codes(partition, context)?;
        let texts = {
            let schema = Arc::clone(&schema);
            codes.and_then(move |batch| std::future::ready(decoded(&batch, &schema)))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, texts)))
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
