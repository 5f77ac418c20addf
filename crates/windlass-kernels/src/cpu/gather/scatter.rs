//! The twin of `kernels/gather/scatter.cu`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::gather::AHEAD;
use crate::{
    cpu::{memory::prefetch, pieces::PIECE, tasks},
    error::{KernelError, Result},
};

/// For each of `rows` places the number of the row that `indices` sends there, `u32::MAX` where
/// none is sent. The index `u32::MAX` sends a row nowhere.
///
/// # Errors
/// `Invalid` for a place that there is not.
pub(crate) fn sources(indices: &[u32], rows: usize) -> Result<Vec<u32>> {
    let outside = |i: u32| i as usize >= rows && i != u32::MAX;
    let (out, wrong) = if indices.len() <= PIECE {
        let mut out = vec![u32::MAX; rows];
        let mut wrong = false;
        for (row, place) in indices.iter().enumerate() {
            match out.get_mut(*place as usize) {
                Some(out) => *out = row as u32,
                None => wrong |= outside(*place),
            }
        }
        (out, wrong)
    } else {
        // Two rows may be sent to one place, so the stores are atomic.
        let out: Vec<AtomicU32> = (0..rows).map(|_| AtomicU32::new(u32::MAX)).collect();
        let wrong = AtomicBool::new(false);
        tasks::each_of(indices.chunks(PIECE), |piece, places| {
            let ahead = indices.get(piece * PIECE + AHEAD..).unwrap_or_default();
            for (k, place) in places.iter().enumerate() {
                if let Some(next) = ahead.get(k) {
                    prefetch(&out, *next as usize);
                }
                match out.get(*place as usize) {
                    Some(out) => out.store((piece * PIECE + k) as u32, Ordering::Relaxed),
                    None if outside(*place) => wrong.store(true, Ordering::Relaxed),
                    None => {}
                }
            }
        });
        (out.into_iter().map(AtomicU32::into_inner).collect(), wrong.into_inner())
    };
    if wrong {
        let got = indices.iter().copied().find(|i| outside(*i)).unwrap_or(u32::MAX).to_string();
        let expected = format!("places less than {rows}");
        return Err(KernelError::Invalid { operation: "scatter", expected, got });
    }
    Ok(out)
}
