//! Conformance of hash group-by and reductions: one suite for every backend, against a
//! row-by-row reference on the host.

use std::sync::Arc;

use conformance::Target;
use proptest::{prelude::ProptestConfig as Config, proptest};
use windlass_device::{
    Device, DeviceOptions, emulated::EmulatorOptions, fault::FaultPlan, open_device,
};

mod column;
mod random;
mod reference;
mod run;
mod suite;

/// Group counts around the sizes of the local tables and one far beyond.
const COUNTS: [usize; 13] = [1, 2, 31, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 100_000];

/// Opens a device with options of its own.
fn open(name: &str, options: DeviceOptions) -> Arc<dyn Device> {
    let name = name.parse().unwrap_or_else(|e| panic!("{e}"));
    open_device(&name, &options).unwrap_or_else(|e| panic!("{e}"))
}

/// The emulator with threads in a random order, every access and operation checked.
fn emulated_checked() -> Arc<dyn Device> {
    let emulator = EmulatorOptions { seed: Some(2013), sanitize: true, ..Default::default() };
    open("cuda-emulated:0", DeviceOptions { emulator, ..DeviceOptions::default() })
}

/// The device that `make test-gpu` names.
fn real_device() -> Arc<dyn Device> {
    let name = std::env::var("WINDLASS_TEST_DEVICE").unwrap_or_else(|_| {
        panic!("WINDLASS_TEST_DEVICE names no device; `make test-gpu` sets it")
    });
    open(&name, DeviceOptions::default())
}

/// The suite for each device, with the group counts to try and the number of random queries.
/// A new query is a new generated kernel, which takes the emulator's compiler and lavapipe
/// some tenths of a second.
macro_rules! suite {
    ($($(#[$ignore:meta])? $module:ident: $device:expr, $counts:expr, $cases:literal;)*) => {$(
        mod $module {
            use super::*;

            fn device() -> Arc<dyn Device> {
                $device
            }

            #[test]
            $(#[$ignore])?
            fn key_types() {
                suite::key_types(&device());
            }

            #[test]
            $(#[$ignore])?
            fn many_keys() {
                suite::many_keys(&device());
            }

            #[test]
            $(#[$ignore])?
            fn no_keys() {
                suite::no_keys(&device());
            }

            #[test]
            $(#[$ignore])?
            fn group_counts() {
                suite::group_counts(&device(), &$counts);
            }

            #[test]
            $(#[$ignore])?
            fn skewed() {
                suite::skewed(&device());
            }

            #[test]
            $(#[$ignore])?
            fn accumulators() {
                suite::accumulators(&device(), &[0, 1, 40, 1200]);
            }

            #[test]
            $(#[$ignore])?
            fn bits_and_pairs() {
                suite::bits_and_pairs(&device());
            }

            #[test]
            $(#[$ignore])?
            fn kept_values() {
                suite::kept_values(&device(), &[0, 1, 40, 900]);
            }

            #[test]
            $(#[$ignore])?
            fn floats() {
                suite::floats(&device());
            }

            #[test]
            $(#[$ignore])?
            fn filters() {
                suite::filters(&device());
            }

            #[test]
            $(#[$ignore])?
            fn memory_caps() {
                suite::memory_caps(&device());
            }

            #[test]
            $(#[$ignore])?
            fn random_queries() {
                let device = device();
                let config = Config { cases: $cases, failure_persistence: None, ..Config::default() };
                proptest!(config, |(seed: u64)| suite::random_query(&device, seed));
            }
        }
    )*};
}

suite! {
    cpu: Target::Cpu.open(), COUNTS, 256;
    wgpu: Target::Wgpu.open(), COUNTS, 8;
    wgpu_narrow: Target::WgpuNarrow.open(), COUNTS[..12], 8;
    emulated: Target::Emulated.open(), COUNTS, 8;
    emulated_seeded: Target::EmulatedSeeded.open(), COUNTS[..12], 4;
    emulated_reversed: Target::EmulatedReversed.open(), COUNTS[..12], 4;
    #[ignore = "needs a real GPU, named by WINDLASS_TEST_DEVICE"]
    real: real_device(), COUNTS, 64;
}

/// Instrumented kernels are slow to compile and to run, so this is a part of the suite.
#[test]
fn checked_emulator() {
    let device = emulated_checked();
    suite::accumulators(&device, &[40]);
    suite::kept_values(&device, &[40]);
    suite::skewed(&device);
    suite::group_counts(&device, &[1, 129, 1025]);
}

#[test]
fn wide_inputs_on_wgpu() {
    suite::wide_inputs(&Target::Wgpu.open());
    suite::wide_inputs(&Target::WgpuNarrow.open());
}

#[test]
fn wide_inputs_on_emulated() {
    suite::wide_inputs(&Target::Emulated.open());
}

#[test]
fn many_kept_values_on_the_host() {
    suite::many_kept_values(&Target::Cpu.open());
}

#[test]
fn a_million_groups_on_wgpu() {
    suite::a_million_groups(&Target::Wgpu.open());
}

#[test]
fn a_million_groups_on_emulated() {
    suite::a_million_groups(&Target::Emulated.open());
}

#[test]
fn float_sums_need_64_bit_floats() {
    suite::refusals(&Target::WgpuNarrow.open());
}

/// Injects a fault at the n-th call for growing n, until none is reached any more.
fn faults(device: &str, steps: impl Iterator<Item = u64>, plan: fn(u64) -> FaultPlan) {
    let mut failed = 0;
    for n in steps {
        let device = open(device, DeviceOptions { faults: plan(n), ..DeviceOptions::default() });
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
