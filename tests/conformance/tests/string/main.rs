//! Conformance of the operations on texts: one suite for every backend, against plain loops over
//! strings.

use std::cell::RefCell;

use conformance::{Bench, HostColumn, Presented, Target, data::Random};
use proptest::prelude::*;
use windlass_kernels::{
    DeviceBatch, PhysType, Validity,
    hash::{SEED, hash_rows},
    string::{self, Comparison, StringColumn, Texts},
};

mod data;
mod search;
mod write;

use data::{
    Form, Rows, SIZES, download, read_words, refused, rows, same_texts, same_values, upload, words,
};
use search::{searches, searches_special};
use write::{concats, converts, gathers, gathers_long, sorts, substrings};

conformance::everywhere!(
    all: measures,
    compares,
    compares_constants,
    hashes,
    hashes_codes,
    gathers,
    gathers_long,
    converts,
    searches,
    searches_special,
    substrings,
    concats,
    sorts,
    random,
    refuses,
    bad_heads,
);

conformance::everywhere!(wgpu_reversed:
    measures, compares, hashes, hashes_codes, gathers, converts, searches, substrings, concats, sorts);

fn measures(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for form in Form::ALL {
        for n in SIZES {
            for nulls in [0, 1, 4] {
                let from = rows(n, nulls, n as u64);
                let c = upload(&mut bench, &from, form);
                let mut r = device.pool().reserve(0).unwrap();
                let context = format!("{form:?} {n} rows");
                let got = string::byte_length(&*device, bench.queue(), &mut r, &c).unwrap();
                let want: Vec<_> =
                    from.iter().map(|t| t.as_ref().map(|t| t.len() as i64)).collect();
                same_values(&mut bench, &got, PhysType::U32, &want, &context);
                let got = string::character_length(&*device, bench.queue(), &mut r, &c).unwrap();
                let count = |t: &Option<String>| t.as_ref().map(|t| t.chars().count() as i64);
                let want: Vec<_> = from.iter().map(count).collect();
                same_values(&mut bench, &got, PhysType::U32, &want, &context);
            }
        }
    }
}

/// Compares two columns in every way; a column of one row stands for all.
fn check_compare(bench: &mut Bench, a: &Rows, b: &Rows, forms: (Form, Form)) {
    let device = bench.device_arc();
    let (x, y) = (upload(bench, a, forms.0), upload(bench, b, forms.1));
    let n = if a.len() == 1 { b.len() } else { a.len() };
    let at = |rows: &Rows, i: usize| rows[if rows.len() == 1 { 0 } else { i }].clone();
    let orders: Vec<Option<std::cmp::Ordering>> =
        (0..n).map(|i| Some(at(a, i)?.as_bytes().cmp(at(b, i)?.as_bytes()))).collect();
    let mut r = device.pool().reserve(0).unwrap();
    for comparison in Comparison::ALL {
        let got = string::compare(&*device, bench.queue(), &mut r, &x, comparison, &y).unwrap();
        let holds = |o: std::cmp::Ordering| match comparison {
            Comparison::Equal => o.is_eq(),
            Comparison::NotEqual => o.is_ne(),
            Comparison::Less => o.is_lt(),
            Comparison::LessOrEqual => o.is_le(),
            Comparison::Greater => o.is_gt(),
            Comparison::GreaterOrEqual => o.is_ge(),
        };
        let want: Vec<_> = orders.iter().map(|o| o.map(|o| i64::from(holds(o)))).collect();
        let context = format!("{forms:?} {comparison:?} {n} rows");
        same_values(bench, &got, PhysType::Bool, &want, &context);
    }
    let got = string::order(&*device, bench.queue(), &mut r, &x, &y).unwrap();
    let want: Vec<_> = orders.iter().map(|o| o.map(|o| o as i64)).collect();
    same_values(bench, &got, PhysType::I8, &want, &format!("{forms:?} order"));
}

fn compares(target: Target) {
    let mut bench = Bench::new(target);
    for (a, b) in [(Form::Sliced, Form::ManyViews), (Form::Words, Form::Sliced)] {
        for n in SIZES {
            check_compare(&mut bench, &rows(n, 5, 1), &rows(n, 3, 2), (a, b));
        }
        // Equal texts, and texts that differ near their ends.
        let same = rows(300, 9, 7);
        check_compare(&mut bench, &same, &same, (a, b));
        check_compare(&mut bench, &rows(40, 0, 3), &rows(40, 0, 4), (a, b));
        check_compare(&mut bench, &rows(40, 1, 3), &rows(40, 0, 4), (b, a));
        let long = |end: &str| vec![Some(format!("{}{end}", "é".repeat(700))); 3];
        check_compare(&mut bench, &long("a"), &long("b"), (a, b));
        check_compare(&mut bench, &long(""), &long("\0"), (b, a));
    }
}

