//! Histograms, counts of integers, and norms.

use super::{Array, reduce::Axes};
use crate::{
    dtype::DType,
    error::{ArrayError, Result},
    tile::Tile,
};

/// The bin of a value, if it has one: bins hold their lower edge, the last one both.
fn bin(value: f64, edges: &[f64]) -> Option<usize> {
    let bins = edges.len() - 1;
    let (low, high) = (edges[0], edges[bins]);
    if !(low..=high).contains(&value) {
        return None;
    }
    let share = (value - low) / (high - low) * bins as f64;
    let mut at = (share as usize).min(bins - 1);
    // The division may round across an edge.
    if value < edges[at] {
        at -= 1;
    } else if at + 1 < bins && value >= edges[at + 1] {
        at += 1;
    }
    Some(at)
}

impl Array {
    /// Counts of what the chunks of an array of rank 1 hold.
    fn counted(
        operation: &'static str,
        values: &Self,
        bins: usize,
        count: impl Fn(&Tile, &mut [i64]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::counted_in(operation, &[values], bins, false, move |tiles, bins| {
            let mut counts = vec![0; bins];
            count(&tiles[0], &mut counts)?;
            Ok(Tile::new(counts, [bins])?)
        })
    }

    /// How many elements lie in each of some equal bins of a range, as `i64`, and the edges of
    /// the bins. A bin holds its lower edge, the last one its upper edge too; what lies
    /// outside, and NaN, is not counted.
    ///
    /// # Errors
    /// For no bin, a range that is empty or not finite, and complex numbers.
    pub fn histogram(&self, bins: usize, (low, high): (f64, f64)) -> Result<(Self, Self)> {
        let wrong = |argument, expected: &str, got: String| ArrayError::Argument {
            operation: "histogram",
            argument,
            expected: expected.into(),
            got,
        };
        if bins == 0 {
            return Err(wrong("bins", "at least 1", bins.to_string()));
        }
        if !(high - low).is_finite() || low >= high {
            return Err(wrong("range", "finite and not empty", format!("{low}..{high}")));
        }
        if self.dtype().is_complex() {
            return Err(ArrayError::Type {
                operation: "histogram",
                dtype: self.dtype().to_string(),
                hint: "it is defined for real numbers",
            });
        }
        let edges = Self::linspace(low, high, bins + 1);
        if self.size() == 0 {
            return Ok((Self::zeros([bins], DType::I64), edges));
        }
        let own = edges.compute::<f64>()?.into_raw_vec_and_offset().0;
        let values = self.astype(DType::F64).ravel()?;
        let counts = Self::counted("histogram", &values, bins, move |tile, counts| {
            for value in tile.to_array::<f64>()? {
                if let Some(at) = bin(value, &own) {
                    counts[at] += 1;
                }
            }
            Ok(())
        });
        Ok((counts, edges))
    }

    /// How often each integer from 0 on comes in an array of rank 1, as `i64`: up to the
    /// greatest one, and at least `least` counts. The greatest one is computed now: the shape
    /// of the result depends on it.
    ///
    /// # Errors
    /// For other types than integers and bools, other ranks, and negative elements.
    pub fn bincount(&self, least: usize) -> Result<Self> {
        if self.dtype() > DType::U64 || self.dtype() == DType::U64 {
            return Err(ArrayError::Type {
                operation: "bincount",
                dtype: self.dtype().to_string(),
                hint: "convert it to int64 with `astype`",
            });
        }
        if self.rank() != 1 {
            return Err(ArrayError::Shape {
                operation: "bincount",
                expected: "an array of rank 1".into(),
                got: self.shape().to_string(),
            });
        }
        if self.size() == 0 {
            return Ok(Self::zeros([least], DType::I64));
        }
        let values = self.astype(DType::I64);
        let both = super::compute_all(&[&values.min(..)?, &values.max(..)?])?;
        let one = |tile: &Tile| Ok::<_, ArrayError>(tile.to_array::<i64>()?.sum());
        let (low, high) = (one(&both[0])?, one(&both[1])?);
        if low < 0 {
            return Err(ArrayError::Argument {
                operation: "bincount",
                argument: "each element",
                expected: "at least 0".into(),
                got: low.to_string(),
            });
        }
        let bins = (high as usize + 1).max(least);
        Ok(Self::counted("bincount", &values, bins, |tile, counts| {
            tile.to_array::<i64>()?.iter().for_each(|v| counts[*v as usize] += 1);
            Ok(())
        }))
    }

    /// The Euclidean norm: the root of the sum of the squared magnitudes. Of integers and
    /// bools as `f64`.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn norm(&self, axes: impl Into<Axes>) -> Result<Self> {
        let exact = !self.dtype().is_float() && !self.dtype().is_complex();
        let values = if exact { self.astype(DType::F64) } else { self.absolute()? };
        // Squares of 32-bit floats in 64 bits: they neither overflow nor vanish.
        let wide = values.astype(DType::F64);
        Ok(wide.square()?.sum(axes)?.sqrt()?.astype(values.dtype()))
    }
}
