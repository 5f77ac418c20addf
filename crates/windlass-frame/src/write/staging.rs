//! Output appears whole or not at all. It is made in a hidden folder beside its target,
//! synced to the disk, and renamed into place.
//!
//! ```text
//! parent/.windlass-3f2a….tmp/lock     held while the writer lives
//!                            data/    the output
//!                            old/     what it replaces, for the moment of the exchange
//! parent/target
//! ```
//!
//! A writer that dies leaves its folder, whose lock is then free. The next write to the
//! same parent puts back what such a folder holds in `old` and removes it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;

use crate::error::{FrameError, Result};

const PREFIX: &str = ".windlass-";
const SUFFIX: &str = ".tmp";
/// A folder without a lock is one whose writer is just making it, or which a cancelled
/// task made again; after this time it is stale. A guess.
const GRACE: Duration = Duration::from_secs(60);

/// The folders of this process that may be there.
static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes what the writes of this process that did not come to their end left in hidden
/// folders. For a program that is about to exit: a cancelled write removes its own when its
/// last task stops, which may be later. Writes that still run fail.
pub fn remove_unfinished() {
    for folder in std::mem::take(&mut *MADE.lock()) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// A folder for one output, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    target: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Staging {
    /// Makes a folder beside `target`, whose parent is made too, and clears what dead
    /// writers left there.
    ///
    /// # Errors
    /// [`FrameError::Write`] naming the target.
    pub(crate) fn new(target: &Path) -> Result<Self> {
        let failed = |e: &io::Error| FrameError::write(target, e);
        let parent = parent(target);
        fs::create_dir_all(&parent).map_err(|e| failed(&e))?;
        clear(&parent);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .tempdir_in(&parent)
            .map_err(|e| failed(&e))?
            .keep();
        MADE.lock().insert(folder.clone());
        let lock = File::create(folder.join("lock"))
            .and_then(|file| file.try_lock().map_err(io::Error::from).map(|()| file))
            .and_then(|file| fs::create_dir(folder.join("data")).map(|()| file));
        match lock {
            Ok(lock) => Ok(Self { folder, target: target.to_path_buf(), _lock: lock }),
            Err(e) => {
                let _ = fs::remove_dir_all(&folder);
                MADE.lock().remove(&folder);
                Err(failed(&e))
            }
        }
    }

    /// Where the output is made.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Puts the one file in [`Staging::data`] in the target's place.
    ///
    /// # Errors
    /// [`FrameError::Write`] naming the target.
    pub(crate) fn commit_file(self, file: &Path) -> Result<()> {
        let failed = |e: &io::Error| FrameError::write(&self.target, e);
        sync(file).map_err(|e| failed(&e))?;
        fs::rename(file, &self.target).map_err(|e| failed(&e))?;
        sync_folder(&parent(&self.target));
        Ok(())
    }

    /// Puts [`Staging::data`] in the target's place, as a whole.
    ///
    /// # Errors
    /// [`FrameError::Write`] naming the target.
    pub(crate) fn commit_folder(self) -> Result<()> {
        let failed = |e: &io::Error| FrameError::write(&self.target, e);
        sync_tree(&self.data()).map_err(|e| failed(&e))?;
        let old = self.folder.join("old");
        let name = self.target.file_name().unwrap_or(OsStr::new("out"));
        if self.target.exists() {
            fs::create_dir(&old).map_err(|e| failed(&e))?;
            fs::rename(&self.target, old.join(name)).map_err(|e| failed(&e))?;
        }
        if let Err(e) = fs::rename(self.data(), &self.target) {
            // What was there goes back, so that the failure changes nothing.
            let _ = fs::rename(old.join(name), &self.target);
            return Err(failed(&e));
        }
        sync_folder(&parent(&self.target));
        Ok(())
    }

    /// Moves the files of [`Staging::data`] into the target folder. Where one cannot be
    /// moved, those that were moved are taken away again.
    ///
    /// # Errors
    /// [`FrameError::Write`] naming the target.
    pub(crate) fn commit_into(self) -> Result<()> {
        let failed = |e: &io::Error| FrameError::write(&self.target, e);
        sync_tree(&self.data()).map_err(|e| failed(&e))?;
        let data = self.data();
        let mut moved = Vec::new();
        for file in files(&data).map_err(|e| failed(&e))? {
            let to = self.target.join(file.strip_prefix(&data).unwrap_or(&file));
            let done = fs::create_dir_all(parent(&to)).and_then(|()| fs::rename(&file, &to));
            if let Err(e) = done {
                for to in &moved {
                    let _ = fs::remove_file(to);
                }
                return Err(failed(&e));
            }
            sync_folder(&parent(&to));
            moved.push(to);
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.folder).is_ok() && !self.folder.exists() {
            let folder = self.folder.clone();
            // A file that was being opened when its task was cancelled makes the folder
            // again; look a few times.
            let _ =
                std::thread::Builder::new().name("windlass-staging".to_string()).spawn(move || {
                    for wait in [10, 50, 250, 1000] {
                        std::thread::sleep(Duration::from_millis(wait));
                        if folder.exists() {
                            let _ = fs::remove_dir_all(&folder);
                        }
                    }
                    MADE.lock().remove(&folder);
                });
        }
    }
}

