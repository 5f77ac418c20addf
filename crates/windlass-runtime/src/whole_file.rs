//! Files that have their name only when they are whole.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Writes a file under another name in the same folder, and gives it its own when `write` is
/// through. It can be read as other files can, not only by its owner.
///
/// # Errors
/// Those of the system and of `write`; then there is no file.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    write(file.as_file_mut())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    Ok(())
}
