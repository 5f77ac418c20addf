//! The twin of `kernels/scan/prefix.cu`: reduce-then-scan over pieces that cores share.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;
use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::{
        memory::adopt,
        pieces::{Group, PIECE, groups},
        tasks,
        view::{Bits, host},
    },
    error::Result,
    scan::{Scan, ScanOp},
    types::PhysType,
};

/// The running results of a checked column of a type that scans take. `starts` has bits where
/// segments start; `Bits::Ones` stands for one segment.
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn prefix(
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &DeviceColumn,
    rows: usize,
    starts: Option<Bits<'_>>,
    scan: Scan,
) -> Result<DeviceColumn> {
    let input = Input {
        valid: Bits::validity(c)?,
        starts,
        rows,
        exclusive: scan.exclusive,
        nullable: scan.exclusive || c.nullable(),
    };
    let mut run = Run { device, reservation, bytes: host(&c.values)?, input };
    let min = scan.op == ScanOp::Min;
    let (values, validity) = match (scan.op, c.ty) {
        // Wrapping addition is the same for both signs.
        (ScanOp::Sum, PhysType::F32) => run.scan(f32::from_le_bytes, |v| v, 0.0, |a, b| a + b),
        (ScanOp::Sum, PhysType::F64) => run.scan(f64::from_le_bytes, |v| v, 0.0, |a, b| a + b),
        (ScanOp::Sum, ty) if ty.words() == 1 => {
            run.scan(u32::from_le_bytes, |v| v, 0, u32::wrapping_add)
        }
        (ScanOp::Sum, _) => run.scan(u64::from_le_bytes, |v| v, 0, u64::wrapping_add),
        (_, PhysType::U32) if min => run.scan(u32::from_le_bytes, |v| v, u32::MAX, u32::min),
        (_, PhysType::U32) => run.scan(u32::from_le_bytes, |v| v, 0, u32::max),
        (_, PhysType::U64) if min => run.scan(u64::from_le_bytes, |v| v, u64::MAX, u64::min),
        (_, PhysType::U64) => run.scan(u64::from_le_bytes, |v| v, 0, u64::max),
        (_, PhysType::I32) if min => run.scan(i32::from_le_bytes, |v| v, i32::MAX, i32::min),
        (_, PhysType::I32) => run.scan(i32::from_le_bytes, |v| v, i32::MIN, i32::max),
        (_, PhysType::F32) if min => run.scan(load32, total32, i32::MAX, i32::min),
        (_, PhysType::F32) => run.scan(load32, total32, i32::MIN, i32::max),
        (_, PhysType::F64) if min => run.scan(load64, total64, i64::MAX, i64::min),
        (_, PhysType::F64) => run.scan(load64, total64, i64::MIN, i64::max),
        _ if min => run.scan(i64::from_le_bytes, |v| v, i64::MAX, i64::min),
        _ => run.scan(i64::from_le_bytes, |v| v, i64::MIN, i64::max),
    }?;
    Ok(DeviceColumn { ty: c.ty, storage: Storage::Packed, values, bit_offset: 0, validity })
}

