//! The interpreter: the CPU twin of the kernels that the pipeline compiler prints.
//!
//! A program is evaluated a chunk of rows at a time, value by value, so that every loop is
//! over typed slices that stay in the cache (the vectorised execution of Boncz, Zukowski
//! and Nes, "MonetDB/X100: Hyper-Pipelining Query Execution", CIDR 2005). Input columns in
//! their natural width are read where they lie. The filter runs first; what only the
//! outputs need is computed for the selected rows alone.
//!
//! | module | holds |
//! |---|---|
//! | [`Evaluator`] | a program, its filter and wanted values, in order of evaluation |
//! | `column` | reading input columns and lookup tables |
//! | `scratch` | the vectors of one thread |
//! | `select` | the rows that the filter leaves |
//! | `compress` | vectors brought to these rows |
//! | `eval` | one operation over one chunk |
//! | `arith`, `compare`, `cast`, `date` | the loops |
//! | `bits` | bits of outputs |
//! | `output` | columns being written |
//! | `run` | whole batches: what `FilterProject` does on the `cpu` device |

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    column::{DeviceBatch, DeviceColumn},
    error::{KernelError, Result},
    ir::{Op, Program, ValueId},
    pipeline::fail,
    types::PhysType,
};

mod arith;
mod bits;
mod cast;
mod column;
mod compare;
mod compress;
pub(crate) mod date;
mod eval;
mod output;
mod run;
mod scratch;
mod select;
#[cfg(test)]
mod tests;

use column::Column;
pub(crate) use run::{evaluate, run};
pub use scratch::Scratch;

/// Most rows of a chunk. At 8 bytes a value four vectors fit a 32 KiB first-level cache (a
/// stated guess, as X100's measurements suggest vectors of about a thousand).
pub const CHUNK_ROWS: usize = 1024;

/// A program with the values wanted of it, ready to run over any number of batches by any
/// number of threads.
#[derive(Debug, Clone)]
pub struct Evaluator {
    /// Tells a scratch whose constants it holds; clones share it.
    id: u64,
    program: Program,
    filter: Option<ValueId>,
    wanted: Vec<ValueId>,
    /// What the filter needs, in order.
    first: Vec<ValueId>,
    /// What the wanted values need besides, in order.
    second: Vec<ValueId>,
    /// Values of `first` that are read after the filter.
    kept: Vec<ValueId>,
}

impl Evaluator {
    /// Prepares `wanted` for the rows in which `filter` (a `Bool`) is true; `None` takes
    /// all rows. Only values that these need are ever computed.
    ///
    /// # Errors
    /// `Invalid` when an id is not the program's or the filter is not a `Bool`.
    pub fn new(program: &Program, filter: Option<ValueId>, wanted: &[ValueId]) -> Result<Self> {
        let count = program.values().len();
        if let Some(id) = wanted.iter().chain(&filter).find(|id| id.0 as usize >= count) {
            return Err(invalid(format!("a value of {count}"), format!("value {}", id.0)));
        }
        if let Some(f) = filter.filter(|f| program.ty(*f) != PhysType::Bool) {
            return Err(invalid("a bool filter".into(), program.ty(f).to_string()));
        }
        let in_filter = needed(program, filter.as_slice());
        let in_all = needed(program, wanted);
        let ids = |keep: &dyn Fn(usize) -> bool| -> Vec<ValueId> {
            (0..count).filter(|i| keep(*i)).map(|i| ValueId(i as u32)).collect()
        };
        let first = ids(&|i| in_filter[i]);
        let second = ids(&|i| in_all[i] && !in_filter[i]);
        let mut read = vec![false; count];
        for id in &second {
            for o in operands(&program.value(*id).op) {
                read[o.0 as usize] = true;
            }
        }
        for id in wanted {
            read[id.0 as usize] = true;
        }
        let kept = ids(&|i| in_filter[i] && read[i]);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (program, wanted) = (program.clone(), wanted.to_vec());
        Ok(Self { id, program, filter, wanted, first, second, kept })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The values wanted, in the order of a chunk's columns.
    pub fn wanted(&self) -> &[ValueId] {
        &self.wanted
    }

    /// Checks a batch in host memory against the program, once for all its chunks. An
    /// input declared `I64` may be an `I128` column in Arrow's layout, of which the low 64
    /// bits are taken (decimals of up to 18 digits). Nulls of an input that is declared
    /// not nullable are not looked for.
    ///
    /// # Errors
    /// `Invalid` naming the column that does not fit.
    pub fn bind<'a>(
        &'a self,
        batch: &'a DeviceBatch,
        tables: &'a [DeviceColumn],
    ) -> Result<Bound<'a>> {
        let slots = self.program.inputs();
        if batch.columns.len() < slots.len() || tables.len() < self.program.tables().len() {
            let expected =
                format!("{} columns and {} tables", slots.len(), self.program.tables().len());
            let got = format!("{} and {}", batch.columns.len(), tables.len());
            return Err(invalid(expected, got));
        }
        let inputs = slots
            .iter()
            .zip(&batch.columns)
            .enumerate()
            .map(|(i, (s, c))| Column::new(c, *s, Some(batch.rows), i))
            .collect::<Result<_>>()?;
        let tables = self
            .program
            .tables()
            .iter()
            .zip(tables)
            .enumerate()
            .map(|(i, (s, c))| Column::new(c, *s, None, i))
            .collect::<Result<_>>()?;
        Ok(Bound { evaluator: self, inputs, tables, rows: batch.rows })
    }
}

