//! Owns the devices of a host: inventory, calibration, placement costs and events. It knows
//! neither columns nor plans.
//!
//! | module | holds |
//! |---|---|
//! | [`inventory`] | [`Inventory`]: the devices of a spec, opened when first needed |
//! | [`calibration`] | [`Calibration`]: measured rates of a device, cached per user |
//! | [`cost`] | [`Work`] and its [`Cost`] on a calibrated device or on the CPU |
//! | [`events`] | [`Events`]: one bounded stream of what happens, for progress and traces |

pub mod calibration;
pub mod cost;
pub mod events;
pub mod inventory;

pub use calibration::{Calibration, CalibrationStore};
pub use cost::{Cost, Work};
pub use events::{Event, EventKind, Events, Subscriber};
pub use inventory::Inventory;
