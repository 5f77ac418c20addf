//! The first rows of all, by a falling threshold, and of each group.

use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    adopt,
    column::{BLOCK, Rows, View},
    group_top::{Fields, MOST_KEPT, first_of_groups},
    hold,
    order::{leading_from, rows_of, sort_items},
    pack::{self, Element, PIECE, Packing, row_bits},
};
use crate::{
    cpu::tasks,
    error::Result,
    sort::keys::{Keys, Layout},
};

/// From this share of the rows on, all are sorted: the threshold falls too late. A guess.
const SORT_ALL_FROM: usize = 4;

/// See [`crate::sort::top_k`].
pub(crate) fn top_k(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: &Keys<'_>,
    k: usize,
) -> Result<(DeviceBuffer, usize)> {
    let n = keys.rows;
    let k = k.min(n);
    let views = View::all(keys)?;
    let row_bits = row_bits(n);
    let all_bits = Layout::of_all_bits(keys);
    let whole = all_bits.bits + row_bits <= u128::BITS;
    let first = if k.saturating_mul(SORT_ALL_FROM) >= n {
        let layout = pack::layout(&views, n);
        let mut order = sort_items(reservation, &views, &layout, None, n)?;
        order.truncate(k);
        order
    } else {
        // Narrow keys are read once: which of their bits vary need not be known.
        let layout = if whole { all_bits } else { pack::layout(&views, n) };
        let packing = Packing { views: &views, spans: &layout.spans, row_bits, list: None };
        match layout.bits + row_bits {
            0..=64 => rows_of(&smallest::<u64>(reservation, packing, n, k)?, row_bits),
            65..=128 => rows_of(&smallest::<u128>(reservation, packing, n, k)?, row_bits),
            _ => wide(reservation, packing, &layout, n, k)?,
        }
    };
    Ok((adopt(device, reservation, first)?, k))
}

/// The `k` smallest elements, sorted; 0 < `k`.
fn smallest<T: Element>(
    reservation: &mut Reservation,
    packing: Packing<'_>,
    n: usize,
    k: usize,
) -> Result<Vec<T>> {
    if k == 0 {
        return Ok(Vec::new());
    }
    // Each thread keeps up to 2 k + BLOCK; pieces are large enough to find k in.
    let pieces = n.div_ceil(PIECE);
    let tasks = rayon::current_num_threads().min(pieces);
    let _held = hold::<T>(reservation, tasks.saturating_mul(2 * k + BLOCK))?;
    let per_task = pieces.div_ceil(tasks) * PIECE;
    let found = tasks::map(tasks, |task| {
        let (from, to) = ((task * per_task).min(n), ((task + 1) * per_task).min(n));
        let mut kept = Kept { elements: Vec::with_capacity(2 * k + BLOCK), k, limit: None };
        let mut block = [T::default(); BLOCK];
        for at in (from..to).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(to - at)];
            packing.block(at, block);
            kept.take(block);
        }
        kept.elements
    });
    let mut all = found.concat();
    if all.len() > k {
        all.select_nth_unstable(k - 1);
        all.truncate(k);
    }
    all.par_sort_unstable();
    Ok(all)
}

/// The smallest elements so far, with some that are not.
struct Kept<T> {
    elements: Vec<T>,
    k: usize,
    /// At least `k` elements are no larger.
    limit: Option<T>,
}

impl<T: Element> Kept<T> {
    fn take(&mut self, block: &[T]) {
        match self.limit {
            None => self.elements.extend_from_slice(block),
            Some(limit) => self.elements.extend(block.iter().filter(|e| **e < limit)),
        }
        if self.elements.len() >= 2 * self.k {
            self.elements.select_nth_unstable(self.k - 1);
            self.elements.truncate(self.k);
            self.limit = self.elements.last().copied();
        }
    }
}

/// The first `k` rows by keys that are wider than an element: all rows whose leading bits are
/// no larger than those of the `k` smallest are sorted.
fn wide(
    reservation: &mut Reservation,
    packing: Packing<'_>,
    layout: &Layout,
    n: usize,
    k: usize,
) -> Result<Vec<u32>> {
    let row_bits = packing.row_bits;
    let leading = layout.window(leading_from(layout, row_bits), layout.bits);
    let packing = Packing { spans: &leading, ..packing };
    let first = smallest::<u128>(reservation, packing, n, k)?;
    let Some(limit) = first.last().map(|e| e >> row_bits) else { return Ok(Vec::new()) };
    let lists = tasks::map(n.div_ceil(PIECE), |piece| {
        let mut list = Vec::new();
        let mut block = [0u128; BLOCK];
        for at in (piece * PIECE..n.min((piece + 1) * PIECE)).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(n - at)];
            packing.block(at, block);
            let found = block.iter().filter(|e| **e >> row_bits <= limit);
            list.extend(found.map(|e| pack::row(*e, row_bits)));
        }
        list
    });
    let list = lists.concat();
    let _held = hold::<u32>(reservation, list.len())?;
    let order = sort_items(reservation, packing.views, layout, Some(&list), list.len())?;
    Ok(order.into_iter().take(k).map(|i| list[i as usize]).collect())
}

/// See [`crate::sort::top_k_per_group`]; the first `groups` keys are the groups'.
pub(crate) fn top_k_per_group(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: &Keys<'_>,
    groups: usize,
    k: usize,
) -> Result<(DeviceBuffer, usize)> {
    let n = keys.rows;
    if groups == 0 || k == 0 {
        return top_k(device, reservation, keys, k);
    }
    let views = View::all(keys)?;
    let layout = pack::layout(&views, n);
    if let Some(first) = without_sort(reservation, &views, &layout, groups, n, k)? {
        let count = first.len();
        return Ok((adopt(device, reservation, first)?, count));
    }
    let _held = hold::<u64>(reservation, n)?;
    let order = sort_items(reservation, &views, &layout, None, n)?;
    let mut starts = vec![0u32; n];
    tasks::each_of(starts.chunks_mut(PIECE).zip(order.chunks(PIECE)), |piece, (starts, rows)| {
        let before = order[(piece * PIECE).saturating_sub(1)] as usize;
        for view in &views[..groups] {
            view.differences(before, Rows::List(rows), starts);
        }
    });
    let mut first = Vec::new();
    let mut rank = 0usize;
    for (row, start) in order.into_iter().zip(starts) {
        rank = if start == 1 { 0 } else { rank };
        if rank < k {
            first.push(row);
        }
        rank += 1;
    }
    let count = first.len();
    Ok((adopt(device, reservation, first)?, count))
}

/// The first `k` rows of each group by one pass over the rows, where keys are narrow, `k` is
/// small and the groups are few beside the rows.
fn without_sort(
    reservation: &mut Reservation,
    views: &[View<'_>],
    layout: &Layout,
    groups: usize,
    n: usize,
    k: usize,
) -> Result<Option<Vec<u32>>> {
    let row_bits = row_bits(n);
    let order_bits: u32 = layout.spans.iter().filter(|s| s.key >= groups).map(|s| s.bits).sum();
    let fields =
        Fields { group_bits: layout.bits - order_bits, below: order_bits + row_bits, row_bits };
    if k > MOST_KEPT || n == 0 {
        return Ok(None);
    }
    let packing = Packing { views, spans: &layout.spans, row_bits, list: None };
    match layout.bits + row_bits {
        0..=63 => first_of_groups::<u64>(reservation, packing, fields, n, k),
        64..=127 => first_of_groups::<u128>(reservation, packing, fields, n, k),
        _ => Ok(None),
    }
}
