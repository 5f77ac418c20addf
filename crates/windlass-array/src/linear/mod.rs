//! Linear algebra: what its tasks do, and which tasks there are.
//!
//! | module | holds |
//! |---|---|
//! | [`product`] | products of matrices in memory |
//! | [`contract`] | sums of products of two arrays, by tiles |
//! | [`there`] | the same on a device |
//! | [`einsum`] | subscripts, and the order of several products |
//! | [`field`] | the types of which matrices are factored |
//! | [`tall`], [`tsqr`] | QR factors of a tile, and of an array in chunks of rows |
//! | [`dense`] | what is made of one matrix |
//! | [`stacked`] | operations on each of a stack of matrices |
//! | [`blocked`] | Cholesky, LU and triangles by tiles |
//! | [`tiling`] | how axes are cut |

pub(crate) mod blocked;
pub(crate) mod contract;
pub(crate) mod dense;
pub(crate) mod einsum;
pub(crate) mod field;
pub(crate) mod product;
pub(crate) mod stacked;
pub(crate) mod tall;
mod there;
pub(crate) mod tiling;
pub(crate) mod tsqr;
