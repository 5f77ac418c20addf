//! Arrays whose regions are made of regions of others: what filters with overlapping chunks,
//! contractions, gathering, selection and trees of partial results have in common.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
};

use windlass_runtime::graph::Spill;

use super::BoxError;
use crate::{
    dtype::DType,
    region::Region,
    shape::ArrayShape,
    tile::{Tile, read_word, write_words},
};

/// Regions of inputs, each with the input's position.
pub(crate) type Reads = Vec<(usize, Region)>;

/// What a part of the inputs gave: some tiles, of shapes that the operation knows.
#[derive(Debug, Clone)]
pub(crate) struct Partial(pub(crate) Vec<Tile>);

impl Partial {
    /// Of one tile.
    pub(crate) fn one(tile: Tile) -> Self {
        Self(vec![tile])
    }

    /// Its only tile.
    pub(crate) fn into_tile(self) -> Result<Tile, BoxError> {
        self.0.into_iter().next().ok_or_else(|| "a part gave no tile".into())
    }
}

impl Spill for Partial {
    fn bytes(&self) -> u64 {
        self.0.iter().map(|t| t.nbytes() as u64).sum()
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        write_words(to, &[self.0.len()])?;
        self.0.iter().try_for_each(|t| Spill::write(t, to))
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        let (_, n) = (read_word(from)?, read_word(from)?);
        Ok(Self((0..n).map(|_| Tile::read(from)).collect::<io::Result<_>>()?))
    }
}

/// An operation that makes regions of its array of regions of the inputs. A region is made
/// of parts: each gives a [`Partial`] by a task of its own, these are merged in a tree, in
/// their order, and what is left becomes the region. Most operations have one part a region.
///
/// Regions have steps of 1, and are never empty.
pub(crate) trait Regions: Send + Sync {
    /// What it is called in task names and errors.
    fn name(&self) -> &'static str;

    /// Whether it is asked for whole chunks of its array only, and not for other regions.
    fn whole_chunks(&self) -> bool {
        false
    }

    /// Whether regions of the inputs are read by so many that inputs which are not free are
    /// kept.
    fn reads_again(&self) -> bool {
        false
    }

    /// Whether a task makes one chunk of its array, and not as many as are about a task's
    /// work: where much more is read than made.
    fn chunk_a_task(&self) -> bool {
        false
    }

    /// What a region is made of: the regions of inputs for each part. They may be empty.
    fn parts(&self, region: &Region) -> Vec<Reads>;

    /// What part `at` of a region gives, of tiles of what [`Regions::parts`] names for it.
    fn part(&self, region: &Region, at: usize, inputs: &[Tile]) -> Result<Partial, BoxError>;

    /// Several parts as one, in their order; at least two.
    fn merge(&self, region: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        let _ = (region, parts);
        Err(format!("{}: a region of one part is not merged", self.name()).into())
    }

    /// The region's elements of all parts.
    fn finish(&self, region: &Region, all: Partial) -> Result<Tile, BoxError> {
        let _ = region;
        all.into_tile()
    }

    /// Bytes of what a part of a region gives, where it is not about the region itself.
    fn partial_bytes(&self, region: &Region, element: usize) -> u64 {
        (region.size() * element) as u64
    }
}

/// An operation that is one closure over whole chunks, each of one part.
pub(crate) struct OfChunks<R, F> {
    pub(crate) name: &'static str,
    /// What the chunk at a region needs.
    pub(crate) reads: R,
    /// The chunk.
    pub(crate) make: F,
}

impl<R, F> Regions for OfChunks<R, F>
where
    R: Fn(&Region) -> Reads + Send + Sync,
    F: Fn(&Region, &[Tile]) -> Result<Tile, BoxError> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn whole_chunks(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        vec![(self.reads)(region)]
    }

    fn part(&self, region: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        (self.make)(region, inputs).map(Partial::one)
    }
}

macro_rules! closures {
    ($($(#[$doc:meta])+ $name:ident { $($method:ident)* };)+) => {$(
        $(#[$doc])+
        pub(crate) struct $name<R, F>(pub(crate) OfChunks<R, F>);

        impl<R, F> Regions for $name<R, F>
        where
            R: Fn(&Region) -> Reads + Send + Sync,
            F: Fn(&Region, &[Tile]) -> Result<Tile, BoxError> + Send + Sync,
        {
            fn name(&self) -> &'static str {
                self.0.name
            }

            $(fn $method(&self) -> bool {
                true
            })*

            fn parts(&self, region: &Region) -> Vec<Reads> {
                vec![(self.0.reads)(region)]
            }

            fn part(&self, region: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
                (self.0.make)(region, inputs).map(Partial::one)
            }
        }
    )+};
}

closures! {
    /// As [`OfChunks`], of any region.
    OfRegions {};
    /// As [`OfRegions`], with one chunk a task.
    OneATask { chunk_a_task };
}

/// A shared operation, by its name.
#[derive(Clone)]
pub(crate) struct RegionsOp(pub(crate) Arc<dyn Regions>);

impl fmt::Debug for RegionsOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// Zeros of a region's lengths: what an empty region of an input is.
pub(crate) fn empty_tile(region: &Region, dtype: DType) -> Tile {
    let shape = ArrayShape::new(region.lens());
    Tile::dense(crate::element::Buf::zeros(dtype, shape.size()), shape)
}
