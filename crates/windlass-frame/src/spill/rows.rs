//! Rows in files by the hash of their keys, and files as the input of an operator.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::{BatchCoalescer, cast},
    datatypes::{DataType, Float32Type, Float64Type, SchemaRef},
};
use datafusion::{
    common::{
        config::SpillCompression,
        hash_utils::{RandomState, create_hashes},
    },
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, SpillFile, TaskContext, runtime_env::RuntimeEnv},
    physical_plan::{
        ExecutionPlan, PhysicalExpr, SpillManager,
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::nodes::download::slices;

/// Files that rows are divided into at once. What is too large for memory once divided is
/// divided again, so that three rounds are enough for 4,096 times the memory; more files at a
/// time would need more memory for the batches that are being filled. A guess.
pub(crate) const FAN_OUT: usize = 16;

/// Times that rows are divided before those of one key are too many: parts are then 4,096 times
/// smaller.
pub(crate) const ROUNDS: usize = 3;

/// Rows that are not divided again: what has no memory for so few is not helped by dividing. A
/// guess.
pub(crate) const LEAST_ROWS: usize = 1024;

/// Rows of a batch on disk: small, as one is being filled for each file.
const BATCH_ROWS: usize = 4096;

/// The seed of a round's hashes. Seeds that differ in few bits give hashes that are alike, so
/// that rows would not divide anew: these are the numbers of SplitMix64 (Steele, Lea and Flood,
/// OOPSLA 2014).
fn seed(round: usize) -> u64 {
    let z = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which file a row goes to, by its keys.
#[derive(Debug, Clone)]
pub(crate) struct Divider {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Types in which equal keys have equal hashes.
    types: Vec<DataType>,
    state: RandomState,
}

impl Divider {
    /// By keys over rows of `schema`, for the given round: each has hashes of its own. Two
    /// sides whose keys have `types` go to the same files where their keys are equal.
    pub(crate) fn new(keys: Vec<Arc<dyn PhysicalExpr>>, types: &[DataType], round: usize) -> Self {
        let types = types.iter().map(plain).collect();
        Self { keys, types, state: RandomState::with_seed(seed(round)) }
    }

    /// The file of each row. Nulls have one, and so have all NaN, and zeros of both signs.
    fn files(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let keys = self.keys.iter().zip(&self.types).map(|(key, ty)| {
            let key = key.evaluate(batch)?.into_array(batch.num_rows())?;
            let key = if key.data_type() == ty { key } else { cast(&key, ty)? };
            Ok(one_form(key))
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&keys, &self.state, &mut hashes)?;
        // The high bits: those below may choose places in tables.
        Ok(hashes.iter().map(|h| ((u128::from(*h) * FAN_OUT as u128) >> 64) as usize).collect())
    }
}

/// The type that texts of all encodings are compared in.
fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, values) => plain(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        ty => ty.clone(),
    }
}

/// Floats that are equal as keys, with the same bits.
pub(crate) fn one_form(key: ArrayRef) -> ArrayRef {
    match key.data_type() {
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(key.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(key.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        _ => key,
    }
}

/// Rows on disk.
#[derive(Clone)]
pub(crate) struct SpilledRows {
    pub(crate) file: Arc<dyn SpillFile>,
    pub(crate) rows: usize,
    /// What they take in memory.
    pub(crate) bytes: usize,
}

impl fmt::Debug for SpilledRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)
    }
}

/// Appends a batch to a file, or ends it and gives it back.
type Appender = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

/// Rows on their way to [`FAN_OUT`] files.
pub(crate) struct Dividing {
    divider: Divider,
    manager: SpillManager,
    parts: Vec<Part>,
}

struct Part {
    filling: BatchCoalescer,
    to: Option<Appender>,
    rows: usize,
    bytes: usize,
}

impl Dividing {
    /// Rows of `schema`, to files of the session; the operator's `metrics` count them.
    pub(crate) fn new(
        divider: Divider,
        schema: &SchemaRef,
        env: &Arc<RuntimeEnv>,
        metrics: SpillMetrics,
    ) -> Self {
        let parts = (0..FAN_OUT).map(|_| Part {
            filling: BatchCoalescer::new(Arc::clone(schema), BATCH_ROWS),
            to: None,
            rows: 0,
            bytes: 0,
        });
        Self { divider, manager: manager(env, schema, metrics), parts: parts.collect() }
    }

