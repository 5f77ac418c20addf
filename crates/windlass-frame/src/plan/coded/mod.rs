//! Which texts a scan can read as codes, and which decimals as 64-bit integers.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | the scans, and what the footers of their files say |
//! | `filter` | filters over such scans |
//! | `per_code` | conditions that look at each text of a dictionary once |

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
            parquet::metadata::CachedParquetMetaData,
        },
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::cache::cache_manager::FileMetadataCache,
    parquet::{
        arrow::parquet_to_arrow_schema,
        basic::{Encoding, Type as PhysicalType},
        file::metadata::{ColumnChunkMetaData, ParquetMetaData},
        schema::types::ColumnDescPtr,
    },
    physical_expr::utils::{collect_columns, split_conjunction},
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, Partitioning, PhysicalExpr, ReplaceChildrenOptions,
        expressions::{CastExpr, Column, DynamicFilterPhysicalExpr},
        repartition::RepartitionExec,
    },
};

use crate::{
    lower::{InputPlan, types::narrow},
    nodes::StoredScanExec,
};

mod filter;
mod per_code;

pub(super) use filter::filter;

/// The type in which a scan can give a column to a device: texts as codes, decimals of up to
/// 18 digits with 8 bytes a value. `None` for a type that has no other form.
fn held(ty: &DataType) -> Option<DataType> {
    match is_text(ty) {
        true => Some(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
        false => narrow(ty),
    }
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The footers of files that planning has read.
#[derive(Clone)]
pub struct Footers(pub Arc<FileMetadataCache>);

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Footers").field(&self.0.len()).finish()
    }
}

/// The source of an upload of the columns of `input` with texts as codes and decimals as
/// 64-bit integers, and how many text columns stay texts, which the host codes row by row.
pub(super) fn source(
    input: &InputPlan,
    source: &Arc<dyn ExecutionPlan>,
    footers: Option<&Footers>,
) -> (Option<Arc<dyn ExecutionPlan>>, usize) {
    let texts: Vec<usize> =
        input.columns.iter().filter(|c| c.dictionary.is_some()).map(|c| c.source).collect();
    let decimals = input.columns.iter().filter(|c| narrow(&c.data_type).is_some());
    let wanted: Vec<usize> = texts.iter().copied().chain(decimals.map(|c| c.source)).collect();
    let stored = footers.filter(|_| !wanted.is_empty());
    match stored.and_then(|f| scan(source, &wanted, &*f.0)) {
        Some((scan, columns)) => {
            let coded = columns.iter().filter(|c| texts.contains(c)).count();
            (Some(Arc::new(scan)), texts.len() - coded)
        }
        None => (None, texts.len()),
    }
}

/// `source`, a scan of Parquet files, with the columns of `wanted` (by their numbers in its
/// output) as the files hold them; those left out that some file does not hold so throughout,
/// or by which the scan itself tests rows. `None` where that leaves none, or `source` is no
/// such scan, nor one whose batches are only spread over partitions.
///
/// What the files hold is known from `metadata`, where planning left it; nothing is read.
fn scan(
    source: &Arc<dyn ExecutionPlan>,
    wanted: &[usize],
    metadata: &FileMetadataCache,
) -> Option<(StoredScanExec, Vec<usize>)> {
    if let Some(spread) = source.downcast_ref::<RepartitionExec>() {
        let rows = matches!(spread.partitioning(), Partitioning::RoundRobinBatch(_));
        let below = rows.then(|| scan(spread.children()[0], wanted, metadata)).flatten()?;
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let (held, outputs) = below;
        let spread = Arc::clone(source).replace_children(vec![Arc::clone(held.scan())], options);
        return Some((StoredScanExec::new(spread.ok()?, source), outputs));
    }
    let scan = source.downcast_ref::<DataSourceExec>()?;
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let parquet = config.file_source().downcast_ref::<ParquetSource>()?;
    let schema = parquet.table_schema();
    let projection = parquet.projection()?;
    let predicate = parquet.filter();
    let late = parquet.table_parquet_options().global.pushdown_filters;
    let looked_at = predicate.iter().flat_map(|p| tested(p, late)).collect::<Vec<_>>();
    // An output that is a text or decimal column of the files, used for nothing else.
    let column = |output: usize| {
        let column = projection.as_ref().get(output)?.expr.downcast_ref::<Column>()?;
        let field = schema.file_schema().fields().get(column.index())?;
        held(field.data_type())?;
        let users = projection
            .iter()
            .filter(|e| collect_columns(&e.expr).iter().any(|c| c.index() == column.index()));
        let filtered = looked_at.iter().any(|name| name == column.name());
        let sorted = config
            .output_ordering
            .iter()
            .flatten()
            .any(|e| collect_columns(&e.expr).iter().any(|c| c.name() == column.name()));
        (users.count() == 1 && !filtered && !sorted).then(|| (output, column.index()))
    };
    let mut columns: Vec<(usize, usize)> = wanted.iter().filter_map(|o| column(*o)).collect();
    let files = config.file_groups.iter().flat_map(|g| g.iter());
    let known = |file: &PartitionedFile| {
        let footer = file_metadata(file, metadata)?;
        Some((file_schema(&footer)?, footer))
    };
    let footers = files.map(known).collect::<Option<Vec<_>>>()?;
    let field = |column: usize| schema.file_schema().field(column);
    columns
        .retain(|(_, c)| footers.iter().all(|(schema, footer)| holds(schema, footer, field(*c))));
    if columns.is_empty() || footers.is_empty() {
        return None;
    }
    let names: Vec<String> = columns.iter().map(|(_, c)| field(*c).name().clone()).collect();

    // The same scan over a table with these columns as held.
    let table = TableSchema::builder(as_held(schema.file_schema(), &names))
        .with_table_partition_cols(schema.table_partition_cols().clone())
        .with_virtual_columns(schema.virtual_columns().clone())
        .build();
    let mut stored = ParquetSource::new(table)
        .with_table_parquet_options(parquet.table_parquet_options().clone());
    if let Some(factory) = parquet.parquet_file_reader_factory() {
        stored = stored.with_parquet_file_reader_factory(Arc::clone(factory));
    }
    if let Some(predicate) = predicate {
        stored = stored.with_predicate(over_held(predicate, &names, schema.file_schema())?);
    }
    let stored = stored.try_pushdown_projection(projection).ok()??;
    let mut schemas = footers.iter().map(|(schema, _)| as_held(schema, &names));
    let groups = config.file_groups.iter().map(|group| {
        let files = group.iter().zip(&mut schemas);
        files.map(|(file, schema)| file.clone().with_arrow_schema(schema)).collect::<FileGroup>()
    });
    let groups = groups.collect();
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(stored)
        .with_file_groups(groups)
        .build();
    let scan = DataSourceExec::from_data_source(config);
    let outputs = columns.into_iter().map(|(output, _)| output).collect();
    Some((StoredScanExec::new(scan, source), outputs))
}

