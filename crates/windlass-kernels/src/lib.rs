//! Typed operations on device buffers. Each operation has one name everywhere: a CUDA
//! kernel under `kernels/`, a WGSL shader under `shaders/`, and a CPU twin under
//! [`cpu`]; one typed Rust function here chooses by the device's backend.
//!
//! | module | holds |
//! |---|---|
//! | [`types`] | [`PhysType`] and [`Scalar`]: what a kernel computes with |
//! | [`mod@column`] | [`DeviceColumn`] and [`DeviceBatch`]: what a kernel reads and writes |
//! | [`dictionary`] | codes of strings, kept on the host |
//! | [`ir`] | the typed expression program that the pipeline compiler prints |
//! | [`pipeline`] | filter and projection as one generated kernel, with compaction |
//! | [`aggregate`] | hash group-by and reductions over a program's values |
//! | [`mod@gather`] | rows in another order or place: gather, scatter, concat, slice, widen |
//! | [`scan`], [`compact`] | running sums, minima, maxima and ranks; stream compaction |
//! | [`reduce`] | one value from a column: sums, counts, extremes, moments |
//! | [`mod@hash`], [`mod@join`], [`partition`] | row hashes, hash joins, partitions of rows |
//! | [`sort`] | the order of rows by several keys, top-k, merges, bounds |
//! | [`mod@string`] | texts as offsets and bytes or as views |
//! | [`tile`] | parts of n-dimensional arrays put together, and folded along an axis |
//! | [`window`] | frames of window functions, and their rows, sums and extremes |
//! | [`sources`] | the texts of the static kernels |
//! | [`overrides`] | texts from a folder in place of the embedded ones |
//! | `texts` | composition of those texts with their headers and modules |
//! | `launcher` | device, queue, memory and kernels, for one operation |
//! | [`cpu`] | the CPU twins |
//! | [`mod@bench`] | benches of all of these, with references |

pub mod aggregate;
pub mod bench;
pub mod column;
pub mod compact;
pub mod cpu;
pub mod dictionary;
pub mod error;
pub mod gather;
pub mod hash;
pub mod ir;
pub mod join;
mod launcher;
pub mod overrides;
pub mod partition;
pub mod pipeline;
pub mod reduce;
pub mod scan;
pub mod sort;
pub mod sources;
pub mod string;
mod texts;
pub mod tile;
pub mod types;
pub mod window;

pub use column::{DeviceBatch, DeviceColumn, Storage, Validity};
pub use error::{KernelError, Result};
pub use types::{PhysType, Scalar};
