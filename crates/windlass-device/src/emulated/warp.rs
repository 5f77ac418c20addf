//! The results of warp operations, computed once every live lane has arrived.

use super::{
    abi::{Thread, op},
    memory::POISON,
};

/// Threads of a warp.
pub(super) const WARP: usize = 32;

/// What a lane reads from one that has left or lies past the block.
const UNDEFINED: [u64; 2] = [u64::from_ne_bytes([POISON; 8]); 2];

/// Fills in the results of one operation. `lanes` holds the warp's threads by lane, `None`
/// for those that have left the kernel or never were.
///
/// # Safety
/// The pointers are valid and no fiber of the warp runs.
pub(super) unsafe fn resolve(lanes: &[Option<*mut Thread>; WARP]) {
    let live = || lanes.iter().enumerate().filter_map(|(l, t)| t.map(|t| (l, t)));
    let Some((_, first)) = live().next() else { return };
    // SAFETY: valid by this function's contract, here and below.
    let kind = unsafe { (*first).op };
    let value = |lane: usize| match lanes.get(lane) {
        // SAFETY: as above.
        Some(Some(t)) => unsafe { (**t).input },
        _ => UNDEFINED,
    };
    if kind == op::BALLOT {
        let mask = live().filter(|(l, _)| value(*l)[0] != 0).fold(0u64, |m, (l, _)| m | 1 << l);
        for (_, t) in live() {
            // SAFETY: as above.
            unsafe { (*t).output = [mask, 0] }
        }
        return;
    }
    for (lane, t) in live() {
        // SAFETY: as above.
        let arg = unsafe { (*t).arg } as usize;
        let result = match kind {
            op::MATCH => {
                let mine = value(lane)[0];
                [live().filter(|(l, _)| value(*l)[0] == mine).fold(0, |m, (l, _)| m | 1 << l), 0]
            }
            op::SHFL => value(arg % WARP),
            op::SHFL_UP => value(lane.checked_sub(arg).unwrap_or(lane)),
            op::SHFL_DOWN => value(if lane + arg < WARP { lane + arg } else { lane }),
            op::SHFL_XOR => value(lane ^ (arg % WARP)),
            _ => [0, 0],
        };
        // SAFETY: as above.
        unsafe { (*t).output = result }
    }
}
