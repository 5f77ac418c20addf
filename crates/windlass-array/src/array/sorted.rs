//! Sorting along an axis, and what follows from the order: medians, quantiles, searching.
//! NaN comes last; complex numbers go by their real parts, then by the imaginary ones. Each
//! line along the axis is brought into one chunk.

use std::cmp::Ordering;

use ndarray::Axis;

use super::Array;
use crate::{
    dtype::DType,
    element::dispatch,
    error::{ArrayError, Result},
    reduce::extremes::Ordered,
    tile::Tile,
};

/// The order of elements, NaN last.
fn order<T: Ordered>(a: &T, b: &T) -> Ordering {
    match (a.is_not_a_number(), b.is_not_a_number()) {
        (false, false) if a.is_less(*b) => Ordering::Less,
        (false, false) if b.is_less(*a) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

/// The quantile of some numbers, of which there is at least one: between the two elements
/// around its place, in proportion. NaN if one is.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let place = q * (values.len() - 1) as f64;
    let (low, share) = (place.floor() as usize, place - place.floor());
    let (_, &mut a, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let b = above.iter().copied().reduce(f64::min).unwrap_or(a);
    if share == 0.0 || a == b {
        a
    } else if share < 0.5 {
        a + (b - a) * share
    } else {
        b - (b - a) * (1.0 - share)
    }
}

impl Array {
    /// The elements along an axis in ascending order, NaN last.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn sort(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "sort")?;
        let dtype = self.dtype();
        let (whole, grid) = self.lanes(at, self.shape()[at]);
        Ok(Self::blocks(&[&whole], dtype, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let mut values = tiles[0].to_array::<T>()?;
                for mut line in values.lanes_mut(Axis(at)) {
                    let mut own = line.to_vec();
                    own.sort_unstable_by(order::<T>);
                    line.iter_mut().zip(own).for_each(|(to, v)| *to = v);
                }
                Ok(Tile::from_array(values))
            })
        }))
    }

    /// The positions along an axis that bring its elements into ascending order, NaN last and
    /// equal ones as they come, as `i64`.
    ///
    /// # Errors
    /// If the axis is out of range.
    pub fn argsort(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "argsort")?;
        let dtype = self.dtype();
        let (whole, grid) = self.lanes(at, self.shape()[at]);
        Ok(Self::blocks(&[&whole], DType::I64, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let values = tiles[0].to_array::<T>()?;
                let mut places = ndarray::ArrayD::<i64>::zeros(values.raw_dim());
                for (from, mut to) in values.lanes(Axis(at)).into_iter().zip(places.lanes_mut(Axis(at))) {
                    let mut own: Vec<i64> = (0..from.len() as i64).collect();
                    own.sort_by(|&a, &b| order::<T>(&from[a as usize], &from[b as usize]));
                    to.iter_mut().zip(own).for_each(|(to, p)| *to = p);
                }
                Ok(Tile::from_array(places))
            })
        }))
    }

    /// The `k` greatest elements along an axis, the greatest first; NaN counts as greater
    /// than any number.
    ///
    /// # Errors
    /// If the axis is out of range or has fewer elements.
    pub fn topk(&self, k: usize, axis: isize) -> Result<Self> {
        let at = self.shape().axis(axis, "topk")?;
        let len = self.shape()[at];
        if k > len {
            return Err(ArrayError::Argument {
                operation: "topk",
                argument: "k",
                expected: format!("at most the {len} elements of axis {at}"),
                got: k.to_string(),
            });
        }
        let dtype = self.dtype();
        let (whole, grid) = self.lanes(at, k);
        Ok(Self::blocks(&[&whole], dtype, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let values = tiles[0].to_array::<T>()?;
                let mut lens = values.shape().to_vec();
                lens[at] = k;
                let mut found = ndarray::ArrayD::<T>::default(lens);
                for (from, mut to) in values.lanes(Axis(at)).into_iter().zip(found.lanes_mut(Axis(at))) {
                    let mut own = from.to_vec();
                    if k < own.len() && k > 0 {
                        own.select_nth_unstable_by(k - 1, |a, b| order::<T>(b, a));
                        own.truncate(k);
                    }
                    own.sort_unstable_by(|a, b| order::<T>(b, a));
                    to.iter_mut().zip(own).for_each(|(to, v)| *to = v);
                }
                Ok(Tile::from_array(found))
            })
        }))
    }

    /// The element below which a share `q` of the elements along an axis lies, in proportion
    /// between two; without an axis among all. Of integers and bools as `f64`; NaN if one is.
    ///
    /// # Errors
    /// If the axis is out of range, `q` is not in 0..=1, or there is no element; for complex
    /// numbers.
    pub fn quantile(&self, q: f64, axis: Option<isize>) -> Result<Self> {
        let Some(axis) = axis else { return self.ravel()?.quantile(q, Some(0)) };
        let at = self.shape().axis(axis, "quantile")?;
        if !(0.0..=1.0).contains(&q) {
            return Err(ArrayError::Argument {
                operation: "quantile",
                argument: "q",
                expected: "in 0..=1".into(),
                got: q.to_string(),
            });
        }
        if self.dtype().is_complex() {
            return Err(ArrayError::Type {
                operation: "quantile",
                dtype: self.dtype().to_string(),
                hint: "it is defined for real numbers",
            });
        }
        if self.shape()[at] == 0 {
            let (operation, shape) = ("quantile", self.shape().clone());
            return Err(ArrayError::Empty { operation, axis: at, shape });
        }
        let dtype = if self.dtype().is_float() { self.dtype() } else { DType::F64 };
        let (whole, grid) = self.astype(DType::F64).lanes(at, 1);
        let found = Self::blocks(&[&whole], DType::F64, grid, move |tiles, _| {
            let values = tiles[0].to_array::<f64>()?;
            let found = values.map_axis(Axis(at), |line| quantile(&mut line.to_vec(), q));
            Ok(Tile::from_array(found.insert_axis(Axis(at))))
        });
        found.astype(dtype).index_axis(at as isize, 0)
    }

    /// As [`Array::quantile`], of a share in percent.
    ///
    /// # Errors
    /// As there.
    pub fn percentile(&self, percent: f64, axis: Option<isize>) -> Result<Self> {
        self.quantile(percent / 100.0, axis)
    }

    /// The middle element along an axis, or the mean of the two: [`Array::quantile`] of 0.5.
    ///
    /// # Errors
    /// As there.
    pub fn median(&self, axis: Option<isize>) -> Result<Self> {
        self.quantile(0.5, axis)
    }

    /// Where each element would stand in a sorted array of rank 1, as `i64`: before the
    /// elements that equal it, or behind them if `right`. The sorted array is computed now
    /// and held by every task.
    ///
    /// # Errors
    /// If the sorted array is not of rank 1, or computing it fails.
    pub fn searchsorted(&self, sorted: &Self, right: bool) -> Result<Self> {
        if sorted.rank() != 1 {
            return Err(ArrayError::Shape {
                operation: "searchsorted",
                expected: "a sorted array of rank 1".into(),
                got: sorted.shape().to_string(),
            });
        }
        let dtype = self.dtype().promote(sorted.dtype());
        let sorted = sorted.astype(dtype).compute_tile()?;
        let values = self.astype(dtype);
        let grid = self.chunks().clone();
        Ok(Self::blocks(&[&values], DType::I64, grid, move |tiles, _| {
            dispatch!(dtype, T => {
                let sorted = &sorted.buf().typed::<T>()[sorted.offset()..];
                let place = |v: &T| -> i64 {
                    let below = |s: &T| match order::<T>(s, v) {
                        Ordering::Less => true,
                        Ordering::Equal => right,
                        Ordering::Greater => false,
                    };
                    sorted.partition_point(below) as i64
                };
                Ok(Tile::from_array(tiles[0].to_array::<T>()?.mapv(|v| place(&v))))
            })
        }))
    }

    /// Its different elements in ascending order, NaN once, as rank 1. It is computed now,
    /// chunk by chunk: the shape of the result depends on it.
    ///
    /// # Errors
    /// If computing it fails.
    pub fn unique(&self) -> Result<Self> {
        let dtype = self.dtype();
        dispatch!(dtype, T => {
            let mut found: Vec<T> = Vec::new();
            for part in self.ravel()?.parts()? {
                found.extend(part.compute::<T>()?);
                found.sort_unstable_by(order::<T>);
                found.dedup_by(|a, b| order::<T>(a, b) == Ordering::Equal);
            }
            Ok(Self::from_slice(&found))
        })
    }

    /// The parts of rank 1 that fit in memory together with what is found in them.
    fn parts(&self) -> Result<Vec<Self>> {
        let len = self.size();
        let step = (crate::CHUNK_BYTES / self.dtype().bytes()).max(1);
        let bounds = (0..len).step_by(step).map(|i| (i as i64, (i + step).min(len) as i64));
        bounds.map(|(a, b)| self.index_axis(0, a..b)).collect()
    }
}
