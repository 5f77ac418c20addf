//! Parts of arrays: every so-many-th element along each axis. And views: which element of
//! an array stands where in another.

use crate::shape::each_index;

/// Some positions along an axis: `start`, `start + step`, … , `len` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) step: isize,
    pub(crate) len: usize,
}

impl Span {
    pub(crate) fn new(start: usize, step: isize, len: usize) -> Self {
        Self { start, step, len }
    }

    /// The position of element `i`.
    pub(crate) fn at(self, i: usize) -> usize {
        (self.start as isize + self.step * i as isize) as usize
    }

    /// The lowest and the highest position. It has at least one.
    pub(crate) fn bounds(self) -> (usize, usize) {
        let last = self.at(self.len - 1);
        (self.start.min(last), self.start.max(last))
    }

    /// The elements, first and one past the last, whose positions are in `low..high`.
    pub(crate) fn within(self, low: usize, high: usize) -> (usize, usize) {
        let steps = self.step.unsigned_abs().max(1);
        // Elements at positions below `bound`, counted from the low end.
        let (lowest, _) = self.bounds();
        let below = |bound: usize| bound.saturating_sub(lowest).div_ceil(steps).min(self.len);
        let (a, b) = (below(low), below(high));
        if self.step >= 0 { (a, b) } else { (self.len - b, self.len - a) }
    }
}

/// A part of an array, axis by axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Region {
    pub(crate) axes: Vec<Span>,
}

impl Region {
    pub(crate) fn new(axes: Vec<Span>) -> Self {
        Self { axes }
    }

    /// All of an array.
    pub(crate) fn all(shape: &[usize]) -> Self {
        Self::new(shape.iter().map(|&n| Span::new(0, 1, n)).collect())
    }

    /// Elements along each axis.
    pub(crate) fn lens(&self) -> Vec<usize> {
        self.axes.iter().map(|s| s.len).collect()
    }

    /// Number of elements.
    pub(crate) fn size(&self) -> usize {
        self.axes.iter().map(|s| s.len).product()
    }

    /// The same with another span along an axis.
    pub(crate) fn with(&self, axis: usize, span: Span) -> Self {
        let mut axes = self.axes.clone();
        axes[axis] = span;
        Self { axes }
    }
}

/// Where the position along an axis of the input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AxisMap {
    /// The axis of the output, or none: the position is `start`.
    pub(crate) from: Option<usize>,
    pub(crate) start: usize,
    pub(crate) step: isize,
}

/// Which element of an input stands at each position of an output: slices, transposes,
/// new axes, broadcasting, and any of them one after another. Axes of the output that no
/// axis of the input comes from repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ViewMap {
    /// One for each axis of the input.
    pub(crate) axes: Vec<AxisMap>,
}

impl ViewMap {
    /// The view that changes nothing.
    pub(crate) fn identity(rank: usize) -> Self {
        let axis = |i| AxisMap { from: Some(i), start: 0, step: 1 };
        Self { axes: (0..rank).map(axis).collect() }
    }

    /// The view that broadcasts a shape to another that it broadcasts to.
    pub(crate) fn broadcast(from: &[usize], to: &[usize]) -> Self {
        let skip = to.len() - from.len();
        let axis = |(i, &n): (usize, &usize)| {
            let repeated = n == 1 && to[i + skip] != 1;
            AxisMap { from: (!repeated).then_some(i + skip), start: 0, step: 1 }
        };
        Self { axes: from.iter().enumerate().map(axis).collect() }
    }

    pub(crate) fn is_identity(&self, rank: usize) -> bool {
        *self == Self::identity(rank)
    }

    /// This view of what `inner` shows: from the output of this one to the input of `inner`.
    pub(crate) fn then(&self, inner: &Self) -> Self {
        let axis = |m: &AxisMap| match m.from {
            None => *m,
            Some(middle) => {
                let o = self.axes[middle];
                let start = (m.start as isize + m.step * o.start as isize) as usize;
                let step = if o.from.is_none() { 1 } else { m.step * o.step };
                AxisMap { from: o.from, start, step }
            }
        };
        Self { axes: inner.axes.iter().map(axis).collect() }
    }

