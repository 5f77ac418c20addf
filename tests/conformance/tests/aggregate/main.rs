//! Conformance of group-bys and reductions: one suite for every backend, against a
//! row-by-row reference on the host.

use std::sync::Arc;

use conformance::Target;
use proptest::{prelude::ProptestConfig as Config, proptest};
use windlass_device::{Device, DeviceOptions, fault::FaultPlan, open_device};

mod column;
mod kept;
mod key_hash;
mod memory;
mod picks;
mod random;
mod reference;
mod run;
mod sorted;
mod suite;
mod values;

use key_hash::{full_tables, key_hashes};

/// Group counts around the sizes of the local tables and one far beyond.
const COUNTS: [usize; 13] = [1, 2, 31, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 100_000];

/// Opens a device with options of its own.
fn open(name: &str, options: DeviceOptions) -> Arc<dyn Device> {
    let name = name.parse().unwrap_or_else(|e| panic!("{e}"));
    open_device(&name, &options).unwrap_or_else(|e| panic!("{e}"))
}

conformance::everywhere!(
    key_types,
    many_keys,
    no_keys,
    group_counts,
    skewed,
    accumulators,
    alike,
    strides,
    bits_and_pairs,
    kept_values,
    picks,
    floats,
    filters,
    memory_caps,
    sorted_calls,
    sorted_keys,
    sorted_runs,
    random_queries,
);
conformance::everywhere!(mod large: emulated, wgpu, real: a_million_groups);
conformance::everywhere!(mod tables: emulated, wgpu, wgpu_narrow, real: key_hashes, full_tables);
// Instrumented kernels are slow to compile and to run, so these are a part of the suite.
conformance::everywhere!(mod checked: emulated_checked: part_of_all, skewed, floats);
conformance::everywhere!(mod layouts: emulated, wgpu, wgpu_narrow, real: wide_inputs);

fn key_types(target: Target) {
    suite::key_types(&target.open());
}

fn many_keys(target: Target) {
    suite::many_keys(&target.open());
}

fn no_keys(target: Target) {
    suite::no_keys(&target.open());
}

/// The largest count on one backend of each kind only: it takes seconds.
fn group_counts(target: Target) {
    let small = match target {
        Target::WgpuNarrow | Target::EmulatedSeeded | Target::EmulatedReversed => 12,
        _ => COUNTS.len(),
    };
    suite::group_counts(&target.open(), &COUNTS[..small]);
}

fn skewed(target: Target) {
    suite::skewed(&target.open());
}

fn accumulators(target: Target) {
    suite::accumulators(&target.open(), &[0, 1, 40, 1200]);
}

fn alike(target: Target) {
    values::alike(&target.open());
}

/// The accumulators and their kinds of tables.
fn part_of_all(target: Target) {
    let device = target.open();
    suite::accumulators(&device, &[40]);
    kept::kept_values(&device, &[40]);
    suite::group_counts(&device, &[1, 129, 1025]);
    sorted::lengths(&device);
}

fn strides(target: Target) {
    suite::strides(&target.open());
}

fn bits_and_pairs(target: Target) {
    suite::bits_and_pairs(&target.open());
}

fn kept_values(target: Target) {
    kept::kept_values(&target.open(), &[0, 1, 40, 900]);
}

fn picks(target: Target) {
    picks::of_types(&target.open());
    picks::of_orders(&target.open());
    picks::over_batches(&target.open());
}

fn floats(target: Target) {
    values::floats(&target.open());
}

fn filters(target: Target) {
    suite::filters(&target.open());
}

fn memory_caps(target: Target) {
    memory::memory_caps(&target.open(), false);
    memory::memory_caps(&target.open(), true);
}

fn sorted_keys(target: Target) {
    sorted::keys(&target.open());
}

fn sorted_runs(target: Target) {
    sorted::lengths(&target.open());
}

fn sorted_calls(target: Target) {
    sorted::calls(&target.open());
}

/// A new query is a new generated kernel, which takes the emulator's compiler and lavapipe
/// some tenths of a second.
fn random_queries(target: Target) {
    let cases = match target {
        Target::Cpu => 256,
        Target::Real => 64,
        Target::EmulatedSeeded | Target::EmulatedReversed => 4,
        _ => 8,
    };
    let device = target.open();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    proptest!(config, |(seed: u64)| suite::random_query(&device, seed));
}

fn a_million_groups(target: Target) {
    suite::a_million_groups(&target.open());
}

fn wide_inputs(target: Target) {
    suite::wide_inputs(&target.open());
}

#[test]
fn many_kept_values_on_the_host() {
    kept::many_kept_values(&Target::Cpu.open());
}

#[test]
fn float_sums_need_64_bit_floats() {
    memory::refusals(&Target::WgpuNarrow.open());
}

/// Injects a fault at the n-th call for growing n, until none is reached any more.
fn faults(device: &str, steps: impl Iterator<Item = u64>, plan: fn(u64) -> FaultPlan) {
    let steps: Vec<u64> = steps.collect();
    for sorted in [false, true] {
        faults_in(device, &steps, plan, sorted);
    }
}

fn faults_in(device: &str, steps: &[u64], plan: fn(u64) -> FaultPlan, sorted: bool) {
    let mut failed = 0;
    for n in steps.iter().copied() {
        let device = open(device, DeviceOptions { faults: plan(n), ..DeviceOptions::default() });
        if memory::fault(&device, sorted, &format!("{:?}", plan(n))) {
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
