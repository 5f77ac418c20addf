//! Hash joins: build a table over one side's rows, probe it with batches of the other side, and
//! get pairs of row numbers in pieces of bounded size.
//!
//! | join | how |
//! |---|---|
//! | inner | [`JoinTable::probe`] |
//! | left | `probe` with `outer`: an unmatched probe row pairs with [`NO_ROW`] |
//! | right, full | inner, left; with [`Marks::Keys`]; at the end [`JoinTable::unmatched_build`] |
//! | semi, anti, mark of probe rows | [`JoinTable::exists`], then [`Matches::rows`] or [`Matches::column`] |
//! | semi, anti, mark of build rows | `exists` with [`Marks::Keys`]; at the end [`JoinTable::matched_build`], `unmatched_build`, [`JoinTable::build_marks`] |
//!
//! **Residual predicates** are the caller's: probe without `outer`, gather the pairs' columns and
//! filter them, with the pairs' row numbers as two columns among them. What survives is told with
//! [`Matches::add`] for the probe rows (from [`Matches::none`]) and, with [`Marks::Pairs`], with
//! [`JoinTable::mark_matched`] for the build rows. The probe rows without a surviving pair are
//! then `matches.rows(…, false)`.
//!
//! Keys compare by value: -0.0 equals 0.0 and every NaN every NaN. A null key matches nothing,
//! or every null with `null_equals_null`.
//!
//! # Determinism
//! The set of pairs is the same everywhere. Pairs come in the order of the probe rows; those of
//! one probe row in ascending order of the build rows on `cpu`, and on GPUs in an order that
//! varies from run to run. Selections of rows are ascending.
//!
//! On `cpu` the twin in `crate::cpu::join` runs; on GPUs the kernels of `kernels/join` (CUDA) and
//! `shaders/join` (WGSL), driven by one host function for both languages:
//!
//! | module | holds |
//! |---|---|
//! | `matches` | which rows have a match |
//! | `gpu` | the table on a GPU |
//! | `keys` | packed keys on a GPU |
//! | `pieces` | pairs on a GPU, in bounded pieces |
//! | `sources` | the kernels' texts |

use std::sync::Arc;

use windlass_device::{Device, DeviceBuffer, Queue, Reservation, pool::Allocation};

use crate::{
    column::{DeviceBatch, DeviceColumn},
    cpu,
    error::{KernelError, Result},
    hash::layout,
    launcher::Launcher,
    types::PhysType,
};

mod gpu;
mod keys;
mod matches;
mod pieces;
mod sources;

pub use matches::Matches;
pub use sources::sources;

/// Stands for the build row of a probe row without a match.
pub const NO_ROW: u32 = u32::MAX;

/// Which build rows are marked as matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marks {
    /// None: nobody asks for the unmatched build rows.
    #[default]
    None,
    /// Those whose key a probe row has: probing marks them.
    Keys,
    /// Those of the pairs that [`JoinTable::mark_matched`] is told of.
    Pairs,
}

/// How a join is built and probed.
#[derive(Debug, Clone, Copy)]
pub struct JoinOptions {
    /// Whether a null key matches a null key (`IS NOT DISTINCT FROM`).
    pub null_equals_null: bool,
    /// Most pairs of one piece, and so the memory that a probe needs: 8 bytes a pair.
    pub max_pairs: usize,
    /// Which build rows are marked.
    pub marks: Marks,
}

impl Default for JoinOptions {
    /// Nulls match nothing, nothing is marked, pieces of 2^22 pairs (32 MiB; a guess).
    fn default() -> Self {
        Self { null_equals_null: false, max_pairs: 1 << 22, marks: Marks::None }
    }
}

/// Pairs of rows with equal keys: row `probe[i]` of the probe batch and row `build[i]` of the
/// build batch, as `n` 32-bit words each.
#[derive(Debug, Clone)]
pub struct JoinPairs {
    /// Probe rows.
    pub probe: DeviceBuffer,
    /// Build rows; [`NO_ROW`] where an outer probe row has no match.
    pub build: DeviceBuffer,
    /// Number of pairs.
    pub n: usize,
}

/// Numbers of selected rows, ascending, as `n` 32-bit words.
#[derive(Debug, Clone)]
pub struct JoinRows {
    /// The numbers.
    pub rows: DeviceBuffer,
    /// How many.
    pub n: usize,
}

/// What a device holds of the build side.
enum Inner {
    Cpu { table: Arc<cpu::join::Table>, _share: Allocation },
    Gpu(Arc<gpu::Table>),
}

