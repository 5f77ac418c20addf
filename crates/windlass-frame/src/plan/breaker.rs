//! Operators that need all rows of an input before they give one: joins and sorts. Each is
//! placed by itself; its keys go to the device, its rows stay on the host.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, joins::HashJoinExec, sorts::sort::SortExec,
    },
};
use windlass_device::Device;
use windlass_kernels::KernelError;

use crate::{
    lower::Unsupported,
    nodes::{DeviceHashJoinExec, DeviceSortExec, JoinKeys, Placed, sort::check_sort},
};

/// An operator that can run on a device, with what was lowered for it.
#[derive(Debug, Clone)]
pub(super) enum Breaker {
    Join(JoinKeys),
    Sort,
}

/// What `plan` is.
///
/// # Errors
/// `None` when it is no such operator; the reason when it has no device form.
pub(super) fn find(plan: &Arc<dyn ExecutionPlan>) -> Result<Breaker, Option<Unsupported>> {
    let breaker = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        Breaker::Join(JoinKeys::lower(join).map_err(Some)?)
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        check_sort(sort).map_err(Some)?;
        Breaker::Sort
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
            Self::Sort => Ok(()),
        }
    }

    /// The device node in the place of `plan`, whose inputs are placed already.
    pub(super) fn node(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        placed: Placed,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let internal = || DataFusionError::Internal(format!("{} changed its kind", plan.name()));
        Ok(match self {
            Self::Join(keys) => {
                let join = plan.downcast_ref::<HashJoinExec>().ok_or_else(internal)?;
                let join = join.builder().build()?;
                Arc::new(DeviceHashJoinExec::new(join, placed, keys.clone()))
            }
            Self::Sort => {
                let sort = plan.downcast_ref::<SortExec>().ok_or_else(internal)?;
                Arc::new(DeviceSortExec::new(Arc::new(sort.clone()), placed))
            }
        })
    }
}
