//! Scans that give columns as their files hold them: texts as codes, decimals as integers.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, SchemaRef},
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

/// A scan of files that hold texts as codes of dictionaries, or decimals as integers of up to
/// 64 bits, read as such: an upload above takes them so. Each text is looked at once for each
/// dictionary, not for each row, and a decimal has 8 bytes, not 16.
///
/// ```text
///   DeviceUploadExec                   DeviceUploadExec
///   DataSourceExec:             ─►     StoredScanExec: coded=[t], narrow=[d]
///     [t: text, d: decimal(12,2)]      │ passes codes and integers to the upload,
///                                      │ texts and 128-bit decimals to all others
///                                      DataSourceExec: [t: codes, d: 64 bits]
/// ```
#[derive(Debug)]
pub struct StoredScanExec {
    scan: Arc<dyn ExecutionPlan>,
    /// Of the scan in whose place it stands.
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StoredScanExec {
    /// `scan` gives the columns of `plain`, a scan that it stands for, some of them as their
    /// files hold them.
    pub fn new(scan: Arc<dyn ExecutionPlan>, plain: &Arc<dyn ExecutionPlan>) -> Self {
        Self { scan, properties: Arc::clone(plain.properties()), metrics: Default::default() }
    }

    /// The columns that it gives as codes, and those that it gives as integers.
    fn columns(&self) -> [Vec<String>; 2] {
        let (held, plain) = (self.scan.schema(), self.schema());
        let differ = held.fields().iter().zip(plain.fields());
        let differ = differ.filter(|(held, plain)| held.data_type() != plain.data_type());
        let coded = |ty: &DataType| matches!(ty, DataType::Dictionary(..));
        let (codes, narrow): (Vec<_>, Vec<_>) = differ.partition(|(h, _)| coded(h.data_type()));
        [codes, narrow].map(|c| c.into_iter().map(|(_, plain)| plain.name().clone()).collect())
    }

    /// Why it stands there.
    pub(crate) fn reason(&self) -> String {
        let [codes, narrow] = self.columns().map(|c| !c.is_empty());
        let what = match (codes, narrow) {
            (true, true) => "texts as codes and these decimals as integers",
            (false, true) => "decimals as integers",
            (_, false) => "texts as codes",
        };
        format!("its files hold these {what}")
    }

    /// The scan that gives columns as the files hold them.
    pub fn scan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.scan
    }

    /// The rows of a partition, texts as dictionary arrays and decimals as 64-bit ones.
    ///
    /// # Errors
    /// Those of executing the scan.
    pub fn held(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let held = self.scan.execute(partition, context)?;
        let schema = held.schema();
        let held = held.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, held)))
    }
}

/// Columns as the types of `schema` say: codes as texts, narrow decimals as wide ones.
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

impl DisplayAs for StoredScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [codes, narrow] = self.columns();
        let named = [("coded", codes), ("narrow", narrow)];
        let named = named.iter().filter(|(_, columns)| !columns.is_empty());
        let named = named.map(|(what, columns)| format!("{what}=[{}]", columns.join(", ")));
        write!(f, "StoredScanExec: {}", named.collect::<Vec<_>>().join(", "))
    }
}

impl ExecutionPlan for StoredScanExec {
    fn name(&self) -> &'static str {
        "StoredScanExec"
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
        let properties = Arc::clone(&self.properties);
        Ok(Arc::new(Self { scan, properties, metrics: Default::default() }))
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
        let held = self.held(partition, context)?;
        let plain = {
            let schema = Arc::clone(&schema);
            held.and_then(move |batch| std::future::ready(decoded(&batch, &schema)))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, plain)))
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
