//! What the conformance tests share: the devices, host columns in every layout, and a
//! reference that evaluates programs a row at a time.
//!
//! A test body is written once and run for each device of [`Target`]. The interpreter is
//! compared with the reference, and every other device with the interpreter.

pub mod check;
pub mod data;
pub mod devices;
mod everywhere;
pub mod host;
pub mod launches;
mod padded;
pub mod reference;
mod reversed;

pub use check::Bench;
pub use devices::{Narrow, Target, kernel_types};
pub use host::{HostColumn, Presented};
