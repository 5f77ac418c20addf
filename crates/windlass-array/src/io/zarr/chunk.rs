//! Reading and decoding one chunk, or one inner chunk of a shard. What is compressed or has a
//! sum is decoded whole, so that damage is found wherever it is.

use std::{borrow::Cow, num::NonZeroU64};

use unsafe_cell_slice::UnsafeCellSlice;
use zarrs::{
    array::{
        Array, ArrayBytesDecodeIntoTarget, ArrayBytesFixedDisjointView, ArrayError as ZarrError,
        ArrayShardedExt, ArrayShardedReadableExt, ArrayShardedReadableExtCache, ArraySubset,
        ArrayToBytesCodecTraits, CodecChain, CodecOptions, copy_fill_value_into,
    },
    metadata::v3::MetadataV3,
    storage::{StoreKey, byte_range::ByteRange},
};

use super::Storage;
use crate::{
    dtype::DType,
    element::Buf,
    grid::ChunkGrid,
    io::{
        bytes::{bytes_mut, filled_by},
        source::Place,
    },
    region::{Region, Span, overlaps},
    shape::strides,
};

/// How many shards' indices are kept (a stated guess: some for each thread).
const KEPT_INDICES: usize = 64;

/// What is wrong, of a chunk that the caller names.
type Problem = String;

fn text(e: impl std::fmt::Display) -> Problem {
    e.to_string()
}

/// One thread for each task: the tasks are what runs at once.
pub(crate) fn one_thread() -> CodecOptions {
    CodecOptions::default().with_concurrent_target(1)
}

/// An open array, whose chunks are read one by one.
pub(crate) struct Chunks {
    pub(crate) array: Array<Storage>,
    pub(crate) dtype: DType,
    pub(crate) require: bool,
    /// Whether the bytes of a chunk are its elements, so that any part is read by itself.
    plain: bool,
    inner: Option<Inner>,
}

/// The chunks in shards.
struct Inner {
    shape: Vec<NonZeroU64>,
    codecs: CodecChain,
    indices: ArrayShardedReadableExtCache,
}

/// Where decoded bytes go: a part of a buffer.
struct Bytes<'a> {
    bytes: &'a mut [u8],
    size: usize,
    lens: &'a [u64],
    part: ArraySubset,
}

impl Bytes<'_> {
    /// Calls a decoder with it.
    fn with(
        self,
        decode: impl FnOnce(ArrayBytesDecodeIntoTarget<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        // SAFETY: the bytes are borrowed for the whole call, and this is their only view.
        let view = unsafe {
            ArrayBytesFixedDisjointView::new(
                UnsafeCellSlice::new(self.bytes),
                self.size,
                self.lens,
                self.part,
            )
        };
        decode(ArrayBytesDecodeIntoTarget::Fixed(&mut view.map_err(text)?))
    }
}

/// The codecs of inner chunks, where shards are stored as they are.
fn inner(array: &Array<Storage>) -> Result<Option<Inner>, Problem> {
    if !array.is_exclusively_sharded() {
        return Ok(None);
    }
    let Some(shape) = array.effective_subchunk_shape() else { return Ok(None) };
    let metadata = serde_json::to_value(array.metadata()).map_err(text)?;
    let codecs = metadata["codecs"][0]["configuration"]["codecs"].clone();
    let codecs: Vec<MetadataV3> = serde_json::from_value(codecs).map_err(text)?;
    let codecs = CodecChain::from_metadata(&codecs).map_err(text)?;
    Ok(Some(Inner { shape, codecs, indices: ArrayShardedReadableExtCache::new(array) }))
}

fn missing(key: &StoreKey) -> Problem {
    format!("there is none ({key}), and chunks are required")
}

fn left_out() -> Problem {
    "its shard leaves it out, and chunks are required".into()
}

impl Chunks {
    pub(crate) fn new(array: Array<Storage>, dtype: DType, require: bool) -> Result<Self, Problem> {
        let plain = array.codecs().bytes_to_bytes_codecs().is_empty() && !array.is_sharded();
        Ok(Self { inner: inner(&array)?, array, dtype, require, plain })
    }

    /// The shape of inner chunks, where there are some.
    pub(crate) fn inner_shape(&self) -> Option<Vec<usize>> {
        let shape = &self.inner.as_ref()?.shape;
        Some(shape.iter().map(|n| n.get() as usize).collect())
    }

