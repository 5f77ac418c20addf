//! Operations over texts.

use arrow::array::{Array, BooleanArray, Int32Array};
use conformance::Target;
use windlass_kernels::{
    DeviceColumn, PhysType, Validity,
    string::{self, Comparison, ConcatNulls, Pattern, StringColumn, Texts},
};

use crate::{
    Bad,
    args::{ROWS, TOO_MANY},
    refuse, refuse_on_cpu, refused,
};

/// Every operation with a column in the place of each of its columns.
macro_rules! every {
    ($how:ident, $bad:expr, $what:expr, $c:expr) => {{
        let (bad, what, c) = (&mut *$bad, $what, $c);
        let (good, rows) = (bad.texts(false), bad.zeros(ROWS));
        let codes = codes(bad);
        let equal = Comparison::Equal;
        let like = Pattern::new("%é%e_", None).unwrap();
        let nulls = ConcatNulls::Propagate;
        $how!(bad, what, string::byte_length(c));
        $how!(bad, what, string::character_length(c));
        $how!(bad, what, string::compare(c, equal, &good));
        $how!(bad, what, string::compare(&good, equal, c));
        $how!(bad, what, string::order(c, &good));
        $how!(bad, what, string::order(&good, c));
        $how!(bad, what, string::concat(&[c, &good], nulls));
        $how!(bad, what, string::concat(&[&good, c], nulls));
        $how!(bad, what, string::concat(&[c], nulls));
        $how!(bad, what, string::gather(c, &rows, ROWS, false));
        $how!(bad, what, string::to_offsets(c));
        $how!(bad, what, string::from_codes((&codes, ROWS), c));
        $how!(bad, what, string::hash_texts(c, None));
        $how!(bad, what, string::hash_codes((&codes, ROWS), c, None));
        $how!(bad, what, string::starts_with(c, "te"));
        $how!(bad, what, string::ends_with(c, "é"));
        $how!(bad, what, string::contains(c, "xt"));
        $how!(bad, what, string::like(c, &like, false));
        $how!(bad, what, string::sort_word(c, 1, None));
        $how!(bad, what, string::sort_indices(c, false, true));
        $how!(bad, what, string::ranks(c));
        $how!(bad, what, string::substring(c, 2, Some(5)));
    }};
}

/// Codes of the first text.
fn codes(bad: &mut Bad) -> DeviceColumn {
    let column = bad.column(PhysType::U32);
    DeviceColumn { values: bad.zeros(ROWS), validity: Validity::All, ..column }
}

/// Columns whose buffers are too short or elsewhere.
pub(crate) fn texts_of_wrong_buffers(target: Target) {
    let mut bad = Bad::new(target);
    let rows = bad.zeros(ROWS);
    for (what, c) in bad.bad_texts() {
        every!(refuse, &mut bad, what, &c);
        refuse!(bad, what, string::gather_views(&c, &rows, ROWS, false));
        refused("string::StringColumn::check", what, c.check("a test", &*bad.device));
        let elsewhere = what.contains("another device") || what.contains("elsewhere");
        let form = what.contains("data buffers") || what.contains("bit 8");
        if !elsewhere && !form {
            refused("string::StringColumn::to_arrow", what, c.to_arrow(&mut *bad.queue));
        }
    }
}

/// Columns whose offsets or views are not in their buffers.
pub(crate) fn texts_of_wrong_content(target: Target) {
    let mut bad = Bad::new(target);
    for (what, c) in bad.false_texts() {
        every!(refuse_on_cpu, &mut bad, what, &c);
        refused("string::StringColumn::to_arrow", what, c.to_arrow(&mut *bad.queue));
        if !bad.cpu {
            let want = clamped(&mut bad, &c);
            let (device, queue, reservation) = bad.on();
            let got = string::byte_length(device, queue, reservation, &c).unwrap();
            assert_eq!(bad.read(&got.values)[..ROWS], want, "{what}");
        }
    }
}

/// The lengths of what lies in the column's buffers, as `kernels/string/text.cuh` states them.
fn clamped(bad: &mut Bad, c: &StringColumn) -> Vec<u32> {
    match &c.texts {
        Texts::Offsets { offsets, bytes } => {
            let (words, limit) = (bad.read(offsets), bytes.len() as u32);
            let length = |w: &[u32]| w[1].min(limit).saturating_sub(w[0].min(limit));
            words[..=ROWS].windows(2).map(length).collect()
        }
        Texts::Views { views, data } => {
            let (words, limit) = (bad.read(views), data.first().map_or(0, |d| d.len() as u32));
            let length = |w: &[u32; 4]| match w[0] {
                inside @ 0..=12 => inside,
                len => len.min(limit - w[3].min(limit)),
            };
            words.as_chunks::<4>().0[..ROWS].iter().map(length).collect()
        }
    }
}

