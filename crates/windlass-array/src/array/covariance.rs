//! Covariances and correlations of variables.

use super::{Array, operand::Operand};
use crate::{
    dtype::DType,
    element::C64,
    error::{ArrayError, Result},
    expr::{
        BoxError,
        regions::{Partial, Reads, Regions},
    },
    grid::{AxisGrid, ChunkGrid},
    region::{Region, Span},
    tile::Tile,
};

/// What a covariance is made of.
#[derive(Debug, Clone)]
pub struct Covariance {
    /// Whether each row is a variable and each column an observation, else the other way
    /// round.
    pub by_rows: bool,
    /// What the number of observations is lessened by.
    pub ddof: f64,
    /// How often each observation came: integers of rank 1.
    pub frequencies: Option<Array>,
    /// The weight of each observation: of rank 1.
    pub weights: Option<Array>,
}

impl Default for Covariance {
    fn default() -> Self {
        Self { by_rows: true, ddof: 1.0, frequencies: None, weights: None }
    }
}

/// The products of the rows of two arrays, summed over the columns.
struct Products {
    along: AxisGrid,
    complex: bool,
}

impl Regions for Products {
    fn name(&self) -> &'static str {
        "cov"
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn parts(&self, region: &Region) -> Vec<Reads> {
        let part = |i: usize| {
            let (begin, end) = self.along.bounds(i);
            let columns = Span::new(begin, 1, end - begin);
            let rows = |axis: usize| (axis, Region::new(vec![region.axes[axis], columns]));
            vec![rows(0), rows(1)]
        };
        (0..self.along.count()).map(part).collect()
    }

    fn part(&self, _: &Region, _: usize, inputs: &[Tile]) -> Result<Partial, BoxError> {
        macro_rules! product {
            ($t:ty) => {{
                let a = inputs[0].to_array::<$t>()?.into_dimensionality::<ndarray::Ix2>()?;
                let b = inputs[1].to_array::<$t>()?.into_dimensionality::<ndarray::Ix2>()?;
                Tile::from_array(a.dot(&b.t()).into_dyn())
            }};
        }
        let product = if self.complex { product!(C64) } else { product!(f64) };
        Ok(Partial::one(product.to_dense()))
    }

    fn merge(&self, _: &Region, parts: &[&Partial]) -> Result<Partial, BoxError> {
        macro_rules! sum {
            ($t:ty) => {{
                let mut sum = parts[0].0[0].to_array::<$t>()?;
                for part in &parts[1..] {
                    sum += &part.0[0].to_array::<$t>()?;
                }
                Tile::from_array(sum)
            }};
        }
        Ok(Partial::one(if self.complex { sum!(C64) } else { sum!(f64) }))
    }
}

impl Array {
    /// The covariances of variables, of which each row (or column) holds the observations:
    /// NumPy's `cov`. An array of rank 1 is one variable, whose variance has rank 0.
    ///
    /// # Errors
    /// For more than 2 axes, and weights that are not one for each observation.
    pub fn cov(&self, of: &Covariance) -> Result<Self> {
        let rows = match self.rank() {
            0 | 1 => self.reshape([1, self.size()])?,
            2 if of.by_rows || self.shape()[0] == 1 => self.clone(),
            2 => self.transpose(),
            _ => {
                return Err(ArrayError::Shape {
                    operation: "cov",
                    expected: "an array of at most 2 axes".into(),
                    got: self.shape().to_string(),
                });
            }
        };
        let n = rows.shape()[1];
        let complex = rows.dtype().is_complex();
        let x = rows.astype(if complex { DType::C128 } else { DType::F64 });
        let mut weights: Option<Self> = None;
        for own in [&of.frequencies, &of.weights].into_iter().flatten() {
            if own.rank() != 1 || own.size() != n {
                return Err(ArrayError::Shape {
                    operation: "cov",
                    expected: format!("{n} weights of rank 1"),
                    got: own.shape().to_string(),
                });
            }
            let own = own.astype(DType::F64);
            weights = Some(weights.map_or(Ok(own.clone()), |w| w.multiply(&own))?);
        }
        let keep = || super::Axes::of(1).keepdims();
        let (mean, weighted, factor): (Self, Option<Self>, Operand) = match &weights {
            None => (x.mean(keep())?, None, (n as f64 - of.ddof).max(0.0).into()),
            Some(w) => {
                let sum = w.sum(0)?;
                let mean = x.multiply(w)?.sum(keep())?.divide(&sum)?;
                let off: Operand = match &of.weights {
                    Some(a) if of.ddof != 0.0 => {
                        let own = w.multiply(a.astype(DType::F64))?.sum(0)?;
                        own.multiply(of.ddof)?.divide(&sum)?.into()
                    }
                    _ => of.ddof.into(),
                };
                (mean, Some(w.clone()), sum.subtract(off)?.into())
            }
        };
        let centred = x.subtract(&mean)?;
        let other = match &weighted {
            Some(w) => centred.multiply(w)?,
            None => centred.clone(),
        };
        let other = if complex { other.conj()? } else { other };
        let input = centred.chunks().tasks(centred.dtype().bytes(), true);
        let along = input.axes()[1].clone();
        let axis = rows.chunks().axes()[0].clone();
        let grid = ChunkGrid::new(vec![axis.clone(), axis]);
        let dtype = centred.dtype();
        let products = Products { along, complex };
        let found = Self::regions(products, &[&centred, &other], dtype, grid);
        Ok(found.divide(factor)?.squeeze())
    }

    /// The correlations of variables, of which each row (or column) holds the observations:
    /// NumPy's `corrcoef`.
    ///
    /// # Errors
    /// As [`Array::cov`].
    pub fn corrcoef(&self, by_rows: bool) -> Result<Self> {
        let c = self.cov(&Covariance { by_rows, ..Covariance::default() })?;
        if c.rank() == 0 {
            return c.divide(&c);
        }
        let n = c.shape()[0];
        let places = Self::arange(0, n as i64, 1)?.reshape([n, 1])?;
        let deviations = c.real()?.take_along_axis(&places, 1)?.sqrt()?;
        let found = c.divide(&deviations)?.divide(deviations.transpose())?;
        if found.dtype().is_complex() {
            return Ok(found);
        }
        found.clip(-1.0, 1.0)
    }
}
