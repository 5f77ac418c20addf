//! The launches that move rows on a GPU.

use windlass_device::DeviceBuffer;

use super::sources::GATHER;
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::Result,
    launcher::Launcher,
    types::PhysType,
};

/// How the kernel finds values, `form` in its parameters; the numbers are those of `gather.cu` and `gather.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Layout {
    Words = 0,
    Bits = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
}

/// The layout that stands for values of 1 everywhere.
const ONES: u32 = 6;

fn layout(c: &DeviceColumn) -> Layout {
    match (c.storage, c.ty) {
        (Storage::Wide, _) => Layout::Words,
        (_, PhysType::Bool) => Layout::Bits,
        (_, PhysType::U8) => Layout::U8,
        (_, PhysType::I8) => Layout::I8,
        (_, PhysType::U16) => Layout::U16,
        (_, PhysType::I16) => Layout::I16,
        _ => Layout::Words,
    }
}

/// Whether the values lie as kernels write them: in whole words.
pub(super) fn is_words(c: &DeviceColumn) -> bool {
    layout(c) == Layout::Words
}

/// Which rows of a column are moved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// Those that a buffer of row numbers names.
    Indexed(&'a DeviceBuffer),
    /// Those from this one on.
    From(usize),
}

/// Where they go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) values: &'a DeviceBuffer,
    /// Written where given; else the validity is not read either.
    pub(super) valid: Option<&'a DeviceBuffer>,
    /// The row of the target that the first one becomes.
    pub(super) at: usize,
}

/// Writes `n` rows of a column that has `rows`.
pub(super) fn move_rows(
    l: &mut Launcher<'_>,
    c: &DeviceColumn,
    rows: usize,
    which: Which<'_>,
    n: usize,
    target: Target<'_>,
) -> Result<()> {
    let values = Values { buffer: &c.values, layout: layout(c) as u32, bit: c.bit_offset };
    let words = if is_words(c) { c.ty.words() as u32 } else { 1 };
    launch(l, values, words, Some(&c.validity), rows, which, n, target)
}

/// Writes the validity of rows `0..n`, a word each, from word `at` of `target` on.
pub(crate) fn move_validity(
    l: &mut Launcher<'_>,
    validity: &Validity,
    n: usize,
    target: &DeviceBuffer,
    at: usize,
) -> Result<()> {
    let (buffer, layout, bit) = match validity {
        Validity::Words(words) => return Ok(l.queue.copy(words, 0, target, at * 4, n * 4)?),
        Validity::Bits { bits, bit_offset } => (bits.clone(), Layout::Bits as u32, *bit_offset),
        Validity::All => (l.alloc_words(1, 1)?, ONES, 0),
    };
    let values = Values { buffer: &buffer, layout, bit };
    let target = Target { values: target, valid: None, at };
    launch(l, values, 1, None, n, Which::From(0), n, target)
}

/// The values of a launch.
struct Values<'a> {
    buffer: &'a DeviceBuffer,
    layout: u32,
    bit: u32,
}

#[allow(clippy::too_many_arguments, reason = "the kernel's parameters")]
fn launch(
    l: &mut Launcher<'_>,
    values: Values<'_>,
    words: u32,
    validity: Option<&Validity>,
    rows: usize,
    which: Which<'_>,
    n: usize,
    target: Target<'_>,
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let unwritten;
    let out_valid = match target.valid {
        Some(v) => v,
        None => {
            unwritten = l.alloc_words(1, 1)?;
            &unwritten
        }
    };
    let (valid, valid_mode, valid_bit) = match validity.filter(|_| target.valid.is_some()) {
        None | Some(Validity::All) => (values.buffer, 0, 0),
        Some(Validity::Bits { bits, bit_offset }) => (bits, 1, *bit_offset),
        Some(Validity::Words(words)) => (words, 2, 0),
    };
    let (indices, indexed, first) = match which {
        Which::Indexed(indices) => (indices, 1, 0),
        Which::From(first) => (values.buffer, 0, first as u32),
    };
    let params = [
        n as u32,
        rows as u32,
        values.layout,
        values.bit,
        valid_mode,
        valid_bit,
        indexed,
        first,
        target.at as u32,
        u32::from(target.valid.is_some()),
    ];
    let buffers = [values.buffer, valid, indices, target.values, out_valid];
    l.launch_each(&GATHER, &[("WORDS", words)], n, &buffers, &params)
}
