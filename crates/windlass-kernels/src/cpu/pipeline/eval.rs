//! One operation over one chunk.

use std::ops::Range;

use bytemuck::{Pod, cast_slice};

use super::{
    Bound, arith, cast, column, compare,
    scratch::{Place, Scratch, Slot, width},
};
use crate::{
    ir::{BinaryOp, CastMode, Op, UnaryOp, Value, ValueId},
    pipeline::fail,
    types::PhysType,
};

/// Computes value `id` from its operands, which are computed.
pub(super) fn value(bound: &Bound<'_>, scratch: &mut Scratch, id: ValueId, range: &Range<usize>) {
    let value = bound.evaluator.program.value(id);
    if matches!(value.op, Op::Const(_) | Op::Null) {
        return;
    }
    let mut slot = std::mem::take(&mut scratch.slots[id.0 as usize]);
    let mut may_fail = std::mem::take(&mut scratch.may_fail);
    let mut at = At { bound, scratch, may_fail: &mut may_fail };
    let flags = match &value.op {
        Op::Input(i) => {
            column::load(bound, scratch, &mut slot, *i as usize, range);
            0
        }
        Op::Lookup(t, index) => {
            column::lookup(bound, scratch, &mut slot, t.0 as usize, *index);
            0
        }
        Op::Row => {
            rows(scratch, &mut slot, range.start);
            0
        }
        _ => {
            slot.place = Place::Own;
            slot.grow(value.ty);
            slot.nullable = false;
            at.compute(value, &mut slot)
        }
    };
    scratch.may_fail = may_fail;
    scratch.slots[id.0 as usize] = slot;
    scratch.flags |= flags;
}

/// Writes the numbers of the chunk's rows, whose first is row `start` of the batch.
fn rows(scratch: &Scratch, slot: &mut Slot, start: usize) {
    slot.place = Place::Own;
    slot.grow(PhysType::U32);
    slot.nullable = false;
    let out = slot.own::<u32>(scratch.rows);
    if scratch.gathered {
        for (o, row) in out.iter_mut().zip(scratch.selection.rows()) {
            *o = start as u32 + row;
        }
        return;
    }
    for (o, row) in out.iter_mut().zip(start as u32..) {
        *o = row;
    }
}

/// What an operation reads.
struct At<'s, 'a> {
    bound: &'s Bound<'a>,
    scratch: &'s Scratch,
    /// Memory for [`At::rows`].
    may_fail: &'s mut [u8],
}

impl At<'_, '_> {
    fn values(&self, id: ValueId) -> &[u8] {
        self.scratch.values(self.bound, id)
    }

    fn valid(&self, id: ValueId) -> Option<&[u8]> {
        self.scratch.valid(id)
    }

    fn compared<'x>(&'x self, a: ValueId, b: ValueId, slot: &'x mut Slot) -> compare::Compared<'x> {
        let constant = matches!(self.bound.evaluator.program.value(b).op, Op::Const(_));
        let out = slot.own::<u8>(self.scratch.rows);
        compare::Compared { a: self.values(a), b: self.values(b), constant, out }
    }

    fn ty(&self, id: ValueId) -> PhysType {
        self.bound.evaluator.program.ty(id)
    }

    /// Makes the mask of a strict operation: valid where all operands are.
    fn strict(&self, slot: &mut Slot, operands: &[ValueId]) {
        let mut masks = operands.iter().filter_map(|id| self.valid(*id));
        let Some(first) = masks.next() else { return };
        let out = slot.mask(first.len());
        out.copy_from_slice(first);
        for mask in masks {
            and(out, mask);
        }
    }

    /// Marks the rows in which an operation may raise an error, for [`At::rows`].
    fn mark_rows(&mut self, slot: &Slot, guard: Option<ValueId>) {
        let n = self.scratch.rows;
        let out = &mut self.may_fail[..n];
        out.fill(1);
        if slot.nullable {
            and(out, &slot.valid[..n]);
        }
        if self.scratch.active {
            and(out, &self.scratch.selected[..n]);
        }
        if let Some(g) = guard {
            and(out, self.scratch.values(self.bound, g));
            if let Some(valid) = self.scratch.valid(g) {
                and(out, valid);
            }
        }
    }

    /// The rows marked last; `None`: all.
    fn rows(&self, slot: &Slot, guard: Option<ValueId>) -> Option<&[u8]> {
        let some = slot.nullable || self.scratch.active || guard.is_some();
        some.then(|| &self.may_fail[..self.scratch.rows])
    }

    /// Computes into `slot`; the error flags.
    fn compute(&mut self, value: &Value, slot: &mut Slot) -> u32 {
        match &value.op {
            Op::Unary(op, a, guard) => self.unary(*op, *a, *guard, slot),
            Op::Binary(op, a, b, guard) => self.binary(*op, *a, *b, *guard, slot),
            Op::Cast(a, mode, guard) => self.cast(*a, value.ty, *mode, *guard, slot),
            Op::Select(c, a, b) => {
                self.select(value.ty, *c, *a, *b, slot);
                0
            }
            Op::Input(_) | Op::Const(_) | Op::Null | Op::Row | Op::Lookup(..) => 0,
        }
    }

