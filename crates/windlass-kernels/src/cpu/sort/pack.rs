//! Packed keys of rows, by blocks, in parallel.

use super::column::{BLOCK, Packed, Rows, Seen, View};
use crate::{
    cpu::tasks,
    sort::keys::{Layout, Span},
};

/// Rows of a task: enough to outweigh its start, and a multiple of a block. A guess.
pub(super) const PIECE: usize = 16 * BLOCK;

/// A packed key above a row's number.
pub(super) trait Element: Packed + Ord {
    /// All bits set.
    const ALL: Self;
    fn from_row(row: u32) -> Self;
    fn low32(self) -> u32;
    /// The bits from `shift` on, as many as a `usize` has; `shift` is less than the width.
    fn digit(self, shift: u32) -> usize;
    /// All bits from `shift` on.
    fn prefix(self, shift: u32) -> Self;
    /// As [`Element::prefix`], with none of the bits where `shift` is the width.
    fn prefix_or_none(self, shift: u32) -> Self;
    /// A hash whose upper half is well mixed.
    fn mixed(self) -> u64;
    /// Bits in which two differ.
    fn differ(self, other: Self) -> Self;
    /// The highest bit that is set, counted from 1; 0 for none.
    fn top(self) -> u32;
}

macro_rules! element {
    ($($t:ty),*) => {$(
        impl Element for $t {
            const ALL: Self = <$t>::MAX;
            fn from_row(row: u32) -> Self {
                <$t>::from(row)
            }
            fn low32(self) -> u32 {
                self as u32
            }
            fn digit(self, shift: u32) -> usize {
                (self >> shift) as usize
            }
            fn prefix(self, shift: u32) -> Self {
                self >> shift
            }
            fn prefix_or_none(self, shift: u32) -> Self {
                self.checked_shr(shift).unwrap_or(0)
            }
            fn mixed(self) -> u64 {
                // Fibonacci hashing (Knuth, vol. 3, 6.4), of both halves where there are two.
                const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
                let high = (u128::from(self) >> 64) as u64;
                let mixed = (self as u64 ^ high.wrapping_mul(GOLDEN)).wrapping_mul(GOLDEN);
                mixed ^ mixed >> 29
            }
            fn differ(self, other: Self) -> Self {
                self ^ other
            }
            fn top(self) -> u32 {
                <$t>::BITS - self.leading_zeros()
            }
        }
    )*};
}
element!(u64, u128);

/// Bits that the numbers of `n` rows take.
pub(super) fn row_bits(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

/// The number that an element holds in its lowest `bits` bits; at most 31.
pub(super) fn row<T: Element>(element: T, bits: u32) -> u32 {
    element.low32() & ((1u32 << bits) - 1)
}

/// The layout of the bits that vary among `n` rows.
pub(super) fn layout(views: &[View<'_>], n: usize) -> Layout {
    let varying = views.iter().map(|view| {
        let seen = |p| view.seen(p * PIECE, PIECE.min(n - p * PIECE));
        let seen = tasks::map(n.div_ceil(PIECE), seen);
        seen.into_iter().fold(Seen::default(), Seen::or).varying()
    });
    Layout::new(&varying.collect::<Vec<_>>())
}

/// What is packed: the spans of the keys, above `row_bits` bits of the item's number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing<'a> {
    pub(super) views: &'a [View<'a>],
    pub(super) spans: &'a [Span],
    pub(super) row_bits: u32,
    /// The rows of the items, where they are not all.
    pub(super) list: Option<&'a [u32]>,
}

impl Packing<'_> {
    /// The elements of a block of items from `at` on.
    pub(super) fn block<T: Element>(&self, at: usize, out: &mut [T]) {
        for (i, o) in out.iter_mut().enumerate() {
            *o = if self.row_bits > 0 { T::from_row((at + i) as u32) } else { T::default() };
        }
        let rows = match self.list {
            None => Rows::From(at),
            Some(list) => Rows::List(&list[at..at + out.len()]),
        };
        for span in self.spans {
            self.views[span.key].add(*span, rows, self.row_bits, out);
        }
    }

    /// The elements of `n` items.
    pub(super) fn all<T: Element>(&self, n: usize) -> Vec<T> {
        let mut out = vec![T::default(); n];
        tasks::each_of(out.chunks_mut(PIECE), |p, piece| {
            for (b, block) in piece.chunks_mut(BLOCK).enumerate() {
                self.block(p * PIECE + b * BLOCK, block);
            }
        });
        out
    }
}
