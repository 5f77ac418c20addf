//! What a job did: the figures of `--stats json` and of progress displays.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::physical_plan::{
    ExecutionPlan,
    metrics::{MetricValue, MetricsSet},
};
use serde::Serialize;

use crate::{nodes, plan::Decision};

/// The figures of one statement, up to its end or to where it failed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct JobStats {
    /// Wall time in seconds, planning included.
    pub seconds: f64,
    /// Rows returned or written.
    pub rows: u64,
    /// Bytes read from files and object stores.
    pub bytes_read: u64,
    /// Peak of the host memory that operators reserved, in bytes.
    pub peak_host_bytes: u64,
    /// Peak of the memory allocated on devices other than the host, in bytes.
    pub peak_device_bytes: u64,
    /// Bytes spilled to disk.
    pub spilled_bytes: u64,
    /// Why the query was run again, and on what, if a device failed or memory ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// The operators, root first, depth first.
    pub operators: Vec<OperatorStats>,
    /// What was decided about the operators before they were placed.
    #[serde(skip)]
    pub decisions: Vec<Decision>,
    /// The physical plan as text; empty where there was none.
    #[serde(skip)]
    pub plan: String,
}

/// The figures of one operator.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OperatorStats {
    /// The operator's name.
    pub name: String,
    /// Where it ran.
    pub device: String,
    /// Rows that it returned.
    pub rows: u64,
    /// Bytes that it returned, or that it read (a scan), where known.
    pub bytes: u64,
    /// Time in the operator itself, summed over its partitions, in milliseconds.
    pub ms: f64,
    /// Why it ran where it ran; empty where there was no choice.
    pub reason: String,
    /// Depth in the plan; the root has 0.
    #[serde(skip)]
    pub depth: usize,
    /// Bytes that it spilled.
    #[serde(skip)]
    pub spilled_bytes: u64,
    /// Bytes of files that it read so far, as they are stored; `None` for an operator that
    /// does not tell.
    #[serde(skip)]
    pub scanned_bytes: Option<u64>,
    /// Batches that it returned; 0 where it does not tell.
    #[serde(skip)]
    pub batches: u64,
    /// Time of copies between host and device, summed over its partitions, in milliseconds;
    /// part of `ms`.
    #[serde(skip)]
    pub transfer_ms: f64,
    /// Time of kernels from launch to result, as `transfer_ms`.
    #[serde(skip)]
    pub kernel_ms: f64,
    /// Batches that its device failed on and the CPU took over.
    #[serde(skip)]
    pub fallback_batches: u64,
    /// What each of its partitions did, by partition.
    #[serde(skip)]
    pub partitions: Vec<PartitionStats>,
    /// When its partitions worked.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// The figures of an operator in one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PartitionStats {
    /// The partition.
    pub partition: usize,
    /// Rows that it returned.
    pub rows: u64,
    /// Time in the operator itself, in milliseconds.
    pub ms: f64,
}

/// From the first to the last work of an operator in one partition, in milliseconds since
/// 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The partition.
    pub partition: usize,
    /// First work.
    pub start_ms: f64,
    /// Last work.
    pub end_ms: f64,
}

/// What a session holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostUse {
    /// Host memory that operators have reserved, in bytes.
    pub reserved: u64,
    /// Most that they had reserved at once since the last query began.
    pub peak: u64,
    /// The limit of it, if there is one.
    pub limit: Option<u64>,
    /// Bytes in files of spilled rows.
    pub spill_files: u64,
}

/// Takes the rows of a query as they come. Called on the thread that drives the query.
pub trait RowSink: Send + Sync {
    /// The columns; called once, before any row.
    ///
    /// Returns false to stop the query, which then ends as cancelled.
    fn begin(&self, schema: &SchemaRef) -> bool;

    /// Some rows. Returns false to stop the query.
    fn rows(&self, batch: &RecordBatch) -> bool;
}

/// A snapshot of a running query.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// Seconds since the start.
    pub seconds: f64,
    /// Rows read so far, by every operator that has none below it.
    pub rows_read: u64,
    /// Bytes read so far.
    pub bytes_read: u64,
    /// Bytes of all files to read, where known.
    pub bytes_total: Option<u64>,
    /// Rows returned by the query so far.
    pub rows: u64,
    /// The operators, root first, with what they did so far.
    pub operators: Vec<OperatorStats>,
}

