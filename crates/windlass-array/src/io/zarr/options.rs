//! How Zarr is read and written.

use crate::{scalar::Scalar, shape::ChunkShape};

/// How an array is read from Zarr.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ZarrRead {
    pub(crate) require_chunks: bool,
    pub(crate) options: Vec<(String, String)>,
}

impl ZarrRead {
    /// Whether a chunk that is not there is an error. Else it holds the fill value everywhere,
    /// as Zarr has it. Of shards, each chunk in them must be there: writers, this crate's too,
    /// leave out inner chunks that hold nothing but the fill value, which are errors then. Not
    /// looked for are chunks in shards that are transposed or compressed as a whole, and those
    /// of shards in shards.
    pub fn require_chunks(mut self, required: bool) -> Self {
        self.require_chunks = required;
        self
    }

    /// An option of the object store, by the name that the crate `object_store` knows, as
    /// `aws_region`. Variables of the environment are the defaults.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }
}

/// How a chunk's bytes are made fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// They are not.
    None,
    /// Zstandard; fast, and small enough for most data.
    Zstd {
        /// From 1, the fastest, to 22.
        level: i32,
    },
    /// DEFLATE with gzip's header.
    Gzip {
        /// From 0 to 9.
        level: u32,
    },
    /// Blosc: bytes of numbers sorted by their place, then compressed.
    Blosc {
        /// The compressor.
        compressor: BloscCompressor,
        /// From 0 to 9.
        level: u8,
        /// How bytes are sorted before.
        shuffle: Shuffle,
    },
    /// Zstandard of level 0, its default: as zarr-python's.
    #[default]
    Default,
}

/// The compressor of Blosc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant is named as its compressor")]
pub enum BloscCompressor {
    BloscLz,
    Lz4,
    Lz4Hc,
    Snappy,
    Zlib,
    Zstd,
}

impl BloscCompressor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BloscLz => "blosclz",
            Self::Lz4 => "lz4",
            Self::Lz4Hc => "lz4hc",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

/// How Blosc sorts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// As they are.
    None,
    /// By their place in the number.
    Bytes,
    /// By their bits' place in the number.
    Bits,
}

/// How an array is written to Zarr: version 3, in chunks of the array's own tasks (at most
/// about 32 MiB), by [`Codec::Default`], unless something else is said.
#[derive(Debug, Clone)]
#[must_use]
pub struct ZarrWrite {
    pub(crate) version: u8,
    pub(crate) chunk: Option<ChunkShape>,
    pub(crate) shard: Option<ChunkShape>,
    pub(crate) codec: Codec,
    pub(crate) checksum: bool,
    pub(crate) fill: Scalar,
    pub(crate) skip_fill: bool,
    pub(crate) overwrite: bool,
    pub(crate) separator: Option<char>,
    pub(crate) attributes: serde_json::Map<String, serde_json::Value>,
    pub(crate) dimensions: Option<Vec<String>>,
    pub(crate) options: Vec<(String, String)>,
}

impl Default for ZarrWrite {
    fn default() -> Self {
        Self {
            version: 3,
            chunk: None,
            shard: None,
            codec: Codec::Default,
            checksum: false,
            fill: Scalar::Int(0),
            skip_fill: false,
            overwrite: false,
            separator: None,
            attributes: serde_json::Map::new(),
            dimensions: None,
            options: Vec::new(),
        }
    }
}

impl ZarrWrite {
    /// The version of the format, 2 or 3.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// The shape of a chunk.
    pub fn chunk(mut self, chunk: impl Into<ChunkShape>) -> Self {
        self.chunk = Some(chunk.into());
        self
    }

    /// The shape of a shard, several chunks that are one file: a multiple of the chunk's along
    /// each axis. Version 3 alone has them. A shard is held in memory while it is written.
    pub fn shard(mut self, shard: impl Into<ChunkShape>) -> Self {
        self.shard = Some(shard.into());
        self
    }

    /// The codec.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Whether each chunk has a CRC32C sum behind it, so that a damaged one is found when it
    /// is read. Version 3 alone has it.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    /// The value of what is not there, 0 unless it is said.
    pub fn fill(mut self, fill: impl Into<Scalar>) -> Self {
        self.fill = fill.into();
        self
    }

    /// Whether chunks that hold nothing but the fill value are left out.
    pub fn skip_fill(mut self, skip: bool) -> Self {
        self.skip_fill = skip;
        self
    }

    /// Whether an array of that name is replaced. It is there until the new one is complete;
    /// in an object store until the writing begins.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// What separates the parts of a chunk's key, `/` or `.`: the first for version 3, the
    /// second for version 2, unless it is said.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = Some(separator);
        self
    }

    /// An attribute.
    pub fn attribute(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The names of the axes: of version 3 its own field, of version 2 the attribute
    /// `_ARRAY_DIMENSIONS`.
    pub fn dimensions<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.dimensions = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// As [`ZarrRead::option`].
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }
}
