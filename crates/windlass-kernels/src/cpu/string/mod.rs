//! The twins of `kernels/string`: texts in host memory, row by row in pieces that cores share.
//!
//! | module | holds |
//! |---|---|
//! | `read` | columns in host memory, checked |
//! | `write` | bits, words and texts in Arrow's layout |
//! | `compare` | comparisons of two rows |
//! | `head` | the first bytes of texts |
//! | `rows` | lengths, comparisons, substrings, sort words |
//! | `hash` | hashes |
//! | `gather` | gather, conversion and concatenation |
//! | `search` | LIKE, with the searches that it is made of |
//! | `sort` | the order of texts |

mod compare;
mod gather;
mod hash;
mod head;
mod read;
mod rows;
mod search;
mod sort;
mod write;

pub(crate) use gather::{concat, from_codes, gather, to_offsets};
pub(crate) use hash::hash;
pub(crate) use read::INLINE;
pub(crate) use rows::{compare, lengths, sort_word, substring};
pub(crate) use search::like;
pub(crate) use sort::{ranks, sort_indices};
