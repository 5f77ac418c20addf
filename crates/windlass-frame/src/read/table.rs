//! Tables over files: for frames, `CREATE EXTERNAL TABLE` and `select * from 'path'`.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{
        DynamicFileCatalog, Session as EngineSession, TableProvider, TableProviderFactory,
        UrlTableFactory,
    },
    common::parsers::CompressionTypeVariant,
    datasource::{
        file_format::{
            FileFormat as EngineFormat, arrow::ArrowFormat, avro::AvroFormat, csv::CsvFormat,
            json::JsonFormat, parquet::ParquetFormat,
        },
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::{DataFusionError, Result as EngineResult},
    execution::{SessionState, session_state::SessionStateBuilder},
    logical_expr::{CreateExternalTable, SortExpr},
    prelude::SessionContext,
};

use futures::{FutureExt, future::BoxFuture};

use super::{
    csv,
    csv_scan::CsvFiles,
    json,
    locate::{Located, locate},
    options::{FileFormat, ReadOptions, invalid, named},
    partitions::{NullableFolders, files_of},
    sample::samples,
};
use crate::error::{FrameError, Result, find_source};

/// What is fixed about a table before its files are looked at.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// The columns in the files, in order.
    pub(crate) schema: Option<SchemaRef>,
    /// The columns in the folders' names.
    pub(crate) partitions: Option<Vec<(String, DataType)>>,
    /// The order of the rows.
    pub(crate) order: Vec<Vec<SortExpr>>,
}

/// The table over the files of `paths`. Lists them, and reads a bounded sample (CSV, JSON)
/// or the first file's metadata.
///
/// # Errors
/// Those of finding the files and of inferring their columns.
pub(crate) fn open<'a>(
    state: &'a SessionState,
    paths: &'a [&'a str],
    options: &'a ReadOptions,
    declared: Declared,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
    open_files(state, paths, options, declared).boxed()
}

async fn open_files(
    state: &SessionState,
    paths: &[&str],
    options: &ReadOptions,
    declared: Declared,
) -> Result<Arc<dyn TableProvider>> {
    let mut located = locate(state, paths, options.format).await?;
    if let Some(name) = &options.compression {
        located.compression =
            name.parse().map_err(|_| invalid("compression", "gzip, zstd, bzip2 or xz", name))?;
    }
    let (format, inferred) = match &declared.schema {
        Some(schema) => {
            // The sample tells whether quoted values hold line ends.
            let (format, _) = describe(state, &located, options, true).await?;
            (format, Arc::clone(schema))
        }
        None => describe(state, &located, options, false).await?,
    };
    let partitions = declared.partitions.unwrap_or_else(|| located.partitions.clone());
    // A column that is in the folders' names as well counts once.
    let kept: Vec<_> = inferred
        .fields()
        .iter()
        .filter(|f| !partitions.iter().any(|(name, _)| name == f.name()))
        .map(Arc::clone)
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(kept, inferred.metadata().clone()));
    let nulls = located.null_partitions && !partitions.is_empty();
    if !nulls {
        return Ok(build(state, located.urls, format, schema, partitions, declared.order)?);
    }
    let table = build(state, located.urls, format, schema, partitions, declared.order)?;
    Ok(Arc::new(NullableFolders::new(&table, true)?))
}

fn build(
    state: &SessionState,
    urls: Vec<ListingTableUrl>,
    format: Arc<dyn EngineFormat>,
    schema: SchemaRef,
    partitions: Vec<(String, DataType)>,
    order: Vec<Vec<SortExpr>>,
) -> Result<Arc<ListingTable>> {
    let listing = ListingOptions::new(format)
        .with_file_extension("")
        .with_table_partition_cols(partitions)
        .with_file_sort_order(order);
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(listing)
        .with_schema(schema);
    let cache = state.runtime_env().cache_manager.get_file_statistic_cache();
    Ok(Arc::new(ListingTable::try_new(config)?.with_cache(cache)))
}

