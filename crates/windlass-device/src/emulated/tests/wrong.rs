//! Kernels that are wrong, and how they fail.

use super::*;

/// The reason of the launch error that `text` must end in on `d`.
fn failure(d: &dyn Device, name: &'static str, block: u32, groups: u32, text: &str) -> String {
    let k = source(name, block, &[W, R], 1, text);
    let (a, b) = (put(d, &[0u32; 100]), put(d, &[0u32; 100]));
    match launch(d, &k, groups, &[&a, &b], &[100]) {
        Err(DeviceError::Launch { kernel, reason, .. }) => {
            assert_eq!(kernel, name);
            reason
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn divergence_is_an_error_that_names_the_threads() {
    let kernels = [
        (
            "test/left",
            "if (threadIdx.x >= 20) return; W_SYNC(); a[threadIdx.x] = p.n;",
            ["threads 0-19 wait at W_SYNC (test/left.cu:3)", "threads 20-63 have left the kernel"],
        ),
        (
            "test/mixed",
            "if (W_LANE == 3) W_SYNC(); else a[0] = W_BALLOT(1);",
            ["thread 3 waits at W_SYNC", "threads 4-34 wait at W_BALLOT"],
        ),
        (
            "test/places",
            "if (threadIdx.x < 32)\n W_SYNC();\n else W_SYNC();",
            ["thread 0 waits at W_SYNC (test/places.cu:4)", "(test/places.cu:5)"],
        ),
        (
            "test/shuffles",
            "a[W_LANE] = W_LANE < 9 ? W_SHFL_UP(1u, 1) : W_SHFL_DOWN(1u, 1);",
            ["thread 0 waits at W_SHFL_UP", "thread 9 at W_SHFL_DOWN"],
        ),
    ];
    for (name, body, expected) in kernels {
        let text = format!(
            "struct P {{ u32 n; }};\n\
             extern \"C\" __global__ void k(u32* a, const u32* b, P p) {{ {body} }}"
        );
        for d in devices() {
            let reason = failure(&*d, name, 64, 3, &text);
            assert!(reason.contains("divergence in block"), "{name}: {reason}");
        }
        let d = device();
        let reason = failure(&*d, name, 64, 3, &text);
        for part in expected {
            assert!(reason.contains(part), "{name}: {reason}");
        }
        // The device still works.
        a_kernel_runs(&*d);
    }
}

#[test]
fn a_block_that_waits_for_a_later_one_fails_alone_and_passes_in_parallel() {
    let text = r#"
struct P { u32 n; };
extern "C" __global__ void k(u32* a, const u32* b, P p) {
  if (blockIdx.x == 1) { while (W_LOAD(a) == 0) {} }
  else atomicExch(a, 1u);
}"#;
    let reverse = EmulatorOptions { reverse_blocks: true, ..EmulatorOptions::default() };
    let reason = failure(&*open(0, &options(reverse)).unwrap(), "test/wait", 1, 2, text);
    assert!(reason.contains("block 1") && reason.contains("no device promises"), "{reason}");
    let d = device();
    let (a, b) = (put(&*d, &[0u32]), put(&*d, &[0u32]));
    launch(&*d, &source("test/wait", 1, &[W, R], 1, text), 2, &[&a, &b], &[0]).unwrap();
}

#[test]
fn memory_that_was_never_written_is_poisoned() {
    let text = r#"
extern "C" __global__ void k(u32* a) {
  W_SHARED(u32, s, 64);
  a[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x];
  W_SYNC();
  s[threadIdx.x] = 1;
}"#;
    for d in devices() {
        let a = d.alloc(&mut d.pool().reserve(0).unwrap(), 64 * 4 * 4).unwrap();
        assert_eq!(get::<u32>(&*d, &a), [0xDBDB_DBDB; 256]);
        d.queue().unwrap().fill(&a, 0).unwrap();
        launch(&*d, &source("test/poison", 64, &[W], 0, text), 4, &[&a], &[]).unwrap();
        assert_eq!(get::<u32>(&*d, &a), [0xDBDB_DBDB; 256]);
    }
}

#[test]
fn writes_past_an_end_are_found_without_the_checked_mode() {
    let head = "struct P { u32 n; }; extern \"C\" __global__ void k(u32* a, const u32* b, P p) {";
    let d = device();
    let text = format!("{head} a[p.n + 5] = 1; }}");
    let reason = failure(&*d, "test/past", 1, 1, &text);
    assert!(reason.contains("past the end of buffer 0: 400 bytes, changed 20"), "{reason}");
    let text = format!("{head} W_SHARED(u32, s, 10); s[p.n - 90] = b[0]; a[0] = s[0]; }}");
    let reason = failure(&*d, "test/past_shared", 1, 1, &text);
    assert!(reason.contains("past the end of a shared array of 40 bytes"), "{reason}");
    let text = format!("{head} W_SHARED(u64, s, 6145); s[0] = 1; a[0] = u32(s[0]); }}");
    let reason = failure(&*d, "test/large_shared", 1, 1, &text);
    assert!(reason.contains("49160 bytes"), "{reason}");
    a_kernel_runs(&*d);
}

#[test]
fn the_checked_mode_names_the_access_and_the_undefined_operation() {
    let d = open(0, &options(EmulatorOptions { sanitize: true, ..EmulatorOptions::default() }))
        .unwrap();
    let head =
        "struct P { u32 n; };\nextern \"C\" __global__ void k(u32* a, const u32* b, P p) {\n";
    let cases = [
        ("test/read", "a[0] = b[p.n + threadIdx.x];", "reads 4 bytes at byte 400 of buffer"),
        ("test/write", "a[p.n] = 3;", "writes 4 bytes at byte 400 of buffer 0 (400 bytes)"),
        ("test/readonly", "((u32*)b)[7] = 3;", "at byte 28 of buffer 1, which it only reads"),
        ("test/atomic", "atomicAdd(a + p.n, 1u);", "4 bytes at byte 400 of buffer"),
        ("test/shift", "a[0] = 1u << p.n;", "shift past the type's width"),
        ("test/signed", "a[0] = u32(2147483600 + i32(p.n));", "signed addition overflows"),
        ("test/zero", "a[0] = 7 / (p.n - 100);", "division by zero"),
        ("test/cast", "a[0] = u32(f64(p.n) * 1e9);", "does not fit the integer"),
        ("test/index", "W_SHARED(u32, s, 8); s[p.n] = 1; a[0] = s[0];", "index outside an array"),
        ("test/align", "a[0] = u32(*(const u64*)(b + 1));", "misaligned"),
    ];
    for (name, body, expected) in cases {
        let reason = failure(&*d, name, 2, 1, &format!("{head}{body} }}"));
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(reason.contains("thread ") && reason.contains("block 0"), "{name}: {reason}");
    }
    let table = r#"
__constant__ u32 table[4] = {5, 6, 7, 8};
W_INLINE u32 pick(const u32* t, u32 i) { u32 local[4]; for (u32 j = 0; j < 4; ++j) local[j] = t[j]; return local[i]; }
extern "C" __global__ void k(u32* a) { a[threadIdx.x] = pick(table, threadIdx.x & 3); }"#;
    let a = put(&*d, &[0u32; 8]);
    launch(&*d, &source("test/table", 8, &[W], 0, table), 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [5, 6, 7, 8, 5, 6, 7, 8]);
}
