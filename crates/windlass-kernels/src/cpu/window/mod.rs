//! The twins of `kernels/window`.

use std::borrow::Cow;

use bytemuck::Pod;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    memory::adopt,
    pieces::{self, PIECE},
    scan::{total32, total64},
    tasks,
    view::{Bits, aligned_words, host},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    types::PhysType,
    window::{Bound, Frame, FrameOp, Frames, Pick},
};

/// The first row of each frame, and the first row after it.
pub(crate) fn frames(
    device: &dyn Device,
    reservation: &mut Reservation,
    (starts, peers): (&DeviceBuffer, &DeviceBuffer),
    rows: usize,
    frame: Frame,
) -> Result<(DeviceBuffer, DeviceBuffer)> {
    let _held = reservation.allocate(rows * 4 * 4)?;
    let part = Runs::new(&aligned_words(starts, rows)?);
    let by_peers = frame.start == Bound::Peers || frame.end == Bound::Peers;
    let peer = match by_peers {
        true => Some(Runs::new(&aligned_words(peers, rows)?)),
        false => None,
    };
    let peer = peer.as_ref().unwrap_or(&part);
    let low_of = |i: usize| {
        let (row, first, after) = (i as u32, part.first[i], part.after[i]);
        match frame.start {
            Bound::Partition => first,
            Bound::Peers => peer.first[i],
            Bound::Before(n) => row.saturating_sub(n).max(first),
            Bound::After(n) => row.saturating_add(n).min(after),
        }
    };
    let high_of = |i: usize, low: u32| {
        let (row, first, after) = (i as u32, part.first[i], part.after[i]);
        let high = match frame.end {
            Bound::Partition => after,
            Bound::Peers => peer.after[i],
            Bound::Before(n) => (row + 1).saturating_sub(n).max(first),
            Bound::After(n) => (row + 1).saturating_add(n).min(after),
        };
        high.max(low)
    };
    let (mut low, mut high) = (vec![0u32; rows], vec![0u32; rows]);
    let pieces = low.chunks_mut(PIECE).zip(high.chunks_mut(PIECE));
    tasks::each_of(pieces, |piece, (low, high)| {
        for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
            let i = piece * PIECE + k;
            *low = low_of(i);
            *high = high_of(i, *low);
        }
    });
    Ok((adopt(device, reservation, low)?, adopt(device, reservation, high)?))
}

/// The first row of each row's run, and the first row after it.
struct Runs {
    first: Vec<u32>,
    after: Vec<u32>,
}

impl Runs {
    fn new(starts: &[u32]) -> Self {
        let n = starts.len();
        let (first, after) = rayon::join(
            || {
                let mut at = 0;
                let first = starts.iter().enumerate().map(|(i, start)| {
                    at = if *start != 0 { i as u32 } else { at };
                    at
                });
                first.collect()
            },
            || {
                let mut after = vec![n as u32; n];
                let mut at = n as u32;
                for i in (0..n).rev() {
                    after[i] = at;
                    at = if starts[i] != 0 { i as u32 } else { at };
                }
                after
            },
        );
        Self { first, after }
    }
}

/// The bounds of frames.
fn bounds(frames: &Frames) -> Result<[Cow<'_, [u32]>; 2]> {
    let (low, high) = frames.bounds();
    Ok([aligned_words(low, frames.rows())?, aligned_words(high, frames.rows())?])
}

/// See [`crate::window::pick`].
pub(crate) fn pick(
    device: &dyn Device,
    reservation: &mut Reservation,
    frames: &Frames,
    which: Pick,
) -> Result<DeviceBuffer> {
    let [low, high] = bounds(frames)?;
    let picked = pieces::tabulate(low.len().min(high.len()), |i| {
        let (low, high) = (low[i], high[i]);
        match which {
            Pick::FromFirst(k) if k < high - low => low + k,
            Pick::FromLast(k) if k < high - low => high - 1 - k,
            _ => u32::MAX,
        }
    });
    adopt(device, reservation, picked)
}

