//! Operations that write texts: gather, conversions, substrings, concatenation; and sorts.

use conformance::{Bench, Presented, Target, data::Random};
use windlass_kernels::{
    PhysType,
    string::{self, ConcatNulls, Texts},
};

use super::{
    coded,
    data::{Form, Rows, SIZES, read_words, refused, rows, same_texts, same_values, upload, words},
};

fn pick(from: &Rows, indices: &[u32]) -> Rows {
    indices.iter().map(|i| from.get(*i as usize).cloned().flatten()).collect()
}

fn check_indices(bench: &mut Bench, from: &Rows, form: Form, indices: &[u32]) {
    let device = bench.device_arc();
    let (c, buffer) = (upload(bench, from, form), words(bench, indices));
    let (n, missing) = (indices.len(), indices.contains(&u32::MAX));
    let mut r = device.pool().reserve(0).unwrap();
    let q = bench.queue();
    let got = string::gather(&*device, q, &mut r, &c, &buffer, n, missing).unwrap();
    assert!(matches!(got.texts, Texts::Offsets { .. }));
    assert_eq!(got.nullable(), missing || c.nullable());
    let context = format!("{form:?} {n} of {} rows", from.len());
    same_texts(bench, &got, &pick(from, indices), &context);
    if form.is_views() {
        let q = bench.queue();
        let views = string::gather_views(&*device, q, &mut r, &c, &buffer, n, missing).unwrap();
        assert!(matches!(views.texts, Texts::Views { .. }));
        same_texts(bench, &views, &pick(from, indices), &context);
        let texts = string::to_offsets(&*device, bench.queue(), &mut r, &views).unwrap();
        same_texts(bench, &texts, &pick(from, indices), &context);
    }
}

/// Pseudo-random row numbers of a column, some missing.
pub(crate) fn check_gather(bench: &mut Bench, from: &Rows, form: Form, seed: u64) {
    let mut random = Random(seed);
    let indices: Vec<u32> = (0..from.len() + 20)
        .map(|_| match random.below(from.len() + 1) {
            i if i == from.len() => u32::MAX,
            i => i as u32,
        })
        .collect();
    check_indices(bench, from, form, &indices);
}

pub(crate) fn gathers(target: Target) {
    let mut bench = Bench::new(target);
    for form in Form::ALL {
        for (n, nulls) in [(0, 0), (1, 0), (33, 4), (257, 0), (600, 5)] {
            let from = rows(71, nulls, n as u64);
            let mut random = Random(n as u64);
            let mut indices: Vec<u32> = (0..n).map(|_| random.below(71) as u32).collect();
            check_indices(&mut bench, &from, form, &indices);
            indices.iter_mut().filter(|i| **i % 5 == 0).for_each(|i| *i = u32::MAX);
            check_indices(&mut bench, &from, form, &indices);
        }
        check_indices(&mut bench, &vec![Some("one row".into())], form, &[0, u32::MAX, 0]);
        check_indices(&mut bench, &vec![], form, &[u32::MAX; 3]);
    }
    // A row that is not there: `cpu` says so, a GPU gives no text.
    let device = bench.device_arc();
    let c = upload(&mut bench, &vec![Some("a".into()), Some("b".into())], Form::Views);
    let buffer = words(&mut bench, &[1, 2, 77]);
    let mut r = device.pool().reserve(0).unwrap();
    let got = string::gather(&*device, bench.queue(), &mut r, &c, &buffer, 3, false);
    if target == Target::Cpu {
        refused(got);
    } else {
        let want = vec![Some("b".into()), Some(String::new()), Some(String::new())];
        same_texts(&mut bench, &got.unwrap(), &want, "outside");
    }
}

/// Several tiles of the scan; runs of empty texts; one text as long as all others.
pub(crate) fn gathers_long(target: Target) {
    let mut bench = Bench::new(target);
    let mut from = rows(50, 7, 5);
    from.push(Some("é€😀abc".repeat(700)));
    from.push(Some(String::new()));
    for form in [Form::Sliced, Form::ManyViews] {
        let n = 5000;
        let mut random = Random(1);
        let mut indices: Vec<u32> = (0..n).map(|_| random.below(50) as u32).collect();
        indices[700..3000].fill(51);
        indices[2000] = 50;
        indices[3] = 50;
        check_indices(&mut bench, &from, form, &indices);
        check_indices(&mut bench, &from, form, &[50, 50, 51, 50]);
    }
    if target == Target::Cpu {
        // More rows than a piece of the twin.
        let indices: Vec<u32> = (0..70_000).map(|i| i % 50).collect();
        check_indices(&mut bench, &from, Form::Offsets, &indices);
    }
}

