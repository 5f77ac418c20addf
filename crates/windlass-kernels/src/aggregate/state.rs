//! The groups' accumulator states on a GPU: columns of 32-bit words, one set for each call,
//! that grow with the number of groups.

use windlass_device::{DeviceBuffer, Queue};

use super::{
    BitOp,
    batch::{Column, Mode, Rows},
    kept::Kept,
    memory::Gpu,
    pick,
    plan::{CallLayout, Kind},
    sources::{KernelId, LOCAL_GROUPS, LOCAL_WORDS},
    table::{Growth, grow},
};
use crate::{error::Result, types::PhysType};

/// One word or more for each group.
#[derive(Debug)]
struct Array {
    buffer: DeviceBuffer,
    /// Words of a group.
    words: u32,
    /// What a new group's words are.
    init: u32,
}

/// The arrays of one call, in the order of [`arrays_of`].
#[derive(Debug)]
struct CallState {
    layout: CallLayout,
    arrays: Vec<Array>,
    /// Values that are kept until the end.
    kept: Option<Kept>,
    /// The packed order keys of the batch at hand, by which a row is picked.
    order: Option<DeviceBuffer>,
}

/// The states of all calls.
#[derive(Debug)]
pub(super) struct States {
    calls: Vec<CallState>,
    /// Groups that every array has room for.
    capacity: usize,
}

/// Words and initial word of each array of a call:
///
/// * `Count`: the count;
/// * `SumInt`, `SumF64`: the sum, then the flag of groups with an argument if `may_be_empty`;
/// * `MinMax`: the code, the code of the chunk at hand where it has several units, the flag;
/// * `Moments`: count, shift, sum, sum of squares, first row (see `shift.cu`);
/// * `CoMoments`: the same, all but the count for the second argument too, sum of products;
/// * `Bits`: the bits, the flag;
/// * `Pick`: the row of the chunk at hand, and what is kept (see `keep_leader.cu`);
/// * `Distinct`: none;
/// * `Quantile`: the count of arguments, the count of rows.
fn arrays_of(layout: &CallLayout, unit_words: u32) -> Vec<(u32, u32)> {
    let argument_words = layout.argument.map_or(0, |(_, ty)| ty.words() as u32);
    let mut arrays = match layout.kind {
        Kind::Count => return vec![(2, 0)],
        Kind::Moments => return vec![(2, 0), (2, 0), (2, 0), (2, 0), (1, u32::MAX)],
        Kind::CoMoments => {
            let argument = [(2, 0), (2, 0), (2, 0), (1, u32::MAX)];
            return [&[(2, 0)], &argument[..], &argument[..], &[(2, 0)]].concat();
        }
        Kind::Distinct => return Vec::new(),
        Kind::Pick => {
            let words = layout.pick.as_ref().map_or(0, |p| p.state_words(argument_words));
            return vec![(1, u32::MAX), (words, 0)];
        }
        Kind::Quantile(_) => return vec![(2, 0); 2],
        Kind::Bits(op) => vec![(argument_words, neutral(op))],
        Kind::SumInt { wide } => vec![(if wide { 4 } else { 2 }, 0)],
        Kind::SumF64 => vec![(2, 0)],
        Kind::MinMax { .. } if argument_words > unit_words => vec![(argument_words, 0); 2],
        Kind::MinMax { .. } => vec![(argument_words, 0)],
    };
    if layout.may_be_empty {
        arrays.push((1, 0));
    }
    arrays
}

/// The bits that change nothing.
fn neutral(op: BitOp) -> u32 {
    match op {
        BitOp::And => u32::MAX,
        BitOp::Or | BitOp::Xor => 0,
    }
}

/// How many groups have a place in a block's local table, and how many replicas of it there
/// are, for states of `words` words. Threads take replicas in turn, so up to a warp of them.
fn local_table(groups: u32, words: u32) -> (u32, u32) {
    let local = groups.min(LOCAL_GROUPS).min(LOCAL_WORDS / words).max(1);
    let replicas = (LOCAL_WORDS / (local * words)).clamp(1, 32);
    (local, 1 << replicas.ilog2())
}

