//! One value from each text: comparisons, searches, lengths, hashes, and the order.

use std::{hash::BuildHasher, hint::black_box};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Datum},
    compute::{
        self,
        kernels::{cmp, comparison, length},
    },
    error::ArrowError,
};
use rayon::prelude::*;
use windlass_device::DeviceBuffer;

use super::{
    super::{
        Bench,
        case::{Case, differ},
        host::On,
    },
    ALL, TWO,
    data::{self, Column, Data, Form, each, words},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    string::{
        self, Comparison, Pattern, StringColumn, byte_length, character_length, contains,
        ends_with, hash_codes, hash_texts, like, order, ranks, sort_indices, sort_word,
        starts_with,
    },
    types::PhysType,
};

/// A comparison or a search, with the same by plain code and by arrow.
struct Flags {
    operation: &'static str,
    variant: &'static str,
    what: &'static str,
    run: fn(&mut On, &StringColumn) -> Result<DeviceColumn>,
    plain: fn(&str) -> bool,
    text: &'static str,
    theirs: Theirs,
}

/// A kernel of arrow's.
type Theirs = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

/// What is compared with a short text and a long one: it is there, and others begin as it does.
const EQUAL: &str = "quick fox";
const PART: &str = "jumps over";

fn constant(on: &mut On, c: &StringColumn, how: Comparison) -> Result<DeviceColumn> {
    let (device, queue, reservation) = (&*on.device, &mut *on.queue, &mut on.reservation);
    let text = StringColumn::constant(device, queue, reservation, EQUAL)?;
    string::compare(device, queue, reservation, c, how, &text)
}

fn pattern(on: &mut On, c: &StringColumn, text: &str) -> Result<DeviceColumn> {
    let pattern = Pattern::new(text, Some('\\'))?;
    like(&*on.device, &mut *on.queue, &mut on.reservation, c, &pattern, false)
}

/// Whether a text has the parts one after the other.
fn in_turn(text: &str, parts: &[&str]) -> bool {
    let mut rest = Some(text);
    for part in parts {
        rest = rest.and_then(|r| Some(&r[r.find(part)? + part.len()..]));
    }
    rest.is_some()
}

const FLAGS: [Flags; 7] = [
    Flags {
        operation: "compare",
        variant: "equal_to_constant",
        what: "equality with a constant; floor: the column read, a bit a row written",
        run: |on, c| constant(on, c, Comparison::Equal),
        plain: |t| t == EQUAL,
        text: EQUAL,
        theirs: |a, b| cmp::eq(a, b),
    },
    Flags {
        operation: "compare",
        variant: "less_than_constant",
        what: "order beside a constant; floor: the column read, a bit a row written",
        run: |on, c| constant(on, c, Comparison::Less),
        plain: |t| t < EQUAL,
        text: EQUAL,
        theirs: |a, b| cmp::lt(a, b),
    },
    Flags {
        operation: "starts_with",
        variant: "constant",
        what: "a prefix; floor: the column read, a bit a row written",
        run: |on, c| starts_with(&*on.device, &mut *on.queue, &mut on.reservation, c, PART),
        plain: |t| t.starts_with(PART),
        text: PART,
        theirs: |a, b| comparison::starts_with(a, b),
    },
    Flags {
        operation: "ends_with",
        variant: "constant",
        what: "a suffix; floor: the column read, a bit a row written",
        run: |on, c| ends_with(&*on.device, &mut *on.queue, &mut on.reservation, c, PART),
        plain: |t| t.ends_with(PART),
        text: PART,
        theirs: |a, b| comparison::ends_with(a, b),
    },
    Flags {
        operation: "contains",
        variant: "constant",
        what: "a part; floor: the column read, a bit a row written",
        run: |on, c| contains(&*on.device, &mut *on.queue, &mut on.reservation, c, PART),
        plain: |t| t.contains(PART),
        text: PART,
        theirs: |a, b| comparison::contains(a, b),
    },
    Flags {
        operation: "like",
        variant: "two_parts",
        what: "LIKE '%fox%dog%'; floor: the column read, a bit a row written",
        run: |on, c| pattern(on, c, "%fox%dog%"),
        plain: |t| in_turn(t, &["fox", "dog"]),
        text: "%fox%dog%",
        theirs: |a, b| comparison::like(a, b),
    },
    Flags {
        operation: "like",
        variant: "any_character",
        what: "LIKE '%f_x%'; floor: the column read, a bit a row written",
        run: |on, c| pattern(on, c, "%f_x%"),
        plain: |t| t.contains("fox"),
        text: "%f_x%",
        theirs: |a, b| comparison::like(a, b),
    },
];

