//! Tiles of n-dimensional arrays: elements that lie as strides say, in buffers of whole 32-bit
//! words for each ([`Storage::Wide`](crate::Storage::Wide)). Elementwise chains over tiles are
//! generated kernels ([`crate::pipeline`]) that look elements up by the row's number.
//!
//! | module | holds |
//! |---|---|
//! | `place` | [`assemble`]: a dense tile of parts of others, in any layout |
//! | `fold` | [`fold`](fn@fold): sums, extremes and moments along an axis |
//! | `sources` | the kernels' texts |

mod fold;
mod place;
mod sources;

pub use fold::{FoldOp, Folded, Lines, fold, most_parts};
pub use place::{Part, Strided, assemble};
pub use sources::sources;
