//! Placement: which operators of a physical plan run on which device, and why.
//!
//! | module | holds |
//! |---|---|
//! | [`devices`] | [`DeviceSet`]: the devices a plan may be placed on |
//! | [`decision`] | [`Decision`]: what was decided about one operator |
//! | [`rule`] | [`PlaceOnDevice`] and [`place`], its pure function |

pub mod decision;
pub mod devices;
pub mod rule;

pub use decision::{Decision, Estimate};
pub use devices::DeviceSet;
pub use rule::{PlaceOnDevice, PlacementOptions, place};
