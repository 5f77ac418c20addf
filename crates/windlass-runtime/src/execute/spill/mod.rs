//! Results on disk, with checksums: in a few files, whose parts are used again, in a folder that
//! is removed at the end of its executor, and at the start of the next one if a process died
//! before that.
//!
//! A file for each result would take longer than writing it: the system finds a place in the
//! folder for each, and gives back all that it had for the one before.

mod file;
mod space;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use self::file::{Pool, Stored};
use crate::{
    graph::{Value, value::Codec},
    scratch::ScratchFolder,
};

/// How the folders of executors begin.
const PREFIX: &str = "windlass-tasks-";

/// Files that threads take turns with: one is written by one thread at a time (a stated guess:
/// more threads write faster than disks do).
const FILES: usize = 8;

/// The folder of one executor.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    folder: ScratchFolder,
    files: [Mutex<Option<Arc<Pool>>>; FILES],
}

/// A result on disk; its place is free when it is dropped.
#[derive(Debug)]
pub(crate) struct SpillFile {
    stored: Stored,
    codec: &'static Codec,
    bytes: u64,
}

impl SpillFolder {
    /// A new folder in `parent`, from which those of dead processes are removed.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let folder = ScratchFolder::new(parent, PREFIX)?;
        Ok(Self { folder, files: Default::default() })
    }

    /// The file of this thread.
    fn file(&self) -> io::Result<Arc<Pool>> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let mut file = self.files[NUMBER.with(|n| *n) % FILES].lock();
        if let Some(pool) = &*file {
            return Ok(Arc::clone(pool));
        }
        let pool = Arc::new(Pool::new(self.folder.file("bin"))?);
        *file = Some(Arc::clone(&pool));
        Ok(pool)
    }

    /// Writes a value.
    pub(crate) fn write(&self, value: &Value) -> Result<SpillFile, String> {
        let codec = value.codec().ok_or("a value that cannot spill was to be written")?;
        let write = || Stored::new(&self.file()?, value.bytes(), |to| value.write(to));
        match write() {
            Ok(stored) => Ok(SpillFile { stored, codec, bytes: value.bytes() }),
            Err(e) => Err(format!(
                "a result of {} bytes could not be written to {}: {e}; free space there, or \
                 name another folder for spilled results",
                value.bytes(),
                self.folder.path().display()
            )),
        }
    }
}

impl SpillFile {
    /// Reads the value back.
    pub(crate) fn read(&self) -> Result<Value, String> {
        self.stored.read(|from| Value::read(self.codec, self.bytes, from)).map_err(|e| {
            let path = self.stored.path().display();
            format!("a spilled result cannot be read back from {path}: {e}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
    };

    use super::*;
    use crate::graph::Spill;

    #[derive(Debug, PartialEq)]
    struct Text(String);

    impl Spill for Text {
        // Of long ones it tells less than it writes.
        fn bytes(&self) -> u64 {
            self.0.len().min(100_000) as u64
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

    fn files(folder: &SpillFolder) -> Vec<(std::path::PathBuf, u64)> {
        let all = fs::read_dir(folder.folder.path()).unwrap().map(Result::unwrap);
        let bins = all.filter(|f| f.path().extension().is_some_and(|e| e == "bin"));
        bins.map(|f| (f.path(), f.metadata().unwrap().len())).collect()
    }

    #[test]
    fn values_come_back_and_leave_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        let text = |n: usize| (0..n).map(|i| char::from(b'a' + (i * n % 23) as u8)).collect();
        let texts: Vec<String> = [0, 1, 5000, 65_536, 65_537, 3_000_000].map(text).into();
        let kept: Vec<SpillFile> = texts
            .iter()
            .map(|t| folder.write(&Value::spillable(Text(t.clone()))).unwrap())
            .collect();
        for (file, text) in kept.iter().zip(&texts) {
            let value = file.read().unwrap();
            assert_eq!(&value.downcast_ref::<Text>().unwrap().0, text);
            assert_eq!(value.bytes(), text.len().min(100_000) as u64);
        }
        let [(path, length)] = &files(&folder)[..] else { panic!("one file") };
        assert!(*length >= 3_135_000, "{length}");
        drop(kept);
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn threads_write_and_read_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        std::thread::scope(|scope| {
            for t in 0..4_usize {
                let folder = &folder;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for i in 0..200 {
                        let text = format!("{t} {i} ").repeat(1 + (i * 7919) % 3000);
                        let file = folder.write(&Value::spillable(Text(text.clone()))).unwrap();
                        kept.push((file, text));
                        if i % 3 == 2 {
                            let (file, text) = kept.swap_remove(i * 31 % kept.len());
                            let value = file.read().unwrap();
                            assert_eq!(value.downcast_ref::<Text>().unwrap().0, text);
                        }
                    }
                    for (file, text) in kept {
                        assert_eq!(file.read().unwrap().downcast_ref::<Text>().unwrap().0, text);
                    }
                });
            }
        });
        assert!(files(&folder).iter().all(|(_, length)| *length == 0));
    }

    #[test]
    fn a_damaged_or_cut_file_is_told_from_a_whole_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        for damage in [0, 3, 5] {
            let file = folder.write(&Value::spillable(Text("abcdef".into()))).unwrap();
            let path = file.stored.path().to_path_buf();
            let mut bytes = fs::read(&path).unwrap();
            bytes[damage] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let error = file.read().unwrap_err();
            assert!(error.contains("checksum"), "{error}");
            fs::write(&path, &bytes[..damage]).unwrap();
            assert!(file.read().unwrap_err().contains(".bin"));
        }
    }

    #[test]
    fn a_value_that_fails_to_be_written_keeps_no_place() {
        struct Broken;
        impl Spill for Broken {
            fn bytes(&self) -> u64 {
                1 << 20
            }

            fn write(&self, to: &mut dyn Write) -> io::Result<()> {
                to.write_all(&[1; 200_000])?;
                Err(io::Error::other("the disk is full"))
            }

            fn read(_: &mut dyn Read) -> io::Result<Self> {
                Ok(Self)
            }
        }
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::new(parent.path()).unwrap();
        let error = folder.write(&Value::spillable(Broken)).unwrap_err();
        assert!(error.contains("disk is full") && error.contains("name another folder"), "{error}");
        assert!(files(&folder).iter().all(|(_, length)| *length == 0));
    }
}
