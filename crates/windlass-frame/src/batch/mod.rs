//! Record batches on devices, and the dictionaries that code their strings.
//!
//! Order of calls for one batch: [`upload`] (which gives new strings their codes), then
//! [`DictionarySet::tables`] (which covers all codes given so far), then the kernel, then
//! [`download`].
//!
//! A `KernelError` from here means that the device cannot go on with this input; the same
//! input on the CPU gives the right answer or the user's error.

mod download;
mod kept;
mod set;
mod upload;

pub use download::download;
pub(crate) use download::{logical, read_column, read_words};
pub(crate) use kept::KeptColumns;
pub use set::DictionarySet;
pub(crate) use upload::{array_bytes, upload_array, upload_kept};
pub use upload::{upload, upload_bytes};
pub use windlass_kernels::dictionary::{DictionaryLimits, SharedDictionary};