    /// Reads a region within a chunk or a shard to its place.
    pub(crate) fn read(
        &self,
        chunk: &[u64],
        region: &Region,
        to: &mut Place<'_>,
    ) -> Result<(), Problem> {
        let origin = self.array.chunk_origin(chunk).map_err(text)?;
        let shape = self.array.chunk_shape(chunk).map_err(text)?;
        let starts: Vec<u64> = region.axes.iter().map(|s| s.start as u64).collect();
        let whole = starts == origin
            && region.axes.iter().zip(shape.iter()).all(|(s, n)| s.len as u64 == n.get());
        match &self.inner {
            Some(inner) if !whole => return self.read_inner(inner, chunk, region, to),
            _ if self.plain && !whole => return self.read_part(chunk, region, to),
            _ => {}
        }
        let key = self.array.chunk_key(chunk);
        let encoded = self.array.storage().get(&key).map_err(text)?;
        if encoded.is_none() && self.require {
            return Err(missing(&key));
        }
        if let Some(inner) = self.inner.as_ref().filter(|_| self.require) {
            self.check_inner(inner, region)?;
        }
        let encoded = encoded.map(Vec::from);
        let within = starts.iter().zip(&origin).map(|(s, o)| (s - o) as usize).collect();
        self.decode(&self.array.codecs(), encoded, &shape, (region, within), to)
    }

    /// Whether a chunk that is required is there.
    fn check(&self, chunk: &[u64]) -> Result<(), Problem> {
        let key = self.array.chunk_key(chunk);
        if self.require && self.array.storage().size_key(&key).map_err(text)?.is_none() {
            return Err(missing(&key));
        }
        Ok(())
    }

    /// Whether the inner chunks of a shard that hold a region are there.
    fn check_inner(&self, inner: &Inner, region: &Region) -> Result<(), Problem> {
        let mut done = Ok(());
        self.forget_indices(inner);
        overlaps(&self.inner_grid(inner)?, region, |index, _| {
            if done.is_ok() {
                let at: Vec<u64> = index.iter().map(|&i| i as u64).collect();
                let there = self.inner_is_there(inner, &at).map_err(text);
                let there = there.and_then(|t| if t { Ok(()) } else { Err(left_out()) });
                done = there.map_err(|e| format!("inner chunk {index:?}: {e}"));
            }
        });
        done
    }

    /// The inner chunks of all shards.
    fn inner_grid(&self, inner: &Inner) -> Result<ChunkGrid, Problem> {
        let shape: Vec<usize> = inner.shape.iter().map(|n| n.get() as usize).collect();
        let all: Vec<usize> = self.array.shape().iter().map(|&n| n as usize).collect();
        ChunkGrid::regular(&all.into(), &shape.into()).map_err(text)
    }

    /// Forgets the indices of shards if there are many.
    fn forget_indices(&self, inner: &Inner) {
        if inner.indices.len() > KEPT_INDICES {
            inner.indices.clear();
        }
    }

    /// Reads a part of a chunk whose bytes are its elements.
    fn read_part(&self, chunk: &[u64], region: &Region, to: &mut Place<'_>) -> Result<(), Problem> {
        self.check(chunk)?;
        let start = region.axes.iter().map(|s| s.start as u64).collect();
        let lens: Vec<u64> = region.axes.iter().map(|s| s.len as u64).collect();
        let subset = ArraySubset::new_with_start_shape(start, lens).map_err(text)?;
        self.placed(&region.lens(), to, |target| {
            let read = self.array.retrieve_array_subset_into_opt(&subset, target, &one_thread());
            read.map_err(text)
        })
    }

