//! Norms of the rows of an array, the rows brought to length 1, and what their columns look like
//! then; chunk by chunk, without the whole array in memory.
//!
//! `cargo run --release --example arrays [ROWS]`, 100,000 rows of 768 numbers if not said otherwise.

use windlass::array::{Array, Axes, compute_all};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: usize = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|e| format!("rows are a whole number: {text}: {e}"))?,
        None => 100_000,
    };
    let x = Array::random_normal([rows, 768], (0.0, 1.0), 7)?;
    let norms = x.square()?.sum(Axes::of(1).keepdims())?.sqrt()?;
    let unit = &x / &norms;
    println!("{unit:?}: {} bytes, of which a chunk at a time is there", unit.nbytes());
    let columns = [unit.mean(0)?, unit.std(0, 0.0)?, norms.min(..)?, norms.max(..)?];
    let [mean, spread, least, most] = &compute_all(&columns.each_ref())?[..] else {
        return Err("as many results as were asked for".into());
    };
    let first = |tile: &windlass::array::Tile| tile.clone().into_array::<f64>().map(|a| a[[0]]);
    println!("column 0: mean {:+.6}, spread {:.6}", first(mean)?, first(spread)?);
    let only = |tile: &windlass::array::Tile| tile.clone().into_array::<f64>().map(|a| a[[]]);
    println!("norms from {:.3} to {:.3}", only(least)?, only(most)?);
    Ok(())
}
