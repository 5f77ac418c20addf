//! A key column in host memory, read a block of rows at a time.

use crate::{
    column::{Storage, Validity},
    error::{KernelError, Result},
    sort::keys::{Key, Keys, Kind, Span, Varying},
};

/// Rows that are read at a time: their validity and packed keys stay in the first-level cache.
pub(super) const BLOCK: usize = 1024;

/// Rows of a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// From this row on.
    From(usize),
    /// These.
    List(&'a [u32]),
}

/// Where validity is read.
#[derive(Debug, Clone, Copy)]
enum Valid<'a> {
    All,
    Bits(&'a [u8], usize),
    Words(&'a [u8]),
}

/// A key column.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    values: &'a [u8],
    /// Bytes of a value; 0 for a bitmap.
    stride: usize,
    first_bit: usize,
    valid: Valid<'a>,
    nulls_first: bool,
    norm: Norm,
}

/// What makes a value's bits order as unsigned.
#[derive(Debug, Clone, Copy)]
struct Norm {
    /// The sign's bit, and the bits flipped where it is set: all others of a float.
    top: u32,
    float: u128,
    /// Bits flipped in every value: the sign's, and all in a descending key.
    flip: u128,
    mask: u128,
}

/// Unsigned integers of which a value or packed key is made.
pub(super) trait Bits: Copy + Default + Send + Sync {
    /// The lowest bits.
    fn low(bits: u128) -> Self;
    fn widen(self) -> u128;
    fn low64(self) -> u64;
    /// `shift` is less than the width.
    fn down(self, shift: u32) -> Self;
    fn or(self, other: Self) -> Self;
    fn not(self) -> Self;
    fn same(self, other: Self) -> bool;
    fn keep_if(self, keep: u8) -> Self;
    fn normal(self, norm: &Norm64<Self>) -> Self;
}

/// A [`Norm`] in the value's own width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm64<B> {
    top: u32,
    float: B,
    flip: B,
    mask: B,
}

macro_rules! bits {
    ($($t:ty),*) => {$(
        impl Bits for $t {
            fn low(bits: u128) -> Self {
                bits as $t
            }
            fn widen(self) -> u128 {
                u128::from(self)
            }
            fn low64(self) -> u64 {
                self as u64
            }
            fn down(self, shift: u32) -> Self {
                self >> shift
            }
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn not(self) -> Self {
                !self
            }
            fn same(self, other: Self) -> bool {
                self == other
            }
            fn keep_if(self, keep: u8) -> Self {
                self & <$t>::from(keep & 1).wrapping_neg()
            }
            fn normal(self, n: &Norm64<Self>) -> Self {
                let negative = (self >> n.top & 1).wrapping_neg();
                (self ^ n.flip ^ (negative & n.float)) & n.mask
            }
        }
    )*};
}
bits!(u32, u64, u128);

/// Integers that packed keys are put together in.
pub(super) trait Packed: Copy + Default + Send + Sync {
    /// Bits `shift..` of a value under `mask`, at `place`.
    fn part<B: Bits>(value: B, shift: u32, mask: u128, place: u32) -> Self;
    fn join(self, other: Self) -> Self;
}

impl Packed for u64 {
    fn part<B: Bits>(value: B, shift: u32, mask: u128, place: u32) -> Self {
        (value.down(shift).low64() & mask as u64) << place
    }
    fn join(self, other: Self) -> Self {
        self | other
    }
}

impl Packed for u128 {
    fn part<B: Bits>(value: B, shift: u32, mask: u128, place: u32) -> Self {
        (value.down(shift).widen() & mask) << place
    }
    fn join(self, other: Self) -> Self {
        self | other
    }
}

/// `$body` with `$load`, which reads a row's value as a `$bits`, for the column's stride.
macro_rules! by_stride {
    ($view:expr, $load:ident, $bits:ident => $body:expr) => {
        match $view.stride {
            0 => {
                type $bits = u32;
                let (bytes, first) = ($view.values, $view.first_bit);
                let $load = |row: usize| {
                    let at = row + first;
                    u32::from(bytes[at / 8] >> (at % 8) & 1)
                };
                $body
            }
            1 => {
                type $bits = u32;
                let bytes = $view.values;
                let $load = |row: usize| u32::from(bytes[row]);
                $body
            }
            2 => {
                type $bits = u32;
                let values = $view.values.as_chunks::<2>().0;
                let $load = |row: usize| u32::from(u16::from_le_bytes(values[row]));
                $body
            }
            4 => {
                type $bits = u32;
                let values = $view.values.as_chunks::<4>().0;
                let $load = |row: usize| u32::from_le_bytes(values[row]);
                $body
            }
            8 => {
                type $bits = u64;
                let values = $view.values.as_chunks::<8>().0;
                let $load = |row: usize| u64::from_le_bytes(values[row]);
                $body
            }
            _ => {
                type $bits = u128;
                let values = $view.values.as_chunks::<16>().0;
                let $load = |row: usize| u128::from_le_bytes(values[row]);
                $body
            }
        }
    };
}