    /// Reads the inner chunks of a shard that hold a region.
    fn read_inner(
        &self,
        inner: &Inner,
        shard: &[u64],
        region: &Region,
        to: &mut Place<'_>,
    ) -> Result<(), Problem> {
        self.forget_indices(inner);
        self.check(shard)?;
        let grid = self.inner_grid(inner)?;
        let mut done = Ok(());
        let begin = to.begin.to_vec();
        overlaps(&grid, region, |index, parts| {
            if done.is_err() {
                return;
            }
            let part = |(s, &(a, b)): (&Span, &(usize, usize))| Span::new(s.start + a, 1, b - a);
            let own = Region::new(region.axes.iter().zip(parts).map(part).collect());
            let begin: Vec<usize> = begin.iter().zip(parts).map(|(b, p)| b + p.0).collect();
            let mut to = Place { buf: to.buf, lens: to.lens, begin: &begin };
            let at: Vec<u64> = index.iter().map(|&i| i as u64).collect();
            let within = own.axes.iter().zip(&inner.shape);
            let within = within.map(|(s, n)| s.start % n.get() as usize).collect();
            done = self
                .encoded_inner(inner, &at)
                .map_err(text)
                .and_then(|encoded| {
                    if encoded.is_none() && self.require {
                        return Err(left_out());
                    }
                    self.decode(&inner.codecs, encoded, &inner.shape, (&own, within), &mut to)
                })
                .map_err(|e| format!("inner chunk {index:?}: {e}"));
        });
        done
    }

    /// Whether a shard's index has an inner chunk. One that it says is not there is a place past
    /// all files for zarrs.
    fn inner_is_there(&self, inner: &Inner, at: &[u64]) -> Result<bool, ZarrError> {
        let place = self.array.subchunk_byte_range(&inner.indices, at)?;
        Ok(!matches!(place, None | Some(ByteRange::FromStart(u64::MAX, _))))
    }

    /// The bytes of an inner chunk, if it is there.
    fn encoded_inner(&self, inner: &Inner, at: &[u64]) -> Result<Option<Vec<u8>>, ZarrError> {
        match self.inner_is_there(inner, at)? {
            false => Ok(None),
            true => self.array.retrieve_encoded_subchunk(&inner.indices, at),
        }
    }

    /// Decodes a chunk, or fills it where there is none, and puts a region of it, which begins
    /// there in it, to its place: straight where it is all of the chunk.
    fn decode(
        &self,
        codecs: &CodecChain,
        encoded: Option<Vec<u8>>,
        shape: &[NonZeroU64],
        (region, within): (&Region, Vec<usize>),
        to: &mut Place<'_>,
    ) -> Result<(), Problem> {
        let (dtype, fill) = (self.array.data_type(), self.array.fill_value());
        let decode = |target: ArrayBytesDecodeIntoTarget<'_>| match encoded {
            None => copy_fill_value_into(dtype, fill, target).map_err(text),
            Some(encoded) => codecs
                .decode_into(Cow::Owned(encoded), shape, dtype, fill, target, &one_thread())
                .map_err(text),
        };
        let lens = region.lens();
        if lens.iter().zip(shape).all(|(l, n)| *l as u64 == n.get()) {
            return self.placed(&lens, to, decode);
        }
        let chunk: Vec<usize> = shape.iter().map(|n| n.get() as usize).collect();
        let steps = strides(&chunk);
        let values = self.decoded(&chunk, decode)?;
        let offset = within.iter().zip(&steps).map(|(w, s)| w * *s as usize).sum();
        to.put(&lens, &values, offset, &steps);
        Ok(())
    }

    /// A buffer of these lengths that is decoded to.
    fn decoded(
        &self,
        lens: &[usize],
        decode: impl FnOnce(ArrayBytesDecodeIntoTarget<'_>) -> Result<(), Problem>,
    ) -> Result<Buf, Problem> {
        let wide: Vec<u64> = lens.iter().map(|&n| n as u64).collect();
        let part = ArraySubset::new_with_shape(wide.clone());
        filled_by(self.dtype, lens.iter().product(), |bytes| {
            Bytes { bytes, size: self.dtype.bytes(), lens: &wide, part }.with(decode)
        })
    }

    /// Decodes that many elements to their place.
    fn placed(
        &self,
        lens: &[usize],
        to: &mut Place<'_>,
        decode: impl FnOnce(ArrayBytesDecodeIntoTarget<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Some(bytes) = bytes_mut(to.buf) else {
            let values = self.decoded(lens, decode)?;
            to.put(lens, &values, 0, &strides(lens));
            return Ok(());
        };
        let wide: Vec<u64> = to.lens.iter().map(|&n| n as u64).collect();
        let begin = to.begin.iter().map(|&n| n as u64).collect();
        let own = lens.iter().map(|&n| n as u64).collect();
        let part = ArraySubset::new_with_start_shape(begin, own).map_err(text)?;
        Bytes { bytes, size: self.dtype.bytes(), lens: &wide, part }.with(decode)
    }
}