/// Takes snapshots of a running query, about ten a second.
pub trait ProgressSink: Send + Sync {
    /// A new snapshot. Called on a thread of its own, one call at a time; the query's end
    /// waits for the last.
    fn update(&self, progress: &Progress);
}

/// The operators of a plan with their figures so far.
pub(crate) fn operators(plan: &Arc<dyn ExecutionPlan>) -> Vec<OperatorStats> {
    let mut out = Vec::new();
    walk(plan, 0, &mut out);
    out
}

/// The operators that have none below them: those that read.
pub(crate) fn leaves(operators: &[OperatorStats]) -> impl Iterator<Item = &OperatorStats> {
    operators.iter().enumerate().filter_map(|(i, operator)| {
        let below = operators.get(i + 1).is_some_and(|next| next.depth > operator.depth);
        (!below).then_some(operator)
    })
}

fn walk(plan: &Arc<dyn ExecutionPlan>, depth: usize, out: &mut Vec<OperatorStats>) {
    let mut row = OperatorStats {
        name: plan.name().to_string(),
        device: nodes::device_of(plan.as_ref()).unwrap_or_else(|| "cpu".to_string()),
        // A device node also tells what went to the CPU after all.
        reason: nodes::reason_of(plan.as_ref()).unwrap_or_default(),
        depth,
        ..Default::default()
    };
    if let Some(metrics) = plan.metrics() {
        row.rows = metrics.output_rows().unwrap_or(0) as u64;
        row.ms = (metrics.elapsed_compute().unwrap_or(0) as f64
            + metrics.sum_by_name(SCANNING).map_or(0, |v| v.as_usize()) as f64)
            / 1e6;
        row.spilled_bytes = metrics.spilled_bytes().unwrap_or(0) as u64;
        let named = |name: &str| metrics.sum_by_name(name).map(|v| v.as_usize() as u64);
        row.scanned_bytes = named("bytes_scanned");
        row.bytes = row
            .scanned_bytes
            .or_else(|| named("uploaded_bytes"))
            .or_else(|| named("downloaded_bytes"))
            .or_else(|| {
                metrics
                    .sum(|m| matches!(m.value(), MetricValue::OutputBytes(_)))
                    .map(|v| v.as_usize() as u64)
            })
            .unwrap_or(0);
        let milliseconds = |name: &str| named(name).unwrap_or(0) as f64 / 1e6;
        row.transfer_ms = milliseconds("transfer_time");
        row.kernel_ms = milliseconds("kernel_time");
        row.fallback_batches = named("fallback_batches").unwrap_or(0);
        row.batches = named("output_batches").unwrap_or(0);
        row.partitions = partitions(&metrics);
        row.spans = spans(&metrics);
    }
    out.push(row);
    for child in plan.children() {
        walk(child, depth + 1, out);
    }
}

/// The time in which a scan of files decodes what it read, which it does not count as the time
/// that it computes.
const SCANNING: &str = "time_elapsed_processing";

/// Rows and time of an operator's partitions.
fn partitions(metrics: &MetricsSet) -> Vec<PartitionStats> {
    let mut out: BTreeMap<usize, PartitionStats> = BTreeMap::new();
    for m in metrics.iter() {
        let Some(partition) = m.partition() else { continue };
        let (rows, ms) = match m.value() {
            MetricValue::OutputRows(n) => (n.value() as u64, 0.0),
            MetricValue::ElapsedCompute(t) => (0, t.value() as f64 / 1e6),
            MetricValue::Time { name, time } if name == SCANNING => (0, time.value() as f64 / 1e6),
            _ => continue,
        };
        let p = out.entry(partition).or_insert(PartitionStats { partition, ..Default::default() });
        p.rows += rows;
        p.ms += ms;
    }
    out.into_values().collect()
}

