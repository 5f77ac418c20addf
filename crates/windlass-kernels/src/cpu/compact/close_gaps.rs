//! The twin of `kernels/compact/close_gaps.cu`.

use crate::{
    compact::OPERATION,
    error::{KernelError, Result},
};

/// The values at the start of each tile of `from`, side by side. `offsets` has one entry
/// for each tile and the total at its end, in values; a tile takes `tile` words of `from`
/// and a value `words`.
///
/// # Errors
/// `Invalid` for offsets that do not begin with 0 and ascend, and for more values in a tile than
/// it or `from` has room for.
pub fn close_gaps(from: &[u32], offsets: &[u32], tile: usize, words: usize) -> Result<Vec<u32>> {
    let wrong = |expected: &str, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected: expected.into(), got })
    };
    if let Some(first) = offsets.first().filter(|o| **o != 0) {
        return wrong("offsets that begin with 0", first.to_string());
    }
    let mut out = Vec::with_capacity(offsets.last().map_or(0, |o| *o as usize * words));
    for (t, pair) in offsets.windows(2).enumerate() {
        let Some(count) = pair[1].checked_sub(pair[0]) else {
            return wrong("offsets that ascend", format!("{} after {}", pair[1], pair[0]));
        };
        let taken = count as usize * words;
        match from.get(t * tile..t * tile + taken) {
            Some(values) if taken <= tile => out.extend_from_slice(values),
            _ => return wrong("values that lie in their tiles", format!("{count} in tile {t}")),
        }
    }
    Ok(out)
}
