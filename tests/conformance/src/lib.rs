//! What the conformance tests share: the devices that they run on, host columns with their
//! upload, and random data. The tests themselves are in `tests/`, one file or folder for
//! each family of operations.

pub mod column;
pub mod random;

use std::sync::Arc;

use windlass_device::{Device, DeviceOptions, open_device};

pub use column::HostColumn;
pub use random::Random;

/// Opens a device with options of its own.
///
/// # Panics
/// When the device is not available, saying what is missing: the backends that need no GPU
/// are part of the test environment (`make test` installs what they need).
pub fn open(name: &str, adjust: impl FnOnce(&mut DeviceOptions)) -> Arc<dyn Device> {
    let mut options = DeviceOptions::default();
    adjust(&mut options);
    let parsed = name.parse().unwrap_or_else(|e| panic!("{e}"));
    open_device(&parsed, &options).unwrap_or_else(|e| panic!("{e}"))
}
