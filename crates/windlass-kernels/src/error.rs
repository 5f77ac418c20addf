//! The crate's one error type.

use windlass_device::DeviceError;

/// What can go wrong in an operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KernelError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The arguments do not fit together: lengths, types, a value used before it is made.
    #[error("invalid argument to {operation}: expected {expected}, got {got}")]
    Invalid {
        /// The operation.
        operation: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// The device cannot run this program; the reason is for the user.
    #[error("not supported on {device}: {reason}")]
    Unsupported {
        /// The device.
        device: String,
        /// Which operation or type, and why.
        reason: String,
    },
    /// A row divided an integer or decimal by zero.
    #[error("Divide by zero error")]
    DivideByZero,
    /// A row overflowed where SQL says that is an error (a cast, `MIN / -1`).
    #[error("arithmetic overflow: {0}")]
    Overflow(&'static str),
}

/// A result with [`KernelError`].
pub type Result<T, E = KernelError> = std::result::Result<T, E>;
