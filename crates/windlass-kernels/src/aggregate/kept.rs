//! Values that a GPU keeps until the end of a group-by, for what no state of fixed size gives.
//!
//! A distinct count keeps the different pairs of group and value, in a second group table. A
//! quantile keeps every row's group and value; at the end they are sorted by both, so each
//! group's values lie together and in order, and the values at the wanted places are gathered.

use windlass_device::{DeviceBuffer, Queue};

use super::{
    Share,
    batch::{Column, Mode, Rows},
    memory::Gpu,
    plan::{CallLayout, KeyLayout, Kind},
    table::GroupTable,
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    gather,
    launcher::Launcher,
    sort::{self, SortKey},
    types::PhysType,
};

/// Pairs that the first table of a distinct count has room for, a guess: one page of a GPU.
const FIRST_PAIRS: usize = 256;

/// What one call keeps.
#[derive(Debug)]
pub(super) enum Kept {
    /// The different pairs of group and value; without keys the different values.
    Pairs {
        table: Box<GroupTable>,
        /// The group, where there are keys, and the value.
        keys: Vec<KeyLayout>,
        /// Words of a packed pair.
        words: usize,
    },
    /// A batch for each chunk: what [`Rows::groups`] has of its rows, unless all are of one
    /// group, and values.
    Rows { ty: PhysType, share: Share, chunks: Vec<DeviceBatch>, mode: Mode },
}

/// The unsigned integer of a float's width, so that bits are compared.
fn by_bits(ty: PhysType) -> PhysType {
    match ty {
        PhysType::F32 => PhysType::U32,
        PhysType::F64 => PhysType::U64,
        ty => ty,
    }
}

impl Kept {
    /// What a call keeps; `None` where it keeps nothing.
    pub(super) fn new(
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        layout: &CallLayout,
        keyed: bool,
    ) -> Result<Option<Self>> {
        let Some((_, ty)) = layout.argument else { return Ok(None) };
        match layout.kind {
            Kind::Quantile(share) => {
                Ok(Some(Self::Rows { ty, share, chunks: Vec::new(), mode: Mode::All }))
            }
            Kind::Distinct => {
                let null = layout.may_be_empty.then_some((0, 0));
                let mut offset = u32::from(null.is_some());
                let mut keys = Vec::new();
                if keyed {
                    let ty = PhysType::U32;
                    keys.push(KeyLayout { column: 0, ty, null: None, offset, of_chunk: true });
                    offset += 1;
                }
                let ty = by_bits(ty);
                keys.push(KeyLayout { column: keys.len(), ty, null, offset, of_chunk: false });
                let words = offset as usize + ty.words();
                let table = GroupTable::new(gpu, queue, words as u32, FIRST_PAIRS)?;
                Ok(Some(Self::Pairs { table: Box::new(table), keys, words }))
            }
            _ => Ok(None),
        }
    }

    /// Bytes of device memory held.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Pairs { table, .. } => table.bytes(),
            Self::Rows { chunks, .. } => {
                let columns = chunks.iter().flat_map(|c| &c.columns);
                let valid = |c: &DeviceColumn| match &c.validity {
                    Validity::Words(words) => words.len(),
                    _ => 0,
                };
                columns.map(|c| c.values.len() + valid(c)).sum()
            }
        }
    }

    /// Takes in the rows of a chunk.
    pub(super) fn add(
        &mut self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        rows: &Rows,
        column: &Column,
    ) -> Result<()> {
        match self {
            Self::Pairs { table, keys, .. } => {
                let groups = Column { values: rows.groups.clone(), valid: None };
                let columns = match rows.mode {
                    Mode::Groups => vec![groups, column.clone()],
                    _ => vec![column.clone()],
                };
                let mut done = 0;
                while done < rows.rows {
                    let n = table.chunk_rows(gpu, (rows.rows - done) as usize) as u32;
                    let range = (rows.row_base + done, n);
                    let selected = rows.selected.as_ref();
                    table.find(gpu, queue, keys, &columns, selected, range, done)?;
                    done += n;
                }
                Ok(())
            }
            Self::Rows { ty, chunks, mode, .. } => {
                // The same in every chunk: it follows from the plan.
                *mode = rows.mode;
                let (n, base) = (rows.rows as usize, rows.row_base as usize);
                let mut columns = Vec::new();
                if rows.mode != Mode::All {
                    let values = copy(gpu, queue, &rows.groups, 0, n, 1)?;
                    columns.push(wide(PhysType::U32, values, None));
                }
                let values = copy(gpu, queue, &column.values, base, n, ty.words())?;
                let valid = column.valid.as_ref();
                let valid = valid.map(|v| copy(gpu, queue, v, base, n, 1)).transpose()?;
                columns.push(wide(*ty, values, valid));
                chunks.push(DeviceBatch { rows: n, columns });
                Ok(())
            }
        }
    }

    /// The call's words for each group, given those of its arrays.
    pub(super) fn finish(
        &self,
        gpu: &mut Gpu,
        queue: &mut dyn Queue,
        groups: usize,
        arrays: Vec<Vec<u32>>,
    ) -> Result<Vec<Vec<u32>>> {
        match self {
            Self::Pairs { table, keys, words } => {
                let null = keys.last().and_then(|k| k.null).is_some();
                let keyed = keys.len() == 2;
                let mut counts = vec![0u64; groups];
                for pair in table.download_keys(queue, table.groups())?.chunks_exact(*words) {
                    if null && pair[0] & 1 != 0 {
                        continue;
                    }
                    let group = if keyed { pair[usize::from(null)] as usize } else { 0 };
                    if let Some(count) = counts.get_mut(group) {
                        *count += 1;
                    }
                }
                Ok(vec![counts.iter().flat_map(|c| [*c as u32, (*c >> 32) as u32]).collect()])
            }
            Self::Rows { ty, share, chunks, mode } => {
                let places = places(&arrays, groups, *share);
                let [lower, upper] = pick(gpu, queue, chunks, *mode, *ty, &places)?;
                let [count, _] = <[_; 2]>::try_from(arrays).map_err(|a| broken(a.len()))?;
                Ok(vec![count, lower, upper])
            }
        }
    }
}

