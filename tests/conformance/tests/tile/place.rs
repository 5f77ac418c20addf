//! Tiles put together from parts of others.

use conformance::{Bench, Target, data::Random};
use windlass_kernels::{
    PhysType,
    tile::{self, Part, Strided},
};

use crate::upload;

/// Lengths around a warp, a square and a block, and more than a launch has threads.
const LENGTHS: [usize; 9] = [0, 1, 31, 32, 33, 65, 257, 700, 5000];

/// A part of one of several sources.
#[derive(Debug, Clone)]
struct Copied {
    from: usize,
    lens: Vec<usize>,
    source: Strided,
    target: Strided,
}

impl Copied {
    /// From a source's first elements to the target's, as the strides say; what would lie before
    /// the first element is shifted to begin with it.
    fn new(lens: &[usize], source: &[isize], target: &[isize]) -> Self {
        let layout = |strides: &[isize]| Strided {
            offset: backwards(lens, strides),
            strides: strides.to_vec(),
        };
        Self { from: 0, lens: lens.to_vec(), source: layout(source), target: layout(target) }
    }

    /// Elements that a buffer needs for a side of it.
    fn end(&self, side: &Strided) -> usize {
        let forwards = |(n, s): (&usize, &isize)| (*n as isize - 1).max(0) * (*s).max(0);
        side.offset + self.lens.iter().zip(&side.strides).map(forwards).sum::<isize>() as usize + 1
    }

    /// Where each element lies and where it goes.
    fn elements(&self) -> Vec<(usize, usize)> {
        let mut all = vec![(self.source.offset as isize, self.target.offset as isize)];
        for (axis, n) in self.lens.iter().enumerate() {
            let (a, b) = (self.source.strides[axis], self.target.strides[axis]);
            let along = |(f, t)| (0..*n as isize).map(move |i| (f + i * a, t + i * b));
            all = all.into_iter().flat_map(along).collect();
        }
        all.into_iter().map(|(f, t)| (f as usize, t as usize)).collect()
    }
}

/// How far before its first element a box with these strides reaches.
fn backwards(lens: &[usize], strides: &[isize]) -> usize {
    let reach = |(n, s): (&usize, &isize)| (*n as isize - 1).max(0) * (-s).max(0);
    lens.iter().zip(strides).map(reach).sum::<isize>() as usize
}

/// Strides of a dense array whose axes lie in this order, the last one the fastest; between
/// the positions of each axis lie `gap` elements more.
fn dense(lens: &[usize], order: &[usize], gap: usize) -> Vec<isize> {
    let mut strides = vec![0; lens.len()];
    let mut step = 1;
    for axis in order.iter().rev() {
        strides[*axis] = step as isize;
        step = step * lens[*axis] + gap;
    }
    strides
}

/// Runs the parts for a type and compares what they cover.
fn check(bench: &mut Bench, ty: PhysType, parts: &[Copied]) {
    let words = ty.words();
    let (mut lens, mut len) = (vec![0; 1], 0);
    for p in parts.iter().filter(|p| !p.lens.contains(&0)) {
        lens.resize(lens.len().max(p.from + 1), 0);
        lens[p.from] = lens[p.from].max(p.end(&p.source));
        len = len.max(p.end(&p.target));
    }
    let mut random = Random(len as u64 + 1);
    let sources: Vec<Vec<u32>> = lens
        .iter()
        .map(|n| (0..n.max(&1) * words).map(|_| random.bits() as u32).collect())
        .collect();
    let buffers: Vec<_> = sources.iter().map(|s| upload(bench, bytemuck::cast_slice(s))).collect();
    let given: Vec<Part<'_>> = parts
        .iter()
        .map(|p| Part {
            from: &buffers[p.from],
            lens: p.lens.clone(),
            source: p.source.clone(),
            target: p.target.clone(),
        })
        .collect();
    let device = bench.device_arc();
    let mut r = device.pool().reserve(0).unwrap();
    let got = tile::assemble(&*device, bench.queue(), &mut r, ty, len, &given);
    let got = got.unwrap_or_else(|e| panic!("{ty} {parts:?}: {e}"));
    assert!(got.len() >= len * ty.wide_bytes());
    let mut bytes = vec![0u32; len * words];
    if len > 0 {
        bench.queue().download(&got, 0, bytemuck::cast_slice_mut(&mut bytes)).unwrap();
    }
    for p in parts {
        for (f, t) in p.elements() {
            let element = |all: &[u32], at: usize| all[at * words..(at + 1) * words].to_vec();
            let (want, got) = (element(&sources[p.from], f), element(&bytes, t));
            assert!(want == got, "{ty}: element {t} is {got:x?}, expected {want:x?} of {p:?}");
        }
    }
}