    /// The part of the input that a part of the output shows.
    pub(crate) fn apply(&self, region: &Region) -> Region {
        let axis = |m: &AxisMap| match m.from {
            None => Span::new(m.start, 1, 1),
            Some(o) => {
                let s = region.axes[o];
                Span::new(
                    (m.start as isize + m.step * s.start as isize) as usize,
                    m.step * s.step,
                    s.len,
                )
            }
        };
        Region::new(self.axes.iter().map(axis).collect())
    }

    /// Strides along the output's axes of a tile that holds [`ViewMap::apply`]'s part, given
    /// its strides along the input's axes.
    pub(crate) fn strides(&self, input: &[isize], rank: usize) -> Vec<isize> {
        let mut strides = vec![0; rank];
        for (m, s) in self.axes.iter().zip(input) {
            if let Some(o) = m.from {
                strides[o] += s;
            }
        }
        strides
    }
}

/// The chunks of a grid that hold elements of a region: for each its index, and for each
/// axis the region's elements in it, first and one past the last.
pub(crate) fn overlaps(
    grid: &crate::grid::ChunkGrid,
    region: &Region,
    mut f: impl FnMut(&[usize], &[(usize, usize)]),
) {
    // For each axis the chunks that hold some element.
    let per_axis: Vec<Vec<(usize, (usize, usize))>> = grid
        .axes()
        .iter()
        .zip(&region.axes)
        .map(|(axis, span)| {
            if span.len == 0 {
                return Vec::new();
            }
            let (low, high) = span.bounds();
            let chunks = axis.find(low)..=axis.find(high);
            let held = chunks.map(|i| {
                let (begin, end) = axis.bounds(i);
                (i, span.within(begin, end))
            });
            held.filter(|(_, (a, b))| a < b).collect()
        })
        .collect();
    let counts: Vec<usize> = per_axis.iter().map(Vec::len).collect();
    let (mut index, mut parts) = (vec![0; counts.len()], vec![(0, 0); counts.len()]);
    each_index(&counts, |at| {
        for (axis, &i) in at.iter().enumerate() {
            (index[axis], parts[axis]) = per_axis[axis][i];
        }
        f(&index, &parts);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{AxisGrid, ChunkGrid};

    #[test]
    fn spans_find_their_elements_in_a_range() {
        for span in
            [Span::new(3, 2, 5), Span::new(11, -2, 5), Span::new(4, 1, 3), Span::new(9, -5, 2)]
        {
            for low in 0..14 {
                for high in low..14 {
                    let held: Vec<usize> =
                        (0..span.len).filter(|&i| (low..high).contains(&span.at(i))).collect();
                    let (a, b) = span.within(low, high);
                    assert_eq!((a..b).collect::<Vec<_>>(), held, "{span:?} in {low}..{high}");
                }
            }
        }
    }

    #[test]
    fn views_of_views_are_views() {
        // Input (4, 6), transposed to (6, 4), every second row backwards: (3, 4).
        let transpose = ViewMap {
            axes: vec![
                AxisMap { from: Some(1), start: 0, step: 1 },
                AxisMap { from: Some(0), start: 0, step: 1 },
            ],
        };
        let slice = ViewMap {
            axes: vec![
                AxisMap { from: Some(0), start: 5, step: -2 },
                AxisMap { from: Some(1), start: 0, step: 1 },
            ],
        };
        let both = slice.then(&transpose);
        let region = both.apply(&Region::all(&[3, 4]));
        assert_eq!(region.axes, [Span::new(0, 1, 4), Span::new(5, -2, 3)]);
        assert_eq!(both.strides(&[6, -2], 2), [-2, 6]);
    }

    #[test]
    fn only_chunks_with_elements_overlap() {
        let grid = ChunkGrid::new(vec![AxisGrid::regular(20, 4)]);
        let mut seen = Vec::new();
        overlaps(&grid, &Region::new(vec![Span::new(18, -9, 3)]), |i, p| seen.push((i[0], p[0])));
        assert_eq!(seen, [(0, (2, 3)), (2, (1, 2)), (4, (0, 1))]);
    }
}
