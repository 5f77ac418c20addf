//! A column of texts as the kernels take it, and what operations on a GPU share.

use windlass_device::DeviceBuffer;

use super::{
    column::{StringColumn, Texts},
    invalid,
    sources::KernelId,
};
use crate::{
    column::{DeviceColumn, Storage, Validity},
    error::{KernelError, Result},
    gather::move_validity,
    launcher::Launcher,
    reduce, scan,
    types::PhysType,
};

/// Most bytes of text in a column: kernels number them in 32 bits and go on in steps of 16.
pub(crate) const MAX_BYTES: usize = (u32::MAX - 15) as usize;

/// A column as the kernels of this family take it; `kernels/string/text.cuh` says how.
pub(super) struct Bound {
    pub(super) heads: DeviceBuffer,
    pub(super) bytes: DeviceBuffer,
    /// A word for each row.
    pub(super) valid: Option<DeviceBuffer>,
    rows: usize,
    views: bool,
    constant: bool,
    limit: u32,
}

impl Bound {
    /// Of a checked column.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn new(l: &mut Launcher<'_>, c: &StringColumn) -> Result<Self> {
        let valid = valid_words(l, &c.validity, c.rows)?;
        let (heads, bytes, views) = match &c.texts {
            Texts::Offsets { offsets, bytes } => (offsets, Some(bytes), false),
            Texts::Views { views, data } => (views, data.first(), true),
        };
        let limit = bytes.map_or(0, |b| b.len() as u32);
        let bytes = bytes.unwrap_or(heads).clone();
        Ok(Self { heads: heads.clone(), bytes, valid, rows: c.rows, views, constant: false, limit })
    }

    /// As [`Bound::new`]; a single row stands for every row of a column beside it.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn beside(l: &mut Launcher<'_>, c: &StringColumn) -> Result<Self> {
        let constant = c.rows == 1;
        Ok(Self { constant, ..Self::new(l, c)? })
    }

    /// The validity's buffer, or one that is not read.
    pub(super) fn valid(&self) -> &DeviceBuffer {
        self.valid.as_ref().unwrap_or(&self.heads)
    }

    /// The four parameter words of the column.
    pub(super) fn params(&self) -> [u32; 4] {
        let nullable = u32::from(self.valid.is_some());
        [
            u32::from(self.views) | u32::from(self.constant) << 1,
            self.limit,
            self.rows as u32,
            nullable,
        ]
    }
}

/// The validity of `rows` rows as words, where there is one.
pub(super) fn valid_words(
    l: &mut Launcher<'_>,
    validity: &Validity,
    rows: usize,
) -> Result<Option<DeviceBuffer>> {
    Ok(match validity {
        Validity::All => None,
        Validity::Words(words) => Some(words.clone()),
        Validity::Bits { .. } => {
            let words = l.alloc_words(rows, 1)?;
            move_validity(l, validity, rows, &words, 0)?;
            Some(words)
        }
    })
}

/// The validity that kernels' results have.
pub(super) fn words_validity(valid: Option<DeviceBuffer>) -> Validity {
    valid.map_or(Validity::All, Validity::Words)
}

/// A column that kernels wrote.
pub(super) fn wide(ty: PhysType, values: DeviceBuffer, validity: Validity) -> DeviceColumn {
    DeviceColumn { ty, storage: Storage::Wide, values, bit_offset: 0, validity }
}

/// What [`Lengths`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Unit {
    Bytes = 0,
    Characters = 1,
}

/// How a launch of [`KernelId::Lengths`] differs from the plain one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths<'a> {
    pub(super) indices: Option<&'a DeviceBuffer>,
    pub(super) characters: bool,
    /// Adds to what is there.
    pub(super) add: bool,
    /// Writes 0 for a null row; always so where lengths are not added.
    pub(super) clears: bool,
    pub(super) out_valid: Option<&'a DeviceBuffer>,
}