pub(crate) fn places(target: Target) {
    let mut bench = Bench::new(target);
    for ty in PhysType::ALL {
        for n in [0, 33] {
            check(&mut bench, ty, &[Copied::new(&[n], &[1], &[1])]);
        }
    }
    for ty in [PhysType::U32, PhysType::F64, PhysType::I128] {
        for n in LENGTHS {
            for (source, target) in [(1, 1), (-1, 1), (3, 1), (0, 1), (1, 2), (1, -1), (-2, -3)] {
                check(&mut bench, ty, &[Copied::new(&[n], &[source], &[target])]);
            }
        }
        check(&mut bench, ty, &[]);
        check(&mut bench, ty, &[Copied::new(&[], &[], &[])]);
        turned(&mut bench, ty);
        halos(&mut bench, ty);
        any_ranks(&mut bench, ty);
    }
}

/// Transposes, of which both sides are dense along other axes.
fn turned(bench: &mut Bench, ty: PhysType) {
    for lens in
        [[1, 1], [1, 33], [7, 300], [8, 8], [31, 33], [32, 32], [33, 31], [65, 40], [130, 97]]
    {
        let (source, target) = (dense(&lens, &[1, 0], 0), dense(&lens, &[0, 1], 0));
        check(bench, ty, &[Copied::new(&lens, &source, &target)]);
        let gaps = dense(&lens, &[0, 1], 5);
        check(bench, ty, &[Copied::new(&lens, &[1, -(lens[0] as isize)], &gaps)]);
        check(bench, ty, &[Copied::new(&lens, &[-1, 2 * lens[0] as isize], &gaps)]);
    }
    let lens = [5, 33, 40];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (source, target) = (dense(&lens, &order, 0), dense(&lens, &[0, 1, 2], 0));
        check(bench, ty, &[Copied::new(&lens, &source, &target)]);
        check(bench, ty, &[Copied::new(&lens, &target, &source)]);
    }
}

/// A tile with a border of its eight neighbours, each another buffer, and one that is empty.
fn halos(bench: &mut Bench, ty: PhysType) {
    const SIDE: usize = 37;
    let mut parts = vec![Copied::new(&[3, 0], &[1, 1], &[1, 1])];
    // First position in the neighbour, the positions taken, first position in the tile.
    let cuts = [(SIDE - 2, 2, 0), (0, SIDE, 2), (0, 1, SIDE + 2)];
    for (i, (from_row, rows, to_row)) in cuts.into_iter().enumerate() {
        for (j, (from, columns, to)) in cuts.into_iter().enumerate() {
            let (width, all) = (SIDE, SIDE + 3);
            let layout = |row: usize, column: usize, width: usize| Strided {
                offset: row * width + column,
                strides: vec![width as isize, 1],
            };
            parts.push(Copied {
                from: i * 3 + j,
                lens: vec![rows, columns],
                source: layout(from_row, from, width),
                target: layout(to_row, to, all),
            });
        }
    }
    check(bench, ty, &parts);
}

/// Boxes of up to eight axes in any layout.
fn any_ranks(bench: &mut Bench, ty: PhysType) {
    let mut random = Random(8);
    for rank in 0..=8 {
        for _ in 0..6 {
            let most = if rank > 5 { 3 } else { 5 };
            let lens: Vec<usize> = (0..rank).map(|_| 1 + random.below(most)).collect();
            let mut layout = |gap: usize, zeros: bool| {
                let mut order: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| order.swap(i, random.below(i + 1)));
                let mut strides = dense(&lens, &order, gap);
                for s in &mut strides {
                    match random.below(4) {
                        0 => *s = -*s,
                        1 if zeros => *s = 0,
                        _ => {}
                    }
                }
                strides
            };
            let (source, target) = (layout(0, true), layout(1, false));
            check(bench, ty, &[Copied::new(&lens, &source, &target)]);
        }
    }
}