fn broken(arrays: usize) -> KernelError {
    let expected = "two arrays of counts".to_string();
    KernelError::Invalid { operation: "quantile", expected, got: arrays.to_string() }
}

fn wide(ty: PhysType, values: DeviceBuffer, valid: Option<DeviceBuffer>) -> DeviceColumn {
    let validity = valid.map_or(Validity::All, Validity::Words);
    DeviceColumn { ty, storage: Storage::Wide, values, bit_offset: 0, validity }
}

/// A copy of `n` items of `words` words from item `base` on.
fn copy(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    from: &DeviceBuffer,
    base: usize,
    n: usize,
    words: usize,
) -> Result<DeviceBuffer> {
    let to = gpu.alloc_words(n, words as u32)?;
    queue.copy(from, base * words * 4, &to, 0, n * words * 4)?;
    Ok(to)
}

/// The places of each group's two values among all rows, sorted by group and value with
/// nulls last; `u32::MAX` for a group with no argument. `arrays`: the groups' counts of
/// arguments and of rows.
fn places(arrays: &[Vec<u32>], groups: usize, share: Share) -> [Vec<u32>; 2] {
    let (mut lower, mut upper) = (vec![u32::MAX; groups], vec![u32::MAX; groups]);
    let mut start = 0usize;
    for g in 0..groups {
        let count = |a: usize| arrays[a][g * 2] as usize | (arrays[a][g * 2 + 1] as usize) << 32;
        if count(0) > 0 {
            let (low, high) = share.places(count(0));
            (lower[g], upper[g]) = ((start + low) as u32, (start + high) as u32);
        }
        start += count(1);
    }
    [lower, upper]
}

/// The words of the values at places of the sorted rows.
fn pick(
    gpu: &mut Gpu,
    queue: &mut dyn Queue,
    chunks: &[DeviceBatch],
    mode: Mode,
    ty: PhysType,
    places: &[Vec<u32>; 2],
) -> Result<[Vec<u32>; 2]> {
    let (words, device) = (ty.words(), std::sync::Arc::clone(&gpu.device));
    if chunks.is_empty() || places[0].is_empty() {
        return Ok([(); 2].map(|()| vec![0; places[0].len() * words]));
    }
    // What this takes is free again when it has been read.
    let mut reservation = device.pool().reserve(0)?;
    let (device, reservation) = (&*device, &mut reservation);
    let rows = gather::concat(device, queue, reservation, chunks)?;
    // Rows of no group have the largest number as theirs, or 0 as their flag: they come last.
    let flags = |column| mode == Mode::Selected && column == 0;
    let key = |column| SortKey { column, descending: flags(column), nulls_first: false };
    let keys: Vec<_> = (0..rows.columns.len()).map(key).collect();
    let order = sort::sort_indices(device, queue, reservation, &rows, &keys)?;
    let order = DeviceBatch { rows: rows.rows, columns: vec![wide(PhysType::U32, order, None)] };
    let values = DeviceBatch {
        rows: rows.rows,
        columns: vec![rows.columns[rows.columns.len() - 1].clone()],
    };
    let mut out = [Vec::new(), Vec::new()];
    for (places, out) in places.iter().zip(&mut out) {
        // A place of no value becomes the first one: its count says that it is none.
        let held: Vec<u32> = places.iter().map(|p| if *p == u32::MAX { 0 } else { *p }).collect();
        let n = held.len();
        let Some(mut l) = Launcher::new(device, queue, reservation) else {
            return Err(broken(0));
        };
        let held = l.upload_words(&held)?;
        let found = gather::gather(device, queue, reservation, &order, &held, n, false)?;
        let found = &found.columns[0].values;
        let found = gather::gather(device, queue, reservation, &values, found, n, false)?;
        let Some(mut l) = Launcher::new(device, queue, reservation) else {
            return Err(broken(0));
        };
        *out = l.read_words(&found.columns[0].values, 0, n * words)?;
    }
    queue.synchronize()?;
    Ok(out)
}
