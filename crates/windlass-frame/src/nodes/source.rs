//! What a pipeline or aggregation on a device reads its batches from.

use std::sync::{Arc, OnceLock};

use datafusion::{
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::ExecutionPlan,
};
use futures::stream::BoxStream;

use super::{DeviceNode, DeviceUploadExec, Placed, ResidentExec, ResidentHashJoinExec, Uploaded};
use crate::{
    batch::{DictionaryLimits, DictionarySet},
    lower::HostTables,
};

/// A node that gives device batches with the columns that the node above reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Rows of the host, uploaded.
    Upload(&'a DeviceUploadExec),
    /// Rows that a join made on the device.
    Join(&'a ResidentHashJoinExec),
    /// Rows that were on the device, limited, put together, exchanged or sorted there.
    Resident(&'a ResidentExec),
}

/// A node as a source.
///
/// # Errors
/// `Internal` when it is none.
pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Source<'_>> {
    if let Some(upload) = plan.downcast_ref::<DeviceUploadExec>() {
        return Ok(Source::Upload(upload));
    }
    if let Some(rows) = plan.downcast_ref::<ResidentExec>() {
        return Ok(Source::Resident(rows));
    }
    plan.downcast_ref::<ResidentHashJoinExec>().map(Source::Join).ok_or_else(|| {
        let text = format!("expected an upload or rows on a device, got {}", plan.name());
        DataFusionError::Internal(text)
    })
}

impl<'a> Source<'a> {
    /// Where its batches are.
    pub(crate) fn placed(self) -> &'a Placed {
        match self {
            Self::Upload(upload) => upload.placed(),
            Self::Join(join) => join.placed(),
            Self::Resident(rows) => rows.placed(),
        }
    }

    /// The plan whose rows it gives, with all their columns and on the host.
    pub(crate) fn host(self) -> &'a Arc<dyn ExecutionPlan> {
        match self {
            Self::Upload(upload) => upload.input(),
            Self::Join(join) => join.host(),
            Self::Resident(rows) => rows.host(),
        }
    }

    /// That plan, where the CPU can read its rows although the device has failed.
    pub(crate) fn again(self) -> Option<&'a Arc<dyn ExecutionPlan>> {
        match self {
            Self::Upload(upload) => Some(upload.input()),
            Self::Join(_) | Self::Resident(_) => None,
        }
    }

    /// The dictionaries of a node above: for each partition others, or, where the partitions
    /// share what they read, those that are `kept`.
    pub(crate) fn dictionaries(
        self,
        tables: &Arc<HostTables>,
        kept: &OnceLock<Arc<DictionarySet>>,
    ) -> Arc<DictionarySet> {
        let make = || Arc::new(DictionarySet::new(Arc::clone(tables), DictionaryLimits::default()));
        match self {
            Self::Upload(upload) => upload.kept_dictionaries(tables).map_or_else(make, Arc::new),
            Self::Join(_) | Self::Resident(_) => Arc::clone(kept.get_or_init(make)),
        }
    }

    /// The batches of a partition, their texts coded by `dictionaries`.
    ///
    /// # Errors
    /// Those of executing what lies below.
    pub(crate) fn batches(
        self,
        partition: usize,
        context: Arc<TaskContext>,
        dictionaries: Arc<DictionarySet>,
    ) -> Result<BoxStream<'static, Result<Uploaded>>> {
        match self {
            Self::Upload(upload) => upload.uploads(partition, context, dictionaries),
            Self::Join(join) => join.batches(partition, context, &dictionaries),
            Self::Resident(rows) => rows.batches(partition, context, &dictionaries),
        }
    }
}
