//! Several parts of one group-by into one result. The parts' keys are brought to one
//! layout; each part's groups are split by hash; then every partition is merged by itself,
//! on all cores (the two phases of Leis et al., "Morsel-Driven Parallelism", SIGMOD 2014).

use arrow::array::Array;
use rayon::prelude::*;

use super::{
    groups::{Groups, Keys},
    layout::Layout,
    table,
};
use crate::{
    aggregate::{GroupByPlan, GroupByResult},
    cpu::pipeline::CHUNK_ROWS,
    error::{KernelError, Result},
};

/// With fewer groups in all, one thread merges them faster than several can be started and
/// fed (a guess: some 0.3 ms of work).
const SERIAL_GROUPS: usize = 16_384;

/// A part, its packed keys in the common layout, and its groups by partition: those of
/// partition `p` are `order[starts[p]..starts[p + 1]]`.
struct Split {
    part: Groups,
    packed: Vec<u64>,
    order: Vec<u32>,
    starts: Vec<usize>,
}

/// Merges parts of one plan, all on one device, into at most `partitions` disjoint parts,
/// in parallel on rayon's pool. With no keys, or few groups, it is one part.
///
/// # Errors
/// `Invalid` for no parts or parts of different plans; `OutOfMemory`.
pub fn merge(plan: &GroupByPlan, mut parts: Vec<Groups>, partitions: usize) -> Result<Vec<Groups>> {
    let types: Vec<_> = plan.keys.iter().map(|k| plan.program.ty(*k)).collect();
    let fits = |p: &Groups| p.types == types && p.states.len() == plan.calls.len();
    if parts.is_empty() || !parts.iter().all(fits) {
        return Err(super::invalid("parts of the plan", format!("{} parts", parts.len())));
    }
    let total: usize = parts.iter().map(Groups::len).sum();
    if parts.len() == 1 {
        return Ok(parts);
    }
    if types.is_empty() {
        let mut all = parts.swap_remove(0);
        for part in &parts {
            all.absorb(part, &[0], &[])?;
        }
        return Ok(vec![all]);
    }
    let layout = common_layout(&parts);
    let serial = total <= SERIAL_GROUPS || partitions <= 1;
    let count = if serial { 1 } else { partitions.next_power_of_two() };
    let splits: Vec<Split> =
        parts.into_par_iter().map(|part| split(part, &layout, count)).collect();
    (0..count).into_par_iter().map(|p| partition(plan, &layout, &splits, p)).collect()
}

/// Merges parts of one plan into one result, in parallel. The groups are in no particular
/// order.
///
/// # Errors
/// As [`merge`].
pub fn merge_all(plan: &GroupByPlan, parts: Vec<Groups>) -> Result<GroupByResult> {
    let merged = merge(plan, parts, rayon::current_num_threads() * 4)?;
    let results: Vec<_> = merged.into_par_iter().map(Groups::into_result).collect();
    concat(results)
}

fn concat(mut results: Vec<GroupByResult>) -> Result<GroupByResult> {
    if results.len() == 1 {
        return Ok(results.remove(0));
    }
    let join = |arrays: Vec<&dyn Array>| {
        arrow::compute::concat(&arrays).map_err(|e| KernelError::Invalid {
            operation: "aggregation",
            expected: "arrays of one type".into(),
            got: e.to_string(),
        })
    };
    let first = &results[0];
    let keys: Result<Vec<_>> = (0..first.keys.len())
        .into_par_iter()
        .map(|k| join(results.iter().map(|r| &*r.keys[k]).collect()))
        .collect();
    let states: Result<Vec<Vec<_>>> = (0..first.states.len())
        .into_par_iter()
        .map(|c| {
            let arrays = |s: usize| results.iter().map(|r| &*r.states[c][s]).collect();
            (0..first.states[c].len()).map(|s| join(arrays(s))).collect()
        })
        .collect();
    Ok(GroupByResult {
        groups: results.iter().map(|r| r.groups).sum(),
        keys: keys?,
        states: states?,
    })
}

/// The layout that holds the ranges of all parts.
fn common_layout(parts: &[Groups]) -> Layout {
    let mut layouts = parts.iter().filter_map(|p| p.keys.as_ref()).map(|k| k.layout.ranges());
    let mut ranges = layouts.next().unwrap_or_default();
    for other in layouts {
        ranges.iter_mut().zip(&other).for_each(|(r, o)| r.widen(o));
    }
    Layout::new(&ranges)
}

/// Sorts the groups of a part by partition (a counting sort).
fn split(part: Groups, layout: &Layout, count: usize) -> Split {
    let packed = part.recoded(layout);
    let w = layout.words();
    let groups = packed.len() / w;
    if count == 1 {
        let order = (0..groups as u32).collect();
        return Split { part, packed, order, starts: vec![0, groups] };
    }
    // The table takes slots by the top bits of the hash, so the low bits are free.
    let of = |key: &[u64]| table::hash_of(key) as usize & (count - 1);
    let homes: Vec<u32> = packed.chunks_exact(w).map(|k| of(k) as u32).collect();
    let mut starts = vec![0; count + 1];
    for h in &homes {
        starts[*h as usize + 1] += 1;
    }
    for p in 0..count {
        starts[p + 1] += starts[p];
    }
    let mut next = starts.clone();
    let mut order = vec![0; groups];
    for (g, h) in homes.iter().enumerate() {
        let at = &mut next[*h as usize];
        order[*at] = g as u32;
        *at += 1;
    }
    Split { part, packed, order, starts }
}

/// Merges one partition of all parts.
fn partition(plan: &GroupByPlan, layout: &Layout, splits: &[Split], p: usize) -> Result<Groups> {
    let rows = |s: &Split| s.starts[p]..s.starts[p + 1];
    let largest = splits.iter().map(|s| rows(s).len()).max().unwrap_or(0);
    let reservation = splits[0].part.reservation.pool().reserve(0)?;
    // A direct array would be as long in every partition as in one.
    let keys = Keys::new(layout.clone(), largest, splits[0].starts.len() == 2);
    let mut merged = Groups::new(plan, Some(keys), reservation);
    let w = layout.words();
    let mut packed = Vec::with_capacity(CHUNK_ROWS * w);
    for s in splits {
        for chunk in s.order[rows(s)].chunks(CHUNK_ROWS) {
            packed.clear();
            for g in chunk {
                let at = *g as usize * w;
                packed.extend_from_slice(&s.packed[at..at + w]);
            }
            merged.absorb(&s.part, chunk, &packed)?;
        }
    }
    Ok(merged)
}
