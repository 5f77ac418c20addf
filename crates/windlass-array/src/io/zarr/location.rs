//! Where Zarr lies: a folder, or a place in an object store.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Storage, local::Folder};
use crate::error::Result;

/// Where an array's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Folder(PathBuf),
    /// A URL.
    Remote(String),
}

impl Location {
    /// Of a path or a URL.
    pub(crate) fn new(place: &Path) -> Self {
        match place.to_str().and_then(|p| Some((p, p.split_once("://")?))) {
            Some((_, ("file", path))) => Self::Folder(path.into()),
            Some((url, _)) => Self::Remote(url.trim_end_matches('/').to_string()),
            None => Self::Folder(place.to_path_buf()),
        }
    }

    /// A folder, in place of its own.
    pub(crate) fn folder(&self, path: &Path) -> Arc<Storage> {
        Arc::new(Folder::new(path))
    }

    /// Its keys.
    pub(crate) fn storage(
        &self,
        operation: &'static str,
        options: &[(String, String)],
    ) -> Result<Arc<Storage>> {
        match self {
            Self::Folder(path) => Ok(Arc::new(Folder::new(path.clone()))),
            #[cfg(feature = "object-store")]
            Self::Remote(url) => super::object::open(operation, url, options),
            #[cfg(not(feature = "object-store"))]
            Self::Remote(url) => {
                let _ = options;
                let problem = "this build reads folders only: build `windlass-array` with its \
                               feature `object-store`";
                Err(crate::io::place::failed(operation, url, problem))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Remote(url) => f.write_str(url),
        }
    }
}
