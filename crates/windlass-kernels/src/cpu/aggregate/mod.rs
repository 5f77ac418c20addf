//! Hash group-by and reductions on the CPU: the twin of the kernels of
//! [`crate::aggregate`].
//!
//! A chunk of rows goes through three steps, each a few loops over vectors in the cache:
//! the interpreter evaluates filter, keys and arguments; the keys are packed into codes and
//! looked up, which gives every row the number of its group; each aggregate then updates
//! its vector of states by group number. One group-by runs on one thread. A plan of many
//! partitions runs one for each, and [`merge`] puts them together on all cores.
//!
//! Results are deterministic for the same batches in the same order on the same number of
//! parts: group numbers follow first appearance, and float sums are added in row order
//! (without keys in eight interleaved partial sums a chunk).
//!
//! | module | holds |
//! |---|---|
//! | `layout` | keys as packed codes |
//! | `table` | from codes to group numbers |
//! | `state` | the accumulators |
//! | `groups` | keys and states together, with their memory |
//! | `merge` | several parts into one result |

use std::sync::Arc;

use windlass_device::{Backend, Device, Queue};

use crate::{
    aggregate::{GroupBy, GroupByPlan, GroupByResult},
    column::{DeviceBatch, DeviceColumn},
    cpu::pipeline::{CHUNK_ROWS, Evaluator, Scratch},
    error::{KernelError, Result},
    ir::ValueId,
    types::PhysType,
};

mod groups;
mod layout;
mod merge;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use groups::Groups;
use groups::{CallColumns, Keys};
use layout::{KeyRange, Layout};
pub use merge::{merge, merge_all};

/// Whether the plan is sound; the CPU can run every sound plan.
///
/// # Errors
/// `Invalid` for a value that is not the program's, an argument that an aggregate does not
/// take, or a filter that is not a boolean.
pub fn check(plan: &GroupByPlan) -> Result<()> {
    let of_calls = plan.calls.iter().flat_map(|c| [c.argument, c.filter]);
    let ids = of_calls.chain([plan.filter]).flatten().chain(plan.keys.iter().copied());
    let count = plan.program.values().len();
    if let Some(id) = ids.into_iter().find(|id| id.0 as usize >= count) {
        return Err(invalid(&format!("a value of {count}"), format!("value {}", id.0)));
    }
    for call in &plan.calls {
        state::check(call.accumulator, call.argument.map(|a| plan.program.ty(a)))?;
    }
    for f in plan.calls.iter().filter_map(|c| c.filter).chain(plan.filter) {
        let ty = plan.program.ty(f);
        if ty != PhysType::Bool {
            return Err(invalid("a bool filter", ty.to_string()));
        }
    }
    Ok(())
}

/// A group-by in progress on the CPU.
#[derive(Debug)]
pub struct CpuGroupBy {
    evaluator: Evaluator,
    calls: Vec<CallColumns>,
    scratch: Scratch,
    groups: Groups,
}

impl CpuGroupBy {
    /// Starts a group-by whose memory is reserved from the pool of `device`, the host.
    /// `expected_groups` sizes the first table (0: not known).
    ///
    /// # Errors
    /// As [`check`]; `OutOfMemory`.
    pub fn new(plan: &GroupByPlan, device: &dyn Device, expected_groups: usize) -> Result<Self> {
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
                filter: c.filter.map(&mut column),
            })
            .collect();
        let evaluator = Evaluator::new(&plan.program, plan.filter, &wanted)?;
        let ranges: Vec<_> = plan.keys.iter().map(|k| KeyRange::new(plan.program.ty(*k))).collect();
        let keys =
            (!ranges.is_empty()).then(|| Keys::new(Layout::new(&ranges), expected_groups, true));
        let mut groups = Groups::new(plan, keys, device.pool().reserve(0)?);
        groups.account()?;
        Ok(Self { evaluator, calls, scratch: Scratch::new(), groups })
    }

    /// Aggregates one batch.
    ///
    /// # Errors
    /// As [`GroupBy::update`].
    pub fn update(&mut self, batch: &DeviceBatch, tables: &[DeviceColumn]) -> Result<()> {
        let bound = self.evaluator.bind(batch, tables)?;
        for start in (0..batch.rows).step_by(CHUNK_ROWS) {
            let end = (start + CHUNK_ROWS).min(batch.rows);
            if self.groups.len() > MAX_GROUPS {
                return Err(invalid("at most 4,294,966,270 groups in one part", "more".into()));
            }
            let chunk = bound.chunk(&mut self.scratch, start..end)?;
            if chunk.rows() > 0 {
                self.groups.add(&chunk, &self.calls)?;
            }
        }
        Ok(())
    }

    /// The groups so far.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Ends the group-by: the groups, to be merged with those of other partitions.
    pub fn into_groups(self) -> Groups {
        self.groups
    }
}

/// Group numbers, and one more than each, are 32-bit.
const MAX_GROUPS: usize = u32::MAX as usize - 1 - CHUNK_ROWS;

impl GroupBy for CpuGroupBy {
    fn update(
        &mut self,
        _queue: &mut dyn Queue,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<()> {
        Self::update(self, batch, tables)
    }

    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn state_bytes(&self) -> usize {
        self.groups.bytes()
    }

    fn finish(self: Box<Self>, _queue: &mut dyn Queue) -> Result<GroupByResult> {
        Ok(self.into_groups().into_result())
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

fn invalid(expected: &str, got: String) -> KernelError {
    KernelError::Invalid { operation: "aggregation", expected: expected.to_string(), got }
}
