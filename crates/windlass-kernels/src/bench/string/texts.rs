//! Texts from texts: gather, conversions, substring, concatenation.

use std::hint::black_box;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, UInt32Array},
    compute::{
        self,
        kernels::{concat_elements, substring as theirs},
    },
    datatypes::{DataType, UInt32Type},
};
use rayon::prelude::*;

use super::{
    super::{
        Bench,
        case::Case,
        host::{On, sliced},
    },
    ALL, TWO, VIEWS_LONG, VIEWS_SHORT,
    data::{self, Column, Data, differ, each, indices, size},
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    string::{
        ConcatNulls, StringColumn, concat, from_codes, gather, gather_views, substring, to_offsets,
    },
    types::PhysType,
};

pub(super) fn benches() -> Vec<Bench> {
    const GATHER: &str = "rows in random order as offsets and bytes; floor: 4 bytes of row number, \
                          the text read and written; of views arrow copies no text, only views";
    const VIEWS: &str = "views in random order; floor: 4 bytes of row number, 16 read and written";
    const CONVERT: &str = "views as offsets and bytes; floor: the column read and written";
    const CODES: &str = "the texts of dictionary codes; floor: 4 bytes a row read, texts written; \
                         of views arrow copies no text, only views";
    const SUBSTRING: &str =
        "characters 3 to 8; floor: offsets or views and 8 bytes a row read, the result written";
    const CONCAT: &str = "a column, a constant and a column; floor: both read, the result written";
    let mut all = Vec::new();
    let mut add = |operation: &str, data: Data, what, set_up: fn(&mut On, Data, usize) -> _| {
        let name = format!("string/{operation}{}", data.name());
        all.push(Bench::new(name, what, move |on, n| set_up(on, data, data.rows(n))));
    };
    for data in ALL {
        add("gather/", data, GATHER, rows);
        add("substring/", data, SUBSTRING, parts);
    }
    for data in TWO {
        add("from_codes/", data, CODES, decoded);
        add("concat/", data, CONCAT, joined);
    }
    for data in [VIEWS_SHORT, VIEWS_LONG] {
        add("to_offsets/", data, CONVERT, converted);
        add("gather_views/", data, VIEWS, views);
    }
    all
}

/// Arrow's gather.
fn take(texts: &ArrayRef, rows: &UInt32Array) -> ArrayRef {
    compute::take(texts, rows, None).expect("the row numbers are of these texts")
}

/// Pieces of row numbers for [`take`].
fn taken(texts: &ArrayRef, rows: &[ArrayRef]) -> Vec<ArrayRef> {
    rows.par_iter().map(|p| take(texts, p.as_primitive::<UInt32Type>())).collect()
}

fn rows(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, .. } = Column::new(on, data, n, 1)?;
    let numbers = indices(n, n);
    let (on_device, pieces) = (on.words(numbers.values().to_vec())?, sliced(&numbers));
    let want = take(&array, &numbers);
    let bytes = size(&*want);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        gather(&*on.device, queue, reservation, &column, &on_device, n, false)
    };
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &*want);
    let case = Case::new(n, [4 * n + bytes, bytes], run, check);
    Ok(case.beside("arrow take", move || {
        black_box(taken(&array, &pieces));
    }))
}

fn views(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, .. } = Column::new(on, data, n, 1)?;
    let numbers = indices(n, n);
    let (on_device, pieces) = (on.words(numbers.values().to_vec())?, sliced(&numbers));
    let want = take(&array, &numbers);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        gather_views(&*on.device, queue, reservation, &column, &on_device, n, false)
    };
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &*want);
    let case = Case::new(n, [20 * n, 16 * n], run, check);
    Ok(case.beside("arrow take", move || {
        black_box(taken(&array, &pieces));
    }))
}

