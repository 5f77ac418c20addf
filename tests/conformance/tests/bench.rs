//! Every bench's own check of its result, on every kind of device: a bench that measures a wrong
//! result says so, and one that a device cannot run says why.

use conformance::Target;
use windlass_kernels::{
    KernelError,
    bench::{Bench, Bencher, list},
};

/// Runs the benches of some families once. Of the series only steps of few groups and build rows
/// take part: the others take long and differ in nothing else.
fn checked(target: Target, rows: usize, families: &[&str]) {
    let mut bencher = Bencher::new(target.open()).unwrap_or_else(|e| panic!("{e}"));
    let wanted = |b: &Bench| {
        let family = b.name().split('/').next().unwrap_or_default();
        families.contains(&family)
            && b.step().is_none_or(|s| s.at.is_multiple_of(64) && s.at <= 4096)
    };
    let mut ran = 0;
    for bench in list().into_iter().filter(wanted) {
        match bencher.measure(&bench, rows, 1, &|| false) {
            Ok(Some(m)) => {
                assert_eq!(m.wrong, None, "{}", bench.name());
                assert!(m.best().is_some_and(|s| s > 0.0), "{}", bench.name());
                // The host's slices share memory, and of few rows a gather may take none.
                let none = rows < 32 || bench.name().starts_with("gather/slice");
                assert!(none || m.read + m.written > 0, "{} states no bytes", bench.name());
                // References belong to the host.
                assert!(target == Target::Cpu || m.references.is_empty(), "{}", bench.name());
                ran += 1;
            }
            Ok(None) => panic!("{} was not cancelled", bench.name()),
            Err(KernelError::Unsupported { .. }) if target != Target::Cpu => {}
            Err(e) => panic!("{}: {e}", bench.name()),
        }
    }
    assert!(ran > 0, "a bench of {families:?} ran");
}

/// Several pieces of the twins; on GPUs several blocks and tiles.
fn rows(target: Target) -> usize {
    match target {
        Target::Cpu => 70_001,
        _ => 5001,
    }
}

fn rows_in_order(target: Target) {
    checked(target, rows(target), &["sort", "window"]);
}

fn rows_by_hash(target: Target) {
    checked(target, rows(target), &["hash", "partition", "group_by", "join", "cliff"]);
}

fn texts(target: Target) {
    checked(target, rows(target), &["string"]);
}

fn columns(target: Target) {
    checked(target, rows(target), &["scan", "reduce", "gather", "filter", "tile"]);
}

/// Fewer rows than a block, a warp or a partition has, and one.
fn few_rows(target: Target) {
    for rows in [1, 31] {
        checked(target, rows, &["scan", "reduce", "gather", "filter", "hash", "partition"]);
        checked(target, rows, &["group_by", "join", "sort", "string", "tile", "window"]);
    }
}

macro_rules! everywhere {
    ($($module:ident $target:ident: $($body:ident),*;)*) => {
        $(mod $module {
            $(#[test]
            fn $body() {
                super::$body(super::Target::$target);
            })*
        })*
    };
}
everywhere! {
    cpu Cpu: rows_in_order, rows_by_hash, columns, texts, few_rows;
    emulated Emulated: rows_in_order, rows_by_hash, columns, texts;
    wgpu Wgpu: rows_in_order, rows_by_hash, columns, texts;
}

mod real {
    #[test]
    #[ignore = "needs a real GPU: make test-gpu"]
    fn every_bench() {
        let target = super::Target::Real;
        super::rows_in_order(target);
        super::rows_by_hash(target);
        super::columns(target);
        super::texts(target);
    }
}