    /// Takes rows.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut rows = vec![Vec::new(); FAN_OUT];
        for (row, file) in self.divider.files(batch)?.into_iter().enumerate() {
            rows[file].push(row as u64);
        }
        for (part, rows) in self.parts.iter_mut().zip(rows) {
            if !rows.is_empty() {
                part.filling.push_batch_with_indices(batch.clone(), &UInt64Array::from(rows))?;
                part.write(&self.manager)?;
            }
        }
        Ok(())
    }

    /// The files; none where there was no row.
    pub(crate) fn finish(mut self) -> Result<Vec<Option<SpilledRows>>> {
        let manager = &self.manager;
        let finish = |part: &mut Part| {
            part.filling.finish_buffered_batch()?;
            part.write(manager)?;
            let Some(mut to) = part.to.take() else { return Ok(None) };
            let file = to(None)?;
            Ok(file.map(|file| SpilledRows { file, rows: part.rows, bytes: part.bytes }))
        };
        self.parts.iter_mut().map(finish).collect()
    }
}

impl Part {
    fn write(&mut self, manager: &SpillManager) -> Result<()> {
        while let Some(batch) = self.filling.next_completed_batch() {
            let to = match &mut self.to {
                Some(to) => to,
                None => {
                    let mut file = manager.create_in_progress_file("rows by key")?;
                    self.to.insert(Box::new(move |batch| match batch {
                        Some(batch) => file.append_batch(batch).map(|_| None),
                        None => file.finish(),
                    }))
                }
            };
            to(Some(&batch))?;
            self.rows += batch.num_rows();
            self.bytes += batch.get_array_memory_size();
        }
        Ok(())
    }
}

fn manager(env: &Arc<RuntimeEnv>, schema: &SchemaRef, metrics: SpillMetrics) -> SpillManager {
    SpillManager::new(Arc::clone(env), metrics, Arc::clone(schema))
        .with_compression_type(SpillCompression::Lz4Frame)
}

/// Rows as a file; `None` without rows.
///
/// # Errors
/// Those of writing.
pub(crate) fn spill(
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
    env: &Arc<RuntimeEnv>,
    metrics: SpillMetrics,
) -> Result<Option<Arc<dyn SpillFile>>> {
    let mut file = manager(env, schema, metrics).create_in_progress_file("rows")?;
    for batch in batches {
        file.append_batch(&batch?)?;
    }
    file.finish()
}

/// The batch with the bytes of its own texts only: a part of a batch has views of them all.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)?)
}

/// Rows in memory or on disk.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Held(RecordBatch),
    Spilled(SpilledRows),
}

/// Rows one after the other, as an operator without inputs.
#[derive(Debug)]
struct Files {
    schema: SchemaRef,
    rows: Vec<Rows>,
}

impl PartitionStream for Files {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, rows) = (Arc::clone(&self.schema), self.rows.clone());
        // Reading counts nothing.
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let manager = manager(&context.runtime_env(), &schema, metrics);
        let batch_rows = context.session_config().batch_size();
        let rows = stream::iter(rows)
            .map(move |rows| match rows {
                Rows::Held(batch) => {
                    let pieces = slices(batch, batch_rows).map(Ok).collect::<Vec<_>>();
                    Ok::<_, DataFusionError>(stream::iter(pieces).boxed())
                }
                Rows::Spilled(rows) => Ok(manager.read_spill_as_stream(rows.file, None)?.boxed()),
            })
            .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

/// An operator that gives the rows of each of these lists of files as a partition.
///
/// # Errors
/// DataFusion's.
pub(crate) fn source(
    schema: &SchemaRef,
    partitions: Vec<Vec<SpilledRows>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let rows = |files: Vec<SpilledRows>| files.into_iter().map(Rows::Spilled).collect();
    source_of(schema, partitions.into_iter().map(rows).collect())
}

