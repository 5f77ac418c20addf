//! The twin of `kernels/scan/prefix.cu`: reduce-then-scan over pieces that cores share.

use bytemuck::Pod;
use windlass_device::{Device, Reservation};

use crate::{
    column::{DeviceColumn, Storage, Validity},
    cpu::{
        memory::adopt,
        pieces::PIECE,
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
        let mut out = vec![T::zeroed(); input.rows];
        let mut seen = vec![0u64; bits];
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
        let piece = |start: usize, values: &[[u8; W]], out: &mut [T], seen: &mut [u64], at| {
            write(&input, start, values, (out, seen), at, none, (&load, &store, &apply));
        };
        if let [at] = carries[..] {
            piece(0, all, &mut out, &mut seen, at);
        } else {
            // Without validity every piece gets an empty slice of it.
            let mut seen: Vec<&mut [u64]> = seen.chunks_mut(PIECE / 64).collect();
            seen.resize_with(carries.len(), || &mut []);
            let pieces = out.chunks_mut(PIECE).zip(all.chunks(PIECE)).zip(seen).zip(carries);
            tasks::each_of(pieces, |i, (((out, values), seen), at)| {
                piece(i * PIECE, values, out, seen, at);
            });
        }
        let values = adopt(self.device, self.reservation, out)?;
        let validity = match input.nullable {
            false => Validity::All,
            true => {
                let bits = seen.into_iter().map(u64::to_le).collect();
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
    let mut at = empty;
    for (block, values) in values.chunks(64).enumerate() {
        let row = start + block * 64;
        let (valid, starts) = words(input, row);
        if starts == 0 && valid == u64::MAX >> (64 - values.len()) {
            at.value = values.iter().fold(at.value, |a, v| apply(a, load(*v)));
            at.seen = true;
            continue;
        }
        for (k, v) in values.iter().enumerate() {
            if starts >> k & 1 == 1 {
                at = State { start: true, ..empty };
            }
            if valid >> k & 1 == 1 {
                at.value = apply(at.value, load(*v));
                at.seen = true;
            }
        }
    }
    at
}

/// Validity and segment starts of 64 rows.
fn words(input: &Input<'_>, row: usize) -> (u64, u64) {
    let starts = input.starts.map_or(0, |s| s.word(row, input.rows));
    (input.valid.word(row, input.rows), starts)
}

/// Writes the results of a piece from the state before it.
fn write<const W: usize, A: Copy, T: Copy>(
    input: &Input<'_>,
    start: usize,
    values: &[[u8; W]],
    (out, seen): (&mut [T], &mut [u64]),
    mut at: State<A>,
    none: A,
    (load, store, apply): (&impl Fn([u8; W]) -> A, &impl Fn(A) -> T, &impl Fn(A, A) -> A),
) {
    for (block, (values, out)) in values.chunks(64).zip(out.chunks_mut(64)).enumerate() {
        let (valid, starts) = words(input, start + block * 64);
        let whole = u64::MAX >> (64 - values.len());
        if starts == 0 && valid == whole && (at.seen || !input.exclusive) {
            for (out, v) in out.iter_mut().zip(values) {
                let next = apply(at.value, load(*v));
                *out = store(if input.exclusive { at.value } else { next });
                at.value = next;
            }
            at.seen = true;
            if let Some(seen) = seen.get_mut(block) {
                *seen = whole;
            }
            continue;
        }
        let mut bits = 0u64;
        for (k, (out, v)) in out.iter_mut().zip(values).enumerate() {
            if starts >> k & 1 == 1 {
                at = State { value: none, seen: false, start: true };
            }
            let before = at;
            if valid >> k & 1 == 1 {
                at.value = apply(at.value, load(*v));
                at.seen = true;
            }
            let result = if input.exclusive { before } else { at };
            // What is not written stays 0.
            if result.seen {
                *out = store(result.value);
                bits |= 1 << k;
            }
        }
        if let Some(seen) = seen.get_mut(block) {
            *seen = bits;
        }
    }
}
