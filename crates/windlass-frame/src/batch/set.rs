//! The dictionaries and lookup tables of one plan node.

use std::sync::Arc;

use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::{DeviceColumn, KernelError, Result};

use super::DictionaryLimits;
use crate::lower::HostTables;

/// The dictionaries and lookup tables of one plan node, shared by its partitions and
/// filled while batches arrive.
#[derive(Debug)]
pub struct DictionarySet {
    spec: Arc<HostTables>,
}

impl DictionarySet {
    /// Empty but for the constants.
    pub fn new(spec: Arc<HostTables>, limits: DictionaryLimits) -> Self {
        let _ = limits;
        Self { spec }
    }

    /// The lookup tables for all codes given so far, on `device`, in the program's order.
    /// They are evaluated and uploaded once.
    ///
    /// # Errors
    /// `Unsupported` when an expression fails for a value of the dictionary or a
    /// dictionary passes its limits; the device's errors.
    pub fn tables(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Vec<DeviceColumn>> {
        let _ = (queue, reservation);
        Err(KernelError::Unsupported {
            device: device.info().name.to_string(),
            reason: format!("not built: {} tables", self.spec.tables.len()),
        })
    }
}
