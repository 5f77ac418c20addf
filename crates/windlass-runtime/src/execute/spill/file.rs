//! A file whose parts are taken and given back, read and written by several threads at once.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::space::{Extent, Space};

/// Smaller writes are gathered before they are made.
const GATHERED: usize = 64 << 10;

/// What is reserved for a value beside its bytes: for its shape and lengths.
const MORE: u64 = 1024;

/// A file and its parts.
#[derive(Debug)]
pub(super) struct Pool {
    file: File,
    path: PathBuf,
    space: Mutex<Space>,
}

impl Pool {
    /// A new file.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, space: Mutex::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn take(&self, bytes: u64) -> Extent {
        self.space.lock().take(bytes)
    }

    fn give(&self, extent: Extent) {
        let mut space = self.space.lock();
        if let Some(len) = space.give(extent) {
            // Where the system does not cut it the bytes are there until the file goes.
            let _ = self.file.set_len(len);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Bytes in some parts of a file, with their checksum. The parts are free when it is dropped.
#[derive(Debug)]
pub(super) struct Stored {
    pool: Arc<Pool>,
    extents: Vec<Extent>,
    len: u64,
    crc: u32,
}

impl Stored {
    /// What `write` writes: about so many bytes.
    ///
    /// # Errors
    /// Those of the file system and of `write`; nothing is kept then.
    pub(super) fn new(
        pool: &Arc<Pool>,
        bytes: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        let extents = vec![pool.take(bytes.saturating_add(MORE))];
        let mut to = Writer {
            stored: Self { pool: Arc::clone(pool), extents, len: 0, crc: 0 },
            before: 0,
            gathered: Vec::new(),
            crc: crc32fast::Hasher::new(),
        };
        write(&mut to)?;
        to.flush()?;
        let Writer { mut stored, before, crc, .. } = to;
        stored.crc = crc.finalize();
        let used = stored.len - before;
        if let Some(last) = stored.extents.last_mut() {
            stored.pool.space.lock().shorten(last, used);
        }
        Ok(stored)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.pool.path()
    }

    /// Reads it by `read`.
    ///
    /// # Errors
    /// Those of the file system and of `read`, and where the checksum is wrong.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut from = Reader { stored: self, at: 0, crc: crc32fast::Hasher::new() };
        let value = read(&mut from);
        // What the type did not read counts for the checksum too.
        io::copy(&mut from, &mut io::sink())?;
        if from.crc.finalize() != self.crc {
            return Err(io::Error::other("its checksum is wrong"));
        }
        value
    }

    /// Where a byte lies in the file, and how many behind it lie there too.
    fn place(&self, mut at: u64) -> (u64, u64) {
        for extent in &self.extents {
            if at < extent.len {
                return (extent.offset + at, extent.len - at);
            }
            at -= extent.len;
        }
        (0, 0)
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.extents.drain(..).for_each(|e| self.pool.give(e));
    }
}

/// Writes to extents, more of which are taken where the first is too short.
struct Writer {
    stored: Stored,
    /// Bytes of all extents but the last.
    before: u64,
    gathered: Vec<u8>,
    crc: crc32fast::Hasher,
}

impl Writer {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let stored = &mut self.stored;
        while !bytes.is_empty() {
            let (offset, room) = stored.place(stored.len);
            if room == 0 {
                self.before += stored.extents.last().map_or(0, |e| e.len);
                stored.extents.push(stored.pool.take((2 * stored.len).max(bytes.len() as u64)));
                continue;
            }
            let n = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            write_at(&stored.pool.file, &bytes[..n], offset)?;
            stored.len += n as u64;
            bytes = &bytes[n..];
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        if self.gathered.len() + bytes.len() > GATHERED {
            self.flush()?;
        }
        if bytes.len() > GATHERED {
            self.put(bytes)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.put(&gathered)?;
        gathered.clear();
        self.gathered = gathered;
        Ok(())
    }
}

/// Reads what was stored, and sums it.
struct Reader<'a> {
    stored: &'a Stored,
    at: u64,
    crc: crc32fast::Hasher,
}

impl Read for Reader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let (offset, there) = self.stored.place(self.at);
        let left = there.min(self.stored.len - self.at);
        let n = to.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if n == 0 {
            return Ok(0);
        }
        read_at(&self.stored.pool.file, &mut to[..n], offset)?;
        self.crc.update(&to[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[n..];
        offset += n as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn read_at(file: &File, mut to: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !to.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, to, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to = &mut to[n..];
        offset += n as u64;
    }
    Ok(())
}
