//! Hash group-by and reductions over the values of a program: filter, keys and arguments
//! are evaluated by one generated kernel, so a chain of filter, projection and aggregation
//! reads each input column once.
//!
//! On `cpu` the twin in [`crate::cpu::aggregate`] runs. On GPUs the kernels of
//! `kernels/aggregate` (CUDA) and `shaders/aggregate` (WGSL) do the rest, driven by one host
//! function for both languages:
//!
//! | module | holds |
//! |---|---|
//! | `plan` | lowering: the pipeline, and the layout of packed keys and states |
//! | `gpu` | the driver: evaluate, find groups, accumulate, chunk by chunk |
//! | `batch` | evaluated columns, and the rows of a chunk with their groups |
//! | `memory` | the device's memory and kernels, for all of these |
//! | `table` | the group table: packed keys, hash table, group keys |
//! | `runs` | the groups of sorted rows, without a hash table |
//! | `state` | the accumulators' states and launches |
//! | `kept` | states that keep values: quantiles and distinct counts |
//! | `order` | the order in which one row of a group is picked |
//! | `pick` | states that keep one row's argument |
//! | `result` | Arrow arrays from the words that the kernels leave |
//! | `sources` | the kernels' texts |
//!
//! # Determinism
//! The order of the groups is not defined and varies from run to run, but for sorted input, whose
//! groups come in its order. Counts, integer sums,
//! minima and maxima do not depend on the order in which rows are added. Sums of floats
//! and `Moments` do: they differ between runs, devices and partitions by the rounding of
//! reassociated additions. `Moments` are computed by shifted data (Chan, Golub, LeVeque
//! 1983) with a group's first argument as its shift, so their rounding error grows with the
//! distance of that argument from the mean, in units of the standard deviation; the same
//! holds for `CoMoments`. Bits, distinct counts and quantiles depend on no order; `Pick` on
//! that of the batches and their rows, where rows are equal in its own.

use std::sync::Arc;

use arrow::array::ArrayRef;
use windlass_device::{Backend, Device, Queue};

use crate::{
    column::{DeviceBatch, DeviceColumn},
    cpu,
    error::Result,
    ir::{Program, ValueId},
    types::PhysType,
};

mod batch;
mod gpu;
mod kept;
mod memory;
mod order;
mod pick;
mod plan;
mod result;
mod runs;
mod sources;
mod state;
mod table;

pub use order::{MAX_ORDER_KEYS, Order, OrderKey};
pub use sources::sources;

/// Where a quantile lies, as a share of the values: 0 is the smallest, 1 the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share(u64);

impl Share {
    /// The median's.
    pub const HALF: Self = Self(0.5f64.to_bits());

    /// `None` for what is not between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        // Adding zero makes -0.0 equal to 0.0.
        (0.0..=1.0).contains(&share).then(|| Self((share + 0.0).to_bits()))
    }

    /// The share.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The places, in ascending order of `n > 0` values, around `share * (n - 1)`.
    pub fn places(self, n: usize) -> (usize, usize) {
        let place = self.get() * (n - 1) as f64;
        // Rounding up in a product near n cannot pass the last value.
        ((place.floor() as usize).min(n - 1), (place.ceil() as usize).min(n - 1))
    }
}

/// An operation on the bits of integers; the values are those of `bits.cu` and `bits.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitOp {
    /// 1 where all values have 1.
    And = 0,
    /// 1 where some value has 1.
    Or = 1,
    /// 1 where an odd number of values has 1.
    Xor = 2,
}

