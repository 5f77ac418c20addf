//! Folders for what does not fit in memory: removed with their owner, and where a process died
//! before that, by the next that makes one in the same place.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tempfile::TempDir;

/// The file in such a folder that its process has locked. Locks go with their process, on
/// other hosts and in other containers too.
const LOCK: &str = "lock";

/// A folder of its own for the files of one owner.
#[derive(Debug)]
pub struct ScratchFolder {
    folder: TempDir,
    /// Held as long as the folder is in use.
    _lock: File,
    next: AtomicU64,
}

impl ScratchFolder {
    /// A new folder in `parent`, whose name begins with `prefix`. Those of dead processes with
    /// that prefix are removed from there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        remove_abandoned(parent, prefix)?;
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        let lock = File::create_new(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock, next: AtomicU64::new(0) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file that is not there yet, which no other call gives.
    pub fn file(&self, extension: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("{number}.{extension}"))
    }
}

/// Removes the folders of processes that are gone.
fn remove_abandoned(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|n| n.starts_with(prefix)) {
            continue;
        }
        // One without a lock is being made.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            // Another process may do the same; that it is gone is what counts.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_go() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("scratch-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("0.bin"), "left").unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        let first = ScratchFolder::new(parent.path(), "scratch-").unwrap();
        let _second = ScratchFolder::new(parent.path(), "scratch-").unwrap();
        assert!(!dead.exists() && other.exists() && first.path().exists());
        assert_ne!(first.file("bin"), first.file("bin"));
    }
}
