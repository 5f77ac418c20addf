//! Products of matrices.

use windlass_device::{Device, DeviceBuffer, Queue, Reservation};

use super::{
    lines::supported,
    place::Strided,
    sources::{MATMUL, matmul_kind},
};
use crate::{
    column::{check_rows, on_device},
    cpu,
    error::{KernelError, Result},
    launcher::{Launcher, resident_blocks},
    types::PhysType,
};

const OPERATION: &str = "matmul";

/// Results along either side of a block's tile, as in the kernels' texts.
const SIDE: usize = 64;

/// A matrix, or a batch of them, in a buffer of whole words for each element.
#[derive(Debug, Clone)]
pub struct Matrix<'a> {
    /// The buffer.
    pub values: &'a DeviceBuffer,
    /// Where the elements lie there: the steps from matrix to matrix, row to row and column to
    /// column.
    pub layout: Strided,
}

/// Lengths of a product of matrices of `m` times `k` and `k` times `n` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Matrices.
    pub batch: usize,
    /// Rows of the left matrix and of the product.
    pub m: usize,
    /// Columns of the right matrix and of the product.
    pub n: usize,
    /// Columns of the left matrix, rows of the right one.
    pub k: usize,
}

impl Lengths {
    /// Elements of the product.
    pub fn results(self) -> usize {
        self.batch * self.m * self.n
    }
}

/// Whether [`matmul`] takes a type: floats, and integers of 32 and 64 bits, which wrap.
pub fn multiplies(ty: PhysType) -> bool {
    use PhysType as P;
    matches!(ty, P::I32 | P::U32 | P::I64 | P::U64 | P::F32 | P::F64)
}

/// The products of matrices, `batch` times `m` rows of `n` elements, all dense. With `plus`,
/// which lies likewise, they are added to that: so sums along `k` go on from tile to tile.
/// Without elements along `k` they are zeros, or `plus`.
///
/// Products of floats are added in the order of `k`, fused with their addition on CUDA devices;
/// on the CPU in the order of the library `matrixmultiply`. Rounding errors are below `k` units of the
/// product of absolute values either way.
///
/// # Errors
/// `Invalid` for another type, a matrix that reaches past its buffer, layouts without three
/// axes, buffers that are too short or on another device; `Unsupported` where the device has no
/// such type; the device's errors.
pub fn matmul(
    device: &dyn Device,
    queue: &mut dyn Queue,
    reservation: &mut Reservation,
    ty: PhysType,
    lengths: Lengths,
    operands: [&Matrix<'_>; 2],
    plus: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    check(device, ty, lengths, operands, plus)?;
    let Some(mut l) = Launcher::new(device, queue, reservation) else {
        return cpu::tile::matmul(device, reservation, ty, lengths, operands, plus);
    };
    let Lengths { batch, m, n, k } = lengths;
    let out = l.alloc_words(lengths.results(), ty.words())?;
    if lengths.results() == 0 {
        return Ok(out);
    }
    supported(device, ty)?;
    let mut params = [0; 13];
    let sizes = [m, n, k, batch, usize::from(plus.is_some())];
    params.iter_mut().zip(sizes).for_each(|(word, size)| *word = size as u32);
    for (words, matrix) in params[5..].chunks_exact_mut(4).zip(operands) {
        // Modulo 2^32, as the kernel adds them up.
        let [of_batch, row, column] = matrix.layout.strides[..] else { continue };
        let layout = [matrix.layout.offset as u32, row as u32, column as u32, of_batch as u32];
        words.copy_from_slice(&layout);
    }
    let tiles = batch * m.div_ceil(SIDE) * n.div_ceil(SIDE);
    let blocks = tiles.min(resident_blocks(device.info()) as usize) as u32;
    let [a, b] = operands.map(|o| o.values);
    let defines = [("KIND", matmul_kind(ty))];
    l.launch(&MATMUL, &defines, blocks, &[a, b, plus.unwrap_or(a), &out], &params)?;
    Ok(out)
}

fn check(
    device: &dyn Device,
    ty: PhysType,
    lengths: Lengths,
    operands: [&Matrix<'_>; 2],
    plus: Option<&DeviceBuffer>,
) -> Result<()> {
    let invalid = |expected: String, got: String| {
        Err(KernelError::Invalid { operation: OPERATION, expected, got })
    };
    if !multiplies(ty) {
        return invalid("floats or integers of 32 or 64 bits".into(), ty.to_string());
    }
    let Lengths { batch, m, n, k } = lengths;
    let product = |lens: [usize; 3]| {
        lens.into_iter().try_fold(1usize, usize::checked_mul).unwrap_or(usize::MAX)
    };
    for lens in [[batch, m, n], [batch, m, k], [batch, k, n]] {
        check_rows(OPERATION, product(lens))?;
    }
    for (matrix, lens) in operands.into_iter().zip([[batch, m, k], [batch, k, n]]) {
        let axes = matrix.layout.strides.len();
        if axes != 3 {
            return invalid("steps along a batch, rows and columns".into(), format!("{axes} axes"));
        }
        on_device(OPERATION, device, matrix.values)?;
        if lens.contains(&0) {
            continue;
        }
        let held = matrix.values.len() / ty.wide_bytes();
        let (low, high) = matrix.layout.bounds(&lens);
        if low < 0 || high >= held as isize {
            return invalid(
                format!("a matrix within the {held} elements of its buffer"),
                format!("elements {low} to {high}"),
            );
        }
    }
    let Some(plus) = plus else { return Ok(()) };
    on_device(OPERATION, device, plus)?;
    let (wanted, held) = (product([batch, m, n]), plus.len() / ty.wide_bytes());
    if held < wanted {
        return invalid(format!("{wanted} elements to add to"), format!("{held}"));
    }
    Ok(())
}
