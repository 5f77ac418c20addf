//! Parts of objects from servers that give only whole ones.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetRange, Result};

/// The bytes of a range in an object of `size` bytes.
pub(super) fn bounds(range: &GetRange, size: u64) -> Range<u64> {
    match range {
        GetRange::Bounded(r) => r.start.min(size)..r.end.min(size),
        GetRange::Offset(start) => (*start).min(size)..size,
        GetRange::Suffix(n) => size.saturating_sub(*n)..size,
    }
}

/// The part of a whole object's stream that lies in `range`; ends the transfer behind it.
pub(super) fn cut(
    whole: BoxStream<'static, Result<Bytes>>,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes>> {
    let state = (whole, 0u64);
    futures::stream::try_unfold(state, move |(mut whole, mut at)| {
        let range = range.clone();
        async move {
            while at < range.end
                && let Some(bytes) = whole.try_next().await?
            {
                let n = bytes.len() as u64;
                let start = range.start.clamp(at, at + n) - at;
                let end = range.end.clamp(at, at + n) - at;
                at += n;
                if start < end {
                    return Ok(Some((bytes.slice(start as usize..end as usize), (whole, at))));
                }
            }
            Ok(None)
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_range_is_cut_from_a_whole_object() {
        let text = b"0123456789";
        for piece in [1, 3, 10] {
            for (range, expected) in [
                (GetRange::Bounded(2..5), "234"),
                (GetRange::Bounded(8..20), "89"),
                (GetRange::Offset(7), "789"),
                (GetRange::Suffix(4), "6789"),
                (GetRange::Suffix(40), "0123456789"),
                (GetRange::Bounded(20..30), ""),
            ] {
                let parts: Vec<Result<Bytes>> =
                    text.chunks(piece).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
                let whole = futures::stream::iter(parts).boxed();
                let got: Vec<Bytes> =
                    cut(whole, bounds(&range, 10)).try_collect().await.expect("bytes");
                assert_eq!(got.concat(), expected.as_bytes(), "{range:?} in pieces of {piece}");
            }
        }
    }
}
