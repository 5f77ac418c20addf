//! The axes of a box in the order in which it is copied fastest.

use super::place::{Part, Strided};

/// From this many elements along both of two axes on, they are turned in squares (a stated
/// guess: a quarter of a square's side).
const LEAST_TURNED: usize = 8;

/// An axis of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    len: usize,
    source: isize,
    target: isize,
}

/// The same elements by as few axes as there can be: without axes of one element, forwards in
/// the target, the one with the smallest step there last, and neighbours joined that are one
/// axis on both sides. Where the source is dense along another axis than the target, and both
/// are long, that one is the last but one: see [`is_turned`].
pub(super) fn simplified<'a>(part: &Part<'a>) -> Part<'a> {
    let (mut source, mut target) = (part.source.offset as isize, part.target.offset as isize);
    let mut axes = Vec::new();
    for (i, &len) in part.lens.iter().enumerate().filter(|(_, len)| **len > 1) {
        let mut axis = Axis { len, source: part.source.strides[i], target: part.target.strides[i] };
        if axis.target < 0 {
            let last = len as isize - 1;
            source += last * axis.source;
            target += last * axis.target;
            axis = Axis { len, source: -axis.source, target: -axis.target };
        }
        axes.push(axis);
    }
    // Steps of 0, which only boxes that overlap themselves have, come first.
    axes.sort_by_key(|a| {
        let step = if a.target == 0 { isize::MAX } else { a.target };
        std::cmp::Reverse((step, a.source.unsigned_abs()))
    });
    let mut joined: Vec<Axis> = Vec::new();
    for axis in axes {
        let n = axis.len as isize;
        match joined.last_mut() {
            Some(outer) if outer.source == axis.source * n && outer.target == axis.target * n => {
                *outer = Axis { len: outer.len * axis.len, ..axis };
            }
            _ => joined.push(axis),
        }
    }
    if let Some((last, others)) = joined.split_last()
        && last.source.unsigned_abs() > 1
        && last.len >= LEAST_TURNED
    {
        let dense = |a: &Axis| a.source.unsigned_abs() == 1 && a.len >= LEAST_TURNED;
        if let Some(at) = others.iter().position(dense) {
            let axis = joined.remove(at);
            joined.insert(joined.len() - 1, axis);
        }
    }
    Part {
        from: part.from,
        lens: joined.iter().map(|a| a.len).collect(),
        source: Strided {
            offset: source as usize,
            strides: joined.iter().map(|a| a.source).collect(),
        },
        target: Strided {
            offset: target as usize,
            strides: joined.iter().map(|a| a.target).collect(),
        },
    }
}

/// Whether the last axis of a simplified box is far apart in the source, which is dense along
/// the one before: both sides are fast only where they go through squares of these two.
pub(crate) fn is_turned(part: &Part<'_>) -> bool {
    let [.., a, b] = part.lens[..] else { return false };
    let [.., dense, far] = part.source.strides[..] else { return false };
    a.min(b) >= LEAST_TURNED && dense.unsigned_abs() == 1 && far.unsigned_abs() > 1
}