impl States {
    pub(super) fn new(
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        calls: &[CallLayout],
        capacity: usize,
        keyed: bool,
    ) -> Result<Self> {
        let unit = gpu.unit_words();
        let mut states = Vec::with_capacity(calls.len());
        for layout in calls {
            for id in kernels_of(layout, unit) {
                gpu.compile(id)?;
            }
            let mut arrays = Vec::new();
            for (words, init) in arrays_of(layout, unit) {
                let buffer = gpu.alloc_words(capacity, words)?;
                queue.fill(&buffer, init)?;
                arrays.push(Array { buffer, words, init });
            }
            let kept = Kept::new(gpu, queue, layout, keyed)?;
            states.push(CallState { layout: layout.clone(), arrays, kept, order: None });
        }
        Ok(Self { calls: states, capacity })
    }

    /// Bytes of device memory held.
    pub(super) fn bytes(&self) -> usize {
        let arrays: usize = self.calls.iter().flat_map(|c| &c.arrays).map(|a| a.buffer.len()).sum();
        let orders = self.calls.iter().filter_map(|c| c.order.as_ref());
        let arrays = arrays + orders.map(DeviceBuffer::len).sum::<usize>();
        arrays + self.calls.iter().filter_map(|c| c.kept.as_ref()).map(Kept::bytes).sum::<usize>()
    }

    /// Makes room for `groups` groups, of which the first `used` have states.
    pub(super) fn make_room(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        used: usize,
        groups: usize,
    ) -> Result<()> {
        if groups <= self.capacity {
            return Ok(());
        }
        let size = Growth { capacity: self.capacity, used, needed: groups };
        let mut least = usize::MAX;
        for array in self.calls.iter_mut().flat_map(|c| &mut c.arrays) {
            let (buffer, capacity) =
                grow(gpu, queue, &array.buffer, size, array.words, Some(array.init))?;
            array.buffer = buffer;
            least = least.min(capacity);
        }
        self.capacity = least;
        Ok(())
    }

    /// Forgets the states of all groups but `last`, which becomes the first. There are no values
    /// that are kept until the end.
    pub(super) fn keep_last(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        last: usize,
    ) -> Result<()> {
        for array in self.calls.iter_mut().flat_map(|c| &mut c.arrays) {
            let bytes = array.words as usize * 4;
            let buffer = gpu.alloc_words(self.capacity, array.words)?;
            queue.fill(&buffer, array.init)?;
            queue.copy(&array.buffer, last * bytes, &buffer, 0, bytes)?;
            array.buffer = buffer;
        }
        Ok(())
    }

    /// Forgets what was made for a batch.
    pub(super) fn end_batch(&mut self) {
        self.calls.iter_mut().for_each(|c| c.order = None);
    }

    /// Adds the rows of a chunk to the states of their groups.
    pub(super) fn accumulate(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        rows: &Rows,
        columns: &[Column],
    ) -> Result<()> {
        for call in &mut self.calls {
            let column = call.layout.argument.map(|(c, ty)| (&columns[c], ty));
            if let (Some(kept), Some((column, _))) = (&mut call.kept, column) {
                kept.add(gpu, queue, rows, column)?;
            }
            if let (Some(layout), Some(argument)) = (&call.layout.pick, call.layout.argument) {
                if call.order.is_none() {
                    call.order = layout.pack(gpu, queue, columns, rows.batch_rows as usize)?;
                }
                let (keys, gpu) = (call.order.as_ref(), &*gpu);
                let [leaders, state] = &call.arrays[..] else { continue };
                let (leaders, state) = (&leaders.buffer, &state.buffer);
                let chunk = pick::Chunk { gpu, rows, columns, keys, leaders, state };
                layout.add(queue, &chunk, argument)?;
                continue;
            }
            let other = call.layout.other.map(|c| &columns[c]);
            Accumulate { gpu, rows, column, other, call }.run(queue)?;
        }
        Ok(())
    }

