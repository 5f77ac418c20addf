//! Device operators as ordinary nodes of a physical plan.
//!
//! ```text
//!   CPU operators
//!        │ record batches
//!  DeviceDownloadExec
//!        │ device batches
//!  DevicePipelineExec  or  DeviceAggregateExec     (filters and projections fused in)
//!        │ device batches
//!  DeviceUploadExec
//!        │ record batches
//!   CPU operators, scans
//! ```
//!
//! Joins and sorts are nodes of their own, between record batches: their keys go to the
//! device and row numbers come back ([`DeviceHashJoinExec`], [`DeviceSortExec`]). A join below
//! a pipeline or aggregation of the same GPU leaves its rows there instead
//! ([`ResidentHashJoinExec`]); its inputs are pipelines that give keys and columns. Limits,
//! unions, exchanges and sorts of rows that are on a device leave them there too
//! ([`ResidentExec`]).
//!
//! A device node keeps the CPU operators that it stands for ([`HostChain`]). When the
//! device fails at a batch, a pipeline gives that batch to them; an aggregation starts
//! again on them, or, where its input cannot be read twice, fails with [`DeviceFailure`],
//! upon which the session runs the query on the CPU.
//!
//! | module | holds |
//! |---|---|
//! | [`aggregate`] | [`DeviceAggregateExec`]: group-by with the chain below it fused in |
//! | [`chain`] | [`HostChain`]: the CPU operators that a node stands for |
//! | [`coded`] | [`StoredScanExec`]: scans that give texts as codes, decimals as integers |
//! | [`download`] | [`DeviceDownloadExec`]: device batches to record batches |
//! | [`failure`] | [`DeviceFailure`]: an error that names its device |
//! | [`join`] | [`DeviceHashJoinExec`]: keys and table on the device, rows on the host; [`ResidentHashJoinExec`]: rows on the device too; [`DeviceNestedLoopJoinExec`]: pairs tested on the device |
//! | `keys` | key expressions of joins and sorts |
//! | `limit` | so many rows of those on a device |
//! | [`metrics`] | the figures of device nodes |
//! | [`pipeline`] | [`DevicePipelineExec`]: filters and projections as one kernel |
//! | `repartition` | exchanges of rows between partitions of one device |
//! | [`resident`] | [`ResidentExec`]: limits, unions, exchanges and sorts of rows on a device |
//! | `resident_sort` | sorts and top-k of rows on a device |
//! | `several` | what the devices of a group do with the batches of a node |
//! | `shared` | parts of a plan that are computed once for several readers |
//! | [`sort`] | [`DeviceSortExec`]: sorts and top-k, the order on the device |
//! | `sort_order` | the order of one batch, by a device or by those that share it |
//! | `source` | what a pipeline or aggregation reads its batches from |
//! | [`top_k_per_group`] | [`DeviceTopKPerGroupExec`]: the first rows of each group |
//! | `union` | unions of rows on a device |
//! | [`upload`] | [`DeviceUploadExec`]: record batches to device batches |
//! | [`window`] | [`DeviceWindowExec`]: window functions, the rows on the host |

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions},
};
use futures::stream::BoxStream;
use windlass_device::{Device, DeviceClass};
use windlass_kernels::DeviceBatch;
use windlass_runtime::{DeviceGroup, Inventory};

use crate::{batch::DictionarySet, lower::OutputColumn};

pub mod aggregate;
pub mod chain;
pub mod coded;
pub mod download;
pub mod failure;
pub mod join;
pub(crate) mod keys;
pub(crate) mod limit;
pub mod metrics;
pub mod pipeline;
pub(crate) mod repartition;
pub mod resident;
pub(crate) mod resident_sort;
mod several;
pub(crate) mod shared;
pub mod sort;
mod sort_order;
mod sort_runs;
pub(crate) mod source;
#[cfg(test)]
mod tests;
pub mod top_k_per_group;
pub(crate) mod union;
pub mod upload;
pub mod window;

pub use aggregate::DeviceAggregateExec;
pub use chain::HostChain;
pub use coded::StoredScanExec;
pub use download::DeviceDownloadExec;
pub use failure::DeviceFailure;
pub use join::{
    DeviceHashJoinExec, DeviceNestedLoopJoinExec, JoinKeys, PairTest, ResidentHashJoinExec,
};
pub use pipeline::DevicePipelineExec;
pub use resident::ResidentExec;
pub(crate) use shared::{SharedExec, SharedState, TellReaders};
pub use sort::DeviceSortExec;
pub use top_k_per_group::{DeviceTopKPerGroupExec, GroupTop};
pub use upload::{DeviceUploadExec, Uploaded};
pub use window::{DeviceWindowExec, WindowPlan};

/// A device of an inventory, as a node holds it.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The device.
    pub device: Arc<dyn Device>,
    /// Where it is from; told when the device is lost.
    pub inventory: Arc<Inventory>,
    /// Why the node is on it.
    pub reason: Arc<str>,
    /// The devices, `device` among them, that share the batches of the node.
    pub group: Option<Arc<DeviceGroup>>,
}

