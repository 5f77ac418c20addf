//! The CPU twins of the kernels.

pub mod aggregate;
pub mod pipeline;
