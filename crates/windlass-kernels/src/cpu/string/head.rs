//! The first bytes of texts, by which most comparisons and the hashes of short ones are done.

use std::cmp::Ordering;

/// Bytes of a text's head.
pub(super) const HEAD: usize = 16;

/// For each number of bytes as many, from the lowest on.
pub(super) const KEPT: [u128; HEAD + 1] = {
    let mut kept = [u128::MAX; HEAD + 1];
    let mut bytes = 0;
    while bytes < HEAD {
        kept[bytes] = (1 << (8 * bytes)) - 1;
        bytes += 1;
    }
    kept
};

/// The length of a text and its first bytes, the first lowest, zeros past its end. It is had
/// without a branch on the length, which the processor would guess wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) len: u32,
    pub(super) bytes: u128,
}

impl Head {
    /// Of the text of `len` bytes that `rest` begins with; what comes behind it helps to read it.
    #[inline(always)]
    pub(super) fn new(len: u32, rest: &[u8]) -> Self {
        let all = match rest.first_chunk::<HEAD>() {
            Some(all) => u128::from_le_bytes(*all),
            None => {
                let mut all = [0; HEAD];
                all[..rest.len()].copy_from_slice(rest);
                u128::from_le_bytes(all)
            }
        };
        Self { len, bytes: all & KEPT[(len as usize).min(HEAD)] }
    }

    /// The order of two texts where it is known: heads that differ, or that are whole. A text
    /// that another begins with comes first, and so does its head, by zeros or by its length.
    #[inline(always)]
    pub(super) fn order(self, other: Self) -> Option<Ordering> {
        let heads = self.bytes.swap_bytes().cmp(&other.bytes.swap_bytes());
        let whole = self.len.min(other.len) as usize <= HEAD;
        (whole || heads.is_ne()).then(|| heads.then(self.len.cmp(&other.len)))
    }

    /// Whether a text comes before another, where it is known: see [`Head::order`].
    #[inline(always)]
    pub(super) fn before(self, other: Self) -> Option<bool> {
        let (a, b) = (self.bytes.swap_bytes(), other.bytes.swap_bytes());
        let known = a != b || self.len.min(other.len) as usize <= HEAD;
        known.then_some((a < b) | ((a == b) & (self.len < other.len)))
    }

    /// Whether a text begins with `n` bytes, of which this is the head; longer ones are not
    /// compared whole.
    #[inline(always)]
    pub(super) fn begins(self, n: usize, text: Self) -> bool {
        (self.len as usize >= n) & (self.bytes & KEPT[n.min(HEAD)] == text.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_the_first_bytes_wherever_the_text_ends() {
        let bytes: Vec<u8> = (1..=40).collect();
        for start in 0..=40 {
            for len in 0..=40 - start {
                let head = Head::new(len as u32, &bytes[start..]);
                let mut want = [0; HEAD];
                let n = len.min(HEAD);
                want[..n].copy_from_slice(&bytes[start..start + n]);
                assert_eq!((head.len, head.bytes), (len as u32, u128::from_le_bytes(want)));
            }
        }
    }

    #[test]
    fn heads_order_as_their_texts_or_not_at_all() {
        let texts: [&[u8]; 12] = [
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0b",
            b"ab",
            b"b",
            b"quick fox, lazy.",
            b"quick fox, lazy.\0",
            b"quick fox, lazy. dog",
            b"\xff",
        ];
        let head = |t: &[u8]| Head::new(t.len() as u32, t);
        for a in texts {
            for b in texts {
                let order = head(a).order(head(b));
                assert_eq!(head(a).before(head(b)), order.map(Ordering::is_lt), "{a:?} {b:?}");
                match order {
                    Some(order) => assert_eq!(order, a.cmp(b), "{a:?} {b:?}"),
                    None => assert!(a.len() > HEAD && b.len() > HEAD && a[..HEAD] == b[..HEAD]),
                }
                let begins = head(a).begins(b.len(), head(b));
                let n = b.len().min(HEAD);
                let want = a.len() >= b.len() && a[..n] == b[..n];
                assert_eq!(begins, want, "{a:?} {b:?}");
            }
        }
    }
}