pub(crate) fn converts(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for form in Form::ALL {
        for n in SIZES {
            let from = rows(n, 4, n as u64);
            let c = upload(&mut bench, &from, form);
            let mut r = device.pool().reserve(0).unwrap();
            let got = string::to_offsets(&*device, bench.queue(), &mut r, &c).unwrap();
            assert!(matches!(got.texts, Texts::Offsets { .. }));
            same_texts(&mut bench, &got, &from, &format!("{form:?} {n}"));
        }
    }
    for form in Form::FEW {
        for (nulls, how) in [(0, Presented::Wide), (4, Presented::Wide), (4, Presented::Packed(5))]
        {
            for n in [0, 1, 33, 257, 3000] {
                let (values, codes, texts) = coded(n, nulls, n as u64);
                let values = upload(&mut bench, &values, form);
                let codes = codes.upload(&*device, bench.queue(), how);
                let mut r = device.pool().reserve(0).unwrap();
                let q = bench.queue();
                let got = string::from_codes(&*device, q, &mut r, (&codes, n), &values).unwrap();
                same_texts(&mut bench, &got, &texts, &format!("codes of {form:?} {n}"));
            }
        }
    }
}

/// SQL's substring over characters.
fn cut(text: &str, start: i64, length: Option<i64>) -> String {
    let inside = |place: i64| {
        place >= start
            && length.is_none_or(|l| i128::from(place) < i128::from(start) + i128::from(l))
    };
    let places = text.chars().zip(1i64..);
    places.filter(|(_, place)| inside(*place)).map(|(c, _)| c).collect()
}

pub(crate) fn check_substring(
    bench: &mut Bench,
    from: &Rows,
    form: Form,
    start: i64,
    length: Option<i64>,
) {
    let device = bench.device_arc();
    let c = upload(bench, from, form);
    let mut r = device.pool().reserve(0).unwrap();
    let got = string::substring(&*device, bench.queue(), &mut r, &c, start, length).unwrap();
    let want = from.iter().map(|t| t.as_ref().map(|t| cut(t, start, length))).collect();
    same_texts(bench, &got, &want, &format!("{form:?} substring {start} {length:?}"));
}

pub(crate) fn substrings(target: Target) {
    let mut bench = Bench::new(target);
    for form in Form::FEW {
        for n in SIZES {
            check_substring(&mut bench, &rows(n, 5, 3), form, 2, Some(3));
        }
        let mut from = rows(100, 6, 8);
        from.push(Some("é€😀abc".repeat(300)));
        for start in [i64::MIN, -2, 0, 1, 2, 3, 4, 5, 9, 40, 1000, i64::MAX] {
            for length in [None, Some(0), Some(1), Some(2), Some(4), Some(900), Some(i64::MAX)] {
                check_substring(&mut bench, &from, form, start, length);
            }
        }
    }
}

pub(crate) fn check_concat(bench: &mut Bench, columns: &[(&Rows, Form)]) {
    let device = bench.device_arc();
    let uploaded: Vec<_> = columns.iter().map(|(c, form)| upload(bench, c, *form)).collect();
    let all: Vec<_> = uploaded.iter().collect();
    let n = columns.iter().map(|(c, _)| c.len()).find(|n| *n != 1).unwrap_or(1);
    for nulls in [ConcatNulls::Propagate, ConcatNulls::Skip] {
        let mut r = device.pool().reserve(0).unwrap();
        let got = string::concat(&*device, bench.queue(), &mut r, &all, nulls).unwrap();
        let row = |i: usize| {
            let part = |c: &Rows| c[if c.len() == 1 { 0 } else { i }].clone();
            let parts: Vec<_> = columns.iter().map(|(c, _)| part(c)).collect();
            match nulls {
                ConcatNulls::Propagate => parts.into_iter().collect::<Option<String>>(),
                ConcatNulls::Skip => Some(parts.into_iter().flatten().collect()),
            }
        };
        let want = (0..n).map(row).collect();
        same_texts(bench, &got, &want, &format!("{nulls:?} {} columns", columns.len()));
    }
}