/// See [`crate::window::aggregate`]; the column is wide.
pub(crate) fn aggregate(
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &DeviceColumn,
    frames: &Frames,
    op: FrameOp,
) -> Result<DeviceColumn> {
    let [low, high] = bounds(frames)?;
    let valid = if c.nullable() { Some(Bits::validity(c)?) } else { None };
    let bytes = host(&c.values)?;
    let mut run = Run { device, reservation, bytes, valid, low: &low, high: &high };
    // Narrow integers lie in words.
    macro_rules! extreme {
        ($word:ty, $t:ty) => {{
            let (load, store) = (<$word>::from_le_bytes, |v: $word| v as $t);
            match op {
                FrameOp::Min => run.over(load, store, <$word>::MAX, <$word>::min),
                _ => run.over(load, store, <$word>::MIN, <$word>::max),
            }
        }};
    }
    macro_rules! extreme_float {
        ($word:ty, $order:ident) => {{
            let (load, store) = (|b| $order(<$word>::from_le_bytes(b)), $order);
            match op {
                FrameOp::Min => run.over(load, store, <$word>::MAX, <$word>::min),
                _ => run.over(load, store, <$word>::MIN, <$word>::max),
            }
        }};
    }
    use PhysType as T;
    let (values, validity) = match (op, c.ty) {
        (FrameOp::Sum, T::F32) => run.over(f32::from_le_bytes, |v| v, 0.0, |a, b| a + b),
        (FrameOp::Sum, T::F64) => run.over(f64::from_le_bytes, |v| v, 0.0, |a, b| a + b),
        // Wrapping addition is the same for both signs.
        (FrameOp::Sum, T::I128) => run.over(u128::from_le_bytes, |v| v, 0, u128::wrapping_add),
        (FrameOp::Sum, ty) if ty.words() == 2 => {
            run.over(u64::from_le_bytes, |v| v, 0, u64::wrapping_add)
        }
        (FrameOp::Sum, _) => run.over(u32::from_le_bytes, |v| v, 0, u32::wrapping_add),
        (_, T::I8) => extreme!(i32, i8),
        (_, T::I16) => extreme!(i32, i16),
        (_, T::I32) => extreme!(i32, i32),
        (_, T::I64) => extreme!(i64, i64),
        (_, T::U8) => extreme!(u32, u8),
        (_, T::U16) => extreme!(u32, u16),
        (_, T::U64) => extreme!(u64, u64),
        (_, T::F32) => extreme_float!(i32, total32),
        (_, T::F64) => extreme_float!(i64, total64),
        (_, T::I128) => extreme!(i128, i128),
        (_, T::U32 | T::Bool) => extreme!(u32, u32),
    }?;
    Ok(DeviceColumn { ty: c.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
}

/// Rows by which a frame may grow over the one before it, so that its rows are added to that
/// one's result instead of looked up in the tree. A guess: fewer than a look-up visits.
const GROWTH: usize = 8;

struct Run<'a, 'r> {
    device: &'a dyn Device,
    reservation: &'r mut Reservation,
    bytes: &'a [u8],
    valid: Option<Bits<'a>>,
    low: &'a [u32],
    high: &'a [u32],
}

impl Run<'_, '_> {
    /// Applies an operator, whose neutral element is `none`, to the values of each frame.
    fn over<const W: usize, A: Copy + Send + Sync, T: Pod + Send + Sync>(
        &mut self,
        load: impl Fn([u8; W]) -> A + Sync,
        store: impl Fn(A) -> T + Sync,
        none: A,
        apply: impl Fn(A, A) -> A + Sync,
    ) -> Result<(DeviceBuffer, Validity)> {
        let n = self.low.len();
        let _held = self.reservation.allocate(n * (2 * size_of::<A>() + 8))?;
        let tree = Tree::new(&self.bytes.as_chunks::<W>().0[..n], self.valid, load, none, &apply);
        // Values before each row; without nulls those are the rows.
        let seen: Option<Vec<u32>> = self.valid.map(|valid| {
            let mut sum = 0;
            let before = (0..n).map(|i| {
                let before = sum;
                sum += u32::from(valid.get(i) == Some(true));
                before
            });
            let mut seen: Vec<u32> = before.collect();
            seen.push(sum);
            seen
        });
        let mut out = vec![T::zeroed(); n];
        let mut bits = vec![0u64; n.div_ceil(64)];
        let pieces = out.chunks_mut(PIECE).zip(bits.chunks_mut(PIECE / 64));
        tasks::each_of(pieces, |piece, (out, bits)| {
            let (mut from, mut to, mut at) = (0, 0, none);
            for (k, out) in out.iter_mut().enumerate() {
                let i = piece * PIECE + k;
                let (low, high) = (self.low[i] as usize, self.high[i] as usize);
                if k > 0 && low == from && (to..=to + GROWTH).contains(&high) {
                    at = tree.rows[to..high].iter().fold(at, |a, v| apply(a, *v));
                } else {
                    at = tree.range(low, high, none, &apply);
                }
                (from, to) = (low, high);
                let some = seen.as_ref().map_or(low < high, |s| s[low] < s[high]);
                if some {
                    *out = store(at);
                    bits[k / 64] |= 1 << (k % 64);
                }
            }
        });
        let values = adopt(self.device, self.reservation, out)?;
        let bits = adopt(self.device, self.reservation, bits)?;
        Ok((values, Validity::Bits { bits, bit_offset: 0 }))
    }
}

/// The rows, and the levels of pairs above them.
struct Tree<A> {
    rows: Vec<A>,
    levels: Vec<Vec<A>>,
}

impl<A: Copy + Send + Sync> Tree<A> {
    fn new<const W: usize>(
        values: &[[u8; W]],
        valid: Option<Bits<'_>>,
        load: impl Fn([u8; W]) -> A + Sync,
        none: A,
        apply: &(impl Fn(A, A) -> A + Sync),
    ) -> Self {
        let row = |(i, v): (usize, &[u8; W])| match valid {
            Some(valid) if valid.get(i) != Some(true) => none,
            _ => load(*v),
        };
        let rows = pieces::tabulate(values.len(), |i| row((i, &values[i])));
        let mut levels: Vec<Vec<A>> = Vec::new();
        loop {
            let pairs = levels.last().unwrap_or(&rows).as_chunks::<2>().0;
            if pairs.is_empty() {
                break;
            }
            let level = pieces::map(pairs, |[a, b]| apply(*a, *b));
            levels.push(level);
        }
        Self { rows, levels }
    }

    /// Of rows `low..high`.
    fn range(
        &self,
        mut low: usize,
        mut high: usize,
        none: A,
        apply: &(impl Fn(A, A) -> A + Sync),
    ) -> A {
        let (mut left, mut right) = (none, none);
        for level in std::iter::once(&self.rows).chain(&self.levels) {
            if low >= high {
                break;
            }
            if low % 2 == 1 {
                left = apply(left, level[low]);
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                right = apply(level[high], right);
            }
            (low, high) = (low / 2, high / 2);
        }
        apply(left, right)
    }
}
