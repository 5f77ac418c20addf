//! Files of spilled rows: blocks with checksums, in a folder that goes with the session.
//!
//! A file is a row of blocks, each the length of its content and its CRC-32 (little endian, 32
//! bits each) before the content. DataFusion reads what it spilled without looking whether it
//! is sound, so nothing is handed on before its block's checksum was right.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use bytes::Bytes;
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::{SpillFile, SpillWriter, TempFileFactory},
};
use futures::{Stream, stream};
use parking_lot::Mutex;
use windlass_runtime::scratch::ScratchFolder;

/// How the folders of sessions begin.
const PREFIX: &str = "windlass-spill-";

/// Most bytes of a block: a few of the pieces in which a disk is read ahead. A guess.
const BLOCK: usize = 256 << 10;

/// Length and checksum.
const HEADER: usize = 8;

/// Where the operators of a session put rows that memory has no room for. The folder is made
/// with the first file; at that time those that dead processes left beside it are removed.
#[derive(Debug)]
pub(crate) struct SpillStore {
    parent: PathBuf,
    /// Most bytes of all files together.
    limit: u64,
    folder: Mutex<Option<Arc<ScratchFolder>>>,
    usage: Arc<Usage>,
}

/// Bytes on disk.
#[derive(Debug, Default)]
struct Usage {
    now: AtomicU64,
    written: AtomicU64,
}

impl SpillStore {
    /// Files in a folder of their own in `parent`, of at most `limit` bytes together.
    pub(crate) fn new(parent: PathBuf, limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        Self { parent, limit, folder: Mutex::default(), usage: Arc::default() }
    }

    /// Bytes written since the session began.
    pub(crate) fn written(&self) -> u64 {
        self.usage.written.load(Relaxed)
    }

    fn folder(&self) -> io::Result<Arc<ScratchFolder>> {
        let mut folder = self.folder.lock();
        if let Some(folder) = &*folder {
            return Ok(Arc::clone(folder));
        }
        let made = Arc::new(ScratchFolder::new(&self.parent, PREFIX)?);
        Ok(Arc::clone(folder.insert(made)))
    }
}

impl TempFileFactory for SpillStore {
    fn create_temp_file(&self, _description: &str) -> Result<Arc<dyn SpillFile>> {
        let make = || {
            let folder = self.folder()?;
            let path = folder.file("arrow");
            File::create_new(&path)?;
            Ok((folder, path))
        };
        let (folder, path) = make().map_err(|e| because(&self.parent, "made", &e))?;
        let usage = Arc::clone(&self.usage);
        let (size, whole) = (AtomicU64::new(0), AtomicU64::new(0));
        let stored = Stored { path, size, whole, limit: self.limit, usage, folder };
        Ok(Arc::new(SpilledFile(Arc::new(stored))))
    }
}

/// The error for a file that cannot be made, written or read.
fn because(path: &Path, what: &str, e: &io::Error) -> io::Error {
    let advice = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; the disk is full: free space there, name another folder (--temp-dir), or raise the \
             memory limit"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; name a folder for spilled rows that can be written (--temp-dir)"
        }
        _ => "",
    };
    let text = format!("spilled rows in {} could not be {what}: {e}{advice}", path.display());
    io::Error::new(e.kind(), text)
}

/// A file, which goes with the last that holds it.
struct Stored {
    path: PathBuf,
    /// Bytes that count, those too that are being written.
    size: AtomicU64,
    /// Bytes that are written.
    whole: AtomicU64,
    limit: u64,
    usage: Arc<Usage>,
    /// Stays until the file is gone.
    #[expect(dead_code, reason = "held, not read")]
    folder: Arc<ScratchFolder>,
}

