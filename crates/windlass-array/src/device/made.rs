//! Elements that a kernel makes of their positions: what [`Generator`] makes on the host, of the
//! same bits. Normal numbers and those of several draws are the host's: a device's logarithms
//! and cosines may differ in the last bit, and random numbers are the same everywhere.

use windlass_device::{Backend, Device};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp as B, ValueId},
};

use super::ops::{Builder, Made};
use crate::{
    expr::generate::Generator,
    random::{Distribution, PHILOX_MULTIPLY, PHILOX_ROUNDS, PHILOX_WEYL, Random},
};

/// How the elements follow from their positions. What differs between arrays of a kind is given
/// at the launch, but for floats, which are constants of the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// `start + position * step`, of 64 bits.
    Integers,
    /// The same in floats, the last of them exactly that, if it is given.
    Floats { start: f64, step: f64, end: Option<f64> },
    /// Whether the column is the row plus a number.
    Eye,
    /// Evenly from `low` on.
    Uniform { low: f64, width: f64 },
    /// Integers of 64 random bits.
    Bits,
    /// Integers evenly from a number on.
    Below,
}

/// Reads the numbers of 64 bits that a kernel is given.
pub(super) type Next<'a> = dyn FnMut(&mut Builder) -> Made + 'a;

impl Rule {
    /// The rule of a generator on a device, and its numbers; none where the host makes them.
    pub(crate) fn of(generator: &Generator, device: &dyn Device) -> Option<(Self, Vec<u64>)> {
        // A shader's compiler may fuse a product with a sum.
        let floats = device.info().features.float64 && device.info().backend != Backend::Wgpu;
        match generator {
            Generator::Fill(_) => None,
            Generator::Integers { start, step } => {
                Some((Self::Integers, vec![*start as u64, *step as u64]))
            }
            Generator::Floats { start, step, end } if floats => {
                let rule = Self::Floats { start: *start, step: *step, end: end.map(|e| e.1) };
                Some((rule, end.iter().map(|e| e.0 as u64).collect()))
            }
            Generator::Eye { columns, diagonal } => {
                Some((Self::Eye, vec![(*columns).max(1) as u64, *diagonal as u64]))
            }
            Generator::Random(Random { seed, kind }) => match kind {
                Distribution::Uniform { low, high } if floats => {
                    Some((Self::Uniform { low: *low, width: high - low }, vec![*seed]))
                }
                Distribution::Integers { count: 0, .. } => Some((Self::Bits, vec![*seed])),
                Distribution::Integers { low, count } => {
                    Some((Self::Below, vec![*seed, *low as u64, *count]))
                }
                _ => None,
            },
            Generator::Floats { .. } => None,
        }
    }

    /// The element at a position, a `U64`.
    ///
    /// # Errors
    /// For a fault of this crate.
    pub(super) fn value(
        self,
        b: &mut Builder,
        position: ValueId,
        next: &mut Next<'_>,
        to: PhysType,
    ) -> Made {
        let made = match self {
            Self::Integers => {
                let (start, step) = (next(b)?, next(b)?);
                let along = b.binary(B::Mul, position, step)?;
                let sum = b.binary(B::Add, start, along)?;
                b.cast(sum, PhysType::I64)?
            }
            Self::Floats { start, step, end } => {
                let start = b.program.constant(Scalar::F64(start));
                let step = b.program.constant(Scalar::F64(step));
                let signed = b.cast(position, PhysType::I64)?;
                let at = b.cast(signed, PhysType::F64)?;
                let along = b.binary(B::Mul, at, step)?;
                let found = b.binary(B::Add, start, along)?;
                match end {
                    None => found,
                    Some(value) => {
                        let (last, value) = (next(b)?, b.program.constant(Scalar::F64(value)));
                        let is_last = b.binary(B::Eq, position, last)?;
                        b.select(is_last, value, found)?
                    }
                }
            }
            Self::Eye => {
                let (columns, diagonal) = (next(b)?, next(b)?);
                let row = b.binary(B::Div, position, columns)?;
                let column = b.binary(B::Rem, position, columns)?;
                let wanted = b.binary(B::Add, row, diagonal)?;
                b.binary(B::Eq, column, wanted)?
            }
            Self::Uniform { low, width } => {
                let bits = bits(b, position, next)?;
                let eleven = b.program.constant(Scalar::UInt(PhysType::U64, 11));
                let high = b.binary(B::Shr, bits, eleven)?;
                let whole = b.cast(high, PhysType::F64)?;
                let unit = b.program.constant(Scalar::F64(1.0 / (1_u64 << 53) as f64));
                let unit = b.binary(B::Mul, whole, unit)?;
                let low = b.program.constant(Scalar::F64(low));
                let width = b.program.constant(Scalar::F64(width));
                let along = b.binary(B::Mul, unit, width)?;
                b.binary(B::Add, low, along)?
            }
            Self::Bits => {
                let bits = bits(b, position, next)?;
                b.cast(bits, PhysType::I64)?
            }
            Self::Below => {
                let bits = bits(b, position, next)?;
                let (low, count) = (next(b)?, next(b)?);
                let high = high_product(b, bits, count)?;
                let sum = b.binary(B::Add, low, high)?;
                b.cast(sum, PhysType::I64)?
            }
        };
        b.cast(made, to)
    }
}