/// An operator that gives each of these lists of rows as a partition.
///
/// # Errors
/// DataFusion's.
pub(crate) fn source_of(
    schema: &SchemaRef,
    partitions: Vec<Vec<Rows>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = partitions.into_iter().map(|rows| {
        Arc::new(Files { schema: Arc::clone(schema), rows }) as Arc<dyn PartitionStream>
    });
    let (schema, partitions) = (Arc::clone(schema), partitions.collect());
    Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, None)?))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Float64Array, Int64Array, StringArray, StringViewArray},
        datatypes::{Field, Schema},
    };
    use datafusion::{physical_expr::expressions::Column, physical_plan::collect};

    use super::*;

    fn by_first(types: &[DataType], round: usize) -> Divider {
        Divider::new(vec![Arc::new(Column::new("k", 0))], types, round)
    }

    fn files(key: ArrayRef, types: &[DataType]) -> Vec<usize> {
        let batch = RecordBatch::try_from_iter([("k", key)]).unwrap();
        by_first(types, 0).files(&batch).unwrap()
    }

    #[test]
    fn equal_keys_go_to_one_file_in_all_their_encodings() {
        let texts = ["", "a", "a text of more than twelve bytes", "b", "a"].map(Some);
        let plain: ArrayRef = Arc::new(StringArray::from_iter(texts));
        let views: ArrayRef = Arc::new(StringViewArray::from_iter(texts));
        let coded = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let codes = cast(&plain, &coded).unwrap();
        let expected = files(Arc::clone(&plain), &[DataType::Utf8]);
        assert_eq!(expected[1], expected[4]);
        for (key, ty) in [(views, DataType::Utf8View), (codes, coded), (plain, DataType::LargeUtf8)]
        {
            assert_eq!(files(key, &[ty]), expected);
        }
        let floats = [0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001)];
        let of = files(Arc::new(Float64Array::from(floats.to_vec())), &[DataType::Float64]);
        assert!(of[0] == of[1] && of[2] == of[3] && of[3] == of[4], "{of:?}");
        let nulls = files(Arc::new(Int64Array::from(vec![None, None])), &[DataType::Int64]);
        assert_eq!(nulls[0], nulls[1]);
    }

    #[tokio::test]
    async fn all_rows_come_back_and_each_round_divides_anew() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let context = Arc::new(TaskContext::default());
        let env = context.runtime_env();
        let metrics = ExecutionPlanMetricsSet::new();
        let batch = |from: i64| {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter((from..from + 10_000).map(Some)));
            RecordBatch::try_new(Arc::clone(&schema), vec![keys]).unwrap()
        };
        let divide = |divider, batches: &[RecordBatch]| {
            let counts = SpillMetrics::new(&metrics, 0);
            let mut to = Dividing::new(divider, &schema, &env, counts);
            batches.iter().for_each(|b| to.push(b).unwrap());
            to.finish().unwrap()
        };
        let types = [DataType::Int64];
        let parts = divide(by_first(&types, 0), &[batch(0), batch(10_000), batch(20_000)]);
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        assert_eq!(parts.len(), FAN_OUT);
        assert!(parts.iter().all(|p| p.rows.abs_diff(30_000 / FAN_OUT) < 400), "{parts:?}");
        // One part divides evenly in the next round.
        let rows =
            collect(source(&schema, vec![vec![parts[0].clone()]]).unwrap(), Arc::clone(&context));
        let again = divide(by_first(&types, 1), &rows.await.unwrap());
        assert!(again.iter().flatten().all(|p| p.rows < parts[0].rows / 4), "{again:?}");
        let all = source(&schema, vec![parts]).unwrap();
        let mut keys: Vec<i64> = Vec::new();
        for b in collect(all, context).await.unwrap() {
            keys.extend(b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values());
        }
        keys.sort_unstable();
        assert_eq!(keys, (0..30_000).collect::<Vec<_>>());
        assert!(metrics.clone_inner().spilled_bytes().unwrap() > 0);
        // Without rows there is no file.
        assert!(divide(by_first(&types, 0), &[]).iter().all(Option::is_none));
    }
}
