//! Which texts a scan can read as codes.
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
        basic::Encoding,
        file::metadata::{ColumnChunkMetaData, ParquetMetaData},
    },
    physical_expr::utils::{collect_columns, split_conjunction},
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, Partitioning, PhysicalExpr, ReplaceChildrenOptions,
        expressions::{CastExpr, Column, DynamicFilterPhysicalExpr},
        repartition::RepartitionExec,
    },
};

use crate::{lower::InputPlan, nodes::DictionaryScanExec};

mod filter;
mod per_code;

pub(super) use filter::filter;

/// The type of texts as codes that the Parquet reader gives.
fn codes() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The footers of files that planning has read.
#[derive(Clone)]
pub struct Footers(pub Arc<FileMetadataCache>);

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Footers").field(&self.0.len()).finish()
    }
}

/// The source of an upload of the columns of `input` with texts as codes, and how many text
/// columns stay texts, which the host codes row by row.
pub(super) fn source(
    input: &InputPlan,
    source: &Arc<dyn ExecutionPlan>,
    footers: Option<&Footers>,
) -> (Option<Arc<dyn ExecutionPlan>>, usize) {
    let texts = input.columns.iter().filter(|c| c.dictionary.is_some());
    let texts: Vec<usize> = texts.map(|c| c.source).collect();
    let coded = footers.filter(|_| !texts.is_empty());
    match coded.and_then(|f| scan(source, &texts, &*f.0)) {
        Some((coded, columns)) => (Some(Arc::new(coded)), texts.len() - columns.len()),
        None => (None, texts.len()),
    }
}

