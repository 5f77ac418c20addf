//! Comparisons of the texts of a row.

use std::cmp::Ordering;

use super::{
    head::{HEAD, Head},
    read::{INLINE, Rows},
};

/// Whether the texts of a row are equal. Of two views the lengths and the first four bytes are
/// compared first, and bytes elsewhere only where these are equal; else short texts by their
/// heads.
#[inline(always)]
pub(super) fn same(a: &impl Rows, b: &impl Rows, row: usize) -> bool {
    match (a.view(row), b.view(row)) {
        (Some(x), Some(y)) => own(x) == own(y) && (x as u32 <= INLINE || a.get(row) == b.get(row)),
        _ => {
            let mut lens = [[0; 1]; 2];
            a.lens(row, &mut lens[0]);
            b.lens(row, &mut lens[1]);
            let [[len], [other]] = lens;
            match len == other {
                true if len as usize <= HEAD => a.head(row).bytes == b.head(row).bytes,
                true => a.get(row) == b.get(row),
                false => false,
            }
        }
    }
}

/// Which of up to 64 rows from one on may have equal texts, a bit each: those whose lengths are
/// equal, and of two views the first four bytes of which any count.
#[inline(always)]
pub(super) fn maybe_same(a: &impl Rows, b: &impl Rows, first: usize, n: usize) -> u64 {
    let mut heads = [[0u64; 64]; 2];
    let [x, y] = &mut heads;
    if a.heads_of_views(first, &mut x[..n]) && b.heads_of_views(first, &mut y[..n]) {
        // What is not the text's own does not count where both are as long.
        let kept = |len: u32| u64::MAX >> (8 * (4 - len.min(4)));
        let pairs = x[..n].iter().zip(&y[..n]).enumerate();
        return pairs.fold(0, |w, (k, (a, b))| w | u64::from((a ^ b) & kept(*b as u32) == 0) << k);
    }
    let mut lens = [[0; 64]; 2];
    a.lens(first, &mut lens[0][..n]);
    b.lens(first, &mut lens[1][..n]);
    let pairs = lens[0][..n].iter().zip(&lens[1][..n]).enumerate();
    pairs.fold(0, |w, (k, (a, b))| w | u64::from(a == b) << k)
}

/// The order of the texts of a row; of two views by their first four bytes where these differ.
#[inline(always)]
pub(super) fn order(a: &impl Rows, b: &impl Rows, row: usize) -> Ordering {
    let all = || a.get(row).cmp(b.get(row));
    match (a.view(row), b.view(row)) {
        (Some(x), Some(y)) => {
            let (long, other) = (x as u32, y as u32);
            if long.max(other) <= INLINE {
                let head = |view: u128| Head { len: view as u32, bytes: own(view) >> 32 };
                return head(x).order(head(y)).unwrap_or_else(all);
            }
            prefix(x).cmp(&prefix(y)).then_with(all)
        }
        _ => a.head(row).order(b.head(row)).unwrap_or_else(all),
    }
}

/// Whether the text of a row comes before the other, as [`order`] has it.
#[inline(always)]
pub(super) fn before(a: &impl Rows, b: &impl Rows, row: usize) -> bool {
    let all = || a.get(row) < b.get(row);
    match (a.view(row), b.view(row)) {
        (Some(x), Some(y)) => {
            if (x as u32).max(y as u32) <= INLINE {
                // The bytes as one number, and the length.
                let key = |view| (own(view) >> 32).swap_bytes() | u128::from(view as u32);
                return key(x) < key(y);
            }
            let (p, q) = (prefix(x), prefix(y));
            p < q || (p == q && all())
        }
        _ => a.head(row).before(b.head(row)).unwrap_or_else(all),
    }
}

/// What of a view is the text's own: its length, and its bytes or the first four of them. What
/// follows a text in its view does not count, nor does where it lies.
#[inline(always)]
fn own(view: u128) -> u128 {
    const OWN: [u128; INLINE as usize + 2] = {
        let mut own = [u64::MAX as u128; INLINE as usize + 2];
        let mut bytes = 0;
        while bytes <= INLINE as usize {
            own[bytes] = u128::MAX >> (8 * (INLINE as usize - bytes));
            bytes += 1;
        }
        own
    };
    view & OWN[(view as u32).min(INLINE + 1) as usize]
}

/// The first four bytes of a view's text as a number that orders as they do, zeros past its end.
#[inline(always)]
fn prefix(view: u128) -> u32 {
    let kept = (1u64 << (8 * (view as u32).min(4))) - 1;
    ((view >> 32) as u32 & kept as u32).swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::{super::read::Constant, *};

    #[test]
    fn constants_compare_as_their_texts() {
        let texts: [&[u8]; 11] = [
            b"",
            b"a",
            b"a\0",
            b"ab",
            b"abcd",
            b"abcde",
            b"abcdefghijkl",
            b"abcdefghijklm",
            b"abcdefghijklmnop",
            b"abcdefghijklmnopq",
            b"abcdefghijklmnopr",
        ];
        for a in texts {
            for b in texts {
                let (x, y) = (Constant::new(a), Constant::new(b));
                assert_eq!(same(&x, &y, 0), a == b, "{a:?} {b:?}");
                assert_eq!(order(&x, &y, 0), a.cmp(b), "{a:?} {b:?}");
                assert_eq!(before(&x, &y, 0), a < b, "{a:?} {b:?}");
                let n = a.len().min(4);
                let want = a.len() == b.len() && a[..n] == b[..n];
                assert_eq!(maybe_same(&x, &y, 0, 64), if want { u64::MAX } else { 0 });
                assert_eq!(maybe_same(&x, &y, 0, 3), if want { 7 } else { 0 });
            }
        }
    }

    #[test]
    fn what_follows_a_text_in_its_view_does_not_count() {
        let view = |len: u8, fill: u8| {
            let mut view = [fill; 16];
            view[..4].copy_from_slice(&[len, 0, 0, 0]);
            let n = usize::from(len).min(12);
            view[4..4 + n].copy_from_slice(&b"abcdefghijkl"[..n]);
            u128::from_le_bytes(view)
        };
        for len in 0..=12 {
            assert_eq!(own(view(len, 0)), own(view(len, 0xff)), "{len}");
            assert_ne!(own(view(len, 0)), own(view((len + 1) % 13, 0)), "{len}");
        }
        // Of a long text its length and first four bytes, wherever it lies.
        let long = |fill: u8| {
            let mut view = [fill; 16];
            view[..8].copy_from_slice(b"\x20\0\0\0abcd");
            u128::from_le_bytes(view)
        };
        assert_eq!(own(long(1)), own(long(2)));
    }
}
