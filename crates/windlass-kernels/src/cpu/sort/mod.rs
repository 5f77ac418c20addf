//! The twins of `kernels/sort`: the order of rows from packed keys.
//!
//! The bits that vary in the keys are packed above the row's number into one integer
//! (`u64` where both fit, else `u128`), so that elements are distinct and any sort of them is
//! stable. Keys of more bits than `u128` has room for are compared by the rest where their
//! first 96 bits tie.
//!
//! | module | holds |
//! |---|---|
//! | `column` | a key column in host memory |
//! | `pack` | packed keys, by blocks, in parallel |
//! | `radix` | the sort of packed elements |
//! | `order` | whole sorts, narrow and wide |
//! | `group_top` | the first rows of each group, in one pass |
//! | `top` | the first rows of all, and of each group |
//! | `runs` | merges, and the bounds of equal rows |

use windlass_device::{Reservation, pool::Allocation};

use crate::{cpu::memory::adopt, error::Result};

mod column;
mod group_top;
mod order;
mod pack;
mod radix;
mod runs;
mod top;

pub(crate) use order::sort_indices;
pub(crate) use runs::{boundaries, merge};
pub(crate) use top::{top_k, top_k_per_group};

/// Sets memory for `n` values of `T` aside while the result lives.
fn hold<T>(reservation: &mut Reservation, n: usize) -> Result<Allocation> {
    Ok(reservation.allocate(n.saturating_mul(size_of::<T>()))?)
}
