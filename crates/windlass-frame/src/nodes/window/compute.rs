//! The columns of window functions, computed on a device from sorted rows on the host.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, Scalar,
        UInt8Array, UInt32Array, UInt64Array, make_array,
    },
    buffer::ScalarBuffer,
    compute::{cast, kernels::zip::zip, take},
    datatypes::{DataType, Decimal128Type, Float64Type, UInt32Type},
};
use datafusion::{error::DataFusionError, physical_plan::PhysicalExpr};
use windlass_device::{DeviceBuffer, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, KernelError, scan,
    sort::{SortKey, boundaries},
    window::{self, Bound, End, Frame, FrameOp, Frames, Keys},
};

use super::{
    super::{Placed, sort_order::upload_keys},
    plan::{Call, WindowPlan},
    span::{Edge, Span, group_keys},
};
use crate::{
    batch::{array_bytes, read_column, read_words, upload_array},
    lower::aggregate::decimal_average,
};

/// What can go wrong: the device, or an expression.
#[derive(Debug)]
pub(super) enum Failure {
    Device(KernelError),
    Query(DataFusionError),
}

impl<E: Into<KernelError>> From<E> for Failure {
    fn from(e: E) -> Self {
        Self::Device(e.into())
    }
}

/// One batch of sorted rows, and what its functions share.
pub(super) struct Windows<'a> {
    placed: &'a Placed,
    queue: &'a mut dyn Queue,
    reservation: Reservation,
    plan: &'a WindowPlan,
    rows: &'a RecordBatch,
    starts: DeviceBuffer,
    peers: DeviceBuffer,
    frames: HashMap<Span, Frames>,
}

