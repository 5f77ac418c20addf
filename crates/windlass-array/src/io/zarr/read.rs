//! Reading Zarr: its metadata when it is opened, its chunks when they are needed.

use std::sync::Arc;

use zarrs::{array::Array, plugin::ExtensionName};

use super::{
    Storage,
    chunk::{Chunks, one_thread},
};
use crate::{
    dtype::DType,
    error::Result,
    expr::BoxError,
    grid::{AxisGrid, ChunkGrid},
    io::{
        place::failed,
        source::{Place, Source},
    },
    region::Region,
    shape::ChunkIndex,
};

/// Shards of more bytes than this are read in parts (a stated guess: the largest tile).
const LARGE_SHARD: usize = 32 << 20;

const OPEN: &str = "open zarr";

/// An open Zarr array.
pub(crate) struct ZarrSource {
    chunks: Chunks,
    place: String,
    codecs: String,
    /// The chunks, or the inner ones of large shards.
    grid: ChunkGrid,
    /// Bytes of what is decoded at once.
    unit_bytes: u64,
}

impl std::fmt::Debug for ZarrSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "zarr {}", self.place)
    }
}

/// The names of the codecs, as the metadata has them.
fn codec_names(array: &Array<Storage>) -> String {
    let metadata = serde_json::to_value(array.metadata()).unwrap_or_default();
    let name = |c: &serde_json::Value| {
        let name = c.get("name").or_else(|| c.get("id")).unwrap_or(c).as_str()?;
        // Of shards, those of the chunks in them.
        let inner = c.pointer("/configuration/codecs").and_then(|l| l.as_array());
        let inner = inner.map(|l| l.iter().filter_map(|c| c["name"].as_str()).collect::<Vec<_>>());
        Some(inner.map_or(name.to_string(), |i| format!("{name} of {}", i.join(" and "))))
    };
    let list = |key: &str| metadata.get(key).and_then(|l| l.as_array()).cloned();
    let mut names: Vec<String> = Vec::new();
    for key in ["codecs", "filters"] {
        names.extend(list(key).unwrap_or_default().iter().filter_map(name));
    }
    names.extend(metadata.get("compressor").and_then(name));
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The stored chunks along one axis.
fn axis(
    array: &Array<Storage>,
    axis: usize,
    len: usize,
    regular: bool,
) -> Result<AxisGrid, String> {
    let rank = array.dimensionality();
    let mut index = vec![0_u64; rank];
    if regular {
        let shape = array.chunk_shape_usize(&index).map_err(|e| e.to_string())?;
        return Ok(AxisGrid::regular(len, shape[axis]));
    }
    let mut lengths = Vec::new();
    for i in 0..array.chunk_grid_shape()[axis] {
        index[axis] = i;
        let shape = array.chunk_subset_bounded(&index).map_err(|e| e.to_string())?;
        lengths.push(shape.shape()[axis] as usize);
    }
    Ok(AxisGrid::lengths(&lengths))
}

/// The grid of the stored chunks.
fn stored_grid(array: &Array<Storage>) -> Result<ChunkGrid, String> {
    let shape: Vec<usize> = array.shape().iter().map(|&n| n as usize).collect();
    let name = array.chunk_grid().name_v3();
    let regular = name.is_none_or(|n| n == "regular");
    let axes = shape.iter().enumerate().map(|(i, &n)| {
        if n == 0 { Ok(AxisGrid::regular(0, 1)) } else { axis(array, i, n, regular) }
    });
    Ok(ChunkGrid::new(axes.collect::<Result<_, _>>()?))
}

impl ZarrSource {
    /// Opens the array whose keys are those of a storage.
    pub(crate) fn open(storage: Arc<Storage>, place: &str, require_chunks: bool) -> Result<Self> {
        let mut array = Array::open(storage, "/").map_err(|e| {
            use zarrs::array::ArrayCreateError::MissingMetadata;
            let problem = match e {
                MissingMetadata => "there is no Zarr array: neither zarr.json nor .zarray".into(),
                e => e.to_string(),
            };
            failed(OPEN, place, problem)
        })?;
        array.set_codec_options(one_thread());
        let name = array.data_type().name_v3().unwrap_or_default();
        let dtype = DType::from_name(&name).ok_or_else(|| {
            failed(OPEN, place, format!("its data type `{name}` is none that arrays have"))
        })?;
        let stored = stored_grid(&array).map_err(|e| failed(OPEN, place, e))?;
        let bytes = |grid: &ChunkGrid| {
            grid.largest().as_slice().iter().product::<usize>().saturating_mul(dtype.bytes())
        };
        if !array.storage_transformers().create_metadatas().is_empty() {
            return Err(failed(OPEN, place, "it has storage transformers, which are not known"));
        }
        let codecs = codec_names(&array);
        let chunks = Chunks::new(array, dtype, require_chunks);
        let chunks = chunks.map_err(|e| failed(OPEN, place, e))?;
        let grid = match chunks.inner_shape().filter(|_| bytes(&stored) > LARGE_SHARD) {
            Some(chunk) => ChunkGrid::regular(&stored.shape(), &chunk.into())?,
            None => stored,
        };
        let unit_bytes = bytes(&grid) as u64;
        Ok(Self { chunks, place: place.to_string(), codecs, grid, unit_bytes })
    }

    pub(crate) fn dtype(&self) -> DType {
        self.chunks.dtype
    }

    /// The array's attributes.
    pub(crate) fn attributes(&self) -> &serde_json::Map<String, serde_json::Value> {
        self.chunks.array.attributes()
    }

    /// The chunk, or the shard, that holds the first element of a region.
    fn chunk_of(&self, region: &Region) -> Result<Vec<u64>, String> {
        let start: Vec<u64> = region.axes.iter().map(|s| s.start as u64).collect();
        let found = self.chunks.array.chunk_grid().chunk_indices(&start);
        let found = found.map_err(|e| e.to_string())?;
        found.map(|f| f.to_vec()).ok_or_else(|| format!("no chunk holds element {start:?}"))
    }
}

impl Source for ZarrSource {
    fn name(&self) -> &'static str {
        "zarr"
    }

    fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    /// What is stored, and what it is decoded to before it is put in its place.
    fn working_bytes(&self) -> u64 {
        3 * self.unit_bytes
    }

    fn read(&self, at: &ChunkIndex, region: &Region, to: &mut Place<'_>) -> Result<(), BoxError> {
        let wrong = |chunk: &[u64], problem: String| -> BoxError {
            let problem = format!("chunk {chunk:?} (codecs: {}): {problem}", self.codecs);
            failed("read zarr", &self.place, problem).into()
        };
        let near: Vec<u64> = at.as_slice().iter().map(|&i| i as u64).collect();
        let chunk = self.chunk_of(region).map_err(|e| wrong(&near, e))?;
        self.chunks.read(&chunk, region, to).map_err(|e| wrong(&chunk, e))
    }
}
