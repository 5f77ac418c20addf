//! Running generated kernels: printing, compiling, buffers, launches.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use windlass_device::{
    Device, DeviceBuffer, KernelSource, Language, Queue, Reservation, source::Access,
};

use super::{
    Evaluated, FilterProject, OPERATION, cuda, fail, passed_through,
    shape::{BLOCK, Layout, Mode, STATUS_WORDS, Shape, Source, TILE, invalid, layouts},
};
use crate::{
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    compact::{Tiles, close_gaps},
    error::Result,
    scan::exclusive_scan,
    sources::{language, values},
};

/// What decides the text of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    plan: FilterProject,
    mode: Mode,
    columns: Vec<Layout>,
    tables: Vec<Layout>,
    skip: Vec<bool>,
    language: Language,
    /// Whether 64-bit integers are the language's own.
    int64: bool,
}

/// Kernels printed so far. A job has few; the map is emptied when it has grown past this,
/// so that a long session does not keep every text.
const MOST_TEXTS: usize = 1024;

/// The source of a plan's kernel, printed once for each layout.
fn source(key: Key, shape: &Shape<'_>) -> Arc<KernelSource> {
    static TEXTS: OnceLock<Mutex<HashMap<Key, Arc<KernelSource>>>> = OnceLock::new();
    let texts = TEXTS.get_or_init(Mutex::default);
    if let Some(found) = texts.lock().get(&key) {
        return Arc::clone(found);
    }
    let (text, headers) = match key.language {
        Language::Cuda => (cuda::print(shape), vec![values()]),
        Language::Wgsl => (super::wgsl::print(shape, key.int64), vec![]),
    };
    let sources = shape.inputs.iter().chain(&shape.tables);
    let read: usize = sources.map(|s| s.buffers()).sum();
    let written = shape.buffers() - read;
    let buffers = [vec![Access::Read; read], vec![Access::ReadWrite; written]].concat();
    let made = Arc::new(KernelSource {
        name: Cow::Borrowed("pipeline/filter_project"),
        language: key.language,
        text: Cow::Owned(text),
        headers,
        entry: Cow::Borrowed(cuda::ENTRY),
        block: BLOCK,
        buffers,
        params: shape.params() as u32,
    });
    let mut texts = texts.lock();
    if texts.len() >= MOST_TEXTS {
        texts.clear();
    }
    texts.insert(key, Arc::clone(&made));
    made
}

/// A batch with all that is needed to run a plan over it.
struct Job<'a> {
    plan: &'a FilterProject,
    device: &'a dyn Device,
    queue: &'a mut dyn Queue,
    reservation: &'a mut Reservation,
    batch: &'a DeviceBatch,
    tables: &'a [DeviceColumn],
}

/// A written column: values, and validity words where it may be null.
type Written = (DeviceBuffer, Option<DeviceBuffer>);

/// What a launch left.
struct Launched {
    outputs: Vec<Written>,
    selected: Option<DeviceBuffer>,
    status: DeviceBuffer,
    tiles: u32,
}

