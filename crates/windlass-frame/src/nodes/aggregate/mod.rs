//! Group-by with the chain below it fused in.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use windlass_runtime::Pace;

use self::{
    run::{Again, Input, Output, Run, Worker},
    shared::Shared,
    spilled::Divided,
};
use super::{
    DeviceItem, DeviceNode, DeviceStream, HostChain, Placed, Uploaded, download::to_host,
    metrics::DeviceMetrics,
};
use crate::{batch::DictionarySet, lower::AggregatePlan};

mod exchange;
mod run;
mod shared;
mod spilled;

pub(crate) use shared::can_share;

/// What an aggregation on a device stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `AggregateExec` of mode Partial: gives states, a partition at a time.
    Partial,
    /// `AggregateExec` of mode Single or SinglePartitioned: gives final values, a partition
    /// at a time.
    Single,
    /// Final over Partial with the exchange between them: reads all partitions, gives final
    /// values in one.
    Merged,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partial => "Partial",
            Self::Single => "Single",
            Self::Merged => "Merged",
        })
    }
}

/// A group-by whose filters, keys and arguments are one generated kernel, with its table on
/// the device.
///
/// ```text
///   AggregateExec Final
///   RepartitionExec               ─►  DeviceAggregateExec: [filter, project, group by]
///   AggregateExec Partial             DeviceUploadExec
///   ProjectionExec                    (source)
///   FilterExec
///   (source)
/// ```
///
/// Devices that share its batches have a table each; groups that do not fit on each of them are
/// divided among them by their keys.
///
/// The groups come out on the host. Where they do not fit in the device's memory, or in what is
/// left of the memory limit, the rows are read again and go to disk by their keys. When the
/// device fails otherwise, the CPU operators start again from the source; where only one of
/// several partitions is aggregated here the source cannot be read again (its partitions share
/// their work), nor where a join on the device gives the rows, and the node fails with
/// [`DeviceFailure`](super::DeviceFailure).
#[derive(Debug)]
pub struct DeviceAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    placed: Placed,
    chain: Arc<HostChain>,
    plan: Arc<AggregatePlan>,
    stage: Stage,
    expected_groups: usize,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    dictionaries: OnceLock<Arc<DictionarySet>>,
    /// Times that the rows were divided by their keys already.
    round: usize,
    pace: Arc<Pace>,
    metrics: ExecutionPlanMetricsSet,
}

impl DeviceAggregateExec {
    /// `plan` is what `chain` was lowered to; `input`, a [`super::DeviceUploadExec`], a
    /// [`super::ResidentHashJoinExec`] or a [`super::ResidentExec`], gives what it reads. `expected_groups` sizes the first table (0: not known). `limit`: no
    /// more groups than these are wanted.
    ///
    /// # Errors
    /// DataFusion's, when the chain does not suit the input.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        chain: Arc<HostChain>,
        plan: Arc<AggregatePlan>,
        stage: Stage,
        expected_groups: usize,
        limit: Option<usize>,
    ) -> Result<Self> {
        let source = super::source::of(&input)?;
        let host = chain.over(Arc::clone(source.host()))?;
        let mut properties = PlanProperties::clone(host.properties());
        if stage == Stage::Merged {
            properties = properties.with_partitioning(Partitioning::UnknownPartitioning(1));
        }
        let (placed, properties) = (source.placed().clone(), Arc::new(properties));
        let (dictionaries, metrics) = (OnceLock::new(), ExecutionPlanMetricsSet::new());
        Ok(Self {
            input,
            placed,
            chain,
            plan,
            stage,
            expected_groups,
            limit,
            properties,
            dictionaries,
            round: 0,
            pace: Arc::default(),
            metrics,
        })
    }

    /// The same, for this reason on its device.
    pub(crate) fn because(mut self, reason: Arc<str>) -> Self {
        self.placed.reason = reason;
        self
    }

    /// The CPU operators that it stands for.
    pub fn chain(&self) -> &HostChain {
        &self.chain
    }

    /// What the device runs.
    pub fn plan(&self) -> &AggregatePlan {
        &self.plan
    }

    /// What it stands for.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The CPU operators and their source, where they can start again.
    fn again(&self) -> Result<Option<Again>> {
        let Some(source) = super::source::of(&self.input)?.again() else { return Ok(None) };
        let partitions = source.output_partitioning().partition_count();
        let can = self.stage == Stage::Merged || partitions == 1;
        Ok(can.then(|| (Arc::clone(&self.chain), Arc::clone(source))))
    }

    /// The partitions of the input that a partition of the output reads.
    fn uploads(
        &self,
        partition: usize,
        context: &Arc<TaskContext>,
        dictionaries: &Arc<DictionarySet>,
    ) -> Result<Vec<BoxStream<'static, Result<Uploaded>>>> {
        let source = super::source::of(&self.input)?;
        let one = |p| source.batches(p, Arc::clone(context), Arc::clone(dictionaries));
        if self.stage != Stage::Merged {
            return Ok(vec![one(partition)?]);
        }
        let partitions = source.host().output_partitioning().partition_count();
        (0..partitions).map(one).collect()
    }
}

