//! The twin of `kernels/scan/exclusive_scan.cu`.

/// Replaces each word by the sum of those before it, modulo 2^32; the sum of all.
pub fn exclusive_scan(data: &mut [u32]) -> u32 {
    exclusive_scan_from(data, 0)
}

/// As [`exclusive_scan`], with `sum` before the first word.
pub(crate) fn exclusive_scan_from(data: &mut [u32], mut sum: u32) -> u32 {
    for word in data {
        let value = *word;
        *word = sum;
        sum = sum.wrapping_add(value);
    }
    sum
}
