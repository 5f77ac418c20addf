//! Row numbers from flags, and flags as a bitmap.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rayon::prelude::*;

/// Rows of a task: a thread's start is small beside it (a guess).
const TASK: usize = 1 << 16;

/// The numbers of the rows whose flag is `wanted`, ascending.
pub(crate) fn selected(flags: &[AtomicU8], wanted: bool) -> Vec<u32> {
    let is = |f: &AtomicU8| (f.load(Relaxed) != 0) == wanted;
    let counts: Vec<usize> =
        flags.par_chunks(TASK).map(|task| task.iter().filter(|f| is(f)).count()).collect();
    let mut rows = vec![0u32; counts.iter().sum()];
    let mut rest = &mut rows[..];
    let parts: Vec<&mut [u32]> = counts
        .iter()
        .map(|n| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(*n);
            rest = after;
            part
        })
        .collect();
    parts.into_par_iter().zip(flags.par_chunks(TASK)).enumerate().for_each(|(t, (out, flags))| {
        let wanted = flags.iter().enumerate().filter(|(_, f)| is(f));
        for (out, (i, _)) in out.iter_mut().zip(wanted) {
            *out = (t * TASK + i) as u32;
        }
    });
    rows
}

/// The flags as bits in 32-bit words, least significant first; zeros at the end.
pub(crate) fn bitmap(flags: &[AtomicU8]) -> Vec<u32> {
    let word = |flags: &[AtomicU8]| {
        let bits = flags.iter().enumerate().map(|(i, f)| u32::from(f.load(Relaxed) != 0) << i);
        bits.fold(0, |a, b| a | b)
    };
    flags.par_chunks(32).with_min_len(TASK / 32).map(word).collect()
}