/// An evaluator over one batch.
#[derive(Debug)]
pub struct Bound<'a> {
    evaluator: &'a Evaluator,
    inputs: Vec<Column<'a>>,
    tables: Vec<Column<'a>>,
    rows: usize,
}

/// How rows that the filter drops are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They are left out.
    Compact,
    /// They keep their place and have undefined values.
    Dense,
}

impl<'a> Bound<'a> {
    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Evaluates `rows` (at most [`CHUNK_ROWS`]); the chunk holds the selected ones, in
    /// order. `scratch` is the thread's own and may serve any evaluator in turn.
    ///
    /// # Errors
    /// `DivideByZero` and `Overflow` of processed rows; `Invalid` for a range that is too
    /// long or outside the batch.
    pub fn chunk<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        rows: Range<usize>,
    ) -> Result<Chunk<'s, 'a>> {
        self.evaluate(scratch, rows, Mode::Compact)
    }

    fn evaluate<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        rows: Range<usize>,
        mode: Mode,
    ) -> Result<Chunk<'s, 'a>> {
        if rows.len() > CHUNK_ROWS || rows.start > rows.end || rows.end > self.rows {
            let expected = format!("at most {CHUNK_ROWS} of {} rows", self.rows);
            return Err(invalid(expected, format!("{rows:?}")));
        }
        let e = self.evaluator;
        scratch.prepare(e, rows.len());
        for id in &e.first {
            eval::value(self, scratch, *id, &rows);
        }
        raise(scratch)?;
        let partial = match e.filter {
            Some(f) => scratch.select(self, f, mode),
            None => false,
        };
        if partial && mode == Mode::Compact {
            for id in &e.kept {
                column::compact(self, scratch, *id, &rows);
            }
            scratch.rows = scratch.selection.len();
            scratch.gathered = true;
        }
        scratch.active = partial && mode == Mode::Dense;
        if scratch.rows > 0 {
            for id in &e.second {
                eval::value(self, scratch, *id, &rows);
            }
        }
        raise(scratch)?;
        Ok(Chunk { bound: self, scratch, start: rows.start })
    }
}

fn raise(scratch: &Scratch) -> Result<()> {
    fail::error_of(scratch.flags).map_or(Ok(()), Err)
}

/// The wanted values of one chunk.
#[derive(Debug)]
pub struct Chunk<'s, 'a> {
    bound: &'s Bound<'a>,
    scratch: &'s Scratch,
    start: usize,
}