fn compares_constants(target: Target) {
    let mut bench = Bench::new(target);
    for form in Form::FEW {
        let column = rows(257, 6, 11);
        for text in ["", "abc", "abcdefghijklm", "é", "a\0"] {
            let one = vec![Some(text.to_string())];
            check_compare(&mut bench, &column, &one, (form, Form::Offsets));
            check_compare(&mut bench, &one, &column, (Form::Views, form));
        }
        check_compare(&mut bench, &column, &vec![None], (form, Form::Offsets));
        let c = upload(&mut bench, &column, form);
        let device = bench.device_arc();
        let mut r = device.pool().reserve(0).unwrap();
        let q = bench.queue();
        let one = StringColumn::constant(&*device, q, &mut r, "abc").unwrap();
        let q = bench.queue();
        let got = string::compare(&*device, q, &mut r, &c, Comparison::GreaterOrEqual, &one);
        let want: Vec<_> =
            column.iter().map(|t| t.as_ref().map(|t| i64::from(t.as_str() >= "abc"))).collect();
        same_values(&mut bench, &got.unwrap(), PhysType::Bool, &want, "a constant");
        check_compare(&mut bench, &vec![], &vec![Some("a".into())], (form, Form::Offsets));
    }
}

const M: u32 = 0x5bd1_e995;

/// MurmurHash64B as SMHasher has it.
fn murmur64b(bytes: &[u8], seed: u64) -> u64 {
    let (mut h1, mut h2) = (seed as u32 ^ bytes.len() as u32, (seed >> 32) as u32);
    let mix = |h: u32, k: u32| {
        let k = k.wrapping_mul(M);
        h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
    };
    let mut data = bytes;
    let word = |d: &[u8]| u32::from_le_bytes([d[0], d[1], d[2], d[3]]);
    while data.len() >= 8 {
        h1 = mix(h1, word(data));
        h2 = mix(h2, word(&data[4..]));
        data = &data[8..];
    }
    if data.len() >= 4 {
        h1 = mix(h1, word(data));
        data = &data[4..];
    }
    if data.len() >= 3 {
        h2 ^= u32::from(data[2]) << 16;
    }
    if data.len() >= 2 {
        h2 ^= u32::from(data[1]) << 8;
    }
    if !data.is_empty() {
        h2 = (h2 ^ u32::from(data[0])).wrapping_mul(M);
    }
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    u64::from(h1) << 32 | u64::from(h2)
}

fn read_hashes(bench: &mut Bench, buffer: &windlass_device::DeviceBuffer, n: usize) -> Vec<u64> {
    let words = read_words(bench, buffer, n * 2);
    words.chunks_exact(2).map(|w| u64::from(w[1]) << 32 | u64::from(w[0])).collect()
}

fn hash_of(text: Option<&String>, seed: u64) -> u64 {
    murmur64b(text.map_or(&[][..], |t| t.as_bytes()), seed)
}

fn hashes(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for form in Form::ALL {
        for n in SIZES {
            let (a, b) = (rows(n, 5, n as u64), rows(n, 0, 9));
            let (x, y) = (upload(&mut bench, &a, form), upload(&mut bench, &b, form));
            let mut r = device.pool().reserve(0).unwrap();
            let one = string::hash_texts(&*device, bench.queue(), &mut r, &x, None).unwrap();
            let two = string::hash_texts(&*device, bench.queue(), &mut r, &y, Some(&one)).unwrap();
            let first: Vec<_> = a.iter().map(|t| hash_of(t.as_ref(), u64::from(SEED))).collect();
            let both: Vec<_> =
                b.iter().zip(&first).map(|(t, seed)| hash_of(t.as_ref(), *seed)).collect();
            assert_eq!(read_hashes(&mut bench, &one, n), first, "{form:?}");
            assert_eq!(read_hashes(&mut bench, &two, n), both, "{form:?}");
        }
    }
    // Eight bytes hash as the integer of these bytes, so that the families agree.
    let numbers: Vec<u64> = (0..100u64).map(|i| 0x4142_4344_4546_4748 + i % 7).collect();
    let values = numbers.iter().map(|v| Some(u128::from(*v))).collect();
    let integers = HostColumn { ty: PhysType::U64, values };
    let texts = numbers.iter().map(|v| String::from_utf8(v.to_le_bytes().into()).ok()).collect();
    let column = upload(&mut bench, &texts, Form::Offsets);
    let integers = integers.upload(&*device, bench.queue(), Presented::Wide);
    let batch = DeviceBatch { rows: 100, columns: vec![integers] };
    let mut r = device.pool().reserve(0).unwrap();
    let a = hash_rows(&*device, bench.queue(), &mut r, &batch, &[0]).unwrap();
    let b = string::hash_texts(&*device, bench.queue(), &mut r, &column, None).unwrap();
    assert_eq!(read_hashes(&mut bench, &a, 100), read_hashes(&mut bench, &b, 100));
}

