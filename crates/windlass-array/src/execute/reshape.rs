//! Parts of a reshaped array: the axes fall into groups that hold the same elements on both
//! sides, and in each group a part is a range of positions, which is a few boxes of the
//! input.

use super::{
    leaf::{Ask, Assembly, Given},
    program::Program,
};
use crate::{
    dtype::DType,
    error::Result,
    region::{Region, Span},
    shape::{ArrayShape, each_index, strides},
    tile::Tile,
};

/// Axes that hold the same elements on both sides.
#[derive(Debug)]
struct Group {
    input: std::ops::Range<usize>,
    output: std::ops::Range<usize>,
    input_lens: Vec<usize>,
    output_lens: Vec<usize>,
}

/// A program whose result is seen under another shape.
#[derive(Debug)]
pub(crate) struct Reshape {
    groups: Vec<Group>,
    program: Program,
}

/// What a group reads: a range of its positions, as boxes of the input's axes.
struct Read {
    first: usize,
    len: usize,
    boxes: Vec<Vec<Span>>,
}

/// A box of the input: its region, and where it begins and how long it is in each group's
/// range.
type Part = (Region, Vec<usize>, Vec<usize>);

/// The groups of a reshape: as few axes each as hold the same number of elements.
fn groups(input: &[usize], output: &[usize]) -> Vec<Group> {
    let (mut groups, mut i, mut o) = (Vec::new(), 0, 0);
    while i < input.len() || o < output.len() {
        let (begin_i, begin_o) = (i, o);
        let (mut a, mut b) = (1, 1);
        // At least one axis of either side that has some left, then until both hold the same.
        if i < input.len() {
            a *= input[i];
            i += 1;
        }
        if o < output.len() {
            b *= output[o];
            o += 1;
        }
        while a != b {
            if a < b {
                a *= input[i];
                i += 1;
            } else {
                b *= output[o];
                o += 1;
            }
        }
        groups.push(Group {
            input: begin_i..i,
            output: begin_o..o,
            input_lens: input[begin_i..i].to_vec(),
            output_lens: output[begin_o..o].to_vec(),
        });
    }
    groups
}

/// The boxes of an array of `lens` whose elements, box after box, are those of a range of
/// positions.
fn boxes(lens: &[usize], first: usize, len: usize, out: &mut Vec<Vec<Span>>, head: &[Span]) {
    let with = |spans: &[Span]| [head, spans].concat();
    let Some((&n, rest)) = lens.split_first() else {
        out.push(head.to_vec());
        return;
    };
    let row: usize = rest.iter().product();
    debug_assert!(first + len <= n * row);
    let (begin, end) = (first, first + len);
    let (full_begin, full_end) = (begin.div_ceil(row), end / row);
    let row_head = |i: usize| with(&[Span::new(i, 1, 1)]);
    if full_begin > full_end {
        // Within one row.
        boxes(rest, begin - full_end * row, len, out, &row_head(full_end));
        return;
    }
    if begin < full_begin * row {
        let i = full_begin - 1;
        boxes(rest, begin - i * row, full_begin * row - begin, out, &row_head(i));
    }
    if full_begin < full_end {
        let mut whole = vec![Span::new(full_begin, 1, full_end - full_begin)];
        whole.extend(rest.iter().map(|&n| Span::new(0, 1, n)));
        out.push(with(&whole));
    }
    if full_end * row < end {
        boxes(rest, 0, end - full_end * row, out, &row_head(full_end));
    }
}

impl Group {
    /// What the group reads for these spans of the output's axes.
    fn read(&self, spans: &[Span]) -> Read {
        let position = |at: &dyn Fn(&Span) -> usize| -> usize {
            let steps = strides(&self.output_lens);
            spans.iter().zip(steps).map(|(s, k)| at(s) * k as usize).sum()
        };
        let first = position(&|s| s.bounds().0);
        let len = position(&|s| s.bounds().1) + 1 - first;
        let mut found = Vec::new();
        boxes(&self.input_lens, first, len, &mut found, &[]);
        Read { first, len, boxes: found }
    }
}

impl Reshape {
    pub(crate) fn new(input: &ArrayShape, output: &ArrayShape, program: Program) -> Self {
        Self { groups: groups(input.as_slice(), output.as_slice()), program }
    }

