//! Failing devices, small memories, and plans on devices, through the facade.

mod memory;
mod plans;
mod sweeps;
