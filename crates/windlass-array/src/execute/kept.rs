//! What tasks give: tiles in the host's memory or on a device.

use std::{
    io::{self, Read, Write},
    sync::OnceLock,
};

use windlass_runtime::graph::Spill;

use crate::{
    device::{DeviceTile, Devices, Failure},
    error::ArrayError,
    tile::Tile,
};

/// A tile, wherever it lies.
#[derive(Debug)]
pub(crate) enum Kept {
    Host(Tile),
    /// On a device; on the host too once somebody needed it there who keeps it.
    Device(DeviceTile, OnceLock<Tile>),
}

impl From<DeviceTile> for Kept {
    fn from(tile: DeviceTile) -> Self {
        Self::Device(tile, OnceLock::new())
    }
}

impl Kept {
    /// The tile, if it lies on a device.
    pub(crate) fn device(&self) -> Option<&DeviceTile> {
        match self {
            Self::Host(_) => None,
            Self::Device(tile, _) => Some(tile),
        }
    }

    /// Its elements on the host; nothing is kept of them here.
    ///
    /// # Errors
    /// If the device does not give them.
    pub(crate) fn host(&self) -> Result<Tile, ArrayError> {
        match self {
            Self::Host(tile) => Ok(tile.clone()),
            Self::Device(tile, host) => match host.get() {
                Some(tile) => Ok(tile.clone()),
                None => downloaded(tile),
            },
        }
    }

    /// As [`Kept::host`], and keeps them for whoever needs them next.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn bring(&self) -> Result<&Tile, ArrayError> {
        match self {
            Self::Host(tile) => Ok(tile),
            Self::Device(tile, host) => {
                if host.get().is_none() {
                    let _ = host.set(downloaded(tile)?);
                }
                Ok(host.get().expect("it was set"))
            }
        }
    }
}

/// A tile on the host, by a queue of its device that is kept for that.
///
/// # Errors
/// If the device does not give it.
pub(crate) fn downloaded_by(devices: &Devices, kept: &Kept) -> Result<Tile, ArrayError> {
    let Kept::Device(tile, host) = kept else { return kept.host() };
    if let Some(tile) = host.get() {
        return Ok(tile.clone());
    }
    devices.with(&tile.device, |queue| Ok(tile.download(queue)?)).map_err(|e| match e {
        Failure::Here(reason) => ArrayError::Device { reason },
        Failure::Lost(error) => error,
    })
}

fn downloaded(tile: &DeviceTile) -> Result<Tile, ArrayError> {
    let mut queue =
        tile.device.queue().map_err(|e| ArrayError::Device { reason: e.to_string() })?;
    tile.download(&mut *queue).map_err(|e| ArrayError::Device { reason: e.to_string() })
}

impl Spill for Kept {
    fn bytes(&self) -> u64 {
        match self {
            Self::Host(tile) => tile.bytes(),
            Self::Device(tile, _) => tile.bytes(),
        }
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        self.host().map_err(io::Error::other)?.write(to)
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        Ok(Self::Host(Tile::read(from)?))
    }
}