/// The folder that a path is in.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Removes what dead writers left in `parent`. Failures are left to the next write.
fn clear(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(PREFIX) && name.ends_with(SUFFIX) && is_stale(&entry.path())) {
            continue;
        }
        let old = entry.path().join("old");
        for replaced in fs::read_dir(&old).into_iter().flatten().flatten() {
            let target = parent.join(replaced.file_name());
            if !target.exists() {
                let _ = fs::rename(replaced.path(), target);
            }
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn is_stale(folder: &Path) -> bool {
    match File::open(folder.join("lock")) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => {
            let age = fs::metadata(folder).and_then(|m| m.modified()).ok();
            age.and_then(|t| t.elapsed().ok()).is_some_and(|age| age > GRACE)
        }
    }
}

/// The files below a folder, in order.
///
/// # Errors
/// The file system's.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(files(&path)?);
        } else {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

fn sync(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for file in files(folder)? {
        sync(&file)?;
    }
    Ok(())
}

/// Makes a rename last; where folders cannot be synced, the system does it in its time.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|f| f.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a/out");
        for content in ["one", "two"] {
            let staging = Staging::new(&target).unwrap();
            fs::write(staging.data().join(content), content).unwrap();
            assert!(!target.join(content).exists());
            staging.commit_folder().unwrap();
            assert_eq!(names(&target), [content]);
        }
        assert_eq!(names(&dir.path().join("a")), ["out"]);
    }

    #[test]
    fn files_are_added_all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "old").unwrap();
        // A folder stands where the second file would go.
        fs::create_dir_all(target.join("b/x")).unwrap();
        let add = || {
            let staging = Staging::new(&target).unwrap();
            fs::write(staging.data().join("a"), "new").unwrap();
            fs::write(staging.data().join("b"), "new").unwrap();
            staging.commit_into()
        };
        let e = add().unwrap_err().to_string();
        assert!(e.contains("out"), "{e}");
        assert_eq!(names(&target), ["b", "old"]);
        fs::remove_dir_all(target.join("b")).unwrap();
        add().unwrap();
        assert_eq!(names(&target), ["a", "b", "old"]);
    }

    #[test]
    fn a_dropped_output_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.csv");
        fs::write(&target, "old").unwrap();
        let staging = Staging::new(&target).unwrap();
        fs::write(staging.data().join("x.csv"), "half").unwrap();
        drop(staging);
        assert_eq!(names(dir.path()), ["x.csv"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    }

    #[test]
    fn what_a_dead_writer_left_is_put_back_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        // Killed between the two renames: the target's old content is in `old`.
        let dead = dir.path().join(".windlass-dead.tmp");
        fs::create_dir_all(dead.join("old/out")).unwrap();
        fs::write(dead.join("old/out/part"), "old").unwrap();
        File::create(dead.join("lock")).unwrap();
        // A living writer's folder stays.
        let living = Staging::new(&dir.path().join("other")).unwrap();
        assert!(!dead.exists());
        assert_eq!(fs::read_to_string(dir.path().join("out/part")).unwrap(), "old");
        let second = Staging::new(&dir.path().join("third")).unwrap();
        assert!(living.data().exists() && second.data().exists());
    }
}
