//! Functions of up to six arguments as tasks.

use std::{any::Any, sync::Arc};

use super::{Delayed, node::Node};
use crate::graph::{BoxError, TaskContext};

/// A function of up to six arguments, taken by reference. `A` is the tuple of their types.
pub trait TaskFn<A, R>: Send + Sync + 'static {
    /// Calls it with a task's inputs.
    ///
    /// # Errors
    /// If an input is of another type.
    fn call(&self, context: &TaskContext<'_>) -> Result<R, BoxError>;
}

/// As [`TaskFn`], of a function that may fail.
pub trait TryTaskFn<A, R>: Send + Sync + 'static {
    /// Calls it with a task's inputs.
    ///
    /// # Errors
    /// The function's, or if an input is of another type.
    fn try_call(&self, context: &TaskContext<'_>) -> Result<R, BoxError>;
}

/// What a call takes: a tuple of as many as the function has arguments, each the result of
/// another call, by value or reference, or a value.
pub trait Arguments<A> {
    /// The tasks that give them.
    fn nodes(self) -> Vec<Arc<Node>>;
}

macro_rules! arities {
    ($(($($t:ident $v:ident $i:tt),*)),+) => {$(
        impl<Func, R, $($t: Any + Send + Sync),*> TaskFn<($($t,)*), R> for Func
        where
            Func: Fn($(&$t),*) -> R + Send + Sync + 'static,
        {
            fn call(&self, _context: &TaskContext<'_>) -> Result<R, BoxError> {
                Ok(self($(_context.input::<$t>($i)?),*))
            }
        }

        impl<Func, R, Err, $($t: Any + Send + Sync),*> TryTaskFn<($($t,)*), R> for Func
        where
            Func: Fn($(&$t),*) -> Result<R, Err> + Send + Sync + 'static,
            Err: Into<BoxError>,
        {
            fn try_call(&self, _context: &TaskContext<'_>) -> Result<R, BoxError> {
                self($(_context.input::<$t>($i)?),*).map_err(Into::into)
            }
        }

        impl<$($t, $v),*> Arguments<($($t,)*)> for ($($v,)*)
        where
            $($v: Into<Delayed<$t>>),*
        {
            fn nodes(self) -> Vec<Arc<Node>> {
                vec![$(self.$i.into().node),*]
            }
        }
    )+};
}

arities!(
    (),
    (A0 V0 0),
    (A0 V0 0, A1 V1 1),
    (A0 V0 0, A1 V1 1, A2 V2 2),
    (A0 V0 0, A1 V1 1, A2 V2 2, A3 V3 3),
    (A0 V0 0, A1 V1 1, A2 V2 2, A3 V3 3, A4 V4 4),
    (A0 V0 0, A1 V1 1, A2 V2 2, A3 V3 3, A4 V4 4, A5 V5 5)
);
