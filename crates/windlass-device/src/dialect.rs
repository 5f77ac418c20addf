//! The headers of the CUDA dialect, and the translation unit built around a kernel.

use std::borrow::Cow;

use crate::source::KernelSource;

/// The dialect's headers by the name under which sources include them.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("windlass.cuh", include_str!("../../../kernels/include/windlass.cuh")),
    ("windlass_cuda.cuh", include_str!("../../../kernels/include/windlass_cuda.cuh")),
    ("windlass_emulated.cuh", include_str!("../../../kernels/include/windlass_emulated.cuh")),
    ("windlass_checked.cuh", include_str!("../../../kernels/include/windlass_checked.cuh")),
];

/// The file name of a kernel's text, for compiler messages: its name with what a file name
/// cannot hold replaced.
pub(crate) fn file_name(source: &KernelSource) -> String {
    let clean: String = source
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_-/".contains(c) { c } else { '_' })
        .collect();
    format!("{}.cu", clean.trim_matches('/'))
}

/// Every header that the source can include: the dialect's and its own.
pub(crate) fn headers(source: &KernelSource) -> impl Iterator<Item = (&str, &str)> {
    let own = source.headers.iter().map(|(name, text): &(Cow<'_, str>, Cow<'_, str>)| {
        let pair: (&str, &str) = (name, text);
        pair
    });
    HEADERS.into_iter().chain(own)
}

/// The translation unit: the dialect, the kernel's text and the check of its entry point,
/// between `before` and `after`. The text stays a file of its own, so that messages carry
/// its own lines.
pub(crate) fn unit(source: &KernelSource, before: &str, after: &str) -> String {
    let (entry, file) = (&source.entry, file_name(source));
    let (buffers, params) = (source.buffers.len(), source.params);
    format!(
        "{before}#include \"windlass.cuh\"\n#include \"{file}\"\n\
         W_CHECK_ENTRY({entry}, {buffers}, {params});\n{after}"
    )
}