/// The build side of a join on one device. Any number of threads may probe it, each with a queue
/// of its own; the marks are complete once those queues are synchronised.
pub struct JoinTable {
    device: Arc<dyn Device>,
    rows: usize,
    types: Vec<PhysType>,
    options: JoinOptions,
    inner: Inner,
    marks: Option<Matches>,
}

impl std::fmt::Debug for JoinTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinTable({}, {} rows by {:?})", self.device.info().name, self.rows, self.types)
    }
}

/// The pairs of one probe batch, piece by piece.
pub struct Probe {
    device: Arc<dyn Device>,
    max_pairs: usize,
    marks: Option<Matches>,
    inner: ProbeInner,
}

enum ProbeInner {
    Cpu(cpu::join::Pairs),
    Gpu(pieces::Pieces),
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({}, pieces of {} pairs)", self.device.info().name, self.max_pairs)
    }
}

const OPERATION: &str = "hash join";

pub(super) fn invalid<T>(expected: impl Into<String>, got: impl ToString) -> Result<T> {
    let (expected, got) = (expected.into(), got.to_string());
    Err(KernelError::Invalid { operation: OPERATION, expected, got })
}

impl JoinTable {
    /// Builds the table over the rows of a batch with these key columns, which the table does
    /// not keep.
    ///
    /// # Errors
    /// `Invalid` without a key, for a key column that is not in the batch or whose buffers do
    /// not hold its rows, and for pieces of no pair or more than 2^31 - 1; `Unsupported` for
    /// more than 2^30 rows on a GPU; the device's errors.
    pub fn build(
        device: &Arc<dyn Device>,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        keys: &[usize],
        options: JoinOptions,
    ) -> Result<Self> {
        layout::check(OPERATION, &**device, batch, keys)?;
        if keys.is_empty() {
            return invalid("at least one key column", "none");
        }
        if !(1..=layout::MAX_ROWS).contains(&options.max_pairs) {
            return invalid(
                format!("pieces of 1 to {} pairs", layout::MAX_ROWS),
                options.max_pairs,
            );
        }
        let types: Vec<PhysType> = keys.iter().map(|k| batch.columns[*k].ty).collect();
        let (rows, nulls) = (batch.rows, options.null_equals_null);
        let marks = match options.marks {
            Marks::None => None,
            _ => Some(Matches::none(&**device, queue, reservation, rows)?),
        };
        let inner = match Launcher::new(&**device, queue, reservation) {
            Some(mut gpu) => Inner::Gpu(Arc::new(gpu::Table::build(&mut gpu, batch, keys, nulls)?)),
            None => {
                let bytes = cpu::join::transient_bytes(&types, nulls, rows);
                let transient = reservation.allocate(bytes)?;
                let table = Arc::new(cpu::join::build(batch, keys, nulls)?);
                drop(transient);
                Inner::Cpu { _share: reservation.allocate(table.bytes())?, table }
            }
        };
        Ok(Self { device: Arc::clone(device), rows, types, options, inner, marks })
    }

    /// Number of build rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The types of the keys, in order.
    pub fn key_types(&self) -> &[PhysType] {
        &self.types
    }

    /// Bytes of device memory that the table holds.
    pub fn bytes(&self) -> usize {
        match &self.inner {
            Inner::Cpu { table, .. } => table.bytes(),
            Inner::Gpu(table) => table.bytes(),
        }
    }

    fn check_probe(&self, batch: &DeviceBatch, keys: &[usize]) -> Result<()> {
        layout::check(OPERATION, &*self.device, batch, keys)?;
        let types: Vec<PhysType> = keys.iter().map(|k| batch.columns[*k].ty).collect();
        if types != self.types {
            return invalid(format!("probe keys of types {:?}", self.types), format!("{types:?}"));
        }
        Ok(())
    }

    /// The marks that probing itself sets.
    fn key_marks(&self) -> Option<&Matches> {
        self.marks.as_ref().filter(|_| self.options.marks == Marks::Keys)
    }

    /// Starts a probe with the rows of a batch. With `outer` each row without a match gives one
    /// pair with [`NO_ROW`].
    ///
    /// # Errors
    /// `Invalid` for keys of other types than the build side's and for columns as in
    /// [`JoinTable::build`]; the device's errors.
    pub fn probe(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        keys: &[usize],
        outer: bool,
    ) -> Result<Probe> {
        self.check_probe(batch, keys)?;
        let device = Arc::clone(&self.device);
        let inner = match &self.inner {
            Inner::Cpu { table, .. } => {
                let columns = keys.iter().map(|k| batch.columns[*k].clone()).collect();
                let table = Arc::clone(table);
                ProbeInner::Cpu(cpu::join::Pairs::new(table, columns, batch.rows, outer))
            }
            Inner::Gpu(table) => {
                let Some(mut gpu) = Launcher::new(&*device, queue, reservation) else {
                    return invalid("a GPU", device.info().name.to_string());
                };
                let marks = self.key_marks();
                ProbeInner::Gpu(pieces::Pieces::new(&mut gpu, table, batch, keys, outer, marks)?)
            }
        };
        let (max_pairs, marks) = (self.options.max_pairs, self.key_marks().cloned());
        Ok(Probe { device, max_pairs, marks, inner })
    }

