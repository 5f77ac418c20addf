//! Texts of benches.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericStringBuilder, Scalar, StringArray, StringViewArray,
    StringViewBuilder, UInt32Array,
};

use super::super::host::{On, Random, sliced};
use crate::{
    column::DeviceColumn,
    error::Result,
    gather::widen,
    string::{StringColumn, to_offsets},
};

/// What texts are made of.
const WORDS: [&str; 8] = ["fox", "quick", "brown", "dog", "over", "lazy", "jumps", "müde"];

/// How a column's texts lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Offsets,
    Views,
}

/// How long they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// One or two words: 3 to 11 bytes, which a view holds itself.
    Short,
    /// 8 to 16 words: about 60 bytes.
    Long,
}

/// A column of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) form: Form,
    pub(super) size: Size,
}

impl Data {
    /// For the names of benches.
    pub(super) fn name(self) -> &'static str {
        match (self.form, self.size) {
            (Form::Offsets, Size::Short) => "offsets_short",
            (Form::Offsets, Size::Long) => "offsets_long",
            (Form::Views, Size::Short) => "views_short",
            (Form::Views, Size::Long) => "views_long",
        }
    }

    /// The rows of a bench of `n`: an eighth of long texts, whose bytes are then about as many.
    pub(super) fn rows(self, n: usize) -> usize {
        match self.size {
            Size::Short => n,
            Size::Long => n.div_ceil(8),
        }
    }

    /// `n` texts.
    pub(super) fn array(self, n: usize, seed: u64) -> ArrayRef {
        let mut random = Random(seed);
        let mut text = String::new();
        let mut next = || {
            let words = match self.size {
                Size::Short => 1 + random.below(2),
                Size::Long => 8 + random.below(9),
            };
            text.clear();
            for word in 0..words {
                if word > 0 {
                    text.push(' ');
                }
                text.push_str(WORDS[random.below(WORDS.len())]);
            }
            text.clone()
        };
        match self.form {
            Form::Offsets => {
                let mut texts = GenericStringBuilder::<i32>::with_capacity(n, n * 8);
                (0..n).for_each(|_| texts.append_value(next()));
                Arc::new(texts.finish())
            }
            Form::Views => {
                // One data buffer, as a GPU takes it: no text has more than 16 words of 6 bytes.
                let block = (n.max(1) * 16 * 6).min(1 << 30);
                let mut texts = StringViewBuilder::new().with_fixed_block_size(block as u32);
                (0..n).for_each(|_| texts.append_value(next()));
                Arc::new(texts.finish())
            }
        }
    }

    /// One text in the form that arrow's kernels take beside a column of this one.
    pub(super) fn scalar(self, text: &str) -> Scalar<ArrayRef> {
        Scalar::new(match self.form {
            Form::Offsets => Arc::new(StringArray::from(vec![text])) as ArrayRef,
            Form::Views => Arc::new(StringViewArray::from(vec![text])),
        })
    }
}

/// Texts on the host, on the device, and in pieces for references.
pub(super) struct Column {
    pub(super) array: ArrayRef,
    pub(super) column: StringColumn,
    pub(super) pieces: Vec<ArrayRef>,
    /// Bytes of offsets or views, and of texts.
    pub(super) bytes: usize,
}

impl Column {
    pub(super) fn new(on: &mut On, data: Data, n: usize, seed: u64) -> Result<Self> {
        let array = data.array(n, seed);
        let column = upload(on, &*array)?;
        let (pieces, bytes) = (sliced(&*array), size(&*array));
        Ok(Self { array, column, pieces, bytes })
    }
}

/// An array as a column of texts.
pub(super) fn upload(on: &mut On, array: &dyn Array) -> Result<StringColumn> {
    StringColumn::from_arrow(&*on.device, &mut *on.queue, &mut on.reservation, array)
}

/// Bytes of offsets or views, and of texts.
pub(super) fn size(array: &dyn Array) -> usize {
    match array.as_string_view_opt() {
        Some(views) => {
            let long = views.views().iter().map(|v| *v as u32 as usize).filter(|len| *len > 12);
            views.len() * 16 + long.sum::<usize>()
        }
        None => {
            let offsets = array.as_string::<i32>().value_offsets();
            let end = |o: Option<&i32>| o.copied().unwrap_or(0) as usize;
            array.len() * 4 + end(offsets.last()) - end(offsets.first())
        }
    }
}

/// `f` of each text.
pub(super) fn each<T>(array: &dyn Array, f: impl FnMut(&str) -> T) -> Vec<T> {
    match array.as_string_view_opt() {
        Some(texts) => (0..texts.len()).map(|i| texts.value(i)).map(f).collect(),
        None => {
            let texts = array.as_string::<i32>();
            (0..texts.len()).map(|i| texts.value(i)).map(f).collect()
        }
    }
}

/// The words of a column of up to 32 bits a value, in either storage.
pub(super) fn words(on: &mut On, column: &DeviceColumn, n: usize) -> Result<Vec<u32>> {
    let wide = widen(&*on.device, &mut *on.queue, &mut on.reservation, column, n)?;
    on.read::<u32>(&wide.values, n)
}

/// The first difference between a column of texts and an array; `None` where there is none.
pub(super) fn differ(on: &mut On, got: &StringColumn, want: &dyn Array) -> Result<Option<String>> {
    let got = to_offsets(&*on.device, &mut *on.queue, &mut on.reservation, got)?;
    let got = got.to_arrow(&mut *on.queue)?;
    if got.len() != want.len() {
        return Ok(Some(format!("{} texts, expected {}", got.len(), want.len())));
    }
    let got = got.as_string::<i32>();
    let mut row = 0;
    let unlike = each(want, |text| {
        row += 1;
        (got.value(row - 1) != text)
            .then(|| format!("text {} is {:?}, expected {text:?}", row - 1, got.value(row - 1)))
    });
    Ok(unlike.into_iter().flatten().next())
}

/// `n` random row numbers below `rows`.
pub(super) fn indices(n: usize, rows: usize) -> UInt32Array {
    let mut random = Random(7);
    (0..n).map(|_| random.below(rows) as u32).collect::<Vec<_>>().into()
}
