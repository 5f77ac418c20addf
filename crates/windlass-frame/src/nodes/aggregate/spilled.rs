//! An aggregation whose groups do not fit in memory: its rows in files by the hash of their
//! keys, then an aggregation for each file. What is still too large is divided again by other
//! hashes; groups that are too large by themselves are left to DataFusion's operator, which
//! sorts them on disk.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        aggregates::AggregateExec,
        execution_plan::reset_plan_states,
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{DeviceAggregateExec, Stage, run::Again};
use crate::{
    lower::Lowering,
    nodes::{DeviceUploadExec, HostChain, Placed},
    spill::rows::{self, Divider, Dividing, FAN_OUT, LEAST_ROWS, ROUNDS, SpilledRows},
};

/// How an aggregation that did not fit goes through files.
pub(super) struct Divided {
    placed: Placed,
    stage: Stage,
    /// The operators from the lowest aggregation up.
    chain: Arc<HostChain>,
    /// What that reads.
    source: Arc<dyn ExecutionPlan>,
    divider: Divider,
    round: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl Divided {
    /// For what the node stands for, over its source; `None` where it cannot be divided.
    pub(super) fn of(node: &DeviceAggregateExec, again: &Again) -> Result<Option<Self>> {
        let (chain, source) = again;
        let nodes = chain.nodes();
        let lowest = nodes.iter().position(|n| n.is::<AggregateExec>());
        let Some(lowest) = lowest.filter(|_| node.round < ROUNDS && node.stage != Stage::Partial)
        else {
            return Ok(None);
        };
        let Some(aggregate) = nodes[lowest].downcast_ref::<AggregateExec>() else {
            return Ok(None);
        };
        let keys = aggregate.group_expr().input_exprs();
        if keys.is_empty() {
            return Ok(None);
        }
        let source = match lowest {
            0 => Arc::clone(source),
            _ => HostChain::new(nodes[..lowest].to_vec()).over(Arc::clone(source))?,
        };
        let schema = source.schema();
        let types = keys.iter().map(|k| k.data_type(&schema)).collect::<Result<Vec<_>>>()?;
        Ok(Some(Self {
            placed: node.placed.clone(),
            stage: node.stage,
            chain: Arc::new(HostChain::new(nodes[lowest..].to_vec())),
            source,
            divider: Divider::new(keys, &types, node.round),
            round: node.round + 1,
            metrics: node.metrics.clone(),
        }))
    }

    /// The groups, file after file.
    pub(super) async fn groups(
        self,
        context: Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        // What lies below has given rows already.
        let source = reset_plan_states(Arc::clone(&self.source))?;
        let schema = source.schema();
        let partitions = source.output_partitioning().partition_count();
        let mut tasks = Vec::with_capacity(partitions);
        for partition in 0..partitions {
            let mut input = source.execute(partition, Arc::clone(&context))?;
            let counts = SpillMetrics::new(&self.metrics, partition);
            let env = context.runtime_env();
            let mut to = Dividing::new(self.divider.clone(), &schema, &env, counts);
            tasks.push(SpawnedTask::spawn(async move {
                while let Some(batch) = input.try_next().await? {
                    to.push(&batch)?;
                }
                to.finish()
            }));
        }
        // The files of one task are read by one task again.
        let mut files: Vec<Vec<Vec<SpilledRows>>> = vec![Vec::new(); FAN_OUT];
        for task in tasks {
            let part = task.join_unwind().await;
            let part = part.map_err(|e| DataFusionError::External(Box::new(e)))??;
            files.iter_mut().zip(part).for_each(|(files, file)| {
                files.extend(file.map(|file| vec![file]));
            });
        }
        tracing::debug!(round = self.round, "the rows of an aggregation went to disk");
        files.retain(|parts| !parts.is_empty());
        let groups = stream::iter(files).map(move |parts| {
            let rows: usize = parts.iter().flatten().map(|f| f.rows).sum();
            let mut node = self.over(rows::source(&schema, parts)?)?;
            if rows < LEAST_ROWS {
                node.round = ROUNDS;
            }
            node.execute(0, Arc::clone(&context))
        });
        Ok(groups.try_flatten().boxed())
    }

    /// The aggregation of some of the rows.
    fn over(&self, source: Arc<dyn ExecutionPlan>) -> Result<DeviceAggregateExec> {
        let lowest = self.chain.nodes()[0].downcast_ref::<AggregateExec>();
        let lowest = lowest.ok_or_else(|| internal("an aggregation begins its chain"))?;
        let plan = Lowering::new(source.schema())
            .aggregate(lowest)
            .map_err(|e| internal(&format!("an aggregation was lowered before: {e}")))?;
        let upload = DeviceUploadExec::new(source, self.placed.clone(), plan.input.clone());
        let (upload, chain) = (Arc::new(upload), Arc::clone(&self.chain));
        // How many groups there are is not known.
        let mut node =
            DeviceAggregateExec::try_new(upload, chain, Arc::new(plan), self.stage, 0, None)?;
        node.round = self.round;
        node.metrics = self.metrics.clone();
        Ok(node)
    }
}

fn internal(text: &str) -> DataFusionError {
    DataFusionError::Internal(text.to_string())
}
