//! What was seen of the values of a key, and the code that it makes.

use super::{Field, KeyCode, NullCode, ValueCode, bits32, bits64, ordinals};
use crate::{cpu::pipeline::Values, types::PhysType};

/// What was seen of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct KeyRange {
    pub(super) ty: PhysType,
    /// Smallest and largest ordinal.
    pub(super) values: Option<(i128, i128)>,
    pub(super) nulls: bool,
    /// Which side grew last: that is where a layout leaves room.
    pub(super) grew: (bool, bool),
}

/// The ordinals that a type has; floats by their bits.
fn domain(ty: PhysType) -> (i128, i128) {
    match ty {
        PhysType::Bool => (0, 1),
        PhysType::I8 => (i8::MIN.into(), i8::MAX.into()),
        PhysType::I16 => (i16::MIN.into(), i16::MAX.into()),
        PhysType::I32 => (i32::MIN.into(), i32::MAX.into()),
        PhysType::I64 => (i64::MIN.into(), i64::MAX.into()),
        PhysType::U8 => (0, u8::MAX.into()),
        PhysType::U16 => (0, u16::MAX.into()),
        PhysType::U32 | PhysType::F32 => (0, u32::MAX.into()),
        PhysType::U64 | PhysType::F64 => (0, u64::MAX.into()),
        PhysType::I128 => (i128::MIN, i128::MAX),
    }
}

impl KeyRange {
    /// Nothing seen.
    pub(in super::super) fn new(ty: PhysType) -> Self {
        Self { ty, values: None, nulls: false, grew: (true, true) }
    }

    /// Takes in the values of a chunk.
    pub(in super::super) fn observe(&mut self, values: Values<'_>, valid: Option<&[u8]>) {
        let signed = !matches!(self.ty, PhysType::F32 | PhysType::F64) && self.ty.is_signed();
        let mut seen: Option<(i128, i128)> = None;
        let mut take = |o: i128| {
            let (lo, hi) = seen.unwrap_or((o, o));
            seen = Some((lo.min(o), hi.max(o)));
        };
        let is_valid = |i: usize| valid.is_none_or(|m| m[i] != 0);
        ordinals!(values, s, f => {
            for (i, x) in s.iter().enumerate() {
                if is_valid(i) {
                    let o = f(*x);
                    take(if signed { i128::from(o as i64) } else { i128::from(o) });
                }
            }
        }, s => {
            for (i, x) in s.iter().enumerate() {
                if is_valid(i) {
                    take(*x);
                }
            }
        });
        let nulls = valid.is_some_and(|m| m.contains(&0));
        self.widen(&Self { values: seen, nulls, ..*self });
    }

    /// Takes in another range.
    pub(in super::super) fn widen(&mut self, other: &Self) {
        self.nulls |= other.nulls;
        self.values = match (self.values, other.values) {
            (None, v) => {
                self.grew = (true, true);
                v
            }
            (v, None) => v,
            (Some(a), Some(b)) => {
                if b.0 < a.0 || b.1 > a.1 {
                    self.grew = (b.0 < a.0, b.1 > a.1);
                }
                Some((a.0.min(b.0), a.1.max(b.1)))
            }
        };
    }

    /// The code of this range, its fields not placed, and the bits of its value.
    pub(super) fn code(&self) -> (KeyCode, u32) {
        let ty = self.ty;
        let bit = if self.nulls { NullCode::Bit(Field::default()) } else { NullCode::Never };
        let Some((lo, hi)) = self.values else {
            let value =
                ValueCode::Offset { base: 0, last: 0, empty: true, field: Field::default() };
            let null = if self.nulls { NullCode::Zero } else { NullCode::Never };
            return (KeyCode { ty, value, null }, 0);
        };
        let (min, max) = domain(ty);
        let span = hi.wrapping_sub(lo) as u128;
        let offset = |base: i128, last: u64| ValueCode::Offset {
            base,
            last,
            empty: false,
            field: Field::default(),
        };
        let Ok(span) = u64::try_from(span) else {
            return (KeyCode { ty, value: ValueCode::Wide { word: 0 }, null: bit }, 128);
        };
        if span == u64::MAX {
            return (KeyCode { ty, value: offset(lo, span), null: bit }, 64);
        }
        let null = u64::from(self.nulls);
        let bits = 64 - (span + null).leading_zeros();
        if let Ok(whole) = u64::try_from(max.wrapping_sub(min) as u128)
            && null == 0
            && bits == 64 - whole.leading_zeros()
        {
            // All values of the type are as long: none has to be looked for.
            return (KeyCode { ty, value: offset(min, whole), null: NullCode::Never }, bits);
        }
        // The codes left over by whole bits go to the side that grew.
        let codes = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        let slack = i128::from(codes - null - span);
        let below = match self.grew {
            (true, false) => slack,
            (false, true) => 0,
            _ => slack / 2,
        };
        let base = lo.saturating_sub(below).max(min);
        let room = max.wrapping_sub(base) as u128;
        let last = u64::try_from(room).map_or(codes - null, |r| r.min(codes - null));
        let null = if self.nulls { NullCode::Zero } else { NullCode::Never };
        (KeyCode { ty, value: offset(base, last), null }, bits)
    }
}
