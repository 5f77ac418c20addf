//! The group-by on CUDA and wgpu devices: one driver for both languages.
//!
//! Each batch is evaluated by the plan's pipeline, then aggregated in chunks of rows: the
//! rows' groups are found in the group table, and every call's kernels add the rows to the
//! states of their groups. With no keys the table is left out: all rows are of group 0.
//!
//! Of sorted rows the groups are runs, which need no table either.
//!
//! Nothing that one block of threads publishes is read by another before the next launch,
//! unless it is itself an atomic, so the same algorithm is right under WGSL's memory model,
//! with relaxed atomics and no forward progress between workgroups.

use std::sync::Arc;

use windlass_device::{Device, Queue, info::Backend};

use super::{
    GroupBy, GroupByPlan, GroupByResult,
    batch::{self, Columns, Mode, Rows},
    memory::Gpu,
    plan::{self, Kind, Lowered},
    result,
    sources::{BLOCK, LOCAL_GROUPS, LOCAL_WORDS},
    state::States,
    table::GroupTable,
};
use crate::{
    column::{DeviceBatch, DeviceColumn},
    error::{KernelError, Result},
    pipeline::FilterProject,
};

/// Most rows of a batch: the top bit of a row number marks claims in the group table.
const MAX_BATCH_ROWS: usize = (1 << 31) - 1;

/// Fewest groups that the first arrays have room for, and the most that an estimate alone
/// makes them have room for. Guesses: one page of a GPU, and a size any GPU has.
const FIRST_GROUPS: std::ops::RangeInclusive<usize> = 256..=1 << 20;

/// Most buffers of one kernel of the family, but for [`PAIR_BUFFERS`].
const MAX_BUFFERS: u32 = 6;

/// Buffers of the kernel for pairs of arguments.
const PAIR_BUFFERS: u32 = 8;

/// Whether a GPU can run the plan.
pub(super) fn supported(plan: &GroupByPlan, device: &dyn Device) -> Result<()> {
    check(&plan::lower(plan)?, device).map(drop)
}

/// Checks the device, and returns the parts of the pipeline for it.
fn check(lowered: &Lowered, device: &dyn Device) -> Result<Vec<FilterProject>> {
    let info = device.info();
    let (limits, features) = (&info.limits, info.features);
    let no =
        |reason: String| Err(KernelError::Unsupported { device: info.name.to_string(), reason });
    let pairs = lowered.calls.iter().any(|c| c.kind == Kind::CoMoments);
    let buffers = if pairs { PAIR_BUFFERS } else { MAX_BUFFERS };
    if limits.max_buffers < buffers {
        return no(format!(
            "a group-by needs {buffers} buffers in one kernel, the device takes {}",
            limits.max_buffers
        ));
    }
    if limits.max_block < BLOCK {
        return no(format!(
            "a group-by needs blocks of {BLOCK} threads, the device takes {}",
            limits.max_block
        ));
    }
    let shared = (LOCAL_WORDS + LOCAL_GROUPS) * 4;
    if limits.shared_bytes < shared {
        return no(format!(
            "a group-by needs {shared} bytes of shared memory, the device has {}",
            limits.shared_bytes
        ));
    }
    let floats = features.float64 && features.int64_atomics;
    let f64_sum = |k: &Kind| matches!(k, Kind::SumF64 | Kind::Moments | Kind::CoMoments);
    if info.backend == Backend::Wgpu && !floats && lowered.calls.iter().any(|c| f64_sum(&c.kind)) {
        let missing = match (features.float64, features.int64_atomics) {
            (false, false) => "64-bit floats and 64-bit atomics",
            (false, true) => "64-bit floats",
            _ => "64-bit atomics",
        };
        return no(format!("sums and variances of floats need {missing}"));
    }
    batch::parts(&lowered.pipeline, device)
}

/// A group-by in progress.
struct GpuGroupBy {
    gpu: Gpu,
    lowered: Lowered,
    /// Compute what `lowered.pipeline` does.
    pipelines: Vec<FilterProject>,
    /// `None` without keys, and before the first batch.
    table: Option<GroupTable>,
    /// `None` before the first batch.
    states: Option<States>,
    first_groups: usize,
    /// Whether rows of equal keys are neighbours.
    sorted: bool,
}

/// Starts a group-by on a GPU.
pub(super) fn start(
    plan: &GroupByPlan,
    device: &Arc<dyn Device>,
    expected_groups: usize,
    sorted: bool,
) -> Result<Box<dyn GroupBy>> {
    let lowered = plan::lower(plan)?;
    let pipelines = check(&lowered, &**device)?;
    let gpu = Gpu::new(device)?;
    let first_groups = match plan.keys.is_empty() {
        true => 1,
        false => expected_groups.clamp(*FIRST_GROUPS.start(), *FIRST_GROUPS.end()),
    };
    let (table, states) = (None, None);
    Ok(Box::new(GpuGroupBy { gpu, lowered, pipelines, table, states, first_groups, sorted }))
}