/// A float's bits and a signed integer in the order of IEEE 754 totalOrder, either way.
pub(crate) fn total32(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// As [`total32`] of 64 bits.
pub(crate) fn total64(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn load32(bytes: [u8; 4]) -> i32 {
    total32(i32::from_le_bytes(bytes))
}

fn load64(bytes: [u8; 8]) -> i64 {
    total64(i64::from_le_bytes(bytes))
}

/// Which rows count, and where segments start.
#[derive(Clone, Copy)]
struct Input<'a> {
    valid: Bits<'a>,
    starts: Option<Bits<'a>>,
    rows: usize,
    exclusive: bool,
    /// Whether a result may be null.
    nullable: bool,
}

/// The state before a row.
#[derive(Clone, Copy)]
struct State<A> {
    value: A,
    seen: bool,
    /// Whether a segment starts in the rows that it stands for.
    start: bool,
}

struct Run<'a, 'r> {
    device: &'a dyn Device,
    reservation: &'r mut Reservation,
    bytes: &'a [u8],
    input: Input<'a>,
}

impl Run<'_, '_> {
    /// Scans with the operator `apply`, whose neutral element is `none`. Null results are 0.
    fn scan<const W: usize, A: Copy + Send + Sync, T: Pod + Send + Sync>(
        &mut self,
        load: impl Fn([u8; W]) -> A + Sync,
        store: impl Fn(A) -> T + Sync,
        none: A,
        apply: impl Fn(A, A) -> A + Sync,
    ) -> Result<(windlass_device::DeviceBuffer, Validity)> {
        let input = self.input;
        let all = &self.bytes.as_chunks::<W>().0[..input.rows];
        let bits = if input.nullable { input.rows.div_ceil(64) } else { 0 };
        let most = size_of_val(all) + bits * 8;
        self.reservation.grow(most.saturating_sub(self.reservation.left()))?;
        // Each word is written once, by the core that has its rows.
        let seen: Vec<AtomicU64> = (0..bits).map(|_| AtomicU64::new(0)).collect();
        let empty = State { value: none, seen: false, start: false };
        let join = |a: State<A>, b: State<A>| match b.start {
            true => b,
            false => {
                State { value: apply(a.value, b.value), seen: a.seen || b.seen, start: a.start }
            }
        };
        // The state before each piece.
        let mut carries = vec![empty];
        if input.rows > PIECE {
            let reduced = tasks::map_of(all.chunks(PIECE), |piece, values| {
                reduce(&input, piece * PIECE, values, empty, &load, &apply)
            });
            carries = reduced
                .into_iter()
                .scan(empty, |at, piece| Some(std::mem::replace(at, join(*at, piece))))
                .collect();
        }
        let out = groups(input.rows, PIECE, |start, out| {
            let values = &all[start..start + out.len()];
            let at = carries[start / PIECE];
            write(&input, start, values, (out, &seen), at, none, (&load, &store, &apply));
        });
        let values = adopt(self.device, self.reservation, out)?;
        let validity = match input.nullable {
            false => Validity::All,
            true => {
                let bits = seen.into_iter().map(|w| w.into_inner().to_le()).collect();
                let bits = adopt(self.device, self.reservation, bits)?;
                Validity::Bits { bits, bit_offset: 0 }
            }
        };
        Ok((values, validity))
    }
}

/// What a piece comes to.
fn reduce<const W: usize, A: Copy>(
    input: &Input<'_>,
    start: usize,
    values: &[[u8; W]],
    empty: State<A>,
    load: &impl Fn([u8; W]) -> A,
    apply: &impl Fn(A, A) -> A,
) -> State<A> {
    // What comes before the last segment does not count.
    let mut at = empty;
    let mut first = 0;
    for block in (0..values.len()).step_by(64).rev() {
        let (_, starts) = words(input, start + block);
        if starts != 0 {
            first = block + starts.ilog2() as usize;
            at.start = true;
            break;
        }
    }
    let mut row = first;
    while row < values.len() {
        // Whole words from the second one on.
        let values = &values[row..(row / 64 * 64 + 64).min(values.len())];
        let valid = input.valid.word(start + row, input.rows);
        let whole = u64::MAX >> (64 - values.len());
        if valid & whole == whole {
            at.value = values.iter().fold(at.value, |a, v| apply(a, load(*v)));
            at.seen = true;
        } else {
            for (_, v) in values.iter().enumerate().filter(|(k, _)| valid >> k & 1 == 1) {
                at.value = apply(at.value, load(*v));
                at.seen = true;
            }
        }
        row += values.len();
    }
    at
}

/// Validity and segment starts of 64 rows.
fn words(input: &Input<'_>, row: usize) -> (u64, u64) {
    let starts = input.starts.map_or(0, |s| s.word(row, input.rows));
    (input.valid.word(row, input.rows), starts)
}

/// Writes the results of a piece from the state before it.
fn write<const W: usize, A: Copy, T: Pod>(
    input: &Input<'_>,
    start: usize,
    values: &[[u8; W]],
    (out, seen): (&mut Group<'_, T>, &[AtomicU64]),
    mut at: State<A>,
    none: A,
    (load, store, apply): (&impl Fn([u8; W]) -> A, &impl Fn(A) -> T, &impl Fn(A, A) -> A),
) {
    for (block, values) in values.chunks(64).enumerate() {
        let (valid, mut starts) = words(input, start + block * 64);
        let whole = u64::MAX >> (64 - values.len());
        let mark = |bits: u64| {
            if let Some(seen) = seen.get(start / 64 + block) {
                seen.store(bits, Ordering::Relaxed);
            }
        };
        if valid == whole && !input.exclusive {
            // Run by run: rows up to the next start, and what is left.
            let mut from = 0;
            loop {
                let to = (starts.trailing_zeros() as usize).min(values.len());
                out.extend(values[from..to].iter().map(|v| {
                    at.value = apply(at.value, load(*v));
                    store(at.value)
                }));
                if starts == 0 {
                    break;
                }
                at.value = none;
                starts &= starts - 1;
                from = to;
            }
            at.seen = true;
            mark(whole);
            continue;
        }
        if valid == whole && starts == 0 && at.seen {
            out.extend(values.iter().map(|v| {
                let before = at.value;
                at.value = apply(before, load(*v));
                store(before)
            }));
            mark(whole);
            continue;
        }
        let mut bits = 0u64;
        out.extend(values.iter().enumerate().map(|(k, v)| {
            if starts >> k & 1 == 1 {
                at = State { value: none, seen: false, start: true };
            }
            let before = at;
            if valid >> k & 1 == 1 {
                at.value = apply(at.value, load(*v));
                at.seen = true;
            }
            let result = if input.exclusive { before } else { at };
            bits |= u64::from(result.seen) << k;
            if result.seen { store(result.value) } else { T::zeroed() }
        }));
        mark(bits);
    }
}
