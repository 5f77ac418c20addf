//! Arrays on disk and elsewhere: what is read when it is needed, and written tile by tile.
//!
//! | module | holds |
//! |---|---|
//! | `source` | stored chunks, of which those are read that are needed |
//! | `sink` | what takes tiles |
//! | `place` | files that appear when they are complete |
//! | `bytes` | elements as bytes |
//! | `file` | raw files, `.npy` and `.npz` |
//! | `hdf5` | HDF5 files, with the feature of that name |
//! | `arrow` | Arrow's arrays and record batches |
//! | `zarr` | Zarr, in folders and object stores |

mod arrow;
mod bytes;
mod file;
#[cfg(feature = "hdf5")]
mod hdf5;
mod place;
pub(crate) mod sink;
pub(crate) mod source;
mod zarr;

use std::{path::Path, sync::Arc};

use windlass_runtime::{delayed::RunGraph, execute::Executor};

use self::sink::Sink;
pub use self::{
    bytes::Endianness,
    file::{FileWrite, Order, RawLayout, npz_names, save_npz},
    zarr::{BloscCompressor, Codec, Shuffle, ZarrRead, ZarrWrite, zarr_attributes},
};
use crate::{
    array::Array,
    error::{ArrayError, Result},
    execute,
    expr::Node,
};

/// Several arrays that are written at once: what they share is computed once.
///
/// ```
/// use windlass_array::{Array, io::{Store, ZarrWrite}};
///
/// let folder = tempfile::tempdir()?;
/// let x = Array::random_normal([1000, 8], (0.0, 1.0), 1)?;
/// let norms = x.square()?.sum(1)?.sqrt()?;
/// Store::new()
///     .zarr(&x, folder.path().join("x"), &ZarrWrite::default())?
///     .zarr(&norms, folder.path().join("norms"), &ZarrWrite::default())?
///     .run()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct Store {
    wanted: Vec<(Arc<Node>, Arc<dyn Sink>)>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store of {} arrays", self.wanted.len())
    }
}

impl Store {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// And an array, as [`Array::to_zarr`].
    ///
    /// # Errors
    /// If something is there and is not to be overwritten, or for options that do not fit.
    pub fn zarr(self, array: &Array, place: impl AsRef<Path>, options: &ZarrWrite) -> Result<Self> {
        let sink = zarr::sink(place.as_ref(), array, options)?;
        Ok(self.with(array, sink))
    }

    /// And an array, as [`Array::to_npy`].
    ///
    /// # Errors
    /// If a file has that name and is not to be overwritten.
    pub fn npy(self, array: &Array, place: impl AsRef<Path>, options: &FileWrite) -> Result<Self> {
        let sink = file::npy_sink(place.as_ref(), array, options)?;
        Ok(self.with(array, sink))
    }

    /// And an array, as [`Array::to_raw`].
    ///
    /// # Errors
    /// As [`Store::npy`].
    pub fn raw(self, array: &Array, place: impl AsRef<Path>, options: &FileWrite) -> Result<Self> {
        let sink = file::raw_sink(place.as_ref(), array, options)?;
        Ok(self.with(array, sink))
    }

    fn with(mut self, array: &Array, sink: impl Sink + 'static) -> Self {
        self.wanted.push((array.node(), Arc::new(sink)));
        self
    }

    /// Computes and writes them, on the threads of the global executor. Each appears under
    /// its name when all are written.
    ///
    /// # Errors
    /// If a task or a write failed; then none of them appears, unless what failed is giving
    /// one its name.
    pub fn run(self) -> Result<()> {
        self.run_on(&**Executor::global())
    }

    /// As [`Store::run`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn run_on(self, on: &dyn RunGraph) -> Result<()> {
        execute::store(&self.wanted, on)?;
        for (_, sink) in &self.wanted {
            sink.finish().map_err(|e| match e.downcast::<ArrayError>() {
                Ok(error) => *error,
                Err(e) => place::failed("write", "an array", e),
            })?;
        }
        Ok(())
    }
}
