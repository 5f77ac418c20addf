//! The twins of `kernels/hash`, and the reading of columns that the join's and the partition's
//! twins share.

mod hash_column;
pub(crate) mod read;

pub use hash_column::hash_column;