/// A dictionary of texts and codes into it, and what they stand for.
fn coded(n: usize, nulls: usize, seed: u64) -> (Rows, HostColumn, Rows) {
    let values = rows(37, 5, seed);
    let mut random = Random(seed);
    let codes: Vec<Option<u128>> = (0..n)
        .map(|_| {
            let code = random.below(37) as u128;
            (nulls == 0 || random.below(nulls) != 0).then_some(code)
        })
        .collect();
    let texts = codes.iter().map(|c| c.and_then(|c| values[c as usize].clone())).collect();
    (values, HostColumn { ty: PhysType::U32, values: codes }, texts)
}

fn hashes_codes(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    for form in Form::FEW {
        for (nulls, how) in [
            (0, Presented::Wide),
            (4, Presented::Wide),
            (4, Presented::Packed(5)),
            (1, Presented::Wide),
        ] {
            for n in [0, 1, 33, 257] {
                let (values, codes, texts) = coded(n, nulls, n as u64);
                let values = upload(&mut bench, &values, form);
                let mut column = codes.upload(&*device, bench.queue(), how);
                // The codes of nulls are codes too: only the validity says that they are null.
                let held = codes.values.iter().map(|c| c.or(Some(1))).collect();
                let held = HostColumn { ty: codes.ty, values: held };
                column.values = held.upload(&*device, bench.queue(), how).values;
                let codes = column;
                let mut r = device.pool().reserve(0).unwrap();
                let q = bench.queue();
                let got = string::hash_codes(&*device, q, &mut r, (&codes, n), &values, None);
                let want: Vec<_> =
                    texts.iter().map(|t| hash_of(t.as_ref(), u64::from(SEED))).collect();
                assert_eq!(read_hashes(&mut bench, &got.unwrap(), n), want, "{form:?}");
            }
        }
    }
}

/// Everything over pseudo-random rows.
fn random(target: Target) {
    let bench = RefCell::new(Bench::new(target));
    let cases = if target == Target::Cpu { 48 } else { 6 };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let strategy = (0..Form::ALL.len(), 0..Form::ALL.len(), 1..300usize, 0..6usize, any::<u64>());
    proptest!(config, |((a, b, n, nulls, seed) in strategy)| {
        let bench = &mut *bench.borrow_mut();
        let (left, right) = (rows(n, nulls, seed), rows(n, 4, seed ^ 1));
        check_compare(bench, &left, &right, (Form::ALL[a], Form::ALL[b]));
        write::check_gather(bench, &left, Form::ALL[a], seed);
        write::check_substring(bench, &left, Form::ALL[b], (seed % 9) as i64 - 3, Some(3));
        write::check_concat(bench, &[(&left, Form::ALL[a]), (&right, Form::ALL[b])]);
        write::check_sort(bench, &left, Form::ALL[b], (seed % 2 == 0, seed % 3 == 0));
        search::check_random(bench, &left, Form::ALL[a], seed);
    });
}

