//! Results on disk: one file each, with a checksum, in a folder that is removed at the end
//! of its executor, and at the start of the next one if a process died before that.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use crate::{
    graph::{Value, value::Codec},
    scratch::ScratchFolder,
};

/// How the folders of executors begin.
const PREFIX: &str = "windlass-tasks-";

/// The folder of one executor.
#[derive(Debug)]
pub(crate) struct SpillFolder(ScratchFolder);

/// A result on disk; the file goes with it.
#[derive(Debug)]
pub(crate) struct SpillFile {
    path: PathBuf,
    codec: &'static Codec,
    bytes: u64,
}

impl SpillFolder {
    /// A new folder in `parent`, from which those of dead processes are removed.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        ScratchFolder::new(parent, PREFIX).map(Self)
    }

    /// Writes a value.
    pub(crate) fn write(&self, value: &Value) -> Result<SpillFile, String> {
        let codec = value.codec().ok_or("a value that cannot spill was to be written")?;
        let file = SpillFile { path: self.0.file("bin"), codec, bytes: value.bytes() };
        match write(&file.path, value) {
            Ok(()) => Ok(file),
            Err(e) => Err(format!(
                "a result of {} bytes could not be written to {}: {e}; free space there, or \
                 name another folder for spilled results",
                value.bytes(),
                file.path.display()
            )),
        }
    }
}

impl SpillFile {
    /// Reads the value back.
    pub(crate) fn read(&self) -> Result<Value, String> {
        let read = || -> io::Result<Value> {
            let file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            let content = length.checked_sub(4).ok_or_else(|| io::Error::other("it is cut"))?;
            let mut from = Checked {
                inner: BufReader::new(file).take(content),
                crc: crc32fast::Hasher::new(),
            };
            let value = Value::read(self.codec, self.bytes, &mut from);
            // What the type did not read counts for the checksum too.
            io::copy(&mut from, &mut io::sink())?;
            let (mut rest, crc) = (from.inner.into_inner(), from.crc.finalize());
            let mut stored = [0; 4];
            rest.read_exact(&mut stored)?;
            if u32::from_le_bytes(stored) != crc {
                return Err(io::Error::other("its checksum is wrong"));
            }
            value
        };
        read().map_err(|e| {
            format!("the spilled result {} cannot be read back: {e}", self.path.display())
        })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A reader or writer that sums what passes.
struct Checked<T> {
    inner: T,
    crc: crc32fast::Hasher,
}

impl<T: Write> Write for Checked<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.crc.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Checked<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.crc.update(&bytes[..n]);
        Ok(n)
    }
}

fn write(path: &Path, value: &Value) -> io::Result<()> {
    let write = || {
        let file = BufWriter::new(File::create_new(path)?);
        let mut to = Checked { inner: file, crc: crc32fast::Hasher::new() };
        value.write(&mut to)?;
        let crc = to.crc.finalize();
        to.inner.write_all(&crc.to_le_bytes())?;
        to.inner.flush()
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Spill;

    #[derive(Debug, PartialEq)]
    struct Text(String);

    impl Spill for Text {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn write(&self, to: &mut dyn Write) -> io::Result<()> {
            to.write_all(self.0.as_bytes())
        }

        fn read(from: &mut dyn Read) -> io::Result<Self> {
            let mut text = String::new();
            from.read_to_string(&mut text)?;
            Ok(Self(text))
        }
    }

    #[test]
    fn a_value_comes_back_and_leaves_no_file() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        let file = folder.write(&Value::spillable(Text("kept".into()))).unwrap();
        let path = file.path.clone();
        let value = file.read().unwrap();
        assert_eq!(value.downcast_ref::<Text>().unwrap().0, "kept");
        assert_eq!(value.bytes(), 4);
        drop(file);
        assert!(!path.exists());
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_or_cut_file_is_told_from_a_whole_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        for damage in [0, 3, 6] {
            let file = folder.write(&Value::spillable(Text("abcdef".into()))).unwrap();
            let mut bytes = fs::read(&file.path).unwrap();
            bytes[damage] ^= 1;
            fs::write(&file.path, &bytes).unwrap();
            let error = file.read().unwrap_err();
            assert!(error.contains("checksum") || error.contains("UTF-8"), "{error}");
            fs::write(&file.path, &bytes[..damage]).unwrap();
            assert!(file.read().unwrap_err().contains(".bin"));
        }
    }
}