impl Lengths<'_> {
    /// Writes the lengths of `n` rows to the first words of `out`.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn write(
        self,
        l: &mut Launcher<'_>,
        column: &Bound,
        n: usize,
        out: &DeviceBuffer,
    ) -> Result<()> {
        let unwritten;
        let out_valid = match self.out_valid {
            Some(v) => v,
            None => {
                unwritten = l.alloc_words(1, 1)?;
                &unwritten
            }
        };
        let unit = if self.characters { Unit::Characters } else { Unit::Bytes };
        let mut params = vec![n as u32];
        params.extend(column.params());
        params.extend([
            u32::from(self.indices.is_some()),
            unit as u32,
            u32::from(self.add),
            u32::from(self.out_valid.is_some()),
            u32::from(self.clears),
        ]);
        let indices = self.indices.unwrap_or(&column.heads);
        let buffers = [&column.heads, &column.bytes, column.valid(), indices, out, out_valid];
        KernelId::Lengths.each(l, n, &buffers, &params)
    }
}

/// Makes the lengths in the first `n` words of `lengths`, which has one word more, the offsets
/// of texts of these lengths. Their sum comes back, and so the device is waited for.
///
/// # Errors
/// `Invalid` when the sum is 4 GiB or more; the device's errors.
pub(super) fn offsets_of(
    l: &mut Launcher<'_>,
    operation: &'static str,
    lengths: &DeviceBuffer,
    n: usize,
) -> Result<u32> {
    // The sum in 64 bits: a scan of words wraps.
    let column = wide(PhysType::U32, lengths.clone(), Validity::All);
    let Launcher { device, queue, reservation, .. } = l;
    let sum = reduce::sum(*device, &mut **queue, reservation, &column, n, None)?;
    let total = match sum.total {
        reduce::Total::Int(total) => usize::try_from(total).unwrap_or(usize::MAX),
        reduce::Total::Float(_) => usize::MAX,
    };
    let total = fits(operation, total)?;
    scan::exclusive_scan(*device, &mut **queue, reservation, lengths, 0, n as u32, Some(n as u32))?;
    Ok(total)
}

/// Bytes of a result, which a column can hold.
///
/// # Errors
/// `Invalid` when they are 4 GiB or more.
pub(crate) fn fits(operation: &'static str, total: usize) -> Result<u32> {
    match u32::try_from(total) {
        Ok(bytes) if total <= MAX_BYTES => Ok(bytes),
        _ => Err(KernelError::Invalid {
            operation,
            expected: format!("a result of at most {MAX_BYTES} bytes of text"),
            got: format!("{total} bytes"),
        }),
    }
}

/// Copies the texts of rows to where `offsets` say.
///
/// # Errors
/// The device's.
pub(super) fn copy_bytes(
    l: &mut Launcher<'_>,
    column: &Bound,
    indices: Option<&DeviceBuffer>,
    skips: Option<&DeviceBuffer>,
    (offsets, n, total): (&DeviceBuffer, usize, u32),
) -> Result<DeviceBuffer> {
    let out = l.alloc_words((total as usize).div_ceil(4), 1)?;
    if total == 0 {
        return Ok(out);
    }
    let mut params = vec![n as u32, total];
    params.extend(column.params());
    params.extend([u32::from(indices.is_some()), u32::from(skips.is_some())]);
    let unread = &column.heads;
    let buffers = [
        &column.heads,
        &column.bytes,
        indices.unwrap_or(unread),
        skips.unwrap_or(unread),
        offsets,
        &out,
    ];
    let chunks = (total as usize).div_ceil(16);
    KernelId::CopyBytes.each(l, chunks, &buffers, &params)?;
    Ok(out)
}

/// Checks that two columns have the same rows, or one of them a single row that stands for all;
/// the rows of the result.
///
/// # Errors
/// `Invalid`.
pub(super) fn rows_of_both(
    operation: &'static str,
    a: &StringColumn,
    b: &StringColumn,
) -> Result<usize> {
    match (a.rows, b.rows) {
        (x, y) if x == y => Ok(x),
        (1, y) => Ok(y),
        (x, 1) => Ok(x),
        (x, y) => invalid(operation, format!("{x} rows, or one"), format!("{y} rows")),
    }
}
