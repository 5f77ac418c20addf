//! Regions with what stands around them: which regions of an array they are made of, beyond
//! its ends too, and how they are put together. Most regions lie inside and are one part.

use super::{
    overlap::Boundary,
    pad::{Run, runs, turned},
};
use crate::{
    dtype::DType,
    element::{Buf, dispatch},
    error::Result,
    execute::leaf::Assembly,
    region::{Region, Span},
    shape::{ArrayShape, each_index},
    tile::Tile,
};

/// How much of an array's surroundings its regions are given.
#[derive(Debug, Clone)]
pub(super) struct Around {
    shape: Vec<usize>,
    depth: Vec<(usize, usize)>,
    boundary: Vec<Boundary>,
    /// One element for each axis, where its boundary is constant.
    fill: Vec<Option<Buf>>,
    dtype: DType,
}

/// Positions of an axis that stand behind each other in what a region is given: where they
/// begin there.
type Piece = (usize, Run);

impl Around {
    /// Of elements of a type; constants are of another first.
    pub(super) fn new(
        shape: &ArrayShape,
        depth: Vec<(usize, usize)>,
        boundary: Vec<Boundary>,
        (own, dtype): (DType, DType),
    ) -> Result<Self> {
        let fill = |b: &Boundary| match b {
            Boundary::Constant(value) => {
                let one = value.element(own)?;
                Ok(Some(crate::reduce::converted(one, dtype)))
            }
            _ => Ok(None),
        };
        let fill = boundary.iter().map(fill).collect::<Result<_>>()?;
        Ok(Self { shape: shape.as_slice().to_vec(), depth, boundary, fill, dtype })
    }

    /// Where what a region is given begins and ends along an axis.
    fn range(&self, axis: usize, span: Span) -> (i64, i64) {
        let (before, behind) = self.depth[axis];
        let low = span.start as i64 - before as i64;
        let high = (span.start + span.len + behind) as i64;
        match self.boundary[axis] {
            Boundary::None => (low.max(0), high.min(self.shape[axis] as i64)),
            _ => (low, high),
        }
    }

    fn pieces(&self, axis: usize, span: Span) -> Vec<Piece> {
        let n = self.shape[axis] as i64;
        let (low, high) = self.range(axis, span);
        let found = match self.boundary[axis] {
            _ if low >= 0 && high <= n => vec![(low as usize, 1, (high - low) as usize)],
            Boundary::None | Boundary::Constant(_) => {
                let (from, to) = (low.max(0), high.min(n));
                return vec![((from - low) as usize, (from as usize, 1, (to - from) as usize))];
            }
            Boundary::Reflect => runs(n as usize, (low, high), |p, n| turned(p, n, true)),
            Boundary::Mirror => runs(n as usize, (low, high), |p, n| turned(p, n, false)),
            Boundary::Nearest => runs(n as usize, (low, high), |p, n| p.clamp(0, n - 1)),
            Boundary::Periodic => runs(n as usize, (low, high), |p, n| p.rem_euclid(n)),
        };
        let mut begin = 0;
        let place = |run: Run| {
            let at = begin;
            begin += run.2;
            (at, run)
        };
        found.into_iter().map(place).collect()
    }

    /// The pieces along each axis, and all of their combinations in order.
    fn each(&self, region: &Region, mut f: impl FnMut(&[Piece])) {
        let axes: Vec<Vec<Piece>> =
            region.axes.iter().enumerate().map(|(i, s)| self.pieces(i, *s)).collect();
        let counts: Vec<usize> = axes.iter().map(Vec::len).collect();
        each_index(&counts, |at| {
            f(&at.iter().zip(&axes).map(|(&i, pieces)| pieces[i]).collect::<Vec<_>>());
        });
    }

    /// The regions of the array that a region with its surroundings is made of.
    pub(super) fn reads(&self, region: &Region) -> Vec<Region> {
        let mut reads = Vec::new();
        self.each(region, |pieces| {
            let span = |&(_, (start, step, len)): &Piece| match step {
                0 => Span::new(start, 1, 1),
                step => Span::new(start, step, len),
            };
            reads.push(Region::new(pieces.iter().map(span).collect()));
        });
        reads
    }

    /// How many elements a region is given before its own, along each axis.
    pub(super) fn before(&self, region: &Region) -> Vec<usize> {
        let axis = |(i, s): (usize, &Span)| (s.start as i64 - self.range(i, *s).0) as usize;
        region.axes.iter().enumerate().map(axis).collect()
    }

    /// The lengths of what a region is given.
    pub(super) fn lens(&self, region: &Region) -> Vec<usize> {
        let axis = |(i, s): (usize, &Span)| {
            let (low, high) = self.range(i, *s);
            (high - low) as usize
        };
        region.axes.iter().enumerate().map(axis).collect()
    }

    /// A region with its surroundings, of tiles of what [`Around::reads`] names.
    pub(super) fn tile(&self, region: &Region, tiles: &[Tile]) -> Tile {
        let lens = self.lens(region);
        if let [only] = tiles
            && only.shape().as_slice() == lens
        {
            return only.clone();
        }
        let mut to = Assembly::with_lens(self.dtype, lens.clone());
        // The last axis is padded last: its constant is what stands in the corners.
        if let Some(one) = self.fill.iter().rev().flatten().next() {
            dispatch!(self.dtype, T => to.fill(one.typed::<T>()[0]));
        }
        let mut tiles = tiles.iter();
        self.each(region, |pieces| {
            let Some(tile) = tiles.next() else { return };
            let (mut lens, mut strides) = (Vec::new(), tile.strides().to_vec());
            for (i, (_, (_, step, len))) in pieces.iter().enumerate() {
                lens.push(*len);
                if *step == 0 {
                    strides[i] = 0;
                }
            }
            if lens.contains(&0) {
                return;
            }
            let wide = tile.with_layout(tile.offset(), ArrayShape::new(lens), strides);
            to.put_at(&wide, &pieces.iter().map(|p| p.0).collect::<Vec<_>>());
        });
        to.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    #[test]
    fn regions_have_what_padding_has() -> Result<()> {
        let x = Array::arange(0, 12, 1)?.reshape([3, 4])?;
        let whole = x.compute_tile()?;
        let modes = [Boundary::Reflect, Boundary::Mirror, Boundary::Nearest, Boundary::Periodic];
        for boundary in [&modes[..], &[Boundary::Constant(7.into())]].concat() {
            let depth = vec![(5, 2), (1, 6)];
            let padded = x.bounded(&depth, &[boundary; 2])?.compute::<i64>()?;
            let around =
                Around::new(x.shape(), depth, vec![boundary; 2], (DType::I64, DType::I64))?;
            for (a, b) in [(0, 0), (1, 2), (2, 3)] {
                let region = Region::new(vec![Span::new(a, 1, 1), Span::new(b, 1, 4 - b)]);
                let parts: Vec<Tile> =
                    around.reads(&region).iter().map(|r| whole.part(r)).collect();
                let found = around.tile(&region, &parts).to_array::<i64>()?;
                let wanted = padded.slice(ndarray::s![a..a + 8, b..b + 11 - b]);
                assert_eq!(found, wanted.into_dyn(), "{boundary:?} at {a}, {b}");
            }
        }
        Ok(())
    }
}
