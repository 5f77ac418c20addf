//! Reading the rows of string arrays as bytes and as string views.

use arrow::array::{Array, GenericStringArray, OffsetSizeTrait, StringViewArray};

/// Most bytes of a string that lie in its view.
pub(super) const INLINE: usize = 12;

/// The view of a string of up to [`INLINE`] bytes.
pub(super) fn inline_view(bytes: &[u8]) -> u128 {
    let mut view = [0; 16];
    view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    view[4..4 + bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(view)
}

/// The first four bytes of a longer string, as its view has them.
pub(super) fn prefix_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Rows of strings. A null row may be any string.
pub(super) trait Strings {
    /// Number of rows.
    fn len(&self) -> usize;

    /// The bytes of a row, and its view where that is inline and cheap to have.
    fn get(&self, row: usize) -> (&[u8], Option<u128>);
}

impl Strings for StringViewArray {
    fn len(&self) -> usize {
        Array::len(self)
    }

    fn get(&self, row: usize) -> (&[u8], Option<u128>) {
        let view = self.views()[row];
        if view as u32 as usize <= INLINE {
            let bytes = self.views().inner().as_slice();
            let at = row * 16 + 4;
            return (&bytes[at..at + view as u32 as usize], Some(view));
        }
        (self.value(row).as_bytes(), None)
    }
}

impl<O: OffsetSizeTrait> Strings for GenericStringArray<O> {
    fn len(&self) -> usize {
        Array::len(self)
    }

    fn get(&self, row: usize) -> (&[u8], Option<u128>) {
        let (start, end) =
            (self.value_offsets()[row].as_usize(), self.value_offsets()[row + 1].as_usize());
        let data = self.value_data();
        let len = end - start;
        if len <= INLINE
            && let Some(Ok(raw)) = data.get(start..start + 16).map(<[u8; 16]>::try_from)
        {
            let text = u128::from_le_bytes(raw) & ((1 << (8 * len)) - 1);
            return (&data[start..end], Some(len as u128 | text << 32));
        }
        (&data[start..end], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    #[test]
    fn the_same_string_has_the_same_view_in_every_array() {
        let texts = ["", "a", "exactly12byt", "ends here"];
        let (plain, views) =
            (StringArray::from(texts.to_vec()), StringViewArray::from(texts.to_vec()));
        for (i, t) in texts.iter().enumerate() {
            let expected = inline_view(t.as_bytes());
            assert_eq!(Strings::get(&views, i), (t.as_bytes(), Some(expected)));
            let (bytes, view) = Strings::get(&plain, i);
            assert_eq!((bytes, view.unwrap_or(expected)), (t.as_bytes(), expected));
        }
    }
}
