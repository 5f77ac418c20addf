//! Histograms of several variables, of given edges, and with weights.

use super::Array;
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    expr::BoxError,
    tile::Tile,
};

/// The bin of a value between edges, if it has one: bins hold their lower edge, the last one
/// both.
fn bin(value: f64, edges: &[f64]) -> Option<usize> {
    let (last, high) = (edges.len() - 2, edges[edges.len() - 1]);
    if !(edges[0]..=high).contains(&value) {
        return None;
    }
    Some((edges.partition_point(|e| *e <= value) - 1).min(last))
}

fn wrong(operation: &'static str, expected: impl Into<String>, got: impl ToString) -> ArrayError {
    ArrayError::Shape { operation, expected: expected.into(), got: got.to_string() }
}

/// Sums of weights, or counts.
fn tally(
    tiles: &[Tile],
    bins: usize,
    weighted: bool,
    place: impl Fn(usize, &[&[f64]]) -> Option<usize>,
) -> Result<Tile, BoxError> {
    let dense: Vec<Tile> = tiles.iter().map(Tile::to_dense).collect();
    let columns: Vec<&[f64]> =
        dense.iter().map(|t| &t.buf().typed::<f64>()[t.offset()..][..t.shape().size()]).collect();
    let (values, weights) = match weighted {
        true => (&columns[..columns.len() - 1], columns.last()),
        false => (&columns[..], None),
    };
    let mut sums = vec![0.0; bins];
    for i in 0..columns[0].len() {
        if let Some(at) = place(i, values) {
            sums[at] += weights.map_or(1.0, |w| w[i]);
        }
    }
    Ok(Tile::new(sums, [bins])?)
}

impl Array {
    /// The columns of several arrays and weights, flattened in chunks of one grid, as `f64`.
    fn columns(
        operation: &'static str,
        arrays: &[&Self],
        weights: Option<&Self>,
    ) -> Result<Vec<Self>> {
        let Some(first) = arrays.first() else {
            return Err(wrong(operation, "at least one array", "none"));
        };
        let all = arrays.iter().copied().chain(weights);
        all.map(|a| {
            if a.shape() != first.shape() {
                return Err(wrong(operation, format!("shape {}", first.shape()), a.shape()));
            }
            if a.dtype().is_complex() {
                return Err(ArrayError::Type {
                    operation,
                    dtype: a.dtype().to_string(),
                    hint: "it is defined for real numbers",
                });
            }
            a.astype(DType::F64).ravel()
        })
        .collect()
    }

    /// How many elements lie between neighbours of some edges, which ascend, as `f64`, or the
    /// sums of their weights. Each bin holds its lower edge, the last one its upper edge too;
    /// what lies outside, and NaN, is not counted. With `density` they are divided by the
    /// bins' lengths and their own sum.
    ///
    /// # Errors
    /// For fewer than two edges or edges that do not ascend, weights of another shape, and
    /// complex numbers.
    pub fn histogram_between(
        &self,
        edges: &[f64],
        weights: Option<&Self>,
        density: bool,
    ) -> Result<Self> {
        let counts = Self::histogramdd(&[self], &[edges], weights)?;
        if !density {
            return Ok(counts);
        }
        let lengths: Vec<f64> = edges.windows(2).map(|w| w[1] - w[0]).collect();
        counts.divide(Self::from_slice(&lengths))?.divide(counts.sum(0)?)
    }