    /// What a region needs: of each group, and the boxes of the input.
    fn parts(&self, region: &Region) -> (Vec<Read>, Vec<Part>) {
        let reads: Vec<Read> =
            self.groups.iter().map(|g| g.read(&region.axes[g.output.clone()])).collect();
        let counts: Vec<usize> = reads.iter().map(|r| r.boxes.len()).collect();
        let rank = self.groups.last().map_or(0, |g| g.input.end);
        let size = |b: &[Span]| b.iter().map(|s| s.len).product::<usize>();
        let mut parts = Vec::new();
        each_index(&counts, |at| {
            let mut axes = vec![Span::new(0, 1, 1); rank];
            let (mut begin, mut lens) = (Vec::new(), Vec::new());
            for ((group, read), &i) in self.groups.iter().zip(&reads).zip(at) {
                axes[group.input.clone()].copy_from_slice(&read.boxes[i]);
                begin.push(read.boxes[..i].iter().map(|b| size(b)).sum());
                lens.push(size(&read.boxes[i]));
            }
            parts.push((Region::new(axes), begin, lens));
        });
        (reads, parts)
    }

    /// Asks for the tiles that a region needs.
    pub(crate) fn reads(&self, region: &Region, ask: &mut Ask<'_>) {
        for (region, ..) in self.parts(region).1 {
            self.program.reads(&region, ask);
        }
    }

    /// As [`Leaf::ready`](super::leaf::Leaf::ready).
    ///
    /// # Errors
    /// As there.
    pub(crate) fn ready(&self, region: &Region) -> Result<()> {
        self.parts(region).1.iter().try_for_each(|(region, ..)| self.program.ready(region))
    }

    /// The elements of a region.
    pub(crate) fn tile(&self, region: &Region, given: &dyn Given, dtype: DType) -> Tile {
        let (reads, parts) = self.parts(region);
        let lens: Vec<usize> = reads.iter().map(|r| r.len).collect();
        let flat = |tile: &Tile, lens: Vec<usize>| {
            let dense = tile.to_dense();
            let own = strides(&lens);
            dense.with_layout(dense.offset(), ArrayShape::new(lens), own)
        };
        let whole = match &parts[..] {
            [(region, ..)] => flat(&self.program.tile(region, given), lens.clone()),
            _ => {
                let mut to = Assembly::with_lens(dtype, lens.clone());
                for (region, begin, lens) in parts {
                    to.put_at(&flat(&self.program.tile(&region, given), lens), &begin);
                }
                to.finish()
            }
        };
        // The region within the ranges of the groups.
        let range_strides = strides(&lens);
        let mut offset = whole.offset() as isize;
        let mut out = Vec::with_capacity(region.axes.len());
        for ((group, read), range) in self.groups.iter().zip(&reads).zip(range_strides) {
            let spans = &region.axes[group.output.clone()];
            let steps = strides(&group.output_lens);
            let at: isize = spans.iter().zip(&steps).map(|(s, k)| s.start as isize * k).sum();
            offset += (at - read.first as isize) * range;
            out.extend(spans.iter().zip(&steps).map(|(s, k)| s.step * k * range));
        }
        whole.with_layout(offset as usize, ArrayShape::new(region.lens()), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_as_small_as_they_can_be() {
        let g = |a: &[usize], b: &[usize]| -> Vec<(usize, usize)> {
            groups(a, b).iter().map(|g| (g.input.len(), g.output.len())).collect()
        };
        assert_eq!(g(&[6, 4], &[2, 3, 4]), [(1, 2), (1, 1)]);
        assert_eq!(g(&[6, 4], &[24]), [(2, 1)]);
        assert_eq!(g(&[3, 1], &[3]), [(1, 1), (1, 0)]);
        assert_eq!(g(&[], &[1, 1]), [(0, 1), (0, 1)]);
        assert_eq!(g(&[1, 6], &[6]), [(2, 1)]);
    }

    #[test]
    fn ranges_are_boxes_in_order() {
        let lens = [3, 4, 5];
        for first in 0..60 {
            for len in 1..=60 - first {
                let mut found = Vec::new();
                boxes(&lens, first, len, &mut found, &[]);
                let mut positions = Vec::new();
                for b in &found {
                    let lens: Vec<usize> = b.iter().map(|s| s.len).collect();
                    each_index(&lens, |at| {
                        let p = at.iter().zip(b).zip([20, 5, 1]);
                        positions.push(p.map(|((i, s), k)| (s.start + i) * k).sum::<usize>());
                    });
                }
                assert_eq!(positions, (first..first + len).collect::<Vec<_>>());
                assert!(found.len() <= 5, "{found:?}");
            }
        }
    }
}
