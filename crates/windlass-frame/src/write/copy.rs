//! Running a write: what the target is, staging, DataFusion's sink, commit.

use std::{
    fs,
    hash::BuildHasher,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Int64Type, Schema, SchemaRef, UInt64Type},
};
use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, dml::CopyTo, lit, when},
};
use futures::{FutureExt, future::BoxFuture};
use url::Url;

use super::{
    WriteMode, Written,
    options::take_own,
    remote, split,
    staging::{Staging, files},
};
use crate::{
    error::{FrameError, Result, find_source, io_reason},
    execute::{self, Finished},
    read::NULL_FOLDER,
    session::Session,
    statement::RunOptions,
};

/// The options that DataFusion does not know.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    pub(super) mode: WriteMode,
    pub(super) target_file_size: Option<u64>,
}

/// Runs SQL's `COPY`.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_copy(
    session: &Session,
    mut copy: CopyTo,
    run_options: &RunOptions,
) -> Result<Written> {
    let (mode, target_file_size) = take_own(&mut copy.options)?;
    run(session, copy, Own { mode, target_file_size }, run_options).await
}

/// Runs a write. A local target appears whole or not at all; the files of an object store
/// appear when all of them are there.
///
/// # Errors
/// [`FrameError::Write`] naming the target; those of running the query.
pub(super) fn run<'a>(
    session: &'a Session,
    copy: CopyTo,
    own: Own,
    run: &'a RunOptions,
) -> BoxFuture<'a, Result<Written>> {
    write(session, copy, own, run).boxed()
}

async fn write(session: &Session, mut copy: CopyTo, own: Own, run: &RunOptions) -> Result<Written> {
    if in_files(&copy).fields().is_empty() {
        let all = copy.partition_by.join(", ");
        return Err(FrameError::Plan(format!(
            "no column is left to write: the output is partitioned by all of them ({all})"
        )));
    }
    copy.input = Arc::new(name_nulls(&copy)?);
    let Some(target) = local(&copy.output_url) else {
        return remote::write(session, copy, own, run).await;
    };
    let target = Target::new(target, &copy)?;
    target.check(own.mode)?;
    let staging = Staging::new(&target.path)?;
    let data = staging.data();
    copy.output_url = if target.folder {
        format!("{}/", data.display())
    } else {
        data.join(target.name()).display().to_string()
    };
    let single = ("single_file_output".to_string(), (!target.folder).to_string());
    copy.options.extend([single]);
    let (file_type, options) = (Arc::clone(&copy.file_type), copy.options.clone());
    let schema = in_files(&copy);
    let staged = copy.output_url.clone();
    let shown = target.path.display().to_string();
    let rows =
        engine(session, copy, run).await.map_err(|e| name_target(session, e, &data, &shown))?;
    let failed = |e: &std::io::Error| FrameError::write(&target.path, e);
    let mut made = files(&data).map_err(|e| failed(&e))?;
    if target.folder {
        if let Some(size) = own.target_file_size {
            let sink = split::Sink { file_type: &file_type, options: &options, schema };
            let cut = split::cut(session, &made, size, &sink, run).await;
            cut.map_err(|e| name_target(session, e, &data, &shown))?;
        }
        rename_parts(&data, own.mode).map_err(|e| failed(&e))?;
        made = files(&data).map_err(|e| failed(&e))?;
    }
    let sizes = made.iter().map(|f| fs::metadata(f).map(|m| m.len()));
    let bytes = sizes.sum::<std::io::Result<u64>>().map_err(|e| failed(&e))?;
    let written = Written { rows, files: made.len() as u64, bytes };
    // The syncs and renames wait for the disk.
    let commit = move || match (target.folder, own.mode) {
        (false, _) => staging.commit_file(Path::new(&staged)),
        (true, WriteMode::Append) if target.path.exists() => staging.commit_into(),
        (true, _) => staging.commit_folder(),
    };
    tokio::task::spawn_blocking(commit)
        .await
        .map_err(|e| FrameError::Execution(format!("the commit of {shown} failed: {e}")))??;
    Ok(written)
}

