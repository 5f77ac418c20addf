// mark_rows: sets the flags of rows by number.
//
// Algorithm: a scatter of one value, so that rows named twice are no conflict.
//
// Buffers:  numbers  u32[n]     row numbers; those past `rows` are passed over
//           flags    u32[rows]  1 for each row named; the others keep theirs
// Params:   n, rows
// Launch:   any number of blocks of 256 threads; numbers are strided over all threads.
// Result:   flags.
// Determinism: the same bits in any order of threads.
struct Params {
    n: u32,
    rows: u32,
}

@group(0) @binding(0) var<storage, read> numbers: array<u32>;
@group(0) @binding(1) var<storage, read_write> flags: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn mark_rows(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let row = numbers[i];
        if row < p.rows {
            atomicStore(&flags[row], 1u);
        }
    }
}
