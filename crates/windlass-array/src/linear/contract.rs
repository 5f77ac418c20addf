//! Sums of products over axes that two arrays share: the one operation behind `matmul`,
//! `tensordot` and `einsum`. An axis has a label: one that both operands and the result have
//! counts matrices, one that only the operands have is summed over, and the others are the
//! rows and columns of the result.
//!
//! The result is cut into tiles, and the axes that are summed over into segments, so that a
//! task holds a few tens of megabytes whatever the arrays' size. The segments of a tile are
//! added one after another; where the result has few tiles, in several rows whose sums are
//! then added in a tree.

use std::sync::Arc;

use super::{
    product::{Product, Strided},
    there::There,
    tiling::{cut, joined_groups, span_of},
};
use crate::{
    Array, DType,
    device::{parts::MakesThere, tile::phys},
    element::dispatch,
    error::Result,
    expr::{BoxError, parts::Parts},
    grid::{AxisGrid, ChunkGrid},
    region::Region,
    shape::{ArrayShape, ChunkIndex, strides},
    tile::Tile,
};

/// Elements of the operands that a task reads at most, where it can be helped: 64 MiB of 8
/// bytes (a stated guess: beside a few such tasks the rest of a small host's memory is left).
const READ: usize = if cfg!(test) { 1 << 9 } else { 8 << 20 };
/// Elements of a result's tile, at least and at most: sides of 256 and of 2048, between which a
/// product takes much longer than reading its operands (a stated guess).
const TILE: (usize, usize) = if cfg!(test) { (16, 64) } else { (1 << 16, 1 << 22) };
/// How long a segment is where the axis is longer than that: past it a product is no faster.
const DEEP: usize = if cfg!(test) { 8 } else { 1024 };
/// Tasks that a product should have, as other operations do (`ChunkGrid::tasks`).
const TASKS: usize = 16;
/// Elements of the operands that a task reads at least, for its own cost to be small.
const LEAST: usize = if cfg!(test) { 16 } else { 1 << 15 };

/// Bytes of the blocks of the operands that a product copies to lie one after another (a stated
/// guess: the caches that they are made for hold less).
const PACKED: usize = 4 << 20;

/// The labels of two operands and of their result. None is twice in one of them, and each of an
/// operand is in the other one or in the result.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) a: Vec<usize>,
    pub(crate) b: Vec<usize>,
    pub(crate) out: Vec<usize>,
}

/// What the labels are to the product, and how their axes are cut.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) labels: Labels,
    /// Labels of all three; of the first operand and the result; of the second one and the
    /// result; of the operands.
    pub(super) batch: Vec<usize>,
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
    pub(super) summed: Vec<usize>,
    /// By label.
    grids: Vec<AxisGrid>,
    /// The segments.
    segments: ChunkGrid,
}

impl Plan {
    fn new(labels: Labels, a: &Array, b: &Array) -> Self {
        let has = |of: &[usize], l: &usize| of.contains(l);
        let (la, lb, lo) = (&labels.a, &labels.b, &labels.out);
        let of = |from: &[usize], keep: &dyn Fn(&usize) -> bool| -> Vec<usize> {
            from.iter().copied().filter(|l| keep(l)).collect()
        };
        let batch = of(lo, &|l| has(la, l) && has(lb, l));
        let rows = of(lo, &|l| has(la, l) && !has(lb, l));
        let columns = of(lo, &|l| has(lb, l) && !has(la, l));
        let summed = of(la, &|l| has(lb, l) && !has(lo, l));
        let count = la.iter().chain(lb).max().map_or(0, |m| m + 1);
        let mut grids = vec![AxisGrid::regular(1, 1); count];
        // The chunks of the larger operand count, where both have the axis.
        let mut operands = [(la, a), (lb, b)];
        operands.sort_by_key(|(_, array)| array.size());
        for (labels, array) in operands {
            for (&l, grid) in labels.iter().zip(array.chunks().axes()) {
                grids[l] = grid.clone();
            }
        }
        let segments = ChunkGrid::default();
        let mut plan = Self { labels, batch, rows, columns, summed, grids, segments };
        plan.cut();
        plan
    }

