//! Rows on disk: what operators write there when the memory limit is reached.
//!
//! | module | holds |
//! |---|---|
//! | `store` | [`SpillStore`]: the folder of a session, whose files have checksums |
//! | [`rest`] | the rest of an input, for an operator that takes over |
//! | [`rows`] | rows by the hash of their keys, in files, and files as an input of operators |

pub(crate) mod rest;
pub(crate) mod rows;
mod store;

pub(crate) use store::SpillStore;
