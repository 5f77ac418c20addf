//! Cutting files that came out too large into several of about the size asked for.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::file_options::file_type::FileType,
    config::ConfigNonZeroUsize,
    execution::SessionState,
    logical_expr::{LogicalPlan, dml::CopyTo},
};

use super::copy::count;
use crate::{
    error::{FrameError, Result},
    execute::{self, Engine},
    read::{self, FileFormat, ReadOptions},
    session::Session,
    statement::RunOptions,
};

/// How the files were written.
pub(super) struct Sink<'a> {
    pub(super) file_type: &'a Arc<dyn FileType>,
    pub(super) options: &'a HashMap<String, String>,
    /// The columns in the files.
    pub(super) schema: SchemaRef,
}

/// Cuts each of `files` that is larger than `size` bytes by rows, into as many files as
/// its size holds `size`, in the same folder and order.
///
/// # Errors
/// [`FrameError::Write`]; those of reading the files back.
pub(super) async fn cut(
    session: &Session,
    files: &[PathBuf],
    size: u64,
    sink: &Sink<'_>,
    run: &RunOptions,
) -> Result<()> {
    for file in files {
        let failed = |e: &std::io::Error| FrameError::write(file, e);
        let bytes = fs::metadata(file).map_err(|e| failed(&e))?.len();
        let parts = bytes.div_ceil(size);
        if parts > 1 {
            cut_one(session, file, parts, sink, run).await?;
            fs::remove_file(file).map_err(|e| failed(&e))?;
        }
    }
    Ok(())
}

async fn cut_one(
    session: &Session,
    file: &Path,
    parts: u64,
    sink: &Sink<'_>,
    run: &RunOptions,
) -> Result<()> {
    let format = read::options::named(&file.display().to_string()).map(|n| n.format);
    let mut reading = ReadOptions { format, ..Default::default() };
    reading.csv.nulls = vec![String::new()];
    // CSV is copied as text, so that no value changes.
    let schema = match format {
        Some(FileFormat::Csv) => {
            let text = |f: &Arc<Field>| Field::new(f.name(), DataType::Utf8, true);
            Arc::new(Schema::new(sink.schema.fields().iter().map(text).collect::<Vec<_>>()))
        }
        _ => Arc::clone(&sink.schema),
    };
    let frame = session.read_declared(&file.display().to_string(), &reading, schema).await?;
    let rows = frame.count().await?;
    let each = usize::try_from(rows.div_ceil(parts)).unwrap_or(usize::MAX).max(1);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let pieces = file.with_file_name(format!("{stem}-pieces"));
    let mut options = sink.options.clone();
    options.insert("single_file_output".to_string(), "false".to_string());
    let copy = CopyTo::new(
        Arc::new(frame.logical_plan().clone()),
        format!("{}/", pieces.display()),
        Vec::new(),
        Arc::clone(sink.file_type),
        options,
    );
    let state = in_order(session.state(Engine::Host), each);
    let finished = execute::with_state(&state, &LogicalPlan::Copy(copy), run).await?;
    let written = count(&finished);
    if written != rows {
        return Err(FrameError::Execution(format!(
            "{} has {rows} rows, but its pieces have {written}",
            file.display()
        )));
    }
    let failed = |e: &std::io::Error| FrameError::write(file, e);
    for piece in super::staging::files(&pieces).map_err(|e| failed(&e))? {
        let piece_name = piece.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // "…_3.parquet" of the file "…_1.parquet" becomes "…_1000003.parquet", so that the
        // pieces stand where the file stood.
        let number = |name: &str| {
            let stem = name.split('.').next().unwrap_or_default();
            stem.rsplit('_').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        let place = (number(&name) + 1) * 1_000_000 + number(&piece_name);
        let extension = piece_name.split_once('.').map_or("", |(_, e)| e);
        let to = file.with_file_name(format!("{stem}_{place}.{extension}"));
        fs::rename(&piece, to).map_err(|e| failed(&e))?;
    }
    fs::remove_dir(&pieces).map_err(|e| failed(&e))
}

/// A state that reads a file in its order and writes files of `rows` rows.
fn in_order(mut state: SessionState, rows: usize) -> SessionState {
    let execution = &mut state.config_mut().options_mut().execution;
    let positive = |n: usize| ConfigNonZeroUsize::try_new(n.max(1)).ok();
    execution.target_partitions = 1;
    let batch = positive(rows.min(execution.batch_size.get()));
    execution.batch_size = batch.unwrap_or(execution.batch_size);
    execution.minimum_parallel_output_files =
        positive(1).unwrap_or(execution.minimum_parallel_output_files);
    execution.soft_max_rows_per_output_file =
        positive(rows).unwrap_or(execution.soft_max_rows_per_output_file);
    state
}