impl Stored {
    /// Writes a block, whole or not at all.
    fn append(&self, file: &mut File, block: &[u8]) -> io::Result<()> {
        let bytes = block.len() as u64;
        let taken = self.usage.now.fetch_update(Relaxed, Relaxed, |now| {
            now.checked_add(bytes).filter(|after| *after <= self.limit)
        });
        if taken.is_err() {
            let text = format!(
                "no more than {} bytes may be spilled to disk: raise that limit (--temp-limit) or \
                 the memory limit",
                self.limit
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        // What is counted goes with the file, even where it was written in part only.
        self.size.fetch_add(bytes, Relaxed);
        file.write_all(block).map_err(|e| because(&self.path, "written", &e))?;
        self.whole.fetch_add(bytes, Release);
        self.usage.written.fetch_add(bytes, Relaxed);
        Ok(())
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.usage.now.fetch_sub(self.size.load(Relaxed), Relaxed);
        let _ = fs::remove_file(&self.path);
    }
}

/// What operators have of a file.
struct SpilledFile(Arc<Stored>);

impl SpillFile for SpilledFile {
    fn path(&self) -> Option<&Path> {
        Some(&self.0.path)
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.size.load(Relaxed))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let file = File::open(&self.0.path).map_err(|e| because(&self.0.path, "read", &e))?;
        let reader = Reader { file, stored: Arc::clone(&self.0), number: 0, read: 0 };
        Ok(Box::pin(stream::try_unfold(reader, |mut reader| async move {
            let read = SpawnedTask::spawn_blocking(move || {
                let block = reader.block();
                (reader, block)
            });
            let (reader, block) =
                read.join_unwind().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            Ok(block?.map(|block| (block, reader)))
        })))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let file = File::options()
            .append(true)
            .open(&self.0.path)
            .map_err(|e| because(&self.0.path, "written", &e))?;
        Ok(Box::new(Writer { file, stored: Arc::clone(&self.0), block: vec![0; HEADER] }))
    }
}

struct Reader {
    file: File,
    stored: Arc<Stored>,
    number: usize,
    /// Bytes read so far.
    read: u64,
}

impl Reader {
    /// The next block; `None` at the end of the file.
    fn block(&mut self) -> io::Result<Option<Bytes>> {
        let number = self.number;
        self.number += 1;
        self.read().map_err(|e| {
            let e = match e.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(e.kind(), "it was cut"),
                _ => e,
            };
            because(&self.stored.path, &format!("read back at block {number}"), &e)
        })
    }

