//! The twins of `kernels/compact`.

mod close_gaps;
pub use close_gaps::close_gaps;