    /// Chooses the tiles and the segments.
    fn cut(&mut self) {
        let len = |grids: &[AxisGrid], of: &[usize]| {
            of.iter().map(|&l| grids[l].len()).product::<usize>()
        };
        let (m, n) = (len(&self.grids, &self.rows), len(&self.grids, &self.columns));
        let (k, matrices) = (len(&self.grids, &self.summed), len(&self.grids, &self.batch));
        let longest = (READ / k.min(DEEP)).max(1);
        let area = (matrices.saturating_mul(m).saturating_mul(n) / TASKS).clamp(TILE.0, TILE.1);
        let side = area.isqrt();
        let (tall, wide) = if m.min(n) > side {
            (side, side)
        } else if m < n {
            (m, area / m)
        } else {
            (area / n, n)
        };
        let (tall, wide) = (tall.clamp(1, longest), wide.clamp(1, longest));
        let tall = cut(&mut self.grids, &self.rows, tall);
        let wide = cut(&mut self.grids, &self.columns, wide);
        let few = (area / (tall * wide)).min(longest / (tall + wide)).max(1);
        let few = cut(&mut self.grids, &self.batch, few);
        let deep = (READ / (few * (tall + wide))).clamp(1, k);
        let wanted = TASKS.div_ceil(self.tiles());
        let least = LEAST.div_ceil(few * (tall + wide));
        let deep = deep.min(k.div_ceil(wanted).max(least));
        cut(&mut self.grids, &self.summed, deep);
        self.segments =
            ChunkGrid::new(self.summed.iter().map(|&l| self.grids[l].clone()).collect());
    }

    /// Tiles of the result.
    fn tiles(&self) -> usize {
        self.labels.out.iter().map(|&l| self.grids[l].count()).product()
    }

    /// The part of an operand for a tile of the result and a segment.
    fn part(&self, of: &[usize], tile: &[usize], segment: &ChunkIndex) -> Region {
        let axis = |l: &usize| {
            let at = |of: &[usize]| of.iter().position(|x| x == l);
            let chunk = match (at(&self.labels.out), at(&self.summed)) {
                (Some(i), _) => tile[i],
                (None, Some(i)) => segment[i],
                (None, None) => 0,
            };
            span_of(&self.grids[*l], chunk)
        };
        Region::new(of.iter().map(axis).collect())
    }

    /// Bytes of the parts of the operands, which may have to be brought into another order where
    /// several axes are rows, columns or summed over.
    fn reordered_bytes(&self, element: usize) -> usize {
        let several = [&self.batch, &self.rows, &self.columns, &self.summed];
        if several.iter().all(|group| group.len() < 2) {
            return 0;
        }
        let of =
            |labels: &[usize]| labels.iter().map(|&l| self.grids[l].largest()).product::<usize>();
        (of(&self.labels.a) + of(&self.labels.b)) * element
    }

    /// The labels in the order in which products are made.
    pub(super) fn order(&self) -> Vec<usize> {
        [&self.batch[..], &self.rows, &self.columns].concat()
    }
}

/// A tile with its axes in the order of three groups of labels, each of which is one axis then:
/// without a copy where strides can say so.
fn grouped(tile: &Tile, labels: &[usize], groups: [&[usize]; 3]) -> (Tile, [usize; 3], [isize; 3]) {
    let place = |l: &usize| labels.iter().position(|x| x == l).expect("a label of the operand");
    let order: Vec<usize> = groups.concat().iter().map(place).collect();
    let lens: Vec<usize> = order.iter().map(|&i| tile.shape()[i]).collect();
    let own: Vec<isize> = order.iter().map(|&i| tile.strides()[i]).collect();
    let turned = tile.with_layout(tile.offset(), ArrayShape::new(lens), own);
    let merge = |tile: &Tile| {
        let all = joined_groups(groups, tile.shape().as_slice(), tile.strides())?;
        Some((all.map(|a| a.0), all.map(|a| a.1)))
    };
    match merge(&turned) {
        // The matrices themselves may be apart in any way.
        Some((lens, strides)) => (turned, lens, strides),
        None => {
            let dense = turned.to_dense();
            let (lens, strides) = merge(&dense).expect("dense axes are one");
            (dense, lens, strides)
        }
    }
}

