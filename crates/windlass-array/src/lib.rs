//! Lazy chunked n-dimensional arrays. An [`Array`] says what is to be computed; nothing is
//! until it is asked for, and then tile by tile, as tasks of the runtime: on all cores, and
//! within a limit of memory if the executor has one. NumPy's names, promotion and results.
//!
//! ```
//! use windlass_array::{Array, Axes};
//!
//! let x = Array::arange(0.0, 12.0, 1.0)?.reshape([3, 4])?;
//! let y = (&x - &x.mean(Axes::of(0).keepdims())?).square()?;
//! assert_eq!(y.sum(1)?.compute::<f64>()?.as_slice(), Some(&[64.0, 0.0, 64.0][..]));
//! # Ok::<_, windlass_array::ArrayError>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `array` | [`Array`]: its methods, by family |
//! | `dtype`, `element`, `scalar` | [`DType`] and promotion; the Rust types; weak scalars |
//! | `shape`, `grid`, `region` | shapes and indices; how arrays are cut; parts and views of them |
//! | `tile` | [`Tile`]: elements in memory |
//! | `device` | tiles and fused programs on devices |
//! | `expr` | the graph of operations that an array is |
//! | `optimise` | expressions made simpler before they run |
//! | `execute` | fused programs, stages and their tasks |
//! | [`io`] | arrays on disk and elsewhere: reading and writing |
//! | `linear`, `fourier` | products of arrays and factors of matrices; Fourier transforms |
//! | `kernel`, `reduce` | the loops of each operation and type |
//! | `random`, `rejection` | random numbers by position |
//! | [`mod@bench`] | the operations that `windlass bench arrays` times |
//!
//! # The same results
//!
//! An array in one set of chunks has the same elements, bit for bit, whatever the number of
//! threads and however often it is computed: partial sums are merged in one order. Another
//! set of chunks may change the last bits of sums, means, variances and norms, of running sums
//! and products, and of covariances. All else does not hang on the chunks: elementwise
//! functions, extremes, counts, sorts, quantiles, filters, sets, and random numbers.

mod array;
pub mod bench;
mod device;
mod dtype;
mod element;
mod error;
mod execute;
mod expr;
mod fourier;
mod grid;
pub mod io;
mod kernel;
mod linear;
mod memory;
mod optimise;
mod random;
mod reduce;
mod region;
mod rejection;
mod scalar;
mod shape;
mod tile;

pub use array::{
    Array, Axes, Boundary, Covariance, Fancy, FftNorm, Index, LeastSquares, Nested, Norm, Operand,
    Overlap, Pad, Part, Piece, Quantile, Reshaped, Spacing, UniqueParts, compute_all,
    compute_all_on,
};
pub use device::{TakenOver, taken_over};
pub use dtype::{DType, Kind};
pub use element::{Buf, C32, C64, Element};
pub use error::{ArrayError, Result};
pub use expr::BoxError;
pub use grid::{AxisGrid, CHUNK_BYTES, ChunkGrid};
pub use scalar::Scalar;
pub use shape::{ArrayShape, ChunkIndex, ChunkShape, GridShape};
pub use tile::Tile;