/// The spans of an operator's partitions, from the timestamps that operators keep.
fn spans(metrics: &MetricsSet) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for m in metrics.iter() {
        let (time, start) = match m.value() {
            MetricValue::StartTimestamp(t) => (t.value(), true),
            MetricValue::EndTimestamp(t) => (t.value(), false),
            _ => continue,
        };
        let Some(time) = time else { continue };
        let ms = time.timestamp_micros() as f64 / 1e3;
        let partition = m.partition().unwrap_or(0);
        let at = out.iter().position(|s| s.partition == partition).unwrap_or_else(|| {
            out.push(Span { partition, start_ms: f64::INFINITY, end_ms: f64::NEG_INFINITY });
            out.len() - 1
        });
        if start {
            out[at].start_ms = out[at].start_ms.min(ms);
        } else {
            out[at].end_ms = out[at].end_ms.max(ms);
        }
    }
    out.retain(|s| s.start_ms <= s.end_ms && s.end_ms.is_finite());
    out
}

/// Gives each operator of a placed plan the reason of its decision. Both lists are depth
/// first; an operator on a device stands for one or more decisions that lie below one
/// another.
pub(crate) fn give_reasons(operators: &mut [OperatorStats], decisions: &[Decision]) {
    let mut used = vec![false; decisions.len()];
    for row in operators {
        let on_device = matches!(row.name.as_str(), "DevicePipelineExec" | "DeviceAggregateExec");
        let fits = |d: &Decision| match on_device {
            true => d.placed && d.device == row.device,
            false => !d.placed && d.operator.starts_with(&row.name),
        };
        let Some(first) = (0..decisions.len()).find(|i| !used[*i] && fits(&decisions[*i])) else {
            continue;
        };
        if row.reason.is_empty() {
            row.reason = decisions[first].reason.clone();
        }
        used[first] = true;
        let mut last = first;
        while on_device
            && let Some(next) = decisions.get(last + 1)
            && !used[last + 1]
            && fits(next)
            && next.depth == decisions[last].depth + 1
        {
            last += 1;
            used[last] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::physical_plan::metrics::{
        BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder,
    };

    use super::*;

    #[test]
    fn partitions_have_their_own_rows_and_times() {
        let set = ExecutionPlanMetricsSet::new();
        for (partition, rows) in [(3, 10), (1, 5), (3, 7)] {
            let metrics = BaselineMetrics::new(&set, partition);
            metrics.record_output(rows);
            metrics.elapsed_compute().add_duration(Duration::from_millis(2));
        }
        MetricBuilder::new(&set).global_counter("of no partition").add(9);
        let decoding = MetricBuilder::new(&set).subset_time(SCANNING, 1);
        decoding.add_duration(Duration::from_millis(5));
        let found = partitions(&set.clone_inner());
        let of = |partition, rows, ms| PartitionStats { partition, rows, ms };
        assert_eq!(found, [of(1, 5, 7.0), of(3, 17, 4.0)]);
    }

    #[test]
    fn every_operator_without_input_is_a_leaf() {
        let row =
            |name: &str, depth| OperatorStats { name: name.into(), depth, ..Default::default() };
        let plan = [
            row("HashJoinExec", 0),
            row("FilterExec", 1),
            row("DataSourceExec", 2),
            row("UnionExec", 1),
            row("LazyMemoryExec", 2),
            row("EmptyExec", 2),
        ];
        let names: Vec<&str> = leaves(&plan).map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["DataSourceExec", "LazyMemoryExec", "EmptyExec"]);
    }

    #[test]
    fn reasons_follow_the_operators_that_stand_for_them() {
        let decision = |depth, operator: &str, placed, reason: &str| Decision {
            id: depth,
            depth,
            operator: operator.into(),
            device: if placed { "wgpu:0" } else { "cpu" }.into(),
            placed,
            rows: None,
            estimates: Vec::new(),
            reason: reason.into(),
        };
        let decisions = [
            decision(0, "SortExec: a", false, "no form"),
            decision(1, "ProjectionExec: a", true, "faster"),
            decision(2, "FilterExec: a", true, "fused"),
            decision(3, "DataSourceExec: x", false, "a scan"),
        ];
        let row = |name: &str, device: &str| OperatorStats {
            name: name.into(),
            device: device.into(),
            ..Default::default()
        };
        let mut rows = [
            row("SortExec", "cpu"),
            row("DeviceDownloadExec", "wgpu:0"),
            row("DevicePipelineExec", "wgpu:0"),
            row("DeviceUploadExec", "wgpu:0"),
            row("DataSourceExec", "cpu"),
        ];
        give_reasons(&mut rows, &decisions);
        let reasons: Vec<&str> = rows.iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(reasons, ["no form", "", "faster", "", "a scan"]);
    }
}