pub(super) fn benches() -> Vec<Bench> {
    let mut all = Vec::new();
    let mut add = |operation: &str, data: Data, what, set_up: fn(&mut On, Data, usize) -> _| {
        let name = format!("string/{operation}{}", data.name());
        all.push(Bench::new(name, what, move |on, n| set_up(on, data, data.rows(n))));
    };
    for data in ALL {
        const EQUALITY: &str =
            "equality of two columns, half of it true; floor: both read, a bit a row written";
        const HASH: &str = "row hashes; floor: the column read, 8 bytes a row written";
        const SORT: &str = "row numbers in order; floor: the column read, 4 bytes a row written";
        add("compare/two_columns_", data, EQUALITY, equal);
        add("hash_texts/", data, HASH, hash);
        add("sort_indices/", data, SORT, sort);
    }
    for data in TWO {
        const ORDER: &str = "the order of two columns; floor: both read, a byte a row written";
        const BYTES: &str = "lengths in bytes; floor: offsets or views read, 4 bytes a row written";
        const CHARACTERS: &str =
            "lengths in characters; floor: the column read, 4 bytes a row written";
        const WORD: &str = "the first eight bytes as a number; floor: the column read, as many \
                            bytes a row written";
        const RANKS: &str = "numbers in the order of texts; floor: the column read, 4 bytes a row \
                             written";
        const CODES: &str = "row hashes of dictionary codes; floor: 4 bytes a row read, 8 written";
        add("order/", data, ORDER, orders);
        add("byte_length/", data, BYTES, bytes);
        add("character_length/", data, CHARACTERS, characters);
        add("sort_word/", data, WORD, first_word);
        add("ranks/", data, RANKS, numbers);
        add("hash_codes/", data, CODES, codes);
    }
    for f in FLAGS {
        for data in ALL {
            let name = format!("string/{}/{}_{}", f.operation, f.variant, data.name());
            let (run, plain, text, theirs) = (f.run, f.plain, f.text, f.theirs);
            all.push(Bench::new(name, f.what, move |on, n| {
                let c = Column::new(on, data, data.rows(n), 1)?;
                flags(on, c, run, plain, (data, text, theirs))
            }));
        }
    }
    all
}

fn flags(
    on: &mut On,
    c: Column,
    run: fn(&mut On, &StringColumn) -> Result<DeviceColumn>,
    plain: fn(&str) -> bool,
    (data, text, theirs): (Data, &'static str, Theirs),
) -> Result<Case> {
    let _ = on;
    let Column { array, column, pieces, bytes } = c;
    let n = array.len();
    let run = move |on: &mut On| run(on, &column);
    let check = move |on: &mut On, got: DeviceColumn| {
        let want = each(&*array, |t| u32::from(plain(t)));
        Ok(differ(&words(on, &got, n)?, &want))
    };
    let case = Case::new(n, [bytes, n.div_ceil(8)], run, check);
    Ok(case.beside("arrow", move || {
        let text = data.scalar(text);
        let all = pieces.par_iter().map(|p| theirs(p, &text).expect("columns of one type"));
        black_box(all.collect::<Vec<_>>());
    }))
}

/// Two columns, of which the second has every second text of the first.
fn two(on: &mut On, data: Data, n: usize) -> Result<(Column, Column)> {
    let a = Column::new(on, data, n, 1)?;
    let other = data.array(n, 2);
    let mask: BooleanArray = (0..n).map(|i| Some(i % 2 == 0)).collect();
    let mixed = compute::kernels::zip::zip(&mask, &a.array, &other).expect("one type and length");
    // Views of one data buffer, as the first column's.
    let mixed: ArrayRef = match mixed.as_string_view_opt() {
        Some(views) => std::sync::Arc::new(views.gc()),
        None => mixed,
    };
    let column = data::upload(on, &*mixed)?;
    let (pieces, bytes) = (super::super::host::sliced(&*mixed), data::size(&*mixed));
    Ok((a, Column { array: mixed, column, pieces, bytes }))
}

/// What plain code makes of the texts of two columns.
fn pairs<T>(a: &dyn Array, b: &dyn Array, f: impl Fn(&str, &str) -> T) -> Vec<T> {
    let b = each(b, str::to_owned);
    let mut b = b.iter();
    each(a, |a| f(a, b.next().map_or("", String::as_str)))
}

fn equal(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let (a, b) = two(on, data, n)?;
    let (x, y) = (a.array, b.array);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        let equal = Comparison::Equal;
        string::compare(&*on.device, queue, reservation, &a.column, equal, &b.column)
    };
    let check = move |on: &mut On, got: DeviceColumn| {
        let want = pairs(&*x, &*y, |a, b| u32::from(a == b));
        Ok(differ(&words(on, &got, n)?, &want))
    };
    let case = Case::new(n, [a.bytes + b.bytes, n.div_ceil(8)], run, check);
    Ok(case.beside("arrow eq", move || {
        let pieces = a.pieces.par_iter().zip(&b.pieces);
        let all = pieces.map(|(a, b)| cmp::eq(a, b).expect("columns of one type"));
        black_box(all.collect::<Vec<_>>());
    }))
}