/// `source`, a scan of Parquet files, with the columns of `wanted` (by their numbers in its
/// output) as codes; those left out that some file does not hold as codes throughout, or by
/// which the scan itself tests rows. `None` where that leaves none, or `source` is no such
/// scan, nor one whose batches are only spread over partitions.
///
/// What the files hold is known from `metadata`, where planning left it; nothing is read.
fn scan(
    source: &Arc<dyn ExecutionPlan>,
    wanted: &[usize],
    metadata: &FileMetadataCache,
) -> Option<(DictionaryScanExec, Vec<usize>)> {
    if let Some(spread) = source.downcast_ref::<RepartitionExec>() {
        let rows = matches!(spread.partitioning(), Partitioning::RoundRobinBatch(_));
        let below = rows.then(|| scan(spread.children()[0], wanted, metadata)).flatten()?;
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let (coded, outputs) = below;
        let spread = Arc::clone(source).replace_children(vec![Arc::clone(coded.scan())], options);
        return Some((coded.below(spread.ok()?, source), outputs));
    }
    let scan = source.downcast_ref::<DataSourceExec>()?;
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let parquet = config.file_source().downcast_ref::<ParquetSource>()?;
    let schema = parquet.table_schema();
    let projection = parquet.projection()?;
    let predicate = parquet.filter();
    let late = parquet.table_parquet_options().global.pushdown_filters;
    let looked_at = predicate.iter().flat_map(|p| tested(p, late)).collect::<Vec<_>>();
    // An output that is a text column of the files, used for nothing else.
    let column = |output: usize| {
        let column = projection.as_ref().get(output)?.expr.downcast_ref::<Column>()?;
        let field = schema.file_schema().fields().get(column.index())?;
        let text =
            matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let users = projection
            .iter()
            .filter(|e| collect_columns(&e.expr).iter().any(|c| c.index() == column.index()));
        let filtered = looked_at.iter().any(|name| name == column.name());
        let sorted = config
            .output_ordering
            .iter()
            .flatten()
            .any(|e| collect_columns(&e.expr).iter().any(|c| c.name() == column.name()));
        (text && users.count() == 1 && !filtered && !sorted).then(|| (output, column.index()))
    };
    let mut columns: Vec<(usize, usize)> = wanted.iter().filter_map(|o| column(*o)).collect();
    let files = config.file_groups.iter().flat_map(|g| g.iter());
    let known = |file: &PartitionedFile| {
        let footer = file_metadata(file, metadata)?;
        Some((file_schema(&footer)?, footer))
    };
    let footers = files.map(known).collect::<Option<Vec<_>>>()?;
    let name = |column: usize| schema.file_schema().field(column).name();
    columns.retain(|(_, c)| {
        footers.iter().all(|(schema, footer)| holds_codes(schema, footer, name(*c)))
    });
    if columns.is_empty() || footers.is_empty() {
        return None;
    }
    let names: Vec<String> = columns.iter().map(|(_, c)| name(*c).clone()).collect();

    // The same scan over a table of codes.
    let table = TableSchema::builder(with_codes(schema.file_schema(), &names))
        .with_table_partition_cols(schema.table_partition_cols().clone())
        .with_virtual_columns(schema.virtual_columns().clone())
        .build();
    let mut coded = ParquetSource::new(table)
        .with_table_parquet_options(parquet.table_parquet_options().clone());
    if let Some(factory) = parquet.parquet_file_reader_factory() {
        coded = coded.with_parquet_file_reader_factory(Arc::clone(factory));
    }
    if let Some(predicate) = predicate {
        coded = coded.with_predicate(over_codes(predicate, &names, schema.file_schema())?);
    }
    let coded = coded.try_pushdown_projection(projection).ok()??;
    let mut schemas = footers.iter().map(|(schema, _)| with_codes(schema, &names));
    let groups = config.file_groups.iter().map(|group| {
        let files = group.iter().zip(&mut schemas);
        files.map(|(file, schema)| file.clone().with_arrow_schema(schema)).collect::<FileGroup>()
    });
    let groups = groups.collect();
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(coded)
        .with_file_groups(groups)
        .build();
    let scan = DataSourceExec::from_data_source(config);
    let outputs = columns.into_iter().map(|(output, _)| output).collect();
    Some((DictionaryScanExec::new(scan, source, names), outputs))
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

/// A condition on texts over the columns of `names` as codes: pruning by statistics sees
/// through a cast from a dictionary. `None` for one that cannot be rewritten.
fn over_codes(
    predicate: Arc<dyn PhysicalExpr>,
    names: &[String],
    texts: &Schema,
) -> Option<Arc<dyn PhysicalExpr>> {
    let over = predicate.transform_up(|e| {
        let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
        if !names.iter().any(|name| name == column.name()) {
            return Ok(Transformed::no(e));
        }
        let text = texts.field_with_name(column.name())?.data_type().clone();
        let cast = CastExpr::new(Arc::clone(&e), text, None);
        Ok(Transformed::yes(Arc::new(cast) as Arc<dyn PhysicalExpr>))
    });
    over.ok().map(|over| over.data)
}

/// The schema with the columns of these names as codes.
fn with_codes(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match names.contains(field.name()) {
        true => Arc::new(Field::clone(field).with_data_type(codes())),
        false => Arc::clone(field),
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

/// Whether a file holds a text column of this name, all of whose pages are codes.
fn holds_codes(schema: &Schema, footer: &ParquetMetaData, name: &str) -> bool {
    let Ok(field) = schema.field_with_name(name) else { return false };
    let text =
        matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let columns = footer.file_metadata().schema_descr().columns();
    let leaf = columns.iter().position(|c| matches!(c.path().parts(), [only] if only == name));
    let coded = |chunk: &ColumnChunkMetaData| {
        let plain = match chunk.page_encoding_stats_mask() {
            // Of data pages alone.
            Some(pages) => {
                !(pages.is_only(Encoding::RLE_DICTIONARY)
                    || pages.is_only(Encoding::PLAIN_DICTIONARY))
            }
            // Of all pages: a dictionary's own may be plain, so that plain says nothing.
            None => chunk.encodings().any(|e| {
                use Encoding as E;
                matches!(e, E::PLAIN | E::DELTA_LENGTH_BYTE_ARRAY | E::DELTA_BYTE_ARRAY)
            }),
        };
        // A Bloom filter is looked at for texts only.
        let bloom = chunk.bloom_filter_offset().is_some();
        chunk.dictionary_page_offset().is_some() && !plain && !bloom
    };
    let groups = || footer.row_groups().iter();
    text && leaf.is_some_and(|leaf| groups().all(|g| coded(g.column(leaf))))
}
