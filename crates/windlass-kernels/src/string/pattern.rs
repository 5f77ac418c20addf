//! LIKE patterns, compiled once for all rows.

use super::invalid;
use crate::error::Result;

/// The kernel's word for any one character.
const ANY: u32 = 256;
/// The kernel's bits for a segment that is held at the text's start, and at its end.
const AT_START: u32 = 1;
const AT_END: u32 = 2;

/// What one place of a segment matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Byte(u8),
    /// `_`: one character.
    Any,
}

/// A part of a pattern between `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) elements: Vec<Element>,
    /// Its bytes, where it has no `_`.
    pub(crate) literal: Option<Vec<u8>>,
}

impl Segment {
    fn new(elements: Vec<Element>) -> Self {
        let byte = |e: &Element| match e {
            Element::Byte(b) => Some(*b),
            Element::Any => None,
        };
        let literal = elements.iter().map(byte).collect();
        Self { elements, literal }
    }
}

/// A pattern of SQL's LIKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(crate) segments: Vec<Segment>,
    /// No `%` stands before the first segment.
    pub(crate) at_start: bool,
    /// No `%` stands after the last one.
    pub(crate) at_end: bool,
}

impl Pattern {
    /// Reads a pattern: `%` stands for any number of characters, `_` for one, and `escape`
    /// before a character for that character.
    ///
    /// # Errors
    /// `Invalid` for a pattern that ends with the escape character.
    pub fn new(pattern: &str, escape: Option<char>) -> Result<Self> {
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            let mut utf8 = [0; 4];
            let literal = match c {
                c if Some(c) == escape => match characters.next() {
                    Some(next) => next,
                    None => {
                        let got = format!("{pattern:?}, which ends with the escape character");
                        return invalid("LIKE", "a character after the escape character", got);
                    }
                },
                '%' => {
                    parts.push(std::mem::take(&mut part));
                    continue;
                }
                '_' => {
                    part.push(Element::Any);
                    continue;
                }
                c => c,
            };
            part.extend(literal.encode_utf8(&mut utf8).bytes().map(Element::Byte));
        }
        parts.push(part);
        let first = parts.first().is_some_and(|p| !p.is_empty());
        let last = parts.last().is_some_and(|p| !p.is_empty());
        if let [_] = parts[..] {
            let segments = parts.into_iter().map(Segment::new).collect();
            return Ok(Self { segments, at_start: true, at_end: true });
        }
        let segments = parts.into_iter().filter(|p| !p.is_empty()).map(Segment::new).collect();
        Ok(Self { segments, at_start: first, at_end: last })
    }

    /// A text that stands at the start, at the end, or anywhere.
    pub(super) fn of_text(text: &str, at_start: bool, at_end: bool) -> Self {
        let elements = text.bytes().map(Element::Byte).collect();
        Self { segments: vec![Segment::new(elements)], at_start, at_end }
    }

    /// Bytes that a text has at least: a character has one or more.
    pub(crate) fn least_bytes(&self) -> usize {
        self.segments.iter().map(|s| s.elements.len()).sum()
    }

    /// The words that the kernel walks; `kernels/string/like.cu` says how they lie.
    pub(super) fn program(&self) -> Vec<u32> {
        let at = |on: bool, bit| if on { bit } else { 0 };
        let anchors = at(self.at_start, AT_START) | at(self.at_end, AT_END);
        let least = u32::try_from(self.least_bytes()).unwrap_or(u32::MAX);
        let mut words = vec![self.segments.len() as u32, anchors, least];
        for segment in &self.segments {
            words.push(segment.elements.len() as u32);
            words.extend(segment.elements.iter().map(|e| match e {
                Element::Byte(b) => u32::from(*b),
                Element::Any => ANY,
            }));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_at_its_percents() {
        let p = Pattern::new("a_%%é%", Some('\\')).unwrap();
        assert_eq!((p.at_start, p.at_end, p.segments.len(), p.least_bytes()), (true, false, 2, 4));
        assert_eq!(p.segments[0].literal, None);
        assert_eq!(p.segments[1].literal.as_deref(), Some("é".as_bytes()));
        assert_eq!(p.program(), [2, 1, 4, 2, 97, 256, 2, 0xc3, 0xa9]);
    }

    #[test]
    fn an_escaped_character_stands_for_itself() {
        let p = Pattern::new("5#%#_##", Some('#')).unwrap();
        assert_eq!(p.segments[0].literal.as_deref(), Some(&b"5%_#"[..]));
        assert!(p.at_start && p.at_end);
        assert!(Pattern::new("a#", Some('#')).is_err());
        assert_eq!(Pattern::new("a#", None).unwrap().least_bytes(), 2);
    }

    #[test]
    fn patterns_of_percents_match_everything() {
        let p = Pattern::new("%%", None).unwrap();
        assert_eq!(p.program(), [0, 0, 0]);
        assert_eq!(Pattern::new("", None).unwrap().program(), [1, 3, 0, 0]);
    }
}
