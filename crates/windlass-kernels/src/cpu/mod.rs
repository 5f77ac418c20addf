//! The CPU twins of the kernels.

pub mod aggregate;
pub mod compact;
pub mod pipeline;
pub mod scan;
