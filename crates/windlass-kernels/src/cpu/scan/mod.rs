//! The twins of `kernels/scan`.

mod exclusive_scan;
pub use exclusive_scan::exclusive_scan;
