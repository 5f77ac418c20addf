//! Rows, bytes and costs of a segment, from DataFusion's statistics.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    datasource::{
        file_format::file_compression_type::FileCompressionType, physical_plan::FileScanConfig,
        source::DataSourceExec,
    },
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        aggregates::AggregateExec,
        joins::HashJoinExec,
        sorts::sort::SortExec,
        statistics::{StatisticsArgs, StatisticsContext},
    },
};
use windlass_device::DeviceClass;
use windlass_kernels::{
    PhysType,
    ir::{Op, Program},
};
use windlass_runtime::{
    Calibration, Cost, Work,
    cost::{
        DECIMALS, FirstOfGroups, GroupBy, Join, Sort, Window, cpu_expressions, twin_expressions,
        twin_filter,
    },
};

use super::{
    breaker::Breaker,
    late::tested_by_scans,
    segment::{Lowered, Segment},
};
use crate::{
    lower::{
        InputColumn, PipelinePlan,
        types::{is_string, phys_type},
    },
    nodes::GroupTop,
};

/// Share of the rows that a filter keeps when nothing else is known: DataFusion's default.
const SELECTIVITY: f64 = 0.2;

/// Bytes of a text file for each value, to guess a row count where a format has no
/// statistics. nycflights13's largest table has 88 bytes for 19 values.
const TEXT_BYTES: f64 = 4.6;

/// How much a compressed text file grows. nycflights13's largest table: 4.0.
const COMPRESSION: f64 = 4.0;

/// Rows to compare costs for where nothing tells how many there are. Only ratios count then.
const UNKNOWN_ROWS: u64 = 1_000_000;

/// Rows of a device-sized batch, as uploads make them.
const DEVICE_ROWS: f64 = (1 << 20) as f64;

/// Launches and waits for a batch of a pipeline: evaluate, scan of the counts, compaction,
/// one wait for each of upload, kernel and download.
const PIPELINE_LAUNCHES: f64 = 6.0;

/// Launches and waits for a batch of an aggregation: evaluate, insert, accumulate, and one
/// wait each for upload and kernel.
const AGGREGATE_LAUNCHES: f64 = 5.0;

/// The figures of a segment.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// Input rows; `None` where nothing tells.
    pub(super) rows: Option<u64>,
    /// Groups, for an aggregation; 0 where nothing tells.
    pub(super) groups: usize,
    /// On the CPU, by DataFusion's operators.
    pub(super) cpu: Cost,
    /// On the CPU, by the twin of the device's kernel, where it may be faster: group-bys,
    /// joins and sorts on numbers, sums of decimals, and filters of many operations on few
    /// columns. Projections and other sums are not (`operator_rates`).
    pub(super) twin: Option<Cost>,
    work: Work,
}

impl Figures {
    /// With these bytes to upload in the place of its own columns.
    pub(super) fn uploading(mut self, bytes: f64) -> Self {
        self.work.upload_bytes = bytes;
        self
    }

    /// The cost on a device.
    pub(super) fn on(&self, rates: &Calibration, class: DeviceClass) -> Cost {
        self.work.cost(rates, class)
    }
}

