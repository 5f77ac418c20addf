//! Lengths, comparisons, substrings and sort words: one value from a row's text.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{
    compare::{before, maybe_same, order, same},
    read::{Constant, HostTexts, Rows, byte_lengths, with_rows},
    write::{bits, bits_of, column, texts, valid_bits, validity, values, words_of},
};
use crate::{
    column::DeviceColumn,
    cpu::{
        memory::adopt,
        view::{Bits, aligned_words},
    },
    error::{KernelError, Result},
    string::{Comparison, StringColumn},
    types::PhysType,
};

/// Whether a byte of UTF-8 begins a character.
#[inline(always)]
pub(super) fn begins(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// The lengths of texts, in characters or bytes; 0 where null.
///
/// # Errors
/// Those of reading the column; `OutOfMemory`.
pub(crate) fn lengths(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    characters: bool,
) -> Result<DeviceColumn> {
    let words = if characters {
        let (texts, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
        let live = |row| valid.get(row).unwrap_or(false);
        with_rows!(&texts, rows => values(c.rows, |r| match live(r) {
            true => rows.get(r).iter().filter(|b| begins(**b)).count() as u32,
            false => 0,
        }))
    } else {
        byte_lengths(operation, c)?
    };
    let validity = validity(device, reservation, &c.validity, c.rows)?;
    Ok(column(PhysType::U32, adopt(device, reservation, words)?, validity))
}

/// A comparison of two columns, or their order.
///
/// # Errors
/// As [`lengths`].
pub(crate) fn compare(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    (left, right): (&StringColumn, &StringColumn),
    n: usize,
    comparison: Option<Comparison>,
) -> Result<DeviceColumn> {
    let texts = |c| HostTexts::unchecked(operation, c);
    let (a, b, x, y) =
        (texts(left)?, texts(right)?, Bits::of(&left.validity)?, Bits::of(&right.validity)?);
    // What is written bit by bit checks the rows of a piece while they are in the cache.
    let checks = [(&a, &x, left), (&b, &y, right)].map(|(texts, valid, c)| {
        let early = comparison.is_none() || c.rows != n;
        (texts, valid, c.rows, early, AtomicBool::new(true))
    });
    for (texts, valid, rows, _, _) in checks.iter().filter(|c| c.3) {
        texts.check(operation, *rows, valid)?;
    }
    let check = |rows: Range<usize>| {
        for (texts, valid, _, _, good) in checks.iter().filter(|c| !c.3) {
            if !texts.good(rows.clone(), valid) {
                good.store(false, Relaxed);
            }
        }
    };
    let values = match (left.rows, right.rows) {
        (x, y) if x == y => {
            with_rows!(&a, a => with_rows!(&b, b => compared(n, a, b, comparison, check)))
        }
        (_, 1) => {
            let b = Constant::new(b.get(0));
            with_rows!(&a, a => compared(n, a, &b, comparison, check))
        }
        _ => {
            let a = Constant::new(a.get(0));
            with_rows!(&b, b => compared(n, &a, b, comparison, check))
        }
    };
    if let Some((texts, ..)) = checks.iter().find(|c| !c.4.load(Relaxed)) {
        return Err(texts.wrong(operation));
    }
    let validity = match (left.nullable() && left.rows == n, right.nullable() && right.rows == n) {
        (true, false) if !right.nullable() => validity(device, reservation, &left.validity, n)?,
        (false, true) if !left.nullable() => validity(device, reservation, &right.validity, n)?,
        _ if !left.nullable() && !right.nullable() => crate::column::Validity::All,
        _ => {
            let at = |rows: usize, row: usize| if rows == 1 { 0 } else { row };
            let live = |row| {
                x.get(at(left.rows, row)) == Some(true) && y.get(at(right.rows, row)) == Some(true)
            };
            valid_bits(device, reservation, bits(n, live))?
        }
    };
    Ok(match values {
        Compared::Bits(bits) => column(PhysType::Bool, adopt(device, reservation, bits)?, validity),
        Compared::Orders(o) => column(PhysType::I8, adopt(device, reservation, o)?, validity),
    })
}

enum Compared {
    Bits(Vec<u64>),
    Orders(Vec<i8>),
}

/// `check` is called with the rows of each piece before they are compared by bits.
fn compared(
    n: usize,
    a: &impl Rows,
    b: &impl Rows,
    comparison: Option<Comparison>,
    check: impl Fn(Range<usize>) + Sync,
) -> Compared {
    Compared::Bits(match comparison {
        None => return Compared::Orders(values(n, |r| order(a, b, r) as i8)),
        Some(Comparison::Equal) => equal(n, a, b, check, false),
        Some(Comparison::NotEqual) => equal(n, a, b, check, true),
        Some(Comparison::Less) => bits_of(n, check, |r| before(a, b, r)),
        Some(Comparison::LessOrEqual) => bits_of(n, check, |r| !before(b, a, r)),
        Some(Comparison::Greater) => bits_of(n, check, |r| before(b, a, r)),
        Some(Comparison::GreaterOrEqual) => bits_of(n, check, |r| !before(a, b, r)),
    })
}

/// Which texts are equal, or are not where `negated`. Bytes are looked at only of those whose
/// lengths are equal, one by one.
pub(super) fn equal(
    n: usize,
    a: &impl Rows,
    b: &impl Rows,
    check: impl Fn(Range<usize>) + Sync,
    negated: bool,
) -> Vec<u64> {
    words_of(n, check, |first, n| {
        let all = u64::MAX >> (64 - n);
        let mut maybe = maybe_same(a, b, first, n);
        let mut bits = 0;
        if maybe == all {
            bits = (0..n).fold(0, |w, i| w | u64::from(same(a, b, first + i)) << i);
            maybe = 0;
        }
        while maybe != 0 {
            let i = maybe.trailing_zeros();
            bits |= u64::from(same(a, b, first + i as usize)) << i;
            maybe &= maybe - 1;
        }
        if negated { bits ^ all } else { bits }
    })
}

/// The part of a text that begins `skip` characters after its start and has up to `take`.
#[inline]
fn part(text: &[u8], skip: u32, take: u32) -> &[u8] {
    let rest = &text[pass_over(text, skip)..];
    &rest[..pass_over(rest, take)]
}

/// The byte that `characters` characters take, or all bytes.
#[inline]
fn pass_over(text: &[u8], characters: u32) -> usize {
    // A character has a byte at least.
    if text.len() <= characters as usize {
        return text.len();
    }
    let (mut at, mut left) = (0, characters as usize);
    for word in text.as_chunks::<16>().0 {
        let begun = word.iter().filter(|b| begins(**b)).count();
        if begun > left {
            break;
        }
        left -= begun;
        at += 16;
    }
    let mut rest = text[at..].iter();
    match rest.position(|b| {
        let stop = begins(*b) && left == 0;
        left -= usize::from(begins(*b) && left > 0);
        stop
    }) {
        Some(more) => at + more,
        None => text.len(),
    }
}

/// Parts of texts by characters.
///
/// # Errors
/// As [`lengths`], and `Invalid` for a result of 4 GiB or more.
pub(crate) fn substring(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    skip: u32,
    take: u32,
) -> Result<StringColumn> {
    let (host, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
    let live = |row| valid.get(row).unwrap_or(false);
    let parts: Vec<&[u8]> = with_rows!(&host, rows => values(c.rows, |r| match live(r) {
        true => part(rows.get(r), skip, take),
        false => &[],
    }));
    let validity = validity(device, reservation, &c.validity, c.rows)?;
    let copy = |row: usize, len: usize, place: &mut [u8]| place[..len].copy_from_slice(parts[row]);
    let rows = (|row: usize| parts[row].len(), copy);
    texts(operation, device, reservation, c.rows, validity, rows)
}

/// The `k`-th eight bytes of each text as a big-endian number.
///
/// # Errors
/// As [`lengths`], and `Invalid` for a row number that is not there.
pub(crate) fn sort_word(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    k: usize,
    order: Option<&DeviceBuffer>,
) -> Result<DeviceColumn> {
    let (texts, valid) = (HostTexts::new(operation, c)?, Bits::of(&c.validity)?);
    let order = order.map(|o| aligned_words(o, c.rows)).transpose()?;
    if let Some(got) = order.iter().flat_map(|o| o.iter()).find(|i| **i as usize >= c.rows) {
        let expected = format!("row numbers less than {}", c.rows);
        return Err(KernelError::Invalid { operation, expected, got: got.to_string() });
    }
    let row_of = |i: usize| order.as_ref().map_or(i, |o| o[i] as usize);
    let live = |row: usize| valid.get(row).unwrap_or(false);
    let words = with_rows!(&texts, rows => values(c.rows, |i| {
        let row = row_of(i);
        if live(row) { word_of(rows.get(row), k) } else { 0 }
    }));
    let validity = match &order {
        Some(_) if c.nullable() => {
            valid_bits(device, reservation, bits(c.rows, |i| live(row_of(i))))?
        }
        _ => validity(device, reservation, &c.validity, c.rows)?,
    };
    Ok(column(PhysType::U64, adopt(device, reservation, words)?, validity))
}

/// The `k`-th eight bytes of a text as a big-endian number, zeros past its end.
#[inline(always)]
pub(super) fn word_of(text: &[u8], k: usize) -> u64 {
    let rest = text.get(k * 8..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(word) => u64::from_be_bytes(*word),
        None => {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_between_characters() {
        let text = "aé€😀 and more than sixteen bytes, é after them";
        let all: Vec<char> = text.chars().collect();
        for skip in 0..all.len() + 2 {
            for take in 0..all.len() + 2 {
                let want: String = all.iter().skip(skip).take(take).collect();
                let got = part(text.as_bytes(), skip as u32, take as u32);
                assert_eq!(got, want.as_bytes(), "{skip} {take}");
            }
        }
        assert_eq!(part("é".as_bytes(), 0, u32::MAX), "é".as_bytes());
    }

    #[test]
    fn words_order_as_texts() {
        let texts: [&[u8]; 6] = [b"", b"a", b"a\0", b"abcdefgh", b"abcdefghi", b"b"];
        for (a, b) in texts.iter().zip(&texts[1..]) {
            let key = |t: &[u8]| (word_of(t, 0), word_of(t, 1), t.len());
            assert!(key(a) < key(b));
        }
    }
}
