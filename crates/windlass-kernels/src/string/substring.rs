//! Parts of texts by characters.

use windlass_device::{Device, Queue, Reservation};

use super::{
    StringColumn, Texts,
    bound::{Bound, copy_bytes, offsets_of, words_validity},
    invalid,
    sources::KernelId,
};
use crate::{cpu, error::Result, launcher::Launcher};

/// The characters of each row's text from character `start` on, the first being 1, as SQL's
/// `substring`: those at places `start..start + length`, where places before 1 and past the end
/// have none; to the end without a `length`. Null where the text is null. Waits for the number
/// of bytes.
///
/// # Errors
/// `Invalid` for a length below 0, or when the column is too short or on another device; the
/// device's errors.
pub fn substring(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    column: &StringColumn,
    start: i64,
    length: Option<i64>,
) -> Result<StringColumn> {
    const OPERATION: &str = "substring";
    column.check(OPERATION, device)?;
    if let Some(length) = length.filter(|l| *l < 0) {
        return invalid(OPERATION, "a length of 0 or more", length.to_string());
    }
    let (skip, take) = range(start, length);
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::string::substring(OPERATION, device, reservation, column, skip, take);
    };
    let n = column.rows;
    let bound = Bound::new(&mut l, column)?;
    let skips = l.alloc_words(n, 1)?;
    let offsets = l.alloc_words(n + 1, 1)?;
    let mut params = vec![n as u32];
    params.extend(bound.params());
    params.extend([skip, take]);
    let buffers = [&bound.heads, &bound.bytes, bound.valid(), &skips, &offsets];
    KernelId::Substring.each(&mut l, n, &buffers, &params)?;
    let total = offsets_of(&mut l, OPERATION, &offsets, n)?;
    let bytes = copy_bytes(&mut l, &bound, None, Some(&skips), (&offsets, n, total))?;
    let validity = words_validity(bound.valid);
    Ok(StringColumn { rows: n, texts: Texts::Offsets { offsets, bytes }, validity })
}

/// Characters to pass over, and to take after them. A column has less than `u32::MAX`.
fn range(start: i64, length: Option<i64>) -> (u32, u32) {
    let clamp = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
    let first = start.max(1) - 1;
    let Some(length) = length else { return (clamp(first), u32::MAX) };
    let end = (start.saturating_add(length)).max(1) - 1;
    (clamp(first), clamp(end - first))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn places_before_the_first_have_no_characters() {
        assert_eq!(range(1, Some(3)), (0, 3));
        assert_eq!(range(3, None), (2, u32::MAX));
        assert_eq!(range(-1, Some(3)), (0, 1));
        assert_eq!(range(0, Some(1)), (0, 0));
        assert_eq!(range(-9, Some(3)), (0, 0));
        assert_eq!(range(i64::MIN, Some(i64::MAX)), (0, 0));
        assert_eq!(range(i64::MAX, Some(i64::MAX)), (u32::MAX, 0));
        assert_eq!(range(2, Some(i64::MAX)), (1, u32::MAX));
    }
}
