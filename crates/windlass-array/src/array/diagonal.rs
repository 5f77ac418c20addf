//! Diagonals and triangles.

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::Op,
    grid::{AxisGrid, ChunkGrid},
    region::{AxisMap, Region, Span, ViewMap},
    shape::{ArrayShape, ChunkIndex},
    tile::Tile,
};

/// Where a diagonal begins along both axes, and its elements.
fn place(rows: usize, columns: usize, offset: i64) -> (usize, usize, usize) {
    let by = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let (row, column) = if offset < 0 { (by, 0) } else { (0, by) };
    (row, column, rows.saturating_sub(row).min(columns.saturating_sub(column)))
}

/// A diagonal's chunks: each lies in one chunk of either axis.
fn cut(rows: &AxisGrid, columns: &AxisGrid, (row, column, len): (usize, usize, usize)) -> AxisGrid {
    let ends = |axis: &AxisGrid, first: usize| -> Vec<usize> {
        (0..axis.count()).map(|i| axis.bounds(i).1.saturating_sub(first).min(len)).collect()
    };
    let mut all = [ends(rows, row), ends(columns, column)].concat();
    all.sort_unstable();
    all.dedup();
    all.retain(|&e| e > 0);
    AxisGrid::Ends(all.into())
}

impl Array {
    /// The diagonals of the matrices of two axes, as the last axis of the result: column is row
    /// plus `offset`.
    ///
    /// # Errors
    /// If an axis is out of range, or both are the same.
    pub fn diagonal(&self, offset: i64, axis1: isize, axis2: isize) -> Result<Self> {
        const NAME: &str = "diagonal";
        self.shape().axes(&[axis1, axis2], NAME)?;
        let (r, c) = (self.shape().axis(axis1, NAME)?, self.shape().axis(axis2, NAME)?);
        let (row, column, len) = place(self.shape()[r], self.shape()[c], offset);
        let rest: Vec<usize> = (0..self.rank()).filter(|&i| i != r && i != c).collect();
        let own = self.chunks().axes();
        let mut axes: Vec<AxisGrid> = rest.iter().map(|&i| own[i].clone()).collect();
        if len == 0 || self.size() == 0 {
            axes.push(AxisGrid::regular(len, 1));
            let shape = ChunkGrid::new(axes).shape();
            return Ok(Self::zeros(shape, self.dtype()));
        }
        let last = rest.len();
        if matches!(self.node.op, Op::Tile(_) | Op::Generate(_)) {
            let mut map = vec![AxisMap { from: None, start: 0, step: 1 }; self.rank()];
            rest.iter().enumerate().for_each(|(to, &i)| map[i].from = Some(to));
            map[r] = AxisMap { from: Some(last), start: row, step: 1 };
            map[c] = AxisMap { from: Some(last), start: column, step: 1 };
            axes.push(AxisGrid::regular(len, own[r].largest().min(own[c].largest())));
            return Ok(self.view(ViewMap { axes: map }, ChunkGrid::new(axes)));
        }
        axes.push(cut(&own[r], &own[c], (row, column, len)));
        let (grid, rank) = (ChunkGrid::new(axes), self.rank());
        let (tiles, kept) = (grid.clone(), rest.clone());
        let reads = move |index: &ChunkIndex| {
            let spans = tiles.region(index.as_slice()).axes;
            let mut axes = vec![Span::new(0, 1, 1); rank];
            kept.iter().enumerate().for_each(|(to, &i)| axes[i] = spans[to]);
            let Span { start, len, .. } = spans[last];
            axes[r] = Span::new(row + start, 1, len);
            axes[c] = Span::new(column + start, 1, len);
            vec![(0, Region::new(axes))]
        };
        let make = move |given: Vec<Tile>, _: &ChunkIndex| {
            let tile = &given[0];
            let (lens, steps) = (tile.shape().as_slice(), tile.strides());
            let mut shape: Vec<usize> = rest.iter().map(|&i| lens[i]).collect();
            let mut strides: Vec<isize> = rest.iter().map(|&i| steps[i]).collect();
            shape.push(lens[r]);
            strides.push(steps[r] + steps[c]);
            let seen = tile.with_layout(tile.offset(), ArrayShape::new(shape), strides);
            Ok(seen.to_own_memory())
        };
        Ok(Self::of_parts(NAME, &[self], self.dtype(), grid, 0, reads, make))
    }

