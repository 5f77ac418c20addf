//! Conformance of hash group-by and reductions: one suite for every backend, against a
//! row-by-row reference on the host.

use std::sync::Arc;

use conformance::open;
use windlass_device::{Device, DeviceOptions, fault::FaultPlan};

mod reference;
mod run;
mod suite;

/// Group counts around the sizes of the local tables and one far beyond.
const COUNTS: [usize; 13] = [1, 2, 31, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 100_000];

fn no_change(_: &mut DeviceOptions) {}

/// The emulator with threads of a block in a random order.
fn seeded(options: &mut DeviceOptions) {
    options.emulator.seed = Some(20_13);
    options.emulator.sanitize = true;
}

/// The emulator with the blocks of a grid from the last to the first, one at a time.
fn reversed(options: &mut DeviceOptions) {
    options.emulator.reverse_blocks = true;
}

macro_rules! suite {
    ($($module:ident: $device:literal, $adjust:expr, $counts:expr;)*) => {$(
        mod $module {
            use super::*;

            fn device() -> Arc<dyn Device> {
                open($device, $adjust)
            }

            #[test]
            fn key_types() {
                suite::key_types(&device());
            }

            #[test]
            fn many_keys() {
                suite::many_keys(&device());
            }

            #[test]
            fn no_keys() {
                suite::no_keys(&device());
            }

            #[test]
            fn group_counts() {
                suite::group_counts(&device(), &$counts);
            }

            #[test]
            fn skewed() {
                suite::skewed(&device());
            }

            #[test]
            fn accumulators() {
                suite::accumulators(&device());
            }

            #[test]
            fn floats() {
                suite::floats(&device());
            }

            #[test]
            fn filters() {
                suite::filters(&device());
            }

            #[test]
            fn memory_caps() {
                suite::memory_caps(&device());
            }
        }
    )*};
}

suite! {
    cpu: "cpu", no_change, COUNTS;
    wgpu: "wgpu:0", no_change, COUNTS;
    emulated: "cuda-emulated:0", no_change, COUNTS;
    emulated_seeded: "cuda-emulated:0", seeded, COUNTS[..12];
    emulated_reversed: "cuda-emulated:0", reversed, COUNTS[..12];
}

#[test]
fn a_million_groups_on_wgpu() {
    suite::a_million_groups(&open("wgpu:0", no_change));
}

#[test]
fn a_million_groups_on_emulated() {
    suite::a_million_groups(&open("cuda-emulated:0", no_change));
}

/// Injects a fault at the n-th call for growing n, until none is reached any more.
fn faults(device: &str, steps: impl Iterator<Item = u64>, plan: fn(u64) -> FaultPlan) {
    let mut failed = 0;
    for n in steps {
        let device = open(device, |o| o.faults = plan(n));
        if suite::fault(&device, &format!("{:?}", plan(n))) {
            assert!(failed > 0, "no fault was injected");
            return;
        }
        failed += 1;
    }
    assert!(failed > 0);
}

const PLANS: [fn(u64) -> FaultPlan; 4] = [
    |n| FaultPlan { alloc: n, ..FaultPlan::default() },
    |n| FaultPlan { launch: n, ..FaultPlan::default() },
    |n| FaultPlan { transfer: n, ..FaultPlan::default() },
    |n| FaultPlan { lost: n, ..FaultPlan::default() },
];

#[test]
fn faults_on_emulated() {
    PLANS.iter().for_each(|p| faults("cuda-emulated:0", 1..300, *p));
}

#[test]
fn faults_on_wgpu() {
    // A new device compiles every kernel again, so only some of the calls are tried.
    PLANS.iter().for_each(|p| faults("wgpu:0", [1, 4, 9, 17, 30].into_iter(), *p));
}
