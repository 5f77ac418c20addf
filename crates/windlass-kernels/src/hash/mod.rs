//! Row hashes: one 64-bit hash for each row over any columns.
//!
//! | module | holds |
//! |---|---|
//! | `layout` | columns as the kernels of hash, join and partition read them, checked |
//! | `sources` | the kernel's text |

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use crate::{
    column::DeviceBatch,
    cpu,
    error::{KernelError, Result},
    launcher::Launcher,
    texts::{Text, text},
};

pub(crate) mod layout;

use layout::ColumnLayout;

/// The seed of the first column: the one that SMHasher's own tests of MurmurHash use. Part of
/// the definition: hashes of one version are compared across hosts.
pub const SEED: u32 = 0x9747_b28c;

const HASH_COLUMN: Text = text!("hash", "hash_column", "hash_column", "rrw", 8);

/// Every kernel of the family in a language, for checks that compile them all.
///
/// # Errors
/// `Invalid` when a text does not compose: a fault of the text itself.
pub fn sources(language: windlass_device::Language) -> Result<Vec<windlass_device::KernelSource>> {
    Ok(vec![(*crate::texts::source(&HASH_COLUMN, &[], language)?).clone()])
}

/// One 64-bit hash for each row over `columns`, in their order, as two 32-bit words, the low
/// one first.
///
/// The hash of a column's value is MurmurHash64B (`kernels/hash/hash_column.cu`) of its
/// canonical little-endian bytes, seeded by the hash of the columns before it. It is the same on
/// every backend and in either storage: booleans and 8- and 16-bit integers are extended to 32
/// bits first, -0.0 hashes as 0.0, every NaN as one, and a null as no bytes. Deterministic.
///
/// # Errors
/// `Invalid` without a column, for one that is not in the batch, and for buffers that do not
/// hold the batch's rows; the device's errors.
pub fn hash_rows(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    batch: &DeviceBatch,
    columns: &[usize],
) -> Result<DeviceBuffer> {
    let operation = "row hash";
    layout::check(operation, device, batch, columns)?;
    if columns.is_empty() {
        return Err(KernelError::Invalid {
            operation,
            expected: "at least one column".into(),
            got: "none".into(),
        });
    }
    let Some(mut gpu) = Launcher::new(device, queue, reservation) else {
        let hashes = cpu::hash::hash_column(batch, columns)?;
        return cpu::memory::adopt(device, reservation, hashes);
    };
    let hashes = gpu.alloc_words(batch.rows, 2)?;
    for (at, index) in columns.iter().enumerate() {
        let column = &batch.columns[*index];
        let layout = ColumnLayout::of(column);
        let params = layout.after([batch.rows as u32, u32::from(at == 0), SEED]);
        let buffers = [&column.values, layout.valid(column), &hashes];
        gpu.launch_each(&HASH_COLUMN, &[], batch.rows, &buffers, &params)?;
    }
    Ok(hashes)
}
