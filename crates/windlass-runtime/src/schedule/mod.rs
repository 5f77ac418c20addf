//! The scheduler: a state machine that knows what is ready, where it runs best, and what
//! memory it may take. It has no threads and no clock: those who run tasks tell it the time
//! and what became of each task, so that threads, one thread and a simulation with virtual
//! time are driven by the same code.
//!
//! ```text
//!             submit                 next(device)              finish
//!   Graph ───────────▶ sources ──┐
//!                                ├──▶ admitted by bytes ──▶ running ──▶ result kept
//!            inputs    queues  ──┘                             │          │ last consumer done
//!            are there                                         │ failed   ▼
//!               ▲                                              ▼        freed
//!               └───────────────────────────────────────── tried again
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`device`] | [`DeviceProfile`]: what the scheduler knows of a device |
//! | [`policy`] | [`Placement`]: where a ready task goes; four policies and a random one |
//! | `job` | the state of one graph's tasks |
//! | `queue` | ready tasks, in the order of priority and rank |
//! | `core` | the state machine: jobs that come, tasks that begin |
//! | `finish`, `lost` | what becomes of tasks, and of what lost devices had |
//! | `estimate` | how long tasks take |
//! | `memory` | admission by bytes, and what goes to disk |
//! | [`error`] | [`RunError`] |
//! | [`death`] | [`WorkerDeath`]: of worker processes |

pub(crate) mod core;
pub mod death;
pub mod device;
pub mod error;
mod estimate;
mod finish;
pub(crate) mod job;
mod lost;
mod memory;
pub mod policy;
mod queue;
#[cfg(test)]
mod tests;

pub use death::{Ending, WorkerDeath};
pub use device::{DeviceCounts, DeviceProfile};
pub use error::{Cause, RunError, TaskFailure};
pub use policy::{
    Choice, CostBased, LocalityFirst, Pinned, Placement, Random, RoundRobin, TaskView, View,
};
