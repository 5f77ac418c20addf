//! Writing Zarr: whole chunks, in any order, and at the end what makes an array of them.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use zarrs::{
    array::{Array, ArrayBytes, ArrayMetadata, CodecOptions},
    storage::StoreKey,
};

use super::{
    Storage, chunk::one_thread, location::Location, metadata::metadata, options::ZarrWrite,
};
use crate::{
    dtype::DType,
    element::{Buf, dispatch},
    error::Result,
    expr::BoxError,
    grid::ChunkGrid,
    io::{
        place::{Pending, failed},
        sink::Sink,
        source::Place,
    },
    region::Region,
    shape::ChunkShape,
    tile::Tile,
};

const WRITE: &str = "to_zarr";

/// A Zarr array in the making.
pub(crate) struct ZarrSink {
    array: Array<Storage>,
    place: String,
    codec_options: CodecOptions,
    /// The files that are written last, the one that makes it an array at the very end.
    metadata: Vec<(&'static str, Value)>,
    /// The folder that is renamed at the end, if it is one.
    pending: Option<Pending>,
    /// Groups on the way to the array, which get metadata where they have none.
    groups: Vec<PathBuf>,
    dtype: DType,
    /// One element.
    fill: Buf,
    /// The shape of a whole chunk or shard, beyond the array's end too.
    chunk: Vec<usize>,
    /// The stored chunks or shards, and the tiles, which are several of them.
    chunks: ChunkGrid,
    tiles: ChunkGrid,
}

/// The chunk that is written where none is asked for: what a task computes.
fn default_chunk(grid: &ChunkGrid, dtype: DType) -> ChunkShape {
    let largest = grid.tasks(dtype.bytes(), true).largest();
    ChunkShape::new(largest.as_slice().iter().map(|&n| n.max(1)).collect::<Vec<_>>())
}

/// The folders above an array, from the one whose name says that it is Zarr.
fn groups_above(target: &Path) -> Vec<PathBuf> {
    let above: Vec<&Path> = target.ancestors().skip(1).collect();
    let root = above.iter().rposition(|p| p.extension().is_some_and(|e| e == "zarr"));
    root.map_or(Vec::new(), |last| above[..=last].iter().map(|p| p.to_path_buf()).collect())
}

/// Whether a folder is one that a new array may replace.
fn check_replaced(target: &Path) -> Result<()> {
    let is_array = target.join(".zarray").is_file()
        || std::fs::read(target.join("zarr.json")).is_ok_and(|text| {
            let metadata: Value = serde_json::from_slice(&text).unwrap_or_default();
            metadata["node_type"] == "array"
        });
    let empty = std::fs::read_dir(target).is_ok_and(|mut d| d.next().is_none());
    if target.exists() && !is_array && !empty {
        let problem = "it is no Zarr array and is not overwritten: remove it, or choose another \
                       name";
        return Err(failed(WRITE, target, problem));
    }
    Ok(())
}

impl ZarrSink {
    /// Of an array of that type, cut as that grid.
    pub(crate) fn new(
        location: &Location,
        options: &ZarrWrite,
        dtype: DType,
        grid: &ChunkGrid,
    ) -> Result<Self> {
        let shape = grid.shape();
        let chunk = options.chunk.clone().unwrap_or_else(|| match &options.shard {
            Some(shard) => shard.clone(),
            None => default_chunk(grid, dtype),
        });
        let outer = options.shard.as_ref().unwrap_or(&chunk);
        let chunks = ChunkGrid::regular(&shape, outer)?;
        ChunkGrid::regular(&shape, &chunk)?;
        let metadata = metadata(options, &shape, &chunk, dtype)?;
        let (storage, pending) = match location {
            Location::Folder(target) => {
                if options.overwrite {
                    check_replaced(target)?;
                }
                let pending = Pending::new(WRITE, target, options.overwrite)?;
                (location.folder(pending.path()), Some(pending))
            }
            Location::Remote(_) => (location.storage(WRITE, &options.options)?, None),
        };
        let place = location.to_string();
        if pending.is_none() {
            clear(&storage, &place, options.overwrite)?;
        }
        let array = open(storage, &metadata).map_err(|e| failed(WRITE, &place, e))?;
        let groups = match location {
            Location::Folder(target) => groups_above(target),
            Location::Remote(_) => Vec::new(),
        };
        Ok(Self {
            codec_options: one_thread().with_store_empty_chunks(!options.skip_fill),
            fill: options.fill.element(dtype)?,
            tiles: chunks.tasks(dtype.bytes(), false),
            chunk: outer.as_slice().to_vec(),
            array,
            place,
            metadata,
            pending,
            groups,
            dtype,
            chunks,
        })
    }

