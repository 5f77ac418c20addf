//! Zarr's keys as files of a folder.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use zarrs::storage::{
    Bytes, MaybeBytes, MaybeBytesIterator, OffsetBytesIterator, ReadableStorageTraits,
    StorageError, StoreKey, StorePrefix, WritableStorageTraits,
    byte_range::{ByteRange, ByteRangeIterator},
};

/// A folder. Files are read and written whole or in part, and are not synchronised to the
/// disk: what makes an array of them is renaming the folder when all are there.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// Nothing where there is no such file.
fn found<T>(result: io::Result<T>) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A part of a file of that many bytes.
fn read_part(file: &mut File, size: u64, range: ByteRange) -> Result<Bytes, StorageError> {
    let (begin, length) = match range {
        ByteRange::FromStart(begin, None) => (begin, size.checked_sub(begin)),
        ByteRange::FromStart(begin, Some(length)) => (begin, Some(length)),
        ByteRange::Suffix(length) => (size.saturating_sub(length), Some(length)),
    };
    let Some(length) = length.filter(|l| begin.checked_add(*l).is_some_and(|end| end <= size))
    else {
        return Err(StorageError::Other(format!("it ends after {size} bytes, before {range}")));
    };
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(usize::MAX));
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(StorageError::Other(format!("it ends before {range}")));
    }
    Ok(bytes.into())
}

impl Folder {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &StoreKey) -> PathBuf {
        self.root.join(key.as_str())
    }
}

impl ReadableStorageTraits for Folder {
    fn get(&self, key: &StoreKey) -> Result<MaybeBytes, StorageError> {
        Ok(found(fs::read(self.path(key)))?.map(Bytes::from))
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let Some(mut file) = found(File::open(self.path(key)))? else { return Ok(None) };
        let size = file.metadata()?.len();
        Ok(Some(Box::new(ranges.map(move |range| read_part(&mut file, size, range)))))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        Ok(found(fs::metadata(self.path(key)))?.map(|m| m.len()))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

/// Writes a file, whose folder is made where it is missing.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::write(path, bytes) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, bytes)
        }
        done => done,
    }
}

impl WritableStorageTraits for Folder {
    fn set(&self, key: &StoreKey, value: Bytes) -> Result<(), StorageError> {
        Ok(write(&self.path(key), &value)?)
    }

    fn set_partial_many(
        &self,
        key: &StoreKey,
        values: OffsetBytesIterator<'_>,
    ) -> Result<(), StorageError> {
        let mut all = found(fs::read(self.path(key)))?.unwrap_or_default();
        for (offset, value) in values {
            let begin = usize::try_from(offset).map_err(|e| StorageError::Other(e.to_string()))?;
            all.resize(all.len().max(begin + value.len()), 0);
            all[begin..begin + value.len()].copy_from_slice(&value);
        }
        Ok(write(&self.path(key), &all)?)
    }

    fn erase(&self, key: &StoreKey) -> Result<(), StorageError> {
        found(fs::remove_file(self.path(key))).map(drop)
    }

    fn erase_prefix(&self, prefix: &StorePrefix) -> Result<(), StorageError> {
        found(fs::remove_dir_all(self.root.join(prefix.as_str()))).map(drop)
    }

    fn supports_set_partial(&self) -> bool {
        false
    }
}