/// Runs DataFusion's sink; the rows it wrote.
///
/// # Errors
/// Those of running the query.
pub(super) async fn engine(session: &Session, copy: CopyTo, run: &RunOptions) -> Result<u64> {
    let plan = LogicalPlan::Copy(copy);
    let Finished { batches, .. } = execute::engine(session, &plan, run).await?;
    Ok(count(&batches))
}

/// The sum of the first column: DataFusion's sinks return the rows they wrote.
pub(crate) fn count(batches: &[RecordBatch]) -> u64 {
    let rows = batches.iter().filter(|b| b.num_rows() > 0 && b.num_columns() > 0);
    rows.map(|b| {
        let column = b.column(0);
        if let Some(counts) = column.as_primitive_opt::<UInt64Type>() {
            counts.values().iter().sum()
        } else if let Some(counts) = column.as_primitive_opt::<Int64Type>() {
            counts.values().iter().map(|v| u64::try_from(*v).unwrap_or(0)).sum()
        } else {
            0
        }
    })
    .sum()
}

/// The path of a local target.
fn local(target: &str) -> Option<PathBuf> {
    match target.split_once("://") {
        None => Some(PathBuf::from(target)),
        Some(("file", _)) => Url::parse(target).ok()?.to_file_path().ok(),
        Some(_) => None,
    }
}

/// What is written to.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    folder: bool,
}

impl Target {
    fn new(path: PathBuf, copy: &CopyTo) -> Result<Self> {
        let wanted = copy.options.get("single_file_output").map(|v| v == "true");
        let ends_as_folder = copy.output_url.ends_with(['/', std::path::MAIN_SEPARATOR]);
        let is_folder = ends_as_folder
            || path.is_dir()
            || !copy.partition_by.is_empty()
            || (path.extension().is_none() && wanted != Some(true))
            || wanted == Some(false);
        // A link stays a link to what is replaced.
        let path = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(_) => crate::read::absolute(&path)?,
        };
        if is_folder && path.is_file() {
            return Err(FrameError::Write {
                path: path.display().to_string(),
                reason: "it is a file, and a folder is to be written".to_string(),
            });
        }
        Ok(Self { path, folder: is_folder })
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether the mode allows what is there.
    fn check(&self, mode: WriteMode) -> Result<()> {
        let refused = |reason: String| {
            Err(FrameError::Write { path: self.path.display().to_string(), reason })
        };
        if !self.path.exists() {
            return Ok(());
        }
        match mode {
            WriteMode::Append if self.folder => Ok(()),
            WriteMode::Append => refused("a file cannot be appended to; name a folder".to_string()),
            WriteMode::Fail if self.folder && is_empty(&self.path) => Ok(()),
            WriteMode::Fail => refused("it exists, and mode is fail".to_string()),
            WriteMode::Replace if self.folder => match foreign(&self.path) {
                Some(file) => refused(format!(
                    "the folder has files that no earlier write made ({file}); write to \
                     another folder, or set mode append"
                )),
                None => Ok(()),
            },
            WriteMode::Replace => Ok(()),
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// A file below a folder that is not named as [`rename_parts`] does.
fn foreign(folder: &Path) -> Option<String> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            match name.contains('=').then(|| foreign(&entry.path())) {
                Some(None) => {}
                Some(found) => return found,
                None => return Some(name),
            }
        } else if !is_part(&name) {
            return Some(name);
        }
    }
    None
}

/// Whether a file is named as [`rename_parts`] does.
pub(super) fn is_part(name: &str) -> bool {
    let Some((stem, _)) = name.split_once('.') else { return false };
    let Some(rest) = stem.strip_prefix("part-") else { return false };
    let number = rest.rsplit('-').next().unwrap_or_default();
    number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit())
}

/// What tells the files of one appending write from those of others.
pub(super) fn run_name() -> String {
    let random = std::hash::RandomState::new().hash_one(std::process::id());
    format!("{:08x}-", random as u32)
}

