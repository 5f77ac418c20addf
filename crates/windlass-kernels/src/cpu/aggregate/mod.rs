//! Hash group-by and reductions on the CPU: the twin of the kernels of
//! [`crate::aggregate`].
//!
//! A chunk of rows goes through three steps, each a few loops over vectors in the cache:
//! the interpreter evaluates filter, keys and arguments; the keys are packed into codes and
//! looked up, which gives every row the number of its group; each aggregate then updates
//! its vector of states by group number. One group-by runs on one thread. A plan of many
//! partitions runs one for each, and [`merge()`] puts them together on all cores.
//!
//! States do not depend on timing or on the number of cores, only on the batches, their
//! order and how they are dealt to group-bys: float sums are added in row order within a
//! part (without keys, and in long runs of sorted keys, in eight interleaved partial sums a
//! chunk), parts in their order.
//!
//! | module | holds |
//! |---|---|
//! | `layout` | keys as packed codes |
//! | `table` | from codes to group numbers |
//! | `runs` | the same of sorted rows |
//! | `state` | the accumulators |
//! | `fold` | their loops over the rows of a chunk |
//! | `pairs` | moments of pairs |
//! | `kept` | values that are kept for distinct counts and quantiles |
//! | `pick` | arguments of one row of each group |
//! | `groups` | keys and states together, with their memory |
//! | `merge` | several parts into one result |
//! | `arrays` | results as host arrays |

use std::sync::Arc;

use windlass_device::{Backend, Device, Queue};

use crate::{
    aggregate::{Accumulator, GroupBy, GroupByPlan, GroupByResult},
    column::{DeviceBatch, DeviceColumn},
    cpu::pipeline::{CHUNK_ROWS, Evaluator, Scratch},
    error::{KernelError, Result},
    ir::ValueId,
    types::PhysType,
};

mod arrays;
mod fold;
mod groups;
mod kept;
mod layout;
mod merge;
mod pairs;
mod pick;
mod runs;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use groups::Groups;
use groups::{CallColumns, Keys};
use layout::{KeyRange, Layout};
pub use merge::{merge, merge_all};
use table::Lookup;

/// Whether the plan is sound; the CPU can run every sound plan.
///
/// # Errors
/// `Invalid` for a value that is not the program's, an argument that an aggregate does not
/// take, or a filter that is not a boolean.
pub fn check(plan: &GroupByPlan) -> Result<()> {
    let of_calls = plan.calls.iter().flat_map(|c| [c.argument, c.filter, c.accumulator.other()]);
    let of_orders = plan.calls.iter().flat_map(|c| c.accumulator.order().keys());
    let of_calls = of_calls.chain(of_orders.map(|k| Some(k.value)));
    let ids = of_calls.chain([plan.filter]).flatten().chain(plan.keys.iter().copied());
    let count = plan.program.values().len();
    if let Some(id) = ids.into_iter().find(|id| id.0 as usize >= count) {
        return Err(invalid(&format!("a value of {count}"), format!("value {}", id.0)));
    }
    for call in &plan.calls {
        check_argument(call.accumulator, call.argument.map(|a| plan.program.ty(a)))?;
        if let Accumulator::CoMoments { other } = call.accumulator {
            match plan.program.ty(other) {
                PhysType::F64 => {}
                ty => return Err(invalid("a second argument of f64", ty.to_string())),
            }
        }
    }
    for f in plan.calls.iter().filter_map(|c| c.filter).chain(plan.filter) {
        let ty = plan.program.ty(f);
        if ty != PhysType::Bool {
            return Err(invalid("a bool filter", ty.to_string()));
        }
    }
    Ok(())
}

/// Checks that an accumulator takes an argument.
///
/// # Errors
/// `Invalid` naming both.
fn check_argument(accumulator: Accumulator, argument: Option<PhysType>) -> Result<()> {
    use PhysType as T;
    let ok = match (accumulator, argument) {
        (Accumulator::CountRows, a) => a.is_none(),
        (Accumulator::Count | Accumulator::Min | Accumulator::Max, a) => a.is_some(),
        (Accumulator::Sum { wide: true }, a) => matches!(a, Some(T::I64 | T::I128)),
        (Accumulator::Sum { wide: false }, a) => {
            matches!(a, Some(T::I64 | T::U64 | T::I128 | T::F32 | T::F64))
        }
        (Accumulator::Moments | Accumulator::CoMoments { .. }, a) => a == Some(T::F64),
        (Accumulator::Bits(_), a) => a.is_some_and(|a| a.is_integer() && a != T::I128),
        (Accumulator::Distinct | Accumulator::Quantile(_), a) => a.is_some(),
        (Accumulator::Pick { .. }, a) => a.is_some(),
    };
    if ok {
        return Ok(());
    }
    let got = argument.map_or("no argument".to_string(), |a| a.to_string());
    Err(invalid(&format!("an argument that suits {accumulator:?}"), got))
}

