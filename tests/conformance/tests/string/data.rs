//! Columns of texts on the host, in every form on a device, and back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait, StringViewArray,
        StringViewBuilder,
    },
    buffer::NullBuffer,
    datatypes::DataType,
};
use conformance::{Bench, HostColumn, data::Random};
use windlass_device::{Backend, DeviceBuffer};
use windlass_kernels::{
    DeviceColumn, KernelError, PhysType, Storage, Validity,
    string::{StringColumn, Texts},
};

/// Rows of texts.
pub(crate) type Rows = Vec<Option<String>>;

/// How a column comes to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Offsets,
    /// A slice of a longer array: the first offset and the validity's first bit are not 0.
    Sliced,
    Large,
    Views,
    /// Views into several data buffers.
    ManyViews,
    SlicedViews,
    /// Offsets with a validity of words, as kernels write it.
    Words,
}

impl Form {
    pub(crate) const ALL: [Self; 7] = [
        Self::Offsets,
        Self::Sliced,
        Self::Large,
        Self::Views,
        Self::ManyViews,
        Self::SlicedViews,
        Self::Words,
    ];

    /// Those that differ most.
    pub(crate) const FEW: [Self; 3] = [Self::Sliced, Self::ManyViews, Self::Words];

    pub(crate) fn is_views(self) -> bool {
        matches!(self, Self::Views | Self::ManyViews | Self::SlicedViews)
    }
}

/// Sizes around a word of bits, a warp and a block, and more rows than the 2,048 threads that run
/// at once on the devices of these tests, so that threads stride.
pub(crate) const SIZES: [usize; 9] = [0, 1, 31, 32, 33, 65, 255, 257, 2100];

/// Parts that texts are made of: characters of one to four bytes, a zero, what LIKE knows.
const PARTS: [&str; 16] =
    ["a", "b", "ab", "abc", "é", "€", "😀", "\0", "%", "_", "\\", "zz", "A", "0", " ", "ÿ"];

/// Texts of interest: empty ones, those around a view's 12 bytes and a word's 8 and 4, common
/// beginnings, zeros at the end, characters across words.
const SPECIAL: [&str; 20] = [
    "",
    "a",
    "a\0",
    "a\0\0\0\0",
    "ab",
    "abc",
    "abcd",
    "abcdefg",
    "abcdefgh",
    "abcdefgi",
    "abcdefghi",
    "abcdefghijkl",
    "abcdefghijklm",
    "abcdefghijklz",
    "aé€😀",
    "€€€€",
    "abc😀",
    "\u{10ffff}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}",
    "the quick brown fox jumps over the lazy dog",
    "the quick brown fox jumps over the lazy cat",
];

/// A pseudo-random text.
pub(crate) fn text(random: &mut Random) -> String {
    match random.below(4) {
        0 => SPECIAL[random.below(SPECIAL.len())].into(),
        1 => PARTS[random.below(PARTS.len())].into(),
        _ => (0..random.below(14)).map(|_| PARTS[random.below(PARTS.len())]).collect(),
    }
}

/// Pseudo-random rows, about one in `nulls` null (none with 0, all with 1).
pub(crate) fn rows(n: usize, nulls: usize, seed: u64) -> Rows {
    let mut random = Random(seed);
    (0..n)
        .map(|_| {
            let text = text(&mut random);
            (nulls == 0 || random.below(nulls) != 0).then_some(text)
        })
        .collect()
}

/// The rows with texts under the nulls too, of other lengths and bytes from row to row: Arrow
/// leaves open what is there.
fn filled(rows: &[Option<String>]) -> impl Iterator<Item = String> {
    let under = |i: usize| format!("{i} é{}", "under a null ".repeat(i % 3));
    rows.iter().enumerate().map(move |(i, r)| r.clone().unwrap_or_else(|| under(i)))
}

fn nulls(rows: &[Option<String>]) -> Option<NullBuffer> {
    let any = rows.iter().any(Option::is_none);
    any.then(|| rows.iter().map(Option::is_some).collect())
}

fn offsets<O: OffsetSizeTrait>(rows: &[Option<String>]) -> GenericStringArray<O> {
    let (offsets, bytes, _) = GenericStringArray::from_iter_values(filled(rows)).into_parts();
    GenericStringArray::new(offsets, bytes, nulls(rows))
}

