//! Columns of texts in host memory.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::head::{Head, KEPT};
use crate::{
    cpu::{
        memory::prefetch,
        pieces::{Group, PIECE, groups},
        tasks,
        view::{Bits, host, words_of},
    },
    error::{KernelError, Result},
    string::{StringColumn, Texts},
};

/// Views that are looked at twice in a row: 16 KiB of the first-level cache.
const BLOCK: usize = 1024;

/// Most bytes of a text that lie in its view.
pub(crate) const INLINE: u32 = 12;

/// The texts of rows, each a slice of the column's memory.
pub(super) trait Rows: Sync {
    /// The text of a row; an empty one where there is none.
    fn get(&self, row: usize) -> &[u8];

    /// Asks for the cache line that tells where the text of a row lies, which is read soon.
    #[inline(always)]
    fn ask(&self, _row: usize) {}

    /// The head of the text of a row.
    fn head(&self, row: usize) -> Head;

    /// The lengths of the texts of the rows from `first` on, as many as there are places for.
    fn lens(&self, first: usize, out: &mut [u32]);

    /// The first eight bytes of the views of the rows from `first` on, their lengths and the first
    /// four bytes of their texts, as many as there are places for; false in columns of offsets.
    #[inline(always)]
    fn heads_of_views(&self, _first: usize, _out: &mut [u64]) -> bool {
        false
    }

    /// The row's view: length, first four bytes and what follows them, from the lowest bits on.
    /// `None` in columns of offsets, of which no row has one.
    #[inline(always)]
    fn view(&self, _row: usize) -> Option<u128> {
        None
    }
}

/// Offsets and bytes, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct OffsetRows<'a> {
    pub(super) offsets: &'a [[u8; 4]],
    pub(super) bytes: &'a [u8],
}

impl OffsetRows<'_> {
    /// Where a row begins, and where the last one ends.
    #[inline(always)]
    pub(super) fn start(&self, row: usize) -> usize {
        u32::from_le_bytes(self.offsets[row]) as usize
    }
}