impl<'a> View<'a> {
    fn new(key: &Key<'a>) -> Result<Self> {
        let c = key.column;
        let host = |b: &'a windlass_device::DeviceBuffer| {
            b.host_bytes().ok_or_else(|| KernelError::Invalid {
                operation: "sort on cpu",
                expected: "columns in host memory".into(),
                got: format!("a buffer on {}", b.device()),
            })
        };
        let (stride, first_bit) = match (c.storage, c.ty.packed_bytes()) {
            (Storage::Packed, None) => (0, c.bit_offset as usize),
            (Storage::Packed, Some(bytes)) => (bytes, 0),
            (Storage::Wide, _) => (c.ty.wide_bytes(), 0),
        };
        let valid = match &c.validity {
            Validity::All => Valid::All,
            Validity::Bits { bits, bit_offset } => Valid::Bits(host(bits)?, *bit_offset as usize),
            Validity::Words(words) => Valid::Words(host(words)?),
        };
        let top = key.bits() - 1;
        let (sign, mask) = (1u128 << top, u128::MAX >> (127 - top));
        let (mut flip, mut float) = (0, 0);
        match key.kind() {
            Kind::Unsigned => {}
            Kind::Signed => flip = sign,
            Kind::Float => (flip, float) = (sign, mask ^ sign),
        }
        if key.sort.descending {
            flip ^= mask;
        }
        let norm = Norm { top, float, flip, mask };
        let values = host(&c.values)?;
        Ok(Self { values, stride, first_bit, valid, nulls_first: key.sort.nulls_first, norm })
    }

    /// The columns of all keys.
    ///
    /// # Errors
    /// `Invalid` for a buffer that is not in host memory.
    pub(super) fn all(keys: &Keys<'a>) -> Result<Vec<Self>> {
        keys.keys.iter().map(Self::new).collect()
    }

    fn norm<B: Bits>(&self) -> Norm64<B> {
        let n = &self.norm;
        Norm64 { top: n.top, float: B::low(n.float), flip: B::low(n.flip), mask: B::low(n.mask) }
    }

    fn is_valid(&self, row: usize) -> u8 {
        match self.valid {
            Valid::All => 1,
            Valid::Bits(bits, offset) => {
                let at = row + offset;
                bits[at / 8] >> (at % 8) & 1
            }
            Valid::Words(words) => u8::from(words[row * 4..row * 4 + 4].iter().any(|b| *b != 0)),
        }
    }

    /// 1 for each valid row of a block; `None` where no row of the column is null.
    fn validity<'s>(
        &self,
        rows: Rows<'_>,
        n: usize,
        space: &'s mut [u8; BLOCK],
    ) -> Option<&'s [u8]> {
        if matches!(self.valid, Valid::All) {
            return None;
        }
        let space = &mut space[..n];
        match rows {
            Rows::From(start) => {
                for (i, v) in space.iter_mut().enumerate() {
                    *v = self.is_valid(start + i);
                }
            }
            Rows::List(rows) => {
                for (row, v) in rows.iter().zip(space.iter_mut()) {
                    *v = self.is_valid(*row as usize);
                }
            }
        }
        Some(space)
    }

    /// Which bits differ within `n` rows from `start` on, as ORs of the normalised values and
    /// of their complements; of the null bit as bits 0 (some valid) and 1 (some null).
    pub(super) fn seen(&self, start: usize, n: usize) -> Seen {
        let mut seen = Seen::default();
        let mut space = [0; BLOCK];
        let mut at = start;
        while at < start + n {
            let count = BLOCK.min(start + n - at);
            let valid = self.validity(Rows::From(at), count, &mut space);
            by_stride!(self, load, B => {
                let norm = self.norm::<B>();
                let (mut ones, mut zeros) = (B::default(), B::default());
                match valid {
                    None => {
                        for i in 0..count {
                            let v = load(at + i).normal(&norm);
                            (ones, zeros) = (ones.or(v), zeros.or(v.not()));
                        }
                    }
                    Some(valid) => {
                        for (i, k) in valid.iter().enumerate() {
                            let v = load(at + i).normal(&norm).keep_if(*k);
                            (ones, zeros) = (ones.or(v), zeros.or(v.not()));
                            seen.nulls |= 1 << (1 - *k);
                        }
                    }
                }
                seen.ones |= ones.widen();
                seen.zeros |= zeros.widen();
            });
            at += count;
        }
        seen
    }

    /// Adds a span of the key's bits to the packed keys of a block of at most [`BLOCK`] rows,
    /// `up` bits further up.
    pub(super) fn add<P: Packed>(&self, span: Span, rows: Rows<'_>, up: u32, out: &mut [P]) {
        let place = span.place + up;
        let mut space = [0; BLOCK];
        let valid = self.validity(rows, out.len(), &mut space);
        if span.null {
            let flip = u8::from(!self.nulls_first);
            for (i, o) in out.iter_mut().enumerate() {
                let v = valid.map_or(1, |v| v[i]) ^ flip;
                *o = o.join(P::part(u32::from(v), 0, 1, place));
            }
            return;
        }
        let mask = u128::MAX >> (128 - span.bits);
        by_stride!(self, load, B => {
            let norm = self.norm::<B>();
            let part = |v: B| P::part(v.normal(&norm), span.shift, mask, place);
            let masked = |v: B, k: u8| P::part(v.normal(&norm).keep_if(k), span.shift, mask, place);
            match (rows, valid) {
                (Rows::From(start), None) => {
                    for (i, o) in out.iter_mut().enumerate() {
                        *o = o.join(part(load(start + i)));
                    }
                }
                (Rows::From(start), Some(valid)) => {
                    for (i, (o, k)) in out.iter_mut().zip(valid).enumerate() {
                        *o = o.join(masked(load(start + i), *k));
                    }
                }
                (Rows::List(rows), None) => {
                    for (o, row) in out.iter_mut().zip(rows) {
                        *o = o.join(part(load(*row as usize)));
                    }
                }
                (Rows::List(rows), Some(valid)) => {
                    for ((o, row), k) in out.iter_mut().zip(rows).zip(valid) {
                        *o = o.join(masked(load(*row as usize), *k));
                    }
                }
            }
        });
    }

    /// ORs 1 into `flags` where a row of `rows` differs from the one before it, whose number
    /// for the first of them is `before`.
    pub(super) fn differences(&self, before: usize, rows: Rows<'_>, flags: &mut [u32]) {
        // Neighbours without nulls, all bits of which count: they differ where their bytes do.
        if let (Rows::From(start), Valid::All) = (rows, self.valid)
            && before == start.saturating_sub(1)
            && self.norm.mask.count_ones() as usize == 8 * self.stride
        {
            return match self.stride {
                1 => changes::<1>(self.values, start, flags),
                2 => changes::<2>(self.values, start, flags),
                4 => changes::<4>(self.values, start, flags),
                8 => changes::<8>(self.values, start, flags),
                _ => changes::<16>(self.values, start, flags),
            };
        }
        by_stride!(self, load, B => {
            let norm = self.norm::<B>();
            let read = |row: usize| {
                let k = self.is_valid(row);
                (load(row).normal(&norm).keep_if(k), k)
            };
            let mut last = read(before);
            let mut step = |row: usize, flag: &mut u32| {
                let this = read(row);
                *flag |= u32::from(!this.0.same(last.0) || this.1 != last.1);
                last = this;
            };
            match rows {
                Rows::From(start) => {
                    flags.iter_mut().enumerate().for_each(|(i, f)| step(start + i, f));
                }
                Rows::List(rows) => {
                    flags.iter_mut().zip(rows).for_each(|(f, row)| step(*row as usize, f));
                }
            }
        });
    }
}

/// ORs 1 into `flags` where a value of `N` bytes from `start` on differs from the one before it;
/// value 0 differs from none.
fn changes<const N: usize>(values: &[u8], start: usize, flags: &mut [u32]) {
    let skip = usize::from(start == 0).min(flags.len());
    let (flags, start) = (&mut flags[skip..], start + skip);
    if flags.is_empty() {
        return;
    }
    let values = values.as_chunks::<N>().0;
    let values = &values[start - 1..start + flags.len()];
    for (flag, pair) in flags.iter_mut().zip(values.windows(2)) {
        *flag |= u32::from(pair[0] != pair[1]);
    }
}

/// What [`View::seen`] finds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    ones: u128,
    zeros: u128,
    nulls: u8,
}

impl Seen {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            ones: self.ones | other.ones,
            zeros: self.zeros | other.zeros,
            nulls: self.nulls | other.nulls,
        }
    }

    pub(super) fn varying(self) -> Varying {
        Varying { value: self.ones & self.zeros, null: self.nulls == 3 }
    }
}