/// Arguments beside the column.
pub(crate) fn texts_and_columns(target: Target) {
    let mut bad = Bad::new(target);
    let (good, views) = (bad.texts(false), bad.texts(true));
    let fewer = StringColumn { rows: ROWS - 1, ..good.clone() };
    let none = StringColumn { rows: 0, ..good.clone() };
    let (equal, nulls) = (Comparison::Equal, ConcatNulls::Skip);
    for (what, other) in [("fewer rows", &fewer), ("no rows", &none)] {
        refuse!(bad, what, string::compare(&good, equal, other));
        refuse!(bad, what, string::order(other, &good));
        refuse!(bad, what, string::concat(&[&good, other], nulls));
    }
    refuse!(bad, "no columns", string::concat(&[], nulls));

    let rows = bad.zeros(ROWS);
    for (what, few) in [("too few numbers", bad.zeros(3)), ("elsewhere", bad.elsewhere(ROWS))] {
        refuse!(bad, what, string::gather(&good, &few, 4, false));
        refuse!(bad, what, string::gather_views(&views, &few, 4, true));
        refuse!(bad, what, string::sort_word(&good, 0, Some(&few)));
        refuse!(bad, what, string::hash_texts(&good, Some(&few)));
    }
    for n in [TOO_MANY, usize::MAX] {
        refuse!(bad, "too many rows", string::gather(&good, &rows, n, false));
        refuse!(bad, "too many rows", string::gather_views(&views, &rows, n, false));
    }
    refuse!(bad, "no views", string::gather_views(&good, &rows, 4, false));
    let outside = bad.words(&[ROWS as u32; ROWS]);
    let what = "rows that are not there";
    refuse_on_cpu!(bad, what, string::gather(&good, &outside, 9, false));
    refuse_on_cpu!(bad, what, string::gather(&views, &outside, 9, true));
    refuse_on_cpu!(bad, what, string::gather_views(&views, &outside, 9, false));
    refuse_on_cpu!(bad, what, string::sort_word(&good, 0, Some(&outside)));

    for (what, c) in bad.bad_columns(PhysType::U32) {
        refuse!(bad, what, string::from_codes((&c, ROWS), &good));
        refuse!(bad, what, string::hash_codes((&c, ROWS), &good, None));
    }
    let numbers = bad.column(PhysType::I32);
    refuse!(bad, "codes of i32", string::from_codes((&numbers, ROWS), &good));
    refuse!(bad, "codes of i32", string::hash_codes((&numbers, ROWS), &good, None));
    let past = DeviceColumn { values: outside.clone(), ..codes(&mut bad) };
    refuse_on_cpu!(bad, "codes of no text", string::from_codes((&past, ROWS), &good));
    let few = bad.zeros(2 * ROWS - 1);
    refuse!(bad, "too few hashes", string::hash_codes((&past, ROWS), &good, Some(&few)));
    refuse!(bad, "too few hashes", string::hash_texts(&good, Some(&few)));

    for word in [1 << 29, usize::MAX] {
        refuse!(bad, "a word past 4 GiB", string::sort_word(&good, word, None));
    }
    for length in [-1, i64::MIN] {
        refuse!(bad, "a negative length", string::substring(&good, 1, Some(length)));
    }
    refuse!(bad, "an empty text", string::starts_with(&good, ""));
    refuse!(bad, "an empty text", string::ends_with(&good, ""));
    refuse!(bad, "an empty text", string::contains(&good, ""));
    refused("string::Pattern::new", "a last escape", Pattern::new("50\\", Some('\\')));

    let arrays: [&dyn Array; 2] = [&Int32Array::from(vec![1]), &BooleanArray::from(vec![true])];
    for array in arrays {
        refuse!(bad, "an array of no texts", StringColumn::from_arrow(array));
    }
    // Bytes that are no UTF-8 come back as an error, not as an array.
    if let Texts::Offsets { offsets, .. } = &good.texts {
        let bytes = bad.words(&[0xffff_ffff; 2 * ROWS * ROWS]);
        let texts = Texts::Offsets { offsets: offsets.clone(), bytes };
        let c = StringColumn { texts, ..good.clone() };
        let result = c.to_arrow(&mut *bad.queue);
        refused("string::StringColumn::to_arrow", "bytes that are no UTF-8", result);
    }
}
