//! Prefix sums of counts, in place.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::check_words,
    cpu,
    error::{KernelError, Result},
    sources::{LibraryKernel, language},
};

/// Elements that one block scans; the kernel's text states the same number.
const TILE: u32 = 2048;
/// Words that the twin scans at a time: half of a first-level cache of 32 KiB (a stated guess),
/// so that bringing them there and back costs no memory traffic of its own.
const CPU_PIECE: usize = 4096;
/// What the kernel takes for "no total".
const NO_TOTAL: u32 = u32::MAX;

/// Replaces each of the `n` words of `data` from word `first` on by the sum of those before
/// it, modulo 2^32. The sum of all is written to word `total` of `data`, where given, which is
/// none of the `n`.
///
/// # Errors
/// `Invalid` when a range does not lie in `data`, `total` lies in the range, or `data` is on
/// another device; the device's errors.
pub fn exclusive_scan(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    data: &DeviceBuffer,
    first: u32,
    n: u32,
    total: Option<u32>,
) -> Result<()> {
    const OPERATION: &str = "exclusive scan";
    let scanned = first as usize..first as usize + n as usize;
    let end = scanned.end.max(total.map_or(0, |t| t as usize + 1));
    check_words(OPERATION, device, "counts", data, end)?;
    if let Some(total) = total.filter(|t| scanned.contains(&(*t as usize))) {
        return Err(KernelError::Invalid {
            operation: OPERATION,
            expected: format!("a place of the total outside words {scanned:?}"),
            got: format!("word {total}"),
        });
    }
    let Some(language) = language(device) else {
        let mut piece = [0u32; CPU_PIECE];
        let (mut at, mut sum) = (first as usize, 0u32);
        while at < first as usize + n as usize {
            let left = first as usize + n as usize - at;
            let piece = &mut piece[..left.min(CPU_PIECE)];
            queue.download(data, at * 4, bytemuck::cast_slice_mut(piece))?;
            sum = cpu::scan::exclusive_scan_from(piece, sum);
            queue.upload(data, at * 4, bytemuck::cast_slice(piece))?;
            at += piece.len();
        }
        if let Some(t) = total {
            queue.upload(data, t as usize * 4, &sum.to_ne_bytes())?;
        }
        return Ok(());
    };
    let total = total.unwrap_or(NO_TOTAL);
    if n == 0 {
        if total != NO_TOTAL {
            queue.upload(data, total as usize * 4, &[0; 4])?;
        }
        return Ok(());
    }
    let tiles = n.div_ceil(TILE);
    let sums = device.alloc(reservation, tiles as usize * 4)?;
    let scan = device.compile(&LibraryKernel::named("scan").source(language))?;
    if tiles > 1 {
        let reduce = device.compile(&LibraryKernel::named("reduce").source(language))?;
        queue.launch(&reduce, tiles - 1, &[data, &sums], &[n, first, 0, NO_TOTAL])?;
        exclusive_scan(device, queue, reservation, &sums, 0, tiles, None)?;
    }
    queue.launch(&scan, tiles, &[data, &sums], &[n, first, u32::from(tiles > 1), total])?;
    Ok(())
}