/// What is accumulated for a group. Null arguments are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accumulator {
    /// Number of rows (no argument). State: `[count: Int64]`, never null.
    CountRows,
    /// Number of non-null arguments of any type. State: `[count: Int64]`, never null.
    Count,
    /// Sum. Arguments `I64`, `U64` (wrapping), `I128` (wrapping), `F64`; `F32` is summed in
    /// `F64`. State: `[sum, in the argument's type (F32 gives F64)]`, null in a group with
    /// no argument. An `I64` argument with `wide` set (decimals) is summed in `I128`.
    Sum {
        /// Sums `I64` in `I128`.
        wide: bool,
    },
    /// Smallest argument of any type; floats in totalOrder. State: `[min]`, null in a group
    /// with no argument.
    Min,
    /// Largest argument. State: `[max]`.
    Max,
    /// Count, mean and sum of squared deviations of an `F64`. State: `[count: Int64, mean:
    /// Float64, m2: Float64]`; 0, 0, 0 in a group with no argument.
    Moments,
    /// Moments of pairs: the argument, an `F64`, and `other`, an `F64` too; pairs with a null
    /// are skipped. State: `[count: Int64, mean: Float64, m2: Float64, mean of other:
    /// Float64, m2 of other: Float64, co: Float64]`, `co` the sum of products of both
    /// deviations; zeros in a group with no pair.
    CoMoments {
        /// The second argument.
        other: ValueId,
    },
    /// Bits of integers of up to 64 bits. State: `[bits]` in the argument's type, null in a
    /// group with no argument.
    Bits(BitOp),
    /// Number of different arguments of any type; floats by their bits. State: `[count:
    /// Int64]`, never null. The values are kept until the end.
    Distinct,
    /// The arguments, of any type and in ascending order (floats in totalOrder), at the two
    /// places around a share of the way. State: `[count: Int64, lower, upper]`, the count of
    /// arguments, and null where it is 0. The values are kept until the end.
    Quantile(Share),
    /// The argument, of any type, of the row that comes first in an order. State: `[value]`,
    /// null where that argument is, and in a group with no row to pick.
    Pick {
        /// Takes the row that comes last instead. Of rows that are equal in the order it is the
        /// last one, in the order of batches and rows; else the first one.
        last: bool,
        /// Passes over rows whose argument is null; they count otherwise.
        ignore_nulls: bool,
        /// The order; with no keys that of batches and rows.
        order: Order,
    },
}

/// One aggregate of a group-by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AggregateCall {
    /// What is accumulated.
    pub accumulator: Accumulator,
    /// Its argument; `None` only for `CountRows`.
    pub argument: Option<ValueId>,
    /// Rows it takes: a `Bool`; false and null skip the row (SQL's FILTER clause).
    pub filter: Option<ValueId>,
}

/// A group-by over the columns of batches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupByPlan {
    /// The expressions. Input `i` of the program is column `i` of a batch.
    pub program: Program,
    /// Rows to aggregate: a `Bool`; `None` takes all.
    pub filter: Option<ValueId>,
    /// The group keys; none makes one group of all rows. Nulls form a group of their own;
    /// floats group by value with NaN equal to NaN and -0.0 equal to 0.0.
    pub keys: Vec<ValueId>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
}

/// The groups, in no particular order unless the input was sorted, as host arrays of equal length. Arrow types: the
/// natural ones of the physical types (`Bool` is Boolean, `I128` is Decimal128(38, 0),
/// `U32` is UInt32).
#[derive(Debug, Clone)]
pub struct GroupByResult {
    /// Number of groups. With no keys it is 1, even over no rows.
    pub groups: usize,
    /// One array for each key.
    pub keys: Vec<ArrayRef>,
    /// The state arrays of each call, as [`Accumulator`] lists them.
    pub states: Vec<Vec<ArrayRef>>,
}

/// A group-by in progress on one device.
///
/// After an error of `update` the state is undefined and the value is to be dropped.
pub trait GroupBy: Send {
    /// Aggregates one batch. `tables` as for `FilterProject::run`.
    ///
    /// # Errors
    /// As `FilterProject::run`.
    fn update(
        &mut self,
        queue: &mut dyn Queue,
        batch: &DeviceBatch,
        tables: &[DeviceColumn],
    ) -> Result<()>;

    /// Number of groups so far.
    fn groups(&self) -> usize;

