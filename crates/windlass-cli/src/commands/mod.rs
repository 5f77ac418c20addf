//! The commands, one a file.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod explain;
pub(crate) mod run;
pub(crate) mod sql;
