//! The CPU twins of the kernels.

pub mod aggregate;
pub mod compact;
pub(crate) mod gather;
pub mod hash;
pub mod join;
pub(crate) mod memory;
pub(crate) mod partition;
pub(crate) mod pieces;
pub mod pipeline;
pub(crate) mod reduce;
pub mod scan;
pub(crate) mod sort;
pub(crate) mod string;
pub(crate) mod tasks;
pub(crate) mod tile;
pub(crate) mod view;
pub(crate) mod window;