    /// Which rows of a batch have a match.
    ///
    /// # Errors
    /// As [`JoinTable::probe`].
    pub fn exists(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        batch: &DeviceBatch,
        keys: &[usize],
    ) -> Result<Matches> {
        self.check_probe(batch, keys)?;
        let marks = self.key_marks();
        match &self.inner {
            Inner::Cpu { table, .. } => {
                let columns: Vec<&DeviceColumn> = keys.iter().map(|k| &batch.columns[*k]).collect();
                let marks = marks.and_then(Matches::host);
                let flags = table.exists(&columns, batch.rows, marks)?;
                Matches::of_host(reservation, flags)
            }
            Inner::Gpu(table) => {
                let device = Arc::clone(&self.device);
                let Some(mut gpu) = Launcher::new(&*device, queue, reservation) else {
                    return invalid("a GPU", device.info().name.to_string());
                };
                let look_up = gpu::LookUp { exists: true, outer: false };
                let found = table.look_up(&mut gpu, batch, keys, look_up, marks)?;
                Ok(Matches::of_words(found.counts, batch.rows))
            }
        }
    }

    /// Marks the build rows of pairs, with [`Marks::Pairs`].
    ///
    /// # Errors
    /// `Invalid` without such marks or when the pairs are more than their buffer holds; the
    /// device's errors.
    pub fn mark_matched(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        pairs: &JoinPairs,
    ) -> Result<()> {
        match &self.marks {
            Some(marks) if self.options.marks == Marks::Pairs => {
                marks.add(&*self.device, queue, reservation, &pairs.build, pairs.n)
            }
            _ => invalid("a join built with Marks::Pairs", format!("{:?}", self.options.marks)),
        }
    }

    /// The build rows that a probe row matched, or a pair that survived, so far.
    ///
    /// # Errors
    /// `Invalid` for a join built without marks; the device's errors.
    pub fn build_marks(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Matches> {
        let Some(marks) = &self.marks else {
            return invalid("a join built with marks", format!("{:?}", self.options.marks));
        };
        if self.options.marks == Marks::Keys {
            match &self.inner {
                Inner::Cpu { table, .. } => {
                    if let Some(flags) = marks.host() {
                        table.spread_marks(flags);
                    }
                }
                Inner::Gpu(table) => {
                    let device = Arc::clone(&self.device);
                    if let Some(mut gpu) = Launcher::new(&*device, queue, reservation) {
                        return table.spread_marks(&mut gpu, marks);
                    }
                }
            }
        }
        Ok(marks.clone())
    }

    /// The numbers of the marked build rows.
    ///
    /// # Errors
    /// As [`JoinTable::build_marks`].
    pub fn matched_build(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<JoinRows> {
        self.build_marks(queue, reservation)?.rows(&*self.device, queue, reservation, true)
    }

    /// The numbers of the build rows that are not marked, those with a null key among them.
    ///
    /// # Errors
    /// As [`JoinTable::build_marks`].
    pub fn unmatched_build(
        &self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<JoinRows> {
        self.build_marks(queue, reservation)?.rows(&*self.device, queue, reservation, false)
    }
}

impl Probe {
    /// The next piece of at least one and at most `max_pairs` pairs; `None` when there are no
    /// more.
    ///
    /// # Errors
    /// The device's errors.
    pub fn next(
        &mut self,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<Option<JoinPairs>> {
        match &mut self.inner {
            ProbeInner::Cpu(pairs) => {
                let marks = self.marks.as_ref().and_then(Matches::host);
                let Some([probe, build]) = pairs.next(self.max_pairs, marks)? else {
                    return Ok(None);
                };
                let n = probe.len();
                let probe = cpu::memory::adopt(&*self.device, reservation, probe)?;
                let build = cpu::memory::adopt(&*self.device, reservation, build)?;
                Ok(Some(JoinPairs { probe, build, n }))
            }
            ProbeInner::Gpu(pieces) => {
                let device = Arc::clone(&self.device);
                let Some(mut gpu) = Launcher::new(&*device, queue, reservation) else {
                    return invalid("a GPU", device.info().name.to_string());
                };
                pieces.next(&mut gpu, self.max_pairs)
            }
        }
    }
}