impl<'s> Chunk<'s, '_> {
    /// Selected rows: the length of every column.
    pub fn rows(&self) -> usize {
        self.scratch.rows
    }

    /// Where the rows came from, counted from the start of the chunk's range; `None` when
    /// all were selected.
    pub fn selection(&self) -> Option<&'s [u32]> {
        self.scratch.gathered.then(|| self.scratch.selection.rows())
    }

    /// The selection; `None` when all were selected.
    fn selected(&self) -> Option<&'s select::Selection> {
        self.scratch.gathered.then_some(&self.scratch.selection)
    }

    /// First row of the chunk's range in the batch.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The values of wanted value `i`; undefined where null.
    pub fn values(&self, i: usize) -> Values<'s> {
        let id = self.bound.evaluator.wanted[i];
        let ty = self.bound.evaluator.program.ty(id);
        if self.rows() == 0 {
            return Values::new(ty, &[]);
        }
        Values::new(ty, self.scratch.values(self.bound, id))
    }

    /// Which rows of wanted value `i` are not null: a byte each, 1 or 0; `None`: all.
    pub fn valid(&self, i: usize) -> Option<&'s [u8]> {
        let id = self.bound.evaluator.wanted[i];
        self.scratch.valid(id).filter(|_| self.rows() > 0)
    }
}

/// A typed slice.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the variants are those of PhysType")]
pub enum Values<'a> {
    /// A byte each, 1 or 0.
    Bool(&'a [u8]),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    I128(&'a [i128]),
}

impl<'a> Values<'a> {
    fn new(ty: PhysType, bytes: &'a [u8]) -> Self {
        /// An empty slice of bytes need not be aligned.
        fn c<T: bytemuck::Pod>(bytes: &[u8]) -> &[T] {
            if bytes.is_empty() { &[] } else { bytemuck::cast_slice(bytes) }
        }
        match ty {
            PhysType::Bool => Self::Bool(bytes),
            PhysType::I8 => Self::I8(c(bytes)),
            PhysType::I16 => Self::I16(c(bytes)),
            PhysType::I32 => Self::I32(c(bytes)),
            PhysType::I64 => Self::I64(c(bytes)),
            PhysType::U8 => Self::U8(bytes),
            PhysType::U16 => Self::U16(c(bytes)),
            PhysType::U32 => Self::U32(c(bytes)),
            PhysType::U64 => Self::U64(c(bytes)),
            PhysType::F32 => Self::F32(c(bytes)),
            PhysType::F64 => Self::F64(c(bytes)),
            PhysType::I128 => Self::I128(c(bytes)),
        }
    }

    /// The values as bytes, native-endian.
    pub fn bytes(self) -> &'a [u8] {
        use bytemuck::cast_slice as c;
        match self {
            Self::Bool(v) | Self::U8(v) => v,
            Self::I8(v) => c(v),
            Self::I16(v) => c(v),
            Self::I32(v) => c(v),
            Self::I64(v) => c(v),
            Self::U16(v) => c(v),
            Self::U32(v) => c(v),
            Self::U64(v) => c(v),
            Self::F32(v) => c(v),
            Self::F64(v) => c(v),
            Self::I128(v) => c(v),
        }
    }
}

/// The operands of an operation, guards included.
pub(crate) fn operands(op: &Op) -> Vec<ValueId> {
    match op {
        Op::Input(_) | Op::Const(_) | Op::Null | Op::Row => vec![],
        Op::Unary(_, a, g) | Op::Cast(a, _, g) => std::iter::once(*a).chain(*g).collect(),
        Op::Binary(_, a, b, g) => [*a, *b].into_iter().chain(*g).collect(),
        Op::Select(c, a, b) => vec![*c, *a, *b],
        Op::Lookup(_, a) => vec![*a],
    }
}

/// For each value of a program whether `roots` need it.
pub(crate) fn needed(program: &Program, roots: &[ValueId]) -> Vec<bool> {
    let mut marks = vec![false; program.values().len()];
    for id in roots {
        marks[id.0 as usize] = true;
    }
    // Operands come first, so one sweep from the end to the start reaches everything.
    let mut i = marks.len();
    while i > 0 {
        i -= 1;
        if marks[i] {
            for o in operands(&program.values()[i].op) {
                marks[o.0 as usize] = true;
            }
        }
    }
    marks
}

fn invalid(expected: String, got: String) -> KernelError {
    KernelError::Invalid { operation: "filter and projection", expected, got }
}
