//! LIKE, and the searches that it is made of.

use memchr::memmem::Finder;
use windlass_device::{Device, Reservation};

use super::{
    head::{HEAD, Head},
    read::{Constant, HostTexts, OffsetRows, Rows, with_rows},
    rows::{begins, equal},
    write::{bit_pieces, bits, column, validity},
};
use crate::{
    column::DeviceColumn,
    cpu::memory::adopt,
    error::Result,
    string::{Element, Pattern, Segment, StringColumn},
    types::PhysType,
};

/// Whether each text matches a pattern, or does not where `negated`.
///
/// # Errors
/// `Invalid` for texts that do not lie in the column's buffers; `OutOfMemory`.
pub(crate) fn like(
    operation: &'static str,
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &StringColumn,
    pattern: &Pattern,
    negated: bool,
) -> Result<DeviceColumn> {
    let texts = HostTexts::new(operation, c)?;
    let n = c.rows;
    let kind = Kind::of(pattern);
    let mut out = with_rows!(&texts, rows => match &kind {
        Kind::Equal(text) => {
            let text = Constant::new(text);
            equal(n, rows, &text, |_| (), false)
        }
        Kind::Prefix(text) => {
            let head = Head::new(text.len() as u32, text);
            bits(n, |r| {
                rows.head(r).begins(text.len(), head)
                    && (text.len() <= HEAD || rows.get(r).starts_with(text))
            })
        }
        Kind::Suffix(text) => bits(n, |r| rows.get(r).ends_with(text)),
        Kind::Part(finder) => match &texts {
            HostTexts::Offsets(all) => bit_pieces(n, |from, out| parts(all, finder, from, out, n)),
            HostTexts::Views(_) => bits(n, |r| finder.find(rows.get(r)).is_some()),
        },
        Kind::Any(walk) => bits(n, |r| walk.matches(rows.get(r))),
    });
    if negated {
        out.iter_mut().for_each(|word| *word = !*word);
    }
    let validity = validity(device, reservation, &c.validity, n)?;
    Ok(column(PhysType::Bool, adopt(device, reservation, out)?, validity))
}

/// The search that a pattern comes to.
enum Kind<'a> {
    Equal(&'a [u8]),
    Prefix(&'a [u8]),
    Suffix(&'a [u8]),
    Part(Box<Finder<'a>>),
    Any(Walk<'a>),
}

impl<'a> Kind<'a> {
    fn of(pattern: &'a Pattern) -> Self {
        let literal = match &pattern.segments[..] {
            [one] => one.literal.as_deref(),
            _ => None,
        };
        match (literal, pattern.at_start, pattern.at_end) {
            (Some(text), true, true) => Self::Equal(text),
            (Some(text), true, false) => Self::Prefix(text),
            (Some(text), false, true) => Self::Suffix(text),
            (Some(text), false, false) => Self::Part(Box::new(Finder::new(text))),
            (None, ..) => Self::Any(Walk::new(pattern)),
        }
    }
}

/// Sets the bits of the rows from `from` on that have the finder's text: one search over the
/// bytes of all of them, in which what crosses from one row to the next does not count.
fn parts(all: &OffsetRows<'_>, finder: &Finder<'_>, from: usize, out: &mut [u64], rows: usize) {
    let to = (from + out.len() * 64).min(rows);
    if from >= to {
        return;
    }
    let (end, mut at, mut row) = (all.start(to), all.start(from), from);
    while let Some(found) = finder.find(&all.bytes[at..end]) {
        let first = at + found;
        while all.start(row + 1) <= first {
            row += 1;
        }
        if first + finder.needle().len() <= all.start(row + 1) {
            let bit = row - from;
            out[bit / 64] |= (1u64 << (bit % 64)).to_le();
            at = all.start(row + 1);
        } else {
            at = first + 1;
        }
    }
}

/// A pattern with several segments or with `_`.
struct Walk<'a> {
    pattern: &'a Pattern,
    /// For each segment the search for it, where it has no `_`.
    finders: Vec<Option<Finder<'a>>>,
    least: usize,
}

impl<'a> Walk<'a> {
    fn new(pattern: &'a Pattern) -> Self {
        let finder = |s: &'a Segment| s.literal.as_deref().map(Finder::new);
        let finders = pattern.segments.iter().map(finder).collect();
        Self { pattern, finders, least: pattern.least_bytes() }
    }

    /// Each segment at the first place after the one before it; the first at the start and the
    /// last at the end where the pattern holds them there.
    fn matches(&self, text: &[u8]) -> bool {
        let (segments, last) = (&self.pattern.segments, self.pattern.segments.len());
        if text.len() < self.least {
            return false;
        }
        let mut at = 0;
        for (s, (segment, finder)) in segments.iter().zip(&self.finders).enumerate() {
            if s == 0 && self.pattern.at_start {
                let Some(end) = end_of_match(&segment.elements, text, 0) else { return false };
                if last == 1 && self.pattern.at_end && end != text.len() {
                    return false;
                }
                at = end;
            } else if s + 1 == last && self.pattern.at_end {
                return matches_end(&segment.elements, text, at);
            } else {
                let end = match finder {
                    Some(f) => f.find(&text[at..]).map(|p| at + p + f.needle().len()),
                    None => find(&segment.elements, text, at),
                };
                let Some(end) = end else { return false };
                at = end;
            }
        }
        true
    }
}

/// The first byte after the character of byte `at`.
fn next_character(text: &[u8], at: usize) -> usize {
    let rest = &text[at + 1..];
    at + 1 + rest.iter().position(|b| begins(*b)).unwrap_or(rest.len())
}

/// Where the elements end that match from byte `at` on.
fn end_of_match(elements: &[Element], text: &[u8], mut at: usize) -> Option<usize> {
    for element in elements {
        let byte = text.get(at)?;
        match element {
            Element::Any => at = next_character(text, at),
            Element::Byte(b) if b == byte => at += 1,
            Element::Byte(_) => return None,
        }
    }
    Some(at)
}

/// Where the first match after byte `at` ends.
fn find(elements: &[Element], text: &[u8], mut at: usize) -> Option<usize> {
    while at < text.len() {
        if let Some(end) = end_of_match(elements, text, at) {
            return Some(end);
        }
        at = next_character(text, at);
    }
    None
}

/// Whether elements that end with the text begin at byte `from` or after it.
fn matches_end(elements: &[Element], text: &[u8], from: usize) -> bool {
    let mut at = text.len();
    for element in elements.iter().rev() {
        if at <= from {
            return false;
        }
        at -= 1;
        match element {
            Element::Any => {
                while at > from && !begins(text[at]) {
                    at -= 1;
                }
            }
            Element::Byte(b) if *b == text[at] => {}
            Element::Byte(_) => return false,
        }
    }
    true
}
