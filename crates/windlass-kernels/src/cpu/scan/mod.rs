//! The twins of `kernels/scan`.

mod exclusive_scan;
mod prefix;
pub use exclusive_scan::exclusive_scan;
pub(crate) use exclusive_scan::exclusive_scan_from;
pub(crate) use prefix::{prefix, total32, total64};
