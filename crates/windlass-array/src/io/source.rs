//! Where stored elements come from: chunks that are read one by one, and only those of which
//! something is asked.

use std::collections::{BTreeSet, HashSet};

use crate::{
    dtype::DType,
    element::{Buf, dispatch},
    expr::BoxError,
    grid::ChunkGrid,
    kernel::copy::{Layout, copy},
    region::{Region, Span, overlaps},
    shape::{ArrayShape, ChunkIndex, strides},
    tile::Tile,
};

/// An array that is stored in chunks.
pub(crate) trait Source: Send + Sync {
    /// What it is called in task names.
    fn name(&self) -> &'static str;

    /// Its chunks: the least that is read at once. An array's own chunks are several of them.
    fn grid(&self) -> &ChunkGrid;

    /// Bytes that are held beside the elements while a chunk is read.
    fn working_bytes(&self) -> u64;

    /// Reads a region that lies within a chunk, of steps of 1, to its place.
    fn read(&self, chunk: &ChunkIndex, region: &Region, to: &mut Place<'_>)
    -> Result<(), BoxError>;
}

/// Where a region's elements go: a part of a buffer with the last axis the fastest.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) buf: &'a mut Buf,
    /// The buffer's lengths along each axis.
    pub(crate) lens: &'a [usize],
    /// The position of the region's first element in it.
    pub(crate) begin: &'a [usize],
}

impl Place<'_> {
    /// The position of the region's first element among the buffer's.
    pub(crate) fn offset(&self) -> usize {
        let steps = strides(self.lens);
        self.begin.iter().zip(&steps).map(|(b, s)| b * *s as usize).sum()
    }

    /// Copies a region's elements there, which lie in `from` by these strides.
    pub(crate) fn put(&mut self, lens: &[usize], from: &Buf, offset: usize, steps: &[isize]) {
        let to = Layout { offset: self.offset(), strides: &strides(self.lens) };
        dispatch!(from.dtype(), T => copy::<T>(
            lens,
            from.typed(),
            Layout { offset, strides: steps },
            self.buf.typed_mut(),
            to,
        ));
    }
}

/// What a task reads of a tile: the chunks of which something is asked, in a box that holds
/// all of it.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The box, counted from the array's first element.
    hull: Region,
    /// Where the box begins in the tile.
    begin: Vec<usize>,
    /// What is asked, counted from the array's first element.
    asked: Vec<Region>,
}

impl Reading {
    /// Of a tile of which these parts are asked, counted from its first element.
    pub(crate) fn new(tile: &Region, asked: HashSet<Region>) -> Self {
        let mut bounds: Vec<(usize, usize)> = vec![(usize::MAX, 0); tile.axes.len()];
        for part in &asked {
            for (bound, span) in bounds.iter_mut().zip(&part.axes) {
                let (low, high) = span.bounds();
                *bound = (bound.0.min(low), bound.1.max(high));
            }
        }
        let span = |(t, b): (&Span, &(usize, usize))| Span::new(t.start + b.0, 1, b.1 + 1 - b.0);
        let hull = Region::new(tile.axes.iter().zip(&bounds).map(span).collect());
        let absolute = |mut part: Region| {
            part.axes.iter_mut().zip(&tile.axes).for_each(|(s, t)| s.start += t.start);
            part
        };
        let begin = bounds.iter().map(|b| b.0).collect();
        Self { hull, begin, asked: asked.into_iter().map(absolute).collect() }
    }

    /// Where what is read begins in the tile, along each axis.
    pub(crate) fn begin(&self) -> &[usize] {
        &self.begin
    }

    /// Number of elements of what is read.
    pub(crate) fn size(&self) -> usize {
        self.hull.size()
    }