fn views(rows: &[Option<String>], block: u32) -> StringViewArray {
    let mut builder = StringViewBuilder::new().with_fixed_block_size(block);
    filled(rows).for_each(|text| builder.append_value(text));
    let (views, data, _) = builder.finish().into_parts();
    StringViewArray::new(views, data, nulls(rows))
}

/// The array of a form.
fn array(rows: &Rows, form: Form) -> ArrayRef {
    let around: Rows = [vec![Some("before".into()), None, Some("é\0".repeat(9))], rows.clone()]
        .concat()
        .into_iter()
        .chain([Some("after".into()), None])
        .collect();
    let slice = |array: ArrayRef| array.slice(3, rows.len());
    match form {
        Form::Offsets | Form::Words => Arc::new(offsets::<i32>(rows)),
        Form::Sliced => slice(Arc::new(offsets::<i32>(&around))),
        Form::Large => Arc::new(offsets::<i64>(rows)),
        Form::Views => Arc::new(views(rows, 1 << 20)),
        Form::ManyViews => Arc::new(views(rows, 64)),
        Form::SlicedViews => slice(Arc::new(views(&around, 100))),
    }
}

/// Puts rows on the device.
pub(crate) fn upload(bench: &mut Bench, rows: &Rows, form: Form) -> StringColumn {
    let device = bench.device_arc();
    let array = array(rows, form);
    let mut r = device.pool().reserve(0).unwrap();
    let mut c = StringColumn::from_arrow(&*device, bench.queue(), &mut r, &*array).unwrap();
    assert_eq!(matches!(c.texts, Texts::Views { .. }), form.is_views());
    if form == Form::Words && rows.iter().any(Option::is_none) {
        let valid: Vec<u32> = rows.iter().map(|r| u32::from(r.is_some())).collect();
        c.validity = Validity::Words(words(bench, &valid));
    }
    c
}

/// Words in device memory.
pub(crate) fn words(bench: &mut Bench, words: &[u32]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(words.len() * 4).unwrap();
    let b = device.alloc(&mut r, words.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    b
}

/// Reads `n` words.
pub(crate) fn read_words(bench: &mut Bench, buffer: &DeviceBuffer, n: usize) -> Vec<u32> {
    let mut out = vec![0u32; n];
    bench.queue().download(buffer, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

/// Reads a column of texts; what kernels wrote has their layout.
pub(crate) fn download(bench: &mut Bench, c: &StringColumn) -> Rows {
    let array = c.to_arrow(bench.queue()).unwrap();
    assert_eq!(array.len(), c.rows);
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|t| t.map(Into::into)).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(|t| t.map(Into::into)).collect(),
        _ => array.as_string_view().iter().map(|t| t.map(Into::into)).collect(),
    }
}

/// Compares a result of texts, and its layout with the device's.
pub(crate) fn same_texts(bench: &mut Bench, got: &StringColumn, want: &Rows, context: &str) {
    check_validity(bench, &got.validity, context);
    let read = download(bench, got);
    assert_eq!(read.len(), want.len(), "{context}");
    for (row, (got, want)) in read.iter().zip(want).enumerate() {
        assert_eq!(got, want, "{context}: row {row}");
    }
}

fn check_validity(bench: &Bench, validity: &Validity, context: &str) {
    let cpu = bench.device().info().backend == Backend::Cpu;
    match (validity, cpu) {
        (Validity::All, _) | (Validity::Bits { .. }, true) | (Validity::Words(_), false) => {}
        (v, _) => panic!("{context}: {v:?}"),
    }
}

/// Compares a column of numbers, and its layout with the device's.
pub(crate) fn same_values(
    bench: &mut Bench,
    got: &DeviceColumn,
    ty: PhysType,
    want: &[Option<i64>],
    context: &str,
) {
    let cpu = bench.device().info().backend == Backend::Cpu;
    assert_eq!(got.storage, if cpu { Storage::Packed } else { Storage::Wide }, "{context}");
    assert_eq!(got.ty, ty, "{context}");
    check_validity(bench, &got.validity, context);
    let read = HostColumn::download(bench.queue(), got, want.len());
    for (row, (got, want)) in read.values.iter().zip(want).enumerate() {
        let got = got.map(|bits| bits as i64);
        assert_eq!(got, *want, "{context}: row {row}");
    }
}

/// Checks that an operation refuses its arguments with a reason.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, KernelError>) {
    match result {
        Err(KernelError::Invalid { operation, expected, got }) => {
            assert!(!operation.is_empty() && !expected.is_empty() && !got.is_empty());
        }
        other => panic!("{other:?}"),
    }
}