impl Rows for OffsetRows<'_> {
    #[inline(always)]
    fn get(&self, row: usize) -> &[u8] {
        match self.offsets.get(row..row + 2) {
            Some([start, end]) => {
                let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
                self.bytes.get(start as usize..end as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    #[inline(always)]
    fn ask(&self, row: usize) {
        prefetch(self.offsets, row);
    }

    #[inline(always)]
    fn lens(&self, first: usize, out: &mut [u32]) {
        let offsets = self.offsets.get(first..=first + out.len()).unwrap_or_default();
        for (out, [start, end]) in out.iter_mut().zip(offsets.array_windows()) {
            *out = u32::from_le_bytes(*end).wrapping_sub(u32::from_le_bytes(*start));
        }
    }

    #[inline(always)]
    fn head(&self, row: usize) -> Head {
        let Some([start, end]) = self.offsets.get(row..row + 2) else { return Head::default() };
        let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
        let rest = self.bytes.get(start as usize..).unwrap_or_default();
        Head::new(end.saturating_sub(start), rest)
    }
}

/// Views and their data.
#[derive(Debug, Clone)]
pub(super) struct ViewRows<'a> {
    views: &'a [[u8; 16]],
    data: Vec<&'a [u8]>,
}

/// A 32-bit word of a view.
#[inline(always)]
fn word(view: &[u8; 16], at: usize) -> u32 {
    u32::from_le_bytes([view[at * 4], view[at * 4 + 1], view[at * 4 + 2], view[at * 4 + 3]])
}

impl<'a> ViewRows<'a> {
    /// A column of views; whether they are within their data is not checked.
    ///
    /// # Errors
    /// `Invalid` for buffers that are not in host memory.
    fn new(column: &'a StringColumn) -> Result<Self> {
        let Texts::Views { views, data } = &column.texts else {
            return Ok(Self { views: &[], data: Vec::new() });
        };
        let views = &host(views)?.as_chunks::<16>().0[..column.rows];
        let data = data.iter().map(host).collect::<Result<_>>()?;
        Ok(Self { views, data })
    }

    /// Whether the texts of these rows that are valid lie in their views or in the data.
    fn within(&self, rows: Range<usize>, valid: Option<&Bits<'_>>) -> bool {
        let views = &self.views[rows.clone()];
        // What is in the shortest buffer is in any; without a way out, so that it is vector code.
        let (buffers, shortest) =
            (self.data.len() as u32, self.data.iter().map(|d| d.len()).min().unwrap_or(0));
        // A sum that does not fit 32 bits is the greatest, and above this.
        let shortest = shortest.min(u32::MAX as usize - 1) as u32;
        let all = views.iter().fold(true, |all, view| {
            let (len, buffer, first) = (word(view, 0), word(view, 2), word(view, 3));
            let inside = (buffer < buffers) & (first.saturating_add(len) <= shortest);
            all & ((len <= INLINE) | inside)
        });
        let missing = |(view, row): (&[u8; 16], usize)| {
            self.of(view).is_none() && valid.is_none_or(|v| v.get(row).unwrap_or(false))
        };
        all || !views.iter().zip(rows).any(missing)
    }

    /// The bytes of a view; `None` where they are not in the data.
    #[inline(always)]
    fn of<'v>(&'v self, view: &'v [u8; 16]) -> Option<&'v [u8]> {
        let len = word(view, 0);
        if len <= INLINE {
            return Some(&view[4..4 + len as usize]);
        }
        let (buffer, first) = (word(view, 2) as usize, word(view, 3) as usize);
        self.data.get(buffer)?.get(first..first + len as usize)
    }
}

impl Rows for ViewRows<'_> {
    #[inline(always)]
    fn get(&self, row: usize) -> &[u8] {
        self.views.get(row).and_then(|v| self.of(v)).unwrap_or_default()
    }

    #[inline(always)]
    fn ask(&self, row: usize) {
        prefetch(self.views, row);
    }

    #[inline(always)]
    fn lens(&self, first: usize, out: &mut [u32]) {
        let views = self.views.get(first..first + out.len()).unwrap_or_default();
        out.iter_mut().zip(views).for_each(|(out, view)| *out = word(view, 0));
    }

    #[inline(always)]
    fn head(&self, row: usize) -> Head {
        let Some(view) = self.views.get(row) else { return Head::default() };
        let len = word(view, 0);
        if len <= INLINE {
            return Head { len, bytes: u128::from_le_bytes(*view) >> 32 & KEPT[len as usize] };
        }
        self.of(view).map_or(Head::default(), |text| Head::new(len, text))
    }

    #[inline(always)]
    fn heads_of_views(&self, first: usize, out: &mut [u64]) -> bool {
        let views = self.views.get(first..first + out.len()).unwrap_or_default();
        let head = |view: &[u8; 16]| u128::from_le_bytes(*view) as u64;
        out.iter_mut().zip(views).for_each(|(out, view)| *out = head(view));
        true
    }

    #[inline(always)]
    fn view(&self, row: usize) -> Option<u128> {
        Some(self.views.get(row).map_or(0, |v| u128::from_le_bytes(*v)))
    }
}

/// A row that stands for all rows.
pub(super) struct Constant<'a> {
    text: &'a [u8],
    head: Head,
    view: u128,
}

impl<'a> Constant<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut view = [0; 16];
        view[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
        let inside = if text.len() <= INLINE as usize { text } else { &text[..4] };
        view[4..4 + inside.len()].copy_from_slice(inside);
        let head = Head::new(text.len() as u32, text);
        Self { text, head, view: u128::from_le_bytes(view) }
    }
}

impl Rows for Constant<'_> {
    #[inline(always)]
    fn get(&self, _: usize) -> &[u8] {
        self.text
    }

    #[inline(always)]
    fn lens(&self, _: usize, out: &mut [u32]) {
        out.fill(self.head.len);
    }

    #[inline(always)]
    fn head(&self, _: usize) -> Head {
        self.head
    }

    #[inline(always)]
    fn heads_of_views(&self, _: usize, out: &mut [u64]) -> bool {
        out.fill(self.view as u64);
        true
    }

    #[inline(always)]
    fn view(&self, _: usize) -> Option<u128> {
        Some(self.view)
    }
}

/// Whether offsets ascend; without a way out, so that it is vector code.
#[inline(always)]
fn ascends(offsets: &[[u8; 4]]) -> bool {
    let pairs = offsets.array_windows();
    pairs.fold(true, |ok, [a, b]| ok & (u32::from_le_bytes(*a) <= u32::from_le_bytes(*b)))
}