fn orders(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let (a, b) = two(on, data, n)?;
    let (x, y) = (a.array, b.array);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        order(&*on.device, queue, reservation, &a.column, &b.column)
    };
    let check = move |on: &mut On, got: DeviceColumn| {
        let want = pairs(&*x, &*y, |a, b| a.cmp(b) as i32 as u32);
        Ok(differ(&words(on, &got, n)?, &want))
    };
    let case = Case::new(n, [a.bytes + b.bytes, n], run, check);
    Ok(case.beside("arrow lt and eq", move || {
        let pieces = a.pieces.par_iter().zip(&b.pieces);
        let both = |(a, b)| (cmp::lt(a, b), cmp::eq(a, b));
        black_box(pieces.map(|(a, b)| both((a, b))).collect::<Vec<_>>());
    }))
}

fn bytes(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, .. } = Column::new(on, data, n, 1)?;
    let heads = if data.form == Form::Views { 16 } else { 4 };
    let run =
        move |on: &mut On| byte_length(&*on.device, &mut *on.queue, &mut on.reservation, &column);
    let check = move |on: &mut On, got: DeviceColumn| {
        Ok(differ(&words(on, &got, n)?, &each(&*array, |t| t.len() as u32)))
    };
    let case = Case::new(n, [heads * n, 4 * n], run, check);
    Ok(case.beside("arrow length", move || {
        let all = pieces.par_iter().map(|p| length::length(p).expect("a column of texts"));
        black_box(all.collect::<Vec<_>>());
    }))
}

fn characters(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, bytes } = Column::new(on, data, n, 1)?;
    let run = move |on: &mut On| {
        character_length(&*on.device, &mut *on.queue, &mut on.reservation, &column)
    };
    let count = |t: &str| t.chars().count() as u32;
    let check = move |on: &mut On, got: DeviceColumn| {
        Ok(differ(&words(on, &got, n)?, &each(&*array, count)))
    };
    let case = Case::new(n, [bytes, 4 * n], run, check);
    Ok(case.beside("std count of chars", move || {
        black_box(pieces.par_iter().map(|p| each(p, count)).collect::<Vec<_>>());
    }))
}

/// MurmurHash64B as SMHasher has it.
fn murmur64b(text: &[u8], seed: u64) -> u64 {
    const M: u32 = 0x5bd1_e995;
    let feed = |h: u32, k: u32| {
        let k = k.wrapping_mul(M);
        h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
    };
    let (mut h1, mut h2) = (seed as u32 ^ text.len() as u32, (seed >> 32) as u32);
    let (words, tail) = text.as_chunks::<4>();
    for (at, word) in words.iter().enumerate() {
        let h = if at % 2 == 0 { &mut h1 } else { &mut h2 };
        *h = feed(*h, u32::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        let mut word = [0; 4];
        word[..tail.len()].copy_from_slice(tail);
        h2 = (h2 ^ u32::from_le_bytes(word)).wrapping_mul(M);
    }
    h1 = (h1 ^ (h2 >> 18)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 22)).wrapping_mul(M);
    h1 = (h1 ^ (h2 >> 17)).wrapping_mul(M);
    h2 = (h2 ^ (h1 >> 19)).wrapping_mul(M);
    u64::from(h1) << 32 | u64::from(h2)
}

/// Row hashes as numbers.
fn read_hashes(on: &mut On, got: &DeviceBuffer, n: usize) -> Result<Vec<u64>> {
    let words = on.read::<[u32; 2]>(got, n)?;
    Ok(words.iter().map(|[low, high]| u64::from(*high) << 32 | u64::from(*low)).collect())
}