pub(crate) fn concats(target: Target) {
    let mut bench = Bench::new(target);
    let one = |t: &str| vec![Some(t.to_string())];
    for n in SIZES {
        let (a, b, c) = (rows(n, 4, 1), rows(n, 0, 2), rows(n, 7, 3));
        check_concat(&mut bench, &[(&a, Form::Sliced), (&b, Form::ManyViews)]);
        let (comma, end) = (one(", "), one("é"));
        check_concat(
            &mut bench,
            &[
                (&a, Form::Words),
                (&comma, Form::Offsets),
                (&b, Form::Views),
                (&end, Form::Views),
                (&c, Form::Sliced),
            ],
        );
    }
    let a = rows(100, 4, 1);
    for form in Form::ALL {
        check_concat(&mut bench, &[(&a, form)]);
        check_concat(&mut bench, &[(&a, form), (&vec![None], Form::Offsets)]);
    }
    check_concat(&mut bench, &[(&one("a"), Form::Offsets), (&one("b"), Form::Views)]);
    check_concat(&mut bench, &[(&one("a"), Form::Offsets), (&rows(50, 3, 1), Form::Views)]);
    let long = vec![Some("é€😀abc".repeat(300)), None, Some(String::new()), Some("x".into())];
    check_concat(&mut bench, &[(&long, Form::Views), (&long, Form::Offsets), (&long, Form::Words)]);
}

pub(crate) fn check_sort(bench: &mut Bench, from: &Rows, form: Form, (down, first): (bool, bool)) {
    let device = bench.device_arc();
    let c = upload(bench, from, form);
    let mut r = device.pool().reserve(0).unwrap();
    let got = string::sort_indices(&*device, bench.queue(), &mut r, &c, down, first).unwrap();
    let mut want: Vec<u32> = (0..from.len() as u32).collect();
    want.sort_by(|a, b| {
        let (a, b) = (&from[*a as usize], &from[*b as usize]);
        match (a, b) {
            (Some(a), Some(b)) if down => b.as_bytes().cmp(a.as_bytes()),
            (Some(a), Some(b)) => a.as_bytes().cmp(b.as_bytes()),
            (a, b) if first => a.is_some().cmp(&b.is_some()),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    });
    let got = read_words(bench, &got, from.len());
    let mut all: Vec<_> = from.iter().map(|t| t.as_ref().map(String::as_bytes)).collect();
    all.sort_unstable();
    all.dedup();
    let ranks = string::ranks(&*device, bench.queue(), &mut r, &c).unwrap();
    let rank = |t: &String| all.binary_search(&Some(t.as_bytes())).unwrap() as i64;
    let places: Vec<_> = from.iter().map(|t| t.as_ref().map(rank)).collect();
    same_values(bench, &ranks, PhysType::U32, &places, &format!("{form:?} ranks"));
    assert_eq!(got, want, "{form:?} descending: {down} nulls first: {first}");
}

pub(crate) fn sorts(target: Target) {
    let mut bench = Bench::new(target);
    if target != Target::EmulatedChecked {
        // More rows than threads that run at once.
        check_sort(&mut bench, &rows(2100, 9, 4), Form::Words, (true, false));
    }
    let device = bench.device_arc();
    for form in Form::FEW {
        for n in [0, 1, 2, 33, 257] {
            check_sort(&mut bench, &rows(n, 5, 2), form, (n % 2 == 1, n > 32));
        }
        check_sort(&mut bench, &rows(40, 1, 2), form, (false, false));
        // Texts of several groups of words, which differ in the first and in the last.
        let long = |i: usize| format!("{}{}{}", i % 3, "é".repeat(40 + i % 2), i % 7);
        let from = (0..60).map(|i| (i % 11 != 0).then(|| long(i))).collect();
        for how in [(false, false), (true, true)] {
            check_sort(&mut bench, &from, form, how);
        }
        let from = rows(257, 5, 9);
        let order: Vec<u32> = (0..257).rev().collect();
        let (c, order_words) = (upload(&mut bench, &from, form), words(&mut bench, &order));
        for k in [0, 1, 2, 5, 60] {
            for order in [None, Some(&order)] {
                let mut r = device.pool().reserve(0).unwrap();
                let q = bench.queue();
                let by = order.map(|_| &order_words);
                let got = string::sort_word(&*device, q, &mut r, &c, k, by).unwrap();
                let word = |t: &String| {
                    let mut word = [0u8; 8];
                    let bytes = t.as_bytes().iter().skip(k * 8);
                    word.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
                    u64::from_be_bytes(word) as i64
                };
                let row = |i: usize| order.map_or(i, |o| o[i] as usize);
                let want: Vec<_> = (0..257).map(|i| from[row(i)].as_ref().map(word)).collect();
                same_values(&mut bench, &got, PhysType::U64, &want, &format!("word {k}"));
            }
        }
    }
}
