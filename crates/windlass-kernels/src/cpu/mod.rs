//! The CPU twins of the kernels.

pub mod pipeline;