    /// Reads it.
    pub(crate) fn tile(&self, source: &dyn Source, dtype: DType) -> Result<Tile, BoxError> {
        let grid = source.grid();
        let mut chunks = BTreeSet::new();
        let whole = self.asked.iter().find(|r| **r == self.hull);
        for region in whole.map_or(&self.asked[..], std::slice::from_ref) {
            overlaps(grid, region, |index, _| {
                chunks.insert(grid.position(index));
            });
        }
        let lens = self.hull.lens();
        let mut buf = Buf::zeros(dtype, self.hull.size());
        for chunk in chunks {
            let index = grid.index_of(chunk);
            let mut begin = Vec::with_capacity(lens.len());
            let mut spans = Vec::with_capacity(lens.len());
            for (own, hull) in grid.region(index.as_slice()).axes.iter().zip(&self.hull.axes) {
                let low = own.start.max(hull.start);
                let high = (own.start + own.len).min(hull.start + hull.len);
                begin.push(low - hull.start);
                spans.push(Span::new(low, 1, high - low));
            }
            let mut to = Place { buf: &mut buf, lens: &lens, begin: &begin };
            source.read(&index, &Region::new(spans), &mut to)?;
        }
        Ok(Tile::dense(buf, ArrayShape::new(lens)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Array, AxisGrid, Index, expr::Op};

    /// Holds `0, 1, 2, …` and keeps what was read.
    struct Counted {
        grid: ChunkGrid,
        read: Mutex<Vec<Vec<usize>>>,
    }

    impl Source for Counted {
        fn name(&self) -> &'static str {
            "counted"
        }

        fn grid(&self) -> &ChunkGrid {
            &self.grid
        }

        fn working_bytes(&self) -> u64 {
            0
        }

        fn read(&self, chunk: &ChunkIndex, r: &Region, to: &mut Place<'_>) -> Result<(), BoxError> {
            self.read.lock().unwrap().push(chunk.as_slice().to_vec());
            let steps = self.grid.shape().strides();
            let all = Buf::I64((0..self.grid.shape().size() as i64).collect());
            let offset = r.axes.iter().zip(&steps).map(|(s, k)| s.start * *k as usize).sum();
            to.put(&r.lens(), &all, offset, &steps);
            Ok(())
        }
    }

    fn counted() -> (Arc<Counted>, Array) {
        let grid = ChunkGrid::new(vec![AxisGrid::regular(20, 3), AxisGrid::regular(10, 4)]);
        let source = Arc::new(Counted { grid: grid.clone(), read: Mutex::default() });
        let op = Op::Source(Arc::clone(&source) as Arc<dyn Source>);
        let node = crate::expr::Node::new(op, Vec::new(), DType::I64, grid);
        (source, Array::from_node(node))
    }

    fn read(source: &Counted) -> Vec<Vec<usize>> {
        let mut read = std::mem::take(&mut *source.read.lock().unwrap());
        read.sort();
        read
    }

    #[test]
    fn only_what_is_asked_is_read_and_once() {
        let (source, x) = counted();
        let value = |r: i64, c: i64| r * 10 + c;
        let part = x.index(&[Index::All.step(-6), Index::At(9)]).unwrap().compute::<i64>().unwrap();
        assert_eq!(part.as_slice().unwrap(), [19, 13, 7, 1].map(|r| value(r, 9)));
        assert_eq!(read(&source), [[0, 2], [2, 2], [4, 2], [6, 2]]);

        let both = &x.t() + &x.t();
        let total = (&both - &x.sum(..).unwrap()).sum(..).unwrap().compute::<i64>().unwrap();
        let sum = 199 * 100;
        assert_eq!(total.sum(), 2 * sum - 200 * sum);
        let all = read(&source);
        assert_eq!(all.len(), 7 * 3);
        assert!(all.windows(2).all(|w| w[0] != w[1]), "{all:?}");
        let taken = x.take(&[1, 19], 0).unwrap().sum(..).unwrap().compute::<i64>().unwrap();
        assert_eq!(taken.sum(), (0..10).map(|c| value(1, c) + value(19, c)).sum::<i64>());
        assert_eq!(read(&source).len(), 2 * 3);
    }
}
