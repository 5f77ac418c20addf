// row_numbers: the numbers from 0 on.
//
// Purpose:   the order of rows before a sort.
// Algorithm: a map.
//
// Buffers:  out  u32[n]
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of out. Deterministic.
struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(256)
fn row_numbers(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        out[i] = i;
    }
}
