//! Key expressions of joins and sorts, evaluated on the device from rows on the host.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::physical_plan::PhysicalExpr;
use windlass_device::{Queue, Reservation};
use windlass_kernels::{DeviceBatch, KernelError};

use super::{Placed, upload::upload_one};
use crate::{
    batch::{DictionaryLimits, DictionarySet, SharedDictionary},
    lower::{Lowering, PipelinePlan, Unsupported},
};

/// Lowers key expressions over rows of `schema`: a program with one output for each.
///
/// # Errors
/// [`Unsupported`] with the reason.
pub(crate) fn lower_keys(
    schema: &SchemaRef,
    keys: &[Arc<dyn PhysicalExpr>],
) -> Result<PipelinePlan, Unsupported> {
    let fields = keys.iter().enumerate().map(|(i, key)| {
        let unknown = |e: datafusion::error::DataFusionError| Unsupported::new(e.to_string());
        let ty: DataType = key.data_type(schema).map_err(unknown)?;
        Ok(Field::new(format!("key {i}"), ty, key.nullable(schema).map_err(unknown)?))
    });
    let fields: Vec<Field> = fields.collect::<Result<_, Unsupported>>()?;
    let mut lowering = Lowering::new(Arc::clone(schema));
    lowering.project(keys, Arc::new(Schema::new(fields)))?;
    lowering.finish()
}

/// Evaluates lowered keys.
#[derive(Debug, Clone)]
pub(crate) struct KeyEvaluator {
    placed: Placed,
    plan: Arc<PipelinePlan>,
    dictionaries: Arc<DictionarySet>,
}

impl KeyEvaluator {
    /// With dictionaries of its own.
    pub(crate) fn new(placed: &Placed, plan: &Arc<PipelinePlan>) -> Self {
        Self::sharing(placed, plan, &[])
    }

    /// With these dictionaries in the place of the keys': keys whose codes are to be
    /// compared with those of other rows.
    pub(crate) fn sharing(
        placed: &Placed,
        plan: &Arc<PipelinePlan>,
        keys: &[Option<Arc<SharedDictionary>>],
    ) -> Self {
        let shared = plan.outputs.iter().zip(keys);
        let shared = shared.filter_map(|(o, d)| Some((o.dictionary?, Arc::clone(d.as_ref()?))));
        let tables = Arc::clone(&plan.tables);
        let set = DictionarySet::sharing(tables, DictionaryLimits::default(), shared);
        Self { placed: placed.clone(), plan: Arc::clone(plan), dictionaries: Arc::new(set) }
    }

    /// The same, with the same dictionaries, on another device.
    pub(crate) fn on(&self, placed: &Placed) -> Self {
        Self { placed: placed.clone(), ..self.clone() }
    }

    /// The dictionary of each key that is a string.
    pub(crate) fn dictionaries(&self) -> Vec<Option<Arc<SharedDictionary>>> {
        let shared = |id| Arc::clone(self.dictionaries.shared(id));
        self.plan.outputs.iter().map(|o| o.dictionary.map(shared)).collect()
    }

    /// The keys of every row, one column for each.
    ///
    /// # Errors
    /// The device's, and `Unsupported` where a dictionary passes its limits.
    pub(crate) fn evaluate(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        host: &RecordBatch,
    ) -> Result<DeviceBatch, KernelError> {
        let device = &*self.placed.device;
        let batch = upload_one(&self.placed, queue, host, &self.plan.input, &self.dictionaries)?;
        let tables = self.dictionaries.tables(device, queue, reservation)?;
        self.plan.kernel.run(device, queue, reservation, &batch, &tables)
    }
}
