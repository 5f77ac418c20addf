// group_starts: the first item of each group of sorted rows.
//
// Purpose:   what items' ranks in their groups are counted from.
// Algorithm: a scatter to the groups' numbers, which are a scan of the bounds.
//
// Buffers:  flags    u32[n]       1 where a group begins
//           numbers  u32[n]       flags after an exclusive scan
//           starts   u32[groups]  out
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of starts. Deterministic.
struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> numbers: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn group_starts(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        if flags[i] != 0u {
            starts[numbers[i]] = i;
        }
    }
}