impl Job<'_> {
    fn alloc(&mut self, words: usize) -> Result<DeviceBuffer> {
        Ok(self.device.alloc(self.reservation, words * 4)?)
    }

    /// Prints, compiles and launches the kernel.
    fn launch(&mut self, mode: Mode, skip: &[bool]) -> Result<Launched> {
        let (columns, looked_up) = (layouts(&self.batch.columns), layouts(self.tables));
        let shape = Shape::new(self.plan, mode, &columns, &looked_up, skip)?;
        self.check(&shape)?;
        let rows = self.batch.rows;
        let tiles = (rows as u32).div_ceil(TILE);
        let mut outputs = Vec::new();
        for id in &shape.outputs {
            let values = self.alloc(rows * self.plan.program.ty(*id).words())?;
            let valid = if shape.nulls(*id) { Some(self.alloc(rows)?) } else { None };
            outputs.push((values, valid));
        }
        let selected = if shape.marks() { Some(self.alloc(rows)?) } else { None };
        let counts = if shape.compacts() { tiles as usize } else { 0 };
        let status = self.alloc(STATUS_WORDS as usize + counts)?;
        let launched = Launched { outputs, selected, status, tiles };
        if rows == 0 {
            return Ok(launched);
        }
        let language =
            language(self.device).ok_or_else(|| invalid("a GPU".into(), "cpu".into()))?;
        let key = Key {
            plan: self.plan.clone(),
            mode,
            columns,
            tables: looked_up,
            skip: skip.to_vec(),
            language,
            int64: self.device.info().features.int64,
        };
        let kernel = self.device.compile(&source(key, &shape))?;
        // The flags start at zero; so do the counts, which the kernel writes anyway.
        self.queue.upload(&launched.status, 0, &[0; STATUS_WORDS as usize * 4])?;
        let mut buffers: Vec<&DeviceBuffer> = Vec::new();
        let inputs = shape.inputs.iter().map(|s| (s, &self.batch.columns[s.at as usize]));
        let looked_up = shape.tables.iter().map(|s| (s, &self.tables[s.at as usize]));
        for (source, column) in inputs.chain(looked_up) {
            buffers.push(&column.values);
            if source.buffers() == 2 {
                match &column.validity {
                    Validity::Bits { bits, .. } => buffers.push(bits),
                    Validity::Words(words) => buffers.push(words),
                    Validity::All => {}
                }
            }
        }
        for (values, valid) in &launched.outputs {
            buffers.push(values);
            buffers.extend(valid);
        }
        buffers.extend(&launched.selected);
        buffers.push(&launched.status);
        let params = shape.param_words(self.batch, self.tables);
        self.queue.launch(&kernel, tiles, &buffers, &params)?;
        Ok(launched)
    }

    /// Refuses a batch that the kernel cannot address or bind.
    fn check(&self, shape: &Shape<'_>) -> Result<()> {
        let rows = self.batch.rows;
        if rows > i32::MAX as usize {
            return Err(invalid("a batch of less than 2^31 rows".into(), rows.to_string()));
        }
        let most = self.device.info().limits.max_buffer_bytes;
        let widest = shape.outputs.iter().map(|id| self.plan.program.ty(*id).wide_bytes()).max();
        let bytes = widest.unwrap_or(4).max(4) * rows;
        if bytes > most {
            return Err(invalid(
                format!("a batch whose columns take at most {most} bytes each, so fewer rows"),
                format!("an output of {bytes} bytes for {rows} rows"),
            ));
        }
        for s in &shape.inputs {
            self.check_source("column", s, &self.batch.columns[s.at as usize], rows)?;
        }
        for s in &shape.tables {
            self.check_source("table", s, &self.tables[s.at as usize], 0)?;
        }
        Ok(())
    }

    /// Refuses a column or table whose buffers lie elsewhere or hold fewer rows.
    fn check_source(&self, what: &str, s: &Source, c: &DeviceColumn, rows: usize) -> Result<()> {
        let at = s.at;
        if let Some(bit) = c.first_bits().into_iter().find(|bit| *bit > 7) {
            return Err(invalid(format!("{what} {at} from a bit below 8"), format!("bit {bit}")));
        }
        let held = s.rows_of(c);
        if held < rows {
            return Err(invalid(format!("{what} {at} of {rows} rows"), format!("{held} rows")));
        }
        let mask = match &c.validity {
            Validity::Bits { bits: mask, .. } | Validity::Words(mask) => Some(mask),
            Validity::All => None,
        };
        for buffer in [Some(&c.values), mask.filter(|_| s.buffers() == 2)].into_iter().flatten() {
            if buffer.device() != &self.device.info().name {
                let expected = format!("{what} {at} on {}", self.device.info().name);
                return Err(invalid(expected, buffer.device().to_string()));
            }
        }
        Ok(())
    }

    /// The one download: error flags and, where the kernel compacts, the number of rows.
    fn status(&mut self, launched: &Launched) -> Result<usize> {
        let mut words = [0u32; STATUS_WORDS as usize];
        self.queue.download(&launched.status, 0, bytemuck::cast_slice_mut(&mut words))?;
        match fail::error_of(words[0]) {
            Some(e) => Err(e),
            None => Ok(words[1] as usize),
        }
    }

    fn column(&self, i: usize, (values, valid): Written) -> DeviceColumn {
        let ty = self.plan.program.ty(self.plan.outputs[i]);
        let validity = valid.map_or(Validity::All, Validity::Words);
        DeviceColumn { ty, storage: Storage::Wide, values, bit_offset: 0, validity }
    }

    /// Brings a tile-wise buffer's values together.
    fn close(
        &mut self,
        from: DeviceBuffer,
        words: u32,
        l: &Launched,
        n: usize,
    ) -> Result<DeviceBuffer> {
        let to = self.alloc(n * words as usize)?;
        let tiles = Tiles {
            tiles: l.tiles,
            tile: TILE,
            offsets: &l.status,
            first: STATUS_WORDS,
            total: n as u32,
        };
        close_gaps(self.device, self.queue, &from, tiles, words, &to)?;
        Ok(to)
    }

    fn run(mut self) -> Result<DeviceBatch> {
        let plan = self.plan;
        let passed: Vec<Option<DeviceColumn>> = (0..plan.outputs.len())
            .map(|i| plan.filter.is_none().then(|| passed_through(plan, self.batch, i)).flatten())
            .collect();
        for c in passed.iter().flatten() {
            c.check(OPERATION, self.device, self.batch.rows)?;
        }
        let skip: Vec<bool> = passed.iter().map(Option::is_some).collect();
        if plan.filter.is_none() && skip.iter().all(|s| *s) {
            let columns = passed.into_iter().flatten().collect();
            return Ok(DeviceBatch { rows: self.batch.rows, columns });
        }
        let mut l = self.launch(Mode::Compact, &skip)?;
        let mut rows = self.batch.rows;
        if rows > 0 {
            if plan.filter.is_some() {
                let (first, total) = (STATUS_WORDS, Some(1));
                exclusive_scan(
                    self.device,
                    self.queue,
                    self.reservation,
                    &l.status,
                    first,
                    l.tiles,
                    total,
                )?;
                rows = self.status(&l)?;
            } else if plan.program.can_fail() {
                self.status(&l)?;
            }
        }
        let moves = rows < self.batch.rows;
        let mut written = std::mem::take(&mut l.outputs).into_iter();
        let mut columns = Vec::new();
        for (i, passed) in passed.into_iter().enumerate() {
            if let Some(column) = passed {
                columns.push(column);
                continue;
            }
            let (mut values, mut valid) =
                written.next().ok_or_else(|| invalid("an output".into(), "none".into()))?;
            if moves {
                let words = plan.program.ty(plan.outputs[i]).words() as u32;
                values = self.close(values, words, &l, rows)?;
                if let Some(v) = valid.take() {
                    valid = Some(self.close(v, 1, &l, rows)?);
                }
            }
            columns.push(self.column(i, (values, valid)));
        }
        Ok(DeviceBatch { rows, columns })
    }

    fn evaluate(mut self) -> Result<Evaluated> {
        let skip = vec![false; self.plan.outputs.len()];
        let mut l = self.launch(Mode::Dense, &skip)?;
        let rows = self.batch.rows;
        if rows > 0 && self.plan.program.can_fail() {
            self.status(&l)?;
        }
        let written = std::mem::take(&mut l.outputs);
        let columns = written.into_iter().enumerate().map(|(i, w)| self.column(i, w)).collect();
        Ok(Evaluated { columns: DeviceBatch { rows, columns }, selected: l.selected })
    }
}

/// [`FilterProject::run`] on a GPU.
pub(super) fn run(
    plan: &FilterProject,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<DeviceBatch> {
    Job { plan, device, queue, reservation, batch, tables }.run()
}

/// [`FilterProject::evaluate`] on a GPU.
pub(super) fn evaluate(
    plan: &FilterProject,
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    tables: &[DeviceColumn],
) -> Result<Evaluated> {
    Job { plan, device, queue, reservation, batch, tables }.evaluate()
}