/// The columns by which a scan tests its rows, or will when a join tells it their bounds. A
/// fixed condition that only leaves out row groups, by their statistics, is none of these.
fn tested(predicate: &Arc<dyn PhysicalExpr>, late: bool) -> Vec<String> {
    let tests = |e: &Arc<dyn PhysicalExpr>| {
        late || e.exists(|e| Ok(e.is::<DynamicFilterPhysicalExpr>())).unwrap_or(true)
    };
    let tests = split_conjunction(predicate).into_iter().filter(|e| tests(e));
    tests.flat_map(collect_columns).map(|c| c.name().to_string()).collect()
}

/// A condition over the columns of `names` as held: pruning by statistics sees through a cast
/// from a dictionary, or to more digits. `None` for one that cannot be rewritten.
fn over_held(
    predicate: Arc<dyn PhysicalExpr>,
    names: &[String],
    plain: &Schema,
) -> Option<Arc<dyn PhysicalExpr>> {
    let over = predicate.transform_up(|e| {
        let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
        if !names.iter().any(|name| name == column.name()) {
            return Ok(Transformed::no(e));
        }
        let plain = plain.field_with_name(column.name())?.data_type().clone();
        let cast = CastExpr::new(Arc::clone(&e), plain, None);
        Ok(Transformed::yes(Arc::new(cast) as Arc<dyn PhysicalExpr>))
    });
    over.ok().map(|over| over.data)
}

/// The schema with the columns of these names as held.
fn as_held(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        match held(field.data_type()).filter(|_| names.contains(field.name())) {
            Some(ty) => Arc::new(Field::clone(field).with_data_type(ty)),
            None => Arc::clone(field),
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The footer of a file, if it is in the cache.
fn file_metadata(
    file: &PartitionedFile,
    cache: &FileMetadataCache,
) -> Option<Arc<ParquetMetaData>> {
    let entry = cache.get(&file.object_meta.location)?;
    if !entry.is_valid_for(&file.object_meta) || file.arrow_schema.is_some() {
        return None;
    }
    let footer = entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
    Some(Arc::clone(footer.parquet_metadata()))
}

/// The Arrow schema of a file.
fn file_schema(footer: &ParquetMetaData) -> Option<SchemaRef> {
    let file = footer.file_metadata();
    parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok().map(Arc::new)
}

/// Whether a file holds a column of the table so throughout: a text with all pages as codes, a
/// decimal of the same digits as integers.
fn holds(schema: &Schema, footer: &ParquetMetaData, column: &Field) -> bool {
    let Ok(field) = schema.field_with_name(column.name()) else { return false };
    let columns = footer.file_metadata().schema_descr().columns();
    let is_leaf = |c: &ColumnDescPtr| matches!(c.path().parts(), [only] if only == column.name());
    let Some(leaf) = columns.iter().position(is_leaf) else { return false };
    let mut chunks = footer.row_groups().iter().map(|group| group.column(leaf));
    // A Bloom filter is looked at for the column itself only.
    let plain = |chunk: &ColumnChunkMetaData| chunk.bloom_filter_offset().is_none();
    if is_text(column.data_type()) {
        return is_text(field.data_type()) && chunks.all(|c| plain(c) && coded(c));
    }
    let integer =
        matches!(columns[leaf].physical_type(), PhysicalType::INT32 | PhysicalType::INT64);
    integer && field.data_type() == column.data_type() && chunks.all(plain)
}

/// Whether all data pages of a column chunk are codes.
fn coded(chunk: &ColumnChunkMetaData) -> bool {
    let texts = match chunk.page_encoding_stats_mask() {
        // Of data pages alone.
        Some(pages) => {
            !(pages.is_only(Encoding::RLE_DICTIONARY) || pages.is_only(Encoding::PLAIN_DICTIONARY))
        }
        // Of all pages: a dictionary's own may be plain, so that plain says nothing.
        None => chunk.encodings().any(|e| {
            use Encoding as E;
            matches!(e, E::PLAIN | E::DELTA_LENGTH_BYTE_ARRAY | E::DELTA_BYTE_ARRAY)
        }),
    };
    chunk.dictionary_page_offset().is_some() && !texts
}