impl GpuGroupBy {
    /// Makes the states and, with keys, the table on first use.
    fn prepare(&mut self, queue: &mut dyn Queue) -> Result<()> {
        if self.states.is_none() {
            let (calls, keyed) = (&self.lowered.calls, !self.lowered.keys.is_empty());
            self.states = Some(States::new(&mut self.gpu, queue, calls, self.first_groups, keyed)?);
        }
        if self.table.is_none() && !self.lowered.keys.is_empty() {
            let words = self.lowered.key_words;
            let new = if self.sorted { GroupTable::of_runs } else { GroupTable::new };
            self.table = Some(new(&mut self.gpu, queue, words, self.first_groups)?);
        }
        Ok(())
    }

    /// Finds the groups of rows from `row_base` on; returns the chunk.
    fn chunk(
        &mut self,
        queue: &mut dyn Queue,
        columns: &Columns,
        (row_base, left): (usize, usize),
    ) -> Result<Rows> {
        let batch_rows = (row_base + left) as u32;
        let Some(table) = &mut self.table else {
            let (mode, groups) = match &columns.selected {
                Some(flags) => (Mode::Selected, flags.clone()),
                None => (Mode::All, self.gpu.unread()),
            };
            let selected = columns.selected.clone();
            let (rows, row_base) = (left as u32, 0);
            let group_count = 1;
            return Ok(Rows { rows, row_base, batch_rows, mode, groups, group_count, selected });
        };
        let rows = match self.sorted {
            true => table.run_chunk_rows(&self.gpu, left),
            false => table.chunk_rows(&self.gpu, left),
        } as u32;
        let (before, row_base) = (table.groups(), row_base as u32);
        let selected = columns.selected.as_ref();
        let (gpu, keys, range) = (&mut self.gpu, &self.lowered.keys, (row_base, rows));
        let found = match self.sorted {
            true => table.find_runs(gpu, queue, keys, &columns.columns, selected, range)?,
            false => table.find(gpu, queue, keys, &columns.columns, selected, range, 0)?,
        };
        let groups = table.row_groups();
        if let Some(states) = &mut self.states {
            states.make_room(gpu, queue, before, found)?;
        }
        let (mode, group_count) = (Mode::Groups, found as u32);
        let selected = columns.selected.clone();
        Ok(Rows { rows, row_base, batch_rows, mode, groups, group_count, selected })
    }
}

impl GpuGroupBy {
    /// Reads the first `groups` groups back.
    fn download(&mut self, queue: &mut dyn Queue, groups: usize) -> Result<GroupByResult> {
        let key_words = match &self.table {
            Some(table) => table.download_keys(queue, groups)?,
            None => Vec::new(),
        };
        let states = match &self.states {
            Some(states) => states.download(&mut self.gpu, queue, groups)?,
            None => Vec::new(),
        };
        queue.synchronize()?;
        let unit = self.gpu.unit_words();
        Ok(result::build(groups, &self.lowered, &key_words, &states, unit))
    }
}

impl GroupBy for GpuGroupBy {
    fn update(
        &mut self,
        queue: &mut dyn Queue,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<()> {
        if batch.rows > MAX_BATCH_ROWS {
            return Err(KernelError::Invalid {
                operation: "group-by",
                expected: format!("a batch of at most {MAX_BATCH_ROWS} rows"),
                got: batch.rows.to_string(),
            });
        }
        if batch.rows == 0 {
            return Ok(());
        }
        self.prepare(queue)?;
        let columns = batch::evaluate(&mut self.gpu, queue, &self.pipelines, batch, tables)?;
        let mut done = 0;
        while done < batch.rows {
            let chunk = self.chunk(queue, &columns, (done, batch.rows - done))?;
            if let Some(states) = self.states.as_mut().filter(|_| chunk.group_count > 0) {
                states.accumulate(&mut self.gpu, queue, &chunk, &columns.columns)?;
            }
            done += chunk.rows as usize;
        }
        self.states.iter_mut().for_each(States::end_batch);
        Ok(())
    }

    fn groups(&self) -> usize {
        match &self.table {
            Some(table) => table.groups(),
            None => usize::from(self.lowered.keys.is_empty()),
        }
    }

    fn state_bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, GroupTable::bytes);
        table + self.states.as_ref().map_or(0, States::bytes)
    }

    fn take_complete(&mut self, queue: &mut dyn Queue) -> Result<Option<GroupByResult>> {
        // The values of one group are not told from those of others before the end.
        let keeps = |c: &plan::CallLayout| matches!(c.kind, Kind::Distinct | Kind::Quantile(_));
        let Some(complete) = self.groups().checked_sub(1).filter(|n| *n > 0) else {
            return Ok(None);
        };
        if !self.sorted || self.lowered.calls.iter().any(keeps) {
            return Ok(None);
        }
        let result = self.download(queue, complete)?;
        if let (Some(table), Some(states)) = (&mut self.table, &mut self.states) {
            states.keep_last(&mut self.gpu, queue, complete)?;
            table.keep_last(&mut self.gpu, queue)?;
        }
        Ok(Some(result))
    }

    fn finish(mut self: Box<Self>, queue: &mut dyn Queue) -> Result<GroupByResult> {
        self.prepare(queue)?;
        let groups = self.groups();
        self.download(queue, groups)
    }
}
