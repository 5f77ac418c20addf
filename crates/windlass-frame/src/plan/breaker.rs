//! Operators that need all rows of an input before they give one: joins, sorts and windows. Each is
//! placed by itself; its keys go to the device, its rows stay on the host.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, Partitioning,
        coalesce_partitions::CoalescePartitionsExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
        repartition::RepartitionExec,
        sorts::sort::SortExec,
    },
};
use windlass_device::Device;
use windlass_kernels::{KernelError, window::aggregate_supported};

use crate::{
    lower::Unsupported,
    nodes::{
        DeviceHashJoinExec, DeviceNestedLoopJoinExec, DeviceSortExec, DeviceWindowExec, JoinKeys,
        PairTest, Placed, WindowPlan, sort::check_sort,
    },
};

/// An operator that can run on a device, with what was lowered for it.
#[derive(Debug, Clone)]
pub(super) enum Breaker {
    Join(JoinKeys),
    NestedLoop(Arc<PairTest>),
    Sort,
    Window(Arc<WindowPlan>),
}

/// What `plan` is.
///
/// # Errors
/// `None` when it is no such operator; the reason when it has no device form.
pub(super) fn find(plan: &Arc<dyn ExecutionPlan>) -> Result<Breaker, Option<Unsupported>> {
    let breaker = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        Breaker::Join(JoinKeys::lower(join).map_err(Some)?)
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        Breaker::NestedLoop(Arc::new(PairTest::lower(join).map_err(Some)?))
    } else if plan.is::<CrossJoinExec>() {
        return Err(Some(Unsupported::new("it keeps every pair, so a device has nothing to test")));
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        check_sort(sort).map_err(Some)?;
        Breaker::Sort
    } else if let Some(window) = WindowPlan::lower(&**plan).map_err(Some)? {
        Breaker::Window(Arc::new(window))
    } else {
        return Err(None);
    };
    if plan.boundedness().is_unbounded() {
        return Err(Some(Unsupported::new("its input has no end")));
    }
    Ok(breaker)
}

impl Breaker {
    /// Whether a device can run it, from its features and limits.
    pub(super) fn supported(&self, device: &dyn Device) -> Result<(), KernelError> {
        match self {
            Self::Join(keys) => {
                keys.left.kernel.supported(device)?;
                keys.right.kernel.supported(device)
            }
            Self::NestedLoop(test) => test.plan().kernel.supported(device),
            Self::Sort => Ok(()),
            Self::Window(window) => {
                window.folds().try_for_each(|(ty, op)| aggregate_supported(device, ty, op))
            }
        }
    }

    /// Whether several devices can share its rows: those of sorts and windows, and those of the
    /// probe side of a join by equal keys.
    pub(super) fn can_share(&self) -> bool {
        !matches!(self, Self::NestedLoop(_))
    }

    /// The device node in the place of `plan`, whose inputs are placed already. With
    /// `collapse` the exchanges below a join go: all partitions share one table.
    pub(super) fn node(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        placed: Placed,
        collapse: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let internal = || DataFusionError::Internal(format!("{} changed its kind", plan.name()));
        Ok(match self {
            Self::Join(keys) => {
                let join = plan.downcast_ref::<HashJoinExec>().ok_or_else(internal)?;
                let join = match collapse {
                    true => sharing(join)?,
                    false => join.builder().build()?,
                };
                Arc::new(DeviceHashJoinExec::new(join, placed, keys.clone()))
            }
            Self::NestedLoop(test) => {
                let join = plan.downcast_ref::<NestedLoopJoinExec>().ok_or_else(internal)?;
                Arc::new(DeviceNestedLoopJoinExec::try_new(join, placed, Arc::clone(test))?)
            }
            Self::Sort => {
                let sort = plan.downcast_ref::<SortExec>().ok_or_else(internal)?;
                Arc::new(DeviceSortExec::new(Arc::new(sort.clone()), placed))
            }
            Self::Window(window) => {
                Arc::new(DeviceWindowExec::new(Arc::clone(plan), Arc::clone(window), placed))
            }
        })
    }
}

/// The join with one build side for all partitions, whose inputs come as they are.
fn sharing(join: &HashJoinExec) -> Result<HashJoinExec> {
    let builder = join.builder();
    if *join.partition_mode() == PartitionMode::Auto {
        return builder.build();
    }
    let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
    let probing = right.output_partitioning().partition_count();
    let left = idle_below(&left).cloned().unwrap_or(left);
    let right = match idle_below(&right) {
        Some(below) if below.output_partitioning().partition_count() >= probing => {
            Arc::clone(below)
        }
        // Rows in fewer partitions are spread as they come.
        Some(below) => {
            let spread = Partitioning::RoundRobinBatch(probing);
            Arc::new(RepartitionExec::try_new(Arc::clone(below), spread)?)
        }
        None => right,
    };
    builder
        .with_partition_mode(PartitionMode::CollectLeft)
        .recompute_properties()
        .with_new_children(vec![left, right])?
        .build()
}

/// What lies below an exchange that a join with one table for all partitions does not need.
pub(super) fn idle_below(input: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if input.fetch().is_some() {
        return None;
    }
    if let Some(exchange) = input.downcast_ref::<RepartitionExec>() {
        let by_key = matches!(exchange.partitioning(), Partitioning::Hash(..));
        return (by_key && !exchange.preserve_order()).then(|| exchange.input());
    }
    input.downcast_ref::<CoalescePartitionsExec>().map(|merged| merged.input())
}
