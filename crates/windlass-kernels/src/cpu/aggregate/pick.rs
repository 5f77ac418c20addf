//! The argument of one row of each group, the one that comes first in an order: the twin of
//! `leader.cu` and `keep_leader.cu`.
//!
//! A row's key is a run of codes whose unsigned order is that of the rows: a value of up to 64
//! bits and its rank among nulls are one code, an `I128` and its rank two.

use std::{cmp::Ordering, ops::Range};

use arrow::array::ArrayRef;

use super::{
    arrays::{array, decimals, nulls},
    fold::scatter,
    state::{Gids, order32, order64},
};
use crate::{
    aggregate::{MAX_ORDER_KEYS, Order},
    cpu::pipeline::Values,
    types::PhysType,
};

/// A group's flag while it has no row.
const NO_ROW: u8 = 0;
/// Its row's argument is null.
const NULL: u8 = 1;
/// Its row has an argument.
const VALUE: u8 = 2;

/// The order's sign bit in 64 bits.
const SIGN: u64 = 1 << 63;

/// A column of a chunk with its validity.
pub(super) type Column<'a> = (Values<'a>, Option<&'a [u8]>);

/// The columns that a pick reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picked<'a> {
    pub(super) argument: Column<'a>,
    pub(super) order: [Option<Column<'a>>; MAX_ORDER_KEYS],
    pub(super) rows: usize,
}

/// How a key's values become codes.
#[derive(Debug, Clone, Copy)]
struct Direction {
    descending: bool,
    nulls_first: bool,
}

/// The rows picked so far.
#[derive(Debug)]
pub(super) struct Picks {
    ty: PhysType,
    /// Of equal rows the last.
    last: bool,
    ignore_nulls: bool,
    order: Vec<Direction>,
    /// Codes of a key; 0 while no row was seen.
    width: usize,
    codes: Vec<u128>,
    /// The arguments' bits.
    values: Vec<u128>,
    flags: Vec<u8>,
    /// The codes of a chunk's rows.
    chunk: Vec<u128>,
}

impl Picks {
    pub(super) fn new(ty: PhysType, last: bool, ignore_nulls: bool, order: Order) -> Self {
        // The last row is the first one from the end.
        let order = order.keys().map(|k| Direction {
            descending: k.descending != last,
            nulls_first: k.nulls_first != last,
        });
        let (codes, values, flags, chunk) = Default::default();
        let order = order.collect();
        Self { ty, last, ignore_nulls, order, width: 0, codes, values, flags, chunk }
    }

    /// Whether rows with a null argument are passed over.
    pub(super) fn ignores_nulls(&self) -> bool {
        self.ignore_nulls
    }

    pub(super) fn grow(&mut self, groups: usize) {
        self.codes.resize(groups * self.width, 0);
        self.values.resize(groups, 0);
        self.flags.resize(groups, NO_ROW);
    }

    pub(super) fn shrink(&mut self) {
        self.codes.shrink_to_fit();
        self.values.shrink_to_fit();
        self.flags.shrink_to_fit();
        self.chunk = Vec::new();
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        let wide = self.codes.capacity() + self.values.capacity() + self.chunk.capacity();
        wide * size_of::<u128>() + self.flags.capacity()
    }

    /// Takes in the rows of a chunk that `mask` keeps.
    pub(super) fn update(&mut self, gids: Gids<'_>, picked: &Picked<'_>, mask: Option<&[u8]>) {
        self.set_width(picked.order.iter().flatten().map(|(v, _)| codes_of(*v)).sum());
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.clear();
        chunk.resize(picked.rows * self.width, 0);
        let mut at = 0;
        for ((values, valid), direction) in picked.order.iter().flatten().zip(&self.order) {
            encode(*values, *valid, *direction, &mut chunk, (self.width, at));
            at += codes_of(*values);
        }
        let (values, valid) = picked.argument;
        for row in (0..picked.rows).filter(|i| mask.is_none_or(|m| m[*i] != 0)) {
            let flag = if valid.is_none_or(|v| v[row] != 0) { VALUE } else { NULL };
            let code = &chunk[row * self.width..][..self.width];
            self.offer(gids.of(row), code, flag, || bits(values, row));
        }
        self.chunk = chunk;
    }

    /// Takes in groups `rows` of `other`, whose rows come later, as groups `gids`.
    pub(super) fn merge(&mut self, gids: Gids<'_>, other: &Self, rows: Range<usize>) {
        self.set_width(other.width);
        for (i, group) in rows.enumerate().filter(|(_, g)| other.flags[*g] != NO_ROW) {
            let code = &other.codes[group * other.width..][..other.width];
            self.offer(gids.of(i), code, other.flags[group], || other.values[group]);
        }
    }

    fn set_width(&mut self, width: usize) {
        if self.width == 0 && width > 0 {
            self.width = width;
            self.codes.resize(self.flags.len() * width, 0);
        }
    }

