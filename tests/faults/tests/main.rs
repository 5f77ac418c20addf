//! Failing devices, small memories, texts as codes, and plans on devices, through the facade.

mod coded;
mod memory;
mod plans;
mod sweeps;
