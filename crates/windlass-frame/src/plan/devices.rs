//! The devices that a plan may be placed on.

use std::sync::Arc;

use windlass_device::{Device, DeviceError, DeviceOptions, DeviceSpec};
use windlass_runtime::Inventory;

/// The devices of a session, opened when placement first needs one. Clones share them.
#[derive(Debug, Clone)]
pub struct DeviceSet {
    inventory: Arc<Inventory>,
}

impl DeviceSet {
    /// The devices of `spec`; none is opened yet.
    pub fn new(spec: DeviceSpec, options: DeviceOptions) -> Self {
        Self::from_inventory(Inventory::new(spec, options))
    }

    /// The devices of an inventory.
    pub fn from_inventory(inventory: Arc<Inventory>) -> Self {
        Self { inventory }
    }

    /// The inventory behind it.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Opens the devices of the spec and returns all, `cpu` first.
    ///
    /// # Errors
    /// That of the first named device which does not open.
    pub fn open(&self) -> Result<&[Arc<dyn Device>], DeviceError> {
        self.inventory.devices()
    }

    /// The devices opened so far; opens nothing.
    pub fn opened(&self) -> Vec<Arc<dyn Device>> {
        self.inventory.opened()
    }
}