fn refuses(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let d = &*device;
    let (a, b) = (rows(10, 3, 1), rows(9, 3, 1));
    for form in Form::FEW {
        let (x, y) = (upload(&mut bench, &a, form), upload(&mut bench, &b, form));
        let few = words(&mut bench, &[1, 2]);
        let column = HostColumn { ty: PhysType::I64, values: vec![Some(0); 10] };
        let codes = column.upload(d, bench.queue(), Presented::Wide);
        let mut r = device.pool().reserve(0).unwrap();
        let q = bench.queue();
        refused(string::compare(d, q, &mut r, &x, Comparison::Equal, &y));
        refused(string::order(d, q, &mut r, &y, &x));
        refused(string::gather(d, q, &mut r, &x, &few, 3, false));
        refused(string::hash_texts(d, q, &mut r, &x, Some(&few)));
        refused(string::hash_codes(d, q, &mut r, (&codes, 10), &x, None));
        refused(string::from_codes(d, q, &mut r, (&codes, 10), &x));
        refused(string::starts_with(d, q, &mut r, &x, ""));
        refused(string::ends_with(d, q, &mut r, &x, ""));
        refused(string::contains(d, q, &mut r, &x, ""));
        refused(string::Pattern::new("a\\", Some('\\')));
        refused(string::substring(d, q, &mut r, &x, 1, Some(-1)));
        refused(string::concat(d, q, &mut r, &[], string::ConcatNulls::Skip));
        refused(string::concat(d, q, &mut r, &[&x, &y], string::ConcatNulls::Skip));
        refused(string::sort_word(d, q, &mut r, &x, 1 << 29, None));
        refused(string::sort_word(d, q, &mut r, &x, 0, Some(&few)));
        if !form.is_views() {
            refused(string::gather_views(d, q, &mut r, &x, &few, 2, false));
        }
        let long = StringColumn { rows: 1 << 20, ..x.clone() };
        refused(string::byte_length(d, q, &mut r, &long));
        let longer = StringColumn { rows: 1 << 31, ..x.clone() };
        refused(string::byte_length(d, q, &mut r, &longer));
        let other = if target == Target::Cpu { Target::Emulated } else { Target::Cpu }.open();
        let mut queue = other.queue().unwrap();
        let mut r = other.pool().reserve(0).unwrap();
        refused(string::byte_length(&*other, &mut *queue, &mut r, &x));
        let array = arrow::array::Int32Array::from(vec![1]);
        refused(StringColumn::from_arrow(&*other, &mut *queue, &mut r, &array));
    }
}

/// Offsets that fall or go past the bytes, and views of data that is not there: `cpu` says so, a
/// GPU reads nothing outside the buffers (the checked emulator sees to that).
fn bad_heads(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let d = &*device;
    let bytes = words(&mut bench, &[0x6463_6261; 4]);
    let falling = words(&mut bench, &[0, 9, 4, 16, 300, 5, u32::MAX, 2, 8]);
    let mut views = vec![0u32; 32];
    for (row, view) in views.chunks_exact_mut(4).enumerate() {
        view.copy_from_slice(&[13 + row as u32 * 1000, 0, row as u32, row as u32 * 77]);
    }
    let views = words(&mut bench, &views);
    let forms = [
        Texts::Offsets { offsets: falling, bytes: bytes.clone() },
        Texts::Views { views, data: vec![bytes] },
    ];
    for texts in forms {
        let c = StringColumn { rows: 8, texts, validity: Validity::All };
        let indices = words(&mut bench, &[0, 5, 9, u32::MAX, 7]);
        let mut r = device.pool().reserve(0).unwrap();
        let q = bench.queue();
        let pattern = string::Pattern::new("%b_d%a", None).unwrap();
        let measured = string::character_length(d, q, &mut r, &c);
        let gathered = string::gather(d, q, &mut r, &c, &indices, 5, true);
        let compared = string::compare(d, q, &mut r, &c, Comparison::Less, &c);
        let hashed = string::hash_texts(d, q, &mut r, &c, None);
        let liked = string::like(d, q, &mut r, &c, &pattern, false);
        let cut = string::substring(d, q, &mut r, &c, 2, Some(3));
        let joined = string::concat(d, q, &mut r, &[&c, &c], string::ConcatNulls::Propagate);
        let sorted = string::sort_indices(d, q, &mut r, &c, false, false);
        if target == Target::Cpu {
            refused(measured);
            refused(gathered);
            refused(compared);
            refused(hashed);
            refused(liked);
            refused(cut);
            refused(joined);
            refused(sorted);
            continue;
        }
        if matches!(c.texts, Texts::Offsets { .. }) {
            // What falls is empty, and what goes past the bytes ends with them.
            let want = [9, 0, 12, 0, 0, 11, 0, 6].map(Some);
            same_values(&mut bench, &measured.unwrap(), PhysType::U32, &want, "bad offsets");
        } else {
            measured.unwrap();
        }
        compared.unwrap();
        hashed.unwrap();
        liked.unwrap();
        for texts in [gathered.unwrap(), cut.unwrap(), joined.unwrap()] {
            download(&mut bench, &texts);
        }
        let mut order = read_words(&mut bench, &sorted.unwrap(), 8);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}

/// What `same_texts` is for, where a result is one of the inputs.
#[test]
fn texts_come_back_as_they_went() {
    let mut bench = Bench::new(Target::Cpu);
    for form in Form::ALL {
        let from = rows(100, 4, 3);
        let c = upload(&mut bench, &from, form);
        if form == Form::Words {
            assert_eq!(download(&mut bench, &c), from);
        } else {
            same_texts(&mut bench, &c, &from, "uploaded");
        }
    }
}
