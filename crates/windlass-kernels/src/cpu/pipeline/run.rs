//! Whole batches on the `cpu` device: filter and projection, and evaluation without
//! compaction. Outputs have Arrow's layout. One call runs on the calling thread; the
//! partitions of a job are what keeps the cores busy.

use std::{cell::RefCell, sync::Arc};

use arrow::buffer::{Buffer, MutableBuffer};
use windlass_device::{Device, DeviceBuffer, HostBytes, Reservation, pool::Allocation};

use super::{
    CHUNK_ROWS, Evaluator, Mode, Scratch, column, compress::SPARE, invalid, output::Output,
    select::Selection,
};
use crate::{
    column::{DeviceBatch, DeviceColumn},
    error::Result,
    ir::{Op, ValueId},
    pipeline::{Evaluated, FilterProject, passed_through},
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
    let mut prepared = Prepared::take(plan, batch, mode)?;
    let out = prepared.over(device, reservation, batch, tables);
    LAST.with(|last| *last.borrow_mut() = Some(prepared));
    out
}

/// Rows whose selected values are taken where they lie by one call for each column, so that the
/// cache misses of rows far apart overlap: no program runs between them. They are a batch as
/// scans give them; at 8 bytes a value they still fit a second-level cache of 1 MiB where the
/// filter has read the column too (a stated guess).
const WINDOW_ROWS: usize = 64 * CHUNK_ROWS;

thread_local! {
    /// What the thread ran last: the batches of a partition come one after the other, and
    /// their vectors are warm.
    static LAST: RefCell<Option<Prepared>> = const { RefCell::new(None) };
}

/// Where an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It is this column of the batch.
    Passed(usize),
    /// The selected rows of this column, which can be taken where they lie.
    InPlace(usize),
    /// The wanted value of this number.
    Value(usize),
}

/// The sources of all outputs.
fn sources(plan: &FilterProject, batch: &DeviceBatch, dense: bool) -> Vec<Source> {
    let mut values = 0;
    let outputs = plan.outputs.iter().enumerate();
    let sources = outputs.map(|(i, id)| {
        // A value that there is not is the evaluator's to refuse.
        let op = plan.program.values().get(id.0 as usize).map(|v| &v.op);
        if let Some(&Op::Input(at)) = op {
            let (at, slot) = (at as usize, plan.program.inputs()[at as usize]);
            if dense && passed_through(plan, batch, i).is_some() {
                return Source::Passed(at);
            }
            let column = batch.columns.get(at).filter(|_| !dense);
            if column.is_some_and(|c| column::is_in_place(c, slot, batch.rows)) {
                return Source::InPlace(at);
            }
        }
        values += 1;
        Source::Value(values - 1)
    });
    sources.collect()
}

/// A plan made ready for batches whose columns lie as one did.
struct Prepared {
    plan: FilterProject,
    mode: Mode,
    /// Whether every row has a place in the outputs.
    dense: bool,
    sources: Vec<Source>,
    evaluator: Evaluator,
    scratch: Scratch,
    /// The selected rows of a window.
    kept: Selection,
}

impl Prepared {
    /// What the thread ran last, where it is the same, or made anew.
    fn take(plan: &FilterProject, batch: &DeviceBatch, mode: Mode) -> Result<Self> {
        let dense = mode == Mode::Dense || plan.filter.is_none();
        let sources = sources(plan, batch, dense);
        let same = |last: &Self| last.mode == mode && last.sources == sources && last.plan == *plan;
        if let Some(last) = LAST.with(|last| last.borrow_mut().take()).filter(same) {
            return Ok(last);
        }
        let outputs = plan.outputs.iter().zip(&sources);
        let wanted = outputs.filter(|(_, s)| matches!(s, Source::Value(_))).map(|(id, _)| *id);
        let wanted: Vec<ValueId> = wanted.collect();
        let evaluator = Evaluator::new(&plan.program, plan.filter, &wanted)?;
        let (plan, scratch, kept) = (plan.clone(), Scratch::new(), Selection::default());
        Ok(Self { plan, mode, dense, sources, evaluator, scratch, kept })
    }