/// Names the files of each folder `part-00000.…`, in the order of DataFusion's numbers.
/// Files to append also get a random part, to be told from those that are there.
fn rename_parts(folder: &Path, mode: WriteMode) -> std::io::Result<()> {
    let run = match mode {
        WriteMode::Append => run_name(),
        _ => String::new(),
    };
    let mut all: Vec<(PathBuf, u64, PathBuf)> = files(folder)?
        .into_iter()
        .map(|path| {
            let parent = path.parent().unwrap_or(folder).to_path_buf();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = name.split('.').next().unwrap_or_default();
            let number = stem.rsplit('_').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            (parent, number, path)
        })
        .collect();
    all.sort();
    let mut last: Option<(PathBuf, u64)> = None;
    for (parent, _, path) in all {
        let n = match &last {
            Some((p, n)) if *p == parent => n + 1,
            _ => 0,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = name.split_once('.').map_or("", |(_, e)| e);
        fs::rename(&path, parent.join(format!("part-{run}{n:05}.{extension}")))?;
        last = Some((parent, n));
    }
    Ok(())
}

/// The columns of the files: all but those in the folders' names.
fn in_files(copy: &CopyTo) -> SchemaRef {
    let all = copy.input.schema();
    let kept = all.fields().iter().filter(|f| !copy.partition_by.contains(f.name()));
    Arc::new(Schema::new(kept.map(Arc::clone).collect::<Vec<_>>()))
}

/// Makes the partition columns text, with a name for null.
fn name_nulls(copy: &CopyTo) -> Result<LogicalPlan> {
    let input = copy.input.as_ref().clone();
    if copy.partition_by.is_empty() {
        return Ok(input);
    }
    let mut exprs = Vec::new();
    for (qualifier, field) in input.schema().iter() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        exprs.push(if copy.partition_by.contains(field.name()) {
            when(column.clone().is_null(), lit(NULL_FOLDER))
                .otherwise(cast(column, DataType::Utf8))?
                .alias(field.name())
        } else {
            column
        });
    }
    Ok(LogicalPlanBuilder::from(input).project(exprs)?.build()?)
}

/// An error of writing below the staging folder is about the target.
fn name_target(session: &Session, error: FrameError, data: &Path, target: &str) -> FrameError {
    let failure = Url::from_directory_path(data).ok().and_then(|url| {
        let folder = object_store::path::Path::from_url_path(url.path()).ok()?;
        session.stores().of(&url).ok()?.take_failure(&folder)
    });
    let staged = data.display().to_string();
    match error {
        // DataFusion keeps the cause of some failures to itself; the store remembers it.
        FrameError::Execution(text) if failure.is_some() || text.contains("finalizing writes") => {
            let reason = failure.unwrap_or_else(|| "a file could not be finished".to_string());
            FrameError::Write { path: target.to_string(), reason }
        }
        FrameError::Execution(text) if text.contains(staged.trim_start_matches('/')) => {
            let reason = if text.contains("No space left") || text.contains("disk is full") {
                "the disk is full".to_string()
            } else {
                text.replace(&format!("{staged}/"), "").replace(&staged, target)
            };
            FrameError::Write { path: target.to_string(), reason }
        }
        FrameError::Execution(text)
            if text.contains("No space left") || text.contains("disk is full") =>
        {
            let reason = "the disk is full".to_string();
            FrameError::Write { path: target.to_string(), reason }
        }
        other => match find_source::<std::io::Error>(&other) {
            Some(io) => FrameError::Write { path: target.to_string(), reason: io_reason(io) },
            None => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_files_are_known_by_name() {
        for name in ["part-00000.parquet", "part-x7f3k2ab-00012.csv.gz", "part-123456.json"] {
            assert!(is_part(name), "{name}");
        }
        for name in ["part-0.parquet", "flights.csv", "part-00000", ".part-00000.csv", "part-.x"] {
            assert!(!is_part(name), "{name}");
        }
    }
}
