//! Bounded samples of text files: the start of several files, and where a file is not
//! compressed also its middle and end.

use std::{io::Read, sync::Arc};

use bytes::{Buf, Bytes};
use datafusion::{
    common::parsers::CompressionTypeVariant,
    datasource::file_format::file_compression_type::FileCompressionType, error::DataFusionError,
    execution::object_store::ObjectStoreUrl,
};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::{FrameError, Result};

/// Files sampled of a table: the first, the last and some between (a guess).
const FILES: usize = 8;
/// Bytes read from a file's start, as stored. 512 KiB hold some 5,000 records of 100 bytes.
const HEAD_BYTES: u64 = 512 * 1024;
/// Bytes read from a file's middle and from its end.
const PART_BYTES: u64 = 128 * 1024;
/// Text taken from one compressed file's start.
const TEXT_BYTES: u64 = 4 * 1024 * 1024;

/// What was sampled of one file.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The file's location.
    pub(crate) path: String,
    /// Its start: whole lines, except that the last may be cut.
    pub(crate) head: Vec<u8>,
    /// Whether `head` is the whole file.
    pub(crate) whole: bool,
    /// Other parts, which start and end at any byte.
    pub(crate) parts: Vec<Bytes>,
}

/// Which of `n` files are sampled.
fn chosen(n: usize) -> Vec<usize> {
    if n <= FILES {
        return (0..n).collect();
    }
    (0..FILES).map(|i| i * (n - 1) / (FILES - 1)).collect()
}

/// Samples some of the files that are not empty.
///
/// # Errors
/// [`FrameError::Unreadable`] for a file that cannot be read or decompressed.
pub(crate) async fn samples(
    (root, store): (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
    files: &[ObjectMeta],
    compression: CompressionTypeVariant,
) -> Result<Vec<Sample>> {
    let full: Vec<&ObjectMeta> = files.iter().filter(|f| f.size > 0).collect();
    let mut out = Vec::new();
    for i in chosen(full.len()) {
        out.push(sample((root, store), full[i], compression).await?);
    }
    Ok(out)
}

async fn sample(
    (root, store): (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
    file: &ObjectMeta,
    compression: CompressionTypeVariant,
) -> Result<Sample> {
    let path = shown(root, file);
    let unreadable = |reason: String| FrameError::Unreadable { path: path.clone(), reason };
    let range = |start: u64, end: u64| async move {
        let part = store.get_range(&file.location, start..end).await;
        part.map_err(|e| about(e, root, file))
    };
    let stored = range(0, file.size.min(HEAD_BYTES)).await?;
    if compression.is_compressed() {
        let cut = (stored.len() as u64) < file.size;
        let mut reader = FileCompressionType::from(compression)
            .convert_read(stored.reader())
            .map_err(|e| unreadable(e.to_string()))?
            .take(TEXT_BYTES);
        let mut head = Vec::new();
        let end = reader.read_to_end(&mut head);
        // A sample of a longer file ends in the middle of a block: what came before counts.
        if let Err(e) = end
            && (!cut || head.is_empty())
        {
            return Err(unreadable(format!("it does not decompress: {e}")));
        }
        let whole = !cut && (head.len() as u64) < TEXT_BYTES;
        return Ok(Sample { path, head, whole, parts: Vec::new() });
    }
    let whole = stored.len() as u64 == file.size;
    let mut parts = Vec::new();
    if file.size > HEAD_BYTES + 2 * PART_BYTES {
        let middle = file.size / 2;
        for start in [middle, file.size - PART_BYTES] {
            let part = range(start, start + PART_BYTES);
            parts.push(part.await?);
        }
    }
    Ok(Sample { path, head: stored.to_vec(), whole, parts })
}

/// The error of a store as one about a file.
pub(crate) fn about(
    error: object_store::Error,
    store: &ObjectStoreUrl,
    file: &ObjectMeta,
) -> FrameError {
    match FrameError::from(DataFusionError::from(error)) {
        FrameError::Execution(reason) => {
            FrameError::Unreadable { path: shown(store, file), reason }
        }
        other => other,
    }
}

/// A file's name for messages: a local path, or a URL.
pub(crate) fn shown(store: &ObjectStoreUrl, file: &ObjectMeta) -> String {
    match store.as_str().trim_end_matches('/') {
        "file:" => format!("/{}", file.location),
        root => format!("{root}/{}", file.location),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_last_file_are_sampled() {
        assert_eq!(chosen(3), [0, 1, 2]);
        let many = chosen(1000);
        assert_eq!((many.len(), many[0], many[7]), (8, 0, 999));
    }
}
