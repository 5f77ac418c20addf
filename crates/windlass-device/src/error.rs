//! The crate's one error type.

use crate::spec::DeviceName;

/// What can go wrong between asking for a device and reading a result from it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// The text of a device name or spec does not parse.
    #[error("unknown device {text:?}: {hint}")]
    UnknownDevice {
        /// What was written.
        text: String,
        /// What would have been accepted.
        hint: String,
    },
    /// The name parses, but this host has no such device.
    #[error("device {device} is not available: {reason}")]
    NotAvailable {
        /// The device asked for.
        device: String,
        /// What is missing, and how to get it where we know.
        reason: String,
    },
    /// An allocation or reservation went past the pool's cap or the device's memory.
    #[error(
        "{device} is out of memory: {requested} bytes requested, {in_use} of {cap} bytes in use"
    )]
    OutOfMemory {
        /// The device.
        device: DeviceName,
        /// Bytes that the failed request asked for.
        requested: usize,
        /// Bytes in use when it failed.
        in_use: usize,
        /// The pool's cap in bytes.
        cap: usize,
    },
    /// A kernel did not compile.
    #[error("{device}: kernel {kernel} does not compile:\n{log}")]
    Compile {
        /// The device.
        device: DeviceName,
        /// The kernel's name.
        kernel: String,
        /// The compiler's output.
        log: String,
    },
    /// A kernel failed to launch or while it ran.
    #[error("{device}: launch of kernel {kernel} failed: {reason}")]
    Launch {
        /// The device.
        device: DeviceName,
        /// The kernel's name.
        kernel: String,
        /// The driver's words.
        reason: String,
    },
    /// The device is gone; nothing on it can be read any more.
    #[error("{device} was lost: {reason}")]
    Lost {
        /// The device.
        device: DeviceName,
        /// The driver's words.
        reason: String,
    },
    /// A copy to, from or within the device failed.
    #[error("{device}: transfer failed: {reason}")]
    Transfer {
        /// The device.
        device: DeviceName,
        /// The driver's words.
        reason: String,
    },
    /// An argument is wrong: a range outside a buffer, a buffer of another device.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
    /// The backend cannot do this at all.
    #[error("{device} cannot do this: {reason}")]
    Unsupported {
        /// The device.
        device: DeviceName,
        /// What it cannot do.
        reason: String,
    },
}

/// A result with [`DeviceError`].
pub type Result<T, E = DeviceError> = std::result::Result<T, E>;