    fn unary(&mut self, op: UnaryOp, a: ValueId, guard: Option<ValueId>, slot: &mut Slot) -> u32 {
        let (ty, n) = (self.ty(a), self.scratch.rows);
        match op {
            UnaryOp::IsNull | UnaryOp::IsNotNull => {
                let null = u8::from(op == UnaryOp::IsNull);
                match self.valid(a) {
                    None => slot.own::<u8>(n).fill(null ^ 1),
                    Some(mask) => {
                        for (o, v) in slot.own::<u8>(n).iter_mut().zip(mask) {
                            *o = v ^ null;
                        }
                    }
                }
                return 0;
            }
            UnaryOp::Not => {
                for (o, x) in slot.own::<u8>(n).iter_mut().zip(self.values(a)) {
                    *o = x ^ 1;
                }
            }
            _ => arith::unary(op, ty, self.values(a), slot),
        }
        self.strict(slot, &[a]);
        if op == UnaryOp::Abs && ty.is_integer() {
            self.mark_rows(slot, guard);
            let rows = self.rows(slot, guard);
            return arith::abs_failures(ty, self.values(a), rows);
        }
        0
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        a: ValueId,
        b: ValueId,
        guard: Option<ValueId>,
        slot: &mut Slot,
    ) -> u32 {
        let (ty, n) = (self.ty(a), self.scratch.rows);
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let (x, y) = ((self.values(a), self.valid(a)), (self.values(b), self.valid(b)));
                let mut valid = std::mem::take(&mut slot.valid);
                if x.1.is_some() || y.1.is_some() {
                    valid.resize(super::CHUNK_ROWS, 0);
                    slot.nullable = true;
                }
                let mask = if slot.nullable { &mut valid[..n] } else { &mut [] };
                compare::kleene(op == BinaryOp::Or, x, y, slot.own::<u8>(n), mask);
                slot.valid = valid;
            }
            BinaryOp::Distinct | BinaryOp::NotDistinct => {
                compare::compare(op, ty, self.compared(a, b, slot));
                let (va, vb) = (self.valid(a), self.valid(b));
                if va.is_some() || vb.is_some() {
                    let not = op == BinaryOp::NotDistinct;
                    compare::distinct_nulls(slot.own::<u8>(n), va, vb, not);
                }
            }
            _ if op.is_comparison() => {
                compare::compare(op, ty, self.compared(a, b, slot));
                self.strict(slot, &[a, b]);
            }
            _ => {
                arith::binary(op, ty, self.values(a), self.values(b), slot);
                self.strict(slot, &[a, b]);
                let fails = matches!(
                    op,
                    BinaryOp::AddChecked | BinaryOp::SubChecked | BinaryOp::MulChecked
                ) || (matches!(op, BinaryOp::Div | BinaryOp::Rem) && ty.is_integer());
                if fails {
                    self.mark_rows(slot, guard);
                    let rows = self.rows(slot, guard);
                    return arith::failures(op, ty, self.values(a), self.values(b), rows);
                }
            }
        }
        0
    }

    fn cast(
        &mut self,
        a: ValueId,
        to: PhysType,
        mode: CastMode,
        guard: Option<ValueId>,
        slot: &mut Slot,
    ) -> u32 {
        let (from, n) = (self.ty(a), self.scratch.rows);
        if mode == CastMode::Wrap {
            cast::cast(from, to, self.values(a), slot, None);
            self.strict(slot, &[a]);
            return 0;
        }
        let mut fits = std::mem::take(&mut slot.valid);
        fits.resize(super::CHUNK_ROWS, 0);
        cast::cast(from, to, self.values(a), slot, Some(&mut fits[..n]));
        if mode == CastMode::Null {
            slot.valid = fits;
            slot.nullable = true;
            if let Some(mask) = self.valid(a) {
                and(&mut slot.valid[..n], mask);
            }
            return 0;
        }
        self.strict(slot, &[a]);
        self.mark_rows(slot, guard);
        let mut bad = 0;
        match self.rows(slot, guard) {
            None => fits[..n].iter().for_each(|f| bad |= f ^ 1),
            Some(rows) => {
                fits[..n].iter().zip(rows).for_each(|(f, r)| bad |= (f ^ 1) & r);
            }
        }
        u32::from(bad) * fail::CAST
    }

    fn select(&self, ty: PhysType, c: ValueId, a: ValueId, b: ValueId, slot: &mut Slot) {
        let n = self.scratch.rows;
        let cond = (self.values(c), self.valid(c));
        let (x, y) = (self.values(a), self.values(b));
        match width(ty) {
            1 => choose::<u8>(cond, x, y, slot),
            2 => choose::<u16>(cond, x, y, slot),
            4 => choose::<u32>(cond, x, y, slot),
            8 => choose::<u64>(cond, x, y, slot),
            _ => choose::<u128>(cond, x, y, slot),
        }
        let (va, vb) = (self.valid(a), self.valid(b));
        if va.is_none() && vb.is_none() {
            return;
        }
        for (i, o) in slot.mask(n).iter_mut().enumerate() {
            let yes = cond.0[i] & cond.1.map_or(1, |m| m[i]);
            let (va, vb) = (va.map_or(1, |m| m[i]), vb.map_or(1, |m| m[i]));
            *o = (yes & va) | ((yes ^ 1) & vb);
        }
    }
}

fn and(out: &mut [u8], mask: &[u8]) {
    for (o, m) in out.iter_mut().zip(mask) {
        *o &= m;
    }
}

fn choose<T: Pod>(cond: compare::Kleene<'_>, x: &[u8], y: &[u8], slot: &mut Slot) {
    let (x, y): (&[T], &[T]) = (cast_slice(x), cast_slice(y));
    let out = slot.own::<T>(x.len());
    match cond.1 {
        None => {
            for (((o, c), x), y) in out.iter_mut().zip(cond.0).zip(x).zip(y) {
                *o = if *c != 0 { *x } else { *y };
            }
        }
        Some(mask) => {
            for ((((o, c), m), x), y) in out.iter_mut().zip(cond.0).zip(mask).zip(x).zip(y) {
                *o = if c & m != 0 { *x } else { *y };
            }
        }
    }
}
