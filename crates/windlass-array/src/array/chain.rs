//! Products of many matrices in the cheapest order.

use super::Array;
use crate::error::{ArrayError, Result};

/// Between which matrices each range of them is cut, for the fewest multiplications: the dynamic
/// program of S. S. Godbole, *On Efficient Computation of Matrix Chain Products* (1973). Matrix
/// `i` has `lens[i]` rows and `lens[i + 1]` columns.
fn cuts(lens: &[usize]) -> Vec<Vec<usize>> {
    let n = lens.len() - 1;
    let (mut cost, mut cut) = (vec![vec![0_u128; n]; n], vec![vec![0; n]; n]);
    for width in 1..n {
        for i in 0..n - width {
            let j = i + width;
            let of = |k: usize| {
                let own = lens[i] as u128 * lens[k + 1] as u128 * lens[j + 1] as u128;
                cost[i][k] + cost[k + 1][j] + own
            };
            let best = (i..j).min_by_key(|k| of(*k)).unwrap_or(i);
            (cost[i][j], cut[i][j]) = (of(best), best);
        }
    }
    cut
}

impl Array {
    /// The product of two or more matrices, in the order that takes the fewest multiplications:
    /// NumPy's `multi_dot`. The first may be a row and the last a column of rank 1; the result
    /// lacks their axes.
    ///
    /// # Errors
    /// For fewer than two arrays, others than matrices, and shapes that do not fit.
    pub fn multi_dot(arrays: &[&Self]) -> Result<Self> {
        const NAME: &str = "multi_dot";
        let last = arrays.len().wrapping_sub(1);
        if arrays.len() < 2 {
            return Err(ArrayError::Argument {
                operation: NAME,
                argument: "arrays",
                expected: "at least two".into(),
                got: arrays.len().to_string(),
            });
        }
        let mut own = Vec::with_capacity(arrays.len());
        for (i, a) in arrays.iter().enumerate() {
            own.push(match a.rank() {
                1 if i == 0 => a.expand_dims(0)?,
                1 if i == last => a.expand_dims(1)?,
                2 => (*a).clone(),
                _ => {
                    return Err(ArrayError::Shape {
                        operation: NAME,
                        expected: "matrices, and vectors at either end".into(),
                        got: format!("shape {} at place {i}", a.shape()),
                    });
                }
            });
        }
        let mut lens: Vec<usize> = own.iter().map(|a| a.shape()[0]).collect();
        lens.push(own[last].shape()[1]);
        let product = multiplied(&own, &cuts(&lens), 0, last)?;
        let gone: Vec<isize> = [(0, -2), (last, -1)]
            .into_iter()
            .filter(|(i, _)| arrays[*i].rank() == 1)
            .map(|(_, axis)| axis)
            .collect();
        if gone.is_empty() { Ok(product) } else { product.squeeze_axes(&gone) }
    }
}

fn multiplied(arrays: &[Array], cuts: &[Vec<usize>], from: usize, to: usize) -> Result<Array> {
    if from == to {
        return Ok(arrays[from].clone());
    }
    let cut = cuts[from][to];
    let left = multiplied(arrays, cuts, from, cut)?;
    left.matmul(&multiplied(arrays, cuts, cut + 1, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_order_is_found() {
        // (AB)C takes 10*100*5 + 10*5*50 multiplications, A(BC) ten times as many.
        assert_eq!(cuts(&[10, 100, 5, 50])[0][2], 1);
        assert_eq!(cuts(&[50, 5, 100, 10])[0][2], 0);
    }
}
