//! What the devices of a group do with the batches of a node.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use windlass_device::{Device, DeviceError, DeviceName};
use windlass_kernels::KernelError;
use windlass_runtime::{DeviceGroup, Pace, schedule::RunError};

use super::{DeviceFailure, Placed};

/// Work that the devices of a node's group share, batch by batch.
#[derive(Debug, Clone)]
pub(crate) struct Sharing {
    placed: Placed,
    group: Arc<DeviceGroup>,
    pace: Arc<Pace>,
    operator: &'static str,
}

impl Sharing {
    /// For a node that is on a group; `pace` is kept from one partition to the next.
    pub(crate) fn of(placed: &Placed, pace: &Arc<Pace>, operator: &'static str) -> Option<Self> {
        let group = Arc::clone(placed.group.as_ref()?);
        Some(Self { placed: placed.clone(), group, pace: Arc::clone(pace), operator })
    }

    /// The devices of the group that are in use, each by itself.
    pub(crate) fn members(&self) -> Vec<Placed> {
        self.placed.members()
    }

    /// Batches of one of so many streams that are worked on at once, or wait for those before
    /// them: all streams together keep every device busy, and few results wait on the devices.
    pub(crate) fn width(&self, streams: usize) -> usize {
        self.group.slots().div_ceil(streams.max(1)).max(2)
    }

    /// Runs blocking work for so many rows on the device that is through with it first, which is
    /// `home` unless that has too much before it.
    ///
    /// # Errors
    /// A [`DeviceFailure`] where no device is left; the panic of the work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        rows: usize,
        home: Option<DeviceName>,
        work: impl FnOnce(Placed) -> T + Send + 'static,
    ) -> Result<T> {
        let placed = self.placed.clone();
        let work = move |device: &Arc<dyn Device>| work(placed.on(device));
        let result = self.group.run(self.operator, &self.pace, (rows, home), work).await;
        result.map_err(|e| match e {
            RunError::NoDevice { .. } => {
                let (device, operator) = (self.group.names(), self.operator);
                DeviceFailure { device, operator, source: self.none_left().1 }.into()
            }
            e => DataFusionError::External(Box::new(e)),
        })
    }

    /// As [`Sharing::run`], for work that fails as an operator does: another device does it again
    /// where the one at hand is lost and others are left.
    ///
    /// # Errors
    /// As there, and those of the work.
    pub(crate) async fn anywhere<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl Fn(&Placed) -> Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        loop {
            let work = work.clone();
            let work = move |placed: Placed| (work(&placed), placed);
            let (done, placed) = self.run(rows, None, work).await?;
            // The failure noted the loss.
            let lost = placed.inventory.lost(&placed.device.info().name).is_some();
            if done.is_ok() || !lost || self.members().is_empty() {
                return done;
            }
        }
    }

    /// The failure where no device is in use any more.
    pub(crate) fn none_left(&self) -> (Placed, KernelError) {
        let device = self.placed.device.info().name.clone();
        let lost = self.group.devices().filter_map(|d| self.placed.inventory.lost(&d.info().name));
        let why: std::collections::BTreeSet<String> = lost.collect();
        let why: Vec<String> = why.into_iter().collect();
        let reason = format!("so was every device beside it: {}", why.join("; "));
        let placed = self.placed.on(&self.placed.device);
        (placed, KernelError::Device(DeviceError::Lost { device, reason }))
    }

    /// Whether the same work may succeed on another device: the one at hand was lost, which is
    /// noted, and others are left.
    pub(crate) fn elsewhere(&self, placed: &Placed, error: &KernelError) -> bool {
        let lost = matches!(error, KernelError::Device(DeviceError::Lost { .. }));
        super::failure::note_loss(placed, error);
        lost && !self.members().is_empty()
    }
}

impl Placed {
    /// The same on one device alone.
    pub(crate) fn on(&self, device: &Arc<dyn Device>) -> Self {
        Self { device: Arc::clone(device), group: None, ..self.clone() }
    }

    /// The devices that share the batches and are in use, each by itself.
    pub(crate) fn members(&self) -> Vec<Self> {
        match &self.group {
            Some(group) => {
                let used =
                    group.devices().filter(|d| self.inventory.lost(&d.info().name).is_none());
                used.map(|device| self.on(device)).collect()
            }
            None => vec![self.clone()],
        }
    }
}
