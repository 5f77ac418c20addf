//! The twin of `kernels/compact/close_gaps.cu`.

/// The values at the start of each tile of `from`, side by side. `offsets` has one entry
/// for each tile and the total at its end, in values; a tile takes `tile` words of `from`
/// and a value `words`.
pub fn close_gaps(from: &[u32], offsets: &[u32], tile: usize, words: usize) -> Vec<u32> {
    let mut out = Vec::new();
    for (t, pair) in offsets.windows(2).enumerate() {
        let count = (pair[1] - pair[0]) as usize * words;
        out.extend_from_slice(&from[t * tile..t * tile + count]);
    }
    out
}