    /// Reads the words of all arrays back, for each call and array; the values that a
    /// quantile or a distinct count comes to follow what it counted.
    pub(super) fn download(
        &self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        groups: usize,
    ) -> Result<Vec<(CallLayout, Vec<Vec<u32>>)>> {
        let mut out = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let mut arrays = Vec::with_capacity(call.arrays.len());
            for array in &call.arrays {
                let mut words = vec![0u32; groups * array.words as usize];
                if !words.is_empty() {
                    queue.download(&array.buffer, 0, bytemuck::cast_slice_mut(&mut words))?;
                }
                arrays.push(words);
            }
            if let Some(kept) = &call.kept {
                arrays = kept.finish(gpu, queue, groups, arrays)?;
            }
            out.push((call.layout.clone(), arrays));
        }
        Ok(out)
    }
}

/// The kernels that a call launches.
fn kernels_of(layout: &CallLayout, unit_words: u32) -> Vec<KernelId> {
    match layout.kind {
        Kind::Count => vec![KernelId::SumInt { words: 2 }],
        Kind::SumInt { wide } => vec![KernelId::SumInt { words: if wide { 4 } else { 2 } }],
        Kind::SumF64 => vec![KernelId::SumFloat],
        Kind::MinMax { .. } => {
            let ty = layout.argument.map_or(PhysType::Bool, |(_, ty)| ty);
            let words = (ty.words() as u32).min(unit_words);
            let mut ids = vec![KernelId::MinMax { words }];
            if ty.words() as u32 > words {
                ids.push(KernelId::MinMaxMerge);
            }
            ids
        }
        Kind::Moments => vec![
            KernelId::SumInt { words: 2 },
            KernelId::SumFloat,
            KernelId::ClaimShift,
            KernelId::SetShift,
        ],
        Kind::CoMoments => vec![
            KernelId::SumInt { words: 2 },
            KernelId::SumFloat,
            KernelId::SumProduct,
            KernelId::ClaimShift,
            KernelId::SetShift,
        ],
        Kind::Bits(_) => {
            let words = layout.argument.map_or(1, |(_, ty)| ty.words() as u32);
            vec![KernelId::Bits { words }]
        }
        Kind::Distinct => Vec::new(),
        Kind::Pick => vec![KernelId::Leader, KernelId::KeepLeader],
        Kind::Quantile(_) => vec![KernelId::SumInt { words: 2 }],
    }
}

/// The launches of one call over one chunk.
struct Accumulate<'a> {
    gpu: &'a Gpu,
    rows: &'a Rows,
    column: Option<(&'a Column, PhysType)>,
    /// The second argument.
    other: Option<&'a Column>,
    call: &'a CallState,
}

