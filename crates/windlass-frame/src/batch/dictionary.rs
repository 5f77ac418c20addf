//! One dictionary: strings to codes and back.

/// How far a dictionary may grow before its query goes back to the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryLimits {
    /// Most distinct strings.
    pub values: usize,
    /// Most bytes of distinct strings.
    pub bytes: usize,
}

impl Default for DictionaryLimits {
    /// 16 Mi strings and 1 GiB: a guess at where hashing strings on the host stops paying
    /// for what the device saves.
    fn default() -> Self {
        Self { values: 1 << 24, bytes: 1 << 30 }
    }
}
