//! The tiles that a task is given, on the host or on its device.

use std::{cell::OnceCell, sync::Arc};

use windlass_device::Device;
use windlass_runtime::graph::{BoxError, TaskContext};

use super::Key;
use crate::{
    device::{DeviceTile, Devices},
    error::ArrayError,
    execute::{
        kept::{Kept, downloaded_by},
        leaf::Given,
    },
    region::Region,
    tile::Tile,
};

/// What a task is given: a tile, or a part of it alone.
pub(super) struct Input {
    pub(super) key: Key,
    pub(super) part: Option<Region>,
    /// Of a tile that was read in part: where what was read begins in it.
    pub(super) begin: Option<Arc<[usize]>>,
}

/// The tiles that a task was given.
pub(super) struct Inputs<'a> {
    /// In the order of their tiles.
    inputs: &'a [Input],
    kept: Vec<&'a Kept>,
    /// The same on the host, once they are brought there.
    host: Vec<OnceCell<Tile>>,
    devices: Option<&'a Devices>,
    on: Option<(&'a Devices, &'a Arc<dyn Device>)>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(
        inputs: &'a [Input],
        context: &'a TaskContext<'_>,
        devices: Option<&'a Devices>,
    ) -> Result<Self, BoxError> {
        let kept = (0..inputs.len()).map(|i| context.input(i)).collect::<Result<Vec<_>, _>>()?;
        let host = kept.iter().map(|_| OnceCell::new()).collect();
        let on = devices.and_then(|d| Some((d, d.named(context.device())?)));
        let new = Self { inputs, kept, host, devices, on };
        if on.is_none() {
            new.bring()?;
        }
        Ok(new)
    }
}

impl Given for Inputs<'_> {
    fn part(&self, stage: usize, tile: usize, within: &Region) -> Tile {
        let first = self.inputs.partition_point(|i| i.key < (stage, tile));
        for (input, tile) in self.inputs[first..].iter().zip(&self.host[first..]) {
            let tile = || tile.get().expect("tiles are brought before they are read");
            match &input.part {
                None => return tile().part(&shifted(within, input.begin.as_deref())),
                Some(part) if part == within => return tile().clone(),
                Some(_) => {}
            }
        }
        unreachable!("a task asks for the parts that it reads")
    }

    fn resident(&self, stage: usize, tile: usize) -> Option<&DeviceTile> {
        let at = self.inputs.partition_point(|i| i.key < (stage, tile));
        let whole = self.inputs[at].key == (stage, tile) && self.inputs[at].part.is_none();
        whole.then(|| self.kept[at].device()).flatten()
    }

    fn device(&self) -> Option<(&Devices, &Arc<dyn Device>)> {
        self.on
    }

    fn bring(&self) -> Result<(), ArrayError> {
        for (kept, host) in self.kept.iter().zip(&self.host) {
            if host.get().is_none() {
                let tile = match self.devices {
                    Some(devices) => downloaded_by(devices, kept)?,
                    None => kept.host()?,
                };
                let _ = host.set(tile);
            }
        }
        Ok(())
    }
}

/// A part of a tile, counted from where what was read of it begins.
pub(super) fn shifted(within: &Region, begin: Option<&[usize]>) -> Region {
    let mut within = within.clone();
    for (span, begin) in within.axes.iter_mut().zip(begin.unwrap_or_default()) {
        span.start -= begin;
    }
    within
}
