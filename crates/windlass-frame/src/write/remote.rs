//! Writing to an object store: every file of a write gets its name when the write is done,
//! and only then does what it replaces go.

use std::collections::HashSet;

use datafusion::{
    datasource::listing::ListingTableUrl, error::DataFusionError, logical_expr::dml::CopyTo,
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use url::Url;

use super::{
    WriteMode, Written,
    copy::{Own, engine, is_part, run_name},
};
use crate::{
    error::{FrameError, Result},
    session::Session,
    statement::RunOptions,
    store::{Naming, TrackedStore},
};

/// Runs a write to a URL.
///
/// # Errors
/// [`FrameError::Write`] naming the URL; those of running the query.
pub(super) async fn write(
    session: &Session,
    mut copy: CopyTo,
    own: Own,
    run: &RunOptions,
) -> Result<Written> {
    let target = Target::new(session, &copy, own)?;
    let earlier = target.earlier().await?;
    target.check(own.mode, &earlier)?;
    let naming = match (target.folder, own.mode) {
        (false, _) => Naming::Given,
        (true, WriteMode::Append) => Naming::Parts { run: run_name() },
        (true, _) => Naming::Parts { run: String::new() },
    };
    let uploads = target.store.hold(target.path.clone(), naming)?;
    copy.output_url = target.url.to_string();
    let single = (!target.folder).to_string();
    copy.options.insert("single_file_output".to_string(), single);
    let rows = match engine(session, copy, run).await {
        Ok(rows) => rows,
        Err(e) => {
            uploads.abandon().await;
            return Err(target.name(e));
        }
    };
    let earlier: HashSet<Path> = earlier.into_iter().collect();
    let published = uploads.publish(&earlier).await;
    let files = published.map_err(|e| target.name(DataFusionError::from(e).into()))?;
    if target.folder && own.mode == WriteMode::Replace {
        let new: HashSet<&Path> = files.iter().map(|(path, _)| path).collect();
        let old = earlier.iter().filter(|path| !new.contains(path)).cloned().collect();
        uploads.remove(old).await;
    }
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    Ok(Written { rows, files: files.len() as u64, bytes })
}

/// What is written to.
struct Target {
    url: Url,
    path: Path,
    folder: bool,
    store: TrackedStore,
}

impl Target {
    fn new(session: &Session, copy: &CopyTo, own: Own) -> Result<Self> {
        let refused = |reason: &str| FrameError::Write {
            path: copy.output_url.clone(),
            reason: reason.to_string(),
        };
        let mut url =
            Url::parse(&copy.output_url).map_err(|e| refused(&format!("it is not a URL: {e}")))?;
        if matches!(url.scheme(), "http" | "https") {
            return Err(refused(
                "http and https can only be read; write to a path, or to a URL \
                                of s3, gs or az",
            ));
        }
        if own.target_file_size.is_some() {
            return Err(FrameError::InvalidOption {
                option: "target_file_size".to_string(),
                expected: "a local target: files of object stores are not cut".to_string(),
                got: copy.output_url.clone(),
            });
        }
        let store = session.stores().of(&url)?;
        let wanted = copy.options.get("single_file_output").map(|v| v == "true");
        let name = url.path().rsplit('/').next().unwrap_or_default();
        let folder = name.is_empty()
            || !copy.partition_by.is_empty()
            || (!name.contains('.') && wanted != Some(true))
            || wanted == Some(false);
        if folder && !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let path = ListingTableUrl::parse(url.as_str()).map_err(FrameError::from)?.prefix().clone();
        if !folder && path.as_ref().is_empty() {
            return Err(refused("it names no file or folder in the bucket"));
        }
        Ok(Self { url, path, folder, store })
    }

    /// What is there already.
    async fn earlier(&self) -> Result<Vec<Path>> {
        if !self.folder {
            return match self.store.head(&self.path).await {
                Ok(meta) => Ok(vec![meta.location]),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(e) => Err(self.name(DataFusionError::from(e).into())),
            };
        }
        let listed = self.store.list(Some(&self.path)).map_ok(|meta| meta.location);
        let listed: object_store::Result<Vec<Path>> = listed.try_collect().await;
        listed.map_err(|e| self.name(DataFusionError::from(e).into()))
    }

    /// Whether the mode allows what is there.
    fn check(&self, mode: WriteMode, earlier: &[Path]) -> Result<()> {
        let refused =
            |reason: String| Err(FrameError::Write { path: self.url.to_string(), reason });
        match mode {
            _ if earlier.is_empty() => Ok(()),
            WriteMode::Append if self.folder => Ok(()),
            WriteMode::Append => refused("a file cannot be appended to; name a folder".to_string()),
            WriteMode::Fail => refused("it exists, and mode is fail".to_string()),
            WriteMode::Replace if self.folder => {
                let foreign = earlier.iter().find(|p| !self.is_own(p));
                foreign.map_or(Ok(()), |file| {
                    refused(format!(
                        "the folder has files that no earlier write made ({file}); write to \
                         another folder, or set mode append"
                    ))
                })
            }
            WriteMode::Replace => Ok(()),
        }
    }

    /// Whether an earlier write made a file: its name is a part's, and folders between are
    /// named by columns.
    fn is_own(&self, file: &Path) -> bool {
        let Some(parts) = file.prefix_match(&self.path) else { return false };
        let parts: Vec<String> = parts.map(|p| p.as_ref().to_string()).collect();
        parts
            .split_last()
            .is_some_and(|(name, folders)| is_part(name) && folders.iter().all(|f| f.contains('=')))
    }

    /// An error of the target's store is about the target.
    fn name(&self, error: FrameError) -> FrameError {
        let path = || self.url.to_string();
        match error {
            FrameError::Execution(text) if text.contains("finalizing writes") => {
                let reason = self.store.take_failure(&self.path);
                let reason = reason.unwrap_or_else(|| "a file could not be finished".to_string());
                FrameError::Write { path: path(), reason }
            }
            other => other,
        }
    }
}