/// The sum so far of a tile of the result, with the products of another segment.
fn step<T: Product>(
    plan: &Plan,
    a: &Tile,
    b: &Tile,
    before: Option<&Tile>,
    lens: &[usize],
) -> Tile {
    let (a, [count, m, k], sa) =
        grouped(a, &plan.labels.a, [&plan.batch, &plan.rows, &plan.summed]);
    let (b, [_, _, n], sb) = grouped(b, &plan.labels.b, [&plan.batch, &plan.summed, &plan.columns]);
    let out = &plan.labels.out;
    let mut sum: Vec<T> = match before {
        None => crate::memory::zeros(count * m * n),
        Some(tile) => {
            let (dense, ..) = grouped(tile, out, [&plan.batch, &plan.rows, &plan.columns]);
            let dense = dense.to_dense();
            dense.buf().typed::<T>()[dense.offset()..][..count * m * n].to_vec()
        }
    };
    let strided = |tile: &'_ Tile, s: [isize; 3], i: usize| {
        ((tile.offset() as isize + i as isize * s[0]) as usize, s[1], s[2])
    };
    if m * n > 0 {
        for (i, sum) in sum.chunks_exact_mut(m * n).enumerate() {
            let of = |tile, s, rows, columns| {
                let (offset, row_stride, column_stride) = strided(tile, s, i);
                let values = tile.buf().typed::<T>();
                Strided { values, offset, rows, columns, row_stride, column_stride }
            };
            T::add_product(sum, of(&a, sa, m, k), of(&b, sb, k, n));
        }
    }
    // From the order of the product to that of the result.
    let order = plan.order();
    let place = |l: &usize| order.iter().position(|x| x == l).expect("a label of the result");
    let places: Vec<usize> = out.iter().map(place).collect();
    let mut turned = vec![0; order.len()];
    places.iter().enumerate().for_each(|(i, &p)| turned[p] = lens[i]);
    let own = strides(&turned);
    let dense = Tile::dense(T::wrap(sum), ArrayShape::new(turned));
    let own = places.iter().map(|&p| own[p]).collect();
    dense.with_layout(0, ArrayShape::new(lens), own)
}

/// The sums of products of two arrays of one type.
pub(crate) fn contract(name: &'static str, a: &Array, b: &Array, labels: Labels) -> Result<Array> {
    let len = |l: &usize| {
        let of = |labels: &[usize], array: &Array| {
            labels.iter().position(|x| x == l).map(|i| array.shape()[i])
        };
        of(&labels.a, a).or_else(|| of(&labels.b, b)).unwrap_or(1)
    };
    let shape = ArrayShape::new(labels.out.iter().map(len).collect::<Vec<_>>());
    if shape.size() == 0 || a.size() == 0 || b.size() == 0 {
        return Ok(Array::zeros(shape, a.dtype()));
    }
    let plan = Arc::new(Plan::new(labels, a, b));
    let rows = TASKS.div_ceil(plan.tiles()).min(plan.segments.count());
    let each = plan.segments.count().div_ceil(rows);
    // Each row has at least one segment.
    let rows = plan.segments.count().div_ceil(each);
    let axes = plan.labels.out.iter().map(|&l| plan.grids[l].clone());
    let axes: Vec<AxisGrid> = [AxisGrid::regular(rows, 1)].into_iter().chain(axes).collect();
    let grid = ChunkGrid::new(axes);
    let mut sum: Option<Array> = None;
    for at in 0..each {
        sum = Some(segment(name, (a, b), sum.as_ref(), &plan, (at, each), &grid));
    }
    let sum = sum.expect("there is a segment");
    let both = match (rows, a.dtype()) {
        (1, _) => return sum.index_axis(0, 0),
        (_, DType::Bool) => sum.any(0),
        _ => sum.sum(0),
    };
    Ok(both?.astype(a.dtype()))
}

