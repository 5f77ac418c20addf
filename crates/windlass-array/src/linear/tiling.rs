//! How axes are cut for products, factors and transforms.

use crate::{
    grid::{AxisGrid, ChunkGrid},
    region::Span,
};

/// Bytes of a task's part of an array: as `ChunkGrid::tasks` takes them.
pub(crate) fn task_bytes(bytes: usize) -> usize {
    let least = if cfg!(test) { 512 } else { 256 << 10 };
    (bytes / 16).clamp(least, 32 << 20)
}

/// Where a chunk of an axis lies.
pub(crate) fn span_of(axis: &AxisGrid, chunk: usize) -> Span {
    let (begin, end) = axis.bounds(chunk);
    Span::new(begin, 1, end - begin)
}

/// An axis without empty chunks, in chunks of about `len` elements whose boundaries are those
/// that it has, as far as that goes.
pub(crate) fn resized(axis: &AxisGrid, len: usize) -> AxisGrid {
    let (all, len) = (axis.len(), len.max(1));
    if len >= all {
        return AxisGrid::regular(all, all);
    }
    let full = match axis {
        AxisGrid::Ends(ends) => {
            let mut ends = ends.to_vec();
            ends.dedup();
            ends.retain(|&e| e > 0);
            AxisGrid::Ends(ends.into())
        }
        regular @ AxisGrid::Regular { .. } => regular.clone(),
    };
    let largest = full.largest();
    if largest > len {
        return full.split(largest.div_ceil(largest.div_ceil(len)));
    }
    // Never longer than what was asked for, as memory is counted by it.
    match full.merged(len / largest) {
        // The first chunk of a merged axis may begin anywhere.
        merged if merged.largest() <= len => merged,
        _ => AxisGrid::regular(all, len),
    }
}

/// Cuts some axes, of which together a tile should have so many elements, the last ones
/// longest. How many it has at most.
pub(crate) fn cut(grids: &mut [AxisGrid], which: &[usize], elements: usize) -> usize {
    let (mut room, mut most) = (elements.max(1), 1);
    for &at in which.iter().rev() {
        grids[at] = resized(&grids[at], room);
        let longest = grids[at].largest().max(1);
        room = (room / longest).max(1);
        most *= longest;
    }
    most
}

/// A grid in which some axes are in one chunk, and the others are cut so that a chunk has about
/// a task's bytes.
pub(crate) fn lanes(grid: &ChunkGrid, whole: &[usize], element: usize) -> ChunkGrid {
    let mut axes = grid.axes().to_vec();
    let mut fixed = 1;
    for &axis in whole {
        let n = axes[axis].len();
        axes[axis] = AxisGrid::regular(n, n);
        fixed *= n.max(1);
    }
    let total = axes.iter().fold(element, |n, a| n.saturating_mul(a.len()));
    let others: Vec<usize> = (0..axes.len()).filter(|i| !whole.contains(i)).collect();
    cut(&mut axes, &others, task_bytes(total) / (fixed * element).max(1));
    ChunkGrid::new(axes)
}

/// Some axes as one: its length and stride, if there is such a stride.
pub(crate) fn joined(lens: &[usize], strides: &[isize]) -> Option<(usize, isize)> {
    let (mut len, mut stride) = (1, 0);
    for (&n, &s) in lens.iter().zip(strides).rev() {
        if n == 1 {
            continue;
        }
        if len == 1 {
            stride = s;
        } else if s != stride * len as isize {
            return None;
        }
        len *= n;
    }
    Some((len, stride))
}

/// Axes in groups that stand one behind the other, each as one axis; `None` where no stride goes
/// through one.
pub(crate) fn joined_groups(
    groups: [&[usize]; 3],
    lens: &[usize],
    strides: &[isize],
) -> Option<[(usize, isize); 3]> {
    let (mut at, mut all) = (0, [(1, 0); 3]);
    for (group, merged) in groups.iter().zip(&mut all) {
        let axes = at..at + group.len();
        at = axes.end;
        *merged = joined(&lens[axes.clone()], &strides[axes])?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_cut_at_their_boundaries() {
        let lens = |a: &AxisGrid| (0..a.count()).map(|i| a.length(i)).collect::<Vec<_>>();
        assert_eq!(lens(&resized(&AxisGrid::regular(10, 2), 5)), [4, 4, 2]);
        assert_eq!(lens(&resized(&AxisGrid::regular(10, 10), 4)), [4, 4, 2]);
        assert_eq!(lens(&resized(&AxisGrid::lengths(&[0, 3, 0, 5, 1]), 5)), [3, 5, 1]);
        assert_eq!(lens(&resized(&AxisGrid::lengths(&[3, 5]), 100)), [8]);
        let grid = ChunkGrid::new(vec![AxisGrid::regular(1000, 1000), AxisGrid::regular(64, 7)]);
        let found = lanes(&grid, &[1], 1 << 10);
        assert_eq!((lens(&found.axes()[0])[0], lens(&found.axes()[1])), (59, vec![64]));
    }

    #[test]
    fn axes_join_where_strides_agree() {
        assert_eq!(joined(&[2, 3], &[3, 1]), Some((6, 1)));
        assert_eq!(joined(&[2, 1, 3], &[6, 77, 2]), Some((6, 2)));
        assert_eq!(joined(&[2, 3], &[4, 1]), None);
        assert_eq!(joined(&[], &[]), Some((1, 0)));
        assert_eq!(joined(&[2, 3], &[-3, -1]), Some((6, -1)));
    }
}
