//! The executor of `windlass-runtime`, compiled with locks and threads whose order a scheduler
//! draws: see `tests/orders.rs`. Only what the executor needs is here, and without the tests
//! and documentation beside it, which are the runtime's.
#![cfg(not(any(test, doc, doctest)))]
#![allow(dead_code, unused_imports, missing_docs, reason = "much of it serves the runtime alone")]
#![allow(unreachable_pub, reason = "what is public there is not public here")]

#[path = "../../../crates/windlass-runtime/src/delayed/mod.rs"]
pub mod delayed;
#[path = "../../../crates/windlass-runtime/src/events.rs"]
pub mod events;
#[path = "../../../crates/windlass-runtime/src/execute/mod.rs"]
pub mod execute;
#[path = "../../../crates/windlass-runtime/src/futures/mod.rs"]
pub mod futures;
#[path = "../../../crates/windlass-runtime/src/graph/mod.rs"]
pub mod graph;
pub mod inventory;
#[path = "../../../crates/windlass-runtime/src/processes/mod.rs"]
pub mod processes;
#[path = "../../../crates/windlass-runtime/src/schedule/mod.rs"]
pub mod schedule;
#[path = "../../../crates/windlass-runtime/src/scratch.rs"]
pub mod scratch;
mod sync;
