//! Whole sorts: of packed elements where keys are narrow, by comparison where they are wide.

use std::cmp::Ordering;

use rayon::prelude::*;
use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    adopt,
    column::View,
    hold,
    pack::{self, Element, Packing, row, row_bits},
    radix::{self, Field},
};
use crate::{
    cpu::pieces,
    error::Result,
    sort::keys::{Keys, Layout},
};

/// See [`crate::sort::sort_indices`].
pub(crate) fn sort_indices(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: &Keys<'_>,
) -> Result<DeviceBuffer> {
    let views = View::all(keys)?;
    let layout = pack::layout(&views, keys.rows);
    let order = sort_items(reservation, &views, &layout, None, keys.rows)?;
    adopt(device, reservation, order)
}

/// The numbers of `n` items in the order of their keys. Items are rows, or those of a list.
pub(super) fn sort_items(
    reservation: &mut Reservation,
    views: &[View<'_>],
    layout: &Layout,
    list: Option<&[u32]>,
    n: usize,
) -> Result<Vec<u32>> {
    let row_bits = row_bits(n);
    if layout.bits == 0 {
        return Ok((0..n as u32).collect());
    }
    let packing = Packing { views, spans: &layout.spans, row_bits, list };
    match layout.bits + row_bits {
        0..=64 => narrow::<u64>(reservation, packing, layout.bits, n),
        65..=128 => narrow::<u128>(reservation, packing, layout.bits, n),
        _ => {
            let _held = hold::<u128>(reservation, n)?;
            let wide = Wide::new(reservation, packing, layout, n)?;
            let mut elements = wide.elements(n);
            elements.par_sort_unstable_by(|a, b| wide.compare(*a, *b));
            Ok(rows_of(&elements, row_bits))
        }
    }
}

fn narrow<T: Element>(
    reservation: &mut Reservation,
    packing: Packing<'_>,
    bits: u32,
    n: usize,
) -> Result<Vec<u32>> {
    let _held = hold::<T>(reservation, 2 * n)?;
    let mut a = packing.all::<T>(n);
    if a.par_windows(2).all(|w| w[0] <= w[1]) {
        return Ok((0..n as u32).collect());
    }
    if a.par_windows(2).all(|w| w[0] >= w[1]) {
        return Ok((0..n as u32).rev().collect());
    }
    let mut out = vec![0; n];
    let field = Field { row_bits: packing.row_bits, high: packing.row_bits + bits };
    radix::sort(&mut a, &mut vec![T::default(); n], &mut out, field);
    Ok(out)
}

/// The row numbers of elements.
pub(super) fn rows_of<T: Element>(elements: &[T], row_bits: u32) -> Vec<u32> {
    pieces::map(elements, |e| row(*e, row_bits))
}

/// Keys of more bits than an element holds: the leading ones, and the rest in words apart.
pub(super) struct Wide<'a> {
    packing: Packing<'a>,
    leading: Vec<crate::sort::keys::Span>,
    /// The rest by item, most significant words first.
    rest: Vec<Vec<u64>>,
    _held: windlass_device::pool::Allocation,
}

impl<'a> Wide<'a> {
    pub(super) fn new(
        reservation: &mut Reservation,
        packing: Packing<'a>,
        layout: &Layout,
        n: usize,
    ) -> Result<Self> {
        let from = leading_from(layout, packing.row_bits);
        let words = from.div_ceil(64);
        let held = hold::<u64>(reservation, n * words as usize)?;
        let rest = (0..words).rev().map(|w| {
            let spans = layout.window(w * 64, from.min(w * 64 + 64));
            Packing { spans: &spans, row_bits: 0, ..packing }.all::<u64>(n)
        });
        let rest = rest.collect();
        Ok(Self { packing, leading: layout.window(from, layout.bits), rest, _held: held })
    }

    /// The leading bits of the items' keys above their numbers.
    pub(super) fn elements(&self, n: usize) -> Vec<u128> {
        Packing { spans: &self.leading, ..self.packing }.all(n)
    }

    /// The order of two elements by their whole keys, then their numbers.
    pub(super) fn compare(&self, a: u128, b: u128) -> Ordering {
        let bits = self.packing.row_bits;
        let rest = || {
            let (x, y) = (row(a, bits) as usize, row(b, bits) as usize);
            self.rest.iter().map(|w| w[x].cmp(&w[y])).find(|o| o.is_ne())
        };
        match (a >> bits).cmp(&(b >> bits)) {
            Ordering::Equal => rest().unwrap_or_else(|| a.cmp(&b)),
            decided => decided,
        }
    }
}

/// The first bit of a wide key that is in its element.
pub(super) fn leading_from(layout: &Layout, row_bits: u32) -> u32 {
    layout.bits - (u128::BITS - row_bits).min(layout.bits)
}
