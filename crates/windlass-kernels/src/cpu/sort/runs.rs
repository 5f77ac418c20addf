//! Merges of sorted runs, and the bounds of equal rows.

use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    adopt,
    column::{BLOCK, Rows, View},
    hold,
    order::{Wide, rows_of, sort_items},
    pack::{self, Element, PIECE, Packing, row_bits},
};
use crate::{
    cpu::{pieces::groups, tasks},
    error::Result,
    sort::keys::Keys,
};

/// Rounds of merging up to which it is faster than a radix sort of narrow keys. A guess: a
/// round reads and writes each element once, with a branch that is hard to predict.
const ROUNDS: u32 = 2;

/// See [`crate::sort::merge`].
pub(crate) fn merge(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: &Keys<'_>,
    runs: &[usize],
) -> Result<DeviceBuffer> {
    let n = keys.rows;
    let views = View::all(keys)?;
    let layout = pack::layout(&views, n);
    let mut bounds = vec![0];
    for run in runs.iter().filter(|r| **r > 0) {
        bounds.push(bounds[bounds.len() - 1] + run);
    }
    let rounds = bounds.len().saturating_sub(1).next_power_of_two().trailing_zeros();
    let row_bits = row_bits(n);
    let packing = Packing { views: &views, spans: &layout.spans, row_bits, list: None };
    let merged = match layout.bits + row_bits {
        _ if layout.bits == 0 || rounds == 0 => Some((0..n as u32).collect()),
        0..=128 if rounds > ROUNDS => None,
        0..=64 => {
            let _held = hold::<u64>(reservation, 2 * n)?;
            let less = |a: &u64, b: &u64| a < b;
            merge_all(packing.all(n), bounds, less).map(|e| rows_of(&e, row_bits))
        }
        65..=128 => {
            let _held = hold::<u128>(reservation, 2 * n)?;
            let less = |a: &u128, b: &u128| a < b;
            merge_all(packing.all(n), bounds, less).map(|e| rows_of(&e, row_bits))
        }
        _ => {
            let _held = hold::<u128>(reservation, 2 * n)?;
            let wide = Wide::new(reservation, packing, &layout, n)?;
            let less = |a: &u128, b: &u128| wide.compare(*a, *b).is_lt();
            merge_all(wide.elements(n), bounds, less).map(|e| rows_of(&e, row_bits))
        }
    };
    let order = match merged {
        Some(order) => order,
        None => sort_items(reservation, &views, &layout, None, n)?,
    };
    adopt(device, reservation, order)
}

/// The elements of the sorted runs between `bounds`, sorted; `None` where a run is not.
fn merge_all<T: Element>(
    mut elements: Vec<T>,
    mut bounds: Vec<usize>,
    less: impl Fn(&T, &T) -> bool + Sync,
) -> Option<Vec<T>> {
    let sorted = |w: &[usize]| {
        let run = &elements[w[0]..w[1]];
        // Pieces share the element that a neighbour begins with.
        let piece = |p: usize| &run[p * PIECE..run.len().min((p + 1) * PIECE + 1)];
        let ascends = |p| piece(p).windows(2).all(|e| !less(&e[1], &e[0]));
        tasks::map(run.len().div_ceil(PIECE), ascends).into_iter().all(|ascends| ascends)
    };
    if !bounds.windows(2).all(sorted) {
        return None;
    }
    let mut merged = vec![T::default(); elements.len()];
    while bounds.len() > 2 {
        let mut tasks = Vec::new();
        let mut rest = &mut merged[..];
        for pair in bounds.chunks(2).map(|p| p[0]).zip(1..) {
            let (start, middle) = (pair.0, bounds.get(2 * pair.1 - 1));
            let Some(middle) = middle else { break };
            let end = bounds.get(2 * pair.1).unwrap_or(middle);
            let (a, b) = (&elements[start..*middle], &elements[*middle..*end]);
            let mut from = (0, 0);
            for at in (0..a.len() + b.len()).step_by(PIECE) {
                let length = PIECE.min(a.len() + b.len() - at);
                let to = split(a, b, at + length, &less);
                let out;
                (out, rest) = rest.split_at_mut(length);
                tasks.push((&a[from.0..to.0], &b[from.1..to.1], out));
                from = to;
            }
        }
        tasks::each_of(tasks, |_, (a, b, out)| merge_two(a, b, out, &less));
        std::mem::swap(&mut elements, &mut merged);
        let end = bounds[bounds.len() - 1];
        bounds = bounds[..bounds.len() - 1].iter().copied().step_by(2).collect();
        bounds.push(end);
    }
    Some(elements)
}

/// How many of the first `diagonal` merged elements come from `a` and from `b`.
fn split<T>(a: &[T], b: &[T], diagonal: usize, less: &impl Fn(&T, &T) -> bool) -> (usize, usize) {
    let (mut low, mut high) = (diagonal.saturating_sub(b.len()), diagonal.min(a.len()));
    while low < high {
        let middle = (low + high) / 2;
        if less(&b[diagonal - 1 - middle], &a[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    (low, diagonal - low)
}

fn merge_two<T: Copy>(a: &[T], b: &[T], out: &mut [T], less: &impl Fn(&T, &T) -> bool) {
    let (mut x, mut y, mut at) = (0, 0, 0);
    while x < a.len() && y < b.len() {
        let second = less(&b[y], &a[x]);
        out[at] = if second { b[y] } else { a[x] };
        (x, y) = (x + usize::from(!second), y + usize::from(second));
        at += 1;
    }
    let left = a.len() - x;
    out[at..at + left].copy_from_slice(&a[x..]);
    out[at + left..].copy_from_slice(&b[y..]);
}

/// See [`crate::sort::boundaries`].
pub(crate) fn boundaries(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: &Keys<'_>,
) -> Result<DeviceBuffer> {
    let views = View::all(keys)?;
    let flags = groups(keys.rows, PIECE, |start, out| {
        let end = start + out.len();
        let mut flags = [0u32; BLOCK];
        for at in (start..end).step_by(BLOCK) {
            let flags = &mut flags[..BLOCK.min(end - at)];
            flags.fill(0);
            for view in &views {
                view.differences(at.saturating_sub(1), Rows::From(at), flags);
            }
            if at == 0 {
                flags[0] = 1;
            }
            out.extend(flags.iter().copied());
        }
    });
    adopt(device, reservation, flags)
}