    fn read(&mut self) -> io::Result<Option<Bytes>> {
        // What was written before the file is found to end is there, unless it was cut.
        let whole = self.stored.whole.load(Acquire);
        let mut header = [0; HEADER];
        match self.file.read(&mut header)? {
            0 if self.read < whole => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(None),
            n => self.file.read_exact(&mut header[n..])?,
        }
        let [a, b, c, d, e, f, g, h] = header;
        let (length, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if length as usize > BLOCK {
            return Err(io::Error::other("its length is wrong; it was changed on disk"));
        }
        let mut content = vec![0; length as usize];
        self.file.read_exact(&mut content)?;
        if crc32fast::hash(&content) != crc {
            return Err(io::Error::other("its checksum is wrong; it was changed on disk"));
        }
        self.read += (HEADER + content.len()) as u64;
        Ok(Some(content.into()))
    }
}

struct Writer {
    file: File,
    stored: Arc<Stored>,
    /// The header to be, and what is written already.
    block: Vec<u8>,
}

impl Writer {
    fn end_block(&mut self) -> io::Result<()> {
        let content = &self.block[HEADER..];
        if content.is_empty() {
            return Ok(());
        }
        let (length, crc) = (content.len() as u32, crc32fast::hash(content));
        self.block[..4].copy_from_slice(&length.to_le_bytes());
        self.block[4..HEADER].copy_from_slice(&crc.to_le_bytes());
        let written = self.stored.append(&mut self.file, &self.block);
        self.block.truncate(HEADER);
        written
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(HEADER + BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..n]);
        if self.block.len() == HEADER + BLOCK {
            self.end_block()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_block()
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(self.end_block()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that was not finished was given up.
        let _ = self.end_block();
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn store(limit: Option<u64>) -> (tempfile::TempDir, SpillStore) {
        let parent = tempfile::tempdir().unwrap();
        let store = SpillStore::new(parent.path().to_path_buf(), limit);
        (parent, store)
    }

    async fn read(file: &Arc<dyn SpillFile>) -> Result<Vec<u8>> {
        let blocks: Vec<Bytes> = file.read_stream()?.try_collect().await?;
        Ok(blocks.concat())
    }

    fn write(file: &Arc<dyn SpillFile>, bytes: &[u8]) -> io::Result<()> {
        let mut writer = file.open_writer()?;
        // Pieces that end inside blocks and at their ends.
        for piece in bytes.chunks(BLOCK / 2 + 1) {
            writer.write_all(piece)?;
        }
        writer.finish().map_err(io::Error::other)
    }

    #[tokio::test]
    async fn files_come_back_and_go_with_their_last_holder() {
        let (parent, store) = store(None);
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let content: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            let file = store.create_temp_file("").unwrap();
            write(&file, &content).unwrap();
            assert!(read(&file).await.unwrap() == content, "{length}");
            let path = file.path().unwrap().to_path_buf();
            assert_eq!(file.size().unwrap(), fs::metadata(&path).unwrap().len());
            drop(file);
            assert!(!path.exists());
        }
        assert_eq!(store.usage.now.load(Relaxed), 0);
        assert!(store.written() > 6 * BLOCK as u64);
        drop(store);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_was_flushed_can_be_read_while_more_is_written() {
        let (_parent, store) = store(None);
        let file = store.create_temp_file("").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(b"first").unwrap();
        writer.flush().unwrap();
        let mut blocks = file.read_stream().unwrap();
        assert_eq!(&blocks.try_next().await.unwrap().unwrap()[..], b"first");
        writer.write_all(b"second").unwrap();
        writer.flush().unwrap();
        assert_eq!(&blocks.try_next().await.unwrap().unwrap()[..], b"second");
        writer.finish().unwrap();
        assert!(blocks.try_next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_bit_that_changed_or_a_cut_is_told_with_the_file_and_block() {
        let (_parent, store) = store(None);
        let content = vec![7; BLOCK + 100];
        for at in [0, 5, HEADER, HEADER + BLOCK - 1, HEADER + BLOCK + 1, 2 * HEADER + BLOCK + 99] {
            let file = store.create_temp_file("").unwrap();
            write(&file, &content).unwrap();
            let path = file.path().unwrap();
            let mut bytes = fs::read(path).unwrap();
            bytes[at] ^= 0x10;
            fs::write(path, &bytes).unwrap();
            let error = read(&file).await.unwrap_err().to_string();
            let block = usize::from(at >= HEADER + BLOCK);
            assert!(error.contains(&format!("at block {block}")), "{at}: {error}");
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
            fs::write(path, &bytes[..at]).unwrap();
            assert!(read(&file).await.is_err(), "cut at {at}");
            bytes[at] ^= 0x10;
            fs::write(path, &bytes[..HEADER + BLOCK]).unwrap();
            let error = read(&file).await.unwrap_err().to_string();
            assert!(error.contains("at block 1") && error.contains("it was cut"), "{error}");
        }
    }

    #[test]
    fn the_limit_of_bytes_on_disk_holds_for_all_files_together() {
        let (_parent, store) = store(Some(3 * BLOCK as u64));
        let (a, b) = (store.create_temp_file("").unwrap(), store.create_temp_file("").unwrap());
        write(&a, &vec![1; 2 * BLOCK]).unwrap();
        let error = write(&b, &vec![1; BLOCK]).unwrap_err().to_string();
        assert!(error.contains("--temp-limit"), "{error}");
        drop(a);
        write(&b, &vec![1; BLOCK]).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let store = SpillStore::new(file.clone(), None);
        let error = store.create_temp_file("").err().unwrap().to_string();
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = because(Path::new("/some/where"), "written", &full);
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let text = error.to_string();
        assert!(text.contains("/some/where") && text.contains("--temp-dir"), "{text}");
    }
}
