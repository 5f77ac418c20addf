//! Reading CSV with texts that mean null. DataFusion's own source takes a null pattern but
//! does not read with it, so the opener is ours; planning and projection stay its own.
//!
//! ```text
//! ListingTable ── CsvFiles (format) ── CsvScan (source) ── Opener ── arrow's CSV reader
//! ```

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    csv::{ReaderBuilder, reader::Decoder},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use datafusion::{
    catalog::Session as EngineSession,
    common::{Statistics, config::CsvOptions as EngineCsv, tree_node::TreeNodeRecursion},
    datasource::{
        file_format::{FileFormat, csv::CsvFormat, file_compression_type::FileCompressionType},
        listing::PartitionedFile,
        physical_plan::{
            FileOpenFuture, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSinkConfig,
            FileSource,
        },
        projection::{ProjectionOpener, SplitProjection},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    physical_expr::{LexRequirement, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType, ExecutionPlan, PhysicalExpr,
        execution_plan::apply_expression_roots,
        metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder},
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore};
use regex::Regex;

/// CSV files whose options hold the null pattern.
#[derive(Debug)]
pub(crate) struct CsvFiles {
    inner: CsvFormat,
    nulls: Regex,
}

impl CsvFiles {
    /// A format with every option given.
    ///
    /// # Errors
    /// `Configuration` for a null pattern that is none.
    pub(crate) fn new(options: EngineCsv) -> Result<Self> {
        let pattern = options.null_regex.clone().unwrap_or_else(|| "^$".to_string());
        let nulls = Regex::new(&pattern)
            .map_err(|e| DataFusionError::Configuration(format!("null pattern {pattern}: {e}")))?;
        Ok(Self { inner: CsvFormat::default().with_options(options), nulls })
    }

    pub(crate) fn options(&self) -> &EngineCsv {
        self.inner.options()
    }
}

#[async_trait]
impl FileFormat for CsvFiles {
    fn get_ext(&self) -> String {
        self.inner.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.inner.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.inner.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn EngineSession,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.inner.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        _state: &dyn EngineSession,
        _store: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        _object: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&schema))
    }

    async fn create_physical_plan(
        &self,
        _state: &dyn EngineSession,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let compression = self.options().compression.into();
        let config =
            FileScanConfigBuilder::from(config).with_file_compression_type(compression).build();
        Ok(DataSourceExec::from_data_source(config))
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn EngineSession,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.inner.create_writer_physical_plan(input, state, config, order).await
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(CsvScan {
            options: self.options().clone(),
            nulls: self.nulls.clone(),
            projection: SplitProjection::unprojected(&schema),
            schema,
            batch_rows: None,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// A scan of CSV files.
#[derive(Clone)]
struct CsvScan {
    options: EngineCsv,
    nulls: Regex,
    schema: TableSchema,
    projection: SplitProjection,
    batch_rows: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl FileSource for CsvScan {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let opener = Arc::new(Opener {
            scan: self.clone(),
            compression: config.file_compression_type,
            store,
            partition,
        });
        let files = self.schema.file_schema();
        ProjectionOpener::try_new(self.projection.clone(), opener as Arc<dyn FileOpener>, files)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: Some(rows), ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "csv"
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => Ok(()),
            _ => write!(f, ", nulls={}", self.nulls),
        }
    }

    fn repartitioned(
        &self,
        partitions: usize,
        min_size: usize,
        order: Option<datafusion::physical_expr::LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // A part of a file starts at a line end, which must not be inside a value; and it
        // is found by seeking, which only local files can do.
        let newlines = self.options.newlines_in_values.unwrap_or(false);
        let local = config.object_store_url.as_str().starts_with("file:");
        if newlines || !local || config.file_compression_type.is_compressed() {
            return Ok(None);
        }
        let groups = datafusion::datasource::physical_plan::FileGroupPartitioner::new()
            .with_target_partitions(partitions)
            .with_repartition_file_min_size(min_size)
            .with_preserve_order_within_groups(order.is_some())
            .repartition_file_groups(&config.file_groups);
        Ok(groups.map(|file_groups| {
            let mut parts = config.clone();
            parts.file_groups = file_groups;
            parts
        }))
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// Opens the files of one partition.
struct Opener {
    scan: CsvScan,
    compression: FileCompressionType,
    store: Arc<dyn ObjectStore>,
    partition: usize,
}

impl CsvScan {
    /// arrow's reader for a file; `header` where what is read starts with one.
    fn reader(&self, header: bool) -> ReaderBuilder {
        let options = &self.options;
        let mut builder = ReaderBuilder::new(Arc::clone(self.schema.file_schema()))
            .with_header(header && options.has_header.unwrap_or(true))
            .with_delimiter(options.delimiter)
            .with_quote(options.quote)
            .with_truncated_rows(options.truncated_rows.unwrap_or(false))
            .with_null_regex(self.nulls.clone())
            .with_projection(self.projection.file_indices.clone());
        if let Some(rows) = self.batch_rows {
            builder = builder.with_batch_size(rows);
        }
        if let Some(escape) = options.escape {
            builder = builder.with_escape(escape);
        }
        if let Some(comment) = options.comment {
            builder = builder.with_comment(comment);
        }
        builder
    }
}

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let scan = self.scan.clone();
        let store = Arc::clone(&self.store);
        let compression = self.compression;
        let metrics = BaselineMetrics::new(&self.scan.metrics, self.partition);
        let scanned = MetricBuilder::new(&self.scan.metrics);
        let scanned = scanned.counter("bytes_scanned", self.partition);
        Ok(Box::pin(async move {
            let meta = &file.object_meta;
            let part = file.range.as_ref().map(|r| (r.start as u64, r.end as u64));
            let range = part.map(|(start, end)| GetRange::Bounded(start..end));
            let options = GetOptions { range, ..Default::default() };
            let result = store.get_opts(&meta.location, options).await?;
            match result.payload {
                GetResultPayload::File(file, _) => {
                    let header = part.is_none_or(|(start, _)| start == 0);
                    let input: Box<dyn Read + Send> = match part {
                        Some((start, end)) => {
                            let inner = lines(file, start, end, meta.size)?;
                            Box::new(Counted { inner, scanned })
                        }
                        None => compression.convert_read(Counted { inner: file, scanned })?,
                    };
                    let mut batches = scan.reader(header).build(input)?;
                    let next = move || {
                        let _time = metrics.elapsed_compute().timer();
                        batches.next()
                    };
                    let stream = futures::stream::iter(std::iter::from_fn(next));
                    Ok(stream.map_err(DataFusionError::from).boxed())
                }
                GetResultPayload::Stream(bytes) => {
                    let bytes = bytes.map_err(DataFusionError::from);
                    let count = move |part: &Result<Bytes>| {
                        scanned.add(part.as_ref().map_or(0, Bytes::len));
                    };
                    let bytes = bytes.inspect(count).boxed();
                    let input = compression.convert_stream(bytes)?;
                    Ok(decode(scan.reader(true).build_decoder(), input).boxed())
                }
            }
        }))
    }
}

/// A reader that counts what is read of it, as it is stored.
struct Counted<R> {
    inner: R,
    scanned: Count,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.scanned.add(n);
        Ok(n)
    }
}

/// The lines of a file whose first byte is in `start..end`.
fn lines(mut file: File, start: u64, end: u64, size: u64) -> std::io::Result<impl Read + Send> {
    // The first line that begins at or after an offset.
    let mut line_from = |offset: u64| -> std::io::Result<u64> {
        if offset == 0 || offset >= size {
            return Ok(offset.min(size));
        }
        file.seek(SeekFrom::Start(offset - 1))?;
        let mut skipped = 0;
        let mut reader = BufReader::new(&mut file);
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(size);
            }
            if let Some(at) = buffer.iter().position(|b| *b == b'\n') {
                return Ok(offset - 1 + skipped + at as u64 + 1);
            }
            skipped += buffer.len() as u64;
            let n = buffer.len();
            reader.consume(n);
        }
    };
    let last = line_from(end)?;
    let first = line_from(start)?;
    file.seek(SeekFrom::Start(first))?;
    Ok(file.take(last.saturating_sub(first)))
}