/// A constant of 64 bits.
fn wide(b: &mut Builder, value: u64) -> ValueId {
    b.program.constant(Scalar::UInt(PhysType::U64, value))
}

/// The low and the high half of 64 bits, as 64 bits.
fn halves(b: &mut Builder, x: ValueId) -> Result<(ValueId, ValueId), String> {
    let (mask, half) = (wide(b, u64::from(u32::MAX)), wide(b, 32));
    Ok((b.binary(B::BitAnd, x, mask)?, b.binary(B::Shr, x, half)?))
}

/// The high 64 bits of a product.
fn high_product(b: &mut Builder, x: ValueId, y: ValueId) -> Made {
    let ((x0, x1), (y0, y1)) = (halves(b, x)?, halves(b, y)?);
    let low = b.binary(B::Mul, x0, y0)?;
    let (one, two) = (b.binary(B::Mul, x0, y1)?, b.binary(B::Mul, x1, y0)?);
    let high = b.binary(B::Mul, x1, y1)?;
    let (_, carry) = halves(b, low)?;
    let ((one_low, one_high), (two_low, two_high)) = (halves(b, one)?, halves(b, two)?);
    let middle = b.binary(B::Add, carry, one_low)?;
    let middle = b.binary(B::Add, middle, two_low)?;
    let (_, over) = halves(b, middle)?;
    let sum = b.binary(B::Add, high, one_high)?;
    let sum = b.binary(B::Add, sum, two_high)?;
    b.binary(B::Add, sum, over)
}

/// The random bits of a position: those of its half of a block of Philox.
fn bits(b: &mut Builder, position: ValueId, next: &mut Next<'_>) -> Made {
    let seed = next(b)?;
    let one = wide(b, 1);
    let (block, odd) = (b.binary(B::Shr, position, one)?, b.binary(B::BitAnd, position, one)?);
    let (mut key, counter) = (halves(b, seed)?, halves(b, block)?);
    let zero = wide(b, 0);
    let mut x = [counter.0, counter.1, zero, zero];
    for _ in 0..PHILOX_ROUNDS {
        let [m0, m1] = PHILOX_MULTIPLY.map(|m| wide(b, m));
        let (p0, p1) = (b.binary(B::Mul, x[0], m0)?, b.binary(B::Mul, x[2], m1)?);
        let ((low0, high0), (low1, high1)) = (halves(b, p0)?, halves(b, p1)?);
        let first = b.binary(B::BitXor, high1, x[1])?;
        let third = b.binary(B::BitXor, high0, x[3])?;
        x = [b.binary(B::BitXor, first, key.0)?, low1, b.binary(B::BitXor, third, key.1)?, low0];
        let [w0, w1] = PHILOX_WEYL.map(|w| wide(b, u64::from(w)));
        let (next0, next1) = (b.binary(B::Add, key.0, w0)?, b.binary(B::Add, key.1, w1)?);
        key = (halves(b, next0)?.0, halves(b, next1)?.0);
    }
    let half = wide(b, 32);
    let mut words = Vec::new();
    for pair in [[x[0], x[1]], [x[2], x[3]]] {
        let high = b.binary(B::Shl, pair[1], half)?;
        words.push(b.binary(B::BitOr, high, pair[0])?);
    }
    let second = b.binary(B::Eq, odd, one)?;
    b.select(second, words[1], words[0])
}
