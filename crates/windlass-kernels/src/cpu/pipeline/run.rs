//! Whole batches on the `cpu` device: filter and projection, and evaluation without
//! compaction. Outputs have Arrow's layout. One call runs on the calling thread; the
//! partitions of a job are what keeps the cores busy.

use std::{cell::RefCell, sync::Arc};

use arrow::buffer::{Buffer, MutableBuffer};
use windlass_device::{Device, DeviceBuffer, HostBytes, Reservation, pool::Allocation};

use super::{
    CHUNK_ROWS, Chunk, Evaluator, Mode, Scratch, Values, bits::BitBuilder, invalid, scratch::width,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::Result,
    pipeline::{Evaluated, FilterProject, passed_through},
    types::PhysType,
};

/// The twin of the kernels behind [`FilterProject::run`].
pub(crate) fn run(
    plan: &FilterProject,
    device: &dyn Device,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<DeviceBatch> {
    let (columns, rows, _) = whole(plan, device, reservation, batch, tables, Mode::Compact)?;
    Ok(DeviceBatch { rows, columns })
}

/// The twin of the kernels behind [`FilterProject::evaluate`].
pub(crate) fn evaluate(
    plan: &FilterProject,
    device: &dyn Device,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<Evaluated> {
    let (columns, rows, selected) = whole(plan, device, reservation, batch, tables, Mode::Dense)?;
    let selected = match plan.filter {
        Some(_) => Some(finish(device, reservation, selected.into())?),
        None => None,
    };
    Ok(Evaluated { columns: DeviceBatch { rows, columns }, selected })
}

/// The columns, their rows, and the filter's words.
type Whole = (Vec<DeviceColumn>, usize, MutableBuffer);

fn whole(
    plan: &FilterProject,
    device: &dyn Device,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
    mode: Mode,
) -> Result<Whole> {
    let (evaluator, mut scratch) = prepared(plan)?;
    let out = over(plan, &evaluator, &mut scratch, device, reservation, batch, tables, mode);
    LAST.with(|last| *last.borrow_mut() = Some((plan.clone(), evaluator, scratch)));
    out
}

thread_local! {
    /// What the thread ran last: the batches of a partition come one after the other, and
    /// their vectors are warm.
    static LAST: RefCell<Option<(FilterProject, Evaluator, Scratch)>> = const { RefCell::new(None) };
}

fn prepared(plan: &FilterProject) -> Result<(Evaluator, Scratch)> {
    match LAST.with(|last| last.borrow_mut().take()) {
        Some((known, evaluator, scratch)) if known == *plan => Ok((evaluator, scratch)),
        _ => {
            let evaluator = Evaluator::new(&plan.program, plan.filter, &plan.outputs)?;
            Ok((evaluator, Scratch::new()))
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "the arguments of `run`, and what is reused")]
fn over(
    plan: &FilterProject,
    evaluator: &Evaluator,
    scratch: &mut Scratch,
    device: &dyn Device,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
    mode: Mode,
) -> Result<Whole> {
    let bound = evaluator.bind(batch, tables)?;
    let dense = mode == Mode::Dense || plan.filter.is_none();
    let passed = |i: usize| dense.then(|| passed_through(plan, batch, i)).flatten();
    let mut outs: Vec<Option<Output>> = plan
        .outputs
        .iter()
        .enumerate()
        .map(|(i, id)| passed(i).is_none().then(|| Output::new(plan.program.ty(*id))))
        .collect();
    // The most that the outputs can take, so that a batch that does not fit fails early.
    let most: usize = outs.iter().flatten().map(|o| o.bytes(batch.rows)).sum();
    reservation.grow(most.saturating_sub(reservation.left()))?;
    if dense {
        outs.iter_mut().flatten().for_each(|o| o.expect(batch.rows));
    }
    let mut selected = MutableBuffer::new(0);
    let (mut start, mut rows) = (0, 0);
    while start < batch.rows {
        let end = (start + CHUNK_ROWS).min(batch.rows);
        let chunk = bound.evaluate(scratch, start..end, mode)?;
        for (i, out) in outs.iter_mut().enumerate() {
            if let Some(out) = out {
                out.append(&chunk, i);
            }
        }
        if mode == Mode::Dense && plan.filter.is_some() {
            let words = chunk.scratch.selected[..end - start].iter();
            selected.extend(words.map(|s| u32::from(*s)));
        }
        rows += chunk.rows();
        if start == 0 && !dense {
            // The first chunk tells how many rows to expect of the others, up to its chance:
            // three standard deviations of rows that are selected independently.
            let most = (rows + 3 * rows.isqrt()).min(end);
            let more = (batch.rows - end).div_ceil(end) * most;
            outs.iter_mut().flatten().for_each(|o| o.expect(more));
        }
        start = end;
    }
    let columns = outs
        .into_iter()
        .enumerate()
        .map(|(i, out)| match (out, passed(i)) {
            (Some(out), _) => out.finish(device, reservation, rows),
            (None, Some(column)) => Ok(column),
            (None, None) => Err(invalid("an output".into(), "none".into())),
        })
        .collect::<Result<_>>()?;
    Ok((columns, rows, selected))
}

/// An output column being written.
struct Output {
    ty: PhysType,
    values: MutableBuffer,
    bools: BitBuilder,
    /// Made when the first null may come.
    valid: Option<BitBuilder>,
    rows: usize,
    /// Rows that there is room for.
    expected: usize,
}

impl Output {
    fn new(ty: PhysType) -> Self {
        let (values, bools) = (MutableBuffer::new(0), BitBuilder::default());
        Self { ty, values, bools, valid: None, rows: 0, expected: 0 }
    }

    /// Most bytes that `rows` rows take.
    fn bytes(&self, rows: usize) -> usize {
        let bits = rows.div_ceil(8);
        bits + self.ty.packed_bytes().map_or(bits, |w| rows * w)
    }

    /// Makes room for so many rows more.
    fn expect(&mut self, rows: usize) {
        self.expected = self.rows + rows;
        match self.ty {
            PhysType::Bool => self.bools.reserve(rows),
            ty => self.values.reserve(rows * width(ty)),
        }
    }

    fn append(&mut self, chunk: &Chunk<'_, '_>, i: usize) {
        let n = chunk.rows();
        match chunk.values(i) {
            Values::Bool(v) => self.bools.append(v),
            v => self.values.extend_from_slice(v.bytes()),
        }
        match (chunk.valid(i), &mut self.valid) {
            (None, None) => {}
            (None, Some(out)) => out.append_ones(n),
            (Some(mask), out) => {
                let out = out.get_or_insert_with(|| {
                    let mut out = BitBuilder::default();
                    out.reserve(self.expected.max(self.rows + n));
                    out.append_ones(self.rows);
                    out
                });
                out.append(mask);
            }
        }
        self.rows += n;
    }

    fn finish(
        self,
        device: &dyn Device,
        reservation: &mut Reservation,
        rows: usize,
    ) -> Result<DeviceColumn> {
        debug_assert_eq!(rows, self.rows, "every chunk was appended");
        let values = match self.ty {
            PhysType::Bool => self.bools.finish(),
            _ => self.values.into(),
        };
        let values = finish(device, reservation, values)?;
        let validity = match self.valid {
            None => Validity::All,
            Some(valid) => {
                let bits = finish(device, reservation, valid.finish())?;
                Validity::Bits { bits, bit_offset: 0 }
            }
        };
        Ok(DeviceColumn { ty: self.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
    }
}

/// Host memory of an output and its share of the pool.
struct Owned {
    bytes: Buffer,
    _allocation: Allocation,
}

impl HostBytes for Owned {
    fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

fn finish(
    device: &dyn Device,
    reservation: &mut Reservation,
    bytes: Buffer,
) -> Result<DeviceBuffer> {
    let allocation = reservation.allocate(bytes.len())?;
    device
        .adopt(Arc::new(Owned { bytes, _allocation: allocation }))
        .ok_or_else(|| invalid("the cpu device".into(), device.info().name.to_string()))
}