/// Groups at which a part is looked at. Measured by `group_by_rates` with `steps` over 10^7 rows,
/// release build, seconds of all cores: with half as many 2^18 groups take 0.78, with these 0.42,
/// but 2^20 take 0.86 and 0.97, 2^23 take 1.25 and 1.33. A part of 2 to 4 slots of 4 bytes, a key
/// and two states a group is then a quarter of a last-level cache of 32 MiB.
const PART_GROUPS: usize = 1 << 18;

/// A part that takes this many rows a group is worth its cache misses and grows on. Measured as
/// [`PART_GROUPS`]: growing whatever the rows a group takes 0.33 at 2^18 groups and as much as
/// not growing at 2^19, but 1.30 against 0.88 at 2^21 and 2.30 against 1.25 at 2^23.
const REDUCING: usize = 4;

/// Groups in closed parts at which they are merged, to learn whether they repeat.
const COMPACT_GROUPS: usize = 1 << 21;

/// Group numbers, and one more than each, are 32-bit.
const MAX_GROUPS: usize = u32::MAX as usize - 1 - CHUNK_ROWS;

/// A group-by in progress on the CPU.
///
/// Groups are kept in a table of the size of the cache. When it is full and rows hardly
/// repeat its groups, it is closed as a part and a new one begins; the parts are merged at
/// the end, partition by partition, each within the cache. So a row costs the same however
/// many groups there are. When closed parts turn out to repeat each other, they are merged
/// early and the table may grow to hold all groups: memory stays in proportion to the
/// groups. (The scheme of DuckDB's aggregation: Kuiper, Boncz and Mühleisen, "Robust
/// External Hash Aggregation in the Solid State Age", ICDE 2024; the growth rule is ours.)
#[derive(Debug)]
pub struct CpuGroupBy {
    plan: GroupByPlan,
    evaluator: Evaluator,
    calls: Vec<CallColumns>,
    scratch: Scratch,
    groups: Groups,
    lookup: Lookup,
    /// Rows that went into `groups`.
    rows: usize,
    /// Groups at which `groups` is looked at.
    limit: usize,
    parts: Vec<Groups>,
    /// Groups in `parts`.
    closed: usize,
    /// `closed` at which the parts are merged.
    compact_at: usize,
}

impl CpuGroupBy {
    /// Starts a group-by whose memory is reserved from the pool of `device`, the host.
    /// `expected_groups` sizes the first table (0: not known).
    ///
    /// # Errors
    /// As [`check`]; `OutOfMemory`.
    pub fn new(plan: &GroupByPlan, device: &dyn Device, expected_groups: usize) -> Result<Self> {
        Self::with(plan, device, expected_groups, Lookup::Indexed)
    }

    /// Starts a group-by over rows whose equal keys are neighbours, as
    /// [`GroupByPlan::start_sorted`] says. Its groups are one part, in their order.
    ///
    /// # Errors
    /// As [`CpuGroupBy::new`].
    pub fn of_sorted(plan: &GroupByPlan, device: &dyn Device) -> Result<Self> {
        Self::with(plan, device, 0, Lookup::Runs)
    }

    fn with(
        plan: &GroupByPlan,
        device: &dyn Device,
        expected_groups: usize,
        lookup: Lookup,
    ) -> Result<Self> {
        check(plan)?;
        if device.info().backend != Backend::Cpu {
            return Err(invalid("the cpu device", device.info().name.to_string()));
        }
        // Keys first, then what the aggregates need, each value once.
        let mut wanted = plan.keys.clone();
        let mut column = |id: ValueId| {
            let found = wanted[plan.keys.len()..].iter().position(|w| *w == id);
            found.map_or_else(
                || {
                    wanted.push(id);
                    wanted.len() - 1
                },
                |at| at + plan.keys.len(),
            )
        };
        let calls = plan
            .calls
            .iter()
            .map(|c| CallColumns {
                argument: c.argument.map(&mut column),
                other: c.accumulator.other().map(&mut column),
                filter: c.filter.map(&mut column),
                order: c.accumulator.order().slots().map(|k| k.map(|k| column(k.value))),
            })
            .collect();
        let evaluator = Evaluator::new(&plan.program, plan.filter, &wanted)?;
        let ranges: Vec<_> = plan.keys.iter().map(|k| KeyRange::new(plan.program.ty(*k))).collect();
        let expected = expected_groups.min(PART_GROUPS);
        let keys = (!ranges.is_empty()).then(|| Keys::new(Layout::new(&ranges), expected, lookup));
        let mut groups = Groups::new(plan, keys, device.pool().reserve(0)?);
        groups.account()?;
        Ok(Self {
            plan: plan.clone(),
            evaluator,
            calls,
            scratch: Scratch::new(),
            groups,
            rows: 0,
            limit: if lookup == Lookup::Runs { MAX_GROUPS } else { PART_GROUPS },
            lookup,
            parts: Vec::new(),
            closed: 0,
            compact_at: COMPACT_GROUPS,
        })
    }

