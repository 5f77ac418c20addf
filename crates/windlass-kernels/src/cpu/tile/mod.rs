//! The twins of `kernels/tile`.

mod fold;
mod matmul;
mod place;
mod scan;

pub(crate) use fold::fold;
pub(crate) use matmul::matmul;
pub(crate) use place::place;
pub(crate) use scan::scan;