/// The figures of a segment for `threads` cores, which the source gives `texts` columns of
/// texts that are not codes.
pub(super) fn figures(segment: &Segment, texts: usize, threads: usize) -> Figures {
    let known = rows_of(&segment.source);
    let rows = known.unwrap_or(UNKNOWN_ROWS) as f64;
    let partitions = segment.source.output_partitioning().partition_count();
    let threads = threads.min(partitions).max(1);
    let (input, program) = match &segment.lowered {
        Lowered::Pipeline(p) => (&p.input, &p.kernel.program),
        Lowered::Aggregate { plan, .. } => (&plan.input, &plan.kernel.program),
    };
    let width: usize = input.columns.iter().map(|c| c.ty.wide_bytes()).sum();
    let upload_bytes = rows * width as f64;
    let batches = (rows / DEVICE_ROWS).ceil().max(1.0);
    let operations = operations(program);
    let is_decimal = |c: &InputColumn| matches!(c.data_type, DataType::Decimal128(..));
    let decimals = input.columns.iter().any(is_decimal);
    let mut cpu = cpu_expressions(rows, operations, threads);
    // A filter passes on what it does not look at.
    let decimals_computed = match &segment.lowered {
        Lowered::Pipeline(_) => computed(program).any(|i| is_decimal(&input.columns[i as usize])),
        Lowered::Aggregate { .. } => decimals,
    };
    if decimals_computed {
        cpu.compute_ms *= DECIMALS;
    }
    match &segment.lowered {
        Lowered::Pipeline(plan) => {
            let out = statistics_rows(segment.top()).map_or_else(
                || rows * if plan.kernel.filter.is_some() { SELECTIVITY } else { 1.0 },
                |n| (n as f64).min(rows),
            );
            let out_width: usize = plan.outputs.iter().map(|c| c.ty.wide_bytes()).sum();
            let download_bytes = out * out_width as f64;
            let work = Work {
                upload_bytes,
                download_bytes,
                // The result is written twice: by its block, then without the gaps.
                kernel_bytes: upload_bytes + 3.0 * download_bytes,
                probes: 0.0,
                launches: batches * PIPELINE_LAUNCHES,
            };
            // A text that is no code costs more to give one than a test saves.
            let twin = (plan.kernel.filter.is_some() && texts == 0)
                .then(|| twin_filter(rows, operations, input.columns.len(), threads));
            Figures { rows: known, groups: 0, cpu, twin, work }
        }
        Lowered::Aggregate { plan, .. } => {
            let kernel = &plan.kernel;
            let taken = if kernel.filter.is_some() { rows * SELECTIVITY } else { rows };
            let found = statistics_rows(segment.top()).unwrap_or(0) as usize;
            let groups = if kernel.keys.is_empty() { 1 } else { found };
            // Nothing known: as many groups as DataFusion's filter default leaves rows.
            let guess = if groups == 0 { taken * SELECTIVITY } else { groups as f64 };
            let guess = guess.min(taken).max(1.0);
            let probes = if kernel.keys.is_empty() { 0.0 } else { taken };
            let aggregate = segment.top().downcast_ref::<AggregateExec>();
            let group_by = GroupBy {
                rows: taken,
                groups: if kernel.keys.is_empty() { 0.0 } else { guess },
                string_key: plan.keys.iter().any(|k| k.dictionary.is_some()),
                texts,
                decimals,
                aggregates: aggregate.map_or(kernel.calls.len(), |a| a.aggr_expr().len()),
                accumulators: kernel.calls.len(),
            };
            cpu.compute_ms += group_by.cpu(threads).compute_ms;
            // Sums without keys are faster only where values are narrower.
            let suits = !kernel.keys.is_empty() || decimals;
            let twin = suits.then(|| {
                let expressions = twin_expressions(rows, operations, threads).compute_ms;
                let compute_ms = expressions + group_by.twin(threads).compute_ms;
                Cost { compute_ms, ..Cost::default() }
            });
            let row = 8 * (kernel.keys.len() + kernel.calls.len());
            let download_bytes = guess * row as f64;
            let values = taken * row as f64;
            let work = Work {
                upload_bytes,
                download_bytes,
                // Keys and arguments are written by one kernel and read by the next.
                kernel_bytes: upload_bytes + 2.0 * values,
                probes,
                launches: batches * AGGREGATE_LAUNCHES,
            };
            Figures { rows: known, groups, cpu, twin, work }
        }
    }
}

/// Launches and waits for a batch of a join or sort: keys, search or passes, download.
const BREAKER_LAUNCHES: f64 = 12.0;

/// Bytes of a pair of row numbers, and of one.
const PAIR_BYTES: f64 = 8.0;

