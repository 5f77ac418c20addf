//! `INSERT INTO` a table over files, as a write that appends to its folder: whole or not at
//! all, as `COPY` is.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    datasource::{
        file_format::{
            FileFormat as EngineFormat, FileFormatFactory,
            arrow::ArrowFormatFactory,
            csv::CsvFormatFactory,
            format_as_file_type,
            json::{JsonFormat, JsonFormatFactory},
            parquet::{ParquetFormat, ParquetFormatFactory},
        },
        listing::ListingTable,
        source_as_provider,
    },
    error::DataFusionError,
    logical_expr::{
        DmlStatement, LogicalPlanBuilder, WriteOp,
        dml::{CopyTo, InsertOp},
    },
};
use futures::TryStreamExt;
use object_store::ObjectStore;

use super::{
    WriteMode, Written,
    copy::{Own, run},
};
use crate::{
    error::{FrameError, Result},
    read::{self, NULL_FOLDER, NullableFolders, files_of},
    session::Session,
    statement::RunOptions,
};

/// Runs an `INSERT` into a table over files; `None` for any other table or statement, which
/// is the engine's.
///
/// # Errors
/// [`FrameError::Write`] for a table that nothing can be added to; those of the write.
pub(crate) async fn run_insert(
    session: &Session,
    dml: &DmlStatement,
    options: &RunOptions,
) -> Result<Option<Written>> {
    let WriteOp::Insert(op) = &dml.op else { return Ok(None) };
    let provider = source_as_provider(&dml.target)?;
    let Some(table) = files_of(&provider) else { return Ok(None) };
    let mode = match op {
        InsertOp::Append => WriteMode::Append,
        InsertOp::Overwrite | InsertOp::Replace => WriteMode::Replace,
    };
    let copy = as_copy(dml, &table)?;
    let written = run(session, copy, Own { mode, target_file_size: None }, options).await?;
    if let Some(folders) = provider.downcast_ref::<NullableFolders>()
        && !folders.is_named()
        && has_null_folder(session, &table).await?
    {
        session.context().deregister_table(dml.table_name.clone())?;
        let table = Arc::new(folders.with_name()?);
        session.context().register_table(dml.table_name.clone(), table)?;
    }
    Ok(Some(written))
}

/// The write that an `INSERT` stands for.
fn as_copy(dml: &DmlStatement, table: &ListingTable) -> Result<CopyTo> {
    let refused = |reason: &str| FrameError::Write {
        path: format!("table {}", dml.table_name),
        reason: reason.to_string(),
    };
    let [url] = table.table_paths().as_slice() else {
        return Err(refused("it stands for several places; insert into a table over one folder"));
    };
    if !url.is_collection() {
        return Err(refused(
            "it stands for one file, and rows cannot be added to a file; make a table over a \
             folder (LOCATION ending in /)",
        ));
    }
    let (factory, extension) = factory(table.options().format.as_ref())
        .ok_or_else(|| refused("its format can only be read"))?;
    let name = format!("part-00000{extension}");
    if !url.get_glob().as_ref().is_none_or(|glob| glob.matches(&name)) {
        return Err(refused(&format!(
            "its files have names that a new file ({name}) would not fit; write to its folder \
             with COPY and mode append"
        )));
    }
    let mut input = LogicalPlanBuilder::from(dml.input.as_ref().clone());
    if let Some(order) = table.options().file_sort_order.first() {
        input = input.sort(order.clone())?;
    }
    let columns = table.options().table_partition_cols.iter().map(|(name, _)| name.clone());
    let options = HashMap::from([("single_file_output".to_string(), "false".to_string())]);
    Ok(CopyTo::new(
        Arc::new(input.build()?),
        url.get_url().to_string(),
        columns.collect(),
        format_as_file_type(factory),
        options,
    ))
}

/// The writer of files that a table's reader reads, and their names' ending.
fn factory(format: &dyn EngineFormat) -> Option<(Arc<dyn FileFormatFactory>, String)> {
    let ending = |name: &str| match format.compression_type() {
        Some(c) => format.get_ext_with_compression(&c).map(|e| format!(".{e}")).ok(),
        None => Some(format!(".{name}")),
    };
    if let Some(options) = read::csv_options(format) {
        return Some((Arc::new(CsvFormatFactory::new_with_options(options)), ending("csv")?));
    }
    if let Some(json) = format.downcast_ref::<JsonFormat>() {
        let factory = JsonFormatFactory::new_with_options(json.options().clone());
        return Some((Arc::new(factory), ending("json")?));
    }
    if let Some(parquet) = format.downcast_ref::<ParquetFormat>() {
        let factory = ParquetFormatFactory::new_with_options(parquet.options().clone());
        return Some((Arc::new(factory), ".parquet".to_string()));
    }
    match format.get_ext().as_str() {
        "arrow" => Some((Arc::new(ArrowFormatFactory::new()), ".arrow".to_string())),
        _ => None,
    }
}

/// Whether the name of one of the table's folders says null.
async fn has_null_folder(session: &Session, table: &ListingTable) -> Result<bool> {
    for url in table.table_paths() {
        let store = session.stores().of(url.get_url())?;
        let mut files = store.list(Some(url.prefix()));
        while let Some(file) = files.try_next().await.map_err(DataFusionError::from)? {
            let null = |part: &str| part.split_once('=').is_some_and(|(_, v)| v == NULL_FOLDER);
            if file.location.parts().any(|part| null(part.as_ref())) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