    /// A chunk's elements, with the fill value beyond the array's end, and the position of the
    /// first one.
    fn whole_chunk(&self, tile: &Tile) -> (Arc<Buf>, usize) {
        if tile.shape().as_slice() == self.chunk {
            let dense = tile.to_dense();
            return (Arc::clone(dense.buf()), dense.offset());
        }
        let n = self.chunk.iter().product();
        let mut buf = dispatch!(self.dtype, T => {
            <T as crate::element::Element>::wrap(vec![self.fill.typed::<T>()[0]; n])
        });
        let begin = vec![0; self.chunk.len()];
        let mut to = Place { buf: &mut buf, lens: &self.chunk, begin: &begin };
        to.put(tile.shape().as_slice(), tile.buf(), tile.offset(), tile.strides());
        (Arc::new(buf), 0)
    }
}

/// Makes room in a store that is no folder.
fn clear(storage: &Storage, place: &str, overwrite: bool) -> Result<()> {
    for name in ["zarr.json", ".zarray"] {
        let key = StoreKey::new(name).map_err(|e| failed(WRITE, place, e))?;
        if storage.size_key(&key).map_err(|e| failed(WRITE, place, e))?.is_none() {
            continue;
        }
        if !overwrite {
            let problem = "it exists: choose another name, or say that it is to be overwritten";
            return Err(failed(WRITE, place, problem));
        }
        // Without it there is no array, while another one is written.
        storage.erase(&key).map_err(|e| failed(WRITE, place, e))?;
    }
    Ok(())
}

/// The array of some metadata.
fn open(
    storage: Arc<Storage>,
    metadata: &[(&'static str, Value)],
) -> std::result::Result<Array<Storage>, BoxError> {
    let parsed: ArrayMetadata = serde_json::from_value(metadata[0].1.clone())?;
    let mut array = Array::new_with_metadata(storage, "/", parsed)?;
    array.set_codec_options(one_thread());
    Ok(array)
}

impl Sink for ZarrSink {
    fn chunks(&self) -> &ChunkGrid {
        &self.chunks
    }

    fn grid(&self) -> &ChunkGrid {
        &self.tiles
    }

    /// A chunk, what it is encoded to, and what is between.
    fn working_bytes(&self) -> u64 {
        3 * (self.chunk.iter().product::<usize>() * self.dtype.bytes()) as u64
    }

    fn write(&self, region: &Region, tile: &Tile) -> Result<(), BoxError> {
        let index: Vec<u64> = region
            .axes
            .iter()
            .zip(self.chunks.axes())
            .map(|(span, axis)| axis.find(span.start) as u64)
            .collect();
        let (buf, offset) = self.whole_chunk(tile);
        let (n, size) = (self.chunk.iter().product::<usize>(), self.dtype.bytes());
        let bytes = &buf.as_bytes()[offset * size..(offset + n) * size];
        let bytes = ArrayBytes::new_flen(Cow::Borrowed(bytes));
        self.array
            .store_chunk_opt(&index, bytes, &self.codec_options)
            .map_err(|e| failed(WRITE, &self.place, format!("chunk {index:?}: {e}")).into())
    }

    fn finish(&self) -> Result<(), BoxError> {
        let storage = self.array.storage();
        for (name, text) in self.metadata.iter().rev() {
            let text = serde_json::to_vec_pretty(text)?;
            let problem = |e: &dyn std::fmt::Display| failed(WRITE, &self.place, e);
            let key = StoreKey::new(*name).map_err(|e| problem(&e))?;
            storage.set(&key, text.into()).map_err(|e| problem(&e))?;
        }
        let Some(pending) = &self.pending else { return Ok(()) };
        pending.finish().map_err(|e| failed(WRITE, pending.target(), e))?;
        for group in &self.groups {
            write_group(group, self.metadata[0].0 == ".zarray")
                .map_err(|e| failed(WRITE, group, e))?;
        }
        Ok(())
    }
}

/// Makes a folder a group, where it is none.
fn write_group(folder: &Path, version_2: bool) -> std::io::Result<()> {
    if ["zarr.json", ".zgroup", ".zarray"].iter().any(|n| folder.join(n).exists()) {
        return Ok(());
    }
    let (name, group) = if version_2 {
        (".zgroup", json!({"zarr_format": 2}))
    } else {
        ("zarr.json", json!({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    };
    std::fs::write(folder.join(name), group.to_string())
}