fn converted(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, bytes } = Column::new(on, data, n, 1)?;
    let cast = |a: &ArrayRef| compute::cast(a, &DataType::Utf8).expect("texts as texts");
    let written = size(&*cast(&array));
    let run =
        move |on: &mut On| to_offsets(&*on.device, &mut *on.queue, &mut on.reservation, &column);
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &*array);
    let case = Case::new(n, [bytes, written], run, check);
    Ok(case.beside("arrow cast", move || {
        black_box(pieces.par_iter().map(cast).collect::<Vec<_>>());
    }))
}

/// Distinct texts of a dictionary.
const DISTINCT: usize = 1000;

fn decoded(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column: values, .. } = Column::new(on, data, DISTINCT, 1)?;
    let numbers = indices(n, DISTINCT);
    let codes = DeviceColumn {
        ty: PhysType::U32,
        storage: Storage::Packed,
        values: on.words(numbers.values().to_vec())?,
        bit_offset: 0,
        validity: Validity::All,
    };
    let (pieces, want) = (sliced(&numbers), take(&array, &numbers));
    let bytes = size(&*want);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        from_codes(&*on.device, queue, reservation, (&codes, n), &values)
    };
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &*want);
    let case = Case::new(n, [4 * n, bytes], run, check);
    Ok(case.beside("arrow take", move || {
        black_box(taken(&array, &pieces));
    }))
}

fn parts(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let Column { array, column, pieces, .. } = Column::new(on, data, n, 1)?;
    let part = |t: &str| t.chars().skip(2).take(6).collect::<String>();
    let want = StringArray::from(each(&*array, part));
    let heads = if array.as_string_view_opt().is_some() { 16 } else { 4 };
    let (read, written) = ((heads + 8) * n, size(&want));
    let run = move |on: &mut On| {
        substring(&*on.device, &mut *on.queue, &mut on.reservation, &column, 3, Some(6))
    };
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &want);
    let case = Case::new(n, [read, written], run, check);
    Ok(match array.as_string_opt::<i32>() {
        // Arrow has none for views.
        None => case.beside("std chars", move || {
            black_box(pieces.par_iter().map(|p| each(p, part)).collect::<Vec<_>>());
        }),
        Some(_) => case.beside("arrow substring_by_char", move || {
            let part = |p: &ArrayRef| {
                theirs::substring_by_char(p.as_string::<i32>(), 2, Some(6)).expect("a range")
            };
            black_box(pieces.par_iter().map(part).collect::<Vec<_>>());
        }),
    })
}

fn joined(on: &mut On, data: Data, n: usize) -> Result<Case> {
    let (a, b) = (Column::new(on, data, n, 1)?, Column::new(on, data, n, 2)?);
    let comma = data::upload(on, &StringArray::from(vec![", "]))?;
    let (x, y) = (a.array, b.array);
    let mut right = each(&*y, str::to_owned).into_iter();
    let want: StringArray =
        each(&*x, |t| Some(format!("{t}, {}", right.next().unwrap_or_default())))
            .into_iter()
            .collect();
    let written = size(&want);
    let run = move |on: &mut On| {
        let (queue, reservation) = (&mut *on.queue, &mut on.reservation);
        let columns = [&a.column, &comma, &b.column];
        concat(&*on.device, queue, reservation, &columns, ConcatNulls::Propagate)
    };
    let check = move |on: &mut On, got: StringColumn| differ(on, &got, &want);
    let case = Case::new(n, [a.bytes + b.bytes, written], run, check);
    Ok(case.beside("arrow concat_elements", move || {
        let pieces = a.pieces.par_iter().zip(&b.pieces);
        let all = pieces.map(|(x, y)| {
            let comma: ArrayRef = match x.as_string_view_opt() {
                Some(_) => {
                    std::sync::Arc::new(arrow::array::StringViewArray::from(vec![", "; x.len()]))
                }
                None => std::sync::Arc::new(StringArray::from(vec![", "; x.len()])),
            };
            let first = concat_elements::concat_elements_dyn(x, &comma).expect("one type");
            concat_elements::concat_elements_dyn(&first, y).expect("one type")
        });
        black_box(all.collect::<Vec<_>>());
    }))
}
