//! Where values stand among sorted keys, and rows of frames that are not null.

use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{bounds, frames::Counts};
use crate::{
    column::{DeviceColumn, Validity},
    cpu::{
        memory::adopt,
        pieces::{PIECE, groups},
        scan::{total32, total64},
        view::{Bits, aligned_words, host},
    },
    error::Result,
    types::PhysType,
    window::{Frames, Keys, Pick, Search},
};

/// See [`crate::window::pick_valid`].
pub(crate) fn pick_valid(
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &DeviceColumn,
    frames: &Frames,
    which: Pick,
) -> Result<DeviceBuffer> {
    let [low, high] = bounds(frames)?;
    let counts = Counts::new(Bits::validity(c)?, frames.rows());
    // The first and the last row are mostly within 64 rows of the frame's end.
    let picked = match which {
        Pick::FromFirst(0) => each(&low, &high, |low, high| counts.first(low, high)),
        Pick::FromLast(0) => each(&low, &high, |low, high| counts.last(low, high)),
        Pick::FromFirst(k) => each(&low, &high, |low, high| counts.nth(low, high, k)),
        Pick::FromLast(k) => each(&low, &high, |low, high| counts.nth_last(low, high, k)),
    };
    adopt(device, reservation, picked)
}

/// `f` of each frame.
fn each(low: &[u32], high: &[u32], f: impl Fn(u32, u32) -> u32 + Sync) -> Vec<u32> {
    groups(low.len(), PIECE, |start, out| {
        let here = start..start + out.len();
        let frames = low[here.clone()].iter().zip(&high[here]);
        out.extend(frames.map(|(low, high)| f(*low, *high)));
    })
}

/// See [`crate::window::range_frames`]; both columns are wide and of one type.
pub(crate) fn search(
    device: &dyn Device,
    reservation: &mut Reservation,
    keys: Keys<'_>,
    values: &DeviceColumn,
    search: Search<'_>,
) -> Result<DeviceBuffer> {
    let [low, high] = bounds(search.within)?;
    let limit = aligned_words(search.limit, search.within.rows())?;
    let (keys_at, values_at) = (host(&keys.column.values)?, host(&values.values)?);
    let nulls = |c: &DeviceColumn| !matches!(c.validity, Validity::All);
    let look_up = LookUp {
        low: &low,
        high: &high,
        limit: &limit,
        after: search.after,
        valid: (nulls(keys.column) || nulls(values))
            .then(|| {
                Ok::<_, crate::KernelError>((Bits::validity(keys.column)?, Bits::validity(values)?))
            })
            .transpose()?,
        nulls_first: keys.nulls_first,
    };
    // Codes in whose order the keys come; narrow integers lie in words.
    macro_rules! run {
        ($bytes:literal, $code:expr) => {{
            let (keys_at, values_at) =
                (keys_at.as_chunks::<$bytes>().0, values_at.as_chunks::<$bytes>().0);
            let code = $code;
            match keys.descending {
                false => look_up.run(|row| code(keys_at[row]), |row| code(values_at[row])),
                true => look_up.run(|row| !code(keys_at[row]), |row| !code(values_at[row])),
            }
        }};
    }
    use PhysType as T;
    let found = match keys.column.ty {
        T::F32 => run!(4, |b| total32(i32::from_le_bytes(b))),
        T::F64 => run!(8, |b| total64(i64::from_le_bytes(b))),
        T::I8 | T::I16 | T::I32 => run!(4, i32::from_le_bytes),
        T::Bool | T::U8 | T::U16 | T::U32 => run!(4, u32::from_le_bytes),
        T::I64 => run!(8, i64::from_le_bytes),
        T::U64 => run!(8, u64::from_le_bytes),
        T::I128 => run!(16, i128::from_le_bytes),
    };
    adopt(device, reservation, found)
}

struct LookUp<'a> {
    low: &'a [u32],
    high: &'a [u32],
    limit: &'a [u32],
    after: bool,
    /// Of keys and values, where one of them has nulls.
    valid: Option<(Bits<'a>, Bits<'a>)>,
    nulls_first: bool,
}

impl LookUp<'_> {
    /// The row that each value stands at, by the codes of keys and values.
    fn run<C: Ord>(
        &self,
        key: impl Fn(usize) -> C + Sync,
        value: impl Fn(usize) -> C + Sync,
    ) -> Vec<u32> {
        match (&self.valid, self.after) {
            (None, false) => self.rows(|row, at| key(row) < value(at)),
            (None, true) => self.rows(|row, at| key(row) <= value(at)),
            (Some((keys, values)), after) => self.rows(|row, at| {
                match (keys.get(row) == Some(true), values.get(at) == Some(true)) {
                    (true, true) if after => key(row) <= value(at),
                    (true, true) => key(row) < value(at),
                    (false, false) => after,
                    // The null comes first, or the value does.
                    (false, true) => self.nulls_first,
                    (true, false) => !self.nulls_first,
                }
            }),
        }
    }

    /// For each row the first of its partition that does not come before its value. Rows of one
    /// partition mostly end up near the row before them: steps from there double until they are
    /// past the place, which is then between the last two.
    fn rows(&self, before: impl Fn(usize, usize) -> bool + Sync) -> Vec<u32> {
        groups(self.low.len(), PIECE, |start, out| {
            let mut place = 0;
            out.extend((start..start + out.len()).map(|at| {
                let (low, high) = (self.low[at] as usize, self.high[at] as usize);
                place = near(low..high, place, |row| before(row, at));
                let found = place as u32;
                match self.after {
                    true => found.max(self.limit[at]),
                    false => found.min(self.limit[at]),
                }
            }));
        })
    }
}

/// The first of these rows for which `before` does not hold, or the one after the last; `guess`
/// is a row not far from it.
#[inline(always)]
pub(super) fn near(
    rows: std::ops::Range<usize>,
    guess: usize,
    before: impl Fn(usize) -> bool,
) -> usize {
    // All rows before `from` come before the value, none from `to` on.
    let (mut from, mut to) = (rows.start, rows.end);
    let guess = guess.clamp(from, to);
    let mut step = 1;
    if guess < to && before(guess) {
        from = guess + 1;
        while from < to {
            let next = (from + step - 1).min(to - 1);
            if !before(next) {
                to = next;
                break;
            }
            (from, step) = (next + 1, step * 2);
        }
    } else {
        to = guess;
        while from < to {
            let next = to.saturating_sub(step).max(from);
            if before(next) {
                from = next + 1;
                break;
            }
            (to, step) = (next, step * 2);
        }
    }
    while from < to {
        let middle = from + (to - from) / 2;
        if before(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_from_any_guess() {
        for n in [0, 1, 2, 7, 100] {
            for place in 0..=n {
                for guess in 0..n + 3 {
                    let rows = 50..50 + n;
                    let got = near(rows, 49 + guess, |row| row < 50 + place);
                    assert_eq!(got, 50 + place, "{n} {place} {guess}");
                }
            }
        }
    }
}
