//! Owns the devices of a host and runs work on them: inventory, calibration, placement
//! costs, the task graph scheduler, and events. It knows neither columns nor plans.
//!
//! | module | holds |
//! |---|---|
//! | [`inventory`] | [`Inventory`]: the devices of a spec, opened when first needed |
//! | [`calibration`] | [`Calibration`]: measured rates of a device, cached per user |
//! | [`cost`] | [`Work`] and its [`Cost`] on a calibrated device or on the CPU |
//! | [`exchange`] | buffers from one device to another |
//! | [`events`] | [`Events`]: one bounded stream of what happens, for progress and traces |
//! | [`trace`] | events as a file for ui.perfetto.dev |
//! | [`graph`] | [`graph::Graph`]: tasks, their inputs and what they need |
//! | [`group`] | [`DeviceGroup`]: devices that share the batches of an operator |
//! | [`schedule`] | what is ready, where it runs, what memory it may take |
//! | [`execute`] | [`execute::Executor`]: runs graphs on threads, or on the caller's alone |
//! | [`processes`] | the same with worker processes: a crash ends a try, not the job |
//! | [`mod@bench`] | what the scheduler takes for tasks that do nothing |
//! | [`delayed`] | functions whose calls are tasks |
//! | [`futures`] | tasks that are begun at once, and waited for later |
//! | [`bag`] | lists of any values in partitions, text files among them |
//! | [`topology`] | where a device is on its host |
//! | `sync` | the locks and threads of the executor |
//! | [`scratch`] | folders for what does not fit in memory |
//! | [`simulate`] | the same scheduler under virtual time, with simulated devices and faults |

pub mod bag;
pub mod bench;
pub mod calibration;
pub mod cost;
pub mod delayed;
pub mod events;
pub mod exchange;
pub mod execute;
pub mod futures;
pub mod graph;
pub mod group;
pub mod inventory;
pub mod processes;
pub mod schedule;
pub mod scratch;
pub mod simulate;
mod sync;
pub mod topology;
pub mod trace;
mod whole_file;

pub use calibration::{Calibration, CalibrationStore};
pub use cost::{Cost, Work};
pub use events::{Event, EventKind, Events, Subscriber};
pub use group::{DeviceGroup, Pace};
pub use inventory::Inventory;
