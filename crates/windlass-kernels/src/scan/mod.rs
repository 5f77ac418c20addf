//! Prefix sums and other running results: what compaction, exchanges and window functions are
//! made of.
//!
//! | module | holds |
//! |---|---|
//! | `exclusive_scan` | [`exclusive_scan()`]: sums of counts, in place |
//! | `prefix` | [`inclusive`], [`exclusive`], [`segmented`]: running sums, minima and maxima |
//! | `window` | [`row_number`], [`rank`], [`dense_rank`] |
//! | `sources` | the kernels' texts |

mod exclusive_scan;
mod prefix;
mod sources;
mod window;

pub use exclusive_scan::exclusive_scan;
pub use prefix::{Scan, ScanOp, exclusive, inclusive, segmented, supported};
pub use sources::sources;
pub use window::{dense_rank, rank, row_number};
