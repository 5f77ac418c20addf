//! Tiles of n-dimensional arrays: elements that lie as strides say, in buffers of whole 32-bit
//! words for each ([`Storage::Wide`](crate::Storage::Wide)). Elementwise chains over tiles are
//! generated kernels ([`crate::pipeline`]) that look elements up by the row's number.
//!
//! | module | holds |
//! |---|---|
//! | `place` | [`assemble`]: a dense tile of parts of others, in any layout |
//! | `axes` | the order of axes in which a part is copied fastest |
//! | `fold` | [`fold`](fn@fold): sums, extremes and moments along an axis |
//! | `scan` | [`scan`](fn@scan): running sums and products along an axis |
//! | `lines` | [`Lines`]: what both go through, and how threads lie on it |
//! | `matmul` | [`matmul`](fn@matmul): products of matrices |
//! | `sources` | the kernels' texts |

mod axes;
mod fold;
mod lines;
mod matmul;
mod place;
mod scan;
mod sources;

pub(crate) use axes::is_turned;
pub use fold::{FoldOp, Folded, fold, most_parts};
pub use lines::Lines;
pub use matmul::{Lengths, Matrix, matmul, multiplies};
pub use place::{Part, Strided, assemble};
pub use scan::{Run, Running, RunningOp, scan};
pub use sources::sources;
