//! The twins of `kernels/gather`: Arrow's layout out of every layout, in pieces that cores
//! share.

mod concat;
#[allow(clippy::module_inception, reason = "the twin of gather.cu in the family gather")]
mod gather;
mod scatter;
mod slice;
mod widen;

pub(crate) use concat::concat;
pub(crate) use gather::gather;
pub(crate) use scatter::sources;
pub(crate) use slice::slice;
pub(crate) use widen::widen;