fn hash(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, bytes } = Column::new(on, data, n, 1)?;
    let run = move |on: &mut On| {
        hash_texts(&*on.device, &mut *on.queue, &mut on.reservation, &column, None)
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        let hash = |t: &str| murmur64b(t.as_bytes(), u64::from(crate::hash::SEED));
        Ok(differ(&read_hashes(on, &got, n)?, &each(&*array, hash)))
    };
    let case = Case::new(n, [bytes, 8 * n], run, check);
    Ok(case.beside("foldhash", move || {
        let state = hashbrown::DefaultHashBuilder::default();
        let all = pieces.par_iter().map(|p| each(p, |t| state.hash_one(t)));
        black_box(all.collect::<Vec<_>>());
    }))
}

/// Distinct texts of a dictionary.
const DISTINCT: usize = 1000;

fn codes(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let values = Column::new(on, data, DISTINCT, 1)?;
    let numbers = data::indices(n, DISTINCT);
    let buffer = on.words(numbers.values().to_vec())?;
    let column = DeviceColumn {
        ty: PhysType::U32,
        storage: Storage::Packed,
        values: buffer,
        bit_offset: 0,
        validity: Validity::All,
    };
    let (array, texts) = (values.array, values.column);
    let theirs = (array.clone(), numbers.clone());
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        hash_codes(&*on.device, queue, reservation, (&column, n), &texts, None)
    };
    let hashes = |array: &dyn Array| -> Vec<u64> {
        each(array, |t| murmur64b(t.as_bytes(), u64::from(crate::hash::SEED)))
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        let hashes = hashes(&*array);
        let want: Vec<u64> = numbers.values().iter().map(|c| hashes[*c as usize]).collect();
        Ok(differ(&read_hashes(on, &got, n)?, &want))
    };
    let case = Case::new(n, [4 * n, 8 * n], run, check);
    Ok(case.beside("hashes once, then a look-up", move || {
        let hashes = hashes(&*theirs.0);
        let all: Vec<u64> = theirs.1.values().par_iter().map(|c| hashes[*c as usize]).collect();
        black_box(all);
    }))
}

/// The first eight bytes, big-endian.
fn word_of(text: &str) -> u64 {
    let mut word = [0; 8];
    let n = text.len().min(8);
    word[..n].copy_from_slice(&text.as_bytes()[..n]);
    u64::from_be_bytes(word)
}

fn first_word(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, bytes } = Column::new(on, data, n, 1)?;
    let run = move |on: &mut On| {
        sort_word(&*on.device, &mut *on.queue, &mut on.reservation, &column, 0, None)
    };
    let check = move |on: &mut On, got: DeviceColumn| {
        Ok(differ(&on.read::<u64>(&got.values, n)?, &each(&*array, word_of)))
    };
    let case = Case::new(n, [bytes, 8 * n], run, check);
    Ok(case.beside("std loop", move || {
        black_box(pieces.par_iter().map(|p| each(p, word_of)).collect::<Vec<_>>());
    }))
}

/// Row numbers in the order of the texts.
fn sorted(array: &dyn Array) -> Vec<u32> {
    let texts = each(array, str::to_owned);
    let mut rows: Vec<u32> = (0..texts.len() as u32).collect();
    rows.par_sort_by(|a, b| texts[*a as usize].cmp(&texts[*b as usize]));
    rows
}

fn sort(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, bytes, .. } = Column::new(on, data, n, 1)?;
    let theirs = array.clone();
    let run = move |on: &mut On| {
        sort_indices(&*on.device, &mut *on.queue, &mut on.reservation, &column, false, false)
    };
    let check = move |on: &mut On, got: DeviceBuffer| {
        Ok(differ(&on.read::<u32>(&got, n)?, &sorted(&*array)))
    };
    let case = Case::new(n, [bytes, 4 * n], run, check);
    Ok(case.beside_serial("arrow sort_to_indices", move || {
        black_box(compute::sort_to_indices(&theirs, None, None).expect("a type that sorts"));
    }))
}

fn numbers(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, bytes, .. } = Column::new(on, data, n, 1)?;
    let theirs = array.clone();
    let run = move |on: &mut On| ranks(&*on.device, &mut *on.queue, &mut on.reservation, &column);
    let check = move |on: &mut On, got: DeviceColumn| {
        let (texts, mut want) = (each(&*array, str::to_owned), vec![0; n]);
        let (mut rank, mut before) = (0, None::<u32>);
        for row in sorted(&*array) {
            rank += u32::from(before.is_some_and(|b| texts[b as usize] != texts[row as usize]));
            (want[row as usize], before) = (rank, Some(row));
        }
        Ok(differ(&words(on, &got, n)?, &want))
    };
    let case = Case::new(n, [bytes, 4 * n], run, check);
    Ok(case.beside_serial("arrow sort_to_indices", move || {
        black_box(compute::sort_to_indices(&theirs, None, None).expect("a type that sorts"));
    }))
}
