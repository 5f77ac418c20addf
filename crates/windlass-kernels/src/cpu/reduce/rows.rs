//! Which rows a reduction takes, piece by piece.

use std::ops::Range;

use windlass_device::DeviceBuffer;

use crate::{
    column::DeviceColumn,
    cpu::{
        pieces::PIECE,
        tasks,
        view::{Bits, words_of},
    },
    error::Result,
};

/// Of 64 rows so many are taken one by one: as vector code all of them take about as long (a
/// guess).
const FEW: u32 = 8;

/// The rows that are selected and where no column is null.
pub(super) struct Taken<'a> {
    masks: Vec<Bits<'a>>,
    rows: usize,
}

impl<'a> Taken<'a> {
    pub(super) fn new(
        columns: &[&'a DeviceColumn],
        rows: usize,
        selected: Option<&'a DeviceBuffer>,
    ) -> Result<Self> {
        let mut masks = Vec::new();
        for c in columns {
            match Bits::validity(c)? {
                Bits::Ones => {}
                mask => masks.push(mask),
            }
        }
        if let Some(selected) = selected {
            masks.push(Bits::Words(words_of(selected)?));
        }
        Ok(Self { masks, rows })
    }

    /// Whether every row is taken.
    pub(super) fn all(&self) -> bool {
        self.masks.is_empty()
    }

    /// Which of the 64 rows from `row` on are taken; those past the end are not.
    pub(super) fn word(&self, row: usize) -> u64 {
        self.masks.iter().fold(Bits::Ones.word(row, self.rows), |w, m| w & m.word(row, self.rows))
    }

    /// How many rows of a range are taken, and how many of those have a 1 in `bits`.
    pub(super) fn ones(&self, bits: Bits<'_>, rows: Range<usize>) -> (usize, usize) {
        match &self.masks[..] {
            [] => (rows.len(), bits.ones(None, rows)),
            [mask] => (mask.ones(None, rows.clone()), mask.ones(Some(&bits), rows)),
            [mask, other] if matches!(bits, Bits::Ones) => {
                let taken = mask.ones(Some(other), rows);
                (taken, taken)
            }
            _ => rows.step_by(64).fold((0, 0), |(taken, ones), row| {
                let word = self.word(row);
                let both = word & bits.word(row, self.rows);
                (taken + word.count_ones() as usize, ones + both.count_ones() as usize)
            }),
        }
    }

    /// `f` of each piece of rows, in order.
    pub(super) fn pieces<S: Send>(&self, f: impl Fn(Range<usize>) -> S + Sync) -> Vec<S> {
        let piece = |i: usize| f(i * PIECE..((i + 1) * PIECE).min(self.rows));
        if self.rows <= PIECE {
            return vec![f(0..self.rows)];
        }
        tasks::map(self.rows.div_ceil(PIECE), piece)
    }

    /// Goes through a piece's rows in order: runs of rows that are all taken go to `whole`,
    /// other taken rows to `one`.
    pub(super) fn walk<S>(
        &self,
        rows: Range<usize>,
        state: &mut S,
        whole: impl Fn(&mut S, Range<usize>),
        one: impl Fn(&mut S, usize),
    ) {
        let some = |state: &mut S, start, word| ones(word, |k| one(state, start + k));
        self.blocks(rows, state, whole, some, &one);
    }

    /// As [`Taken::walk`]; 64 rows of which some are taken go to `some`, with a bit for each that
    /// is, unless they are but a few.
    pub(super) fn blocks<S>(
        &self,
        rows: Range<usize>,
        state: &mut S,
        whole: impl Fn(&mut S, Range<usize>),
        some: impl Fn(&mut S, usize, u64),
        one: impl Fn(&mut S, usize),
    ) {
        if self.all() {
            return whole(state, rows);
        }
        for start in rows.clone().step_by(64) {
            let end = (start + 64).min(rows.end);
            let word = self.word(start);
            if word == u64::MAX >> (64 - (end - start)) {
                whole(state, start..end);
            } else if end - start == 64 && word.count_ones() >= FEW {
                some(state, start, word);
            } else {
                ones(word, |k| one(state, start + k));
            }
        }
    }
}

/// `f` of the place of each bit that is 1.
#[inline(always)]
fn ones(mut word: u64, mut f: impl FnMut(usize)) {
    while word != 0 {
        f(word.trailing_zeros() as usize);
        word &= word - 1;
    }
}