impl DeviceNode for DeviceAggregateExec {
    fn placed(&self) -> &Placed {
        &self.placed
    }

    fn execute_on_device(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<DeviceStream> {
        let source = super::source::of(&self.input)?;
        let dictionaries = source.dictionaries(&self.plan.tables, &self.dictionaries);
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        let output = Output {
            plan: Arc::clone(&self.plan),
            stage: self.stage,
            schema: self.schema(),
            dictionaries: Arc::clone(&dictionaries),
            metrics,
        };
        let input = match Shared::of(self, &output, partition, &context)? {
            Some(shared) => Input::Shared(Box::new(shared)),
            None => Input::Uploads(self.uploads(partition, &context, &dictionaries)?),
        };
        let placed = match &input {
            Input::Shared(_) => self.placed.clone(),
            Input::Uploads(_) => self.placed.on(&self.placed.device),
        };
        let run = Run { worker: Worker::new(&placed, output, self.expected_groups), input };
        let again = self.again()?;
        let limit = self.limit.unwrap_or(usize::MAX);
        let divided = match &again {
            Some(again) => Divided::of(self, again)?,
            None => None,
        };
        let items = stream::once(run.finish(again, divided, partition, context)).try_flatten();
        // No more groups than wanted; which of them is free.
        let items = items.scan(limit, |left, item| {
            future::ready(match item {
                Ok(_) if *left == 0 => None,
                Ok(batch) => {
                    let batch = batch.slice(0, batch.num_rows().min(*left));
                    *left -= batch.num_rows();
                    Some(Ok(DeviceItem::Host(batch)))
                }
                Err(e) => Some(Err(e)),
            })
        });
        Ok(items.boxed())
    }
}

impl DisplayAs for DeviceAggregateExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, fused) = (self.placed.name(), self.chain.lines().join("; "));
        write!(f, "DeviceAggregateExec: device={device}, stage={}, fused=[{fused}]", self.stage)
    }
}

impl ExecutionPlan for DeviceAggregateExec {
    fn name(&self) -> &'static str {
        "DeviceAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        Ok(Arc::new(Self::try_new(
            super::upload::only(children, self.name())?,
            Arc::clone(&self.chain),
            Arc::clone(&self.plan),
            self.stage,
            self.expected_groups,
            self.limit,
        )?))
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
        self.chain.apply_expressions(f)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let items = self.execute_on_device(partition, Arc::clone(&context))?;
        let metrics = DeviceMetrics::new(&self.metrics, partition);
        Ok(to_host(items, self.schema(), metrics, &context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        let merged = self.stage == Stage::Merged;
        vec![ChildStats::At(if merged { None } else { partition })]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match self.stage {
            Stage::Merged => self.chain.statistics(&input[0], &StatisticsArgs::new()),
            _ => self.chain.statistics(&input[0], args),
        }
    }
}
