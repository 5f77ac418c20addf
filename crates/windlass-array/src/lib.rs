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
//! | `expr` | the graph of operations that an array is |
//! | `optimise` | expressions made simpler before they run |
//! | `execute` | fused programs, stages and their tasks |
//! | `linear`, `fourier` | products of arrays and factors of matrices; Fourier transforms |
//! | `kernel`, `reduce` | the loops of each operation and type |
//! | `random` | random numbers by position |

mod array;
mod dtype;
mod element;
mod error;
mod execute;
mod expr;
mod fourier;
mod grid;
mod kernel;
mod linear;
mod memory;
mod optimise;
mod random;
mod reduce;
mod region;
mod scalar;
mod shape;
mod tile;

pub use array::{
    Array, Axes, FftNorm, Index, LeastSquares, Norm, Operand, compute_all, compute_all_on,
};
pub use dtype::{DType, Kind};
pub use element::{Buf, C32, C64, Element};
pub use error::{ArrayError, Result};
pub use expr::BoxError;
pub use grid::{AxisGrid, CHUNK_BYTES, ChunkGrid};
pub use scalar::Scalar;
pub use shape::{ArrayShape, ChunkIndex, ChunkShape, GridShape};
pub use tile::Tile;