    /// How many points, each an element of every array, lie in the boxes between edges along
    /// each axis, as `f64`, or the sums of their weights: NumPy's `histogram2d` and
    /// `histogramdd`. As [`Array::histogram_between`] along each axis. The counts of each
    /// task are whole.
    ///
    /// # Errors
    /// If there are not edges for each array, for edges as there, arrays or weights of other
    /// shapes, and complex numbers.
    pub fn histogramdd(arrays: &[&Self], edges: &[&[f64]], weights: Option<&Self>) -> Result<Self> {
        let operation = "histogram";
        if edges.len() != arrays.len() {
            return Err(wrong(operation, format!("edges of {} axes", arrays.len()), edges.len()));
        }
        if let Some(own) = edges.iter().find(|e| e.len() < 2 || !e.is_sorted()) {
            return Err(wrong(operation, "at least two edges, ascending", format!("{own:?}")));
        }
        let columns = Self::columns(operation, arrays, weights)?;
        let shape: Vec<usize> = edges.iter().map(|e| e.len() - 1).collect();
        let bins = shape.iter().product();
        if columns[0].size() == 0 {
            return Ok(Self::zeros(shape, DType::F64));
        }
        let edges: Vec<Vec<f64>> = edges.iter().map(|e| e.to_vec()).collect();
        let (lens, weighted) = (shape.clone(), weights.is_some());
        let inputs: Vec<&Self> = columns.iter().collect();
        let flat = Self::counted_in(operation, &inputs, bins, true, move |tiles, bins| {
            tally(tiles, bins, weighted, |i, columns| {
                let mut at = 0;
                for ((column, edges), n) in columns.iter().zip(&edges).zip(&lens) {
                    at = at * n + bin(column[i], edges)?;
                }
                Some(at)
            })
        });
        flat.reshape(shape)
    }

    /// How many points of two arrays lie in each of some equal boxes, as `f64`, or the sums of
    /// their weights; and the edges of the boxes along both axes: NumPy's `histogram2d`. Without
    /// a range of both axes they are from the least to the greatest element, which are computed
    /// now. As [`Array::histogramdd`].
    ///
    /// # Errors
    /// As there, for no box, and a range that is empty or not finite.
    pub fn histogram2d(
        &self,
        other: &Self,
        bins: (usize, usize),
        ranges: Option<[(f64, f64); 2]>,
        weights: Option<&Self>,
    ) -> Result<(Self, Self, Self)> {
        let operation = "histogram2d";
        let ranges = match ranges {
            Some(ranges) => ranges,
            None if self.size() == 0 => [(0.0, 1.0); 2],
            None => [self.range()?, other.range()?],
        };
        let mut edges = Vec::with_capacity(2);
        for (bins, (low, high)) in [bins.0, bins.1].into_iter().zip(ranges) {
            if bins == 0 {
                return Err(wrong(operation, "at least one box", bins));
            }
            if !(high - low).is_finite() || low > high {
                return Err(wrong(operation, "a finite range", format!("{low}..{high}")));
            }
            let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
            let own = Self::linspace(low, high, bins + 1).compute::<f64>()?;
            edges.push(own.into_raw_vec_and_offset().0);
        }
        let counts = Self::histogramdd(&[self, other], &[&edges[0], &edges[1]], weights)?;
        Ok((counts, Self::from_slice(&edges[0]), Self::from_slice(&edges[1])))
    }

    /// The least and the greatest element, computed now.
    fn range(&self) -> Result<(f64, f64)> {
        let wide = |x: Self| x.astype(DType::F64).reshape([1]);
        let both = Self::concatenate(&[&wide(self.min(..)?)?, &wide(self.max(..)?)?], 0)?;
        let both = both.compute::<f64>()?;
        Ok((both[0], both[1]))
    }

    /// The sums of the weights of each integer from 0 on in an array of rank 1: NumPy's
    /// `bincount` with weights. The greatest integer is computed now.
    ///
    /// # Errors
    /// As [`Array::bincount`], and for weights of another shape or of complex numbers.
    pub fn bincount_weighted(&self, weights: &Self, least: usize) -> Result<Self> {
        // Whether it can be counted, and how many bins there are.
        let bins = self.bincount(least)?.size();
        if self.size() == 0 {
            return Ok(Self::zeros([bins], DType::F64));
        }
        let columns = Self::columns("bincount", &[self], Some(weights))?;
        let inputs: Vec<&Self> = columns.iter().collect();
        Ok(Self::counted_in("bincount", &inputs, bins, true, |tiles, bins| {
            tally(tiles, bins, true, |i, columns| Some(columns[0][i] as usize))
        }))
    }
}
