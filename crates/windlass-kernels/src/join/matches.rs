//! Which rows of one side have a match.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use windlass_device::{Device, DeviceBuffer, Queue, Reservation, pool::Allocation};

use super::{JoinRows, OPERATION, invalid, sources::KernelId};
use crate::{
    column::{DeviceColumn, Storage, Validity, check_rows, check_words, on_device},
    cpu,
    error::Result,
    launcher::Launcher,
    scan,
    types::PhysType,
};

/// Flags for the rows of one side of a join. Clones share them.
#[derive(Debug, Clone)]
pub struct Matches {
    rows: usize,
    flags: Flags,
}

#[derive(Debug, Clone)]
enum Flags {
    Host(Arc<HostFlags>),
    /// A word for each row, not 0 where it has a match.
    Words(DeviceBuffer),
}

#[derive(Debug)]
struct HostFlags {
    flags: Vec<AtomicU8>,
    _share: Allocation,
}

impl Matches {
    /// Of `rows` rows none has a match yet.
    ///
    /// # Errors
    /// `Invalid` for 2^31 rows or more; the device's errors.
    pub fn none(
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        rows: usize,
    ) -> Result<Self> {
        check_rows(OPERATION, rows)?;
        match Launcher::new(device, queue, reservation) {
            Some(mut gpu) => {
                let words = gpu.alloc_words(rows, 1)?;
                gpu.queue.fill(&words, 0)?;
                Ok(Self::of_words(words, rows))
            }
            None => {
                reservation.grow(rows.saturating_sub(reservation.left()))?;
                let mut flags = Vec::new();
                flags.resize_with(rows, AtomicU8::default);
                Self::of_host(reservation, flags)
            }
        }
    }

    pub(super) fn of_host(reservation: &mut Reservation, flags: Vec<AtomicU8>) -> Result<Self> {
        let rows = flags.len();
        let _share = reservation.allocate(rows)?;
        Ok(Self { rows, flags: Flags::Host(Arc::new(HostFlags { flags, _share })) })
    }

    pub(super) fn of_words(words: DeviceBuffer, rows: usize) -> Self {
        Self { rows, flags: Flags::Words(words) }
    }

    /// The flags on `cpu`.
    pub(super) fn host(&self) -> Option<&[AtomicU8]> {
        match &self.flags {
            Flags::Host(flags) => Some(&flags.flags),
            Flags::Words(_) => None,
        }
    }

    /// The flags on a GPU.
    pub(super) fn words(&self) -> Option<&DeviceBuffer> {
        match &self.flags {
            Flags::Host(_) => None,
            Flags::Words(words) => Some(words),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Gives the rows with these `n` numbers a match; numbers of no row, such as
    /// [`super::NO_ROW`], are passed over.
    ///
    /// # Errors
    /// `Invalid` when the buffer holds fewer numbers or is of another device; the device's
    /// errors.
    pub fn add(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        numbers: &DeviceBuffer,
        n: usize,
    ) -> Result<()> {
        check_rows(OPERATION, n)?;
        check_words(OPERATION, device, "row numbers", numbers, n)?;
        match &self.flags {
            Flags::Host(flags) => {
                let Some(bytes) = numbers.host_bytes() else {
                    return invalid("row numbers in host memory", numbers.device());
                };
                for word in bytes[..n * 4].as_chunks::<4>().0 {
                    if let Some(flag) = flags.flags.get(u32::from_le_bytes(*word) as usize) {
                        flag.store(1, Relaxed);
                    }
                }
                Ok(())
            }
            Flags::Words(words) => {
                on_device(OPERATION, device, words)?;
                let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
                    return invalid("the device of the flags", device.info().name.to_string());
                };
                let params = [n as u32, self.rows as u32];
                KernelId::MarkRows.each(&mut gpu, n, &[numbers, words], &params)
            }
        }
    }

    /// The numbers of the rows that have a match, or with `matched` false of those without.
    ///
    /// # Errors
    /// `Invalid` on another device; the device's errors.
    pub fn rows(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
        matched: bool,
    ) -> Result<JoinRows> {
        let words = match &self.flags {
            Flags::Host(flags) => {
                let rows = cpu::join::selected(&flags.flags, matched);
                let n = rows.len();
                let rows = cpu::memory::adopt(device, reservation, rows)?;
                return Ok(JoinRows { rows, n });
            }
            Flags::Words(words) => words,
        };
        on_device(OPERATION, device, words)?;
        let n = self.rows;
        let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
            return invalid("the device of the flags", device.info().name.to_string());
        };
        let places = gpu.alloc_words(n + 1, 1)?;
        let params = [n as u32, u32::from(matched)];
        KernelId::FlagWanted.each(&mut gpu, n, &[words, &places], &params)?;
        let total = n as u32;
        scan::exclusive_scan(device, gpu.queue, gpu.reservation, &places, 0, total, Some(total))?;
        let count = gpu.read_words(&places, n, 1)?[0] as usize;
        let rows = gpu.alloc_words(count, 1)?;
        KernelId::WriteWanted.each(&mut gpu, n, &[words, &places, &rows], &params)?;
        Ok(JoinRows { rows, n: count })
    }

    /// The flags as a column of booleans without nulls, for mark joins.
    ///
    /// # Errors
    /// `Invalid` on another device; the device's errors.
    pub fn column(
        &self,
        device: &dyn Device,
        queue: &mut dyn Queue,
        reservation: &mut Reservation,
    ) -> Result<DeviceColumn> {
        let (storage, values) = match &self.flags {
            Flags::Host(flags) => {
                let bits = cpu::join::bitmap(&flags.flags);
                (Storage::Packed, cpu::memory::adopt(device, reservation, bits)?)
            }
            Flags::Words(words) => {
                on_device(OPERATION, device, words)?;
                let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
                    return invalid("the device of the flags", device.info().name.to_string());
                };
                let flags = gpu.alloc_words(self.rows, 1)?;
                let params = [self.rows as u32, 1];
                KernelId::FlagWanted.each(&mut gpu, self.rows, &[words, &flags], &params)?;
                (Storage::Wide, flags)
            }
        };
        let (ty, validity) = (PhysType::Bool, Validity::All);
        Ok(DeviceColumn { ty, storage, values, bit_offset: 0, validity })
    }
}