/// The batches of a stream of bytes.
fn decode(
    decoder: Decoder,
    input: BoxStream<'static, Result<Bytes>>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    struct State {
        decoder: Decoder,
        input: BoxStream<'static, Result<Bytes>>,
        buffer: Bytes,
        ended: bool,
    }
    let state = State { decoder, input, buffer: Bytes::new(), ended: false };
    futures::stream::try_unfold(state, |mut s| async move {
        loop {
            if s.buffer.is_empty() && !s.ended {
                match s.input.next().await {
                    Some(bytes) => s.buffer = bytes?,
                    None => s.ended = true,
                }
                if s.buffer.is_empty() && !s.ended {
                    continue;
                }
            }
            // An empty buffer ends the last record.
            let used = s.decoder.decode(&s.buffer)?;
            s.buffer.advance(used);
            let full = used == 0 || s.decoder.capacity() == 0;
            if full || (s.ended && s.buffer.is_empty()) {
                return Ok(s.decoder.flush()?.map(|batch| (batch, s)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_share_its_lines_without_loss() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        let text = "aa\nb\n\ncccc\nd";
        std::fs::write(&path, text).expect("written");
        let size = text.len() as u64;
        for parts in 1..=size {
            let mut all = String::new();
            for i in 0..parts {
                let (start, end) = (i * size / parts, (i + 1) * size / parts);
                let file = File::open(&path).expect("open");
                let mut input = lines(file, start, end, size).expect("lines");
                input.read_to_string(&mut all).expect("text");
            }
            assert_eq!(all, text, "{parts} parts");
        }
    }

    #[tokio::test]
    async fn a_stream_decodes_in_pieces_of_any_size() {
        use arrow::datatypes::{DataType, Field, Schema};
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let text: String = (0..100).map(|i| format!("{i}\n")).collect();
        for piece in [1, 3, 1000] {
            let parts: Vec<Result<Bytes>> =
                text.as_bytes().chunks(piece).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            let decoder =
                ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(8).build_decoder();
            let batches = decode(decoder, futures::stream::iter(parts).boxed());
            let batches: Vec<RecordBatch> = batches.try_collect().await.expect("batches");
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, 100, "pieces of {piece}");
        }
    }
}