/// The sums so far with the `at`-th segment of each row, of which there are `each`.
fn segment(
    name: &'static str,
    (a, b): (&Array, &Array),
    before: Option<&Array>,
    plan: &Arc<Plan>,
    (at, each): (usize, usize),
    grid: &ChunkGrid,
) -> Array {
    let inputs: Vec<&Array> = [a, b].into_iter().chain(before).collect();
    let found = move |plan: &Plan, index: &ChunkIndex| {
        let segment = index[0] * each + at;
        (segment < plan.segments.count()).then(|| plan.segments.index_of(segment))
    };
    let (own, tiles, chain) = (Arc::clone(plan), grid.clone(), before.is_some());
    let reads = move |index: &ChunkIndex| {
        let mut reads = Vec::with_capacity(3);
        if let Some(segment) = found(&own, index) {
            let tile = &index.as_slice()[1..];
            reads.push((0, own.part(&own.labels.a, tile, &segment)));
            reads.push((1, own.part(&own.labels.b, tile, &segment)));
        }
        if chain {
            reads.push((2, tiles.region(index.as_slice())));
        }
        reads
    };
    let (own, tiles, dtype) = (Arc::clone(plan), grid.clone(), a.dtype());
    let make = move |given: Vec<Tile>, index: &ChunkIndex| -> Result<Tile, BoxError> {
        let squeezed = |tile: &Tile| {
            let lens = &tile.shape().as_slice()[1..];
            tile.with_layout(tile.offset(), ArrayShape::new(lens), tile.strides()[1..].to_vec())
        };
        let [a, b, before @ ..] = &given[..] else { return Ok(given[0].clone()) };
        let before = before.first().map(squeezed);
        let shape = tiles.chunk_shape(index);
        let lens = &shape.as_slice()[1..];
        let tile = dispatch!(dtype, T => step::<T>(&own, a, b, before.as_ref(), lens));
        let steps = [&[0], tile.strides()].concat();
        Ok(tile.with_layout(0, ArrayShape::new(shape.as_slice()), steps))
    };
    let working = PACKED + plan.reordered_bytes(a.dtype().bytes());
    let there: Option<Box<dyn MakesThere>> = phys(a.dtype()).map(|ty| {
        let there = There { plan: Arc::clone(plan), ty };
        Box::new(there) as Box<dyn MakesThere>
    });
    let parts = Parts { name, reads: Box::new(reads), make: Box::new(make), working, there };
    Array::made_of(parts, &inputs, a.dtype(), grid.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize], chunk: &[usize]) -> Array {
        let size: usize = shape.iter().product();
        let values = (0..size).map(|i| (i * 7919 % 23) as f64 - 11.0).collect();
        let tile = Tile::new(values, shape).expect("as many");
        // Through a stage, so that tiles are asked for.
        let x = Array::from_tile(tile).rechunk(chunk).expect("chunks");
        let grid = x.chunks().clone();
        Array::blocks(&[&x], DType::F64, grid, |t, _| Ok(t[0].clone()))
    }

    fn naive(a: &Array, b: &Array) -> ndarray::ArrayD<f64> {
        let of = |x: &Array| {
            let two = x.compute::<f64>().expect("elements");
            two.into_dimensionality::<ndarray::Ix2>().expect("two axes")
        };
        let (a, b) = (of(a), of(b));
        let at = |(i, j)| (0..a.ncols()).map(|k| a[[i, k]] * b[[k, j]]).sum();
        ndarray::Array2::from_shape_fn((a.nrows(), b.ncols()), at).into_dyn()
    }

    #[test]
    fn tiles_and_segments_give_the_same_product() {
        for (m, n, k) in
            [(40, 30, 50), (1, 20, 300), (300, 3, 5), (3, 2, 700), (9, 9, 1), (64, 64, 64)]
        {
            let (a, b) = (numbers(&[m, k], &[7, 9]), numbers(&[k, n], &[11, 4]));
            let plan = Plan::new(Labels { a: vec![0, 1], b: vec![1, 2], out: vec![0, 2] }, &a, &b);
            assert!(plan.tiles() > 1 || plan.segments.count() > 1 || m * n * k < 100);
            let wanted = naive(&a, &b);
            assert_eq!(a.matmul(&b).unwrap().compute::<f64>().unwrap(), wanted, "{m} {n} {k}");
            let turned = b.t().matmul(&a.t()).unwrap().t();
            assert_eq!(turned.compute::<f64>().unwrap(), wanted);
            let bools = |x: &Array| x.greater(5).unwrap();
            let some = bools(&a).matmul(&bools(&b)).unwrap();
            let ones = |x: &Array| bools(x).astype(DType::I8);
            let wanted = ones(&a).astype(DType::I64).matmul(&ones(&b)).unwrap().greater(0).unwrap();
            assert_eq!(some.compute::<bool>().unwrap(), wanted.compute::<bool>().unwrap());
        }
    }

    #[test]
    fn several_axes_are_rows_columns_and_summed_over() {
        let (a, b) = (numbers(&[4, 5, 6, 3], &[2, 3, 4, 2]), numbers(&[6, 7, 3, 5], &[4, 4, 1, 5]));
        let found = Array::einsum("apcb,cqbp->qpa", &[&a, &b]).unwrap();
        let (x, y) = (a.compute::<f64>().unwrap(), b.compute::<f64>().unwrap());
        let found = found.compute::<f64>().unwrap();
        assert_eq!(found.shape(), [7, 5, 4]);
        for ((q, p, i), v) in found.into_dimensionality::<ndarray::Ix3>().unwrap().indexed_iter() {
            let over = (0..6).flat_map(|c| (0..3).map(move |j| (c, j)));
            assert_eq!(*v, over.map(|(c, j)| x[[i, p, c, j]] * y[[c, q, j, p]]).sum::<f64>());
        }
    }
}
