//! Owns the devices of a host: inventory, calibration, placement costs and events. It knows
//! neither columns nor plans.
//!
//! | module | holds |
//! |---|---|
//! | [`inventory`] | [`Inventory`]: the devices of a spec, opened when first needed |

pub mod inventory;

pub use inventory::Inventory;
