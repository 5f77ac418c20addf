//! Zarr, versions 2 and 3: chunks of an array as files of a folder, or as objects of a store.
//!
//! The format: <https://zarr-specs.readthedocs.io>. Chunks are coded by the crate `zarrs`.
//!
//! | module | holds |
//! |---|---|
//! | [`options`] | how arrays are read and written |
//! | [`location`] | folders and URLs |
//! | [`local`] | keys as files |
//! | `object` | keys as objects of a store |
//! | [`metadata`] | what describes an array that is written |
//! | [`read`] | opening, and what is read |
//! | [`chunk`] | reading and decoding one chunk |
//! | [`write`](mod@write) | writing chunks, and completing an array |

mod chunk;
mod local;
mod location;
mod metadata;
#[cfg(feature = "object-store")]
mod object;
mod options;
mod read;
mod write;

use std::{path::Path, sync::Arc};

use windlass_runtime::delayed::RunGraph;
use zarrs::storage::ReadableWritableStorageTraits;

pub use self::options::{BloscCompressor, Codec, Shuffle, ZarrRead, ZarrWrite};
pub(crate) use self::write::ZarrSink;
use self::{location::Location, read::ZarrSource};
use super::{Store, source::Source};
use crate::{array::Array, error::Result, expr::Op};

/// What holds an array's keys.
pub(crate) type Storage = dyn ReadableWritableStorageTraits;

fn open(place: &Path, options: &ZarrRead) -> Result<ZarrSource> {
    let location = Location::new(place);
    let storage = location.storage("open zarr", &options.options)?;
    ZarrSource::open(storage, &location.to_string(), options.require_chunks)
}

/// The attributes of a Zarr array.
///
/// # Errors
/// If there is no such array.
pub fn zarr_attributes(
    place: impl AsRef<Path>,
    options: &ZarrRead,
) -> Result<serde_json::Map<String, serde_json::Value>> {
    Ok(open(place.as_ref(), options)?.attributes().clone())
}

/// A sink of a new array.
pub(super) fn sink(place: &Path, array: &Array, options: &ZarrWrite) -> Result<ZarrSink> {
    ZarrSink::new(&Location::new(place), options, array.dtype(), array.chunks())
}

impl Array {
    /// An array that is stored as Zarr, of version 2 or 3, in that folder: the array's own,
    /// inside of a group as `store.zarr/group/array`. With the feature `object-store` also at
    /// a URL, as `s3://bucket/store.zarr/array` or `https://…`. Nothing is read but what
    /// describes it, until elements are needed, and then the chunks that hold them.
    ///
    /// The array's chunks are several of the stored ones, of up to 32 MiB, or parts of shards
    /// that are larger.
    ///
    /// ```
    /// use windlass_array::{Array, io::ZarrWrite};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let place = folder.path().join("squares.zarr");
    /// let x = Array::arange(0, 1000, 1)?.square()?;
    /// x.to_zarr(&place, &ZarrWrite::default().chunk([100]))?;
    /// let part = Array::from_zarr(&place)?.index(&[(990..1000).into()])?;
    /// assert_eq!(part.compute::<i64>()?[9], 999 * 999);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no array, or one of a type, a codec or an extension that is not known; the
    /// error names it. When it is computed: if a chunk cannot be read or decoded.
    pub fn from_zarr(place: impl AsRef<Path>) -> Result<Self> {
        Self::from_zarr_with(place, &ZarrRead::default())
    }

    /// As [`Array::from_zarr`], with options.
    ///
    /// # Errors
    /// As there.
    pub fn from_zarr_with(place: impl AsRef<Path>, options: &ZarrRead) -> Result<Self> {
        let source = open(place.as_ref(), options)?;
        Ok(Self::from_source(source.dtype(), Arc::new(source)))
    }

    /// Of what is stored, cut as the tasks that read it.
    pub(crate) fn from_source(dtype: crate::DType, source: Arc<dyn Source>) -> Self {
        let grid = source.grid().tasks(dtype.bytes(), false);
        Self::from_node(crate::expr::Node::new(Op::Source(source), Vec::new(), dtype, grid))
    }

    /// Computes the elements and writes them as Zarr, chunk by chunk, on the threads of the
    /// global executor: never is more in memory than the tasks that run.
    ///
    /// The array appears under its name when it is complete; a failed write leaves what was
    /// there before. Folders above it are made, and from one whose name ends in `.zarr` on
    /// they are groups. In an object store the metadata is written last.
    ///
    /// # Errors
    /// If something is there and is not to be overwritten, for options that do not fit, or if
    /// a task or a write failed.
    pub fn to_zarr(&self, place: impl AsRef<Path>, options: &ZarrWrite) -> Result<()> {
        Store::new().zarr(self, place, options)?.run()
    }

    /// As [`Array::to_zarr`], on that executor.
    ///
    /// # Errors
    /// As there.
    pub fn to_zarr_on(
        &self,
        place: impl AsRef<Path>,
        options: &ZarrWrite,
        on: &dyn RunGraph,
    ) -> Result<()> {
        Store::new().zarr(self, place, options)?.run_on(on)
    }
}

#[cfg(all(test, feature = "object-store"))]
mod http_tests;
#[cfg(test)]
mod tests;