/// The columns that `plan` adds to `rows`, which hold whole partitions in order.
pub(super) fn columns(
    placed: &Placed,
    queue: &mut dyn Queue,
    plan: &WindowPlan,
    rows: &RecordBatch,
) -> Result<Vec<ArrayRef>, Failure> {
    let n = rows.num_rows();
    let keys = plan.keys().iter().map(|key| evaluate(key, rows)).collect::<Result<_, _>>()?;
    let (batch, mut reservation) = upload_keys(placed, queue, keys, n)?;
    let key = |column| SortKey { column, descending: false, nulls_first: false };
    let all: Vec<SortKey> = (0..batch.columns.len()).map(key).collect();
    let device = &*placed.device;
    let mut starts = |batch: &DeviceBatch, keys: &[SortKey]| {
        boundaries(device, queue, &mut reservation, batch, keys)
    };
    let partitions = starts(&batch, &all[..plan.partition.len()])?;
    let peers = starts(&batch, &all)?;
    drop(batch);
    let frames = HashMap::new();
    let mut windows =
        Windows { placed, queue, reservation, plan, rows, starts: partitions, peers, frames };
    plan.calls.iter().map(|(call, ty)| windows.call(call, ty)).collect()
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, Failure> {
    let value = expr.evaluate(rows).and_then(|v| v.into_array(rows.num_rows()));
    value.map_err(Failure::Query)
}

fn arrow_error(e: arrow::error::ArrowError) -> Failure {
    Failure::Query(e.into())
}

/// The peers' bound of a frame that is all rows up to the row's peers.
const UP_TO_PEERS: Frame = Frame { start: Bound::Partition, end: Bound::Peers };

impl Windows<'_> {
    fn call(&mut self, call: &Call, ty: &DataType) -> Result<ArrayRef, Failure> {
        let n = self.rows.num_rows();
        match call {
            Call::RowNumber => {
                let numbers = self.row_numbers()?;
                retyped(&numbers, ty)
            }
            Call::Rank => {
                let ranks = self.ranks(scan::rank)?;
                retyped(&ranks, ty)
            }
            Call::DenseRank => {
                let ranks = self.ranks(scan::dense_rank)?;
                retyped(&ranks, ty)
            }
            Call::PercentRank => {
                let ranks = self.ranks(scan::rank)?;
                let (low, high) = self.bounds(Frame::PARTITION)?;
                let ranks = ranks.as_primitive::<UInt32Type>().values();
                let share = |i: usize| match f64::from(high[i] - low[i]) - 1.0 {
                    0.0 => 0.0,
                    others => f64::from(ranks[i] - 1) / others,
                };
                Ok(Arc::new((0..n).map(|i| Some(share(i))).collect::<Float64Array>()))
            }
            Call::CumeDist => {
                let (low, high) = self.bounds(UP_TO_PEERS)?;
                let (from, to) = self.bounds(Frame::PARTITION)?;
                let share = |i: usize| f64::from(high[i] - low[i]) / f64::from(to[i] - from[i]);
                Ok(Arc::new((0..n).map(|i| Some(share(i))).collect::<Float64Array>()))
            }
            Call::Ntile(buckets) => {
                let (low, high) = self.bounds(Frame::PARTITION)?;
                let bucket = |i: usize| {
                    let (row, rows) = (i as u64 - u64::from(low[i]), u64::from(high[i] - low[i]));
                    let (least, larger) = (rows / buckets, rows % buckets);
                    // The first buckets have a row more than the others.
                    match row.checked_sub(larger * (least + 1)) {
                        None => row / (least + 1) + 1,
                        Some(row) => larger + row / least.max(1) + 1,
                    }
                };
                let buckets: UInt64Array = (0..n).map(|i| Some(bucket(i))).collect();
                cast(&buckets, ty).map_err(arrow_error)
            }
            Call::Pick { arg, frame, pick, ignore_nulls, default } => {
                let values = evaluate(arg, self.rows)?;
                let frames = self.frames(frame)?;
                let device = &*self.placed.device;
                let picked = match ignore_nulls {
                    false => {
                        window::pick(device, self.queue, &mut self.reservation, &frames, *pick)?
                    }
                    true => {
                        let column = self.upload_nulls(&values)?;
                        let memory = &mut self.reservation;
                        window::pick_valid(device, self.queue, memory, &column, &frames, *pick)?
                    }
                };
                let words = ScalarBuffer::new(read_words(self.queue, &picked, n)?, 0, n);
                let words = UInt32Array::new(words, None);
                let there: BooleanArray =
                    words.values().iter().map(|row| Some(*row != u32::MAX)).collect();
                let (_, words, _) = words.into_parts();
                let rows = UInt32Array::new(words, Some(there.values().clone().into()));
                let values = take(&values, &rows, None).map_err(arrow_error)?;
                let values = cast(&values, ty).map_err(arrow_error)?;
                let Some(default) = default else { return Ok(values) };
                let default = default.to_array().map_err(Failure::Query)?;
                zip(&there, &values, &Scalar::new(default)).map_err(arrow_error)
            }
            Call::Fold { arg, frame, op } => {
                let values = evaluate(arg, self.rows)?;
                // Booleans are compared as numbers.
                let computed = if *ty == DataType::Boolean { &DataType::UInt8 } else { ty };
                let values = cast(&values, computed).map_err(arrow_error)?;
                let folded = self.fold(&values, frame, *op)?;
                retyped(&folded, ty)
            }
            Call::Average { arg, frame } => {
                let values = evaluate(arg, self.rows)?;
                if let DataType::Decimal128(_, scale) = values.data_type() {
                    let sums = self.fold(&values, frame, FrameOp::Sum)?;
                    let counts = self.count(&values, frame)?;
                    let counts = counts.as_primitive::<UInt32Type>().values().iter();
                    let counts: Int64Array = counts.map(|n| Some(i64::from(*n))).collect();
                    let sums = sums.as_primitive::<Decimal128Type>();
                    return Ok(decimal_average(&counts, sums, *scale, ty)?);
                }
                let values = cast(&values, &DataType::Float64).map_err(arrow_error)?;
                let sums = self.fold(&values, frame, FrameOp::Sum)?;
                let counts = self.count(&values, frame)?;
                let sums = sums.as_primitive::<Float64Type>().iter();
                let counts = counts.as_primitive::<UInt32Type>().values().iter();
                let means = sums.zip(counts).map(|(sum, n)| Some(sum? / f64::from(*n)));
                Ok(Arc::new(means.collect::<Float64Array>()))
            }
            Call::Variance { arg, frame, sample, root } => {
                let values = evaluate(arg, self.rows)?;
                let values = cast(&values, &DataType::Float64).map_err(arrow_error)?;
                let spreads = self.fold(&values, frame, FrameOp::Spread)?;
                let counts = self.count(&values, frame)?;
                let spreads = spreads.as_primitive::<Float64Type>().iter();
                let counts = counts.as_primitive::<UInt32Type>().values().iter();
                let variances = spreads.zip(counts).map(|(spread, n)| {
                    let n = if *sample { n.checked_sub(1).filter(|n| *n > 0)? } else { *n };
                    let variance = spread? / f64::from(n);
                    Some(if *root { variance.sqrt() } else { variance })
                });
                Ok(Arc::new(variances.collect::<Float64Array>()))
            }
            Call::Count { arg, frame } => {
                let values = evaluate(arg, self.rows)?;
                let counts = self.count(&values, frame)?;
                retyped(&counts, ty)
            }
        }
    }

    fn row_numbers(&mut self) -> Result<ArrayRef, Failure> {
        let (device, n) = (&*self.placed.device, self.rows.num_rows());
        let numbers = scan::row_number(device, self.queue, &mut self.reservation, &self.starts, n)?;
        Ok(read_column(self.queue, &numbers, n)?)
    }

    #[expect(clippy::type_complexity, reason = "the signature of the two functions of `scan`")]
    fn ranks(
        &mut self,
        rank: fn(
            &dyn windlass_device::Device,
            &mut dyn Queue,
            &mut Reservation,
            &DeviceBuffer,
            &DeviceBuffer,
            usize,
        ) -> Result<DeviceColumn, KernelError>,
    ) -> Result<ArrayRef, Failure> {
        let (device, n) = (&*self.placed.device, self.rows.num_rows());
        let memory = &mut self.reservation;
        let ranks = rank(device, self.queue, memory, &self.starts, &self.peers, n)?;
        Ok(read_column(self.queue, &ranks, n)?)
    }

    /// The frame of every row, computed once.
    fn frames(&mut self, span: &Span) -> Result<Frames, Failure> {
        if let Some(frames) = self.frames.get(span) {
            return Ok(frames.clone());
        }
        let (device, n) = (&*self.placed.device, self.rows.num_rows());
        let frames = match span.frame() {
            Some(frame) => {
                let words = (&self.starts, &self.peers);
                window::frames(device, self.queue, &mut self.reservation, words, n, frame)?
            }
            None => self.frames_by_key(span)?,
        };
        self.frames.insert(span.clone(), frames.clone());
        Ok(frames)
    }

    /// The frames by distances of the order's key, or of the numbers of the runs of peers.
    fn frames_by_key(&mut self, span: &Span) -> Result<Frames, Failure> {
        let (keys, options) = match (span.counts_groups(), self.plan.order.first()) {
            (false, Some(key)) => (evaluate(&key.expr, self.rows)?, key.options),
            _ => {
                let numbers = self.ranks(scan::dense_rank)?;
                let numbers = group_keys(numbers.as_primitive::<UInt32Type>().values());
                (numbers, Default::default())
            }
        };
        let device = self.placed.device.clone();
        let column = self.upload(&keys)?;
        let mut values = |edge: &Edge| -> Result<Option<DeviceColumn>, Failure> {
            let Some(values) = edge.keys(&keys, options.descending) else { return Ok(None) };
            // DataFusion's operator decides what a frame past its type's end holds.
            let values = values.map_err(|e| KernelError::Unsupported {
                device: device.info().name.to_string(),
                reason: format!("a frame's key and distance: {e}"),
            })?;
            self.upload(&values).map(Some)
        };
        let (start, end) = (values(&span.start)?, values(&span.end)?);
        let end_of = |edge: &Edge, values| match (edge, values) {
            (_, Some(values)) => End::Value(values),
            (Edge::Rows(bound), None) => End::Bound(*bound),
            (_, None) => End::Bound(Bound::Peers),
        };
        let ends = [end_of(&span.start, start.as_ref()), end_of(&span.end, end.as_ref())];
        let keys = Keys {
            column: &column,
            descending: options.descending,
            nulls_first: options.nulls_first,
        };
        let (words, n) = ((&self.starts, &self.peers), self.rows.num_rows());
        let memory = &mut self.reservation;
        Ok(window::range_frames(&*device, self.queue, memory, words, n, keys, ends)?)
    }

    /// The first row of each frame, and the row after it, on the host.
    fn bounds(&mut self, frame: Frame) -> Result<(ScalarBuffer<u32>, ScalarBuffer<u32>), Failure> {
        let frames = self.frames(&frame.into())?;
        let (low, high) = frames.bounds();
        let n = frames.rows();
        let mut read = |words| read_words(self.queue, words, n);
        let (low, high) = (read(low)?, read(high)?);
        Ok((ScalarBuffer::new(low, 0, n), ScalarBuffer::new(high, 0, n)))
    }

    fn upload(&mut self, values: &ArrayRef) -> Result<DeviceColumn, Failure> {
        let device = &*self.placed.device;
        let bytes = if self.placed.is_host() { 0 } else { array_bytes(values.as_ref()) };
        let mut reservation = device.pool().reserve(bytes)?;
        Ok(upload_array(device, self.queue, &mut reservation, values)?)
    }

    /// A column that is null where the values, which may be texts, are.
    fn upload_nulls(&mut self, values: &ArrayRef) -> Result<DeviceColumn, Failure> {
        let nulls = UInt8Array::new(vec![0; values.len()].into(), values.logical_nulls());
        self.upload(&(Arc::new(nulls) as ArrayRef))
    }

    fn fold(&mut self, values: &ArrayRef, frame: &Span, op: FrameOp) -> Result<ArrayRef, Failure> {
        let frames = self.frames(frame)?;
        let column = self.upload(values)?;
        let device = &*self.placed.device;
        let memory = &mut self.reservation;
        let folded = window::aggregate(device, self.queue, memory, &column, &frames, op)?;
        Ok(read_column(self.queue, &folded, frames.rows())?)
    }

    fn count(&mut self, values: &ArrayRef, frame: &Span) -> Result<ArrayRef, Failure> {
        let frames = self.frames(frame)?;
        let column = self.upload_nulls(values)?;
        let device = &*self.placed.device;
        let counts = window::count(device, self.queue, &mut self.reservation, &column, &frames)?;
        Ok(read_column(self.queue, &counts, frames.rows())?)
    }
}

/// An array of a kernel as the type of the result, which it stands for or is cast to.
fn retyped(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, Failure> {
    if array.data_type() == ty {
        return Ok(Arc::clone(array));
    }
    if array.data_type().primitive_width() == ty.primitive_width() {
        let data = array.to_data().into_builder().data_type(ty.clone());
        return Ok(make_array(data.build().map_err(arrow_error)?));
    }
    cast(array, ty).map_err(arrow_error)
}
