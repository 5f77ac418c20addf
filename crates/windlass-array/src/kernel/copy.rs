//! Elements from one layout to another: strides in elements, of either sign or zero. Where
//! neither side has the last axis dense, squares are copied, so that the lines of both sides
//! that are in the cache are used whole.

use crate::{element::Element, shape::each_index};

/// Side of the squares: 32 lines of 64 bytes on either side fit the first-level cache (a
/// stated guess).
const SQUARE: usize = 32;

/// Where the elements of one side lie: the first one, and the distances along each axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) offset: usize,
    pub(crate) strides: &'a [isize],
}

/// Copies an array of `lens`, one axis after another, from one layout to another.
pub(crate) fn copy<T: Element>(
    lens: &[usize],
    from: &[T],
    from_layout: Layout<'_>,
    to: &mut [T],
    to_layout: Layout<'_>,
) {
    if lens.contains(&0) {
        return;
    }
    let mut strides = [from_layout.strides.to_vec(), to_layout.strides.to_vec()];
    let mut lens = lens.to_vec();
    collapse(&mut lens, &mut strides);
    let [a, b] = &strides;
    let rank = lens.len();
    let (outer, inner) = lens.split_at(rank.saturating_sub(2));
    let (rows, cols) = match inner {
        [] => (1, 1),
        [cols] => (1, *cols),
        [rows, cols, ..] => (*rows, *cols),
    };
    let ends = |s: &[isize]| match s {
        [] => (0, 0),
        [c] => (0, *c),
        [.., r, c] => (*r, *c),
    };
    let (ends_a, ends_b) = (ends(a), ends(b));
    each_index(outer, |at| {
        let base = |strides: &[isize], offset: usize| {
            let moved: isize = at.iter().zip(strides).map(|(&i, s)| i as isize * s).sum();
            (offset as isize + moved) as usize
        };
        let (fa, tb) = (base(a, from_layout.offset), base(b, to_layout.offset));
        plane((rows, cols), from, fa, ends_a, to, tb, ends_b);
    });
}

/// Rows and columns of a plane, from one place to another.
pub(crate) fn plane<T: Element>(
    (rows, cols): (usize, usize),
    from: &[T],
    from_base: usize,
    (fr, fc): (isize, isize),
    to: &mut [T],
    to_base: usize,
    (tr, tc): (isize, isize),
) {
    let at = |base: usize, r: usize, rs: isize, c: usize, cs: isize| {
        (base as isize + r as isize * rs + c as isize * cs) as usize
    };
    if tc == 1 && (fc == 1 || fc == 0) {
        for r in 0..rows {
            let (f, t) = (at(from_base, r, fr, 0, 0), at(to_base, r, tr, 0, 0));
            if fc == 1 {
                to[t..t + cols].copy_from_slice(&from[f..f + cols]);
            } else {
                to[t..t + cols].fill(from[f]);
            }
        }
        return;
    }
    if tc == 1 && fr == 1 && fc > 0 {
        return transposed((rows, cols), from, from_base, fc, to, to_base, tr);
    }
    for r0 in (0..rows).step_by(SQUARE) {
        for c0 in (0..cols).step_by(SQUARE) {
            let (r1, c1) = ((r0 + SQUARE).min(rows), (c0 + SQUARE).min(cols));
            if tc == 1 {
                for r in r0..r1 {
                    let t = at(to_base, r, tr, c0, 1);
                    let mut f = at(from_base, r, fr, c0, fc) as isize;
                    for o in &mut to[t..t + (c1 - c0)] {
                        *o = from[f as usize];
                        f += fc;
                    }
                }
                continue;
            }
            for r in r0..r1 {
                for c in c0..c1 {
                    to[at(to_base, r, tr, c, tc)] = from[at(from_base, r, fr, c, fc)];
                }
            }
        }
    }
}

