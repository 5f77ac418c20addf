//! Operations on tiles against plain loops over elements on the host.
//!
//! | module | holds |
//! |---|---|
//! | `place` | tiles put together from parts |
//! | `fold` | sums, extremes and moments along an axis |
//! | `scan` | running sums and products along an axis |
//! | `matmul` | products of matrices |

use conformance::Bench;
use windlass_device::DeviceBuffer;

mod fold;
mod matmul;
mod place;
mod scan;

use fold::folds;
use matmul::matmuls;
use place::places;
use scan::scans;

conformance::everywhere!(all: places, folds, scans, matmuls);
conformance::everywhere!(wgpu_reversed: places, folds, scans, matmuls);

/// Bytes in the device's memory.
fn upload(bench: &mut Bench, bytes: &[u8]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(bytes.len()).unwrap();
    let b = device.alloc(&mut r, bytes.len()).unwrap();
    bench.queue().upload(&b, 0, bytes).unwrap();
    b
}
