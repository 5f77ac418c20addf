//! Files and folders that appear under their name when they are complete: until then they
//! have another, beside it, and are removed if the work fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::error::{ArrayError, Result};

/// A file or folder in the making.
#[derive(Debug)]
pub(crate) struct Pending {
    target: PathBuf,
    path: PathBuf,
    done: AtomicBool,
}

/// The error of an operation on something stored.
pub(crate) fn failed(
    operation: &'static str,
    place: impl AsRef<Path>,
    problem: impl ToString,
) -> ArrayError {
    let place = place.as_ref().display().to_string();
    ArrayError::Storage { operation, place, problem: problem.to_string() }
}

/// Removes a file or a folder with all that it holds.
fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

impl Pending {
    /// For that final name, whose folder is made where it is missing.
    ///
    /// # Errors
    /// If something has that name and is not to be overwritten, or the folder cannot be made.
    pub(crate) fn new(operation: &'static str, target: &Path, overwrite: bool) -> Result<Self> {
        if target.exists() && !overwrite {
            let problem = "it exists: choose another name, or say that it is to be overwritten";
            return Err(failed(operation, target, problem));
        }
        let Some(name) = target.file_name() else {
            return Err(failed(operation, target, "it has no name of its own"));
        };
        let folder = target.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() {
            fs::create_dir_all(folder).map_err(|e| failed(operation, folder, e))?;
        }
        Ok(Self {
            path: folder.join(other_name(name, "partial")),
            target: target.to_path_buf(),
            done: AtomicBool::new(false),
        })
    }

    /// Where it is made.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its final name.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its final name, in place of what had it.
    pub(crate) fn finish(&self) -> io::Result<()> {
        if self.target.is_dir() {
            let name = self.target.file_name().unwrap_or_default();
            let old = self.target.with_file_name(other_name(name, "old"));
            fs::rename(&self.target, &old)?;
            if let Err(e) = fs::rename(&self.path, &self.target) {
                fs::rename(&old, &self.target)?;
                return Err(e);
            }
            self.done.store(true, Ordering::Relaxed);
            return remove(&old);
        }
        fs::rename(&self.path, &self.target)?;
        self.done.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A name beside another that nothing else has.
fn other_name(name: &std::ffi::OsStr, what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".{}.{}-{n}.{what}", name.to_string_lossy(), std::process::id())
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !*self.done.get_mut() {
            // What is left has a name of its own, and nobody waits for it.
            let _ = remove(&self.path);
        }
    }
}