    fn over(
        &mut self,
        device: &dyn Device,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<Whole> {
        let Self { plan, mode, dense, sources, evaluator, scratch, kept } = self;
        let (mode, dense) = (*mode, *dense);
        let bound = evaluator.bind(batch, tables)?;
        let outputs = plan.outputs.iter().zip(&*sources);
        let written = outputs.filter(|(_, s)| !matches!(s, Source::Passed(_)));
        let mut outs: Vec<(Source, Output)> =
            written.map(|(id, s)| (*s, Output::new(plan.program.ty(*id)))).collect();
        // The most that the outputs can take, so that a batch that does not fit fails early.
        let most: usize = outs.iter().map(|(_, o)| o.bytes(batch.rows)).sum();
        reservation.grow(most.saturating_sub(reservation.left()))?;
        if dense {
            outs.iter_mut().for_each(|(_, o)| o.expect(batch.rows));
        }
        let mut selected = MutableBuffer::new(0);
        let any_in_place = outs.iter().any(|(s, _)| matches!(s, Source::InPlace(_)));
        let (mut start, mut rows) = (0, 0);
        // The first row whose values are still to be taken where they lie.
        let mut window = 0;
        kept.clear();
        while start < batch.rows {
            let end = (start + CHUNK_ROWS).min(batch.rows);
            let chunk = bound.evaluate(scratch, start..end, mode)?;
            for (source, out) in &mut outs {
                if let Source::Value(i) = source {
                    out.append(&chunk, *i);
                }
            }
            if any_in_place {
                kept.extend(chunk.selected(), end - start);
            }
            if mode == Mode::Dense && plan.filter.is_some() {
                let words = chunk.scratch.selected[..end - start].iter();
                selected.extend(words.map(|s| u32::from(*s)));
            }
            rows += chunk.rows();
            if any_in_place && (end == batch.rows || end - window == WINDOW_ROWS) {
                let range = window..end;
                let some = (kept.len() < range.len()).then_some(&*kept);
                for (source, out) in &mut outs {
                    if let Source::InPlace(at) = source {
                        let rows = bound.inputs[*at].in_place(&range);
                        out.append_in_place(&rows, some, range.len());
                    }
                }
                if window == 0 {
                    expect(&mut outs, |s| matches!(s, Source::InPlace(_)), rows, end, batch.rows);
                }
                window = end;
                kept.clear();
            }
            if start == 0 && !dense {
                expect(&mut outs, |s| matches!(s, Source::Value(_)), rows, end, batch.rows);
            }
            start = end;
        }
        let mut outs = outs.into_iter();
        let columns = sources.iter().map(|source| match source {
            Source::Passed(at) => Ok(batch.columns[*at].clone()),
            _ => match outs.next() {
                Some((_, out)) => out.finish(device, reservation, rows),
                None => Err(invalid("an output".into(), "none".into())),
            },
        });
        Ok((columns.collect::<Result<_>>()?, rows, selected))
    }
}

/// Makes room for what the rows from `end` to `all` are expected to leave, of which those before
/// left `rows`: as large a share up to its chance, three standard deviations of rows that are
/// selected independently.
fn expect(
    outs: &mut [(Source, Output)],
    of: impl Fn(&Source) -> bool,
    rows: usize,
    end: usize,
    all: usize,
) {
    if end == all {
        return;
    }
    let most = (rows + 3 * rows.isqrt()).min(end);
    let more = (all - end).div_ceil(end) * most + SPARE;
    let outs = outs.iter_mut().filter(|(source, _)| of(source));
    outs.for_each(|(_, out)| out.expect(more));
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

/// Bytes as a buffer of the device.
pub(super) fn finish(
    device: &dyn Device,
    reservation: &mut Reservation,
    bytes: Buffer,
) -> Result<DeviceBuffer> {
    let allocation = reservation.allocate(bytes.len())?;
    device
        .adopt(Arc::new(Owned { bytes, _allocation: allocation }))
        .ok_or_else(|| invalid("the cpu device".into(), device.info().name.to_string()))
}
