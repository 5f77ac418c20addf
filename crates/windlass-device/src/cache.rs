//! Compiled kernels on disk: names by hash, files that appear whole.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

/// The name of what was made from `parts`: 128 bits of a SHA-256 in hexadecimal. Each part
/// is hashed with its length, so that no two lists of parts run together.
pub(crate) fn name<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(16).fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// A number that no other call in this process gets, for temporary names.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Writes a file under a temporary name and renames it: other processes see all or nothing.
///
/// # Errors
/// The system's.
pub(crate) fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", unique()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_lists_of_parts_apart() {
        assert_eq!(name(["a", "bc"]), name(["a", "bc"]));
        assert_ne!(name(["a", "bc"]), name(["ab", "c"]));
        assert_eq!(name([]).len(), 32);
    }

    #[test]
    fn a_stored_file_is_alone_in_its_folder() {
        let folder = std::env::temp_dir().join(format!("windlass-cache-{}", unique()));
        let file = folder.join("x.bin");
        store(&file, b"one").unwrap();
        store(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
