//! Nodes over inputs that were placed: what must change so that they still fit.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result},
    physical_expr::{PhysicalSortExpr, projection::update_expr},
    physical_plan::{
        ChildrenPropertiesMode, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        ReplaceChildrenOptions,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        limit::{GlobalLimitExec, LocalLimitExec},
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        union::InterleaveExec,
    },
};

use super::segment;
use crate::nodes::{
    DeviceAggregateExec, DeviceDownloadExec, DevicePipelineExec, DeviceSortExec, DeviceUploadExec,
    ResidentExec, SharedExec,
};

/// For a merge of partitions that a device other than the host sorted one by one, the sort
/// of all their rows, and its device; what only picks columns in between stays above it. The
/// host sorts its partitions side by side.
pub(super) fn whole_sort(
    merge: &Arc<dyn ExecutionPlan>,
    sorted: &Arc<dyn ExecutionPlan>,
) -> Result<Option<(Arc<dyn ExecutionPlan>, String)>> {
    let Some(merge) = merge.downcast_ref::<SortPreservingMergeExec>() else { return Ok(None) };
    let mut order: Vec<PhysicalSortExpr> = merge.expr().iter().cloned().collect();
    let (mut picks, mut below) = (Vec::new(), sorted);
    while let Some(pick) = below.downcast_ref::<ProjectionExec>() {
        for key in &mut order {
            key.expr = update_expr(&key.expr, pick.expr(), true)?
                .ok_or_else(|| internal("a merge reads a column that is not there"))?;
        }
        picks.push(below);
        below = pick.input();
    }
    let download = below.downcast_ref::<DeviceDownloadExec>();
    let resident = download.and_then(|d| d.input().downcast_ref::<ResidentExec>());
    let below = resident.map_or(below, ResidentExec::host);
    let Some(node) = below.downcast_ref::<DeviceSortExec>() else { return Ok(None) };
    let (sort, placed) = (node.sort(), node.placed());
    if placed.is_host() || !sort.expr().iter().eq(&order) {
        return Ok(None);
    }
    let rows = Arc::new(CoalescePartitionsExec::new(Arc::clone(sort.input())));
    let fetch = [merge.fetch(), sort.fetch()].into_iter().flatten().min();
    let whole = SortExec::new(sort.expr().clone(), rows).with_fetch(fetch);
    let whole: Arc<dyn ExecutionPlan> =
        Arc::new(DeviceSortExec::new(Arc::new(whole), placed.clone()));
    let whole = match resident.and_then(|rows| rows.whole(Arc::clone(&whole), fetch)) {
        Some(rows) => Arc::new(DeviceDownloadExec::try_new(Arc::new(rows?))?),
        None => whole,
    };
    let options = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let plan = picks
        .into_iter()
        .rev()
        .try_fold(whole, |plan, pick| Arc::clone(pick).replace_children(vec![plan], options()))?;
    Ok(Some((plan, placed.name())))
}

fn internal(text: &str) -> DataFusionError {
    DataFusionError::Internal(text.to_string())
}

/// A node over new children. An aggregation that was merged has one partition: where the
/// node counts on more, they are made again.
pub(super) fn with_children(
    plan: &Arc<dyn ExecutionPlan>,
    old: Vec<Arc<dyn ExecutionPlan>>,
    new: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if old.iter().zip(&new).all(|(a, b)| Arc::ptr_eq(a, b)) {
        return Ok(Arc::clone(plan));
    }
    let mut children = Vec::with_capacity(new.len());
    let (distributions, orders) =
        (plan.input_distribution_requirements(), plan.required_input_ordering());
    for (at, (old, new)) in old.iter().zip(new).enumerate() {
        let partitions = old.output_partitioning().partition_count();
        let other = new.output_partitioning().partition_count() != partitions;
        let by_key =
            matches!(distributions.child_distribution(at), Some(Distribution::KeyPartitioned(_)))
                || plan.is::<InterleaveExec>();
        let by_key = by_key && matches!(old.output_partitioning(), Partitioning::Hash(..));
        let ordered = orders.get(at).is_some_and(Option::is_some);
        let any = takes_any_partitions(plan);
        children.push(if by_key && !(any && one(&new)) {
            segment::exchanged(old, new, ordered)?
        } else if other && !any {
            Arc::new(RepartitionExec::try_new(new, Partitioning::RoundRobinBatch(partitions))?)
        } else {
            new
        });
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(children, options)
}

fn one(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.output_partitioning().partition_count() == 1
}

/// Whether a node works alike over one partition and over several, and tells no one above
/// a number of partitions that matters.
fn takes_any_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    segment::is_step(plan)
        || plan.is::<AggregateExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<DeviceDownloadExec>()
        || plan.is::<DevicePipelineExec>()
        || plan.is::<DeviceAggregateExec>()
        || plan.is::<DeviceSortExec>()
        || plan.is::<DeviceUploadExec>()
        || plan.is::<SharedExec>()
}