/// The figures of a join or sort for `threads` cores.
pub(super) fn of_breaker(
    plan: &Arc<dyn ExecutionPlan>,
    breaker: &Breaker,
    threads: usize,
) -> Figures {
    let inputs: Vec<Option<u64>> = plan.children().into_iter().map(rows_of).collect();
    let known: Option<u64> = inputs.iter().copied().sum();
    let rows = |i: usize| inputs[i].unwrap_or(UNKNOWN_ROWS) as f64;
    let partitions = plan.output_partitioning().partition_count();
    let threads = threads.min(partitions).max(1);
    let (cpu, twin, work) = match breaker {
        Breaker::Join(keys) => {
            let (build, probe) = (rows(0), rows(1));
            let width = |p: &PipelinePlan| {
                p.input.columns.iter().map(|c| c.ty.wide_bytes()).sum::<usize>() as f64
            };
            let texts = keys.left.outputs.iter().any(|k| k.dictionary.is_some());
            // What scans let pass is all that the join itself sees on the host.
            let share = plan.downcast_ref::<HashJoinExec>().and_then(tested_by_scans);
            let (tested, passed) = share.map_or((0.0, probe), |share| (probe, probe * share));
            let join = Join { build, probe: passed, text_key: texts, tested };
            let pairs = statistics_rows(plan).map_or(probe, |n| n as f64);
            let upload_bytes = build * width(&keys.left) + probe * width(&keys.right);
            let work = Work {
                upload_bytes,
                download_bytes: pairs * PAIR_BYTES,
                kernel_bytes: 2.0 * upload_bytes + pairs * PAIR_BYTES,
                probes: build + probe,
                launches: (probe / DEVICE_ROWS).ceil().max(1.0) * BREAKER_LAUNCHES,
            };
            (join.cpu(threads), (!texts).then(|| join.twin(threads)), work)
        }
        Breaker::NestedLoop(test) => {
            let pairs = rows(0) * rows(1);
            let sides = test.sides();
            let [left, right] =
                sides.map(|s| s.columns.iter().map(|c| c.ty.wide_bytes()).sum::<usize>() as f64);
            let found = statistics_rows(plan).map_or(pairs * SELECTIVITY, |n| n as f64).min(pairs);
            let work = Work {
                upload_bytes: rows(0) * left + rows(1) * right,
                download_bytes: found * PAIR_BYTES,
                // The columns of the right side are repeated, then those of both are read.
                kernel_bytes: pairs * (left + 2.0 * right) + found * PAIR_BYTES,
                probes: 0.0,
                launches: (pairs / DEVICE_ROWS).ceil().max(1.0) * BREAKER_LAUNCHES,
            };
            // The host repeats columns too: each as much work as an operation, a guess.
            let columns: usize = sides.iter().map(|s| s.columns.len()).sum();
            let operations = operations(&test.plan().kernel.program) + columns;
            (cpu_expressions(pairs, operations, threads), None, work)
        }
        Breaker::Window(window) => {
            let schema = plan.children()[0].schema();
            let keys = window.keys();
            let types = keys.iter().filter_map(|k| k.data_type(&schema).ok());
            let texts = types.clone().any(|ty| is_string(&ty));
            let widths = types.map(|ty| phys_type(&ty).map_or(16, PhysType::wide_bytes));
            let keys = rows(0) * widths.sum::<usize>() as f64;
            // An argument and a result of eight bytes for each function.
            let values = rows(0) * 8.0 * window.functions() as f64;
            let work = Work {
                upload_bytes: keys + values,
                download_bytes: values,
                // A result's tree is read and written, and so are the frames.
                kernel_bytes: 2.0 * keys + 6.0 * values,
                probes: 0.0,
                launches: window.functions() as f64 * BREAKER_LAUNCHES,
            };
            let functions = Window { rows: rows(0), functions: window.functions() };
            (functions.cpu(threads), (!texts).then(|| functions.twin(threads)), work)
        }
        Breaker::Sort => {
            let sort = plan.downcast_ref::<SortExec>();
            let exprs: Vec<_> = sort.into_iter().flat_map(|s| s.expr().iter()).collect();
            let schema = plan.schema();
            let types = exprs.iter().filter_map(|e| e.expr.data_type(&schema).ok());
            let texts = types.clone().any(|ty| is_string(&ty));
            let widths = types.map(|ty| phys_type(&ty).map_or(16, PhysType::wide_bytes));
            let width = widths.sum::<usize>() as f64;
            let kept = sort.and_then(|s| s.fetch()).map_or(rows(0), |k| rows(0).min(k as f64));
            let order = Sort { rows: rows(0), kept, text_key: texts };
            let work = Work {
                upload_bytes: rows(0) * width,
                download_bytes: kept * PAIR_BYTES / 2.0,
                // A pass of eight bits reads and writes the key and the row number.
                kernel_bytes: rows(0) * width * 2.0 * (width + 4.0),
                probes: 0.0,
                launches: (rows(0) / DEVICE_ROWS).ceil().max(1.0) * BREAKER_LAUNCHES,
            };
            (order.cpu(threads), order.twin(threads).filter(|_| !texts), work)
        }
    };
    Figures { rows: known, groups: 0, cpu, twin, work }
}