impl Accumulate<'_> {
    fn run(&self, queue: &mut dyn Queue) -> Result<()> {
        let arrays = &self.call.arrays;
        match self.call.layout.kind {
            Kind::Count => self.sum_int(queue, &arrays[0], None, false),
            Kind::SumInt { .. } => self.sum_int(queue, &arrays[0], self.seen(1), true),
            Kind::SumF64 => self.sum_float(queue, &arrays[0], self.seen(1), None, 0),
            Kind::MinMax { is_min } => self.min_max(queue, is_min),
            Kind::Moments => {
                self.shift(queue, &arrays[4], &arrays[1])?;
                self.sum_int(queue, &arrays[0], None, false)?;
                self.sum_float(queue, &arrays[2], None, Some(&arrays[1]), 1)?;
                self.sum_float(queue, &arrays[3], None, Some(&arrays[1]), 2)
            }
            Kind::CoMoments => self.co_moments(queue),
            Kind::Bits(op) => self.bits(queue, op),
            Kind::Distinct | Kind::Pick => Ok(()),
            Kind::Quantile(_) => {
                self.sum_int(queue, &arrays[0], None, false)?;
                let rows = Self { column: None, ..*self };
                rows.sum_int(queue, &arrays[1], None, false)
            }
        }
    }

    fn co_moments(&self, queue: &mut dyn Queue) -> Result<()> {
        let arrays = &self.call.arrays;
        let Some(other) = self.other else { return Ok(()) };
        self.sum_int(queue, &arrays[0], None, false)?;
        let other = Self { column: Some((other, PhysType::F64)), other: None, ..*self };
        for (argument, arrays) in [(self, &arrays[1..5]), (&other, &arrays[5..9])] {
            argument.shift(queue, &arrays[3], &arrays[0])?;
            argument.sum_float(queue, &arrays[1], None, Some(&arrays[0]), 1)?;
            argument.sum_float(queue, &arrays[2], None, Some(&arrays[0]), 2)?;
        }
        let (blocks, mut params) = self.head(2);
        params.extend([1, u32::from(self.valid().is_some()), 0]);
        let mut buffers = self.buffers(&arrays[9], None, true);
        buffers.push(arrays[1].buffer.clone());
        buffers.extend(other.column.map(|(c, _)| c.values.clone()));
        buffers.push(arrays[5].buffer.clone());
        let buffers: Vec<_> = buffers.iter().collect();
        self.gpu.launch(queue, KernelId::SumProduct, blocks, &buffers, &params)
    }

    fn bits(&self, queue: &mut dyn Queue, op: BitOp) -> Result<()> {
        let (state, seen) = (&self.call.arrays[0], self.seen(1));
        let (blocks, mut params) = self.head(state.words);
        params.extend([
            op as u32,
            neutral(op),
            u32::from(self.valid().is_some()),
            u32::from(seen.is_some()),
        ]);
        let buffers = self.buffers(state, seen, true);
        let id = KernelId::Bits { words: state.words };
        self.gpu.launch(queue, id, blocks, &buffers.iter().collect::<Vec<_>>(), &params)
    }

    /// The flags of groups with an argument, which follow `at` arrays.
    fn seen(&self, at: usize) -> Option<&Array> {
        self.call.arrays.get(at)
    }

    fn valid(&self) -> Option<&DeviceBuffer> {
        self.column.and_then(|(c, _)| c.valid.as_ref())
    }

    /// The parameters that all accumulating kernels begin with.
    fn head(&self, state_words: u32) -> (u32, Vec<u32>) {
        let r = self.rows;
        let (local, replicas) = local_table(r.group_count, state_words);
        let blocks = self.gpu.accumulate_blocks(r.rows);
        (blocks, vec![r.rows, r.row_base, r.mode as u32, local, replicas, blocks])
    }

    /// The buffers that all accumulating kernels begin with.
    fn buffers(&self, state: &Array, seen: Option<&Array>, values: bool) -> Vec<DeviceBuffer> {
        let (unread, unwritten) = (self.gpu.unread(), self.gpu.unwritten());
        let values = self.column.filter(|_| values).map(|(c, _)| c.values.clone());
        let groups = match self.rows.mode {
            Mode::All => unread.clone(),
            _ => self.rows.groups.clone(),
        };
        vec![
            groups,
            values.unwrap_or_else(|| unread.clone()),
            self.valid().cloned().unwrap_or(unread),
            state.buffer.clone(),
            seen.map_or(unwritten, |a| a.buffer.clone()),
        ]
    }

    /// Adds the arguments, or counts them.
    fn sum_int(
        &self,
        queue: &mut dyn Queue,
        sum: &Array,
        seen: Option<&Array>,
        values: bool,
    ) -> Result<()> {
        let (blocks, mut params) = self.head(sum.words);
        let ty = self.column.map(|(_, ty)| ty).filter(|_| values);
        params.extend([
            ty.map_or(0, |ty| ty.words() as u32 / self.gpu.unit_words()),
            u32::from(ty.is_some_and(PhysType::is_signed)),
            u32::from(self.valid().is_some()),
            u32::from(seen.is_some()),
        ]);
        let id = KernelId::SumInt { words: sum.words };
        let buffers = self.buffers(sum, seen, values);
        self.gpu.launch(queue, id, blocks, &buffers.iter().collect::<Vec<_>>(), &params)
    }

    fn sum_float(
        &self,
        queue: &mut dyn Queue,
        sum: &Array,
        seen: Option<&Array>,
        shift: Option<&Array>,
        power: u32,
    ) -> Result<()> {
        let (blocks, mut params) = self.head(2);
        params.extend([power, u32::from(self.valid().is_some()), u32::from(seen.is_some())]);
        let mut buffers = self.buffers(sum, seen, true);
        buffers.push(shift.map_or_else(|| self.gpu.unread(), |a| a.buffer.clone()));
        let buffers: Vec<_> = buffers.iter().collect();
        self.gpu.launch(queue, KernelId::SumFloat, blocks, &buffers, &params)
    }

    fn min_max(&self, queue: &mut dyn Queue, is_min: bool) -> Result<()> {
        let Some((_, ty)) = self.column else { return Ok(()) };
        let state = &self.call.arrays[0];
        let words = state.words.min(self.gpu.unit_words());
        let phases = state.words / words;
        let kind = if ty.is_float() { 2 } else { u32::from(ty.is_signed()) };
        let (target, seen) = if phases == 1 {
            (state, self.seen(1))
        } else {
            let chunk = &self.call.arrays[1];
            queue.fill(&chunk.buffer, 0)?;
            (chunk, self.seen(2))
        };
        for phase in 0..phases {
            let seen = seen.filter(|_| phase == 0);
            let (blocks, mut params) = self.head(words);
            params.extend([
                phases,
                phase,
                kind,
                u32::from(is_min),
                u32::from(self.valid().is_some()),
                u32::from(seen.is_some()),
            ]);
            let buffers = self.buffers(target, seen, true);
            let buffers: Vec<_> = buffers.iter().collect();
            self.gpu.launch(queue, KernelId::MinMax { words }, blocks, &buffers, &params)?;
        }
        if phases > 1 {
            let groups = self.rows.group_count;
            let buffers = [&target.buffer, &state.buffer];
            let params = [groups, phases];
            self.gpu.launch_each(queue, KernelId::MinMaxMerge, groups, &buffers, &params)?;
        }
        Ok(())
    }

    /// Gives the groups without a shift theirs.
    fn shift(&self, queue: &mut dyn Queue, first: &Array, shift: &Array) -> Result<()> {
        let r = self.rows;
        let params = [r.rows, r.row_base, r.mode as u32, u32::from(self.valid().is_some())];
        let all = self.buffers(first, None, true);
        let [groups, values, valid, first, _] = &all[..] else { return Ok(()) };
        let buffers = [groups, valid, first];
        self.gpu.launch_each(queue, KernelId::ClaimShift, r.rows, &buffers, &params)?;
        let buffers = [groups, valid, first, values, &shift.buffer];
        self.gpu.launch_each(queue, KernelId::SetShift, r.rows, &buffers, &params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_tables_fit_and_few_groups_get_replicas() {
        for words in [1, 2, 4] {
            for groups in [1, 2, 31, 128, 129, 511, 512, 513, 1023, 1024, 1025, u32::MAX] {
                let (local, replicas) = local_table(groups, words);
                assert!(local <= groups && local <= LOCAL_GROUPS);
                assert!(replicas.is_power_of_two() && local * replicas * words <= LOCAL_WORDS);
            }
            assert_eq!(local_table(1, words), (1, 32));
        }
        assert_eq!(local_table(1 << 20, 4), (512, 1));
    }
}
