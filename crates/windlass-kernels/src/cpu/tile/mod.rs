//! The twins of `kernels/tile`.

mod fold;
mod place;

pub(crate) use fold::fold;
pub(crate) use place::place;
