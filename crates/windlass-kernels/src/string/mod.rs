//! Texts as they are: offsets and bytes, or views, without a dictionary.
//!
//! A [`StringColumn`] takes part in every operation in either form. Texts are UTF-8; equality,
//! order and hashes are those of their bytes. A result's text column has offsets and bytes,
//! but for [`gather_views`], which keeps views.
//!
//! | module | holds |
//! |---|---|
//! | `column` | [`StringColumn`], from Arrow arrays and back |
//! | `measure` | [`byte_length`], [`character_length`] |
//! | `compare` | [`compare`](fn@compare), [`order`]: two columns, or a column and a constant |
//! | `hash` | [`hash_texts`], [`hash_codes`]: row hashes that agree between encodings |
//! | `gather` | [`gather`](fn@gather), [`gather_views`], [`to_offsets`], [`from_codes`] |
//! | `pattern` | [`Pattern`]: LIKE as a program |
//! | `search` | [`starts_with`], [`ends_with`], [`contains`], [`like`] |
//! | `substring` | [`substring`](fn@substring) by characters |
//! | `concat` | [`concat`](fn@concat) of columns and constants |
//! | `sort` | [`sort_word`], [`sort_indices`], [`ranks`]: the order of texts by radix sort |
//! | `bound`, `sources` | columns as kernels take them, and the kernels' texts |
//!
//! # Determinism
//! Results are the same bits on every device and in every run.

use crate::error::{KernelError, Result};

mod bound;
mod column;
mod compare;
mod concat;
mod gather;
mod hash;
mod measure;
mod pattern;
mod search;
mod sort;
mod sources;
mod substring;

pub(crate) use bound::fits;
pub use column::{StringColumn, Texts};
pub use compare::{Comparison, compare, order};
pub use concat::{ConcatNulls, concat};
pub use gather::{from_codes, gather, gather_views, to_offsets};
pub use hash::{hash_codes, hash_texts};
pub use measure::{byte_length, character_length};
pub use pattern::Pattern;
pub(crate) use pattern::{Element, Segment};
pub use search::{contains, ends_with, like, starts_with};
pub use sort::{ranks, sort_indices, sort_word};
pub use sources::sources;
pub use substring::substring;

/// The error of an argument that does not fit.
fn invalid<T>(
    operation: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> Result<T> {
    Err(KernelError::Invalid { operation, expected: expected.into(), got: got.into() })
}
