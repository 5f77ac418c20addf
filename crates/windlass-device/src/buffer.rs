//! A counted handle on a range of device memory.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    error::{DeviceError, Result},
    spec::DeviceName,
};

/// What a backend stores behind a [`DeviceBuffer`].
pub trait RawBuffer: Send + Sync + 'static {
    /// For the backend's own downcast.
    fn as_any(&self) -> &dyn Any;

    /// The bytes, where they lie in host memory that may be read at any time (the `cpu`
    /// backend); `None` elsewhere.
    fn host_bytes(&self) -> Option<&[u8]> {
        None
    }
}

/// Host memory that a `cpu` buffer can borrow for as long as it lives, such as an Arrow
/// buffer: this is what makes an upload to `cpu` free.
pub trait HostBytes: Send + Sync + 'static {
    /// The bytes; the same address and length at every call.
    fn bytes(&self) -> &[u8];
}

/// Device memory: cheap to clone, freed (and given back to its pool) with the last clone.
///
/// The contents of a new buffer are undefined; the emulator poisons them.
#[derive(Clone)]
pub struct DeviceBuffer {
    raw: Arc<dyn RawBuffer>,
    device: DeviceName,
    len: usize,
}

impl DeviceBuffer {
    /// Wraps a backend's memory of `len` bytes. For backends.
    pub fn new(device: DeviceName, raw: Arc<dyn RawBuffer>, len: usize) -> Self {
        Self { raw, device, len }
    }

    /// Length in bytes, as asked for at allocation.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the length is zero.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The device that the memory is on.
    pub fn device(&self) -> &DeviceName {
        &self.device
    }

    /// The bytes where they lie in host memory (the `cpu` device); `None` elsewhere.
    pub fn host_bytes(&self) -> Option<&[u8]> {
        self.raw.host_bytes().map(|b| &b[..self.len])
    }

    /// The backend's memory, downcast. For backends.
    ///
    /// # Errors
    /// [`DeviceError::InvalidArgument`] when the buffer belongs to another backend.
    pub fn raw<T: RawBuffer>(&self) -> Result<&T> {
        self.raw.as_any().downcast_ref::<T>().ok_or_else(|| {
            DeviceError::InvalidArgument(format!(
                "a buffer of {} was given to another backend",
                self.device
            ))
        })
    }

    /// Checks that `offset..offset + len` lies inside the buffer.
    ///
    /// # Errors
    /// [`DeviceError::InvalidArgument`] naming both ranges when it does not.
    pub fn check_range(&self, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(DeviceError::InvalidArgument(format!(
                "bytes {offset}..{} of a buffer of {} bytes on {}",
                offset.saturating_add(len),
                self.len,
                self.device
            ))),
        }
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({}, {} bytes)", self.device, self.len)
    }
}