fn outside(operation: &'static str) -> KernelError {
    let (expected, got) =
        ("views of texts in their data buffers".into(), "one outside them".into());
    KernelError::Invalid { operation, expected, got }
}

fn falls(operation: &'static str) -> KernelError {
    let (expected, got) = ("offsets that ascend".into(), "ones that fall".into());
    KernelError::Invalid { operation, expected, got }
}

/// Checks that the last offset is not past the bytes.
fn within(operation: &'static str, offsets: &[[u8; 4]], bytes: &[u8]) -> Result<()> {
    let end = offsets.last().map_or(0, |o| u32::from_le_bytes(*o)) as usize;
    if end <= bytes.len() {
        return Ok(());
    }
    let expected = format!("offsets of up to {} bytes", bytes.len());
    Err(KernelError::Invalid { operation, expected, got: format!("an offset of {end}") })
}

/// The bytes of the text of each row, 0 where null. Of offsets and views alone: no text is
/// looked at.
///
/// # Errors
/// As [`HostTexts::new`].
pub(super) fn byte_lengths(operation: &'static str, c: &StringColumn) -> Result<Vec<u32>> {
    let valid = Bits::of(&c.validity)?;
    let valid = c.nullable().then_some(&valid);
    if let Texts::Offsets { offsets, bytes } = &c.texts {
        let (all, bytes) = (words_of(offsets)?, host(bytes)?);
        let offsets = if c.rows == 0 { &[][..] } else { &all[..=c.rows] };
        within(operation, offsets, bytes)?;
        let good = AtomicBool::new(true);
        let lengths = groups(c.rows, PIECE, |from, out| {
            // A piece is checked and read while it is in the cache.
            let piece = &offsets[from..=from + out.len()];
            if !ascends(piece) {
                good.store(false, Relaxed);
            }
            let length =
                |[a, b]: &[[u8; 4]; 2]| u32::from_le_bytes(*b).wrapping_sub(u32::from_le_bytes(*a));
            cleared(from..from + out.len(), out, piece.array_windows().map(length), valid);
        });
        return if good.into_inner() { Ok(lengths) } else { Err(falls(operation)) };
    }
    let rows = ViewRows::new(c)?;
    let good = AtomicBool::new(true);
    let lengths = groups(c.rows, PIECE, |from, out| {
        let end = from + out.len();
        for from in (from..end).step_by(BLOCK) {
            // A block is checked and read while it is in the cache.
            let block = from..(from + BLOCK).min(end);
            if !rows.within(block.clone(), valid) {
                good.store(false, Relaxed);
            }
            let views = &rows.views[block.clone()];
            cleared(block, out, views.iter().map(|view| word(view, 0)), valid);
        }
    });
    if good.into_inner() { Ok(lengths) } else { Err(outside(operation)) }
}

/// Writes values of the next rows, zeros for those that are not valid.
#[inline(always)]
fn cleared(
    rows: Range<usize>,
    out: &mut Group<'_, u32>,
    values: impl Iterator<Item = u32>,
    valid: Option<&Bits<'_>>,
) {
    let Some(valid) = valid else { return out.extend(values) };
    let mut row = rows.start;
    let out = out.start(rows.len(), 0);
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
    for out in out.chunks_mut(64) {
        let word = valid.word(row, row + out.len());
        for (k, out) in out.iter_mut().enumerate() {
            *out &= ((word >> k & 1) as u32).wrapping_neg();
        }
        row += 64;
    }
}

