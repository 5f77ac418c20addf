//! Arrays whose elements lie one behind the other in a file: raw, `.npy`, and `.npz`.
//!
//! | module | holds |
//! |---|---|
//! | [`layout`] | where each element lies |
//! | [`read`] | any region of such a file |
//! | [`write`](mod@write) | such a file, region by region |
//! | [`raw`] | files of nothing but elements |
//! | [`npy`] | NumPy's header, and files with it |
//! | [`npz`] | several of them in a zip archive |

mod layout;
mod npy;
mod npz;
mod raw;
mod read;
mod write;

pub use self::{
    layout::Order,
    npz::{npz_names, save_npz},
    raw::RawLayout,
    write::FileWrite,
};
pub(super) use self::{npy::npy_sink, raw::raw_sink};

#[cfg(test)]
mod tests;
