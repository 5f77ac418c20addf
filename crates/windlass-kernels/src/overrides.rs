//! Kernel texts from a folder in place of the embedded ones, to try an altered kernel
//! without a build: the mutation check does (`scripts/mutation/mutate.py`).
//!
//! `WINDLASS_KERNELS_DIR` names a folder with the same tree as the repository's: a file
//! `kernels/FAMILY/NAME` or `shaders/FAMILY/NAME` in it takes the place of the embedded
//! text. What the folder lacks stays embedded. Compiled kernels are kept by the hash of
//! their whole text, so altered and embedded ones never stand for each other.

use std::{borrow::Cow, io::ErrorKind, path::PathBuf, sync::LazyLock};

/// The variable that names the folder.
pub const FOLDER: &str = "WINDLASS_KERNELS_DIR";

static NAMED: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = std::env::var_os(FOLDER).filter(|f| !f.is_empty()).map(PathBuf::from)?;
    tracing::warn!("kernels are read from {} ({FOLDER})", folder.display());
    Some(folder)
});

/// The text of `path`, from the named folder where it lies there. A text that cannot be read
/// becomes one that no compiler takes and whose message says why.
pub(crate) fn text(path: &str, embedded: &'static str) -> Cow<'static, str> {
    match &*NAMED {
        None => Cow::Borrowed(embedded),
        Some(folder) => from(folder.clone(), path, embedded),
    }
}

fn from(folder: PathBuf, path: &str, embedded: &'static str) -> Cow<'static, str> {
    let file = folder.join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => Cow::Owned(text),
        Err(e) if e.kind() == ErrorKind::NotFound && folder.is_dir() => Cow::Borrowed(embedded),
        Err(e) => Cow::Owned(format!("#error {FOLDER}: {}: {e}\n", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_folder_goes_before_the_embedded_text() {
        let folder = std::env::temp_dir().join(format!("windlass-texts-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("kernels/scan")).unwrap();
        std::fs::write(folder.join("kernels/scan/a.cu"), "altered").unwrap();
        assert_eq!(from(folder.clone(), "kernels/scan/a.cu", "embedded"), "altered");
        assert_eq!(from(folder.clone(), "kernels/scan/b.cu", "embedded"), "embedded");
        // A folder in a file's place cannot be read.
        assert!(from(folder.clone(), "kernels/scan", "embedded").starts_with("#error"));
        std::fs::remove_dir_all(&folder).unwrap();
        let gone = from(folder, "kernels/scan/a.cu", "embedded");
        assert!(gone.starts_with("#error") && gone.contains(FOLDER), "{gone}");
    }
}
