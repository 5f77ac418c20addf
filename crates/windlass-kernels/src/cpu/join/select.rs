//! Row numbers from flags, and flags as a bitmap.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::cpu::{pieces, tasks};

/// Rows of a task: a thread's start is small beside it (a guess).
const TASK: usize = 1 << 16;

/// The numbers of the rows whose flag is `wanted`, ascending.
pub(crate) fn selected(flags: &[AtomicU8], wanted: bool) -> Vec<u32> {
    let is = |f: &AtomicU8| (f.load(Relaxed) != 0) == wanted;
    let counts = tasks::map_of(flags.chunks(TASK), |_, task| task.iter().filter(|f| is(f)).count());
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
    tasks::each_of(parts.into_iter().zip(flags.chunks(TASK)), |t, (out, flags)| {
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
    pieces::map_chunks(flags, 32, word)
}
