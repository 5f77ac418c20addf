//! The twins of `kernels/window`.
//!
//! | module | holds |
//! |---|---|
//! | `frames` | the bounds of frames, and counts of their values |
//! | `mod` | rows, sums, extremes and spreads of frames |
//! | `search` | ends of frames by values, and rows that are not null |

use std::borrow::Cow;

use bytemuck::Pod;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    memory::adopt,
    pieces::{self, PIECE, groups},
    scan::{total32, total64},
    tasks,
    view::{Bits, aligned_words, host},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    types::PhysType,
    window::{FrameOp, Frames, Pick},
};

mod frames;
mod search;

use frames::Counts;
pub(crate) use frames::{count, frames, rank};
pub(crate) use search::{pick_valid, search};

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
        (FrameOp::Sum, T::I128) => {
            run.sums(u128::from_le_bytes, 0, u128::wrapping_add, u128::wrapping_sub)
        }
        (FrameOp::Sum, ty) if ty.words() == 2 => {
            run.sums(u64::from_le_bytes, 0, u64::wrapping_add, u64::wrapping_sub)
        }
        (FrameOp::Sum, _) => run.sums(u32::from_le_bytes, 0, u32::wrapping_add, u32::wrapping_sub),
        (FrameOp::Spread, _) => {
            let load = |b| Moments { rows: 1.0, mean: f64::from_le_bytes(b), squares: 0.0 };
            run.over(load, |m| m.squares, Moments::default(), Moments::join)
        }
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

/// Of some values: how many, their mean, and the sum of their squared differences from it.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    rows: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of the values of both (Chan, Golub and LeVeque, 1983).
    fn join(self, other: Self) -> Self {
        if self.rows == 0.0 {
            return other;
        }
        if other.rows == 0.0 {
            return self;
        }
        let rows = self.rows + other.rows;
        let apart = other.mean - self.mean;
        Self {
            rows,
            mean: self.mean + apart * (other.rows / rows),
            squares: self.squares + other.squares + apart * apart * (self.rows * other.rows / rows),
        }
    }
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
        let counts = self.counts();
        let mut out = vec![T::zeroed(); n];
        let mut bits = vec![0u64; n.div_ceil(64)];
        let pieces = out.chunks_mut(PIECE).zip(bits.chunks_mut(PIECE / 64));
        tasks::each_of(pieces, |piece, (out, bits)| {
            self.mark(counts.as_ref(), piece * PIECE, out.len(), bits);
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
                if bits[k / 64] >> (k % 64) & 1 == 1 {
                    *out = store(at);
                }
            }
        });
        self.finish(out, bits)
    }

    /// Sums of integers: what comes before a frame's end without what comes before its start,
    /// which is exact where addition wraps.
    fn sums<const W: usize, A: Pod + Send + Sync>(
        &mut self,
        load: impl Fn([u8; W]) -> A + Sync,
        none: A,
        add: impl Fn(A, A) -> A + Sync,
        subtract: impl Fn(A, A) -> A + Sync,
    ) -> Result<(DeviceBuffer, Validity)> {
        let n = self.low.len();
        let _held = self.reservation.allocate((n + 1) * size_of::<A>())?;
        let values = &self.bytes.as_chunks::<W>().0[..n];
        let value = |row: usize| match self.valid {
            Some(valid) if valid.get(row) != Some(true) => none,
            _ => load(values[row]),
        };
        let piece = |p: usize| (p * PIECE..((p + 1) * PIECE).min(n)).map(value).fold(none, &add);
        let pieces = tasks::map(n.div_ceil(PIECE), piece);
        // Sums before each piece. The last row of the last one has the sum of all after it.
        let mut carries = vec![none];
        carries.extend(pieces.iter().scan(none, |at, sum| {
            *at = add(*at, *sum);
            Some(*at)
        }));
        let before = groups(n + 1, PIECE, |start, out| {
            let mut at = carries[start / PIECE];
            out.extend((start..start + out.len()).map(|row| {
                let before = at;
                at = if row < n { add(at, value(row)) } else { at };
                before
            }));
        });
        let out = groups(n, PIECE, |start, out| {
            let rows = start..start + out.len();
            let frames = self.low[rows.clone()].iter().zip(&self.high[rows]);
            out.extend(
                frames.map(|(low, high)| subtract(before[*high as usize], before[*low as usize])),
            );
        });
        let counts = self.counts();
        let mut bits = vec![0u64; n.div_ceil(64)];
        tasks::each_of(bits.chunks_mut(PIECE / 64), |p, bits| {
            self.mark(counts.as_ref(), p * PIECE, PIECE.min(n - p * PIECE), bits);
        });
        self.finish(out, bits)
    }

    /// Values before each row; without nulls those are the rows.
    fn counts(&self) -> Option<Counts> {
        self.valid.map(|valid| Counts::new(valid, self.low.len()))
    }

    /// Sets the bits of `n` rows from `start` on whose frames have a value.
    fn mark(&self, counts: Option<&Counts>, start: usize, n: usize, bits: &mut [u64]) {
        let (low, high) = (&self.low[start..start + n], &self.high[start..start + n]);
        for (bits, (low, high)) in bits.iter_mut().zip(low.chunks(64).zip(high.chunks(64))) {
            let frames = low.iter().zip(high).enumerate();
            *bits = match counts {
                None => frames.fold(0, |w, (k, (low, high))| w | u64::from(low < high) << k),
                Some(c) => frames.fold(0, |w, (k, (low, high))| {
                    w | u64::from(c.before(*low) < c.before(*high)) << k
                }),
            };
        }
    }

    fn finish<T: Pod + Send + Sync>(
        &mut self,
        out: Vec<T>,
        bits: Vec<u64>,
    ) -> Result<(DeviceBuffer, Validity)> {
        let bits = bits.into_iter().map(u64::to_le).collect();
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