/// The reader of the files, and their columns.
async fn describe(
    state: &SessionState,
    located: &Located,
    options: &ReadOptions,
    declared: bool,
) -> Result<(Arc<dyn EngineFormat>, SchemaRef)> {
    let Located { store, files, compression, .. } = located;
    let root = located.urls[0].object_store();
    let none = Arc::new(Schema::empty());
    if located.format != FileFormat::Csv && declared {
        return Ok((plain(state, located.format, *compression), none));
    }
    let empty = || FrameError::NoFiles {
        path: located.written.clone(),
        format: located.format.name().to_string(),
        hint: "every file is empty; declare the columns to read it so".to_string(),
    };
    match located.format {
        FileFormat::Csv => {
            let default = if located.tabs { b'\t' } else { b',' };
            let delimiter = options.csv.delimiter.unwrap_or(default);
            let samples = samples((&root, store), files, *compression).await?;
            if samples.is_empty() && !declared {
                return Err(empty());
            }
            let mut csv_options = options.csv.clone();
            if declared {
                csv_options.schema.clear();
            }
            let inferred = csv::infer(&csv_options, delimiter, &samples)?;
            let newlines = options.csv.newlines_in_values.unwrap_or(inferred.newlines);
            let engine = options.csv.engine(delimiter, *compression, newlines);
            Ok((Arc::new(CsvFiles::new(engine)?), inferred.schema))
        }
        FileFormat::Json => {
            let samples = samples((&root, store), files, *compression).await?;
            if samples.is_empty() {
                return Err(empty());
            }
            let schema = json::infer(&options.json, &samples)?;
            Ok((plain(state, FileFormat::Json, *compression), schema))
        }
        kind => {
            let format = plain(state, kind, *compression);
            let Some(first) = files.iter().find(|f| f.size > 0) else { return Err(empty()) };
            let schema = match kind {
                FileFormat::Arrow => super::arrow::schema(store, first).await,
                _ => format.infer_schema(state, store, std::slice::from_ref(first)).await,
            };
            let schema =
                schema.map_err(|e| unread(e, kind, &super::sample::shown(&root, first)))?;
            Ok((format, schema))
        }
    }
}

/// The error of a file whose columns cannot be read: the store's own, or that it is of
/// another format.
fn unread(error: DataFusionError, kind: FileFormat, path: &str) -> FrameError {
    match find_source::<FrameError>(&error) {
        Some(own) => own.clone(),
        None => FrameError::Unreadable {
            path: path.to_string(),
            reason: format!("it is no {} file: {}", kind.name(), error.strip_backtrace()),
        },
    }
}

/// The reader of a format with no options of its own.
fn plain(
    state: &SessionState,
    format: FileFormat,
    compression: CompressionTypeVariant,
) -> Arc<dyn EngineFormat> {
    match format {
        FileFormat::Csv => Arc::new(CsvFormat::default()),
        FileFormat::Json => {
            Arc::new(JsonFormat::default().with_file_compression_type(compression.into()))
        }
        FileFormat::Parquet => {
            let options = state.default_table_options().parquet;
            Arc::new(ParquetFormat::default().with_options(options))
        }
        FileFormat::Arrow => Arc::new(ArrowFormat),
        FileFormat::Avro => Arc::new(AvroFormat),
    }
}

/// `CREATE EXTERNAL TABLE`: the same reading as for frames.
#[derive(Debug)]
struct Factory;

#[async_trait]
impl TableProviderFactory for Factory {
    async fn create(
        &self,
        state: &dyn EngineSession,
        command: &CreateExternalTable,
    ) -> EngineResult<Arc<dyn TableProvider>> {
        let state = concrete(state)?;
        let mut options = read_options(&command.file_type, &command.options)?;
        if command.file_type.eq_ignore_ascii_case("TSV") && options.csv.delimiter.is_none() {
            options.csv.delimiter = Some(b'\t');
        }
        let mut declared = Declared { order: command.order_exprs.clone(), ..Default::default() };
        let columns = command.schema.as_arrow();
        let in_folders = &command.table_partition_cols;
        if !columns.fields().is_empty() {
            let (folders, files): (Vec<_>, Vec<_>) =
                columns.fields().iter().cloned().partition(|f| in_folders.contains(f.name()));
            declared.schema = Some(Arc::new(Schema::new(files)));
            declared.partitions =
                Some(folders.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect());
            // A table to insert into: its folder may not be there yet.
            if let [one] = command.locations.as_slice()
                && one.ends_with('/')
                && !one.contains("://")
                && !std::path::Path::new(one).exists()
            {
                std::fs::create_dir_all(one).map_err(|e| FrameError::write(one, &e))?;
            }
            if let [one] = command.locations.as_slice()
                && let Ok(mut entries) = std::fs::read_dir(one)
                && entries.next().is_none()
            {
                let format = options.format.unwrap_or(FileFormat::Parquet);
                let engine: Arc<dyn EngineFormat> = match format {
                    FileFormat::Csv => {
                        let delimiter = options.csv.delimiter.unwrap_or(b',');
                        let none = CompressionTypeVariant::UNCOMPRESSED;
                        let csv = options.csv.engine(delimiter, none, false);
                        Arc::new(CsvFiles::new(csv)?)
                    }
                    other => plain(state, other, CompressionTypeVariant::UNCOMPRESSED),
                };
                let url = ListingTableUrl::parse(one)?;
                let none = || Arc::new(Schema::empty());
                let schema = declared.schema.unwrap_or_else(none);
                let partitions = declared.partitions.unwrap_or_default();
                let folders = !partitions.is_empty();
                let table = build(state, vec![url], engine, schema, partitions, declared.order)?;
                // What is inserted later may be null.
                return Ok(match folders {
                    true => Arc::new(NullableFolders::new(&table, true)?),
                    false => table,
                });
            }
        }
        let paths: Vec<&str> = command.locations.iter().map(String::as_str).collect();
        let table = open(state, &paths, &options, declared).await?;
        for name in in_folders {
            if table.schema().index_of(name).is_err() {
                return Err(FrameError::Plan(format!(
                    "{} has no folders {name}=…, as PARTITIONED BY says",
                    paths.join(", ")
                ))
                .into());
            }
        }
        // Null may be inserted into what has none yet.
        match files_of(&table) {
            Some(files) if !in_folders.is_empty() && files.schema() == table.schema() => {
                Ok(Arc::new(NullableFolders::new(&files, false)?))
            }
            _ => Ok(table),
        }
    }
}