    #[inline]
    fn offer(&mut self, group: usize, code: &[u128], flag: u8, value: impl FnOnce() -> u128) {
        let kept = &mut self.codes[group * self.width..][..self.width];
        let replaces = self.flags[group] == NO_ROW
            || match code.cmp(kept) {
                Ordering::Less => true,
                Ordering::Equal => self.last,
                Ordering::Greater => false,
            };
        if replaces {
            kept.copy_from_slice(code);
            self.values[group] = value();
            self.flags[group] = flag;
        }
    }

    /// Group `g` moves to `to[g]`.
    pub(super) fn scattered(&self, to: &[u32]) -> Self {
        let mut codes = vec![0; self.codes.len()];
        if self.width > 0 {
            for (code, at) in self.codes.chunks_exact(self.width).zip(to) {
                codes[*at as usize * self.width..][..self.width].copy_from_slice(code);
            }
        }
        Self {
            codes,
            values: scatter(&self.values, to),
            flags: scatter(&self.flags, to),
            order: self.order.clone(),
            chunk: Vec::new(),
            ..*self
        }
    }

    /// The state array.
    pub(super) fn finish(self) -> Vec<ArrayRef> {
        let valid: Vec<u8> = self.flags.iter().map(|f| u8::from(*f == VALUE)).collect();
        let valid = valid.contains(&0).then(|| nulls(&valid));
        vec![match self.ty {
            PhysType::I128 => decimals(self.values.iter().map(|v| *v as i128).collect(), valid),
            ty => array(ty, self.values.iter().map(|v| *v as i64).collect(), valid),
        }]
    }
}

/// Codes of a key column's value.
fn codes_of(values: Values<'_>) -> usize {
    if matches!(values, Values::I128(_)) { 2 } else { 1 }
}

/// Runs the body with `$s` a slice and `$f` a function from its values to 64 bits whose
/// unsigned order is theirs; `I128` is not among them.
macro_rules! ordered {
    ($values:expr, $s:ident, $f:ident => $body:expr, $wide:ident => $other:expr) => {
        match $values {
            Values::Bool($s) | Values::U8($s) => ordered!(@ $f, u8, |x| u64::from(x), $body),
            Values::I8($s) => ordered!(@ $f, i8, |x| i64::from(x) as u64 ^ SIGN, $body),
            Values::I16($s) => ordered!(@ $f, i16, |x| i64::from(x) as u64 ^ SIGN, $body),
            Values::I32($s) => ordered!(@ $f, i32, |x| i64::from(x) as u64 ^ SIGN, $body),
            Values::I64($s) => ordered!(@ $f, i64, |x| x as u64 ^ SIGN, $body),
            Values::U16($s) => ordered!(@ $f, u16, |x| u64::from(x), $body),
            Values::U32($s) => ordered!(@ $f, u32, |x| u64::from(x), $body),
            Values::U64($s) => ordered!(@ $f, u64, |x| x, $body),
            Values::F32($s) => {
                ordered!(@ $f, f32, |x| i64::from(order32(x.to_bits() as i32)) as u64 ^ SIGN, $body)
            }
            Values::F64($s) => {
                ordered!(@ $f, f64, |x| order64(x.to_bits() as i64) as u64 ^ SIGN, $body)
            }
            Values::I128($wide) => $other,
        }
    };
    (@ $f:ident, $t:ty, |$x:ident| $code:expr, $body:expr) => {{
        let $f = |$x: $t| -> u64 { $code };
        $body
    }};
}

/// Writes the codes of a column's rows to every `width`-th place from `at` on.
fn encode(
    values: Values<'_>,
    valid: Option<&[u8]>,
    direction: Direction,
    out: &mut [u128],
    (width, at): (usize, usize),
) {
    let rank = |row: usize| {
        let present = valid.is_none_or(|v| v[row] != 0);
        (present, u128::from(present == direction.nulls_first))
    };
    let places = out.chunks_exact_mut(width).enumerate();
    ordered!(values, s, code => {
        let flip = if direction.descending { u64::MAX } else { 0 };
        for ((row, place), x) in places.zip(s) {
            let (present, rank) = rank(row);
            let code = if present { code(*x) ^ flip } else { 0 };
            place[at] = rank << 64 | u128::from(code);
        }
    }, wide => {
        let flip = (1 << 127) ^ if direction.descending { u128::MAX } else { 0 };
        for ((row, place), x) in places.zip(wide) {
            let (present, rank) = rank(row);
            place[at] = rank;
            place[at + 1] = if present { *x as u128 ^ flip } else { 0 };
        }
    });
}

/// The bits of a row's value, integers sign- or zero-extended.
fn bits(values: Values<'_>, row: usize) -> u128 {
    match values {
        Values::Bool(s) | Values::U8(s) => u128::from(s[row]),
        Values::I8(s) => s[row] as u128,
        Values::I16(s) => s[row] as u128,
        Values::I32(s) => s[row] as u128,
        Values::I64(s) => s[row] as u128,
        Values::U16(s) => u128::from(s[row]),
        Values::U32(s) => u128::from(s[row]),
        Values::U64(s) => u128::from(s[row]),
        Values::F32(s) => u128::from(s[row].to_bits()),
        Values::F64(s) => u128::from(s[row].to_bits()),
        Values::I128(s) => s[row] as u128,
    }
}