/// The figures of finding the first rows of each group, in the place of a sort of all rows.
pub(super) fn of_group_top(
    sort: &Arc<dyn ExecutionPlan>,
    top: &GroupTop,
    threads: usize,
) -> Figures {
    let known = rows_of(sort);
    let rows = known.unwrap_or(UNKNOWN_ROWS) as f64;
    let threads = threads.min(sort.output_partitioning().partition_count()).max(1);
    let schema = sort.schema();
    let types: Vec<_> = top.keys.iter().filter_map(|k| k.expr.data_type(&schema).ok()).collect();
    let text_key = types.iter().any(is_string);
    let order = Sort { rows, kept: rows, text_key };
    let twin = (!text_key).then(|| FirstOfGroups { rows }.twin(threads));
    let width: usize = types.iter().map(|t| phys_type(t).map_or(16, PhysType::wide_bytes)).sum();
    let width = width as f64;
    let work = Work {
        upload_bytes: rows * width,
        // Rows kept are not known: those of a filter of which nothing is.
        download_bytes: rows * SELECTIVITY * PAIR_BYTES / 2.0,
        kernel_bytes: rows * width * 2.0 * (width + 4.0),
        probes: 0.0,
        launches: (rows / DEVICE_ROWS).ceil().max(1.0) * BREAKER_LAUNCHES,
    };
    Figures { rows: known, groups: 0, cpu: order.cpu(threads), twin, work }
}

/// Values that cost something to compute.
fn operations(program: &Program) -> usize {
    let free = |op: &Op| matches!(op, Op::Input(_) | Op::Const(_) | Op::Null);
    program.values().iter().filter(|v| !free(&v.op)).count()
}

/// The inputs that something is computed from.
fn computed(program: &Program) -> impl Iterator<Item = u32> {
    let operands = program.values().iter().flat_map(|v| v.op.operands());
    operands.filter_map(|id| match program.value(id).op {
        Op::Input(input) => Some(input),
        _ => None,
    })
}

/// Rows that a plan gives, as its statistics tell or as the sizes of its files suggest.
pub(super) fn rows_of(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    statistics_rows(plan).or_else(|| rows_of_files(plan))
}

fn statistics_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(&**plan, &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().map(|n| *n as u64)
}

/// A guess from the bytes of the text files below; `None` without any.
fn rows_of_files(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
        let files = config.file_groups.iter().flat_map(|g| g.iter());
        let bytes: f64 = files.map(|f| f.effective_size() as f64).sum();
        let packed = config.file_compression_type != FileCompressionType::UNCOMPRESSED;
        let text = if packed { bytes * COMPRESSION } else { bytes };
        let columns = config.file_schema().fields().len().max(1) as f64;
        return Some((text / (columns * TEXT_BYTES)) as u64);
    }
    let below: Vec<u64> = plan.children().into_iter().filter_map(rows_of).collect();
    (!below.is_empty()).then(|| below.into_iter().sum())
}