/// Asks for the memory of a plane that is read soon: its rows and columns, each with the
/// distance of neighbours. What lies beyond the elements is left out. A transpose of 512 MB
/// takes two thirds of the time for it (measured).
pub(crate) fn ask_ahead<T>(from: &[T], base: isize, rows: (usize, isize), columns: (usize, isize)) {
    let line = (64 / size_of::<T>()).max(1);
    // Along an axis that is dense, one element of each line.
    let every = |stride: isize| if stride.abs() == 1 { line } else { 1 };
    for r in (0..rows.0).step_by(every(rows.1)) {
        for c in (0..columns.0).step_by(every(columns.1)) {
            let at = base + r as isize * rows.1 + c as isize * columns.1;
            #[cfg(target_arch = "x86_64")]
            if let Some(element) = usize::try_from(at).ok().and_then(|at| from.get(at)) {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                // SAFETY: a prefetch reads nothing into the program, and the address is a
                // valid one.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(element).cast::<i8>()) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (from, at);
        }
    }
}

/// Side of the squares that are turned in registers.
const TURNED: usize = 4;

super::vectorised! {
    /// Rows and columns of a plane whose columns are dense where they come from, `fc` elements
    /// apart, and whose rows are dense where they go.
    fn transposed<T: (Element)>(
        shape: (usize, usize),
        from: &[T],
        from_base: usize,
        fc: isize,
        to: &mut [T],
        to_base: usize,
        tr: isize
    ) {
        let (rows, cols) = shape;
        let fc = fc as usize;
        let target = |r: usize, c: usize| (to_base as isize + r as isize * tr) as usize + c;
        for r in (0..rows).step_by(TURNED) {
            for c in (0..cols).step_by(TURNED) {
                let (h, w) = (TURNED.min(rows - r), TURNED.min(cols - c));
                let at = from_base + r + c * fc;
                if (h, w) == (TURNED, TURNED) {
                    let mut square = [[T::default(); TURNED]; TURNED];
                    for (j, column) in square.iter_mut().enumerate() {
                        column.copy_from_slice(&from[at + j * fc..][..TURNED]);
                    }
                    for i in 0..TURNED {
                        let row: [T; TURNED] = std::array::from_fn(|j| square[j][i]);
                        to[target(r + i, c)..][..TURNED].copy_from_slice(&row);
                    }
                    continue;
                }
                for j in 0..w {
                    let column = &from[at + j * fc..][..h];
                    for (i, value) in column.iter().enumerate() {
                        to[target(r + i, c + j)] = *value;
                    }
                }
            }
        }
    }
}

/// Leaves out axes of length 1, and makes one of neighbours that every list of strides goes
/// through as one.
pub(crate) fn collapse(lens: &mut Vec<usize>, strides: &mut [Vec<isize>]) {
    let mut kept = 0;
    for i in 0..lens.len() {
        if lens[i] == 1 {
            continue;
        }
        let joins =
            kept > 0 && strides.iter().all(|s| s[kept - 1] == s[i].wrapping_mul(lens[i] as isize));
        let to = if joins { kept - 1 } else { kept };
        lens[to] = if joins { lens[to] * lens[i] } else { lens[i] };
        for s in strides.iter_mut() {
            s[to] = s[i];
        }
        kept = to + 1;
    }
    lens.truncate(kept);
    strides.iter_mut().for_each(|s| s.truncate(kept));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_all_go_through_as_one_are_one() {
        let mut lens = vec![2, 1, 3, 4];
        let mut strides = vec![vec![12, 0, 4, 1], vec![0, 7, 0, 0], vec![24, 1, 8, 2]];
        collapse(&mut lens, &mut strides);
        assert_eq!((lens, strides), (vec![24], vec![vec![1], vec![0], vec![2]]));
        let (mut lens, mut strides) = (vec![2, 3], vec![vec![3, 1], vec![1, 2]]);
        collapse(&mut lens, &mut strides);
        assert_eq!(lens, [2, 3]);
    }

    #[test]
    fn transposes_and_steps_are_copied() {
        let from: Vec<i32> = (0..70 * 50).collect();
        let mut to = vec![0; 70 * 50];
        let (f, t) = ([1, 50], [70, 1]);
        let layout = |strides| Layout { offset: 0, strides };
        copy(&[50, 70], &from, layout(&f), &mut to, layout(&t));
        assert!((0..50).all(|c| (0..70).all(|r| to[c * 70 + r] == from[r * 50 + c])));
        let mut back = vec![0; 3];
        copy(&[3], &from, Layout { offset: 9, strides: &[-4] }, &mut back, layout(&[1]));
        assert_eq!(back, [9, 5, 1]);
        let mut same = vec![0; 4];
        copy(&[2, 2], &from, Layout { offset: 7, strides: &[0, 0] }, &mut same, layout(&[1, 2]));
        assert_eq!(same, [7; 4]);
    }
}
