//! The twin of `kernels/tile/matmul.cu`: floats by the library
//! `matrixmultiply`, integers by loops over rows.

use std::{
    borrow::Cow,
    num::Wrapping,
    ops::{AddAssign, Mul},
};

use bytemuck::Pod;
use matrixmultiply::{dgemm, sgemm};
use windlass_device::{Device, DeviceBuffer, Reservation};

use crate::{
    cpu::{memory::adopt, tasks},
    error::Result,
    tile::{Lengths, Matrix, Strided},
    types::PhysType,
};

/// Rows of the product that a core makes at least: each share of rows brings the right matrix
/// into the library's order anew, which takes a part of 64 of the multiplications' time or less.
const SHARE: usize = 64;

/// Multiplies matrices that were checked.
///
/// # Errors
/// `OutOfMemory`; the device's errors.
pub(crate) fn matmul(
    device: &dyn Device,
    reservation: &mut Reservation,
    ty: PhysType,
    lengths: Lengths,
    operands: [&Matrix<'_>; 2],
    plus: Option<&DeviceBuffer>,
) -> Result<DeviceBuffer> {
    let plus = plus.and_then(DeviceBuffer::host_bytes);
    macro_rules! run {
        ($t:ty, $f:expr) => {{
            let [a, b] = operands.map(|m| elements::<$t>(m.values.host_bytes().unwrap_or(&[])));
            let mut out: Vec<$t> = match plus {
                Some(plus) => elements(plus)[..lengths.results()].to_vec(),
                None => vec![<$t as bytemuck::Zeroable>::zeroed(); lengths.results()],
            };
            if lengths.k > 0 && !out.is_empty() {
                let [a, b] = [(&*a, &operands[0].layout), (&*b, &operands[1].layout)];
                $f(lengths, Operand::new(a), Operand::new(b), &mut out);
            }
            adopt(device, reservation, out)
        }};
    }
    match ty {
        PhysType::F32 => run!(f32, |l, a, b, out| floats(sgemm, l, a, b, out)),
        PhysType::F64 => run!(f64, |l, a, b, out| floats(dgemm, l, a, b, out)),
        PhysType::I32 | PhysType::U32 => run!(Wrapping<u32>, integers),
        _ => run!(Wrapping<u64>, integers),
    }
}

/// The elements of a buffer, copied where they are not aligned.
fn elements<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    let bytes = &bytes[..bytes.len() / size_of::<T>() * size_of::<T>()];
    match bytemuck::try_cast_slice(bytes) {
        Ok(elements) => Cow::Borrowed(elements),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

/// An operand with its first element and the steps from matrix to matrix, row to row and column
/// to column.
#[derive(Clone, Copy)]
struct Operand<'a, T> {
    elements: &'a [T],
    first: isize,
    batch: isize,
    row: isize,
    column: isize,
}

impl<'a, T: Copy> Operand<'a, T> {
    fn new((elements, layout): (&'a [T], &Strided)) -> Self {
        let [batch, row, column] = layout.strides[..] else { unreachable!("three steps") };
        Self { elements, first: layout.offset as isize, batch, row, column }
    }

    /// The matrix of a number in the batch.
    fn matrix(self, at: usize) -> Self {
        Self { first: self.first + at as isize * self.batch, ..self }
    }

    fn at(&self, row: usize, column: usize) -> T {
        let at = self.first + row as isize * self.row + column as isize * self.column;
        self.elements[at as usize]
    }

    /// A pointer to the first element of a row.
    fn pointer(&self, row: usize) -> *const T {
        self.elements[(self.first + row as isize * self.row) as usize..].as_ptr()
    }
}

/// The library's function of a type.
type Gemm<T> = unsafe fn(
    usize,
    usize,
    usize,
    T,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    *mut T,
    isize,
    isize,
);

fn floats<T: Pod + From<u8> + Send + Sync>(
    gemm: Gemm<T>,
    lengths: Lengths,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    out: &mut [T],
) {
    let Lengths { batch, m, n, k } = lengths;
    let cores = rayon::current_num_threads();
    let share = m.div_ceil(cores.div_ceil(batch)).next_multiple_of(SHARE).min(m);
    let shares = m.div_ceil(share);
    let matrices = out.chunks_exact_mut(m * n).flat_map(|out| out.chunks_mut(share * n));
    tasks::each_of(matrices, |at, out| {
        let (a, b) = (a.matrix(at / shares), b.matrix(at / shares));
        let (first, rows) = (at % shares * share, out.len() / n);
        let (left, right) = (a.pointer(first), b.pointer(0));
        let to = out.as_mut_ptr();
        // SAFETY: `out` has these rows of n elements, dense, and is borrowed for writing alone.
        // Every element of these rows of the left matrix and of the whole right one, at these
        // steps from the first one, lies in its slice: the operation has checked the ends of
        // both layouts against their buffers.
        unsafe {
            let (one, n_step) = (T::from(1), n as isize);
            gemm(
                rows, k, n, one, left, a.row, a.column, right, b.row, b.column, one, to, n_step, 1,
            );
        }
    });
}

/// Rows of the right matrix, and elements of each, that are gone through for all rows of the left
/// one before the next: 256 KiB of 8 bytes each, which second-level caches hold (a stated guess).
const ROWS: usize = 64;
const COLUMNS: usize = 512;

fn integers<T: Pod + Send + Sync + Mul<Output = T> + AddAssign>(
    lengths: Lengths,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    out: &mut [T],
) {
    let Lengths { m, n, k, .. } = lengths;
    for (at, out) in out.chunks_exact_mut(m * n).enumerate() {
        let (a, b) = (a.matrix(at), b.matrix(at));
        // The right matrix with dense rows.
        let right: Vec<T> =
            (0..k).flat_map(|l| (0..n).map(move |j| (l, j))).map(|(l, j)| b.at(l, j)).collect();
        tasks::each_of(out.chunks_mut(SHARE * n), |share, out| {
            for rows in (0..k).step_by(ROWS) {
                for columns in (0..n).step_by(COLUMNS) {
                    let end = (columns + COLUMNS).min(n);
                    for (i, out) in out.chunks_exact_mut(n).enumerate() {
                        let out = &mut out[columns..end];
                        for l in rows..(rows + ROWS).min(k) {
                            let x = a.at(share * SHARE + i, l);
                            let right = &right[l * n + columns..l * n + end];
                            out.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * *y);
                        }
                    }
                }
            }
        });
    }
}