/// A column in host memory, in either form.
pub(super) enum HostTexts<'a> {
    Offsets(OffsetRows<'a>),
    Views(ViewRows<'a>),
}

/// Runs `$body` with the rows of a [`HostTexts`], typed.
macro_rules! with_rows {
    ($texts:expr, $rows:ident => $body:expr) => {
        match $texts {
            $crate::cpu::string::read::HostTexts::Offsets($rows) => $body,
            $crate::cpu::string::read::HostTexts::Views($rows) => $body,
        }
    };
}
pub(super) use with_rows;

impl<'a> HostTexts<'a> {
    /// The column, whose buffers were checked to hold its rows.
    ///
    /// # Errors
    /// `Invalid` when the offsets do not ascend or go past the bytes, when a text that is not
    /// null lies outside its view's data, and for buffers that are not in host memory.
    pub(super) fn new(operation: &'static str, column: &'a StringColumn) -> Result<Self> {
        let texts = Self::unchecked(operation, column)?;
        texts.check(operation, column.rows, &Bits::of(&column.validity)?)?;
        Ok(texts)
    }

    /// As [`HostTexts::new`], of which the caller makes sure that all rows are [`good`](Self::good):
    /// while they are in the cache. Of other rows the texts are any.
    pub(super) fn unchecked(operation: &'static str, column: &'a StringColumn) -> Result<Self> {
        match &column.texts {
            Texts::Offsets { offsets, bytes } => {
                let (all, bytes) = (words_of(offsets)?, host(bytes)?);
                let offsets = match column.rows {
                    0 => &[][..],
                    rows => &all[..=rows],
                };
                within(operation, offsets, bytes)?;
                Ok(Self::Offsets(OffsetRows { offsets, bytes }))
            }
            Texts::Views { .. } => Ok(Self::Views(ViewRows::new(column)?)),
        }
    }

    /// Whether the texts of these rows that are valid lie in the column's memory.
    pub(super) fn good(&self, rows: Range<usize>, valid: &Bits<'_>) -> bool {
        match self {
            Self::Offsets(all) => all.offsets.get(rows.start..=rows.end).is_none_or(ascends),
            Self::Views(all) => all.within(rows, Some(valid)),
        }
    }

    /// What is wrong where some rows are not [`good`](Self::good).
    #[cold]
    pub(super) fn wrong(&self, operation: &'static str) -> KernelError {
        match self {
            Self::Offsets(_) => falls(operation),
            Self::Views(_) => outside(operation),
        }
    }

    /// Checks that all rows are [`good`](Self::good).
    pub(super) fn check(
        &self,
        operation: &'static str,
        rows: usize,
        valid: &Bits<'_>,
    ) -> Result<()> {
        let good = if rows <= PIECE {
            self.good(0..rows, valid)
        } else {
            let piece = |p: usize| self.good(p * PIECE..((p + 1) * PIECE).min(rows), valid);
            tasks::map(rows.div_ceil(PIECE), piece).into_iter().all(|good| good)
        };
        if good { Ok(()) } else { Err(self.wrong(operation)) }
    }

    /// The text of a row.
    pub(super) fn get(&self, row: usize) -> &[u8] {
        with_rows!(self, rows => rows.get(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_within_buffers_of_any_length() {
        let view = |len: u32, buffer: u32, first: u32| -> [u8; 16] {
            let mut view = [0; 16];
            for (at, word) in [len, 0, buffer, first].into_iter().enumerate() {
                view[at * 4..][..4].copy_from_slice(&word.to_le_bytes());
            }
            view
        };
        let buffers = [[7; 20].as_slice(), &[7; 50]];
        let good = [
            view(0, 9, u32::MAX),
            view(INLINE, 9, u32::MAX),
            view(20, 0, 0),
            view(13, 0, 7),
            view(50, 1, 0),
            view(13, 1, 37),
        ];
        let bad = [
            view(13, 2, 0),
            view(21, 0, 0),
            view(13, 0, 8),
            view(51, 1, 0),
            view(20, 1, u32::MAX - 5),
            view(u32::MAX, 1, 20),
            view(u32::MAX, u32::MAX, u32::MAX),
        ];
        let within = |views: &[[u8; 16]], rows: Range<usize>, valid: Option<&Bits<'_>>| {
            ViewRows { views, data: buffers.to_vec() }.within(rows, valid)
        };
        assert!(within(&good, 0..good.len(), None) && within(&[], 0..0, None));
        for bad in bad {
            let mut views = good.to_vec();
            views.insert(3, bad);
            assert!(!within(&views, 0..views.len(), None), "{bad:?}");
            assert!(within(&views, 0..3, None) && within(&views, 4..views.len(), None));
            let bit = |null: usize| [!(1u8 << null)];
            let (null, other) = (bit(3), bit(2));
            let bits = |bytes| Bits::Packed { bytes, offset: 0 };
            assert!(within(&views, 0..views.len(), Some(&bits(&null))));
            assert!(!within(&views, 0..views.len(), Some(&bits(&other))));
            assert!(!within(&views, 0..views.len(), Some(&Bits::Ones)));
        }
    }
}
