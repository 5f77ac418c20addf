//! Failing devices, small memories, texts as codes, decimals as integers, and plans on devices, through the facade.

mod coded;
mod kept;
mod memory;
mod narrow;
mod plans;
mod several;
mod sweeps;