/// The reading options of SQL's `STORED AS` and `OPTIONS`.
fn read_options(file_type: &str, given: &HashMap<String, String>) -> Result<ReadOptions> {
    let mut options =
        ReadOptions { format: FileFormat::from_name(file_type), ..Default::default() };
    let mut keys: Vec<&String> = given.keys().collect();
    keys.sort();
    for key in keys {
        let value = &given[key];
        let name = key.strip_prefix("format.").unwrap_or(key);
        match (options.format, name) {
            (_, "compression") => options.compression = Some(value.clone()),
            (Some(FileFormat::Csv), _) => options.csv.set(key, value)?,
            (Some(FileFormat::Json), "types") => {
                options.json.schema = super::options::types(key, value)?;
            }
            _ => {
                return Err(FrameError::InvalidOption {
                    option: name.to_string(),
                    expected: format!("an option of {file_type} tables: compression, types"),
                    got: format!("{value:?}"),
                });
            }
        }
    }
    Ok(options)
}

fn concrete(state: &dyn EngineSession) -> EngineResult<&SessionState> {
    state
        .as_any()
        .downcast_ref::<SessionState>()
        .ok_or_else(|| DataFusionError::Internal("a session state of another kind".to_string()))
}

/// The makers of `CREATE EXTERNAL TABLE … STORED AS` tables.
pub(crate) fn table_factories() -> HashMap<String, Arc<dyn TableProviderFactory>> {
    let factory: Arc<dyn TableProviderFactory> = Arc::new(Factory);
    ["CSV", "TSV", "JSON", "NDJSON", "JSONL", "PARQUET", "ARROW", "AVRO"]
        .into_iter()
        .map(|name| (name.to_string(), Arc::clone(&factory)))
        .collect()
}

/// `select * from 'path'`.
#[derive(Debug, Default)]
struct Paths {
    session: datafusion::datasource::dynamic_file::DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for Paths {
    async fn try_new(&self, path: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        // A name without any of these is a table's, and unknown.
        let like_a_path = path.contains(['/', '\\', '*'])
            || named(path).is_some()
            || (path.contains('.') && std::path::Path::new(path).is_file());
        if !like_a_path {
            return Ok(None);
        }
        let session = self.session.session_store().get_session().upgrade();
        let state = session.and_then(|s| s.read().as_any().downcast_ref::<SessionState>().cloned());
        let Some(state) = state else { return Ok(None) };
        let table = open(&state, &[path], &ReadOptions::default(), Declared::default()).await?;
        Ok(Some(table))
    }
}

/// Lets `select * from 'path'` read files.
pub(crate) fn enable_paths(context: SessionContext) -> SessionContext {
    let factory = Arc::new(Paths::default());
    let catalogs = Arc::clone(context.state_ref().read().catalog_list());
    let dynamic = DynamicFileCatalog::new(catalogs, Arc::clone(&factory) as _);
    let state = SessionStateBuilder::new_from_existing(context.state())
        .with_catalog_list(Arc::new(dynamic))
        .build();
    let context = SessionContext::new_with_state(state);
    factory.session.session_store().with_state(context.state_weak_ref());
    context
}
