//! Bad input to every public operation: lengths that differ, a null buffer of the wrong size,
//! buffers of another device, numbers out of range, types that do not fit. Each gives
//! [`KernelError::Invalid`] with the operation, what it takes and what it got; never a panic, and
//! never an access outside a buffer, which the emulator's sanitizers look for.
//!
//! Where a GPU cannot see what is wrong before it runs, the operation says what comes out.
//! `tests/complete.rs` fails for an operation that is not here.
//!
//! | module | holds |
//! |---|---|
//! | `args` | good and bad columns, texts and buffers |
//! | `rows` | scan, compact, reduce, gather, hash, sort, partition, window |
//! | `tables` | pipeline, aggregate, join, dictionary |
//! | `texts` | string |
//! | `tiles` | tile |

use std::sync::Arc;

use conformance::Target;
use windlass_device::{Device, Queue, Reservation};
use windlass_kernels::KernelError;

mod args;
mod rows;
mod tables;
mod texts;
mod tiles;

use rows::{columns_in_order, moved_rows, running_results, single_values};
use tables::{group_bys, joins, pipelines};
use texts::{texts_and_columns, texts_of_wrong_buffers, texts_of_wrong_content};
use tiles::tiles;

conformance::everywhere!(all:
    columns_in_order,
    group_bys,
    joins,
    moved_rows,
    pipelines,
    running_results,
    single_values,
    texts_and_columns,
    texts_of_wrong_buffers,
    texts_of_wrong_content,
    tiles,
);

/// A device, and another one whose buffers it does not take.
pub(crate) struct Bad {
    pub(crate) device: Arc<dyn Device>,
    pub(crate) queue: Box<dyn Queue>,
    pub(crate) reservation: Reservation,
    pub(crate) other: Arc<dyn Device>,
    /// Whether what buffers hold is looked at before it is used.
    pub(crate) cpu: bool,
}

impl Bad {
    pub(crate) fn new(target: Target) -> Self {
        let device = target.open();
        let queue = device.queue().unwrap();
        let reservation = device.pool().reserve(0).unwrap();
        let cpu = target == Target::Cpu;
        let other = if cpu { Target::Emulated } else { Target::Cpu }.open();
        Self { device, queue, reservation, other, cpu }
    }

    /// What most operations take first.
    pub(crate) fn on(&mut self) -> (&dyn Device, &mut dyn Queue, &mut Reservation) {
        (&*self.device, &mut *self.queue, &mut self.reservation)
    }
}

/// Checks that an operation refused its arguments, and said why.
pub(crate) fn refused<T>(operation: &str, what: &str, result: Result<T, KernelError>) {
    let e = match result.map(|_| ()) {
        Err(e) => e,
        Ok(()) => panic!("{operation} takes {what}"),
    };
    let KernelError::Invalid { operation: named, expected, got } = &e else {
        panic!("{operation} of {what}: {e:?}")
    };
    assert!(!named.is_empty() && !expected.is_empty() && !got.is_empty());
    assert_ne!(expected, got, "{operation} of {what}");
    let text = e.to_string();
    assert!(text.contains("expected") && text.contains("got"), "{text}");
}

/// Calls an operation with device, queue, memory and these arguments; it refuses them.
macro_rules! refuse {
    ($bad:expr, $what:expr, $($path:ident)::+($($arg:expr),* $(,)?)) => {{
        let (device, queue, reservation) = $bad.on();
        let result = $($path)::+(device, queue, reservation, $($arg),*);
        $crate::refused(stringify!($($path)::+), $what, result);
    }};
}
pub(crate) use refuse;

/// Calls an operation with device, queue, memory and these arguments; on a GPU it takes them, and
/// touches nothing outside its buffers.
macro_rules! refuse_on_cpu {
    ($bad:expr, $what:expr, $($path:ident)::+($($arg:expr),* $(,)?)) => {{
        let cpu = $bad.cpu;
        let (device, queue, reservation) = $bad.on();
        let result = $($path)::+(device, queue, reservation, $($arg),*);
        if cpu {
            $crate::refused(stringify!($($path)::+), $what, result);
        } else {
            let name = stringify!($($path)::+);
            result.map(|_| ()).unwrap_or_else(|e| panic!("{name} of {}: {e}", $what));
        }
    }};
}
pub(crate) use refuse_on_cpu;
