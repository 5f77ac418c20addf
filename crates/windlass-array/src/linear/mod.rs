//! Linear algebra: what its tasks do, and which tasks there are.
//!
//! | module | holds |
//! |---|---|
//! | [`product`] | products of matrices in memory |
//! | [`contract`] | sums of products of two arrays, by tiles |
//! | [`einsum`] | subscripts, and the order of several products |
//! | [`tiling`] | how axes are cut |

pub(crate) mod contract;
pub(crate) mod einsum;
pub(crate) mod product;
pub(crate) mod tiling;