    /// The sums of the diagonals of [`Array::diagonal`]: of integers and bools as `i64` or
    /// `u64`.
    ///
    /// # Errors
    /// As there.
    pub fn trace(&self, offset: i64, axis1: isize, axis2: isize) -> Result<Self> {
        self.diagonal(offset, axis1, axis2)?.sum(-1)
    }

    /// Of rank 1: the matrix that has it as that diagonal, and zeros elsewhere. Of rank 2: that
    /// diagonal.
    ///
    /// # Errors
    /// For other ranks.
    pub fn diag(&self, offset: i64) -> Result<Self> {
        match self.rank() {
            1 => self.as_diagonal(offset),
            2 => self.diagonal(offset, 0, 1),
            _ => Err(ArrayError::Shape {
                operation: "diag",
                expected: "an array of rank 1 or 2".into(),
                got: self.shape().to_string(),
            }),
        }
    }

    fn as_diagonal(&self, offset: i64) -> Result<Self> {
        let by = offset.unsigned_abs() as usize;
        let side = self.size() + by;
        // Row i has element i, where the diagonal is above the middle; else column i.
        let padded = self.pad(&[(0, by)], 0)?;
        let lines = if offset < 0 { padded } else { padded.expand_dims(1)? };
        let mask = Self::eye(side, side, offset, DType::Bool);
        Ok(Self::select(&mask, &lines, 0)?.astype(self.dtype()))
    }

    /// Zeros above a diagonal: column is row plus `offset`. Of the last two axes.
    ///
    /// # Errors
    /// For rank 0. An array of rank 1 is each row of a square matrix.
    pub fn tril(&self, offset: i64) -> Result<Self> {
        self.triangle("tril", offset, true)
    }

    /// Zeros below a diagonal: as [`Array::tril`].
    ///
    /// # Errors
    /// As there.
    pub fn triu(&self, offset: i64) -> Result<Self> {
        self.triangle("triu", offset, false)
    }

    fn triangle(&self, operation: &'static str, offset: i64, lower: bool) -> Result<Self> {
        let n = self.rank();
        if n == 0 {
            return Err(ArrayError::Shape {
                operation,
                expected: "an array of rank 1 or more".into(),
                got: self.shape().to_string(),
            });
        }
        let columns = self.shape()[n - 1];
        let rows = if n == 1 { columns } else { self.shape()[n - 2] };
        let along = |len: usize| Self::arange(0, len as i64, 1);
        let (row, column) = (along(rows)?.expand_dims(1)?.add(offset)?, along(columns)?);
        let mask = if lower { column.less_equal(&row)? } else { column.greater_equal(&row)? };
        Ok(Self::select(&mask, self, 0)?.astype(self.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_of_chunks_are_those_of_the_array() {
        let x = Array::arange(0, 35, 1).unwrap().reshape([5, 7]).unwrap();
        let lazy = (&x + 1).rechunk([2, 3]).unwrap();
        for offset in -6..8 {
            let wanted: Vec<i64> =
                (0..5).filter(|r| (0..7).contains(&(r + offset))).map(|r| r * 8 + offset).collect();
            for (array, more) in [(&x, 0), (&lazy, 1)] {
                let found = array.diagonal(offset, 0, 1).unwrap().compute::<i64>().unwrap();
                let wanted: Vec<i64> = wanted.iter().map(|v| v + more).collect();
                assert_eq!(found.as_slice(), Some(&wanted[..]), "{offset}");
            }
        }
        let error = x.diagonal(0, 1, -1).unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
    }
}
