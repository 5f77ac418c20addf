//! Where bytes go: standard output, or a file that appears under its name only when it is
//! complete.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tempfile::{Builder, NamedTempFile};

use crate::{
    error::{Error, Result},
    output::Target,
};

/// A shared handle on an output. Encoders own one clone, the writer another: so an error's
/// cause is known even where an encoder hides it, and a file is renamed after the encoder
/// is done.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Mutex<State>>);

struct State {
    out: Option<Out>,
    /// The first error of a write, as the system told it.
    first: Option<(io::ErrorKind, String)>,
    name: String,
}

enum Out {
    Stdout(BufWriter<io::Stdout>),
    Nowhere(io::Sink),
    /// A pipe or device: written in place.
    Special(BufWriter<fs::File>),
    File {
        w: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Sink {
    /// Opens a target. A regular file is written beside its place under a temporary name.
    ///
    /// # Errors
    /// The folder is missing or cannot be written.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        let (out, name) = match target {
            Target::Stdout => {
                (Out::Stdout(BufWriter::with_capacity(1 << 16, io::stdout())), STDOUT.to_string())
            }
            Target::Nowhere => (Out::Nowhere(io::sink()), "nowhere".to_string()),
            Target::File(path) => (open_file(path)?, path.display().to_string()),
        };
        Ok(Self(Arc::new(Mutex::new(State { out: Some(out), first: None, name }))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an encoder's error, with the system's own words where a write failed.
    pub(crate) fn error(&self, what: &str, e: &dyn std::error::Error) -> Error {
        let state = self.state();
        match &state.first {
            Some((io::ErrorKind::BrokenPipe, _)) => Error::BrokenPipe,
            Some((kind, text)) => written(&state.name, *kind, text),
            None => Error::caused(what, e),
        }
    }

    /// Writes text.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write_text(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())
    }

    /// Flushes and, for a file, gives it its name. Nothing may be written afterwards.
    ///
    /// # Errors
    /// [`Error::BrokenPipe`], a full disk, a place that cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        let mut state = self.state();
        let name = state.name.clone();
        let r = match state.out.take() {
            None => Ok(()),
            Some(Out::Nowhere(_)) => Ok(()),
            Some(Out::Stdout(mut w)) => w.flush(),
            Some(Out::Special(mut w)) => w.flush(),
            Some(Out::File { w, path }) => commit(w, &path),
        };
        r.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Error::BrokenPipe,
            kind => written(&name, kind, &system_words(&e)),
        })
    }
}

impl Out {
    fn get(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(w) => w,
            Self::Nowhere(w) => w,
            Self::Special(w) => w,
            Self::File { w, .. } => w,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let r = match &mut state.out {
            Some(out) => out.get().write(bytes),
            None => Err(io::Error::other("the output is closed")),
        };
        state.note(r)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let r = match &mut state.out {
            Some(out) => out.get().flush(),
            None => Ok(()),
        };
        state.note(r)
    }
}

impl State {
    fn note<T>(&mut self, r: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &r
            && e.kind() != io::ErrorKind::Interrupted
            && self.first.is_none()
        {
            self.first = Some((e.kind(), system_words(e)));
        }
        r
    }
}

/// The system's words for an error, without the temporary file's path that the library
/// adds to them: the user knows only the final one.
fn system_words(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" at path \"") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// How the names of temporary files end.
const SUFFIX: &str = ".tmp";
/// A younger temporary file may be one that its writer has not locked yet. A guess.
const GRACE: Duration = Duration::from_secs(60);

/// What standard output is called in messages.
const STDOUT: &str = "standard output";

/// Says what cannot be written and, where the kind of error tells, what to do.
fn written(name: &str, kind: io::ErrorKind, text: &str) -> Error {
    let e = Error::caused(format!("cannot write {name}"), &io::Error::other(text.to_string()));
    let help = match kind {
        io::ErrorKind::StorageFull if name == STDOUT => "free some space or write elsewhere",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space or write elsewhere; nothing was left under the final name"
        }
        io::ErrorKind::FileTooLarge => {
            "a limit on file size is in force (ulimit -f); nothing was left under the final name"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to"
        }
        io::ErrorKind::NotFound => "create the folder first, or check the path",
        _ => return e,
    };
    e.or_help(help)
}

fn open_file(path: &Path) -> Result<Out> {
    let tell = |e: io::Error| written(&path.display().to_string(), e.kind(), &system_words(&e));
    match fs::metadata(path) {
        Ok(m) if m.is_dir() => {
            return Err(Error::failed(format!("cannot write {}", path.display()))
                .or_help("it is a folder: name a file in it"));
        }
        Ok(m) if !m.is_file() => {
            let file = fs::OpenOptions::new().write(true).open(path).map_err(tell)?;
            return Ok(Out::Special(BufWriter::with_capacity(1 << 16, file)));
        }
        // The rename would replace a file that may not be written: ask first.
        Ok(_) => drop(fs::OpenOptions::new().append(true).open(path).map_err(tell)?),
        Err(_) => {}
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut builder = Builder::new();
    let prefix = format!(".{name}.");
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As an ordinary new file: the process's umask takes its bits away.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    clear(folder, &prefix);
    let file = builder.tempfile_in(folder).map_err(tell)?;
    // Held while this process lives: tells the file from what a dead one left. Where the file
    // system has no locks, nothing is cleared later either.
    let _ = file.as_file().try_lock();
    Ok(Out::File { w: BufWriter::with_capacity(1 << 16, file), path: path.to_path_buf() })
}

/// Removes temporary files of the same output whose writers died.
fn clear(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(SUFFIX) && is_left(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether nobody writes a temporary file any more.
fn is_left(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    let unlocked = || fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    age.is_some_and(|age| age > GRACE) && unlocked()
}

fn commit(w: BufWriter<NamedTempFile>, path: &Path) -> io::Result<()> {
    let file = w.into_inner().map_err(io::IntoInnerError::into_error)?;
    // No fsync: a killed process leaves the old file or the whole new one. A machine that
    // loses power may lose a file of the last seconds, as with other engines.
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// Writes a whole file under a temporary name, then renames it.
///
/// # Errors
/// As [`Sink::open`] and [`Sink::finish`].
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    let mut sink = Sink::open(&Target::File(path.to_path_buf()))?;
    sink.write_text(text).map_err(|e| sink.error("cannot write", &e))?;
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let mut sink = Sink::open(&Target::File(path.clone())).unwrap();
        sink.write_text("a,b\n").unwrap();
        assert!(!path.exists());
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");

        let mut sink = Sink::open(&Target::File(path.clone())).unwrap();
        sink.write_text("half").unwrap();
        drop(sink);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let e = write_file(&dir.path().join("no/such.csv"), "x").unwrap_err().to_string();
        assert!(e.contains("such.csv") && e.contains("create the folder"), "{e}");
        assert!(!e.contains("/.such.csv"), "the temporary name means nothing to the user: {e}");
    }
}