    /// Aggregates one batch.
    ///
    /// # Errors
    /// As [`GroupBy::update`].
    pub fn update(&mut self, batch: &DeviceBatch, tables: &[DeviceColumn]) -> Result<()> {
        let mut start = 0;
        while start < batch.rows {
            let bound = self.evaluator.bind(batch, tables)?;
            while start < batch.rows && self.groups.len() < self.limit {
                let end = (start + CHUNK_ROWS).min(batch.rows);
                let chunk = bound.chunk(&mut self.scratch, start..end)?;
                start = end;
                if chunk.rows() > 0 {
                    self.rows += chunk.rows();
                    self.groups.add(&chunk, &self.calls)?;
                }
            }
            if self.groups.len() >= self.limit {
                self.full()?;
            }
        }
        Ok(())
    }

    /// The table has reached its limit: lets it grow, or closes it as a part.
    fn full(&mut self) -> Result<()> {
        let Some(keys) = &self.groups.keys else {
            self.limit = usize::MAX;
            return Ok(());
        };
        if self.lookup == Lookup::Runs {
            let expected = format!("at most {MAX_GROUPS} groups of sorted rows at a time");
            return Err(invalid(&expected, "more: take complete ones out".into()));
        }
        let reducing = self.rows / REDUCING >= self.groups.len() || keys.table.is_direct();
        if reducing && self.limit < MAX_GROUPS / 2 {
            self.limit *= 2;
            return Ok(());
        }
        let fresh = Keys::new(keys.layout.clone(), PART_GROUPS.min(self.limit), Lookup::Indexed);
        let reservation = self.groups.reservation.pool().reserve(0)?;
        let fresh = Groups::new(&self.plan, Some(fresh), reservation);
        let mut part = std::mem::replace(&mut self.groups, fresh);
        part.close()?;
        self.groups.account()?;
        self.rows = 0;
        self.closed += part.len();
        self.parts.push(part);
        if self.closed >= self.compact_at {
            self.compact()?;
        }
        Ok(())
    }

    /// Merges the closed parts.
    fn compact(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        self.parts = merge(&self.plan, parts, rayon::current_num_threads())?;
        let after = self.parts.iter().map(Groups::len).sum();
        if after <= self.closed / 2 {
            // The parts repeat each other: a table of all groups takes less work.
            self.limit = self.limit.max(after * 2).min(MAX_GROUPS / 2);
        }
        // Memory stays within a few times what the groups need.
        self.compact_at = self.compact_at.max(after * 4);
        self.closed = after;
        Ok(())
    }

    /// As [`GroupBy::take_complete`].
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn take_complete(&mut self) -> Result<Option<GroupByResult>> {
        self.groups.take_complete(&self.plan)
    }

    /// Number of groups so far; groups of parts that are not merged yet may count several
    /// times.
    pub fn groups(&self) -> usize {
        self.closed + self.groups.len()
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Groups::bytes).sum::<usize>() + self.groups.bytes()
    }

    /// Ends the group-by: its parts, at least one, to be merged with those of other
    /// partitions by [`merge()`] or [`merge_all`].
    pub fn into_groups(mut self) -> Vec<Groups> {
        if self.parts.is_empty() || !self.groups.is_empty() {
            self.parts.push(self.groups);
        }
        self.parts
    }

    /// Ends the group-by.
    ///
    /// # Errors
    /// As [`merge()`].
    pub fn finish(self) -> Result<GroupByResult> {
        let plan = self.plan.clone();
        merge_all(&plan, [self.into_groups()])
    }
}

impl GroupBy for CpuGroupBy {
    fn update(
        &mut self,
        _queue: &mut dyn Queue,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<()> {
        Self::update(self, batch, tables)
    }

    /// See [`CpuGroupBy::groups`]: an upper bound.
    fn groups(&self) -> usize {
        Self::groups(self)
    }

    fn state_bytes(&self) -> usize {
        self.bytes()
    }

    fn take_complete(&mut self, _queue: &mut dyn Queue) -> Result<Option<GroupByResult>> {
        Self::take_complete(self)
    }

    fn finish(self: Box<Self>, _queue: &mut dyn Queue) -> Result<GroupByResult> {
        Self::finish(*self)
    }
}

/// What `GroupByPlan::start` does on the `cpu` device.
pub(crate) fn start(
    plan: &GroupByPlan,
    device: &Arc<dyn Device>,
    expected_groups: usize,
) -> Result<Box<dyn GroupBy>> {
    Ok(Box::new(CpuGroupBy::new(plan, &**device, expected_groups)?))
}

/// What `GroupByPlan::start_sorted` does on the `cpu` device.
pub(crate) fn start_sorted(
    plan: &GroupByPlan,
    device: &Arc<dyn Device>,
) -> Result<Box<dyn GroupBy>> {
    Ok(Box::new(CpuGroupBy::of_sorted(plan, &**device)?))
}

fn invalid(expected: &str, got: String) -> KernelError {
    KernelError::Invalid { operation: "aggregation", expected: expected.to_string(), got }
}
