//! Several parts of one group-by into one result. The parts' keys are brought to one
//! layout; each part's groups are split by hash; then every partition is merged by itself,
//! on all cores (the two phases of Leis et al., "Morsel-Driven Parallelism", SIGMOD 2014).

use arrow::array::Array;
use rayon::prelude::*;
use windlass_device::Reservation;

use super::{
    fold::scatter,
    groups::{Groups, Keys},
    layout::Layout,
    state::States,
    table::{self, Lookup},
};
use crate::{
    aggregate::{GroupByPlan, GroupByResult},
    cpu::pipeline::CHUNK_ROWS,
    error::{KernelError, Result},
};

/// With fewer groups in all, one thread merges them faster than several can be started and
/// fed (a guess: some 0.3 ms of work).
const SERIAL_GROUPS: usize = 16_384;

/// Values that are kept until the end which take the work of merging one group, a guess:
/// they are copied in order.
const KEPT_PER_GROUP: usize = 8;

/// Groups of a partition: with its table of 8 to 32 bytes a group and some states it fits a
/// core's second-level cache of 1 to 2 MiB, so that lookups do not miss.
const PARTITION_GROUPS: usize = 1 << 15;

/// Most partitions. Each is a stream that a split writes, a cache line at a time, so all of
/// them fit the first-level cache or nearly so.
const MAX_PARTITIONS: usize = 1024;

/// A part ordered by partition: partition `p` has groups `starts[p]..starts[p + 1]`. The
/// reservation is the part's, which had the same size.
struct Split {
    packed: Vec<u64>,
    states: Vec<States>,
    rows: Option<Vec<i64>>,
    starts: Vec<usize>,
    reservation: Reservation,
}

/// Merges parts of one plan, all on one device, into disjoint parts, in parallel on rayon's
/// pool: at least `partitions` and as many as it takes for each to fit the cache, but one
/// where there are no keys or few groups. A group's states are merged in the order of the
/// parts.
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
    parts.par_iter_mut().for_each(Groups::settle);
    let kept: usize = parts.iter().flat_map(|p| &p.states).map(States::kept).sum();
    let work = total.max(kept / KEPT_PER_GROUP);
    if types.is_empty() {
        let mut all = parts.remove(0);
        for part in &parts {
            all.absorb(&part.states, part.rows.as_deref(), 0..1, &[])?;
        }
        return Ok(vec![all]);
    }
    let layout = common_layout(&parts);
    let count = match work {
        0..=SERIAL_GROUPS => 1,
        _ => partitions.max(work / PARTITION_GROUPS).next_power_of_two().min(MAX_PARTITIONS),
    };
    let splits: Vec<Split> =
        parts.into_par_iter().map(|part| split(part, &layout, count)).collect();
    (0..count).into_par_iter().map(|p| partition(plan, &layout, &splits, p)).collect()
}

/// Merges what several group-bys of one plan ended with ([`super::CpuGroupBy::into_groups`])
/// into one result, in parallel. The groups are in no particular order.
///
/// # Errors
/// As [`merge`].
pub fn merge_all(
    plan: &GroupByPlan,
    group_bys: impl IntoIterator<Item: IntoIterator<Item = Groups>>,
) -> Result<GroupByResult> {
    let parts = group_bys.into_iter().flatten().collect();
    let merged = merge(plan, parts, rayon::current_num_threads())?;
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

/// Sorts the groups of a part by partition: one pass counts, one writes.
fn split(mut part: Groups, layout: &Layout, count: usize) -> Split {
    let packed = part.recoded(layout);
    let Groups { states, rows, reservation, .. } = part;
    let w = layout.words();
    let groups = packed.len() / w;
    if count == 1 {
        return Split { packed, states, rows, starts: vec![0, groups], reservation };
    }
    // The table takes slots by the top bits of the hash, so the low bits are free.
    let homes: Vec<u16> =
        packed.chunks_exact(w).map(|k| (table::hash(k) as usize & (count - 1)) as u16).collect();
    let mut starts = vec![0; count + 1];
    homes.iter().for_each(|h| starts[*h as usize + 1] += 1);
    for p in 0..count {
        starts[p + 1] += starts[p];
    }
    let mut next = starts.clone();
    let to: Vec<u32> = homes
        .iter()
        .map(|h| {
            let at = &mut next[*h as usize];
            *at += 1;
            *at as u32 - 1
        })
        .collect();
    let packed = match w {
        1 => scatter(&packed, &to),
        _ => {
            let mut out = vec![0; packed.len()];
            for (key, at) in packed.chunks_exact(w).zip(&to) {
                out[*at as usize * w..][..w].copy_from_slice(key);
            }
            out
        }
    };
    let states = states.into_iter().map(|s| s.scattered(&to)).collect();
    let rows = rows.map(|r| scatter(&r, &to));
    Split { packed, states, rows, starts, reservation }
}

/// Merges one partition of all parts.
fn partition(plan: &GroupByPlan, layout: &Layout, splits: &[Split], p: usize) -> Result<Groups> {
    let rows = |s: &Split| s.starts[p]..s.starts[p + 1];
    let most = splits.iter().map(|s| rows(s).len()).sum::<usize>().min(2 * PARTITION_GROUPS);
    let reservation = splits[0].reservation.pool().reserve(0)?;
    // A direct array would be as long in every partition as in one.
    let lookup = if splits[0].starts.len() == 2 { Lookup::Indexed } else { Lookup::Hashed };
    let keys = Keys::new(layout.clone(), most, lookup);
    let mut merged = Groups::new(plan, Some(keys), reservation);
    let w = layout.words();
    for s in splits {
        let all = rows(s);
        for start in all.clone().step_by(CHUNK_ROWS) {
            let end = (start + CHUNK_ROWS).min(all.end);
            let packed = &s.packed[start * w..end * w];
            merged.absorb(&s.states, s.rows.as_deref(), start..end, packed)?;
        }
    }
    merged.close()?;
    Ok(merged)
}