    /// Bytes of device memory that the state holds.
    fn state_bytes(&self) -> usize;

    /// Takes out the groups that no further row belongs to, in order, where there are some: of
    /// sorted input ([`GroupByPlan::start_sorted`]) all but the last, so that memory need not
    /// grow with the groups of all batches. `None` for other input, for one group alone, and on
    /// GPUs while a call keeps values until the end (`Distinct` and `Quantile`).
    ///
    /// # Errors
    /// The device's errors, `OutOfMemory` among them.
    fn take_complete(&mut self, queue: &mut dyn Queue) -> Result<Option<GroupByResult>>;

    /// Reads the groups back.
    ///
    /// # Errors
    /// The device's errors.
    fn finish(self: Box<Self>, queue: &mut dyn Queue) -> Result<GroupByResult>;
}

impl Accumulator {
    /// The second argument.
    pub fn other(self) -> Option<ValueId> {
        match self {
            Self::CoMoments { other } => Some(other),
            _ => None,
        }
    }

    /// The order in which a row is picked; no keys for what picks none.
    pub fn order(self) -> Order {
        match self {
            Self::Pick { order, .. } => order,
            _ => Order::default(),
        }
    }

    /// The types of the state arrays for an argument type.
    pub fn state_types(self, argument: Option<PhysType>) -> Vec<PhysType> {
        let arg = argument.unwrap_or(PhysType::I64);
        match self {
            Self::CountRows | Self::Count | Self::Distinct => vec![PhysType::I64],
            Self::Sum { wide: true } => vec![PhysType::I128],
            Self::Sum { wide: false } if arg == PhysType::F32 => vec![PhysType::F64],
            Self::Sum { wide: false } | Self::Min | Self::Max | Self::Bits(_) => vec![arg],
            Self::Pick { .. } => vec![arg],
            Self::Moments => vec![PhysType::I64, PhysType::F64, PhysType::F64],
            Self::CoMoments { .. } => {
                let mut types = vec![PhysType::F64; 6];
                types[0] = PhysType::I64;
                types
            }
            Self::Quantile(_) => vec![PhysType::I64, arg, arg],
        }
    }
}

impl GroupByPlan {
    /// Whether `device` can run it, from its features and limits alone.
    ///
    /// # Errors
    /// [`crate::KernelError::Unsupported`] with the reason for the user.
    pub fn supported(&self, device: &dyn Device) -> Result<()> {
        match device.info().backend {
            Backend::Cpu => cpu::aggregate::check(self),
            _ => gpu::supported(self, device),
        }
    }

    /// Starts a group-by. `expected_groups` sizes the first table (0: not known); `device`
    /// memory is reserved from its pool as the state grows.
    ///
    /// # Errors
    /// `Unsupported`, `Invalid`, and the device's errors.
    pub fn start(
        &self,
        device: &Arc<dyn Device>,
        expected_groups: usize,
    ) -> Result<Box<dyn GroupBy>> {
        match device.info().backend {
            Backend::Cpu => {
                cpu::aggregate::check(self)?;
                cpu::aggregate::start(self, device, expected_groups)
            }
            _ => gpu::start(self, device, expected_groups, false),
        }
    }

    /// Starts a group-by over rows whose equal keys are neighbours, within a batch and from one
    /// batch to the next, as those of sorted input are: a group is a run of rows, and no table
    /// of groups is kept. Otherwise as [`GroupByPlan::start`], but the groups come in the order
    /// of the rows, and those that are complete can be taken out early
    /// ([`GroupBy::take_complete`]). Equal keys that are not neighbours give several groups.
    ///
    /// # Errors
    /// As [`GroupByPlan::start`].
    pub fn start_sorted(&self, device: &Arc<dyn Device>) -> Result<Box<dyn GroupBy>> {
        match device.info().backend {
            Backend::Cpu => cpu::aggregate::start_sorted(self, device),
            _ => gpu::start(self, device, 0, true),
        }
    }
}