impl Placed {
    /// The device's name; the names of all in use that share the batches, as a device spec lists
    /// them.
    pub fn name(&self) -> String {
        let members = self.members();
        match &self.group {
            Some(group) if members.len() == group.devices().len() => group.names(),
            Some(_) if !members.is_empty() => {
                let names: Vec<_> = members.iter().map(Self::name).collect();
                names.join(",")
            }
            _ => self.device.info().name.to_string(),
        }
    }

    /// Whether its memory and its cores are the host's.
    pub(crate) fn is_host(&self) -> bool {
        self.device.info().class == DeviceClass::Host
    }

    /// Runs blocking work of the device off the async threads; work of the host's own cores
    /// runs where it is, as DataFusion's operators do.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if self.is_host() {
            return Ok(work());
        }
        SpawnedTask::spawn_blocking(work)
            .join_unwind()
            .await
            .map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// What flows between device nodes.
#[derive(Debug)]
pub enum DeviceItem {
    /// Rows on the device.
    Device {
        /// The rows.
        batch: DeviceBatch,
        /// What its columns are.
        outputs: Arc<[OutputColumn]>,
        /// The strings of its codes.
        dictionaries: Arc<DictionarySet>,
        /// What gives the same rows on the CPU; `None` where a join on the device made them.
        origin: Option<Origin>,
        /// Where the rows are.
        placed: Placed,
    },
    /// Rows on the host: groups read back, or rows that the CPU had to compute.
    Host(RecordBatch),
}

/// Input rows and the CPU operators that turn them into a device batch's rows.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The input rows.
    pub batch: RecordBatch,
    /// The operators.
    pub chain: Arc<HostChain>,
    /// For their settings.
    pub context: Arc<TaskContext>,
}

impl Origin {
    /// The rows, by the CPU.
    ///
    /// # Errors
    /// DataFusion's.
    pub(crate) async fn compute(&self) -> Result<Vec<RecordBatch>> {
        self.chain.evaluate(&self.batch, &self.context).await
    }
}

/// A stream of device items in row order.
pub type DeviceStream = BoxStream<'static, Result<DeviceItem>>;

/// A node whose rows can stay on its device.
pub trait DeviceNode: ExecutionPlan {
    /// Where it runs.
    fn placed(&self) -> &Placed;

    /// The rows of a partition, left on the device.
    ///
    /// # Errors
    /// As `ExecutionPlan::execute`.
    fn execute_on_device(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<DeviceStream>;
}

/// A plan node as a device node.
pub fn as_device_node(plan: &dyn ExecutionPlan) -> Option<&dyn DeviceNode> {
    if let Some(node) = plan.downcast_ref::<DevicePipelineExec>() {
        return Some(node);
    }
    if let Some(node) = plan.downcast_ref::<ResidentExec>() {
        return Some(node);
    }
    plan.downcast_ref::<DeviceAggregateExec>().map(|node| node as &dyn DeviceNode)
}

/// Where a plan node runs.
fn placed_of(plan: &dyn ExecutionPlan) -> Option<&Placed> {
    if let Some(node) = as_device_node(plan) {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceUploadExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceHashJoinExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<ResidentHashJoinExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceNestedLoopJoinExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceSortExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceWindowExec>() {
        return Some(node.placed());
    }
    if let Some(node) = plan.downcast_ref::<DeviceTopKPerGroupExec>() {
        return Some(node.placed());
    }
    plan.downcast_ref::<DeviceDownloadExec>().map(DeviceDownloadExec::placed)
}

/// Whether rows of a plan stay on a device between operators that need all of them.
pub(crate) fn keeps_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ResidentHashJoinExec>()
        || plan.is::<ResidentExec>()
        || plan.children().into_iter().any(keeps_rows)
}

/// The device that a plan node uses; `None` for DataFusion's own operators.
pub fn device_of(plan: &dyn ExecutionPlan) -> Option<String> {
    placed_of(plan).map(Placed::name)
}

/// Why a plan node runs on its device, and what went to the CPU after all or was done in parts for
/// want of memory, or why it is there;
/// `None` for DataFusion's own operators.
pub fn reason_of(plan: &dyn ExecutionPlan) -> Option<String> {
    if let Some(scan) = plan.downcast_ref::<StoredScanExec>() {
        return Some(scan.reason());
    }
    let reason = &placed_of(plan)?.reason;
    let metrics = plan.metrics().unwrap_or_default();
    let fallbacks = metrics.sum_by_name("fallback_batches").map_or(0, |v| v.as_usize());
    let parts = metrics.sum_by_name("in_parts").map_or(0, |v| v.as_usize());
    let errors = metrics.iter().flat_map(|m| m.labels()).filter(|l| l.name() == "error");
    let (count, end) = match fallbacks {
        0 => (parts, "and went on in parts"),
        n => (n, "and the CPU took over"),
    };
    Some(match errors.map(|l| l.value()).next() {
        Some(error) if count > 0 => {
            let times = if count == 1 { "time" } else { "times" };
            format!("{reason}; failed {count} {times}, {end}: {error}")
        }
        _ => reason.to_string(),
    })
}

/// The deprecated form of replacing children, by the present one.
fn recompute(
    node: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(children, options)
}
